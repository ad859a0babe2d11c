"""Right answers pass, every mistake is named by the visible check, and every small change is rejected by both kinds."""

import re

import pytest

from rlcourse.grading.homework import question, role
from tests.grading.mutants import NAMES, NONCES, STYLES, Course

HOMEWORK = pytest.mark.parametrize("name", NAMES)
pytestmark = [
    pytest.mark.usefixtures("unchecked"),
    # A change that never ends may be stopped while an object is being deleted: Python then says what it dropped.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


def check_answers(name: str, nonces: range) -> None:
    rows = Course(name).rows(nonces)
    for row in rows:
        if row.right:
            assert not row.complaints, row
            assert row.passed == len(nonces), row
        else:
            assert row.passed == 0, row
            assert any(row.message in line for line in row.complaints) or not row.message, row
    for asked in {row.question for row in rows}:
        right = [row for row in rows if row.question == asked and row.right]
        wrong = [row for row in rows if row.question == asked and not row.right]
        assert len(right) >= 3 + len(STYLES), asked
        assert len(wrong) >= 4, asked
        named = [row.message for row in wrong if row.message]
        assert len(set(named)) == len(named), asked


@pytest.mark.timeout(300)
@pytest.mark.thorough
@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # a wrong answer may divide by 0
@HOMEWORK
def test_right_answers_pass_and_mistakes_are_named(name: str) -> None:
    check_answers(name, range(1, 2))


@pytest.mark.timeout(3600)
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@HOMEWORK
def test_right_answers_pass_under_many_nonces(name: str) -> None:
    check_answers(name, NONCES)


@pytest.mark.timeout(300)
@pytest.mark.thorough
@HOMEWORK
def test_no_small_change_of_a_solution_survives_the_fixed_cases(name: str) -> None:
    """But those in the table of changes that are none."""
    course = Course(name)
    for asked in map(str, course.official):
        survivors = course.survivors(asked)
        assert set(survivors) == set(course.equivalent.get(asked, {})), asked


@pytest.mark.timeout(300)
@pytest.mark.thorough
@HOMEWORK
def test_no_small_change_of_a_solution_passes_the_visible_checks(name: str) -> None:
    """They are the same for everybody, so there are no nonces to try."""
    course = Course(name)
    for asked in map(str, course.official):
        assert set(course.unseen(asked)) <= set(course.equivalent.get(asked, {})), asked


@pytest.mark.timeout(3600)
@pytest.mark.slow
@HOMEWORK
def test_changes_that_are_none_survive_every_nonce(name: str) -> None:
    course = Course(name)
    for asked in course.equivalent:
        for change, nonces in course.survivors(asked, NONCES[:60]).items():
            assert nonces == list(NONCES[:60]), change


@pytest.mark.thorough
@HOMEWORK
def test_every_experiment_says_afterwards_what_comes_out(name: str) -> None:
    """The numbers quoted are those that it prints; and one predicts first."""
    course = Course(name)
    cells = course.source.cells
    experiments = [cell for cell in cells if cell.id.endswith("-experiment")]
    assert experiments
    for cell in experiments:
        asked, outcome = question(cell), cells[cells.index(cell) + 1]
        assert asked is not None
        assert role(cell) == "show"  # it never runs while an answer is graded
        assert cell.source.startswith("prediction = ")
        assert outcome.source.startswith("<details><summary>What comes out")
        printed = " ".join(course.experiment(asked).split())
        quoted = re.findall("`(.*?)`", outcome.source)
        assert len(quoted) >= 2
        assert [text for text in quoted if text not in printed] == []
