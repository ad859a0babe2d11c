"""Who handed in which file, among what a learning platform lets one download, and who of the list did not."""

import csv
import hashlib
import io
import os
import re
import unicodedata
import zipfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from rlcourse.grading.homework import meta
from rlcourse.grading.submissions import MAX_BYTES, UnreadableError, read

# What people and programs append to a name: "hw01 (1)", "hw01-Copy1", "hw01 - Copy (2)", "s00_late".
SUFFIX = re.compile(
    r"[\s_-]*(?:\((?P<number>\d{1,4})\)|(?P<copy>[\s_-]copy[\s_-]*\d{0,4})|(?P<late>[\s_-]late))$", re.I
)
# Canvas writes "_LATE_" in the middle.
LATE = re.compile(r"_LATE_")
IDS = ("id", "identifier", "id number", "student id", "username", "sis user id", "email address", "email")
NAMES = ("name", "full name", "student", "student name")
GRADES = ("grade", "points", "score")
LONGEST = 200  # bytes of a student's key, to which endings are appended; file systems allow 255
SKIPPED = ("__MACOSX", ".")
DEPTH, FILES = 8, 5000  # how deep a submission's folders are looked into, and how many files of it
ZIPPED = 5 * MAX_BYTES  # of a student's zip file
UNPACKED = 10 * MAX_BYTES  # of all that a student packed
# Browsers and Windows append to a name what they take for the kind of a file.
NOTEBOOK = re.compile(r"\.ipynb(?:\.(?:txt|json))?$", re.I)


class MappingError(ValueError):
    """The list of students cannot be read; names the file and what it must hold."""


@dataclass(frozen=True)
class Entry:
    """One student's submission.

    Attributes:
        student: the key: the id in the list, or else the name of the file or folder; a file can be called so.
        submission: the submitted file's name, for people to find it; empty if nothing was handed in.
        path: the notebook, None if there is none.
        notes: what a person should look at.
        name: the student's, for people to read.
    """

    student: str
    submission: str
    path: Path | None
    notes: tuple[str, ...] = ()
    name: str = ""


@dataclass(frozen=True)
class Roster:
    """The list of students: two columns, or a table of a learning platform with its own headings."""

    rows: tuple[tuple[str, ...], ...]
    heading: tuple[str, ...] = ()
    ids: int = 0
    names: int = 1

    def students(self) -> dict[str, str]:
        """Names by id."""
        return {row[self.ids].strip(): row[self.names] for row in self.rows if row[self.ids].strip()}

    def find(self, name: str) -> str | None:
        """The id of the one student whom a file's or folder's name means; None if none or several fit."""
        found = self.students()
        words = {_folded(word) for word in name.split("_")}  # as platforms put them together; people write "hw 3 Anna"
        exact = [each for each in found if _folded(each) == _folded(name)]
        # Moodle's table says "Participant 12", the folder's name is "Ana Díaz_12_assignsubmission_file_".
        of_ids = {each: each.split()[-1] for each in found if " " not in each or each[-1].isdigit()}  # no surnames
        numbered = [each for each, last in of_ids.items() if _folded(last) in words]
        named = [each for each in found if _folded(found[each]) in (_folded(name), _folded(name.partition("_")[0]))]
        for fitting in (exact, numbered, named):
            if fitting:
                return fitting[0] if len(fitting) == 1 else None
        return None

    def filled(self, grades: dict[str, str], title: str) -> list[list[str]]:
        """The same table with the grades in its column of grades, or in a new one of this title."""
        heading = [each.strip().casefold() for each in self.heading]
        titled = [n for n, each in enumerate(heading) if each.startswith(title.casefold())]
        place = next(iter(titled + [n for n, each in enumerate(heading) if each in GRADES]), None)
        table = [[*self.heading]] if self.heading else []
        table += [list(row) for row in self.rows]
        for number, row in enumerate(table):
            first = self.heading and number == 0
            value = title if first else grades.get(presentable(row[self.ids].strip()), "")
            if place is None:
                row.append(value)
            elif not first and value:
                row[place] = value
        return table


