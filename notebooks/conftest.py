"""nbval runs the lectures; homework and its sources have checks of their own."""

from pathlib import Path

import pytest
from nbval.plugin import IPyNbCell

collect_ignore_glob = ["homework/*", "instructor/*"]
# Seconds by the clock, for a cell and then for its last output. A cell takes at most 40 on an idle machine; beside
# eight other jobs it may take twenty times as long.
CELL, OUTPUT = 1500, 120


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker("notebook")
            if isinstance(item, IPyNbCell):
                item.output_timeout = OUTPUT
                config.option.nbval_cell_timeout = max(CELL, config.option.nbval_cell_timeout)
