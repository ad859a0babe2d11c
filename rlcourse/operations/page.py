"""A Jupyter server extension: JupyterLab's pages look as `custom/custom.css` says, in every environment of the course.

`settings/` holds the settings that switch it on; installing the course puts them where Jupyter looks for them.
"""

from pathlib import Path
from typing import Any


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    return [{"module": __name__}]


def _load_jupyter_server_extension(server: Any) -> None:
    """Let the server find our style sheet: after the user's own `custom.css`, and before Jupyter's."""
    server.web_app.settings["static_custom_path"].insert(1, str(Path(__file__).with_name("custom")))
