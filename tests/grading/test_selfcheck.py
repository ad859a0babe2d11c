"""Plain `pytest --nbval-lax` on a student's notebook, in the folder as students have it."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pytest
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_output

from rlcourse.grading import release, running
from rlcourse.grading.homework import role
from tests.grading import tiny
from tests.grading.test_grade import honest

ROOT = Path(__file__).parents[2]
PYTEST = running.NO_PARSER + "import pytest; sys.exit(pytest.main())"  # as `python -m pytest`, two seconds faster


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("homework")
    release.release(tiny.write_source(path / "sources"), path)
    shutil.copy(ROOT / release.STUDENTS / "conftest.py", path)
    return path


def check(folder: Path, notebook: NotebookNode | None) -> tuple[int, str]:
    """Exit status and output of the command that students are told to run; None is a file that is no notebook."""
    (folder / "hw00.ipynb").write_text("{" if notebook is None else nbformat.writes(notebook))
    command = [sys.executable, "-c", PYTEST, "--nbval-lax", "-p", "no:cacheprovider", "--color=no", "hw00.ipynb"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=environment)
    return done.returncode, done.stdout + done.stderr


def answered(folder: Path, **answers: str) -> NotebookNode:
    return tiny.answered(nbformat.read(folder / release.PRISTINE / "hw00.ipynb", as_version=4), **answers)


@pytest.mark.thorough
def test_right_answers_pass_with_whatever_else_was_saved(folder: Path) -> None:
    notebook = answered(folder)
    for cell in notebook.cells:
        if role(cell) == "check":
            cell.outputs = []
    notebook.cells.insert(3, new_code_cell("1 + 1", outputs=[new_output("stream", text="noise")], execution_count=9))
    status, out = check(folder, notebook)
    assert status == 0, out
    assert "8 passed" in out  # 7 official cells and the own one
    assert "what the grader notes" not in out


@pytest.mark.thorough
def test_a_wrong_answer_fails_though_it_was_saved_as_the_reference(folder: Path) -> None:
    notebook = answered(folder, square="def square(x):\n    return 2 * x")
    for cell in notebook.cells:
        if cell.id == "square-check":
            cell.outputs = [new_output("stream", text="✘ of 3: it returned 6.0, right is 9.0. See the title.\n")]
            cell.source, cell.execution_count = "print('nothing to see')", 3
    status, out = check(folder, notebook)
    assert status == 1
    assert "1 failed, 6 passed" in out
    assert "✘ of 3: it returned 6.0, right is 9.0. See the title." in out


@pytest.mark.thorough
def test_it_agrees_with_the_grade_and_says_what_is_left_out(folder: Path) -> None:
    """Honest habits pass here and there; own cells cannot fail; one is told that one's own check is left out."""
    notebook = honest()
    next(cell for cell in notebook.cells if cell.id == "double-check").source = "print('my own check')"
    notebook.cells[2].source = "helper = 1\nraise RuntimeError('mine')"
    path = folder / release.PRISTINE / "hw00.ipynb"
    before = path.read_text()
    path.write_text(before.replace('"seconds": 20', '"seconds": 4'))
    status, out = check(folder, notebook)
    path.write_text(before)
    assert status == 0, out
    left_out = out.partition("what the grader notes, and does not run")[2]
    assert "negate: 2 answer cells, run one after the other" in left_out
    assert "your change of the check double-check: it runs as released" in left_out
    assert "your own cell 3 raised an exception: RuntimeError: mine" in left_out
    assert "your own cell 5 was not run: those before it took all the time" in left_out


@pytest.mark.thorough
def test_what_takes_too_long_for_the_grade_fails_here_too(folder: Path) -> None:
    path = folder / release.PRISTINE / "hw00.ipynb"
    before = path.read_text()
    path.write_text(before.replace('"seconds": 20', '"seconds": 1'))
    slow = "import time\ndef square(x):\n    start = time.process_time()\n"
    slow += "    while time.process_time() < start + 1.2:\n        pass\n    return x * x"
    sleeps = "import time\ntime.sleep(1.5)\ndouble = lambda x: 2 * x"
    status, out = check(folder, answered(folder, square=slow, double=sleeps))
    path.write_text(before)
    assert status == 1
    assert "1 failed, 6 passed" in out
    assert "seconds of processor time; the grade allows 1" in out


@pytest.mark.thorough
def test_an_endless_loop_is_interrupted_and_named(folder: Path) -> None:
    path = folder / release.PRISTINE / "hw00.ipynb"
    before = path.read_text()
    path.write_text(before.replace('"seconds": 20', '"seconds": 1'))
    start = time.monotonic()
    status, out = check(folder, answered(folder, square="def square(x):\n    while True:\n        x += 0"))
    path.write_text(before)
    assert status == 1
    assert time.monotonic() - start < 100
    assert "1 failed, 6 passed" in out
    assert "square-check: stopped after 1 seconds: a loop without an end?" in out
    assert "while True" in out


@pytest.mark.thorough
def test_after_an_answer_that_is_no_code_its_check_says_what_is_missing(folder: Path) -> None:
    status, out = check(folder, answered(folder, square="def square(x)\n    return x * x"))
    assert status == 1
    assert "2 failed, 5 passed" in out
    assert "expected ':'" in out
    assert "square-check: NameError: name 'square' is not defined: the cell that makes it has failed, see above" in out
    assert out.count("Check(") == 0, "the check's own cell says nothing to a student"


@pytest.mark.thorough
def test_tampered_checks_fail_with_the_remedy(folder: Path) -> None:
    notebook = answered(folder)
    for cell in notebook.cells:
        if cell.id == "square-check":
            cell.metadata["tags"] = ["nbval-skip"]
    notebook.cells = [cell for cell in notebook.cells if cell.id != "negate-check"]
    status, out = check(folder, notebook)
    assert status == 1
    assert "2 failed, 7 passed" in out
    assert "the tags of the check square-check were changed to ['nbval-skip']: take them off" in out
    assert "the check negate-check is missing: copy it back from the released notebook" in out


@pytest.mark.thorough
def test_a_module_beside_the_notebook_and_a_dead_kernel_are_said(folder: Path) -> None:
    """The first is not handed in, so the verdict must be the grade's; for the second nobody waits minutes."""
    (folder / "helpers.py").write_text("def power(x):\n    return x * x")
    start = time.monotonic()
    square = "from helpers import power\ndef square(x):\n    return power(x)"
    status, out = check(folder, answered(folder, square=square, negate="import os\nos._exit(0)"))
    (folder / "helpers.py").unlink()
    assert status == 1
    assert time.monotonic() - start < 150  # each cell may take 200
    assert "No module named 'helpers'" in out
    assert "the module helpers beside your notebook: nobody hands it in, so put it into a cell" in out
    assert "the kernel died: exit, os._exit, out of memory, or a crash" in out
    assert "4 failed, 3 passed" in out


@pytest.mark.thorough
def test_a_broken_notebook_says_so(folder: Path) -> None:
    status, out = check(folder, None)
    assert status == 1
    assert "hw00.ipynb: it is no notebook" in out
