"""A class of honest, careless and hostile students, graded together: what each of them gets, and that nobody else pays.

The homework has three questions of five points, 1 for the visible check and 4 for the hidden one.
"""

import contextlib
import csv
import json
import os
import shutil
import socket
import stat
from dataclasses import replace
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell

from rlcourse.grading import grade, homework, sandbox
from rlcourse.grading.release import student_version
from rlcourse.grading.result import Result
from rlcourse.grading.submissions import Entry, MappingError, entries
from tests.grading import tiny

RIGHT = {"double": 5, "square": 5, "negate": 5}
NAP = str(10**7 + os.getpid())  # seconds: of this run and no other on the machine
LOAD = getattr(os, "getloadavg", lambda: (0.0,))()[0] / (os.cpu_count() or 1)  # processes that want the same core
SECONDS = 6.0 * max(1.0, LOAD)  # of a cell, by the clock
RELEASED = student_version(tiny.source(), "hw00")

# What stands in place of the answer to "square", and what the student then gets for it; the others are right.
ANSWERS: dict[str, tuple[str, str, float]] = {
    "another-way": ("square = lambda x: x ** 2", "ok", 5),
    "prints": ("def square(x):\n    print('debugging', x)\n    return x * x\nprint('✔ of 3')", "ok", 5),
    "wrong": ("def square(x):\n    return 2 * x", "wrong", 0),
    "hard-coded": ("def square(x):\n    return 9.0", "wrong", 1),
    "raises": ("def square(x):\n    return undefined", "error", 0),
    "syntax": ("def square(x:\n    return x", "error", 0),
    "hangs": ("def square(x):\n    while True:\n        pass", "timeout", 0),
    "hangs-at-once": ("while True:\n    pass", "timeout", 0),
    "exits": ("import os\ndef square(x):\n    os._exit(0)", "died", 0),
    "kills": (
        "import os, signal\nos.kill(os.getppid(), signal.SIGKILL)\nos.kill(os.getpid(), signal.SIGKILL)",
        "died",
        0,
    ),
    "floods": ("while True:\n    print('x' * 10_000)", "output-limit", 0),
    "one-large-print": ("print('x' * 300_000_000)", "timeout", 0),
    "large-message": ("raise ValueError('x' * 100_000)", "error", 0),
    "takes-memory": ("waste = bytearray(10 * 10**9)", "error", 0),
    "prints-values": ("def square(x):\n    return 0.0\nprint('rlcourse-values: [9.0]')", "wrong", 0),
    "hides-errors": (
        "from IPython.core.interactiveshell import InteractiveShell as shell\n"
        "shell.showtraceback = lambda *args, **kwargs: None\n1 / 0",
        "error",
        0,
    ),
    "magic": ("%cd /\n!echo hello\ndef square(x):\n    return x * x", "ok", 5),
    "detaches-a-child": (
        f"import subprocess\nsubprocess.Popen(['sleep', '{NAP}'], start_new_session=True)\n"
        "def square(x):\n    return x * x",
        "ok",
        5,
    ),
}
# Those who meddle with the checks lose what their meddling spoils: the hidden checks, later ones too.
MEDDLERS: dict[str, tuple[str, dict[str, float]]] = {
    "forges-the-check": (
        "import rlcourse.grading.checks as c\nc.Check.__call__ = lambda *args: print('✔ of 3')\nc.reveal = print\n"
        "def square(x):\n    return 9.0",
        {"square": 1, "negate": 1},
    ),
    "rewrites-cells": (
        "def rewrite(lines):\n    return ['pass']\nget_ipython().input_transformers_cleanup.append(rewrite)",
        {"square": 0, "negate": 0},
    ),
}
# The same where only a sandbox helps: each tries something and succeeds in its answer only if it could.
ESCAPES = {
    "reads-files": "import glob\nopen(glob.glob('{here}/**/*.ipynb', recursive=True)[0])",
    "reads-the-nonce": "open('{here}/grades/.nonce')",
    "writes-files": "open('{here}/forged', 'w').write('x')",
    "writes-the-package": "import rlcourse\nopen(rlcourse.__file__, 'a').write(' ')",
    "uses-the-network": "import socket\nsocket.create_connection(('127.0.0.1', {port}), timeout=2)",
    "writes-a-large-file": "open('/tmp/large', 'wb').write(bytes(50_000_000))",
}
pytestmark = pytest.mark.timeout(3600)  # the first test waits for the whole class: 100 seconds on two idle cores
needs_sandbox = pytest.mark.skipif(sandbox.isolation().level != "bubblewrap", reason=str(sandbox.isolation()))


