"""`pytest --nbval-lax hw01.ipynb` runs the checks as they were released, whatever was saved over them."""

from collections.abc import Generator
from typing import Any

import pytest

from rlcourse.grading.selfcheck import summary, taken_over


@pytest.hookimpl(wrapper=True)
def pytest_collect_file() -> Generator[None, list[Any], list[Any]]:
    return [taken_over(collector) for collector in (yield)]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    summary(terminalreporter, config)
