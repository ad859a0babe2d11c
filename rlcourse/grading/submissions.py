"""One submitted file: read within bounds whatever it is, and its answers put into the official notebook."""

import ast
import json
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode

from rlcourse.grading.homework import experiment, graded, question, replaced, role, stub, with_role

MAX_BYTES = 20_000_000  # of a file; a homework with its plots is well under one million
MAX_CELLS = 1000
MAX_OWN = 200_000  # characters of a student's own cells together, and of a cell that is looked into
KINDS = ("code", "markdown", "raw")
SIMPLE = (ast.Constant, ast.Tuple, ast.List, ast.Dict, ast.Set, ast.Name, ast.Attribute, ast.UnaryOp)
LEAVES = (ast.Lambda, ast.expr_context, ast.unaryop)
# What IPython takes and Python does not: %magic, !command, help?, and what they return given a name.
COMMAND = re.compile(r"^([ \t]*)(?:\w[\w, ]*=[ \t]*)?(?:[%!?].*|[\w.%*]+\?{1,2}[ \t]*)$", re.MULTILINE)
TIMED = re.compile(r"^\s*%%(?:time|capture|prun)\b.*\n")  # magics under which a cell defines what it would without
TEXT = "the answer cell is no code cell: in JupyterLab, select it and press Y"


class UnreadableError(ValueError):
    """A submission that is no notebook; says why."""


def raw(path: Path) -> bytes:
    """The content of a submitted file.

    Raises:
        UnreadableError: it is a link, a pipe or a device, too large, or cannot be read.
    """
    try:
        if path.is_symlink() or not path.is_file():
            raise UnreadableError("it is a link or no file at all")
        if path.stat().st_size > MAX_BYTES:
            raise UnreadableError(f"it is larger than {MAX_BYTES / 1e6:.0f} MB: clear its outputs")
        return path.read_bytes()
    except OSError as error:
        raise UnreadableError(f"the file cannot be read: {error.strerror}") from None


def read(path: Path) -> NotebookNode:
    """A student's notebook, of any format and in any encoding, from a file that need not be one.

    Of each cell only source, kind, id, tags and what the course wrote about it are kept, as text that can be written.

    Raises:
        UnreadableError: says why.
    """
    return parsed(raw(path))


def parsed(content: bytes) -> NotebookNode:
    """As `read`, of a file's content."""
    try:
        text = content.decode(json.detect_encoding(content))
    except UnicodeDecodeError:
        text = content.decode("latin-1")  # never fails; code is ASCII nearly always
    try:
        found = json.loads(text)
    except RecursionError:
        raise UnreadableError("it is no notebook: its JSON is nested too deeply") from None
    except ValueError as error:  # a number of 5000 digits is one, too
        raise UnreadableError(f"it is no notebook: {_fault(text, error)}") from None
    if not isinstance(found, dict):
        raise UnreadableError("it is no notebook: the file holds other JSON")
    cells = found.get("cells")
    if not isinstance(cells, list):  # before 2015 they stood in worksheets
        sheets = found.get("worksheets")
        sheets = sheets if isinstance(sheets, list) else []
        cells = [each for sheet in sheets if isinstance(sheet, dict) for each in _listed(sheet.get("cells"))]
    if not cells:
        raise UnreadableError("it is no notebook: it has no cells")
    if len(cells) > MAX_CELLS:
        raise UnreadableError(f"it has {len(cells)} cells, at most {MAX_CELLS} are read")
    kept = [cell for each in cells if (cell := _cell(each)) is not None]
    return nbformat.from_dict({"cells": kept, "metadata": {"rlcourse": _about(found)}})


def _fault(text: str, error: ValueError) -> str:
    """Why a text is no JSON, in words for who handed it in."""
    if not text.strip():
        return "the file is empty"
    if isinstance(error, json.JSONDecodeError):
        return f"it is damaged or cut short at line {error.lineno}" if error.pos else "its content is something else"
    return str(error)[:100]


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _cell(found: Any) -> dict[str, Any] | None:
    if not isinstance(found, dict):
        return None
    source = found.get("source", found.get("input"))
    if isinstance(source, list):
        source = "".join(each for each in source if isinstance(each, str))
    if found.get("cell_type") not in KINDS or not isinstance(source, str):
        return None
    about = found.get("metadata")
    tags = about.get("tags") if isinstance(about, dict) else None
    cell = {
        "cell_type": found["cell_type"],
        "source": _writable(source),
        "metadata": {"rlcourse": _about(found), "tags": [_writable(str(tag)[:100]) for tag in _listed(tags)[:20]]},
    }
    if isinstance(found.get("id"), str):
        cell["id"] = _writable(found["id"][:100])
    return cell


