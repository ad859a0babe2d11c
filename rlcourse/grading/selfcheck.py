"""The student's self-check: `notebooks/homework/conftest.py` calls it, so that plain nbval means something.

What runs is what the grader runs, without the hidden checks: the answers and the student's own cells, between the
official ones as they were released. So it does not matter that running and saving a notebook replaces its references,
and the verdict on a visible check is the grade's. What would not be run is listed at the end.
"""

import ast
import math
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from queue import Empty
from tempfile import TemporaryDirectory
from typing import Any
from unittest import mock

import nbformat
import nbval.plugin
import pytest
from nbformat import NotebookNode
from nbval.kernel import RunningKernel
from nbval.plugin import IPyNbFile

from rlcourse.grading import checks, homework, limits
from rlcourse.grading.collect import HomeworkCell, cells_of, printed, raised
from rlcourse.grading.homework import role
from rlcourse.grading.release import PRISTINE
from rlcourse.grading.submissions import UnreadableError, graft, read, tampered, tree

REMARKS = pytest.StashKey[list[str]]()
LOOK = 1.0  # seconds between two looks whether the kernel lives


class Fault(pytest.Item):
    """Something wrong with the notebook itself."""

    message = ""

    def runtest(self) -> None:
        pytest.fail(self.message, pytrace=False)


class CheckedCell(HomeworkCell):
    """A cell under the grader's limit of time; the student's own cells cannot fail."""

    def runtest(self) -> None:
        seconds, option = self.parent.seconds, self.config.option
        number = self.cell.id.split("-")[1] if self.own else ""
        if role(self.cell) == "extra" and self.parent.left <= 0:
            remark(self.config, f"your own cell {int(number) + 1} was not run: those before it took all the time")
            return
        limit = self.parent.left if role(self.cell) == "extra" else limits.WIDER * seconds
        before, option.nbval_cell_timeout = option.nbval_cell_timeout, limit
        start = time.monotonic()
        used = limits.processor_time()
        self.parent.kernel.most = used + seconds
        try:
            super().runtest()
        except Exception as error:
            if not self.own:
                if limits.processor_time() - used > seconds:
                    trace = raised(error)
                    pytest.fail(
                        f"{self.cell.id}: stopped after {seconds:g} seconds: a loop without an end?\n{trace}", False
                    )
                raise
            remark(
                self.config,
                f"your own cell {int(number) + 1} raised an exception: {raised(error).splitlines()[-1][:200]}",
            )
        finally:
            option.nbval_cell_timeout = before
            if role(self.cell) == "extra":
                self.parent.left -= time.monotonic() - start
        used = limits.processor_time() - used
        if used > seconds and not self.own:
            pytest.fail(f"{self.cell.id}: {used:.0f} seconds of processor time; the grade allows {seconds:g}", False)


class LivingKernel(RunningKernel):
    """A kernel that has none of the student's other files, as in the grade, and is not waited for once it has died.

    Attributes:
        most: seconds of processor time, counted from the start, after which a cell is interrupted.
    """

    most = math.inf

    def __init__(self, kernel_name: str, cwd: str | None = None, startup_timeout: float = 60) -> None:
        self.folder = TemporaryDirectory(prefix="rlcourse-")
        super().__init__(kernel_name, self.folder.name, startup_timeout)

    def get_message(self, stream: str, timeout: float | None = None) -> dict[str, Any]:
        deadline = time.monotonic() + (timeout or LOOK)
        while True:
            try:
                return dict(super().get_message(stream, min(LOOK, max(0.0, deadline - time.monotonic()))))
            except Empty:
                if not self.is_alive():
                    raise RuntimeError("the kernel died: exit, os._exit, out of memory, or a crash") from None
                if time.monotonic() >= deadline:
                    raise
                if limits.processor_time() > self.most + LOOK:  # somewhat later, so that the grade's limit is exceeded
                    self.most = math.inf  # what the interrupt leads to is waited for
                    raise

    def stop(self) -> None:
        super().stop()
        self.folder.cleanup()


class Homework(IPyNbFile):
    """A student's notebook, its checks as released."""

    seconds = 0.0
    left = 0.0  # seconds for the student's own cells together

    def setup(self) -> None:
        with mock.patch.object(nbval.plugin, "RunningKernel", LivingKernel):
            super().setup()

    def collect(self) -> Iterator[pytest.Item]:
        released = nbformat.read(pristine(self.path), as_version=4)
        self.seconds = self.left = float(homework.meta(released)["seconds"])
        try:
            submission = read(self.path)
        except UnreadableError as error:
            self.nb = homework.notebook_of([])
            yield self._fault("the notebook", f"{self.path.name}: {error}")
            return
        for number, message in enumerate(tampered(released, submission)):
            yield self._fault(f"fault {number}", message)
        references = {cell.id: checks.marked(printed(cell.outputs)) for cell in homework.with_role(released, "check")}
        grafted = graft(released, submission)
        for each in (*grafted.notes, *grafted.left_out, *_modules(grafted.cells, self.path.parent)):
            remark(self.config, each)
        self.nb = homework.notebook_of(grafted.cells)
        yield from cells_of(self, self.nb.cells, references, CheckedCell)

    def _fault(self, name: str, message: str) -> Fault:
        fault = Fault.from_parent(self, name=name)
        fault.message = message
        return fault


def _modules(cells: Iterable[NotebookNode], folder: Path) -> Iterator[str]:
    """What cells import from files of the student's own, in words."""
    for cell in cells:
        for node in ast.walk(tree(cell.source) or ast.Module([], [])):
            wanted = [each.name for each in node.names] if isinstance(node, ast.Import) else []
            wanted += [str(node.module)] if isinstance(node, ast.ImportFrom) else []
            for name in (each.partition(".")[0] for each in wanted):
                if (folder / f"{name}.py").exists() or (folder / name / "__init__.py").exists():
                    yield f"the module {name} beside your notebook: nobody hands it in, so put it into a cell"


def remark(config: pytest.Config, text: str) -> None:
    """Say something at the end."""
    config.stash.setdefault(REMARKS, []).append(text)


def summary(terminal: pytest.TerminalReporter, config: pytest.Config) -> None:
    """List what the grader would note, and what it would leave out."""
    if remarks := config.stash.get(REMARKS, []):
        terminal.section("what the grader notes, and does not run")
        for text in dict.fromkeys(remarks):
            terminal.write_line(text)


def pristine(path: Path) -> Path:
    return path.parent / PRISTINE / path.name


def taken_over(collector: Any) -> Any:
    """The collector of a released homework in place of nbval's; any other as it is."""
    if isinstance(collector, IPyNbFile) and pristine(collector.path).exists():
        return Homework.from_parent(collector.parent, path=collector.path)
    return collector
