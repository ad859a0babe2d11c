"""Who handed in what: names as platforms, browsers and file systems write them; lists; zip files."""

import json
import os
import zipfile
from pathlib import Path

import pytest

from rlcourse.grading import persons
from rlcourse.grading.persons import Entry, MappingError, entries, presentable, roster


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    (tmp_path / "scratch").mkdir()
    return tmp_path / "scratch"


def hand_in(folder: Path, *names: str, homework: str | None = "hw01") -> Path:
    """Notebooks of these names."""
    about = {} if homework is None else {"homework": homework}
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        cell = {"cell_type": "code", "source": "", "metadata": {}}
        (folder / name).write_text(json.dumps({"cells": [cell], "metadata": {"rlcourse": about}}))
    return folder


def found(folder: Path, scratch: Path, rows: str | None = None) -> dict[str, Entry]:
    people = None
    if rows is not None:
        (scratch / "list.csv").write_text(rows, encoding="utf-8")
        people = roster(scratch / "list.csv")
    return {each.student: each for each in entries(folder, "hw01", scratch, people)}


def test_names_as_platforms_write_them(tmp_path: Path, scratch: Path) -> None:
    folder = hand_in(tmp_path / "class", "ana_12_hw01.ipynb", "ana_12_hw01 (2).ipynb", "ana_12_hw01 (10).ipynb")
    hand_in(folder, "bob.ipynb", "Cem Öz/a/hw01.ipynb", "Cem Öz/.ipynb_checkpoints/hw01-checkpoint.ipynb")
    hand_in(folder, "__MACOSX/hw01.ipynb", ".DS_Store", "dia_LATE_7_8_hw01-1.ipynb")
    (folder / "link").symlink_to("/")
    there = found(folder, scratch)
    assert list(there) == ["Cem Öz", "ana_12_hw01", "bob", "dia_7_8_hw01-1", "link"]
    assert there["ana_12_hw01"].submission == "ana_12_hw01 (10).ipynb"
    assert there["ana_12_hw01"].notes == ("3 files, ana_12_hw01 (10).ipynb counts",)
    assert there["Cem Öz"] == Entry("Cem Öz", "Cem Öz/a/hw01.ipynb", folder / "Cem Öz/a/hw01.ipynb")


@pytest.mark.parametrize(
    ("names", "counts"),
    [
        (["s00.ipynb", "s00_late.ipynb"], "s00_late.ipynb"),
        (["s00.ipynb", "s00-copy.ipynb", "s00-Copy1.ipynb"], "s00.ipynb"),
        (["s00 (2).ipynb", "s00 (3).ipynb", "s00 - Copy (9).ipynb"], "s00 (3).ipynb"),
        (["s00(1).ipynb", "s00.ipynb"], "s00(1).ipynb"),
    ],
)
def test_copies_belong_to_one_student(tmp_path: Path, scratch: Path, names: list[str], counts: str) -> None:
    (only,) = found(hand_in(tmp_path / "class", *names), scratch).values()
    assert (only.student, only.submission) == ("s00", counts)
    assert only.notes == (f"{len(names)} files, {counts} counts",)


@pytest.mark.parametrize("name", ["s00.IPYNB", "s00.ipynb.txt", "s00.ipynb.json", "s00/hw01.ipynb.txt", "s00/A.IPYNB"])
def test_a_name_with_another_ending_is_a_notebook_too(tmp_path: Path, scratch: Path, name: str) -> None:
    (only,) = found(hand_in(tmp_path / "class", name), scratch).values()
    assert (only.student, only.submission, only.notes) == ("s00", name, ())


def test_the_notebook_of_this_homework_counts(tmp_path: Path, scratch: Path) -> None:
    folder = hand_in(tmp_path / "class", "ana/hw01.ipynb", "ana/my notes (5).ipynb", homework=None)
    hand_in(folder, "ana/final.ipynb")
    hand_in(folder, "ana/hw02 (9).ipynb", "ana/zz.ipynb", homework="hw02")
    assert found(folder, scratch)["ana"].submission == "ana/final.ipynb"
    (folder / "ana" / "final.ipynb").unlink()
    assert found(folder, scratch)["ana"].submission == "ana/my notes (5).ipynb"