def _about(found: dict[str, Any]) -> dict[str, str]:
    """What the course wrote about a cell or a notebook: words only, a student's may be anything."""
    about = found.get("metadata")
    words = about.get("rlcourse") if isinstance(about, dict) else None
    words = words if isinstance(words, dict) else {}
    return {
        key: _writable(words[key][:100]) for key in ("role", "question", "homework") if isinstance(words.get(key), str)
    }


def _writable(text: str) -> str:
    return text.encode(errors="replace").decode()  # JSON can hold halves of characters


@dataclass(frozen=True)
class Graft:
    """A student's answers in the place of the official ones.

    Attributes:
        cells: code cells in the order in which to run them; a student's own have a role of `OWN`.
        notes: what a person should look at.
        left_out: what of the submission is not run, for its author.
    """

    cells: list[NotebookNode]
    notes: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)


def graft(released: NotebookNode, submission: NotebookNode) -> Graft:
    """Put into `released` the student's answers, and their own cells after the cell that they follow.

    Hidden checks come before what follows the visible check in the student's notebook, where an answer may be tried out
    and its name given away: nothing there says that a hidden check is to follow.
    Of an own cell the definitions come first, by themselves, so that they are there even if the rest of it takes too
    long. What a student added to a setup cell is run before that cell, of an experiment only the definitions.
    """
    owner = {id(theirs): name for name, found in match(released, submission).items() for theirs in found}
    official, originals = graded(released), {cell.id: cell for cell in released.cells}
    behind = _behind_hidden(official)
    places = {cell.id: number for number, cell in enumerate(official)}
    last = max((n for n, cell in enumerate(official) if role(cell) != "hidden"), default=0)
    before: dict[str, list[NotebookNode]] = {}
    after: dict[str | None, list[NotebookNode]] = {}
    parts: dict[str, list[str]] = {}
    notes, left_out, place, total = [], [], None, 0
    texts = set()
    for number, theirs in enumerate(submission.cells):
        name = owner.get(id(theirs))
        place = behind.get(name, name) if name is not None and name in places else place
        kind = role(originals[name]) if name is not None else None
        if theirs.cell_type != "code":
            texts |= {name} if kind == "answer" else set()
            continue
        if kind == "answer":
            parts.setdefault(str(name), []).append(theirs.source)
        elif kind == "check":
            if not _same(theirs.source, originals[name].source):
                left_out.append(f"your change of the check {name}: it runs as released")
        elif name is not None and _same(theirs.source, originals[name].source):
            pass
        elif (total := total + len(theirs.source)) > MAX_OWN:
            left_out.append(f"your own cell {number + 1}: with those before it, it is longer than {MAX_OWN} characters")
        elif experiment(originals[name] if name is not None else theirs):
            after.setdefault(place, []).extend(_own(number, theirs.source, whole=False))
        elif name is not None:
            before.setdefault(name, []).extend(_own(number, theirs.source))
        else:
            whole = places.get(place, 0) < last  # after the last check there is nothing left that could need it
            after.setdefault(place, []).extend(_own(number, theirs.source, whole))
    cells = after.get(None, [])
    for cell in official:
        if role(cell) == "answer":
            source, note = _answer(parts.get(cell.id, []), stub(cell.source))
            note = TEXT if note is not None and cell.id in texts and cell.id not in parts else note
            notes += [f"{question(cell)}: {note}"] if note else []
            cell = replaced(cell, source)
        cells += [*before.get(cell.id, []), cell, *after.get(cell.id, [])]
    return Graft(cells, notes, left_out)


