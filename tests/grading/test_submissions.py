"""What is read of a submission, and how its answers are put into the official notebook."""

import json
import os
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell

from rlcourse.grading import submissions
from rlcourse.grading.homework import role
from rlcourse.grading.release import student_version
from rlcourse.grading.submissions import Graft, UnreadableError, definitions, graft, parsed, read
from tests.grading import tiny


@pytest.fixture
def released() -> NotebookNode:
    return student_version(tiny.source(), "hw00")


# --- grafting


def sources(found: Graft) -> list[str]:
    return [cell.source for cell in found.cells]


def test_only_answers_are_taken(released: NotebookNode) -> None:
    theirs = tiny.answered(released, double="def double(x): return 2 * x")
    for cell in theirs.cells:
        if role(cell) in ("check", "setup"):
            cell.source = "print('✔ of 3')"
    found = graft(tiny.source(), theirs)
    assert found.notes == []
    assert "def double(x): return 2 * x" in sources(found)
    assert [cell.source for cell in found.cells if role(cell) == "extra"] == ["print('✔ of 3')"]  # of the setup
    assert [role(cell) for cell in found.cells] == ["extra", "setup", *("answer", "check", "hidden") * 3]
    assert found.left_out == [f"your change of the check {name}-check: it runs as released" for name in tiny.SOLUTIONS]


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
    names = [cell.id for cell in found]
    place = names.index("square-answer") + 1
    assert [found[n].source for n in (place, place + 1)] == ["helper = 1", "helper = 1"]  # its definitions, and it
    assert [role(found[n]) for n in (place, place + 1)] == ["definitions", "extra"]
    assert not any("experiment" in cell.source for cell in found)


def test_what_follows_a_check_comes_after_the_hidden_one(released: NotebookNode) -> None:
    """There one may try something out under the answer's name: no student can see that a check is to follow."""
    source = tiny.source()
    for notebook in (source, theirs := tiny.answered(released)):
        place = [cell.id for cell in notebook.cells].index("square-check") + 1
        notebook.cells.insert(place, tiny.code("try-it", "square(3)", role="show", question="square"))
    theirs.cells[place].source = "def square(x):\n    return 7\nsquare(3)"
    theirs.cells.insert(place, new_code_cell("def square(x):\n    return 8"))
    found = graft(source, theirs).cells
    names = [cell.id for cell in found]
    assert names.index("square-hidden") == names.index("square-check") + 1
    assert [cell.source for cell in found if "return 7" in cell.source or "return 8" in cell.source] == [
        "def square(x):\n    return 8",  # its definitions, and it
        "def square(x):\n    return 8",
        "def square(x):\n    return 7",
    ]
    assert names.index("negate-answer") == names.index("square-hidden") + 4


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


def test_an_answer_that_became_text_says_how_to_mend_it(released: NotebookNode) -> None:
    theirs = tiny.answered(released)
    next(cell for cell in theirs.cells if cell.id == "square-answer").cell_type = "markdown"
    found = graft(tiny.source(), theirs)
    assert found.notes == [f"square: {submissions.TEXT}"]


def test_an_answer_in_a_cell_of_ones_own_is_found_by_what_it_defines(released: NotebookNode) -> None:
    """And counts only where the place for it is gone."""
    theirs = tiny.answered(released)
    theirs.cells = [cell for cell in theirs.cells if cell.id != "square-answer"]
    theirs.cells.insert(1, new_code_cell("import math\n\n\ndef square(x):\n    return math.pow(x, 2)"))
    theirs.cells.insert(1, new_code_cell("def negate(x):\n    return 0"))
    found = graft(tiny.source(), theirs)
    assert found.notes == []
    answers = {cell.id: cell.source for cell in found.cells if role(cell) == "answer"}
    assert answers["square-answer"].startswith("import math")
    assert answers["negate-answer"] == tiny.SOLUTIONS["negate"]


PART = {"rlcourse": {"role": "answer", "question": "square"}}


