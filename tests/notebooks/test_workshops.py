"""Every workshop: its pattern, its checks against every small change of its solutions, and its verdict when solved."""

import contextlib
import io
import re
import warnings
from functools import cache
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbformat import NotebookNode

from rlcourse import lessons
from rlcourse.grading import checks, homework
from rlcourse.grading.homework import meta, question, role
from rlcourse.grading.release import student_version
from rlcourse.operations.publish import sources_hash
from tests.broken_agents import BROKEN, table

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
SOURCES = sorted((NOTEBOOKS / "instructor" / "workshops").glob("w??.ipynb"))


@pytest.fixture(params=SOURCES, ids=lambda path: path.stem)
def path(request: pytest.FixtureRequest) -> Path:
    return request.param


@pytest.fixture
def source(path: Path) -> NotebookNode:
    return homework.load(path)


def test_there_are_workshops() -> None:
    assert SOURCES


def test_released_as_it_is(path: Path, source: NotebookNode) -> None:
    released = nbformat.read(NOTEBOOKS / "workshops" / path.name, as_version=4)
    assert released.metadata.rlcourse.source == sources_hash(source), "run `make homework`"
    assert [cell.source for cell in released.cells] == [c.source for c in student_version(source, path.stem).cells]
    assert homework.BEGIN not in nbformat.writes(released)


def test_the_pattern_of_a_workshop(source: NotebookNode) -> None:
    text = "\n".join(cell.source for cell in source.cells if cell.cell_type == "markdown")
    for part in ("Ours until yours", "What will run at the end", "Break it on purpose", "The blank page"):
        assert part in text
    for command in ("rlcourse probe my_agent.py:MyAgent", "rlcourse train my_agent.py:MyAgent", "--compare"):
        assert command in text
    code = "\n".join(cell.source for cell in source.cells if cell.cell_type == "code")
    for call in ("workshop.assemble(", "workshop.probe(", "workshop.race(", "lessons.predict(", ".reveal("):
        assert call in code
    assert code.count("workshop.broken(") == 3
    answers = [cell for cell in source.cells if role(cell) == "answer"]
    assert [meta(cell)["step"] for cell in answers] == list(range(1, len(answers) + 1))
    assert 6 <= len(answers) <= 10
    for number in range(1, len(answers) + 1):
        assert len(re.findall(rf"^## Step {number} · ", text, re.MULTILINE)) == 1
    assert text.count("<summary>Hint</summary>") == text.count("<summary>Pseudo-code</summary>") == len(answers)
    assert code.count("workshop.compare(") == len(answers)


def test_each_step_names_four_mistakes(source: NotebookNode) -> None:
    for cell in (cell for cell in source.cells if role(cell) == "check"):
        named = [line for line in cell.source.splitlines() if re.match(r'\s+"[^"]{20,}": ', line)]
        assert len(named) >= 4 or question(cell) == "mlp", question(cell)


def test_the_parts_are_the_packages_own(source: NotebookNode) -> None:
    for cell in (cell for cell in source.cells if role(cell) == "answer"):
        for part in meta(cell)["parts"]:
            assert lessons.workshop_steps()[part][1] == meta(cell)["step"]


class Kernel:
    """A workshop's setup and answers, run here; `check` says what a step's check prints about an answer to it."""

    def __init__(self, source: NotebookNode) -> None:
        self.cells = [cell for cell in source.cells if role(cell) in ("setup", "answer")]
        self.checks = {question(cell): cell.source for cell in source.cells if role(cell) == "check"}

    def check(self, asked: str, answer: str | None = None) -> list[str]:
        names: dict[str, object] = {}
        out = io.StringIO()
        with contextlib.redirect_stdout(out), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # PyTorch warns of some of the mistakes
            for cell in self.cells:
                exec(answer if answer is not None and question(cell) == asked else cell.source, names)
            for each in self.checks if asked not in self.checks else self._until(asked):
                exec(self.checks[each], names)
        return out.getvalue().splitlines()

    def _until(self, asked: str) -> list[str]:
        """Its check, after those of earlier steps, whose definitions it may use."""
        order = list(self.checks)
        return order[: order.index(asked) + 1]


@cache
def kernel(path: Path) -> Kernel:
    return Kernel(homework.load(path))


def test_the_solution_passes_its_checks_and_a_stub_is_not_yet_yours(path: Path) -> None:
    here = kernel(path)
    last = list(here.checks)[-1]
    assert all(line.startswith(checks.RIGHT) for line in here.check(last))
    here = Kernel(homework.load(path))
    for cell in here.cells:
        cell.source = homework.stub(cell.source)
    said = here.check(last)
    assert said
    assert all(line.endswith("not yet yours") for line in said)


def solved(path: Path, budget: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> NotebookNode:
    monkeypatch.setenv("RLCOURSE_BUDGET", budget)
    notebook = homework.load(path)
    NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(tmp_path)}}).execute()
    return notebook


@pytest.mark.thorough
@pytest.mark.notebook
def test_solved_it_reaches_its_verdict(path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    notebook = solved(path, "test", monkeypatch, tmp_path)
    printed = "".join(o.get("text", "") for c in notebook.cells if c.cell_type == "code" for o in c.outputs)
    assert "runs with the recorded ones" in printed
    assert "✘ The agent" not in printed
    assert "parts of your own" in printed


def test_the_table_of_broken_agents_stands_in_the_first_workshop_that_breaks_a_network() -> None:
    text = "\n".join(cell.source for cell in homework.load(SOURCES[0].with_name("w02.ipynb")).cells)
    assert table() in text
    assert len(BROKEN) >= 20
