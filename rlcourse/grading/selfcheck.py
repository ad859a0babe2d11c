"""The student's self-check: `notebooks/homework/conftest.py` calls it, so that plain nbval means something.

Only the answers and the student's own cells count as they are; the checks run as they were released, and what was done
to them fails with its remedy. So it does not matter that running and saving a notebook replaces its references.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbval.plugin import IPyNbFile

from rlcourse.grading import checks, homework
from rlcourse.grading.collect import cells_of, printed
from rlcourse.grading.release import PRISTINE


class Fault(pytest.Item):
    """Something wrong with the notebook itself."""

    message = ""

    def runtest(self) -> None:
        pytest.fail(self.message, pytrace=False)


class Homework(IPyNbFile):
    """A student's notebook, its checks as released."""

    def collect(self) -> Iterator[pytest.Item]:
        released = nbformat.read(pristine(self.path), as_version=4)
        try:
            submission = homework.read_submission(self.path)
        except homework.UnreadableError as error:
            self.nb = homework.notebook_of([])
            yield self._fault("the notebook", f"{self.path.name}: {error}")
            return
        for number, message in enumerate(homework.tampered(released, submission)):
            yield self._fault(f"fault {number}", message)
        references = {cell.id: checks.marked(printed(cell.outputs)) for cell in homework.with_role(released, "check")}
        grafted = homework.graft(released, submission)
        for note in grafted.notes:
            yield self._fault("answers", note)
        self.nb = homework.notebook_of(grafted.cells)
        yield from cells_of(self, self.nb.cells, references)

    def _fault(self, name: str, message: str) -> Fault:
        fault = Fault.from_parent(self, name=name)
        fault.message = message
        return fault


def pristine(path: Path) -> Path:
    return path.parent / PRISTINE / path.name


def taken_over(collector: Any) -> Any:
    """The collector of a released homework in place of nbval's; any other as it is."""
    if isinstance(collector, IPyNbFile) and pristine(collector.path).exists():
        return Homework.from_parent(collector.parent, path=collector.path)
    return collector
