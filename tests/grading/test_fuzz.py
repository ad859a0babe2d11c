"""The fuzzer, some of it each time and more of it in `make test-slow`."""

import random
from pathlib import Path

import nbformat
import pytest

from rlcourse.grading import grade
from tests.grading import fuzz, tiny


@pytest.mark.thorough
def test_no_input_does_harm() -> None:
    counts = fuzz.run(seed=0, inputs=300)
    assert {name.split()[1] for name in counts} == {"taken", "refused"}


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_no_input_of_many_does_harm() -> None:
    fuzz.run(seed=1, inputs=3000)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_neighbour_among_them_keeps_every_point(tmp_path: Path) -> None:
    source = tiny.write_source(tmp_path, 2.0)
    (tmp_path / "class").mkdir()
    for number in range(12):
        (tmp_path / "class" / f"s{number}.ipynb").write_bytes(fuzz.notebook(random.Random(number)))
    nbformat.write(tiny.answered(fuzz.RELEASED), tmp_path / "class" / "right.ipynb")
    found = {one.student: one for one in grade.grade(tmp_path / "class", source, tmp_path / "out")}
    assert len(found) == 13
    assert (found["right"].total, found["right"].status) == (15, "ok")
