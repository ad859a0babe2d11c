"""Every workshop: its pattern, its checks against every small change of its solutions, and its verdict when solved."""

import ast
import contextlib
import io
import json
import re
import textwrap
import tomllib
import warnings
from collections import defaultdict
from functools import cache
from pathlib import Path

import nbformat
import numpy as np
import pytest
import torch
from nbclient import NotebookClient
from nbformat import NotebookNode

from rlcourse import curves, datasets, lessons, workshop
from rlcourse.grading import checks, homework
from rlcourse.grading.homework import meta, question, role
from rlcourse.grading.release import student_version
from rlcourse.operations.publish import sources_hash
from rlcourse.workshop import ladder
from tests.broken_agents import BROKEN, PAGES, table
from tests.grading.changes import mutants

# A student's kernel checks no shapes, as tests do: what is wrong is told by the workshop's own checks.
pytestmark = pytest.mark.usefixtures("unchecked")

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
        assert len(named) >= 4, question(cell)


LONGEST = 180  # words that a reader has before them at once


def test_texts_are_short_and_long_checks_are_folded(path: Path) -> None:
    released = nbformat.read(NOTEBOOKS / "workshops" / path.name, as_version=4)
    for cell in released.cells:
        if cell.cell_type == "markdown":
            text = re.sub(r"^\|.*$", "", cell.source, flags=re.MULTILINE)  # a table is looked up, not read
            folded = re.findall(r"<details>.*?</details>", text, re.DOTALL)
            open_text = re.sub(r"<details>.*?</details>", "", text, flags=re.DOTALL)
            assert max(len(each.split()) for each in (open_text, *folded)) <= LONGEST, cell.id
        elif len(cell.source.splitlines()) > 40:
            assert role(cell) == "setup" or cell.metadata.jupyter.source_hidden, cell.id


def test_the_parts_are_the_packages_own(source: NotebookNode) -> None:
    for cell in (cell for cell in source.cells if role(cell) == "answer"):
        for part in meta(cell)["parts"]:
            assert lessons.workshop_steps()[part][1] == meta(cell)["step"]


class Kernel:
    """A workshop's setup, answers and checks, run here; `check` says what a step's check prints about an answer."""

    def __init__(self, source: NotebookNode, answered: bool = True) -> None:
        cells = [cell for cell in source.cells if role(cell) in ("setup", "answer", "check")]
        self.names: dict[str, object] = {}
        self.answers = {question(cell): cell.source for cell in cells if role(cell) == "answer"}
        self.checks = {question(cell): cell.source for cell in cells if role(cell) == "check"}
        self.said = "".join(
            self._run(cell.source if answered else homework.stub(cell.source), self.names) for cell in cells
        ).splitlines()

    def check(self, asked: str | None, answer: str) -> list[str]:
        names = dict(self.names)
        return (self._run(answer, names) + self._run(self.checks[asked], names)).splitlines()

    @staticmethod
    def _run(source: str, names: dict[str, object]) -> str:
        out = io.StringIO()
        with contextlib.redirect_stdout(out), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # PyTorch warns of some of the mistakes
            exec(compile(source, "a cell", "exec"), names)  # "<string>" is the mark of what `dataclass` writes
        return out.getvalue()


def wrong_answers(path: Path) -> list[tuple[str, str, str]]:
    """The question, what the check must say, and the answer: the solution of which a piece is replaced, or another one.

    They are written by hand in `wNN.mistakes.toml`, beside the source.
    """
    file, found = path.with_suffix(".mistakes.toml"), []
    listed = tomllib.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    for asked, mistakes in listed.items():
        given = kernel(path).answers[asked]
        solutions = [solution[0] for solution in homework.SOLUTION.finditer(given)]  # one of each function
        for says, change in mistakes.items():
            if isinstance(change, str):  # of the first function
                solution = solutions[0]
                indent = solution[: solution.index("#")]
                answer = given.replace(solution, textwrap.indent(change, indent))
            else:
                old, new = change
                assert "\n".join(solutions).count(old) == 1, f"{asked}: {old!r} must stand in the solution once"
                answer = given
                for solution in solutions:
                    answer = answer.replace(solution, solution.replace(old, new))
            found.append((asked, says, answer))
    return found


@cache
def kernel(path: Path) -> Kernel:
    return Kernel(homework.load(path))


def test_the_solution_passes_its_checks_and_a_stub_is_not_yet_yours(path: Path) -> None:
    said = kernel(path).said
    assert said
    assert all(line.startswith(checks.RIGHT) for line in said)
    untouched = Kernel(homework.load(path), answered=False).said
    assert len(untouched) == len(said)
    assert all(line.endswith((": not yet yours", " still to be written")) for line in untouched)