def _answer(parts: Sequence[str], empty: str) -> tuple[str, str | None]:
    """What the cells for an answer make together, as in the student's notebook, and a note if there is none or many.

    A copy that was left empty, or that is no Python, does not spoil the others.
    """
    if not parts:
        return empty, "the answer cell is missing"
    if len(parts) == 1:
        return parts[0], None
    filled = [part for part in parts if not _same(part, empty)] or parts[:1]
    good = [part for part in filled if tree(part) is not None] or filled[:1]
    whole = "\n\n".join([*good[:1], *(TIMED.sub("", part) for part in good[1:])])
    return whole, f"{len(parts)} answer cells, run one after the other" if len(good) > 1 else None


def _behind_hidden(official: Sequence[NotebookNode]) -> dict[str, str]:
    """For each cell that hidden checks follow, the last of them."""
    found: dict[str, str] = {}
    for cell, following in reversed([*pairwise(official)]):
        if role(following) == "hidden":
            found[cell.id] = found.get(following.id, following.id)
    return found


def _same(source: str, other: str) -> bool:
    """Up to blanks, and to the comment by which nbval knows a check."""
    first, second = (re.sub(r"# NBVAL_\w+", "", text).split() for text in (source, other))
    return first == second


def _own(number: int, source: str, whole: bool = True) -> Iterator[NotebookNode]:
    texts = {"definitions": definitions(source), "extra": source if whole else ""}
    for kind, text in texts.items():
        if text:
            cell = {"cell_type": "code", "id": f"own-{number}-{kind}", "source": text}
            yield nbformat.from_dict({**cell, "metadata": {"rlcourse": {"role": kind}}})


def tree(source: str) -> ast.Module | None:
    """None if it is no Python, or too long; IPython's own commands are taken for `pass`."""
    # As it stands first: a line of Python may begin with != or %, too.
    for text in (source, COMMAND.sub(r"\1pass", source)) if len(source) <= MAX_OWN else ():
        with suppress(SyntaxError, ValueError, RecursionError, MemoryError):
            return ast.parse(text)
    return None


def definitions(source: str) -> str:
    """The imports, functions, classes and plain values of a cell: what takes no time and others may need."""
    program = tree(source)
    try:
        return "\n".join(ast.unparse(node) for node in (program.body if program else []) if _defines(node))
    except RecursionError:
        return ""


def _defines(node: ast.stmt) -> bool:
    if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
        return _simple(node.value)
    return isinstance(node, ast.Import | ast.ImportFrom | ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)


def _simple(node: ast.AST) -> bool:
    if isinstance(node, LEAVES):
        return True
    return isinstance(node, SIMPLE) and all(_simple(child) for child in ast.iter_child_nodes(node))


def match(released: NotebookNode, submission: NotebookNode) -> dict[str, list[NotebookNode]]:
    """The student's cells for each released one: same id, or else an answer or check of the same question.

    An answer of which no cell is left may stand in cells of one's own: those that define what it is to define.
    """
    by_mark = {(role(cell), question(cell)): cell.id for cell in with_role(released, "answer", "check")}
    matches: dict[str, list[NotebookNode]] = {cell.id: [] for cell in released.cells}
    for cell in submission.cells:
        name = cell.get("id")
        found = name if name in matches else by_mark.get((role(cell), question(cell)))
        if found is not None:
            matches[found].append(cell)
    missing = {cell.id: _defined(stub(cell.source)) for cell in with_role(released, "answer") if not matches[cell.id]}
    taken = {id(cell) for found in matches.values() for cell in found}
    for cell in submission.cells if missing else []:
        if cell.cell_type == "code" and id(cell) not in taken:
            there = _defined(cell.source)
            for name in (name for name, wanted in missing.items() if wanted & there):
                matches[name].append(cell)
                break
    return matches


def _defined(source: str) -> set[str]:
    """The names that a cell gives to functions and values, outside of functions."""
    program = tree(source)
    body = [] if program is None else program.body
    targets = [each for node in body if isinstance(node, ast.Assign) for each in node.targets]
    functions = {node.name for node in body if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    return functions | {each.id for each in targets if isinstance(each, ast.Name)}


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
            for tags in (each.metadata.get("tags", []) for each in theirs)
            if tags != cell.metadata.get("tags", [])
        ]
    return faults