def test_two_people_of_one_name_are_two_rows(tmp_path: Path, scratch: Path) -> None:
    folder = hand_in(tmp_path / "class", "s1.ipynb", "s2.ipynb", "s9.ipynb")
    there = found(folder, scratch, "s1,Anna Müller\ns2,Anna Müller\ns3,Bo\n")
    assert [(each.student, each.name, each.submission, each.notes) for each in there.values()] == [
        ("s1", "Anna Müller", "s1.ipynb", ()),
        ("s2", "Anna Müller", "s2.ipynb", ()),
        ("s3", "Bo", "", ()),  # of the list, with nothing handed in
        ("s9", "", "s9.ipynb", ("not in the list of students",)),
    ]


def test_invisible_characters_do_not_merge_people(tmp_path: Path, scratch: Path) -> None:
    names = ["ana", "ana\u200b", "ana\u200d", "an\u0430", "mu\u0308ller", "m\u00fcller", "Ana"]
    there = found(hand_in(tmp_path / "class", *(f"{name}/hw01.ipynb" for name in names)), scratch)
    assert len({each.casefold() for each in there}) == len(names)
    assert all(name.isprintable() for name in there)


def test_a_file_name_may_be_anything(tmp_path: Path, scratch: Path) -> None:
    folder = hand_in(tmp_path / "class")
    folder.mkdir()
    for name in (b"\xff.ipynb", b"two\nlines.ipynb", "ö".encode() * 120 + b".ipynb", b"...ipynb"):
        (Path(os.fsdecode(os.fsencode(folder) + b"/" + name))).write_text("{}")
    there = found(folder, scratch)
    assert len(there) == 4 - 1  # what begins with a dot is skipped
    for key in there:
        assert key.isprintable()
        assert len(key.encode()) <= persons.LONGEST
        (tmp_path / f"{key}.html").touch()


def test_different_names_are_presented_differently() -> None:
    names = ["a\n", "a\t", "a?", "a/", "", ".", "..", "ö" * 120, "ö" * 121]
    assert len({presentable(name) for name in names}) == len(names)


# --- lists


@pytest.mark.parametrize("rows", ["s1,Ana\nshort\n", 's1,"Ana"\n"s3; 4",Bo\n', "\ufeffs1;Ana\ns3;Öz, Bo\n"])
def test_a_list_gives_names(tmp_path: Path, scratch: Path, rows: str) -> None:
    there = found(hand_in(tmp_path / "class", "s1.ipynb", "s2.ipynb"), scratch, rows)
    assert there["s1"].name == "Ana"
    assert there["s2"].notes == ("not in the list of students",)


def test_commas_in_a_list_with_semicolons_belong_to_names(tmp_path: Path, scratch: Path) -> None:
    (tmp_path / "class" / "Öz, Ana_12").mkdir(parents=True)
    there = found(tmp_path / "class", scratch, "Öz, Ana_12;Öz, Ana\n")
    assert there == {"Öz, Ana_12": Entry("Öz, Ana_12", "", None, ("there is no notebook",), "Öz, Ana")}


@pytest.mark.parametrize("rows", ["s1,Ana\ns2,Bo\n s1,Cem\n", "ID,Name\ns1,Ana\ns1,Ana\n"])
def test_nobody_stands_in_a_list_twice(tmp_path: Path, rows: str) -> None:
    """One of the two would have no row."""
    (tmp_path / "students.csv").write_text(rows)
    with pytest.raises(MappingError, match=r"students.csv: 's1' stands there twice: one row for each student"):
        roster(tmp_path / "students.csv")


@pytest.mark.parametrize("content", [b"", b"s1\ts2\n", "s1;Zoë".encode("cp1252"), "s1,Zoë".encode("utf-16")])
def test_a_list_that_cannot_be_read_says_what_it_must_hold(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "students.csv").write_bytes(content)
    with pytest.raises(MappingError, match=r"students.csv: .*two columns, separated by comma or semicolon, in UTF-8"):
        roster(tmp_path / "students.csv")


MOODLE = """Identifier,Full name,Email address,Status,Grade,Maximum Grade
Participant 12,Ana Díaz,ana@example.org,Submitted,,15.00
Participant 13,Ana Díaz,ana2@example.org,Submitted,,15.00
Participant 14,Bo Berg,bo@example.org,No submission,,15.00
"""
CANVAS = """Student,ID,SIS User ID,Section,hw01 (991)
"Diaz, Ana",501,s501,A,
"Berg, Bo",502,s502,A,
"""


