"""`rlcourse release`: from the instructor's source to what students get, with nothing of the solution left in it."""

import posixpath
import re
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode

from rlcourse.grading import checks
from rlcourse.grading.homework import BEGIN, END, SOLUTION, load, meta, replaced, role, stub, with_role
from rlcourse.operations.publish import KERNELSPEC, lectures, sources_hash

SOURCES = Path("notebooks/instructor")
STUDENTS = Path("notebooks/homework")
WORKSHOPS = "workshops"  # the name of their folder, beside the homework's and below the sources
PRISTINE = ".release"
CHECKED = "# NBVAL_CHECK_OUTPUT"
PRIVATE = ("notebooks/instructor/", "tests/grading/", "tests/notebooks/test_workshops.py", "tests/test_complete.py")
LINK = re.compile(rb"\[([^\]]*)\]\(([^)\s]+)\)")
CELL_TIMEOUT = 120  # seconds, for the solution; a student's answers have the homework's own `seconds`
SHORTEST_LEAK = 16  # characters; shorter lines (`return target`) are no secret


class LeakError(ValueError):
    """A line of a solution or of a hidden check stands in what students would get."""


class UnsolvedError(ValueError):
    """The solution raises, or does not pass the homework's own checks."""


def release(source: Path, target: Path) -> None:
    """Write the student's notebook into the folder `target`; a homework again into its `.release`.

    Raises:
        HomeworkError: the source is not written as it must be.
        UnsolvedError: the solution raises or fails a check; names the cell.
        LeakError: a secret line would get out; names it.
    """
    notebook = load(source)
    released, references = student_version(notebook, source.stem), _checked_outputs(source)
    if graded(notebook):  # a workshop has no secrets: the course's own version is one click away
        for cell, outputs in zip(with_role(released, "check"), references, strict=True):
            cell.outputs, cell.execution_count = outputs, 1
        check_leaks(secret_lines(notebook), nbformat.writes(released), f"{source}, as students get it")
    for folder in (target, target / PRISTINE) if graded(notebook) else (target,):
        folder.mkdir(parents=True, exist_ok=True)
        nbformat.write(released, folder / source.name)


def graded(source: NotebookNode) -> bool:
    """Whether it is a homework; a workshop is not graded, so nothing in it is protected or kept for comparison."""
    return bool(meta(source).get("graded", True))


def student_version(source: NotebookNode, name: str) -> NotebookNode:
    """The released notebook, its references still missing."""
    cells = []
    for cell in source.cells:
        if role(cell) in ("hidden", "notes"):
            continue
        cell = replaced(cell, stub(cell.source))
        cell.metadata = {"rlcourse": meta(cell)} if meta(cell) else {}
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
        if role(cell) not in ("answer", "show") and graded(source):  # experiments and pictures are never graded
            cell.metadata |= {"deletable": False, "editable": False}
        if role(cell) == "check":
            cell.metadata["jupyter"] = {"source_hidden": True}  # students read verdicts; the code is one click away
            if graded(source):
                cell.source = f"{CHECKED}\n{cell.source}"
        cells.append(cell)
    kind = "homework" if graded(source) else "workshop"
    about = {kind: name, "seconds": meta(source)["seconds"], "source": sources_hash(source)}
    return nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": KERNELSPEC, "rlcourse": about})


def _checked_outputs(path: Path) -> list[list[NotebookNode]]:
    """What the visible checks print about the solution. Hidden cells go first: nothing of theirs is ever executed."""
    notebook = load(path)
    # Nor are a workshop's races run: their verdicts have a test of their own.
    left_out = ("hidden",) if graded(notebook) else ("hidden", "show")
    notebook.cells = [cell for cell in notebook.cells if role(cell) not in left_out]

    def refuse(cell: NotebookNode, cell_index: int, execute_reply: dict[str, Any]) -> None:
        error = execute_reply["content"]
        raise UnsolvedError(f"{path}, cell {cell.id}: the solution raises {error['ename']}: {error['evalue']}")

    with TemporaryDirectory() as folder:
        client = NotebookClient(notebook, timeout=CELL_TIMEOUT, coalesce_streams=True, on_cell_error=refuse)
        client.execute(cwd=folder)
    for cell in with_role(notebook, "check"):
        verdicts = checks.marked("".join(output.get("text", "") for output in cell.outputs))
        if not verdicts or any(line.startswith(checks.WRONG) for line in verdicts):
            raise UnsolvedError(f"{path}, cell {cell.id}: the solution fails its own check: {verdicts or 'no verdict'}")
    return [cell.outputs for cell in with_role(notebook, "check")]


def secret_lines(source: NotebookNode) -> set[str]:
    """Every line of a solution, a hidden check or the notes that is long enough to give something away."""
    hidden = [cell.source for cell in with_role(source, "hidden", "notes")]
    solutions = [found[0] for cell in with_role(source, "answer") for found in SOLUTION.finditer(cell.source)]
    lines = {line.strip() for text in hidden + solutions for line in text.splitlines()}
    return {line for line in lines - {BEGIN, END} if len(line) >= SHORTEST_LEAK}


def check_leaks(secrets: Iterable[str], text: str, name: str) -> None:
    """Search any text, JSON too, for what it must not hold; `name` says where it is from.

    Raises:
        LeakError: names the place and the line.
    """
    for line in sorted(secrets):
        in_json = line.replace("\\", "\\\\").replace('"', '\\"')
        if line in text or (in_json != line and in_json in text):
            raise LeakError(f"{name}: a secret line would be released: {line}: reword it there, or in the solution")


def release_all(paths: Iterable[Path], target: Path) -> None:
    """Release each source among the paths and in the folders among them, workshops into the folder beside."""
    for path in lectures(paths):
        release(path, target if graded(load(path)) else target.parent / WORKSHOPS)


def student_edition(root: Path, target: Path) -> None:
    """Copy the repository without instructor sources, hidden checks and mutants; links to these become plain words.

    Raises:
        FileExistsError: the target is there already.
        FileNotFoundError: the root is no git checkout; says why.
        LeakError: a secret line is in some other file; names it.
    """
    if target.exists():
        raise FileExistsError(f"{target} exists: name a new folder")
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=root, capture_output=True, text=True)
    if listing.returncode:
        reason = listing.stderr.strip()
        raise FileNotFoundError(f"git lists no files in {root} ({reason}): run this in the course's own git checkout")
    names = [name for name in listing.stdout.split("\0") if name and not name.startswith(PRIVATE)]
    secrets = {line for path in (root / SOURCES).glob("hw*.ipynb") for line in secret_lines(load(path))}
    for name in names:
        check_leaks(secrets, (root / name).read_text(encoding="utf-8", errors="ignore"), str(name))
    for name in names:
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(root / name, target / name)
        if name.endswith(".md"):
            (target / name).write_bytes(_without_private_links((root / name).read_bytes(), posixpath.dirname(name)))


def _without_private_links(text: bytes, folder: str) -> bytes:
    def kept(found: re.Match[bytes]) -> bytes:
        goal = posixpath.normpath(posixpath.join(folder, found[2].decode(errors="replace")))
        return found[1] if f"{goal}/".startswith(PRIVATE) else found[0]

    return LINK.sub(kept, text)
