"""EDAC: the diversity term by hand, its slopes, and that without it EDAC is SAC with N critics, bit for bit.

Its equations that are SAC's: test_sac.
"""

from dataclasses import asdict, replace
from itertools import permutations
from typing import Any

import pytest
import torch
import torch.nn.functional as F  # noqa: N812  (everyone's name for it)
from gymnasium.spaces import Box

from rlcourse import loop
from rlcourse.algorithms import edac, sac
from rlcourse.algorithms.edac import EDAC, Config
from rlcourse.buffers import ReplayBuffer, Transition
from rlcourse.nets import Critics, generators
from tests.test_off_policy import PUSH, SIZES, train

CONFIG = Config(**SIZES, critics=4)


def test_similarity_by_hand() -> None:
    # Directions (1, 0), (0, 1) and (−1, 0): of the six ordered pairs two have the cosine −1, the others 0; −2 / (3 − 1)
    slopes = torch.tensor([[[1.0, 0.0]], [[0.0, 2.0]], [[-3.0, 0.0]]])
    assert edac.similarity(slopes).item() == pytest.approx(-1)
    assert edac.similarity(slopes[:2]).item() == pytest.approx(0, abs=1e-6)
    same = torch.tensor([[[3.0, 4.0]]]).expand(5, 1, 2)
    assert edac.similarity(same).item() == pytest.approx(5)  # N (N − 1) / (N − 1)
    rows = torch.cat([slopes, torch.tensor([[[0.6, 0.8]]]).expand(3, 1, 2)], 1)
    assert edac.similarity(rows).item() == pytest.approx((-1 + 3) / 2)  # the mean over the batch


def test_similarity_is_the_sum_over_all_pairs() -> None:
    slopes = torch.randn(5, 7, 3, generator=torch.Generator().manual_seed(0))
    pairs = [F.cosine_similarity(slopes[i], slopes[k], dim=-1) for i, k in permutations(range(5), 2)]
    assert edac.similarity(slopes).item() == pytest.approx(torch.stack(pairs).sum(0).mean().item() / 4, rel=1e-5)


def test_a_single_number_of_action_has_nothing_to_diversify() -> None:
    slopes = torch.tensor([[[1.0]], [[-2.0]], [[3.0]]], requires_grad=True)
    edac.similarity(slopes).backward()
    assert slopes.grad is not None
    assert slopes.grad.abs().max().item() < 1e-6


def test_the_ensemble_is_the_critics_of_the_other_pages() -> None:
    ours, theirs = edac.Ensemble(2, 3, (5, 4), generators(0, 1)[0], 4), Critics(2, 3, (5, 4), generators(0, 1)[0], 4)
    obs, action = torch.randn(6, 2), torch.randn(6, 3)
    assert torch.equal(ours(obs, action), theirs(obs, action))
    own = torch.randn(4, 6, 3)  # each about actions of its own
    found = ours(obs, own)
    for i in range(4):
        torch.testing.assert_close(found[i], theirs(obs, own[i])[i])


def test_slopes_are_those_of_each_critic_and_differentiable() -> None:
    ensemble: Any = edac.Ensemble(2, 3, (8,), generators(0, 1)[0], 4)
    obs, action = torch.randn(6, 2), torch.randn(6, 3)
    slopes = ensemble.slopes(obs, action)
    for i in range(4):
        moved = action.clone().requires_grad_()
        torch.testing.assert_close(slopes[i], torch.autograd.grad(ensemble(obs, moved)[i].sum(), moved)[0])
    edac.similarity(slopes).backward()
    first, second = ensemble.layers[0].weight.grad, ensemble.layers[1].weight.grad
    assert first is not None
    assert second is not None
    assert first.abs().max() > 0
    assert second.abs().max() > 0


def test_without_diversity_it_is_sac_with_n_critics_bit_for_bit() -> None:
    ours = train(EDAC(3, PUSH, replace(CONFIG, diversity=0.0), seed=0), 40)
    settings = {name: value for name, value in asdict(CONFIG).items() if name != "diversity"}
    assert ours == train(sac.SAC(3, PUSH, sac.Config(**settings), seed=0), 40)


def plane(diversity: float, updates: int = 1) -> tuple[EDAC, list[dict[str, Any]]]:
    """An agent that has learned offline from random actions of two numbers."""
    replay, generator = ReplayBuffer(64, (1,), (2,)), torch.Generator().manual_seed(0)
    for obs, *action in (torch.rand(64, 3, generator=generator) * 2 - 1).tolist():
        replay.add(Transition([obs], action, action[0], [obs], False, False))
    config = replace(CONFIG, batch_size=32, learning_starts=32, diversity=diversity)
    agent = EDAC(1, Box(-1.0, 1.0, (2,)), config, seed=0, replay=replay)
    return agent, list(loop.train_offline(agent, updates, seed=0))


def test_an_update_adds_diversity_to_the_critics_loss() -> None:
    plain, more = (plane(diversity)[0] for diversity in (0.0, 2.0))
    fresh = plane(2.0, updates=0)[0]
    rows = fresh.replay.sample(32, torch.Generator().manual_seed(0))
    extra = 2.0 * edac.similarity(fresh.critic.slopes(rows.obs, rows.action))
    expected = torch.autograd.grad(extra, list(fresh.critic.parameters()), allow_unused=True, materialize_grads=True)
    for one, other, gradient in zip(plain.critic.parameters(), more.critic.parameters(), expected, strict=True):
        assert one.grad is not None
        assert other.grad is not None
        torch.testing.assert_close(other.grad - one.grad, gradient, rtol=1e-3, atol=1e-5)


@pytest.mark.thorough
@pytest.mark.usefixtures("unchecked")
def test_diversity_lets_the_critics_disagree() -> None:
    seen = plane(5.0, updates=300)[1]
    assert seen[-1]["similarity"] < seen[0]["similarity"] - 1
    assert seen[-1]["similarity"] < 0.5


def test_one_critic_cannot_be_diverse() -> None:
    with pytest.raises(ValueError, match=r"edac.Config.critics = 1 is out of range: it must be in \[2, inf\]"):
        Config(critics=1)
    assert Config(critics=1, diversity=0.0).critics == 1