def roster(path: Path) -> Roster:
    """Read the list of students.

    Raises:
        FileNotFoundError: there is none.
        MappingError: it is not written as it must be.
    """
    wanted = "it must hold two columns, separated by comma or semicolon, in UTF-8"
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise MappingError(f"{path}: {error}: {wanted}") from None
    # Spreadsheets write a semicolon where the comma is the decimal mark; names hold commas, but hardly a semicolon.
    separator = ";" if ";" in text.partition("\n")[0] else ","
    try:
        rows = [row for row in csv.reader(io.StringIO(text), delimiter=separator) if len(row) >= 2]
    except csv.Error as error:
        raise MappingError(f"{path}: {error}: {wanted}") from None
    if not rows:
        raise MappingError(f"{path}: no row has a second column: {wanted}")
    width = max(map(len, rows))
    table = [tuple(row + [""] * (width - len(row))) for row in rows]
    words = [word.strip().casefold() for word in table[0]]
    ids = next((words.index(each) for each in IDS if each in words), None)
    if ids is None:
        found = Roster(tuple(table))
    else:
        names = next((words.index(each) for each in NAMES if each in words and words.index(each) != ids), ids)
        found = Roster(tuple(table[1:]), table[0], ids, names)
    keys = [key for row in found.rows if (key := row[found.ids].strip())]
    if double := next((key for key in keys if keys.count(key) > 1), None):
        raise MappingError(f"{path}: {double!r} stands there twice: one row for each student")
    return found


def entries(folder: Path, homework: str, scratch: Path, students: Roster | None = None) -> list[Entry]:
    """One entry per student: a notebook in the folder, a folder in it, or a zip file; and all others of the list.

    Links are never followed. Zip files, `folder` may be one, are unpacked into `scratch`.

    Raises:
        FileNotFoundError: no such folder, or nothing in it.
    """
    if not folder.exists():
        raise FileNotFoundError(f"there is no folder {folder}: name the one with the submissions")
    packed: dict[str, str] = {}
    if not folder.is_dir():
        try:
            folder, packed = _unpacked_class(folder, scratch)
        except UnreadableError as error:
            raise FileNotFoundError(f"{folder} is neither a folder nor a zip file that can be read: {error}") from None
    grouped: dict[str, list[Path]] = {}
    faults: dict[str, list[str]] = {}
    spent: dict[str, Counter[str]] = {}
    for path in sorted({*folder.iterdir(), *(folder / name for name in packed)}):
        if path.name.startswith(SKIPPED):
            continue
        whole = path.is_dir() and not path.is_symlink()
        name = LATE.sub("_", _stripped(path.name if whole else _stem(path)))
        key = (students.find(name) if students else None) or name
        found: list[Path] = []
        try:
            if path.name in packed:
                raise UnreadableError(packed[path.name])
            for one in _files(path) if whole else [path]:
                zipped = one.suffix.lower() == ".zip"
                found += _notebooks(one, scratch, spent.setdefault(key, Counter())) if zipped else [one]
        except UnreadableError as error:
            found = []
            faults.setdefault(key, []).append(str(error))
        grouped.setdefault(key, []).extend(each for each in found if NOTEBOOK.search(each.name) or not whole)
    if not grouped:
        raise FileNotFoundError(f"{folder} is empty: name the folder with the submissions")
    names = students.students() if students else {}
    keys: dict[str, str] = {}
    found_entries = []
    for raw, paths in grouped.items():
        notes = faults.get(raw, [])
        key = presentable(raw)
        if key.casefold() in keys:  # two names that look the same, or that some file systems take for one
            key = presentable(f"{key}-{_digest(raw)}")
            notes.append(f"its name looks like that of {keys[presentable(raw).casefold()]}")
        keys[key.casefold()] = key
        if names and raw not in names:
            notes.append("not in the list of students")
        found_entries.append(_entry(key, names.get(raw, ""), paths, (folder, scratch), homework, notes))
    missing = [
        Entry(presentable(each), "", None, name=presentable(names[each])) for each in names if each not in grouped
    ]
    return sorted([*found_entries, *missing], key=lambda each: each.student)