def lines(source: str) -> list[str]:
    """Of the code alone, as `mutants` writes it."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and ast.get_docstring(node):
            del node.body[0]
    return ast.unparse(tree).splitlines()


@pytest.mark.thorough
def test_the_wrong_answers_listed_are_told_what_is_wrong(path: Path) -> None:
    misnamed = []
    for asked, says, answer in wrong_answers(path):
        torch.manual_seed(0)  # some draw from where they should not
        first = next((line for line in kernel(path).check(asked, answer) if line.startswith(checks.WRONG)), "nothing")
        if says not in first:
            misnamed.append(f"{asked}: {says!r} was wanted, said is: {first}")
    assert misnamed == []


def mistakes_named(source: NotebookNode) -> dict[str, list[str]]:
    """By question, the mistakes that its checks can name."""
    found = {}
    for cell in (cell for cell in source.cells if role(cell) == "check"):
        given = [node for node in ast.walk(ast.parse(cell.source)) if isinstance(node, ast.keyword)]
        dicts = [node.value for node in given if node.arg == "mistakes" and isinstance(node.value, ast.Dict)]
        keys = [ast.literal_eval(key) for each in dicts for key in each.keys if key is not None]
        found[str(question(cell))] = keys
    return found


def test_every_mistake_that_a_check_names_is_made_by_a_wrong_answer_listed(path: Path, source: NotebookNode) -> None:
    """Else nobody knows whether real code returns what the check takes for that mistake."""
    listed = wrong_answers(path)
    if not listed:
        pytest.skip(f"{path.stem}.mistakes.toml is not written yet")
    never = [
        f"{asked}: {name}"
        for asked, names in mistakes_named(source).items()
        for name in names
        if not any(asked == other and f"{name}. See".startswith(says) for other, says, _ in listed)
    ]
    assert never == []


@pytest.mark.slow
def test_every_small_change_of_a_solution_is_found(path: Path) -> None:
    """Of what the student writes; but for those that change nothing, listed beside the source, with the reason."""
    here, survivors = kernel(path), []
    alike = json.loads(path.with_suffix(".alike.json").read_text(encoding="utf-8"))
    for asked, answer in here.answers.items():
        given, before = set(lines(homework.stub(answer))), lines(answer)
        for name, changed in mutants(answer).items():
            after = changed.splitlines()
            if any(line in given and line not in after for line in before):
                continue  # a line that the step gives
            try:
                said = here.check(asked, changed)
            except Exception:  # it cannot even be defined, or the check's own arithmetic stops
                continue
            if all(line.startswith(checks.RIGHT) for line in said):
                survivors.append(f"{asked}: {name}")
    assert sorted(survivors) == sorted(alike)


def shown(path: Path, call: str) -> list[str]:
    """The cells that show something by this call."""
    return [cell.source for cell in homework.load(path).cells if role(cell) == "show" and call in cell.source]


def assembled(path: Path) -> dict[str, object]:
    """What the solved workshop has defined when its agents are assembled."""
    names = dict(kernel(path).names)
    for cell in shown(path, "workshop.assemble("):
        exec(cell.replace("workshop.probe(mine)", ""), names)
    return names


@pytest.mark.thorough
def test_the_solved_agents_train_as_the_courses_own(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So what is known of the course's agents, their learning above all, holds for the solutions, too."""
    monkeypatch.setenv("RLCOURSE_BUDGET", "test")
    mine = [each for each in assembled(path).values() if isinstance(each, workshop.Mine)]
    assert mine
    for each in mine:
        assert each.faults == []
        assert each.yours == [*each.whose]
        # Workshop 9's memory draws one random number for a row, the course's tree three.
        theirs = workshop.put(
            each.page, {name: part for name, part in each.parts.items() if name != "PrioritizedReplay"}
        )
        for left, other in zip(ladder.trial(theirs), ladder.trial(each.page), strict=True):
            assert left.keys() <= other.keys()  # the course's have more, for pictures
            for name in left:
                if not isinstance(left[name], dict):  # a whole rollout
                    np.testing.assert_allclose(left[name], other[name], rtol=1e-4, err_msg=name)


