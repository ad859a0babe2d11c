"""Homework notebooks as nbval runs them: a cell passes by its marked lines, whatever its tags and other output say."""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest
from nbformat import NotebookNode
from nbval.plugin import IPyNbCell, IPyNbFile, NbCellError

from rlcourse.grading import checks
from rlcourse.grading.homework import OWN, meta, role


def printed(outputs: Sequence[NotebookNode]) -> str:
    """What a cell wrote to its standard output."""
    return "".join(out.get("text", "") for out in outputs if out.get("name") == "stdout")


def raised(error: BaseException) -> str:
    """The traceback of a cell that raised, without colours."""
    trace = getattr(error, "inner_traceback", None) or str(error)
    return re.sub(r"\x1b\[[0-9;]*m", "", trace).strip()


class HomeworkCell(IPyNbCell):
    """One cell; its `reference` is the list of marked lines that it must print, None if it is no check."""

    reference: list[str] | None = None
    comparison_traceback: Sequence[str] = ()

    @property
    def own(self) -> bool:
        """Whether it is the student's own, which nobody grades."""
        return role(self.cell) in OWN

    def setup(self) -> None:
        """nbval would excuse all cells after one that took too long."""

    def compare_outputs(self, test: Any, ref: Any, skip_compare: Any = None) -> bool:
        found = checks.marked(printed(test))
        if self.reference is None or checks.agree(self.reference, found, meta(self.cell).get("rtol", checks.RTOL)):
            return True
        wrong = [line for line in found if line.startswith(checks.WRONG)]
        self.comparison_traceback = wrong or ["it did not print what the solution prints"]
        return False

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> str:
        if isinstance(excinfo.value, NbCellError) and self.comparison_traceback:
            return "\n".join([f"{self.cell.id}:", *self.comparison_traceback])
        said = raised(excinfo.value).splitlines()[-1:]
        if role(self.cell) not in (*OWN, "answer") and said and said[0].startswith("NameError"):
            return f"{self.cell.id}: {said[0]}: the cell that makes it has failed, see above"
        return super().repr_failure(excinfo)


def cells_of(
    file: IPyNbFile,
    cells: Sequence[NotebookNode],
    references: Mapping[str, list[str]],
    kind: type[HomeworkCell] = HomeworkCell,
) -> Iterator[HomeworkCell]:
    """The items of a notebook, named by cell id; a cell's own tags and comments have no say."""
    for number, cell in enumerate(cells):
        cell.outputs, cell.execution_count = [], 1
        options = defaultdict(bool, check=cell.id in references)
        item = kind.from_parent(file, name=cell.id, cell_num=number, cell=cell, options=options)
        item.reference = references.get(cell.id)
        yield item
