"""CQL: the conservative term by hand and against an integral, and that without it CQL is SAC, bit for bit.

Its equations that are SAC's: test_sac.
"""

import math
from dataclasses import asdict, replace
from typing import Any

import pytest
import torch
from torch import Tensor

from rlcourse import loop
from rlcourse.algorithms import cql, sac
from rlcourse.algorithms.cql import CQL, Config
from rlcourse.buffers import ReplayBuffer, Transition
from tests.test_off_policy import PUSH, SIZES, batch, train
from tests.test_sac import LOG_PI, policy

CONFIG = Config(**SIZES)


def test_soft_maximum_by_hand() -> None:
    # densities ½ and ¼: the mean of 2 / ½ and 6 / ¼ is 14
    q, log_density = torch.tensor([[[2.0, 6.0]]]).log(), torch.tensor([[0.5, 0.25]]).log()
    assert cql.soft_maximum(q, log_density).tolist() == [[pytest.approx(math.log(14))]]


def test_soft_maximum_is_the_integral() -> None:
    # ∫ e^{3a} da over [−1, 1] = (e³ − e⁻³) / 3, whatever the actions are drawn from
    action = torch.linspace(-1, 1, 20_001)[None, 1:-1]
    truth = math.log((math.exp(3) - math.exp(-3)) / 3)
    assert cql.soft_maximum(3 * action[None], torch.full_like(action, math.log(0.5))).item() == pytest.approx(
        truth, abs=1e-3
    )
    tilted = 2 * ((action + 1) / 2).sqrt() - 1  # with density (a + 1) / 2
    found = cql.soft_maximum(3 * tilted[None], ((tilted + 1) / 2).log())
    assert found.item() == pytest.approx(truth, abs=1e-2)


def lines(obs: Tensor, action: Tensor) -> Tensor:
    """Q₁ = a, Q₂ = 2a"""
    return torch.stack([action, 2 * action]).squeeze(-1)


def test_conservative_loss_by_hand() -> None:
    # Both actions are 0, of density ½ and e^LOG_PI: log of the mean of 2 and e^−LOG_PI = 2.5066, in both critics.
    # The data's actions, ¼ and ¾, are worth ½ on average, and 1.
    soft = math.log((2 + math.exp(-LOG_PI)) / 2)
    found = cql.conservative_loss(batch(), policy, lines, torch.zeros(1, 2, 1), torch.zeros(1, 2, 1))
    assert found.item() == pytest.approx((soft - 0.5) + (soft - 1.0), abs=1e-6)


def test_each_row_meets_its_own_actions() -> None:
    # Uniform actions 1 in the first row and −1 in the second; the actor's stay 0. Q₁ = s·a with s = ±½.
    uniform = torch.tensor([[[1.0], [-1.0]]])
    found = cql.conservative_loss(
        batch(), policy, lambda obs, action: (obs * action)[None].squeeze(-1), uniform, torch.zeros(1, 2, 1)
    )
    row = math.log((2 * math.exp(0.5) + math.exp(-LOG_PI)) / 2)  # both rows: ½·1 and −½·−1
    data = (0.5 * 0.25 - 0.5 * 0.75) / 2
    assert found.item() == pytest.approx(row - data, abs=1e-6)


def test_the_conservative_term_moves_critics_and_not_the_actor() -> None:
    agent = CQL(1, PUSH, CONFIG, seed=0)
    noise = torch.randn(2, 5, 2, 1, generator=torch.Generator().manual_seed(0))
    cql.conservative_loss(batch(), agent.actor, agent.critic, noise[0].clamp(-1, 1), noise[1]).backward()
    assert all(parameter.grad is None for parameter in agent.actor.parameters())
    assert all(parameter.grad is not None for parameter in agent.critic.parameters())


def test_without_conservatism_it_is_sac_bit_for_bit() -> None:
    ours = train(CQL(3, PUSH, replace(CONFIG, conservatism=0.0), seed=0), 40)
    settings = {
        name: value for name, value in asdict(CONFIG).items() if name not in ("conservatism", "sampled_actions")
    }
    assert ours == train(sac.SAC(3, PUSH, sac.Config(**settings), seed=0), 40)


def test_an_update_adds_the_conservative_term_to_the_critics_loss() -> None:
    plain, more = (CQL(1, PUSH, replace(CONFIG, conservatism=weight), seed=0) for weight in (0.0, 2.0))
    fresh, rows = CQL(1, PUSH, CONFIG, seed=0), batch()
    same = torch.Generator()
    same.set_state(fresh.state_dict()["_conservative"])
    uniform = torch.empty(10, 2, 1).uniform_(-1, 1, generator=same)
    normal = torch.randn(10, 2, 1, generator=same)
    extra = 2.0 * cql.conservative_loss(rows, fresh.actor, fresh.critic, uniform, normal)
    expected = torch.autograd.grad(extra, list(fresh.critic.parameters()))
    plain.update(rows)
    more.update(rows)
    for one, other, gradient in zip(plain.critic.parameters(), more.critic.parameters(), expected, strict=True):
        assert one.grad is not None
        assert other.grad is not None
        torch.testing.assert_close(other.grad - one.grad, gradient, rtol=1e-3, atol=1e-5)


@pytest.mark.thorough
@pytest.mark.usefixtures("unchecked")
def test_what_nobody_did_is_worth_less() -> None:
    """One state, one step: the data do −¼ and get 0, or ¼ and get 1. SAC's line goes on rising outside; CQL's falls."""

    def beyond(**changes: Any) -> tuple[float, float]:
        replay = ReplayBuffer(64, (1,), (1,))
        for i in range(64):
            replay.add(Transition([0.0], [0.5 * (i % 2) - 0.25], float(i % 2), [0.0], True, False))
        config = replace(CONFIG, lr=1e-2, hidden=(16,), batch_size=64, learning_starts=64, temperature=0.01, **changes)
        agent = CQL(1, PUSH, replace(config, learn_temperature=False), seed=0, replay=replay)
        for _ in loop.train_offline(agent, 500, seed=0):
            pass
        return agent.value([0.0], [0.25]), agent.value([0.0], [1.0])

    inside, outside = beyond(conservatism=0.0)
    assert outside > inside + 0.3
    inside, outside = beyond(conservatism=1.0)
    assert outside < inside - 0.3
