"""What a homework is: a notebook whose cells have roles, solutions between markers, and a place for each answer.

A cell's metadata says under `rlcourse` what it is for: `role` (one of `ROLES`), the `question` it belongs to and, for
checks, its `points`. Hidden checks may add `rtol`, the relative tolerance of their values, and `hint`, the one
sentence that a student who failed them reads. A cell of the role `notes` is text for instructors; students do not get
it. Cells are told apart by their ids, never by their position.
"""

import json
import re
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode
from nbformat.warnings import DuplicateCellId

ROLES = ("setup", "show", "answer", "check", "hidden")
SCORED = ("check", "hidden")
BEGIN, END = "### BEGIN SOLUTION", "### END SOLUTION"
NONCE = "NONCE = 0"  # the first line of a hidden check; the grader puts its own number there
SOLUTION = re.compile(rf"^([ \t]*){BEGIN}\n.*?^[ \t]*{END}[ \t]*$", re.MULTILINE | re.DOTALL)
MAX_BYTES = 20_000_000  # of a submitted file; a homework with its plots is well under one million


class HomeworkError(ValueError):
    """A homework's source is not written as it must be; names the place and the remedy."""


class UnreadableError(ValueError):
    """A submission that is no notebook; says why."""


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


def graded(notebook: NotebookNode) -> list[NotebookNode]:
    """The official code cells that are run while grading: all but the pictures."""
    return [cell for cell in notebook.cells if cell.cell_type == "code" and role(cell) != "show"]


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
    if len(SOLUTION.findall(cell.source)) != cell.source.count(BEGIN) or cell.source.count(BEGIN) != (
        cell.source.count(END)
    ):
        return f"{BEGIN} and {END} must come in pairs, each alone on its line"
    if role(cell) == "hidden" and not cell.source.startswith(NONCE + "\n"):
        return f"a hidden check must begin with the line {NONCE}"
    return None


def stub(source: str) -> str:
    """An answer without its solutions: each gives way to an exception that says what to do."""
    return SOLUTION.sub(r'\1raise NotImplementedError("your answer goes here")', source)


def with_nonce(source: str, nonce: int) -> str:
    return source.replace(NONCE, f"NONCE = {nonce}", 1)


def raw(path: Path) -> bytes | None:
    """The content of a submitted file; None if it is a link, a pipe or a device, or too large."""
    ordinary = not path.is_symlink() and path.is_file() and path.stat().st_size <= MAX_BYTES
    return path.read_bytes() if ordinary else None


def read_submission(path: Path) -> NotebookNode:
    """A student's notebook, of any format and in any encoding, from a file that need not be one.

    Raises:
        UnreadableError: says why.
    """
    content = raw(path)
    if content is None:
        limit = f"larger than {MAX_BYTES / 1e6:.0f} MB: clear its outputs"
        raise UnreadableError(f"it is a link, no file at all, or {limit}")
    try:
        text = content.decode(json.detect_encoding(content))
    except UnicodeDecodeError:
        text = content.decode("latin-1")  # never fails; code is ASCII nearly always
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # missing and double ids: we look at them ourselves
            notebook = nbformat.from_dict(nbformat.reads(text, as_version=4))
        cells = [cell for cell in notebook.cells if isinstance(cell["source"], str)]
        notebook.cells = [cell for cell in cells if cell["cell_type"] in ("code", "markdown", "raw")]
        for cell in notebook.cells:
            cell.source = cell.source.encode(errors="replace").decode()  # JSON can hold halves of characters
    except Exception as error:  # of dozens of kinds: the file can hold anything
        raise UnreadableError(f"it is no notebook ({type(error).__name__})") from error
    return notebook


@dataclass(frozen=True)
class Graft:
    """A student's answers in the place of the official ones.

    Attributes:
        cells: code cells in the order in which to run them; a student's own have the role "extra".
        notes: what a person should look at.
    """

    cells: list[NotebookNode]
    notes: list[str] = field(default_factory=list)


