"""A policy that chooses one number of the action after the other: its density and its samples by hand."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from rlcourse.algorithms import autoregressive


def spy_logits(*tables: Any) -> Any:
    """The logits of each number's bins, whatever came before; what came before is written down."""
    seen: list[Tensor] = []

    def logits(before: Tensor) -> Tensor:
        seen.append(before)
        return torch.tensor(tables[before.shape[-1]]).log().expand(*before.shape[:-1], -1)

    logits.seen = seen  # type: ignore[attr-defined]
    return logits


def test_bins_are_equal_parts_of_the_box() -> None:
    # Four parts of [−1, 1], each ½ wide, with their middles at ∓0.75 and ∓0.25; what lies outside is the outermost's.
    places = torch.tensor([-1.0, -0.51, -0.49, 0.0, 0.49, 0.51, 1.0, 1.7, -3.0])
    assert autoregressive.bin_of(places, 4).tolist() == [0, 0, 1, 2, 2, 3, 3, 3, 0]
    assert autoregressive.middle(torch.arange(4), 4).tolist() == [-0.75, -0.25, 0.25, 0.75]
    assert autoregressive.middle(autoregressive.bin_of(places[:7], 400), 400).numpy() == pytest.approx(
        places[:7].numpy(), abs=1.001 / 400
    )


def test_density_of_an_autoregressive_action() -> None:
    logits = spy_logits([0.2, 0.8], [0.1, 0.2, 0.3, 0.4])
    actions = autoregressive.Autoregressive(logits, (2, 2))
    # Row 0: 0.8 in a bin 1 wide, 0.1 in one ½ wide: 0.8 · 0.2.  Row 1: 0.2 · (0.3/½).
    log_prob = actions.log_prob(torch.tensor([[0.7, -0.9], [-0.7, 0.1]]))
    assert log_prob.exp().tolist() == pytest.approx([0.8 * 0.2, 0.2 * 0.6])
    # The second number is asked for after the first one's bin, not its exact place: that is all a sample knows, too.
    assert logits.seen[0].shape == (2, 0)
    assert logits.seen[1].tolist() == [[0.5], [-0.5]]


def test_the_density_over_the_whole_box_is_one() -> None:
    policy = autoregressive.AutoregressivePolicy(1, 2, 5, (8,), torch.Generator().manual_seed(0))
    side = torch.linspace(-0.99, 0.99, 100)
    places = torch.cartesian_prod(side, side)
    density = policy(torch.zeros(len(places), 1)).log_prob(places).exp()
    assert density.mean().item() * 4 == pytest.approx(1)
    assert density.unique().numel() >= 20  # 25 bins, each with its own


def test_one_number_follows_from_the_other() -> None:
    """Both numbers are 0.5, or both are −0.5: two numbers drawn independently would often differ in sign."""

    def logits(before: Tensor) -> Tensor:
        if before.shape[-1] == 0:
            return torch.tensor([0.25, 0.75]).log().expand(*before.shape[:-1], 2)
        return torch.where(before > 0, torch.tensor([-99.0, 0.0]), torch.tensor([0.0, -99.0]))

    actions = autoregressive.Autoregressive(logits, (4000, 2))
    first, second = actions.sample(torch.Generator().manual_seed(0)).T
    assert torch.equal(first, second)
    assert set(first.tolist()) == {-0.5, 0.5}
    # Four standard errors: √(¾·¼/4000) = 0.0068.
    assert (first > 0).float().mean().item() == pytest.approx(0.75, abs=0.028)
    assert actions.mode[0].tolist() == [0.5, 0.5]


def test_the_autoregressive_network_sees_observation_and_numbers_before() -> None:
    policy = autoregressive.AutoregressivePolicy(3, 2, 4, (8,), torch.Generator().manual_seed(0))
    assert policy(torch.zeros(3)).mode.shape == (2,)
    assert policy(torch.zeros(5, 3)).sample(torch.Generator()).shape == (5, 2)
    action = torch.tensor([[0.1, 0.1], [0.9, 0.1]])
    zeros = policy(torch.zeros(2, 3)).log_prob(action)
    assert not torch.equal(policy(torch.ones(2, 3)).log_prob(action), zeros)
    first, second = (net for net in policy.nets)
    assert first(torch.zeros(3)).shape == second(torch.zeros(4)).shape == (4,)
    for row, (one, other) in enumerate(((2, 2), (3, 2))):  # bins, 0.1 in the third and 0.9 in the fourth
        before = torch.tensor([0.0, 0, 0, autoregressive.middle(torch.tensor(one), 4)])
        by_hand = first(torch.zeros(3)).log_softmax(-1)[one] + second(before).log_softmax(-1)[other]
        assert zeros[row].item() == pytest.approx(by_hand.item() + 2 * math.log(2), abs=1e-6)
