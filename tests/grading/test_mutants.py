"""Right answers pass; every mistake is named by the visible check and rejected by the hidden one."""

import re

import pytest

from rlcourse.grading.homework import question, role
from tests.grading.mutants import NAMES, Course, Row

NONCES = range(1, 101)


@pytest.fixture(params=NAMES, scope="module")
def rows(request: pytest.FixtureRequest) -> list[Row]:
    return Course(request.param).rows(NONCES)


@pytest.mark.thorough
def test_right_answers_pass_and_mistakes_are_named(rows: list[Row]) -> None:
    for row in rows:
        if row.right:
            assert not row.complaints, row
            assert row.passed == len(NONCES), row
        else:
            assert row.passed == 0, row
            assert any(row.message in line for line in row.complaints) or not row.message, row
    for asked in {row.question for row in rows}:
        right = [row for row in rows if row.question == asked and row.right]
        wrong = [row for row in rows if row.question == asked and not row.right]
        assert len(right) >= 3, asked
        assert len(wrong) >= 4, asked
        named = [row.message for row in wrong if row.message]
        assert len(set(named)) == len(named), asked


@pytest.mark.parametrize("name", NAMES)
def test_every_experiment_has_notes_whose_numbers_it_prints(name: str) -> None:
    course = Course(name)
    cells = course.source.cells
    experiments = [cell for cell in cells if role(cell) == "setup" and question(cell) is not None]
    assert experiments
    for cell in experiments:
        notes = cells[cells.index(cell) + 1]
        asked = question(cell)
        assert asked is not None
        assert (role(notes), question(notes)) == ("notes", asked)
        printed = " ".join(course.experiment(asked).split())
        quoted = re.findall("`(.*?)`", notes.source)
        assert len(quoted) >= 2
        assert [text for text in quoted if text not in printed] == []