def submit(folder: Path, name: str, notebook: NotebookNode) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, folder / f"{name}.ipynb")


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("class")


@pytest.fixture(scope="module")
def results(here: Path) -> dict[str, Result]:
    source = tiny.write_source(here / "sources", SECONDS)
    with socket.create_server(("127.0.0.1", 0)) as server:
        for name, (answer, _, _) in ANSWERS.items():
            submit(here / "class", name, tiny.answered(RELEASED, square=answer))
        for name, (answer, _) in MEDDLERS.items():
            submit(here / "class", name, tiny.answered(RELEASED, square=answer))
        for name, attempt in ESCAPES.items():
            attempt = attempt.format(here=here, port=server.getsockname()[1])
            submit(here / "class", name, tiny.answered(RELEASED, square=f"{attempt}\n{tiny.SOLUTIONS['square']}"))
        hostile_files(here / "class")
        grade.grade(here / "class", source, here / "grades", workers=2)
    stored = json.loads((here / "grades" / "grades.json").read_text())["students"]
    return {one["student"]: Result(**{k: v for k, v in one.items() if k not in ("total", "status")}) for one in stored}


def hostile_files(folder: Path) -> None:
    right = tiny.answered(RELEASED)
    submit(folder, "Zoë da Silva_123_hw00", right)
    submit(folder / "Bo Berg_77_assignsubmission_file_", "hw00", tiny.answered(RELEASED, square="old"))
    submit(folder / "Bo Berg_77_assignsubmission_file_", "hw00 (1)", right)
    (folder / "Bo Berg_77_assignsubmission_file_" / "conftest.py").write_text("raise SystemExit('in the grader')")
    edited = tiny.answered(RELEASED)
    for cell in edited.cells:
        if homework.role(cell) == "check":
            cell.source, cell.metadata["tags"] = "pass", ["nbval-skip", "raises-exception"]
            cell.outputs = [nbformat.v4.new_output("stream", name="stdout", text="✔ forged")]
    edited.cells = [cell for cell in reversed(edited.cells) if cell.id != "negate-check"]
    edited.metadata["kernelspec"] = {"name": "no-such-kernel", "display_name": "x"}
    submit(folder, "edited-checks", edited)
    helper = tiny.answered(RELEASED, square="def square(x):\n    return power(x)")
    names = [cell.id for cell in helper.cells]
    helper.cells.insert(names.index("square-answer"), new_code_cell("def power(x):\n    return x * x"))
    helper.cells.insert(2, new_code_cell("while True:\n    pass"))  # an experiment that nobody waits for
    submit(folder, "own-cells", helper)
    other = tiny.answered(RELEASED)
    other.metadata["rlcourse"]["homework"] = "hw07"
    submit(folder, "another-homework", other)
    half = nbformat.writes(tiny.answered(RELEASED, square="name = 'HALF'\n" + tiny.SOLUTIONS["square"]))
    (folder / "half-characters.ipynb").write_text(half.replace("HALF", "\\ud800"))
    (folder / "truncated.ipynb").write_text(nbformat.writes(right)[:500])
    (folder / "link.ipynb").symlink_to(folder / "edited-checks.ipynb")
    (folder / "empty").mkdir()
    (folder / "=cmd()<script>.ipynb").write_bytes(b"\xff\xfe\x00")


@pytest.mark.thorough
@pytest.mark.parametrize("name", ANSWERS)
def test_an_answer_costs_its_own_question_only(results: dict[str, Result], name: str) -> None:
    _, status, points = ANSWERS[name]
    assert results[name].points == RIGHT | {"square": points}, results[name].cells
    assert results[name].status in (status, "output-limit" if name == "one-large-print" else status)
    assert results[name].notes == []