@pytest.mark.parametrize(
    ("copies", "result", "notes"),
    [
        (["def power(x):\n    return x * x"], "a", ["square: 2 answer cells, run one after the other"]),
        (["def square(x:"], "a", []),  # a draft that is no Python does not spoil the answer
        (["STUB", "STUB"], "a", []),
    ],
)
def test_an_answer_in_several_cells_is_one(
    released: NotebookNode, copies: list[str], result: str, notes: list[str]
) -> None:
    theirs = tiny.answered(released, square="def square(x):\n    return power(x)")
    empty = next(cell.source for cell in released.cells if cell.id == "square-answer")
    for copied in copies:
        theirs.cells.append(new_code_cell(empty if copied == "STUB" else copied, metadata=PART))
    found = graft(tiny.source(), theirs)
    answer = next(cell.source for cell in found.cells if cell.id == "square-answer")
    good = [copied for copied in copies if copied not in ("STUB", "def square(x:")]
    assert answer == "\n\n".join(["def square(x):\n    return power(x)", *good])
    assert found.notes == notes


def test_a_magic_of_the_second_cell_does_not_spoil_the_first(released: NotebookNode) -> None:
    theirs = tiny.answered(released, square="%%time\ndef square(x):\n    return power(x)")
    theirs.cells.append(new_code_cell("%%time\nnp.square?\ndef power(x):\n    return x * x", metadata=PART))
    found = graft(tiny.source(), theirs)
    answer = next(cell.source for cell in found.cells if cell.id == "square-answer")
    assert answer.startswith("%%time\ndef square")
    assert answer.count("%%time") == 1
    assert "def power" in answer


def test_what_was_added_to_a_setup_cell_is_kept(released: NotebookNode) -> None:
    """In the cell itself and in a copy of it; the official cell runs after it, so that it holds."""
    theirs = tiny.answered(released)
    setup = next(cell for cell in theirs.cells if cell.id == "setup")
    copied = new_code_cell(f"{setup.source}\ndef helper():\n    return 1", metadata=setup.metadata)
    setup.source += "\nimport math"
    theirs.cells.insert(3, copied)
    found = graft(tiny.source(), theirs)
    assert [cell.id for cell in found.cells[:5]] == [
        "own-1-definitions",
        "own-1-extra",
        "setup",
        "own-3-definitions",
        "own-3-extra",
    ]
    assert "import math" in found.cells[0].source
    assert "def helper():" in found.cells[3].source
    assert (found.notes, found.left_out) == ([], [])


