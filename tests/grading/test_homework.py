"""The format of a homework, what is read of a submission, and how its answers are put into the official notebook."""

import json
import os
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell

from rlcourse.grading import homework
from rlcourse.grading.homework import HomeworkError, UnreadableError, graft, load, read_submission, role
from rlcourse.grading.release import student_version
from tests.grading import tiny


@pytest.fixture
def released() -> NotebookNode:
    return student_version(tiny.source(), "hw00")


@pytest.mark.parametrize(
    ("cell", "change", "message"),
    [
        ("setup", {"metadata": {}}, "role = None must be one of setup, show, answer, check, hidden"),
        ("double-check", {"id": "setup"}, "Non-unique cell id 'setup'"),
        ("double-check", {"metadata": {"rlcourse": {"role": "check", "points": 1}}}, "must name its question"),
        ("double-answer", {"source": "def double(x): return 2 * x"}, "an answer must hold lines between"),
        (
            "double-answer",
            {"source": "### BEGIN SOLUTION\n1\n### END SOLUTION\n### END SOLUTION"},
            "must come in pairs",
        ),
        ("double-hidden", {"source": "checks.reveal(1)"}, "must begin with the line NONCE = 0"),
        (
            "double-check",
            {"metadata": {"rlcourse": {"role": "check", "question": "double", "points": -1}}},
            "points = -1 must be a number, 0 or more",
        ),
        (
            "double-check",
            {"metadata": {"rlcourse": {"role": "check", "question": "dubble", "points": 1}}},
            "question 'dubble' must have one answer cell",
        ),
    ],
)
def test_a_faulty_source_is_refused_by_cell(tmp_path: Path, cell: str, change: dict[str, Any], message: str) -> None:
    source = tiny.source()
    next(each for each in source.cells if each.id == cell).update(nbformat.from_dict(change))
    (tmp_path / "hw00.ipynb").write_text(json.dumps(source))
    with pytest.raises(HomeworkError, match=message):
        load(tmp_path / "hw00.ipynb")


@pytest.mark.parametrize("about", [{}, {"seconds": 0}, {"seconds": "20"}])
def test_a_source_without_a_time_limit_is_refused(tmp_path: Path, about: dict[str, Any]) -> None:
    source = tiny.source()
    source.metadata["rlcourse"] = about
    nbformat.write(source, tmp_path / "hw00.ipynb")
    message = f"hw00.ipynb: seconds = {about.get('seconds')!r}: set rlcourse.seconds in the notebook's metadata to"
    with pytest.raises(HomeworkError, match=message):
        load(tmp_path / "hw00.ipynb")


def test_an_unknown_homework_names_those_there_are(tmp_path: Path) -> None:
    tiny.write_source(tmp_path)
    with pytest.raises(FileNotFoundError, match="homeworks there: hw00"):
        load(tmp_path / "hw99.ipynb")


def test_a_stub_keeps_what_is_around_the_solution() -> None:
    text = (
        "def f(x):\n    '''Doc.'''\n    ### BEGIN SOLUTION\n    y = x\n    return y\n    ### END SOLUTION\n\nprint(1)"
    )
    expected = "def f(x):\n    '''Doc.'''\n    raise NotImplementedError(\"your answer goes here\")\n\nprint(1)"
    assert homework.stub(text) == expected


# --- grafting


def sources(found: homework.Graft) -> list[str]:
    return [cell.source for cell in found.cells]


def test_only_answers_are_taken(released: NotebookNode) -> None:
    theirs = tiny.answered(released, double="def double(x): return 2 * x")
    for cell in theirs.cells:
        if role(cell) in ("check", "setup"):
            cell.source = "print('✔ of 3')"
    found = graft(tiny.source(), theirs)
    assert found.notes == []
    assert "def double(x): return 2 * x" in sources(found)
    assert not any("print('✔" in text for text in sources(found))
    assert [role(cell) for cell in found.cells] == ["setup", *("answer", "check", "hidden") * 3]


def test_order_does_not_matter(released: NotebookNode) -> None:
    theirs = tiny.answered(released)
    found = sources(graft(tiny.source(), theirs))
    theirs.cells.reverse()
    assert sources(graft(tiny.source(), theirs)) == found


def test_own_cells_stay_behind_the_cell_they_follow(released: NotebookNode) -> None:
    theirs = tiny.answered(released)
    places = [cell.id for cell in theirs.cells]
    for name, text in (("square-answer", "helper = 1"), ("negate-check", "an experiment after everything")):
        theirs.cells.insert(places.index(name) + 1, new_code_cell(text))
        places = [cell.id for cell in theirs.cells]
    found = graft(tiny.source(), theirs).cells
    (helper,) = (number for number, cell in enumerate(found) if cell.source == "helper = 1")
    assert role(found[helper]) == "extra"
    assert found[helper - 1].id == "square-answer"
    assert not any("experiment" in cell.source for cell in found)