@pytest.mark.thorough
@pytest.mark.parametrize("name", MEDDLERS)
def test_meddling_does_not_pay(results: dict[str, Result], name: str) -> None:
    assert results[name].points == RIGHT | MEDDLERS[name][1]


@needs_sandbox
@pytest.mark.thorough
@pytest.mark.parametrize("name", ESCAPES)
def test_nothing_gets_out(results: dict[str, Result], here: Path, name: str) -> None:
    assert results[name].points == RIGHT | {"square": 0}
    assert results[name].status == "error"
    assert not (here / "forged").exists()


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("name", "square", "note"),
    [
        ("Zoë da Silva_123_hw00", 5, None),
        ("Bo Berg_77_assignsubmission_file_", 5, "2 files, hw00 (1).ipynb counts"),
        ("edited-checks", 5, None),
        ("own-cells", 5, None),
        ("half-characters", 5, None),
    ],
)
def test_what_is_around_the_answers_does_not_matter(
    results: dict[str, Result], name: str, square: float, note: str | None
) -> None:
    assert results[name].points == RIGHT | {"square": square}
    assert results[name].notes == ([note] if note else [])


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("name", "note"),
    [
        ("another-homework", "it is another homework: hw07"),
        ("truncated", "it is no notebook"),
        ("link", "it is a link"),
        ("empty", "there is no notebook"),
        ("=cmd()<script>", "it is no notebook"),
    ],
)
def test_what_cannot_be_graded_is_for_a_person(results: dict[str, Result], name: str, note: str) -> None:
    assert results[name].total == 0
    assert results[name].status == "review"
    assert results[name].notes[-1].startswith(note)


@pytest.mark.thorough
def test_no_process_is_left(results: dict[str, Result]) -> None:
    assert results["detaches-a-child"].total == 15
    if sandbox.isolation().level == "bubblewrap":
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):  # it may have ended meanwhile, or be somebody else's
                assert NAP.encode() not in path.read_bytes().split(b"\0")


@pytest.mark.thorough
def test_the_gradebook(results: dict[str, Result], here: Path) -> None:
    with (here / "grades" / "grades.csv").open(newline="", encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file))
    assert rows[0]["student"] == "(most)"
    assert rows[0]["total"] == "15"
    by_name = {row["student"]: row for row in rows[1:]}
    assert len(by_name) == len(results) == len(ANSWERS) + len(MEDDLERS) + len(ESCAPES) + 10
    assert by_name["wrong"]["total"] == "10"
    assert by_name["'=cmd()<script>"]["status"] == "review"  # no formula for a spreadsheet
    assert list(by_name) == sorted(by_name, key=lambda name: name.removeprefix("'"))
    assert stat.S_IMODE((here / "grades" / ".nonce").stat().st_mode) == 0o600
    isolation = json.loads((here / "grades" / "grades.json").read_text())["isolation"]
    assert isolation == str(sandbox.isolation())


@pytest.mark.thorough
def test_feedback_explains_and_keeps_secrets(results: dict[str, Result], here: Path) -> None:
    pages = {path.stem: path.read_text(encoding="utf-8") for path in (here / "grades" / "feedback").iterdir()}
    assert set(pages) == set(results)
    assert "10 of 15 points" in pages["wrong"]
    assert "it returned 6.0, right is 9.0" in pages["wrong"]
    assert "think of square again" in pages["wrong"]
    assert "took too long" in pages["hangs"]
    for name, text in pages.items():
        assert "secret_" not in text, name
        assert "rlcourse-values" not in text, name
        assert "<script>" not in text, name
        assert len(text) < 30_000, name


