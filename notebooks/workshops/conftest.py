"""nbval runs each workshop untouched, to see that it runs: everything that trains stops after a moment."""

from collections.abc import Generator

import pytest


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup() -> Generator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RLCOURSE_BUDGET", "test")  # the kernel starts in here and keeps it
        return (yield)
