"""Which notebook is whose, among what a learning platform's download holds."""

import csv
import re
from dataclasses import dataclass
from pathlib import Path

COPY = re.compile(r"\s*\((\d+)\)$")  # what browsers append: "hw01 (1).ipynb"
SKIPPED = ("__MACOSX", ".")


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
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"there is no folder {folder}: name the one with the submissions")
    names = _mapping(students) if students else {}
    grouped: dict[str, list[Path]] = {}
    for path in sorted(folder.iterdir()):
        if path.name.startswith(SKIPPED):
            continue
        if path.is_dir() and not path.is_symlink():
            grouped.setdefault(path.name, []).extend(_notebooks(path))
        else:
            grouped.setdefault(COPY.sub("", path.stem), []).append(path)
    if not grouped:
        raise FileNotFoundError(f"{folder} is empty: name the folder with the submissions")
    return [_entry(names.get(name, name), paths, folder, name in names or not names) for name, paths in grouped.items()]


def _notebooks(folder: Path) -> list[Path]:
    found = [path for path in sorted(folder.rglob("*")) if path.suffix == ".ipynb"]
    return [path for path in found if not any(part.startswith(SKIPPED) for part in path.relative_to(folder).parts)]


def _entry(student: str, paths: list[Path], folder: Path, known: bool) -> Entry:
    notes: tuple[str, ...] = () if known else ("not in the list of students",)
    if not paths:
        return Entry(student, "", None, notes)
    newest = max(paths, key=lambda path: (_copy_number(path), path.name))
    if len(paths) > 1:
        notes += (f"{len(paths)} files, {newest.name} counts",)
    return Entry(student, newest.relative_to(folder).as_posix(), newest, notes)


def _copy_number(path: Path) -> int:
    found = COPY.search(path.stem)
    return int(found[1]) if found else 0


def _mapping(path: Path) -> dict[str, str]:
    with path.open(newline="", encoding="utf-8-sig") as file:
        return {row[0]: row[1] for row in csv.reader(file) if len(row) >= 2}