@pytest.mark.thorough
def test_grading_again_keeps_what_is_done_and_agrees(
    results: dict[str, Result], here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a grading that was killed: some results are there, one is not, and one submission was changed."""
    folder, out = tmp_path / "class", tmp_path / "grades"
    folder.mkdir()
    for name in ("wrong", "another-way", "hard-coded"):
        shutil.copy(here / "class" / f"{name}.ipynb", folder)
    for name in ("wrong", "another-way", "hard-coded"):
        (out / "results").mkdir(parents=True, exist_ok=True)
        shutil.copy(here / "grades" / "results" / f"{name}.json", out / "results")
    shutil.copy(here / "grades" / ".nonce", out)
    (out / "results" / "another-way.json").unlink()
    submit(folder, "hard-coded", tiny.answered(RELEASED))
    graded: list[str] = []
    grade_one = grade.grade_one

    def noted(entry: Entry, *rest: Any) -> Result:
        graded.append(entry.student)
        return grade_one(entry, *rest)

    monkeypatch.setattr(grade, "grade_one", noted)
    found = grade.grade(folder, here / "sources" / "hw00.ipynb", out, workers=1)
    assert graded == ["another-way", "hard-coded"]
    assert {one.student: one.total for one in found} == {"another-way": 15, "hard-coded": 15, "wrong": 10}
    again = next(one for one in found if one.student == "another-way")
    assert again == replace(results["another-way"])


@pytest.mark.thorough
def test_nobody_is_graded_where_the_solution_fails(tmp_path: Path) -> None:
    source = tiny.source()
    for cell in source.cells:
        cell.source = cell.source.replace("return 0.0 * x - x", "import random\n    return random.random()")
    submit(tmp_path, "hw00", source)
    submit(tmp_path / "class", "a", RELEASED)
    with pytest.raises(grade.GradingError, match="the solution itself fails at negate-"):
        grade.grade(tmp_path / "class", tmp_path / "hw00.ipynb", tmp_path / "grades", workers=1)
    assert not (tmp_path / "grades" / "grades.csv").exists()


def test_without_a_sandbox_it_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found = sandbox.Isolation("limits", "bubblewrap is not installed")
    assert str(found).startswith("NO SANDBOX (bubblewrap is not installed): submissions run as you")
    monkeypatch.setenv("PATH", str(tmp_path))
    sandbox.isolation.cache_clear()
    assert sandbox.isolation() == found
    (tmp_path / "bwrap").write_text("#!/bin/sh\necho no permission >&2\nexit 1\n")
    (tmp_path / "bwrap").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin")
    sandbox.isolation.cache_clear()
    assert sandbox.isolation().reason == "bubblewrap does not work here: no permission"
    sandbox.isolation.cache_clear()


@pytest.mark.thorough
def test_without_a_sandbox_it_grades_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grade, "isolation", lambda: sandbox.Isolation("limits", "a test"))
    source = tiny.write_source(tmp_path / "sources", SECONDS)
    submit(tmp_path / "class", "exits", tiny.answered(RELEASED, square=ANSWERS["exits"][0]))
    looks = "import glob\nassert not glob.glob('../*reference*'), 'found'\n" + tiny.SOLUTIONS["square"]
    submit(tmp_path / "class", "looks", tiny.answered(RELEASED, square=looks))
    exits, looks_around = grade.grade(tmp_path / "class", source, tmp_path / "grades", workers=2)
    assert exits.points == RIGHT | {"square": 0}
    assert looks_around.points == RIGHT
    assert "NO SANDBOX" in json.loads((tmp_path / "grades" / "grades.json").read_text())["isolation"]


# --- who submitted what


def test_names_as_platforms_write_them(tmp_path: Path) -> None:
    for name in ("ana_12_hw01.ipynb", "ana_12_hw01 (2).ipynb", "ana_12_hw01 (10).ipynb", "bob.ipynb", ".DS_Store"):
        (tmp_path / name).write_text("{}")
    for name in ("Cem Öz/a/hw01.ipynb", "Cem Öz/.ipynb_checkpoints/hw01-checkpoint.ipynb", "__MACOSX/hw01.ipynb"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("{}")
    (tmp_path / "link").symlink_to("/")
    found = {each.student: each for each in entries(tmp_path)}
    assert list(found) == ["Cem Öz", "ana_12_hw01", "bob", "link"]
    assert found["ana_12_hw01"].name == "ana_12_hw01 (10).ipynb"
    assert found["ana_12_hw01"].notes == ("3 files, ana_12_hw01 (10).ipynb counts",)
    assert found["Cem Öz"] == Entry("Cem Öz", "Cem Öz/a/hw01.ipynb", tmp_path / "Cem Öz/a/hw01.ipynb")


@pytest.mark.parametrize("rows", ["s1,Ana\nshort\n", 's1,"Ana"\n"s3; 4",Bo\n', "\ufeffs1;Ana\ns3;Öz, Bo\n"])
def test_a_mapping_gives_names(tmp_path: Path, rows: str) -> None:
    (tmp_path / "class").mkdir()
    for name in ("s1.ipynb", "s2.ipynb"):
        (tmp_path / "class" / name).write_text("{}")
    (tmp_path / "students.csv").write_text(rows, encoding="utf-8")
    found = entries(tmp_path / "class", tmp_path / "students.csv")
    assert [(each.student, each.notes) for each in found] == [("Ana", ()), ("s2", ("not in the list of students",))]


def test_commas_in_a_mapping_with_semicolons_belong_to_names(tmp_path: Path) -> None:
    (tmp_path / "class" / "Öz, Ana_12").mkdir(parents=True)
    (tmp_path / "students.csv").write_text("Öz, Ana_12;Öz, Ana\n", encoding="utf-8")
    (found,) = entries(tmp_path / "class", tmp_path / "students.csv")
    assert found == Entry("Öz, Ana", "", None)


@pytest.mark.parametrize("content", [b"", b"s1\ts2\n", "s1;Zoë".encode("cp1252"), "s1,Zoë".encode("utf-16")])
def test_a_mapping_that_cannot_be_read_says_what_it_must_hold(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "students.csv").write_bytes(content)
    with pytest.raises(MappingError, match=r"students.csv: .*two columns, separated by comma or semicolon, in UTF-8"):
        entries(tmp_path, tmp_path / "students.csv")


def test_a_file_name_may_be_anything(tmp_path: Path) -> None:
    for name in (b"\xff.ipynb", b"two\nlines.ipynb", "ö".encode() * 120 + b".ipynb"):
        (Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name))).write_text("{}")
    students = sorted(each.student for each in entries(tmp_path))
    assert students[:2] == ["?", "two?lines"]
    assert {each.name for each in entries(tmp_path)} >= {"?.ipynb", "two?lines.ipynb"}
    assert students[2].startswith("ööö")
    assert len(students[2].encode()) <= 200


@pytest.mark.parametrize("there", [True, False])
def test_an_empty_folder_is_said(tmp_path: Path, there: bool) -> None:
    with pytest.raises(FileNotFoundError, match="is empty" if there else "there is no folder"):
        entries(tmp_path if there else tmp_path / "x")


def graft_of(**answers: Any) -> list[NotebookNode]:
    return homework.graft(tiny.source(), tiny.answered(RELEASED, **answers)).cells


def test_where_the_grader_fails_one_student_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The others are graded, and the next grading tries that one again."""
    official = grade.Official(tiny.source(), {}, "limits", "digest")
    submit(tmp_path, "a", RELEASED)
    entry = Entry("a", "a.ipynb", tmp_path / "a.ipynb")

    def crash(*args: Any) -> Any:
        raise OSError("the disk is full")

    monkeypatch.setattr(grade, "attempt", crash)
    result = grade._graded(entry, official, "hw00", tmp_path / "out")
    assert result.notes == ["the grader failed: OSError: the disk is full"]
    assert (result.status, result.total) == ("review", 0)
    ran: list[str] = []
    records = {cell.id: {"status": "ok"} for cell in tiny.source().cells}
    monkeypatch.setattr(grade, "attempt", lambda *args: (ran.append("again") or records, None))  # type: ignore[func-returns-value]
    assert grade._graded(entry, official, "hw00", tmp_path / "out").total == 15
    assert grade._graded(entry, official, "hw00", tmp_path / "out").total == 15
    assert ran == ["again"]


def test_who_is_suspected() -> None:
    cells = [new_code_cell("", id="mine", metadata={"rlcourse": {"role": "extra"}}), *graft_of()]
    assert grade._suspects(cells, "mine", set()) == {"mine"}
    assert grade._suspects(cells, "square-hidden", set()) == {"square-answer"}
    assert grade._suspects(cells, "square-hidden", {"square-answer"}) == {"mine", "double-answer"}
    assert grade._suspects(cells, "setup", {"mine"}) == set()
