"""The student's own copy of the lectures is made once and completed when lectures are added; nothing is overwritten.

It holds no outputs: whoever predicts what a cell will show must not see it above.

If a lecture changes after it was copied, the new one is put beside the student's. Its name holds the hash of its
content, so one name always means the same content. The copy's `.upstream.json` holds the hashes of the lectures that
the student already has; if that file is lost, `sync` may announce a lecture twice, and nothing else happens.
"""

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

from rlcourse import files

RECORD = ".upstream.json"
SELF_CHECK = ("homework/conftest.py", "homework/.release/")  # what a homework's self-check compares with
WORKSHOPS, UNANSWERED = "workshops", "raise NotImplementedError("  # a workshop's step that nobody has written yet
HOMEWORK = "homework"  # stays as it is: its outputs are what its self-check compares with
ASKED = ("lessons.predict(", ".reveal(")  # what stands in cells that hold a question's choices or its explanation
LEFT_OUT = {"instructor", "conftest.py", "predictions.json", "__pycache__"}


def sync(source: Path, work: Path) -> list[str]:
    """Bring the copy `work` up to date with the lectures in `source`; return a line for each change worth announcing.

    A student who deletes a file of the copy gets it back afresh. A homework comes with the files of its self-check.

    Raises:
        OSError: names the path; `source` is no folder, `work` is no folder or lies in `source`, a file cannot be
            read or written.
    """
    if not source.is_dir():
        raise NotADirectoryError(f"there is no folder {source}: run this in the course's own folder, or name it")
    if work.resolve().is_relative_to(source.resolve()):
        raise FileExistsError(f"{work} lies in the lectures' own folder {source}: choose another place for the copy")
    if work.exists() and not work.is_dir():
        raise FileExistsError(f"{work} is a file: move it away, your copy of the lectures goes there")

    known = _read(work / RECORD)
    if work.is_dir():
        announcements = []
    else:
        announcements = [f"{work}: made, your own copy of the lectures. Delete a file in it to get it back afresh."]
    given = {}
    for path in _lectures(source):
        name = path.relative_to(source)
        content = path.read_bytes() if name.parts[0] == HOMEWORK else unspoiled(path.read_bytes())
        digest = sha256(content).hexdigest()
        mine = work / name
        if name.as_posix().startswith(SELF_CHECK) and not (mine.parents[1] / name.name).exists():
            mine.unlink(missing_ok=True)  # that homework comes afresh next, and old checks would judge it
        if not mine.exists():
            _create(mine, content)
            if known and not name.as_posix().startswith(SELF_CHECK):
                announcements.append(f"{mine}: {'back afresh' if name.as_posix() in known else 'new'}")
        elif known.get(name.as_posix()) != digest and mine.read_bytes() != content:
            beside = mine.with_name(f"{mine.stem}.new-{digest[:8]}{mine.suffix}")
            answers = name.parts[0] == WORKSHOPS and name.suffix == ".ipynb"
            if not beside.exists():
                _create(beside, _with_answers(content, mine.read_bytes()) if answers else content)
            if not name.as_posix().startswith(SELF_CHECK):  # the homework itself is announced
                holds = ", with your answers in it" if answers else ""
                announcements.append(
                    f"{mine}: changed since you got it. Yours is kept; beside it lies {beside.name}{holds}"
                )
        given[name.as_posix()] = digest
    files.write(work / RECORD, json.dumps(known | given, indent=1))
    return announcements


def unspoiled(content: bytes) -> bytes:
    """A notebook as a student should meet it: nothing has been run, and questions and answers have folded sources.

    Other files stay as they are.
    """
    try:
        notebook = json.loads(content)
        for cell in notebook["cells"]:
            if cell["cell_type"] == "code":
                cell["outputs"], cell["execution_count"] = [], None
                if any(call in "".join(cell["source"]) for call in ASKED):
                    cell["metadata"].setdefault("jupyter", {})["source_hidden"] = True
    except (ValueError, KeyError, TypeError):
        return content
    return _written(notebook)


def _written(notebook: Any) -> bytes:
    return json.dumps(notebook, indent=1, ensure_ascii=False).encode() + b"\n"


def _with_answers(new: bytes, old: bytes) -> bytes:
    """The new workshop, with what a student wrote into the old one: their answers and the cells that they added.

    Cells are recognised by their ids. An answer that the student has not touched comes from the new workshop.
    """
    try:
        notebook, theirs = json.loads(new), json.loads(old)["cells"]
        places = {cell["id"]: cell for cell in notebook["cells"]}
        before = None  # the student's latest cell that the new workshop has, too
        for cell in theirs:
            if (place := places.get(cell["id"])) is None:
                if not cell["metadata"].get("rlcourse"):
                    notebook["cells"].insert(0 if before is None else notebook["cells"].index(before) + 1, cell)
                    before = cell
                continue
            before = place
            written = "".join(cell["source"]).count(UNANSWERED) < "".join(place["source"]).count(UNANSWERED)
            if place["metadata"].get("rlcourse", {}).get("role") == "answer" and written:
                place["source"] = cell["source"]
    except (ValueError, KeyError, TypeError, AttributeError):  # the student's file can hold anything
        return new
    return _written(notebook)


def _lectures(source: Path) -> list[Path]:
    """All files for students, in order, without hidden files and the authors' files."""
    return [path for path in sorted(source.rglob("*")) if path.is_file() and _for_students(path.relative_to(source))]


def _for_students(name: Path) -> bool:
    hidden = any(part in LEFT_OUT or part.startswith(".") for part in name.parts)
    return not hidden or name.as_posix().startswith(SELF_CHECK)


def _read(record: Path) -> dict[str, str]:
    """The hashes by name. If the record is missing or broken there are none, and `sync` compares contents instead."""
    try:
        known = json.loads(record.read_bytes())
    except (FileNotFoundError, ValueError):
        return {}
    return {name: str(digest) for name, digest in known.items()} if isinstance(known, dict) else {}


def _create(path: Path, content: bytes) -> None:
    """Write a new file, whole or not at all; mode "x" refuses an existing one even if it appeared a moment ago."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("xb") as file:
        try:
            file.write(content)
            file.flush()
        except BaseException:
            path.unlink()
            raise