def test_of_an_experiment_only_the_definitions_run(released: NotebookNode) -> None:
    source = tiny.source()
    for notebook in (source, theirs := tiny.answered(released)):
        notebook.cells.insert(5, tiny.code("try-it", "double(3)", role="setup", question="double"))
    assert "double(3)" not in sources(graft(source, theirs))
    theirs.cells[5].source = "import math\nsteps = 10**9\nsize = [1, -2]\nfor _ in range(steps):\n    double(3)"
    found = graft(source, theirs)
    assert [cell.source for cell in found.cells if role(cell) == "definitions"] == ["import math\nsize = [1, -2]"]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("%matplotlib inline\n!ls\nimport os\nos.listdir()", "import os"),
        ("def f(a, b):\n    return (\n        a\n        != b\n    )", "def f(a, b):\n    return a != b"),
        ('TEXT = """\n%d items\nwhy?\n"""', "TEXT = '\\n%d items\\nwhy?\\n'"),
        ("np.max?\nfiles = !ls\na, b = %time 1, 2\nx = 1", "x = 1"),
        ("x: int = 3\ny = f(x)\nz = (x, 'a', None)", "x: int = 3\nz = (x, 'a', None)"),
        ("@cache\ndef f(x):\n    return x\nf(3)", "@cache\ndef f(x):\n    return x"),
        ("power = lambda x: x ** f(x)", "power = lambda x: x ** f(x)"),
        ("def f(:", ""),
        ("(" * 5000, ""),
        ("x = " + "-" * 3000 + "1", ""),
        ("x = a" + ".b" * 3000, ""),
        ("x = " + "not " * 3000 + "1", ""),
        ("a\0b", ""),
    ],
)
def test_definitions(source: str, expected: str) -> None:
    assert definitions(source) == expected


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
    assert submissions.tampered(released, theirs) == []
    checks = {cell.id: cell for cell in theirs.cells if role(cell) == "check"}
    checks["double-check"].metadata["tags"] = ["nbval-skip"]
    theirs.cells.append(new_code_cell(checks["square-check"].source, metadata=checks["square-check"].metadata))
    theirs.cells.remove(checks["negate-check"])
    assert submissions.tampered(released, theirs) == [
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
    assert "name = 'Zoë'" in [cell.source for cell in read(path).cells]


def test_format_3_is_read(tmp_path: Path, released: NotebookNode) -> None:
    theirs = tiny.answered(released)
    path = tmp_path / "old.ipynb"
    path.write_text(json.dumps(nbformat.convert(theirs, 3)))
    found = graft(tiny.source(), read(path))
    assert found.notes == []
    assert set(tiny.SOLUTIONS.values()) <= set(sources(found))


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "the file is empty"),
        (b" \n", "the file is empty"),
        (b"%PDF-1.7", "its content is something else"),
        (b"\x00\xff\xfe", "its content is something else"),
        (b'{\n"cells": [', "it is damaged or cut short at line 2"),
        (b"[]", "the file holds other JSON"),
        (b"null", "the file holds other JSON"),
        (b"[" * 100_000, "its JSON is nested too deeply"),
        (b"1" * 5000, "Exceeds the limit"),
        (b'{"cells": 5, "nbformat": 4}', "it has no cells"),
        (b'{"nbformat": 99}', "it has no cells"),
    ],
)
def test_what_is_no_notebook_says_why(tmp_path: Path, content: bytes, why: str) -> None:
    (tmp_path / "a.ipynb").write_bytes(content)
    with pytest.raises(UnreadableError, match=f"it is no notebook: {why}"):
        read(tmp_path / "a.ipynb")


def test_large_files_links_and_pipes_are_not_opened(tmp_path: Path) -> None:
    with (tmp_path / "large.ipynb").open("wb") as file:
        file.truncate(submissions.MAX_BYTES + 1)
    with pytest.raises(UnreadableError, match="clear its outputs"):
        read(tmp_path / "large.ipynb")
    (tmp_path / "link.ipynb").symlink_to("/etc/passwd")
    os.mkfifo(tmp_path / "pipe.ipynb")
    for name in ("link", "pipe"):
        with pytest.raises(UnreadableError, match="it is a link or no file at all"):
            read(tmp_path / f"{name}.ipynb")


def test_a_file_that_cannot_be_read_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    (tmp_path / "a.ipynb").write_text("{}")
    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(UnreadableError, match="the file cannot be read: Permission denied"):
        read(tmp_path / "a.ipynb")


@pytest.mark.thorough
def test_many_cells_are_refused() -> None:
    """The largest file there may be: 6.6 million cells cost a second and 575 MB, not half a minute and gigabytes."""
    content = b'{"cells": [' + b"{}," * 6_600_000 + b"{}]}"
    assert len(content) <= submissions.MAX_BYTES
    with pytest.raises(UnreadableError, match="it has 6600001 cells, at most 1000 are read"):
        parsed(content)


def test_long_own_cells_are_left_out(released: NotebookNode) -> None:
    theirs = tiny.answered(released)
    theirs.cells += [new_code_cell("a = 1"), new_code_cell("# " + "x" * submissions.MAX_OWN)]
    found = graft(tiny.source(), theirs)
    place = len(theirs.cells)
    assert found.left_out == [f"your own cell {place}: with those before it, it is longer than 200000 characters"]


def test_half_characters_can_be_written_wherever_they_stand() -> None:
    about = '{"rlcourse": {"role": "\\ud800", "question": "\\udfff", "homework": "\\ud800"}, "tags": ["\\ud800"]}'
    cell = f'{{"cell_type": "code", "id": "\\ud800", "source": ["\\ud83d", "x"], "metadata": {about}}}'
    found = parsed(f'{{"cells": [{cell}], "metadata": {about}}}'.encode())
    assert json.dumps(found, ensure_ascii=False).encode().count(b"?") == 9
    assert found.cells[0].source == "?x"
