"""A class of honest, careless and hostile students, graded together: what each of them gets, and that nobody else pays.

The homework has three questions of five points, 1 for the visible check and 4 for the hidden one. To start a kernel is
what costs: so most submissions try something else in each of their answers.
"""

import contextlib
import csv
import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Any

import nbformat
import psutil
import pytest
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell

from rlcourse.grading import grade, gradebook, homework, limits, running, sandbox
from rlcourse.grading.persons import Entry
from rlcourse.grading.release import student_version
from rlcourse.grading.result import Records, Result
from rlcourse.grading.running import GradingError
from rlcourse.grading.submissions import graft
from tests.grading import tiny

RIGHT = {"double": 5.0, "square": 5.0, "negate": 5.0}
VALUES = {"double": "2 * x", "square": "x * x", "negate": "-x"}
NAP = str(10**7 + os.getpid())  # seconds: of this run and no other on the machine
SECONDS = 1.5  # of processor time of a cell: a busy machine does not matter
RELEASED = student_version(tiny.source(), "hw00")
OFFICIAL = grade.Official("hw00", tiny.source(), {}, "digest")
OK = "def F(x):\n    return VALUE"
FORKS = "import os\nfor _ in range(200):\n    if os.fork() == 0:\n        while True:\n            pass\n" + OK

# What stands in place of each answer (F is its name, VALUE what it should return), the worst verdict of the question's
# cells, and its points; questions that are not named are right.
Answers = dict[str, tuple[str, str, float]]
ANSWERS: dict[str, Answers] = {
    "other-ways": {
        "double": ("F = lambda x: VALUE", "ok", 5),
        "square": ("def F(x):\n    print('debugging', x)\n    return VALUE\nprint('✔ of 3')", "ok", 5),
        "negate": ("%cd /\n!echo hello\ndef F(x):\n    return VALUE", "ok", 5),
    },
    "wrong": {
        "double": ("def F(x):\n    return 7 * x", "wrong", 0),
        "square": ("def F(x):\n    return 9.0", "wrong", 1),
        "negate": ("def F(x):\n    return 0.0\nprint('rlcourse-values: [-3.0]')", "wrong", 0),
    },
    "errors": {
        "double": ("def F(x):\n    return undefined", "error", 0),
        "square": ("def F(x:\n    return x", "error", 0),
        "negate": ("raise RuntimeError('x' * 100_000)", "error", 0),
    },
    "tricks": {
        "double": ("waste = bytearray(10 * 10**9)", "error", 0),
        "square": (
            f"import subprocess\nsubprocess.Popen(['sleep', '{NAP}'], start_new_session=True)\n{OK}",
            "ok",
            5,
        ),
        "negate": (
            "from IPython.core.interactiveshell import InteractiveShell as shell\n"
            "shell.showtraceback = lambda *args, **kwargs: None\n1 / 0",
            "error",
            0,
        ),
    },
    "hangs": {
        "double": ("def F(x):\n    while True:\n        pass", "timeout", 0),
        "negate": ("while True:\n    pass", "timeout", 0),
    },
    "kills": {
        "double": ("import os\ndef F(x):\n    os._exit(0)", "died", 0),
        "square": (f"exit()\n{OK}", "died", 0),  # the kernel ends after its reply: the next cell is not to blame
        "negate": (
            "import os, signal\nos.kill(os.getppid(), signal.SIGKILL)\nos.kill(os.getpid(), signal.SIGKILL)",
            "died",
            0,
        ),
    },
    "floods": {"square": ("while True:\n    print('x' * 10_000)", "output-limit", 0)},
    "forks": {"square": (FORKS, "died", 0)},
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
# What only a sandbox stops: each raises unless it could, and so has no points.
MOUNT = "import ctypes, os\nlibc = ctypes.CDLL(None)\nassert libc.mount(None, {place!r}, None, 32 | 4096, None) == 0"
ESCAPES: dict[str, dict[str, str]] = {
    "reads": {
        "double": "import glob\nopen(glob.glob('{here}/**/*.ipynb', recursive=True)[0])",
        "square": "open('{here}/grades/.grading.json')",
        "negate": "import socket\nsocket.create_connection(('127.0.0.1', {port}), timeout=2)",
    },
    "writes": {
        "double": "open('{here}/forged', 'w').write('x')",
        "square": "import rlcourse\nopen(rlcourse.__file__, 'a').write(' ')",
        "negate": "open('/tmp/large', 'wb').write(bytes(50_000_000))",
    },
    "mounts": {
        "double": MOUNT.format(place=os.fsencode(sandbox.PACKAGE))
        + "\nimport rlcourse\nopen(rlcourse.__file__, 'a').write(' ')",
        "square": "import ctypes\nassert ctypes.CDLL(None).unshare(0x10000000) == 0",
        "negate": "open('/dev/x', 'w')\nopen('/x', 'w')",
    },
    "stays": {  # 100 MB of scratch and no more, in files of 10
        "double": "for n in range(20):\n    open(f'/tmp/{{n}}', 'wb').write(bytes(9_000_000))",
        "square": "import os\nos.symlink('{here}/outside', 'a link')\nos.chmod('a link', 0o777)",
        "negate": "open('/proc/sys/kernel/core_pattern', 'a')",
    },
}
# Graded in `make test-slow` only: what they try, tests of the sandbox and of the limits try without a kernel, too.
RARE = ("forks", "rewrites-cells", "mounts", "stays")
pytestmark = pytest.mark.timeout(3600)  # the first test waits for the whole class: 60 seconds on two idle cores
needs_sandbox = pytest.mark.skipif(sandbox.isolation().level != "bubblewrap", reason=str(sandbox.isolation()))


def submit(folder: Path, name: str, notebook: NotebookNode) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, folder / f"{name}.ipynb")
    return folder / f"{name}.ipynb"