def graft(released: NotebookNode, submission: NotebookNode) -> Graft:
    """Put into `released` the student's answers, and their own cells after the cell that they follow.

    Everything else is as released, so it does not matter what became of it in the submission.
    """
    matches = match(released, submission)
    official = graded(released)
    last = max((n for n, cell in enumerate(official) if role(cell) != "hidden"), default=0)
    extras, places, notes = _extras(released, submission, matches), {c.id: n for n, c in enumerate(official)}, []
    cells = extras.get(None, [])
    for cell in official:
        if role(cell) == "answer":
            answers = [theirs for theirs in matches[cell.id] if theirs.cell_type == "code"]
            # The released id is the student's original; a copy of it has a new one.
            answers.sort(key=lambda theirs: theirs.get("id") != cell.id)
            if not answers:
                notes.append(f"{question(cell)}: the answer cell is missing")
            if len(answers) > 1:
                notes.append(
                    f"{question(cell)}: {len(answers)} answer cells, the first one with the released id counts"
                )
            cell = replaced(cell, answers[0].source if answers else stub(cell.source))
        cells.append(cell)
        if places[cell.id] < last:  # after the last check there is nothing left that could need them
            cells += extras.get(cell.id, [])
    return Graft(cells, notes)


def match(released: NotebookNode, submission: NotebookNode) -> dict[str, list[NotebookNode]]:
    """The student's cells for each released one: same id, or else same role and question."""
    by_mark = {(role(cell), question(cell)): cell.id for cell in released.cells if role(cell) not in (None, "setup")}
    matches: dict[str, list[NotebookNode]] = {cell.id: [] for cell in released.cells}
    for cell in submission.cells:
        name = cell.get("id")
        found = name if name in matches else by_mark.get((role(cell), question(cell)))
        if found is not None:
            matches[found].append(cell)
    return matches


def _extras(
    released: NotebookNode, submission: NotebookNode, matches: dict[str, list[NotebookNode]]
) -> dict[str | None, list[NotebookNode]]:
    owner = {id(cell): name for name, cells in matches.items() for cell in cells}
    code = {cell.id for cell in graded(released)}
    extras: dict[str | None, list[NotebookNode]] = {}
    place = None
    for number, cell in enumerate(submission.cells):
        if id(cell) in owner:
            place = owner[id(cell)] if owner[id(cell)] in code else place
        elif cell.cell_type == "code" and not meta(cell):
            extra = nbformat.v4.new_code_cell(
                cell.source, id=f"extra-{number}", metadata={"rlcourse": {"role": "extra"}}
            )
            extras.setdefault(place, []).append(extra)
    return extras


def replaced(cell: NotebookNode, source: str) -> NotebookNode:
    return nbformat.from_dict({**cell, "source": source})


def notebook_of(cells: Iterable[NotebookNode]) -> NotebookNode:
    """A notebook of code cells without outputs, ready to be run."""
    bare = [nbformat.v4.new_code_cell(cell.source, id=cell.id, metadata={"rlcourse": meta(cell)}) for cell in cells]
    return nbformat.v4.new_notebook(cells=bare)


def tampered(released: NotebookNode, submission: NotebookNode) -> list[str]:
    """What a student did to the checks that would make them say nothing, each with its remedy."""
    faults = []
    for cell in with_role(released, "check"):
        theirs = match(released, submission)[cell.id]
        if not theirs:
            faults.append(f"the check {cell.id} is missing: copy it back from the released notebook")
        if len(theirs) > 1:
            faults.append(f"the check {cell.id} is there {len(theirs)} times: delete the copies")
        faults += [
            f"the tags of the check {cell.id} were changed to {tags}: take them off"
            for tags in (_tags(each) for each in theirs)
            if tags != _tags(cell)
        ]
    return faults


def _tags(cell: NotebookNode) -> Sequence[str]:
    tags = cell.metadata.get("tags", [])
    return tags if isinstance(tags, list) else [str(tags)]