@pytest.mark.parametrize(
    ("table", "files", "expected"),
    [
        (
            MOODLE,
            ["Ana Díaz_12_assignsubmission_file_/hw01.ipynb", "Ana Díaz_13_assignsubmission_file_/hw01.ipynb"],
            [["Participant 12", "3"], ["Participant 13", "3"], ["Participant 14", ""]],
        ),
        (CANVAS, ["diazana_LATE_501_77_hw01.ipynb"], [["501", "3"], ["502", ""]]),
    ],
)
def test_a_platforms_own_table_is_filled(
    tmp_path: Path, scratch: Path, table: str, files: list[str], expected: list[list[str]]
) -> None:
    there = found(hand_in(tmp_path / "class", *files), scratch, table)
    assert list(there) == [name for name, _ in expected]
    assert [bool(each.submission) for each in there.values()] == [bool(grade) for _, grade in expected]
    people = roster(scratch / "list.csv")
    filled = people.filled({each.student: "3" for each in there.values() if each.submission}, "hw01")
    assert filled[0] == table.splitlines()[0].split(",")
    place = next(n for n, each in enumerate(filled[0]) if each in ("Grade", "hw01 (991)"))
    assert [[row[people.ids], row[place]] for row in filled[1:]] == expected


def test_a_list_of_two_columns_gets_a_third(tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text("s1,Ana\ns2,Bo\n")
    filled = roster(tmp_path / "list.csv").filled({"s1": "3"}, "hw01")
    assert filled == [["s1", "Ana", "3"], ["s2", "Bo", ""]]


def test_ids_that_no_file_could_be_called_get_their_grades(tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text("12/CS/045,Ana\n")
    filled = roster(tmp_path / "list.csv").filled({presentable("12/CS/045"): "3"}, "hw01")
    assert filled == [["12/CS/045", "Ana", "3"]]


def test_a_number_in_a_name_is_nobodys_id(tmp_path: Path, scratch: Path) -> None:
    there = found(hand_in(tmp_path / "class", "hw 3 Anna.ipynb"), scratch, "3,Cem\n4,Anna\n")
    assert there["hw 3 Anna"].notes == ("not in the list of students",)
    assert there["3"].submission == there["4"].submission == ""


def test_a_surname_in_the_list_is_nobodys_id(tmp_path: Path, scratch: Path) -> None:
    there = found(hand_in(tmp_path / "class", "Xu_Li.ipynb"), scratch, "Anna Li,Anna Li\nBo Chen,Bo Chen\n")
    assert there["Xu_Li"].notes == ("not in the list of students",)
    assert there["Anna Li"].submission == ""


def test_who_fits_several_is_nobody(tmp_path: Path, scratch: Path) -> None:
    there = found(hand_in(tmp_path / "class", "a_1_2.ipynb", "Anna M.ipynb"), scratch, "1,Anna M\n2,Anna M\n")
    assert there["a_1_2"].notes == there["Anna M"].notes == ("not in the list of students",)


# --- folders and zip files


@pytest.mark.parametrize("there", [True, False])
def test_an_empty_folder_is_said(tmp_path: Path, there: bool) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="is empty" if there else "there is no folder"):
        entries(tmp_path / "empty" if there else tmp_path / "x", "hw01", tmp_path)


def zipped(path: Path, members: dict[str, bytes]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members.items():
            file.writestr(name, content)
    return path


def test_a_zip_file_of_zip_files_is_read(tmp_path: Path, scratch: Path) -> None:
    inner = zipped(tmp_path / "inner.zip", {"work/hw01.ipynb": b"{}", "work/data.bin": b"x"}).read_bytes()
    outer = {"bo_2/hw01.ipynb": b"{}", "ana_1/hand-in.zip": inner, "__MACOSX/bo_2/._hw01.ipynb": b"x", "cem.zip": inner}
    there = found(zipped(tmp_path / "class.zip", outer), scratch)
    assert list(there) == ["ana_1", "bo_2", "cem"]
    for each in there.values():
        assert each.path is not None
        assert each.path.read_bytes() == b"{}"
        assert each.submission.endswith("hw01.ipynb")


def test_no_path_of_a_zip_file_leaves_its_folder(tmp_path: Path, scratch: Path) -> None:
    names = ["../../outside.ipynb", "/etc/outside.ipynb", "..\\..\\outside.ipynb", "C:\\outside.ipynb", "a/../b.ipynb"]
    folder = zipped(tmp_path / "class" / "ana.zip", dict.fromkeys(names, b"{}")).parent
    link = zipfile.ZipInfo("link.ipynb")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(folder / "ana.zip", "a") as file:
        file.writestr(link, "/etc/passwd")
    before = {path for path in tmp_path.rglob("*") if scratch not in path.parents}
    there = found(folder, scratch)
    assert there["ana"].path is not None
    assert there["ana"].path.is_relative_to(scratch)
    assert {path for path in tmp_path.rglob("*") if scratch not in path.parents} == before
    assert len([path for path in scratch.rglob("*") if path.is_file()]) == len(names)
    assert not any(path.is_symlink() for path in scratch.rglob("*"))


@pytest.mark.thorough
def test_a_zip_file_costs_its_own_student_only(tmp_path: Path, scratch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(persons, "UNPACKED", 10_000_000)
    folder = zipped(tmp_path / "class" / "bomb.zip", {f"{n}.ipynb": bytes(6_000_000) for n in range(2)}).parent
    zipped(folder / "many.zip", {f"{n}.ipynb": b"" for n in range(persons.FILES + 1)})
    (folder / "broken.zip").write_bytes(b"PK\3\4 and nothing more")
    (folder / "link.zip").symlink_to(folder / "bomb.zip")
    hand_in(folder, "right.ipynb")
    there = found(folder, scratch)
    assert [(each.student, *each.notes) for each in there.values()] == [
        ("bomb", "it unpacks to more than 10 MB"),
        ("broken", "the zip file cannot be read: File is not a zip file"),
        ("link", "it is a link or no file at all"),
        ("many", "it holds more than 5000 files"),
        ("right",),
    ]
    assert all(each.path is None for each in there.values() if each.student != "right")


def test_all_zip_files_of_a_student_are_bounded_together(
    tmp_path: Path, scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(persons, "UNPACKED", 10_000_000)
    for number in range(3):
        zipped(tmp_path / "class" / "ana" / f"{number}.zip", {f"{n}.ipynb": bytes(2_000_000) for n in range(2)})
    hand_in(tmp_path / "class", "bo.ipynb")
    there = found(tmp_path / "class", scratch)
    assert there["ana"].notes == ("it unpacks to more than 10 MB",)
    assert there["bo"].notes == ()
    assert sum(path.stat().st_size for path in scratch.rglob("*.ipynb")) <= 10_000_000


def test_in_a_zip_file_of_a_class_nobody_pays_for_another(
    tmp_path: Path, scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A damaged member, a name that cannot be, and too much: each costs its own student."""
    monkeypatch.setattr(persons, "UNPACKED", 10_000_000)
    members = {"ana_1/hw01.ipynb": bytes(range(256)) * 99, "bo.x_2/hw01.ipynb": b"{}", "cem.ipynb": b"{}"}
    path = zipped(tmp_path / "class.zip", members | {f"dia_3/{n}.ipynb": bytes(6_000_000) for n in range(2)})
    content = path.read_bytes()
    with zipfile.ZipFile(path) as file:
        place = file.infolist()[0].header_offset + 30 + len("ana_1/hw01.ipynb") + 9
    path.write_bytes(content[:place] + b"\xff" * 40 + content[place + 40 :])
    there = found(path, scratch)
    assert list(there) == ["ana_1", "bo.x_2", "cem", "dia_3"]
    assert there["ana_1"].notes[0].startswith("the zip file cannot be read: ")
    assert there["dia_3"].notes == ("it unpacks to more than 10 MB",)
    assert {there["bo.x_2"].notes, there["cem"].notes} == {()}


def test_whatever_is_wrong_with_a_zip_file_is_in_words(tmp_path: Path, scratch: Path) -> None:
    """Python's library has an exception for each kind of damage, not all of one family."""
    path = zipped(tmp_path / "class" / "ana.zip", {"hw01.ipynb": json.dumps([*range(2000)]).encode()})
    content = path.read_bytes()
    for place in range(30, len(content), 97):
        path.write_bytes(
            content[:place] + bytes(each ^ 0xFF for each in content[place : place + 20]) + content[place + 20 :]
        )
        (only,) = found(path.parent, scratch).values()
        assert only.path is not None or only.notes
