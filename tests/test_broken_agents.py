"""Which rung of the ladder finds which mistake: the table that stands in workshop 2 is true."""

import pytest
import torch

from tests.broken_agents import BROKEN, Broken

pytestmark = [pytest.mark.thorough, pytest.mark.filterwarnings("ignore:Using a target size")]

torch.set_num_threads(1)


# One of each page in `make test`, all of them in `make test-slow`: the later a rung, the longer the climb.
FIRST = {broken.page: broken for broken in reversed(BROKEN)}.values()
CASES = [
    pytest.param(broken, id=f"{broken.page}: {broken.mistake}", marks=() if broken in FIRST else pytest.mark.slow)
    for broken in BROKEN
]


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("broken", CASES)
def test_the_stated_rung_is_the_first_that_finds_it(broken: Broken) -> None:
    assert broken.climb() == broken.found_by