def answered(**answers: str) -> NotebookNode:
    def filled(name: str, text: str) -> str:
        return text.replace("F(", f"{name}(").replace("F =", f"{name} =").replace("VALUE", VALUES[name])

    return tiny.answered(RELEASED, **{name: filled(name, text) for name, text in answers.items()})


def marked(names: Iterable[str]) -> list[Any]:
    return [pytest.param(name, marks=pytest.mark.slow) if name in RARE else name for name in names]


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("class")


@pytest.fixture(scope="module")
def results(here: Path) -> dict[str, Result]:
    hostile_files(here / "class")
    try:
        return graded(here, {*ANSWERS, *MEDDLERS, *ESCAPES} - {*RARE})
    finally:
        limits.remove(here / "class" / "nested")  # pytest could not


@pytest.fixture(scope="module")
def rare(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Result]:
    return graded(tmp_path_factory.mktemp("rare"), {*RARE})


@pytest.fixture
def one(request: pytest.FixtureRequest, name: str) -> Result:
    """What the student of this name gets."""
    found: dict[str, Result] = request.getfixturevalue("rare" if name in RARE else "results")
    return found[name]


def graded(here: Path, names: Collection[str]) -> dict[str, Result]:
    """What these students get, and whoever else is in the class."""
    source = tiny.write_source(here / "sources", SECONDS)
    (here / "outside").write_text("x")
    (here / "outside").chmod(0o400)
    with socket.create_server(("127.0.0.1", 0)) as server:
        for name in names:
            submit(here / "class", name, answers_of(name, here, server.getsockname()[1]))
        grade.grade(here / "class", source, here / "grades", workers=2)
    stored = json.loads((here / "grades" / "grades.json").read_text())["students"]
    return {one["student"]: Result(**{k: v for k, v in one.items() if k not in ("total", "status")}) for one in stored}


def answers_of(name: str, here: Path, port: int) -> NotebookNode:
    if name in ANSWERS:
        return answered(**{question: text for question, (text, _, _) in ANSWERS[name].items()})
    if name in MEDDLERS:
        return tiny.answered(RELEASED, square=MEDDLERS[name][0])
    texts = {q: f"{text.format(here=here, port=port)}\n{tiny.SOLUTIONS[q]}" for q, text in ESCAPES[name].items()}
    return tiny.answered(RELEASED, **texts)


def hostile_files(folder: Path) -> None:
    right = tiny.answered(RELEASED)
    bo = folder / "Bo Berg_77_assignsubmission_file_"
    submit(bo, "hw00", tiny.answered(RELEASED, square="old"))
    submit(bo, "hw00 (1)", honest())
    (bo / "conftest.py").write_text("raise SystemExit('in the grader')")
    other = tiny.answered(RELEASED)
    other.metadata["rlcourse"]["homework"] = "hw07"
    submit(bo, "hw07 (9)", other)
    submit(folder, "another-homework", other)
    submit(folder, "edited", edited())
    (folder / "truncated.ipynb").write_text(nbformat.writes(right)[:500])
    (folder / "link.ipynb").symlink_to(folder / "edited.ipynb")
    (folder / "empty").mkdir()
    (folder / "=cmd()<script>.ipynb").write_bytes(b"\xff\xfe\x00")
    nested(folder / "nested", 1000)