def test_pictures_are_for_students_and_not_run_while_grading(released: NotebookNode) -> None:
    source, helper = tiny.source(), new_code_cell("helper = 1")
    for notebook in (source, theirs := tiny.answered(released)):
        notebook.cells.insert(2, tiny.code("picture", "draw()", role="show"))
    theirs.cells.insert(3, helper)
    found = sources(graft(source, theirs))
    assert found[:2] == [source.cells[1].source, "helper = 1"]
    assert "draw()" not in found
    assert "draw()" in [cell.source for cell in student_version(source, "hw00").cells]


def test_a_missing_answer_is_a_stub_and_a_note(released: NotebookNode) -> None:
    theirs = tiny.answered(released)
    theirs.cells = [cell for cell in theirs.cells if cell.id != "square-answer"]
    found = graft(tiny.source(), theirs)
    assert found.notes == ["square: the answer cell is missing"]
    assert "NotImplementedError" in next(cell.source for cell in found.cells if cell.id == "square-answer")


def test_of_two_answers_the_one_with_the_released_id_counts(released: NotebookNode) -> None:
    theirs = tiny.answered(released)
    copied = new_code_cell(
        "def square(x): return 'copy'", metadata={"rlcourse": {"role": "answer", "question": "square"}}
    )
    theirs.cells.insert(0, copied)
    found = graft(tiny.source(), theirs)
    assert found.notes == ["square: 2 answer cells, the first one with the released id counts"]
    assert not any("copy" in text for text in sources(found))


def test_answers_without_ids_are_found_by_their_question(released: NotebookNode) -> None:
    theirs = tiny.answered(released)
    for number, cell in enumerate(theirs.cells):
        cell["id"] = f"new-{number}"
    found = graft(tiny.source(), theirs)
    assert found.notes == []
    assert set(tiny.SOLUTIONS.values()) <= set(sources(found))


@pytest.mark.parametrize("about", [5, "x", [], None, {"role": ["answer"], "question": {}}])
def test_metadata_may_be_anything(released: NotebookNode, about: Any) -> None:
    theirs = tiny.answered(released)
    theirs.cells.append(new_code_cell("1", metadata={"rlcourse": about}))
    assert graft(tiny.source(), theirs).notes == []


# --- tampering


def test_what_was_done_to_a_check_is_named(released: NotebookNode) -> None:
    theirs = tiny.answered(released)
    assert homework.tampered(released, theirs) == []
    checks = {cell.id: cell for cell in theirs.cells if role(cell) == "check"}
    checks["double-check"].metadata["tags"] = ["nbval-skip"]
    theirs.cells.append(new_code_cell(checks["square-check"].source, metadata=checks["square-check"].metadata))
    theirs.cells.remove(checks["negate-check"])
    assert homework.tampered(released, theirs) == [
        "the tags of the check double-check were changed to ['nbval-skip']: take them off",
        "the check square-check is there 2 times: delete the copies",
        "the check negate-check is missing: copy it back from the released notebook",
    ]


# --- reading


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "latin-1"])
def test_any_encoding_is_read(tmp_path: Path, released: NotebookNode, encoding: str) -> None:
    theirs = tiny.answered(released, double="name = 'Zoë'")
    path = tmp_path / "a.ipynb"
    path.write_bytes(json.dumps(theirs, ensure_ascii=False).replace("✔", "").encode(encoding))
    assert "name = 'Zoë'" in [cell.source for cell in read_submission(path).cells]


def test_format_3_is_read(tmp_path: Path, released: NotebookNode) -> None:
    theirs = tiny.answered(released)
    path = tmp_path / "old.ipynb"
    path.write_text(json.dumps(nbformat.convert(theirs, 3)))
    found = graft(tiny.source(), read_submission(path))
    assert found.notes == []
    assert set(tiny.SOLUTIONS.values()) <= set(sources(found))


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"null", b"[" * 100_000, b"\x00\xff\xfe", b'{"cells": 5, "nbformat": 4}', b'{"nbformat": 99}'],
)
def test_what_is_no_notebook_says_so(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.ipynb").write_bytes(content)
    with pytest.raises(UnreadableError, match="no notebook"):
        read_submission(tmp_path / "a.ipynb")


def test_large_files_links_and_pipes_are_not_opened(tmp_path: Path) -> None:
    with (tmp_path / "large.ipynb").open("wb") as file:
        file.truncate(homework.MAX_BYTES + 1)
    with pytest.raises(UnreadableError, match="clear its outputs"):
        read_submission(tmp_path / "large.ipynb")
    (tmp_path / "link.ipynb").symlink_to("/etc/passwd")
    os.mkfifo(tmp_path / "pipe.ipynb")
    for name in ("link", "pipe"):
        with pytest.raises(UnreadableError, match="a link, no file at all"):
            read_submission(tmp_path / f"{name}.ipynb")
