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
    """A notebook's kernel starts here. It trains for a moment only: nbval does not look at what was learned.

    The outputs that are committed come from a run of the whole length (`rlcourse execute`), which `make test-slow`
    repeats and compares.
    """
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("RLCOURSE_BUDGET", "test")
        return (yield)