def nested(place: Path, depth: int) -> None:
    """Folders in folders, deeper than a path may be long."""
    place.mkdir()
    top = at = os.open(place, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir("folder", dir_fd=at)
        inner = os.open("folder", os.O_RDONLY, dir_fd=at)
        if at != top:
            os.close(at)
        at = inner
    os.close(at)
    os.close(top)


def honest() -> NotebookNode:
    """What honest students do, all at once: an import in the setup, a helper in a copy of it, an answer in two."""
    notebook = tiny.answered(
        RELEASED, double="def double(x):\n    return math.fsum([x, x])", square="def square(x):\n    return power(x)"
    )
    setup = next(cell for cell in notebook.cells if cell.id == "setup")
    copied = new_code_cell(f"{setup.source}\ndef power(x):\n    return x * x", metadata=setup.metadata)
    setup.source += "\nimport math"
    names = [cell.id for cell in notebook.cells]
    answer = notebook.cells[names.index("negate-answer")]
    answer.source = "def minus(x):\n    return -x"
    second = new_code_cell("def negate(x):\n    return minus(x)", metadata=answer.metadata)
    notebook.cells.insert(names.index("negate-answer") + 1, second)
    notebook.cells.insert(names.index("square-answer"), copied)
    # Experiments that nobody waits for: together they take no longer than one may.
    notebook.cells[2:2] = [new_code_cell("seed = 3\nwhile True:\n    pass") for _ in range(20)]
    return notebook


def edited() -> NotebookNode:
    """Checks that were made to say nothing, in another order, with an answer that holds half a character."""
    notebook = tiny.answered(RELEASED, square="name = '\\ud800'\n" + tiny.SOLUTIONS["square"])
    for cell in notebook.cells:
        if homework.role(cell) == "check":
            cell.source, cell.metadata["tags"] = "pass", ["nbval-skip", "raises-exception"]
            cell.outputs = [nbformat.v4.new_output("stream", name="stdout", text="✔ forged")]
    notebook.cells = [cell for cell in reversed(notebook.cells) if cell.id != "negate-check"]
    notebook.metadata["kernelspec"] = {"name": "no-such-kernel", "display_name": "x"}
    return notebook


def worst(result: Result, question: str) -> str:
    statuses = {cell["status"] for name, cell in result.cells.items() if name.startswith(question)}
    return next(each for each in ("timeout", "died", "output-limit", "error", "wrong", "ok") if each in statuses)


@pytest.mark.thorough
@pytest.mark.parametrize("name", marked(ANSWERS))
def test_an_answer_costs_its_own_question_only(one: Result, name: str) -> None:
    expected = RIGHT | {question: points for question, (_, _, points) in ANSWERS[name].items()}
    assert one.points == expected, one.cells
    for question, (_, status, _) in ANSWERS[name].items():
        assert worst(one, question) == status
    assert one.notes == ([grade.SLOW] if name == "hangs" else [])
    assert one.isolation == str(sandbox.isolation())


@pytest.mark.thorough
def test_only_the_cell_that_took_too_long_fails(results: dict[str, Result]) -> None:
    cells = {name: cell["status"] for name, cell in results["hangs"].cells.items()}
    assert cells["double-answer"] == cells["square-answer"] == "ok"
    assert cells["double-check"] == cells["double-hidden"] == cells["negate-answer"] == "timeout"
    assert results["hangs"].fingerprint == ""  # it is never the last word
    assert results["hangs"].status == "review"
    assert 3 * SECONDS <= results["hangs"].seconds <= 6 * SECONDS


@pytest.mark.thorough
@pytest.mark.parametrize("name", marked(MEDDLERS))
def test_meddling_does_not_pay(one: Result, name: str) -> None:
    assert one.points == RIGHT | MEDDLERS[name][1]


@needs_sandbox
@pytest.mark.thorough
@pytest.mark.parametrize("name", marked(ESCAPES))
def test_nothing_gets_out(one: Result, tmp_path_factory: pytest.TempPathFactory, name: str) -> None:
    failed = {question: worst(one, question) for question in ESCAPES[name]}
    assert failed == dict.fromkeys(ESCAPES[name], "error")
    assert one.points == dict.fromkeys(RIGHT, 0.0)
    place = tmp_path_factory.getbasetemp()
    assert not list(place.glob("*/forged"))
    assert {stat.S_IMODE(path.stat().st_mode) for path in place.glob("*/outside")} == {0o400}


@pytest.mark.thorough
def test_honest_habits_cost_nothing(results: dict[str, Result]) -> None:
    found = results["Bo Berg_77_assignsubmission_file_"]
    assert found.points == RIGHT
    assert found.notes == ["3 files, hw00 (1).ipynb counts", "negate: 2 answer cells, run one after the other"]


@pytest.mark.thorough
def test_what_became_of_the_checks_does_not_matter(results: dict[str, Result]) -> None:
    assert results["edited"].points == RIGHT
    assert results["edited"].notes == []
    assert results["edited"].left_out[0] == "your change of the check square-check: it runs as released"


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("name", "note"),
    [
        ("another-homework", "it is another homework: hw07"),
        ("truncated", "it is no notebook"),
        ("link", "it is a link"),
        ("empty", "there is no notebook"),
        ("=cmd()<script>", "it is no notebook"),
        ("nested", "its folders are nested more than 8 deep"),
    ],
)
def test_what_cannot_be_graded_is_for_a_person(results: dict[str, Result], name: str, note: str) -> None:
    assert results[name].total == 0
    assert results[name].status == "review"
    assert results[name].notes[-1].startswith(note)


