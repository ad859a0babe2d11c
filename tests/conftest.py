"""How workers share the checks: what belongs together stays together, and what takes longest begins first.

A worker takes whole files, so that a notebook's cells run in order in one kernel and a module's fixtures are made once.
Browser tests share one JupyterLab and the graders' tests one class of students: each of these folders is one piece.
"""

import os
import random
import sys
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any

import jaxtyping
import pytest
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config
from xdist.scheduler import LoadScopeScheduling

from tests.screen import Screen

# Else each of the hundred programs and kernels that tests start would compile the course anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False
if os.environ.get("PYTEST_XDIST_WORKER"):
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # for the kernels and commands that a test starts


PIECES = ("tests/browser", "tests/grading")


def piece(nodeid: str) -> str:
    """What a test stays together with: its folder, where that is one of `PIECES`, or its file."""
    path = PurePosixPath(nodeid.partition("::")[0])
    return next((folder for folder in PIECES if path.is_relative_to(folder)), str(path))


def weight(item: pytest.Item) -> int:
    """The larger, the earlier its file begins: the browser takes minutes, a lecture up to two, the rest less."""
    kinds = ("thorough", "notebook", "browser")
    return max((place for place, kind in enumerate(kinds, 1) if item.get_closest_marker(kind)), default=0)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whole pieces, the heaviest first; within one the order stays."""
    weights: dict[str, int] = {}
    for item in items:
        weights[piece(item.nodeid)] = max(weights.get(piece(item.nodeid), 0), weight(item))
    items.sort(key=lambda item: -weights[piece(item.nodeid)])


class Pieces(LoadScopeScheduling):
    """Gives a worker a whole piece at a time, in the order in which they were collected."""

    def _split_scope(self, nodeid: str) -> str:
        return piece(nodeid)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Pieces:
    config.option.loadscopereorder = False
    return Pieces(config, log)


class Checks:
    """Which calls of functions with stated shapes and types are checked: all would take a third of the tests' time.

    From each line of code that calls it, a function's first `FIRST` calls in a test, and of the later ones a share
    `LATER`, drawn at random: what is wrong with one call is mostly wrong with all calls from there.
    """

    FIRST, LATER = 5, 0.05

    def __init__(self) -> None:
        self.seen: dict[tuple[Any, ...], int] = {}
        self.random = random.Random(0)

    def skipped(self, _: object) -> bool:
        """Whether jaxtyping should look away from the call it is about to make."""
        wrapper = sys._getframe(1)
        caller = wrapper.f_back
        assert caller is not None
        place = wrapper.f_locals["fn"], caller.f_code, caller.f_lineno
        count = self.seen[place] = self.seen.get(place, 0) + 1
        return count > self.FIRST and self.random.random() >= self.LATER


@pytest.fixture(autouse=True)
def checks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test begins with all checks, and checks less and less what it calls again and again."""
    monkeypatch.setattr(type(jaxtyping.config), "jaxtyping_disable", property(Checks().skipped), raising=False)


@pytest.fixture
def unchecked(checks: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Shapes and types are not checked at each call, as nowhere but in tests: a long training takes half the time."""
    monkeypatch.setattr(type(jaxtyping.config), "jaxtyping_disable", property(lambda _: True))


@pytest.fixture
def screen() -> Iterator[Screen]:
    """What `display` shows in this test."""
    shell = InteractiveShell.instance(config=Config(HistoryManager={"enabled": False}))
    shell.display_pub = Screen()
    yield shell.display_pub
    InteractiveShell.clear_instance()
