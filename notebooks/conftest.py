"""nbval runs the lectures, and the workshops as they are handed out; homework and the sources have their own checks."""

from collections.abc import Generator
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


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None]:
    """A notebook's kernel starts here: a workshop's trains for a moment only, since nobody's answers are in it."""
    with pytest.MonkeyPatch.context() as environment:
        if item.path.parent.name == "workshops":
            environment.setenv("RLCOURSE_BUDGET", "test")
        return (yield)