@pytest.mark.thorough
def test_nothing_is_left_behind(results: dict[str, Result]) -> None:
    assert results["tricks"].points["square"] == 5
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # it may have ended meanwhile, or be somebody else's
            assert NAP.encode() not in path.read_bytes().split(b"\0")
    assert not list(limits.CGROUPS.glob(f"*/rlcourse-{os.getpid()}-*"))


@pytest.mark.thorough
def test_the_gradebook(results: dict[str, Result], here: Path) -> None:
    with (here / "grades" / "grades.csv").open(newline="", encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file))
    assert (rows[0]["student"], rows[0]["total"]) == ("(most)", "15")
    totals = [result.total for result in results.values() if result.submission]
    assert (rows[1]["student"], rows[1]["total"]) == ("(mean)", f"{sum(totals) / len(totals):.2f}")
    by_name = {row["student"]: row for row in rows[2:]}
    assert len(by_name) == len(results) == len({*ANSWERS, *MEDDLERS, *ESCAPES} - {*RARE}) + 8
    assert by_name["wrong"]["total"] == "1"
    assert by_name["'=cmd()<script>"]["status"] == "review"  # no formula for a spreadsheet
    assert stat.S_IMODE((here / "grades" / grade.STATE).stat().st_mode) == 0o600
    everything = json.loads((here / "grades" / "grades.json").read_text())
    assert everything["isolation"] == [str(sandbox.isolation())]
    passed = sum(result.cells["square-hidden"]["status"] == "ok" for result in results.values())
    assert everything["statistics"]["square-hidden"]["statuses"]["ok"] == passed


@pytest.mark.thorough
def test_feedback_explains_and_keeps_secrets(results: dict[str, Result], here: Path) -> None:
    pages = {path.stem: path.read_text(encoding="utf-8") for path in (here / "grades" / "feedback").iterdir()}
    assert set(pages) == set(results)
    assert "1 of 15 points" in pages["wrong"]
    assert "it returned 21.0, right is 6.0" in pages["wrong"]
    assert "the cell ran; the checks say whether it is right" in pages["wrong"]
    assert "think of square again" in pages["wrong"]
    assert "took too long" in pages["hangs"]
    assert "stopped after 1.5 seconds of processor time" in pages["hangs"]
    for name, text in pages.items():
        assert "secret_" not in text, name
        assert "rlcourse-values: [9" not in text, name
        assert "<script>" not in text, name
        assert len(text) < 30_000, name
    with zipfile.ZipFile(here / "grades" / "feedback.zip") as bundle:
        assert sorted(bundle.namelist()) == sorted(f"{name}.html" for name in pages)
    review = (here / "grades" / "review" / "double.html").read_text(encoding="utf-8")
    assert "while True:" in review
    assert "stopped after 1.5 seconds of processor time" in review
    assert "tricks" not in review  # nothing to look at


