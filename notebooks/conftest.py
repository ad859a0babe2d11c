"""nbval runs the lectures; homework and its sources have checks of their own."""

from pathlib import Path

import pytest

collect_ignore_glob = ["homework/*", "instructor/*"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker("notebook")
