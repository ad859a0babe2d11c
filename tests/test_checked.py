"""Which calls have their shapes checked in tests: the first from each line of code, and some of the later ones."""

import numpy as np
import pytest
from jaxtyping import TypeCheckError

from rlcourse.algorithms import reinforce
from tests.conftest import Checks

ONE_ROW, TABLE = np.ones(3), np.ones((3, 2))


def test_the_first_call_from_each_line_is_checked() -> None:
    for _ in range(1000):
        reinforce.baseline(TABLE, "none")
    with pytest.raises(TypeCheckError):
        reinforce.baseline(ONE_ROW, "none")


def test_of_later_calls_from_a_line_some_are_checked() -> None:
    found = 0
    for count in range(1000):
        try:
            reinforce.baseline(TABLE if count < Checks.FIRST else ONE_ROW, "none")
        except TypeCheckError:
            found += 1
    # binomial: 1000 calls at 0.05 are 50 on average, with a spread of 7
    assert 20 < found < 80


@pytest.mark.usefixtures("unchecked")
def test_without_checks_nothing_is_checked() -> None:
    reinforce.baseline(ONE_ROW, "none")
