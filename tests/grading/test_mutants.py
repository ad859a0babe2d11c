"""Right answers pass; every mistake is named by the visible check and rejected by the hidden one."""

import runpy

import pytest

from tests.grading.mutants import INSTRUCTOR, NAMES, Course, Row

NONCES = range(1, 101)


@pytest.fixture(params=NAMES, scope="module")
def rows(request: pytest.FixtureRequest) -> list[Row]:
    return Course(request.param).rows(NONCES)


@pytest.mark.timeout(900)
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


@pytest.mark.timeout(1800)
@pytest.mark.slow
def test_the_broken_runs_of_homework_1_are_what_the_broken_code_does() -> None:
    names: dict[str, object] = {}
    source = next(cell.source for cell in Course("hw01").source.cells if cell.id == "q5-runs")
    exec(source, names)
    assert names["RUNS"] == runpy.run_path(str(INSTRUCTOR / "hw01_runs.py"))["table"]()
