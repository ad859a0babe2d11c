"""Which rung of the ladder finds which mistake: the table that stands in workshop 2 is true."""

import pytest
import torch

from tests.broken_agents import BROKEN, Broken

pytestmark = [pytest.mark.thorough, pytest.mark.filterwarnings("ignore:Using a target size")]

torch.set_num_threads(1)


@pytest.mark.parametrize("broken", BROKEN, ids=lambda broken: f"{broken.page}: {broken.mistake}")
def test_the_stated_rung_is_the_first_that_finds_it(broken: Broken) -> None:
    assert broken.climb() == broken.found_by