def presentable(name: str) -> str:
    """A name that can be printed and be part of a file's name, another one for each; any bytes, up to 255, may come."""
    seen = "".join(each if each.isprintable() and each not in "/\\" else "?" for each in name)
    if seen in ("", ".", ".."):
        seen = "?"
    if len(seen.encode()) > LONGEST:
        seen = seen[: LONGEST // 4 - 9]
    return seen if seen == name else f"{seen}-{_digest(name)}"


def _digest(name: str) -> str:
    return hashlib.sha256(os.fsencode(name)).hexdigest()[:8]


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", name).strip().casefold()


def _stripped(stem: str) -> str:
    while (found := SUFFIX.search(stem)) and found.start():
        stem = stem[: found.start()]
    return stem


def _stem(path: Path) -> str:
    return NOTEBOOK.sub("", path.name) if NOTEBOOK.search(path.name) else path.stem


def _rank(path: Path) -> tuple[bool, bool, int, str]:
    """What was handed in late counts first; then the highest number that a browser gave; last what is called a copy."""
    late, plain, number, stem = False, True, 0, _stem(path)
    while (found := SUFFIX.search(stem)) and found.start():
        late, plain = late or bool(found["late"]), plain and not found["copy"]
        number = max(number, int(found["number"] or 0))
        stem = stem[: found.start()]
    return late or bool(LATE.search(stem)), plain, number, path.name


def _files(folder: Path) -> Iterator[Path]:
    """The notebooks and zip files in a folder, within bounds.

    Raises:
        UnreadableError: it holds too much or cannot be read.
    """
    todo, seen = [(folder, 0)], 0
    while todo:
        place, depth = todo.pop()
        if depth > DEPTH:
            raise UnreadableError(f"its folders are nested more than {DEPTH} deep")
        try:
            with os.scandir(place) as found:
                for each in found:
                    if (seen := seen + 1) > FILES:
                        raise UnreadableError(f"it holds more than {FILES} files")
                    if each.name.startswith(SKIPPED):
                        continue
                    if each.is_dir(follow_symlinks=False):
                        todo.append((Path(each.path), depth + 1))
                    elif _of_use(each.name):
                        yield Path(each.path)
        except OSError as error:
            raise UnreadableError(f"a folder cannot be read: {error.strerror}") from None


def _of_use(name: str) -> bool:
    return NOTEBOOK.search(name) is not None or name.lower().endswith(".zip")


def _notebooks(path: Path, scratch: Path, spent: Counter[str]) -> list[Path]:
    return [each for each in _files(unpack(path, scratch, spent)) if NOTEBOOK.search(each.name)]


def unpack(path: Path, scratch: Path, spent: Counter[str]) -> Path:
    """Unpack the notebooks and zip files of a student's zip file into a new folder in `scratch`; nothing leaves it.

    Args:
        spent: files and bytes that this student's zip files took so far.

    Raises:
        UnreadableError: it is none, is damaged, holds too much, or has a password.
    """
    if path.is_symlink():
        raise UnreadableError("it is a link or no file at all")
    if path.stat().st_size > ZIPPED:
        raise UnreadableError(f"the zip file is larger than {ZIPPED / 1e6:.0f} MB")
    target = _new_folder(scratch)
    with _opened(path) as file:
        for member, parts in _members(file):
            _extract(file, member, target.joinpath(*parts), spent)
    return target


def _unpacked_class(path: Path, scratch: Path) -> tuple[Path, dict[str, str]]:
    """Unpack a zip file in which each folder or file is a student's, and say what is wrong with whose.

    Raises:
        UnreadableError: it is no zip file at all.
    """
    target, faults = _new_folder(scratch), dict[str, str]()
    spent: dict[str, Counter[str]] = {}
    with _opened(path) as file:
        for member, parts in _members(file):
            owner, place = parts[0], target.joinpath(*parts)
            place.parent.mkdir(parents=True, exist_ok=True)
            if owner not in faults:
                try:
                    _extract(file, member, place, spent.setdefault(owner, Counter()))
                except UnreadableError as error:
                    faults[owner] = str(error)
    return target, faults


def _new_folder(scratch: Path) -> Path:
    target = scratch / f"zip-{len(list(scratch.iterdir()))}"
    target.mkdir(parents=True)
    return target


@contextmanager
def _opened(path: Path) -> Iterator[zipfile.ZipFile]:
    """A zip file; whatever goes wrong with it, what Python's library raises is in words."""
    try:
        with zipfile.ZipFile(path) as file:
            yield file
    except UnreadableError:
        raise
    except Exception as error:  # of a damaged file BadZipFile, zlib.error, struct.error, EOFError, ...
        raise UnreadableError(f"the zip file cannot be read: {error}") from None


def _members(file: zipfile.ZipFile) -> Iterator[tuple[zipfile.ZipInfo, list[str]]]:
    """What is of use in a zip file, and its place: whatever a name says, below the folder that it is unpacked into."""
    for member in file.infolist():
        parts = PurePosixPath(member.filename.replace("\\", "/")).parts
        safe = [presentable(part) for part in parts if part not in ("/", "..") and ":" not in part]
        link = member.external_attr >> 28 == 0xA
        if safe and not link and _of_use(safe[-1]) and not any(part.startswith(SKIPPED) for part in safe):
            yield member, [*safe[:1], *safe[1:][-DEPTH:]]


def _extract(file: zipfile.ZipFile, member: zipfile.ZipInfo, place: Path, spent: Counter[str]) -> None:
    """Write a member of a zip file, beside another one of its name.

    Raises:
        UnreadableError: it is damaged, or its owner packed too much.
    """
    most = ZIPPED if member.filename.lower().endswith(".zip") else MAX_BYTES
    try:
        with file.open(member) as content:
            data = content.read(most + 1)  # one more than is read later: it will be called too large
    except Exception as error:
        raise UnreadableError(f"the zip file cannot be read: {error}") from None
    spent.update(files=1, bytes=len(data))
    if spent["files"] > FILES:
        raise UnreadableError(f"it holds more than {FILES} files")
    if spent["bytes"] > UNPACKED:
        raise UnreadableError(f"it unpacks to more than {UNPACKED / 1e6:.0f} MB")
    place.parent.mkdir(parents=True, exist_ok=True)
    while place.exists():
        place = place.with_name(f"{spent['files']}-{place.name}")
    place.write_bytes(data)


def _entry(
    student: str, name: str, paths: Sequence[Path], bases: Sequence[Path], homework: str, notes: Sequence[str]
) -> Entry:
    notes, name = tuple(notes), presentable(name) if name else ""
    if not paths:
        return Entry(student, "", None, notes or ("there is no notebook",), name)
    chosen = paths[0]
    if len(paths) > 1:
        chosen = max(paths, key=lambda each: (_fits(each, homework), *_rank(each)))
        notes += (f"{len(paths)} files, {presentable(chosen.name)} counts",)
    base = next((each for each in reversed(bases) if chosen.is_relative_to(each)), chosen.parent)
    return Entry(student, "/".join(map(presentable, chosen.relative_to(base).parts)), chosen, notes, name)


def _fits(path: Path, homework: str) -> int:
    """2: it says that it is this homework; 1: it does not say; 0: it is another one, or no notebook."""
    try:
        said = meta(read(path)).get("homework")
    except UnreadableError:
        return 0
    return 2 if said == homework else 1 if said is None else 0
