"""Which rung of the ladder finds which mistake: the table that stands in workshop 2 is true."""

import pytest
import torch

from rlcourse import workshop
from rlcourse.workshop import ladder
from rlcourse.workshop.ladder import RUNGS
from tests.broken_agents import BROKEN, HARDEST, HINDSIGHT, QUICK, Broken

torch.set_num_threads(1)


# One of each page in `make test`, all of them in `make test-slow`. The later a rung, the longer the climb: so it is the
# one that is found first, and none of a page whose only mistake is not found at all.
PLACES = {rung.world.__name__: place for place, rung in enumerate(RUNGS)}
FOUND = sorted((broken for broken in BROKEN if broken.found_by), key=lambda broken: -PLACES[broken.found_by])
FIRST = {broken.page: broken for broken in FOUND}.values()
CASES = [
    pytest.param(broken, id=f"{broken.page}: {broken.mistake}", marks=() if broken in FIRST else pytest.mark.slow)
    for broken in BROKEN
]


@pytest.mark.parametrize("broken", [*BROKEN, *HINDSIGHT], ids=lambda broken: f"{broken.page}: {broken.mistake}")
def test_the_line_to_break_is_there(broken: Broken) -> None:
    assert workshop.broken(workshop.assemble(broken.module), broken.part, broken.old, broken.new).faults == []


@pytest.mark.thorough
@pytest.mark.filterwarnings("ignore:Using a target size")
@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("broken", CASES)
def test_the_stated_rung_is_the_first_that_finds_it(broken: Broken) -> None:
    assert broken.climb() == broken.found_by


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Using a target size")
@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    "broken",
    [broken for broken in FOUND if broken.page not in QUICK],
    ids=lambda broken: f"{broken.page}: {broken.mistake}",
)
def test_one_of_the_hardest_rungs_finds_it_too(broken: Broken, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ladder, "RUNGS", HARDEST)
    assert broken.climb() != ""