@pytest.mark.thorough
def test_grading_again_keeps_what_is_done_and_agrees(
    results: dict[str, Result], here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a grading that was killed: some results are there, one is not, one is cut short, one was handed in anew.

    And an assistant's decision survives.
    """
    folder, out = tmp_path / "class", tmp_path / "grades"
    names = ("wrong", "errors", "other-ways", "floods")
    folder.mkdir()
    for name in names:
        shutil.copy(here / "class" / f"{name}.ipynb", folder)
        gradebook.stored(out, name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(gradebook.stored(here / "grades", name), gradebook.stored(out, name))
    shutil.copy(here / "grades" / grade.STATE, out)
    gradebook.stored(out, "errors").unlink()
    gradebook.stored(out, "other-ways").write_text("")
    submit(folder, "floods", tiny.answered(RELEASED))
    (out / gradebook.BY_HAND).write_text("student,question,points,comment\nerrors,square,3.5,a slip of the pen\n")
    run, ran = running.run, []
    prepare, prepared = grade.prepare, []

    def noted(job: running.Job) -> running.Run:
        ran.append(job)
        return run(job)

    def kept(*args: Any) -> grade.Official:
        prepared.append(prepare(*args))
        return prepared[-1]

    monkeypatch.setattr(running, "run", noted)
    monkeypatch.setattr(grade, "prepare", kept)
    found = {
        one.student: one for one in grade.grade(folder, here / "sources" / "hw00.ipynb", out, students=None, workers=2)
    }
    assert len(ran) == 2 + 3  # the solution twice
    assert {name: one.total for name, one in found.items()} == {
        "wrong": 1, "errors": 3.5, "other-ways": 15, "floods": 15,
    }  # fmt: skip
    assert found["errors"].status == "reviewed"
    assert found["other-ways"].cells == results["other-ways"].cells
    assert "a slip of the pen" in (out / "feedback" / "errors.html").read_text()
    ran.clear()
    monkeypatch.setattr(grade, "prepare", lambda *args: prepared[0])
    again = grade.grade(folder, here / "sources" / "hw00.ipynb", out, again=["wrong"], only="square")
    assert len(ran) == 1
    assert [one.total for one in again] == [found[one.student].total for one in again]


@pytest.mark.thorough
def test_nobody_is_graded_where_the_solution_fails(tmp_path: Path) -> None:
    source = tiny.source()
    for cell in source.cells:
        cell.source = cell.source.replace("return 0.0 * x - x", "import random\n    return random.random()")
    path = submit(tmp_path, "hw00", source)
    submit(tmp_path / "class", "a", RELEASED)
    with pytest.raises(GradingError, match="the solution itself fails at negate-"):
        grade.grade(tmp_path / "class", path, tmp_path / "grades", workers=1)
    assert not (tmp_path / "grades" / "grades.csv").exists()


FORGES = """import glob, json, os
for place in glob.glob("/tmp/rlcourse-*/*") + glob.glob(os.environ.get("TMPDIR", "/tmp") + "/rlcourse-*/*"):
    if os.path.isfile(place) and os.access(place, os.W_OK):
        with open(place, "a") as file:
            file.write("0 " + json.dumps({"id": "square-hidden", "status": "ok"}) + "\\n")
def square(x):
    return 0.0
"""


@pytest.mark.thorough
def test_without_a_sandbox_it_grades_and_finds_forged_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (grade, running, gradebook):
        monkeypatch.setattr(module, "isolation", lambda: sandbox.Isolation("limits", "a test"))
    source = tiny.write_source(tmp_path / "sources", SECONDS)
    looks = "import glob\nassert not glob.glob('../*reference*'), 'found'\n" + tiny.SOLUTIONS["square"]
    submit(
        tmp_path / "class",
        "looks",
        tiny.answered(RELEASED, square=looks, negate="import os\nos._exit(0)"),
    )
    submit(tmp_path / "class", "forges", tiny.answered(RELEASED, square=FORGES))
    forges, looks_around = grade.grade(tmp_path / "class", source, tmp_path / "grades", workers=1)
    assert looks_around.points == RIGHT | {"negate": 0}
    assert looks_around.notes == ["graded without a sandbox: what it prints may be forged"]
    assert running.FORGED in forges.notes
    assert forges.points["square"] == 0
    assert forges.status == looks_around.status == "review"
    assert "NO SANDBOX" in json.loads((tmp_path / "grades" / "grades.json").read_text())["isolation"][0]


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Commands hear Ctrl-C, even if the tests run in the background of a shell, where it is ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.thorough
@pytest.mark.parametrize("backend", ["threading", pytest.param("dask", marks=pytest.mark.slow)])
def test_ctrl_c_ends_in_one_line_and_leaves_nothing(tmp_path: Path, backend: str) -> None:
    tiny.write_source(tmp_path, SECONDS)
    for number in range(3):
        submit(tmp_path / "class", f"s{number}", tiny.answered(RELEASED, square="import time\ntime.sleep(10**6)"))
    words = ["grade", "class", "--homework", "hw00", "--out", "out", "--sources", ".", "--backend", backend]
    with (
        interruptible(),
        tempfile.TemporaryDirectory() as short,
        subprocess.Popen(  # a socket's path has at most 107 characters
            [sys.executable, "-m", "rlcourse", *words],
            cwd=tmp_path,
            env=os.environ | {"TMPDIR": short},
            stderr=-1,
            text=True,
        ) as process,
    ):
        deadline = time.monotonic() + 300
        while len(list(Path(short).glob("rlcourse-*/sockets"))) < 2 or not (tmp_path / "out" / grade.STATE).exists():
            assert time.monotonic() < deadline
            assert process.poll() is None, process.communicate()[1]
            time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=2 * running.STOPPED)
        assert not list(Path(short).iterdir())
    assert process.returncode == 1
    assert said.splitlines()[-1] == "rlcourse grade: stopped; run the same command again to go on"
    assert "Traceback" not in said
    assert not list(limits.CGROUPS.glob(f"*/rlcourse-{process.pid}-*"))


@pytest.mark.thorough
def test_a_grading_ends_after_its_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pool's threads end with the process, wherever they are; and Ctrl-C may come while this one removes a folder."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    begun, interrupted, remove = threading.Event(), threading.Event(), limits.remove

    def slowly(folder: Path) -> None:
        time.sleep(0.5)
        if threading.current_thread() is threading.main_thread() and not interrupted.is_set():
            interrupted.set()
            raise KeyboardInterrupt
        remove(folder)

    def work() -> None:
        with running._places("a group"):
            begun.set()
            running.stopping.wait(60)

    monkeypatch.setattr(limits, "remove", slowly)
    running.stopping.clear()
    threading.Thread(target=work, daemon=True).start()
    assert begun.wait(60)
    with pytest.raises(KeyboardInterrupt), running.session(), running._places("another group"):
        pass
    assert not list(tmp_path.iterdir())


@pytest.mark.thorough
def test_a_run_ends_with_its_kernel() -> None:
    """Which is in a session of its own, and outside of bubblewrap does not die with what started it."""
    code = "import subprocess, time\nkernel = subprocess.Popen(['sleep', '60'], start_new_session=True)\n"
    code += "print(kernel.pid, flush=True)\ntime.sleep(60)"
    with subprocess.Popen([sys.executable, "-Sc", code], stdout=subprocess.PIPE, start_new_session=True) as process:
        assert process.stdout is not None
        kernel = psutil.Process(int(process.stdout.readline()))
        running._end(process)
    with contextlib.suppress(psutil.NoSuchProcess):
        assert kernel.status() == psutil.STATUS_ZOMBIE


@pytest.mark.slow
def test_on_a_dask_cluster(tmp_path: Path) -> None:
    """A real cluster of two worker processes on loopback, each of which grades some of the submissions."""
    import distributed

    source = tiny.write_source(tmp_path / "sources", SECONDS)
    for number in range(4):
        submit(tmp_path / "class", f"s{number}", tiny.answered(RELEASED, square=f"def square(x):\n    return {number}"))
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, host="127.0.0.1", dashboard_address=None, local_directory=tmp_path
    ) as cluster:
        found = grade.grade(
            tmp_path / "class", source, tmp_path / "out", backend="dask", scheduler=cluster.scheduler_address
        )
        with distributed.Client(cluster) as client:
            counts = client.run(lambda dask_worker: dask_worker.state.executed_count)
    assert [one.points for one in found] == [RIGHT | {"square": 0}] * 4
    assert all(count > 0 for count in counts.values()), f"a worker did nothing: {counts}"


@needs_sandbox
@pytest.mark.slow
def test_memory_of_all_processes_is_bounded(tmp_path: Path) -> None:
    """Three children, each within its own limit, hold more than a submission may."""
    holds = "import os, time\nchildren = []\nfor _ in range(3):\n    child = os.fork()\n    if child == 0:\n"
    holds += (
        "        waste = b'x' * 1_700_000_000\n        time.sleep(60)\n    children.append(child)\ntime.sleep(25)\n"
    )
    holds += "assert all(os.waitpid(child, os.WNOHANG)[0] == 0 for child in children), 'one was stopped'\n"
    source = tiny.write_source(tmp_path / "sources", 10.0)
    submit(tmp_path / "class", "a", tiny.answered(RELEASED, square=holds + tiny.SOLUTIONS["square"]))
    (found,) = grade.grade(tmp_path / "class", source, tmp_path / "out")
    assert found.points == RIGHT | {"square": 0}
    assert worst(found, "square") in ("died", "error")  # all of it was stopped, or a child


# --- folders that cannot be used


def test_folders_must_not_be_inside_each_other(tmp_path: Path) -> None:
    source = tiny.write_source(tmp_path)
    (tmp_path / "class").mkdir()
    for out in (tmp_path / "class", tmp_path / "class" / "out", tmp_path):
        with pytest.raises(GradingError, match="must not be inside each other"):
            grade.grade(tmp_path / "class", source, out)


@needs_sandbox
def test_what_submissions_can_read_is_no_place_for_secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A repository in /usr/src, say: the solutions, and the grades, would be in every sandbox."""
    source = tiny.write_source(tmp_path / "sources")
    submit(tmp_path / "class", "a", RELEASED)
    for secret in ("sources", "out"):
        monkeypatch.setattr(sandbox, "VISIBLE", (str(tmp_path / secret),))
        with pytest.raises(GradingError, match=f"submissions can read what is in {tmp_path}.*: put .* elsewhere"):
            grade.grade(tmp_path / "class", source, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_two_graders_on_one_folder_are_refused(tmp_path: Path) -> None:
    source = tiny.write_source(tmp_path)
    submit(tmp_path / "class", "a", RELEASED)
    with (
        grade._locked(tmp_path / "class", tmp_path / "out"),
        pytest.raises(GradingError, match="another grading is writing"),
    ):
        grade.grade(tmp_path / "class", source, tmp_path / "out")


def test_another_homework_is_refused_and_a_broken_state_is_not_the_end(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    nonce = grade._nonce(tmp_path, "hw00")
    assert grade._nonce(tmp_path, "hw00") == nonce
    with pytest.raises(
        GradingError, match=f"{tmp_path} holds the grades of hw00: name another folder for those of hw01"
    ):
        grade._nonce(tmp_path, "hw01")
    (tmp_path / grade.STATE).write_text("")
    assert grade._nonce(tmp_path, "hw00") != nonce
    assert "a new random number is drawn" in capsys.readouterr().err


def test_where_the_grader_fails_one_student_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The others are graded, and the next grading tries that one again."""
    source = tiny.write_source(tmp_path)
    submit(tmp_path / "class", "a", tiny.answered(RELEASED))
    submit(tmp_path / "class", "b", tiny.answered(RELEASED, double="def double(x): pass"))
    monkeypatch.setattr(grade, "prepare", lambda *args: OFFICIAL)
    records = {cell.id: {"status": "ok"} for cell in tiny.source().cells}
    ran: list[str] = []

    def run(job: running.Job) -> running.Run:
        ran.append("b" if "pass" in job.notebook else "a")
        if len(ran) < 4 and ran[-1] == "b":
            raise OSError(28, "the disk is full")
        return running.Run(records, "somewhere")

    monkeypatch.setattr(running, "run", run)
    first, second = grade.grade(tmp_path / "class", source, tmp_path / "out", workers=1)
    assert ran == ["a", "b", "b"]  # once more by itself
    assert (first.status, first.total) == ("ok", 15)
    assert (second.status, second.total) == ("review", 0)
    assert second.notes == ["the grader failed: [Errno 28] the disk is full"]
    assert [one.total for one in grade.grade(tmp_path / "class", source, tmp_path / "out", workers=1)] == [15, 15]
    assert [one.total for one in grade.grade(tmp_path / "class", source, tmp_path / "out", workers=1)] == [15, 15]
    assert ran == ["a", "b", "b", "b"]


def test_what_time_decided_is_decided_again_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A neighbour's load costs nothing: the second run counts, and nothing of the first is left."""
    source = tiny.write_source(tmp_path)
    submit(tmp_path / "class", "a", tiny.answered(RELEASED))
    monkeypatch.setattr(grade, "prepare", lambda *args: OFFICIAL)
    verdicts = iter(["timeout", "ok"])

    def run(job: running.Job) -> running.Run:
        status = next(verdicts)
        return running.Run({cell.id: {"status": status} for cell in tiny.source().cells}, "somewhere")

    monkeypatch.setattr(running, "run", run)
    (found,) = grade.grade(tmp_path / "class", source, tmp_path / "out")
    assert (found.status, found.total, found.notes) == ("ok", 15, [])
    (found,) = grade.grade(tmp_path / "class", source, tmp_path / "out")
    assert found.total == 15


def test_a_hidden_check_shows_its_hint_and_the_kind_of_an_exception() -> None:
    records = {
        "double-hidden": {"status": "error", "message": "Traceback\nIndexError: secret 3"},
        "square-hidden": {"status": "timeout", "message": "stopped after 2 seconds of processor time"},
        "negate-hidden": {"status": "error", "message": "Traceback\nSecret3: oh"},
    }
    todo = grade.Todo(Entry("a", "a.ipynb", None), "")
    run = running.Run(records, "somewhere")
    found = grade._result(todo, run, OFFICIAL, final=True)
    assert {name: found.cells[name]["message"] for name in records} == {
        "double-hidden": "it raised IndexError here: think of double again",
        "square-hidden": "stopped after 2 seconds of processor time",  # true, and no secret
        "negate-hidden": "think of negate again",
    }


def test_what_nobody_wrote_is_not_answered() -> None:
    """Neither wrong nor an exception, also where the answer is a table and the checks find nothing in it."""
    stub = "Traceback\nNotImplementedError: your answer goes here"
    unwritten = "✘ of 3: not answered yet. See the title."
    records: Records = {
        "double-answer": {"status": "ok", "message": ""},
        "double-check": {"status": "wrong", "message": unwritten, "lines": [unwritten]},
        "double-hidden": {"status": "error", "message": stub},
        "square-answer": {"status": "error", "message": stub},
        "square-check": {"status": "wrong", "message": "✘ one choice", "lines": ["✘ one choice"]},
        "square-hidden": {"status": "error", "message": "Traceback\nKeyError: 'A'"},
        "negate-answer": {"status": "ok", "message": ""},
        "negate-check": {"status": "wrong", "message": "✘ 2", "lines": ["✘ 2", unwritten]},
        "negate-hidden": {"status": "error", "message": "Traceback\nNotImplementedError: not here"},
    }
    run = running.Run(records, "somewhere")
    found = grade._result(grade.Todo(Entry("a", "a.ipynb", None), ""), run, OFFICIAL, final=True)
    assert {name: (cell["status"], cell["message"]) for name, cell in found.cells.items()} == {
        "double-answer": ("ok", ""),
        "double-check": ("unanswered", unwritten),
        "double-hidden": ("unanswered", "think of double again"),
        "square-answer": ("unanswered", ""),
        "square-check": ("unanswered", "✘ one choice"),
        "square-hidden": ("unanswered", "think of square again"),
        "negate-answer": ("ok", ""),
        "negate-check": ("wrong", "✘ 2"),
        "negate-hidden": ("error", "it raised NotImplementedError here: think of negate again"),
    }
    assert found.status == "error"


# --- which cell is left out


def runs(monkeypatch: pytest.MonkeyPatch, stops: dict[str, str]) -> list[list[str]]:
    """Let cells stop the kernel: instead of a run there are verdicts. Returns what was in each run."""
    seen: list[list[str]] = []

    def attempt(cells: list[NotebookNode], job: Any, own: float, rest: float) -> Any:
        seen.append([cell.id for cell in cells])
        if "own-0-extra" not in seen[-1]:  # because of which the setup stopped
            stops.pop("setup", None)
        found: dict[str, dict[str, Any]] = {}
        for cell in cells:
            found[cell.id] = {"status": stops.get(cell.id, "ok"), "message": "", "seconds": 1.0}
            if cell.id in stops:
                return found, cell.id, []
        return found, None, []

    monkeypatch.setattr(running, "attempt", attempt)
    return seen


def job(**answers: str) -> running.Job:
    notebook = tiny.answered(RELEASED, **answers)
    notebook.cells.insert(0, new_code_cell("mine()"))
    return running.Job.of(graft(tiny.source(), notebook).cells, {}, 20.0)


@pytest.mark.parametrize(
    ("stops", "left_out", "died"),
    [
        ({"own-0-extra": "died"}, {"own-0-extra"}, set()),
        ({"square-check": "died"}, {"square-check"}, {"square-check"}),
        (
            {"square-answer": "died"},
            {"square-answer", "square-check", "square-hidden"},
            {"square-answer", "square-check", "square-hidden"},
        ),
        ({"setup": "output-limit"}, {"own-0-extra"}, set()),
    ],
)
def test_what_stops_the_kernel_is_left_out(
    monkeypatch: pytest.MonkeyPatch, stops: dict[str, str], left_out: set[str], died: set[str]
) -> None:
    seen = runs(monkeypatch, stops)
    found = running.run(job())
    assert set(seen[0]) - set(seen[1]) == left_out
    assert len(seen) == 2
    assert {name for name, record in found.records.items() if record["status"] == "died"} == died


def test_there_is_an_end_to_runs_and_time(monkeypatch: pytest.MonkeyPatch) -> None:
    everything = {f"{name}-{kind}": "died" for name in VALUES for kind in ("answer", "check", "hidden")}
    seen = runs(monkeypatch, {name: "died" for name in everything if "answer" not in name})
    found = running.run(job())
    assert len(seen) == running.ATTEMPTS
    assert found.slow == ("not run" in {record["status"] for record in found.records.values()})
    seen = runs(monkeypatch, everything)
    monkeypatch.setattr(limits, "CELLS", 0)
    running.run(job())
    assert len(seen) == 1


def test_a_setup_that_stops_by_itself_is_the_graders_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "attempt", lambda *args: ({"setup": {"status": "died"}}, "setup", []))
    with pytest.raises(GradingError, match="cell setup stopped the kernel although nothing of the student's"):
        running.run(running.Job.of(homework.graded(tiny.source()), {}, 20.0))