@pytest.mark.filterwarnings("ignore:Using a target size")  # a (B, 1) and a (B,), on purpose
def test_every_mistake_made_on_purpose_changes_the_solved_agent_and_does_not_stop_it(path: Path) -> None:
    names = assembled(path)
    for cell in shown(path, "workshop.broken("):
        exec(cell, names)
    broken = [each for value in names.values() if isinstance(value, dict) for each in value.values()]
    mistakes = [each for each in broken if isinstance(each, workshop.Mine) and each.change]
    assert len(mistakes) >= 3
    for each in mistakes:
        assert "It changes nothing" not in each.change
        assert len([*ladder.trial(each.module)]) > 1


# One in `make test`: nbval runs them all as they are handed out, and the solutions pass their checks above.
@pytest.mark.thorough
@pytest.mark.notebook
@pytest.mark.parametrize(
    "path",
    [pytest.param(path, id=path.stem, marks=() if path.stem == "w02" else pytest.mark.slow) for path in SOURCES],
)
def test_solved_it_reaches_its_verdict(path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("RLCOURSE_BUDGET", "test")
    notebook = homework.load(path)
    NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(tmp_path)}}).execute()
    printed = "".join(o.get("text", "") for c in notebook.cells if c.cell_type == "code" for o in c.outputs)
    assert "runs with the recorded ones" in printed
    assert "✘ The agent" not in printed
    assert "parts of your own" in printed


@pytest.mark.slow
def test_solved_it_reaches_its_verdict_from_most_seeds(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At full length, from at least four of the seeds 0 to 4; whichever the workshop itself takes."""
    names, race, passed = assembled(path), workshop.race, defaultdict[str, list[bool]](list)
    for cell in shown(path, "datasets.record("):  # what the agents of workshop 10 learn from
        exec(cell, names)
    for seed in range(5):

        def seeded(
            mine: workshop.Mine,
            reference: str,
            steps: int | None = None,
            seed: int = seed,
            dataset: datasets.Dataset | None = None,
        ) -> None:
            passed[reference].append(race(mine, reference, steps, seed, dataset).passed)

        monkeypatch.setattr(workshop, "race", seeded)
        for cell in shown(path, "workshop.race("):
            exec(re.sub(r", seed=\d+\)", ")", cell), names)
    assert passed
    assert all(len(each) == 5 and sum(each) >= 4 for each in passed.values()), dict(passed)


@pytest.fixture
def workshop_2() -> str:
    return "\n".join(cell.source for cell in homework.load(SOURCES[0].with_name("w02.ipynb")).cells)


def test_what_workshop_2_says_of_recordings_is_true(workshop_2: str) -> None:
    seconds = curves.reference("02_cartpole_dqn").wall_time
    assert seconds is not None
    assert f"the recorded runs took {min(seconds):.0f} to {max(seconds):.0f} seconds each" in workshop_2
    five, one = (curves.reference(name) for name in ("02_five_step", "02_one_step"))
    scored = [f"{curve.mean[list(curve.step).index(5_000)]:.0f}" for curve in (five, one)]
    said = f"ten recorded agents with five-step targets (copied every 100 updates) scored {scored[0]} on average"
    assert f"{said}, ten with one-step targets {scored[1]}" in workshop_2
    assert len(five.returns) == len(one.returns) == 10


def test_what_workshop_5_says_of_recordings_is_true() -> None:
    text = "\n".join(cell.source for cell in homework.load(SOURCES[0].with_name("w05.ipynb")).cells)
    last = curves.reference("05_inverted_pendulum").returns[:, -1]
    fell = last[last < 1000]
    assert (len(last), len(fell)) == (10, 5)
    assert "five hold the pole for all 1000 steps after the twelfth rollout, the other five" in text
    assert f"the other five for {fell.min():.0f} to {fell.max():.0f}." in text


def test_what_workshop_10_says_of_recordings_is_true() -> None:
    text = "\n".join(cell.source for cell in homework.load(SOURCES[0].with_name("w10.ipynb")).cells)
    recorded = curves.reference("10_pendulum_iql")
    last = recorded.returns[:, -1]
    assert len(last) == 5
    assert f"After {recorded.step[-1]} updates they return −{-last.min():.0f} to −{-last.max():.0f}" in text


def test_the_table_of_broken_agents_stands_in_the_first_workshop_that_breaks_a_network(workshop_2: str) -> None:
    assert table("dqn") in workshop_2
    assert table(*(page for page in PAGES if page != "dqn")) in workshop_2
    assert len(BROKEN) >= 20


def test_the_table_of_broken_memories_stands_in_the_workshop_of_hindsight() -> None:
    text = "\n".join(cell.source for cell in homework.load(SOURCES[0].with_name("w08.ipynb")).cells)
    assert table("her") in text
