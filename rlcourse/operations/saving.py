"""What is saved in JupyterLab can be read another day: pictures and questions, where a widget's kernel is gone.

JupyterLab prefers a stored view of a widget to the picture stored beside it, and where the kernel behind the view has
ended it shows neither but "Error displaying widget: model not found". So this extension of Jupyter Server, switched on
wherever the package is installed, takes the views out of what is written to the disk. The page that is open keeps them.

Nor does JupyterLab (4.6) hand on a picture's alternative text, which stands in the output's metadata: the picture is
written once more as HTML that has it, which JupyterLab prefers; whoever makes a PDF of the notebook takes the other.
"""

import re
from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

LIVE_VIEW, STATE = "application/vnd.jupyter.widget-view+json", "application/vnd.jupyter.widget-state+json"
PROGRESS = re.compile(r"\s*\d+(%\||it \[)")  # how tqdm writes its bar: "  0%|     | 0/25000", or "0it [00:00"
AT_REST = {
    "output_type": "display_data",
    "data": {"text/markdown": "<small>*Not connected: run this cell again.*</small>"},
    "metadata": {},
}


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    return [{"module": __name__}]


def _load_jupyter_server_extension(app: Any) -> None:
    app.contents_manager.register_pre_save_hook(drop_views)


def drop_views(model: Mapping[str, Any], **_: Any) -> None:
    """Take the widgets' views out of a notebook of the course that is about to be saved.

    A view stays if its widget's state is saved along (a setting of JupyterLab). If this fails, Jupyter Server writes
    that into its log and saves the notebook all the same.
    """
    if model["type"] != "notebook":
        return
    notebook = model["content"]
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    if not any("rlcourse" in "".join(cell["source"]) for cell in code):
        return  # somebody else's notebook on the same server
    saved = notebook["metadata"].get("widgets", {}).get(STATE, {}).get("state", {})
    for cell in code:
        cell["outputs"] = list(_at_rest(cell["outputs"], saved))
        for output in cell["outputs"]:
            _with_words(output)


def _at_rest(outputs: list[dict[str, Any]], saved: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for output in outputs:
        data = output.get("data", {})
        if LIVE_VIEW not in data or data[LIVE_VIEW]["model_id"] in saved:
            yield output
        elif not PROGRESS.match("".join(data.get("text/plain", ""))):
            if without_view(output):
                yield output
            yield AT_REST


def _with_words(output: dict[str, Any]) -> None:
    """Add a picture as HTML, with its alternative text, where it has one and no other HTML stands beside it."""
    data, known = output.get("data", {}), output.get("metadata", {}).get("image/png", {})
    if "image/png" in data and LIVE_VIEW not in data and known.get("alt"):
        source = f"data:image/png;base64,{''.join(data['image/png']).strip()}"
        width = f' width="{known["width"]}"' if "width" in known else ""
        data.setdefault("text/html", f'<img src="{source}" alt="{escape(known["alt"])}"{width}>')


def without_view(output: dict[str, Any]) -> bool:
    """Remove the live view from an output, and say whether more is left than the text that replaces it."""
    live = output.get("data", {}).pop(LIVE_VIEW, None)
    return live is None or set(output["data"]) != {"text/plain"}
