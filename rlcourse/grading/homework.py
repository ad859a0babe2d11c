"""What a homework is: a notebook whose cells have roles, solutions between markers, and a place for each answer.

A cell's metadata says under `rlcourse` what it is for: `role` (one of `ROLES`), the `question` it belongs to and, for
checks, its `points`. Hidden checks may add `rtol`, the relative tolerance of their values, and `hint`, the one
sentence that a student who failed them reads. Of several hidden checks of a question each names its `part`, the letter
of a run to diagnose, say: once graded, a student reads part by part what was right. A cell of the role `notes` is text
for instructors; students do not get it. Cells are told apart by their ids, never by their position.
"""

import re
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode
from nbformat.validator import ValidationError
from nbformat.warnings import DuplicateCellId

from rlcourse.grading import checks

ROLES = ("setup", "show", "answer", "check", "hidden")
SCORED = ("check", "hidden")
OWN = ("definitions", "extra")  # while grading: what a student's own cell defines, and all of it
BEGIN, END = "### BEGIN SOLUTION", "### END SOLUTION"
NONCE = "NONCE = 0"  # the first line of a hidden check; the grader puts its own number there
SOLUTION = re.compile(rf"^([ \t]*){BEGIN}\n.*?^[ \t]*{END}[ \t]*$", re.MULTILINE | re.DOTALL)


class HomeworkError(ValueError):
    """A homework's source is not written as it must be; names the place and the remedy."""


def meta(cell: NotebookNode) -> dict[str, Any]:
    """What a cell or a notebook says about itself, empty if it says nothing; a student's may say anything."""
    found = cell.get("metadata", {}).get("rlcourse") if isinstance(cell.get("metadata"), dict) else None
    return found if isinstance(found, dict) else {}


def role(cell: NotebookNode) -> str | None:
    return found if isinstance(found := meta(cell).get("role"), str) else None


def question(cell: NotebookNode) -> str | None:
    return found if isinstance(found := meta(cell).get("question"), str) else None


def with_role(notebook: NotebookNode, *roles: str) -> list[NotebookNode]:
    return [cell for cell in notebook.cells if role(cell) in roles]


def experiment(cell: NotebookNode) -> bool:
    """Whether a cell only shows something: a picture, or what comes out if one calls an answer. It is never graded."""
    return role(cell) == "show" or (role(cell) == "setup" and question(cell) is not None)


def graded(notebook: NotebookNode) -> list[NotebookNode]:
    """The official code cells that are run while grading: all but the experiments, which may take any time."""
    return [cell for cell in notebook.cells if cell.cell_type == "code" and not experiment(cell)]


def load(path: Path) -> NotebookNode:
    """An instructor's source.

    Raises:
        FileNotFoundError: there is no such homework; names those that there are.
        HomeworkError: a cell is not written as it must be, or there is no time limit.
    """
    if not path.exists():
        there = ", ".join(sorted(each.stem for each in path.parent.glob("hw*.ipynb"))) or "none"
        raise FileNotFoundError(f"there is no {path}; homeworks there: {there}")
    with warnings.catch_warnings():
        warnings.simplefilter("error", DuplicateCellId)  # nbformat would give one of the two a random id
        try:
            source = nbformat.read(path, as_version=4)
        except DuplicateCellId as error:
            raise HomeworkError(f"{path}: {error}") from None
        except (ValueError, AttributeError, KeyError, TypeError, ValidationError) as error:  # as nbformat meets it
            first = str(error).strip().partition("\n")[0][:200]
            raise HomeworkError(f"{path} is no notebook ({first}): take it from the repository again") from None
    seconds = meta(source).get("seconds")
    if not (isinstance(seconds, int | float) and seconds > 0):
        remedy = "set rlcourse.seconds in the notebook's metadata to a positive number"
        raise HomeworkError(f"{path}: seconds = {seconds!r}: {remedy}")
    for cell in source.cells:
        if fault := _fault(cell):
            raise HomeworkError(f"{path}, cell {cell.id}: {fault}")
    answers = [question(cell) for cell in with_role(source, "answer")]
    for cell in with_role(source, *SCORED):
        if answers.count(question(cell)) != 1:
            raise HomeworkError(f"{path}, cell {cell.id}: question {question(cell)!r} must have one answer cell")
        parts = [meta(each).get("part") for each in with_role(source, "hidden") if question(each) == question(cell)]
        if len(parts) > 1 and not (all(isinstance(part, str) for part in parts) and len(set(parts)) == len(parts)):
            raise HomeworkError(f"{path}, cell {cell.id}: each hidden check of its question must name another `part`")
    return source


def _fault(cell: NotebookNode) -> str | None:
    if cell.cell_type == "code" and role(cell) not in ROLES:
        return f"role = {role(cell)!r} must be one of {', '.join(ROLES)}"
    if role(cell) in ("answer", *SCORED) and not isinstance(question(cell), str):
        return "it must name its question"
    if role(cell) in SCORED and not (isinstance(meta(cell).get("points"), int | float) and meta(cell)["points"] >= 0):
        return f"points = {meta(cell).get('points')!r} must be a number, 0 or more"
    if role(cell) == "answer" and not SOLUTION.search(cell.source):
        return f"an answer must hold lines between {BEGIN} and {END}"
    if not len(SOLUTION.findall(cell.source)) == cell.source.count(BEGIN) == cell.source.count(END):
        return f"{BEGIN} and {END} must come in pairs, each alone on its line"
    if role(cell) == "hidden" and not cell.source.startswith(NONCE + "\n"):
        return f"a hidden check must begin with the line {NONCE}"
    return None


def stub(source: str) -> str:
    """An answer without its solutions: each gives way to an exception that says what to do."""
    return SOLUTION.sub(rf'\1raise NotImplementedError("{checks.STUB}")', source)


def with_nonce(source: str, nonce: int) -> str:
    return source.replace(NONCE, f"NONCE = {nonce}", 1)


def replaced(cell: NotebookNode, source: str) -> NotebookNode:
    return nbformat.from_dict({**cell, "source": source})


def notebook_of(cells: Iterable[NotebookNode]) -> NotebookNode:
    """A notebook of code cells without outputs, ready to be run."""
    bare = [nbformat.v4.new_code_cell(cell.source, id=cell.id, metadata={"rlcourse": meta(cell)}) for cell in cells]
    return nbformat.v4.new_notebook(cells=bare)
