"""Which notebook is whose, among what a learning platform's download holds."""

import csv
import hashlib
import io
import re
from dataclasses import dataclass
from pathlib import Path

COPY = re.compile(r"\s*\((\d+)\)$")  # what browsers append: "hw01 (1).ipynb"
LONGEST = 200  # bytes of a student's name, to which endings are appended; file systems allow 255
SKIPPED = ("__MACOSX", ".")


class MappingError(ValueError):
    """The list of students cannot be read; names the file and what it must hold."""


@dataclass(frozen=True)
class Entry:
    """One student's submission.

    Attributes:
        student: the name of the file or folder, or what the mapping says; a file name itself.
        name: the submitted file's, for people to find it.
        path: the notebook, None if there is none.
        notes: what a person should look at.
    """

    student: str
    name: str
    path: Path | None
    notes: tuple[str, ...] = ()


def entries(folder: Path, students: Path | None = None) -> list[Entry]:
    """One entry per student: a notebook in the folder, or a folder in it. Links are never followed.

    `students` is a CSV file with two columns, the file's or folder's name (without ending) and the student.

    Raises:
        FileNotFoundError: no such folder, or nothing in it; no such mapping.
        MappingError: the mapping is not written as it must be.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"there is no folder {folder}: name the one with the submissions")
    names = _mapping(students) if students else {}
    grouped: dict[str, list[Path]] = {}
    unknown: set[str] = set()
    for path in sorted(folder.iterdir()):
        if path.name.startswith(SKIPPED):
            continue
        whole = path.is_dir() and not path.is_symlink()
        name = path.name if whole else COPY.sub("", path.stem)
        grouped.setdefault(_presentable(names.get(name, name)), []).extend(_notebooks(path) if whole else [path])
        if names and name not in names:
            unknown.add(_presentable(name))
    if not grouped:
        raise FileNotFoundError(f"{folder} is empty: name the folder with the submissions")
    return [_entry(student, paths, folder, student in unknown) for student, paths in grouped.items()]


def _presentable(name: str) -> str:
    """A name that can be printed and be part of a file's name; a submission's can hold any bytes, up to 255."""
    name = "".join(each if each.isprintable() and each != "/" else "?" for each in name)
    digest = hashlib.sha256(name.encode()).hexdigest()[:8]
    return name if len(name.encode()) <= LONGEST else f"{name[: LONGEST // 4 - 9]}-{digest}"


def _notebooks(folder: Path) -> list[Path]:
    found = [path for path in sorted(folder.rglob("*")) if path.suffix == ".ipynb"]
    return [path for path in found if not any(part.startswith(SKIPPED) for part in path.relative_to(folder).parts)]


def _entry(student: str, paths: list[Path], folder: Path, unknown: bool) -> Entry:
    notes: tuple[str, ...] = ("not in the list of students",) if unknown else ()
    if not paths:
        return Entry(student, "", None, notes)
    newest = max(paths, key=lambda path: (_copy_number(path), path.name))
    if len(paths) > 1:
        notes += (f"{len(paths)} files, {_presentable(newest.name)} counts",)
    return Entry(student, "/".join(map(_presentable, newest.relative_to(folder).parts)), newest, notes)


def _copy_number(path: Path) -> int:
    found = COPY.search(path.stem)
    return int(found[1]) if found else 0


def _mapping(path: Path) -> dict[str, str]:
    wanted = "it must hold two columns, separated by comma or semicolon, in UTF-8"
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise MappingError(f"{path}: {error}: {wanted}") from None
    # Spreadsheets write a semicolon where the comma is the decimal mark; names hold commas, but hardly a semicolon.
    separator = ";" if ";" in text.partition("\n")[0] else ","
    names = {row[0]: row[1] for row in csv.reader(io.StringIO(text), delimiter=separator) if len(row) >= 2}
    if not names:
        raise MappingError(f"{path}: no row has a second column: {wanted}")
    return names
