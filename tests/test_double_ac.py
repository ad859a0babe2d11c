"""DDQN-AC and DQ-AC: whose action, judged by whom, on numbers worked out by hand, and that an update follows them."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from rlcourse.algorithms import ddpg, double_ac
from rlcourse.algorithms.double_ac import Config, DoubleAC
from tests.test_off_policy import PUSH, SIZES, batch

CONFIG = Config(**SIZES)


def half(obs: Tensor) -> Tensor:
    """μ₁(s) = s/2"""
    return obs / 2


def double(obs: Tensor) -> Tensor:
    """μ₂(s) = 2s"""
    return 2 * obs


def critics(obs: Tensor, action: Tensor) -> Tensor:
    """Q₁ = 4s + 8a, Q₂ = 8s + 16a"""
    return torch.stack([4 * obs + 8 * action, 8 * obs + 16 * action]).squeeze(-1)


def test_one_pair_asks_its_own_target_critic() -> None:
    # 1 + 0.5·Q₁(¼, ⅛) = 1 + 0.5·(1 + 1) = 2; terminated: 2
    found = double_ac.bellman_target(batch(), [half], lambda s, a: critics(s, a)[:1], 0.5)
    assert found.tolist() == [[2.0, 2.0]]


def test_two_pairs_ask_each_other() -> None:
    # y₁ = 1 + 0.5·Q₂(¼, ⅛) = 1 + 0.5·(2 + 2) = 3; y₂ = 1 + 0.5·Q₁(¼, ½) = 1 + 0.5·(1 + 4) = 3.5; terminated: 2
    found = double_ac.bellman_target(batch(), [half, double], critics, 0.5)
    assert found.tolist() == [[3.0, 2.0], [3.5, 2.0]]


def test_critic_loss_by_hand() -> None:
    q = torch.tensor([[1.0, 5.0], [4.0, 2.0]], requires_grad=True)
    loss = double_ac.critic_loss(q, torch.tensor([[4.0, 4.0], [2.0, 2.0]]))
    assert loss.item() == 7.0  # (9 + 1)/2 + (4 + 0)/2
    loss.backward()
    assert q.grad is not None
    assert q.grad.tolist() == [[-3.0, 1.0], [2.0, 0.0]]


def test_each_actor_climbs_its_own_critic() -> None:
    shifts = torch.zeros(2, requires_grad=True)
    actors = [lambda obs: half(obs) + shifts[0], lambda obs: double(obs) + shifts[1]]
    # s = ±½ cancels: −(Q₁ + Q₂) = 0; ∂Q₁/∂a = 8, ∂Q₂/∂a = 16
    loss = double_ac.actor_loss(batch(), actors, critics)
    assert loss.item() == 0.0
    loss.backward()
    assert shifts.grad is not None
    assert shifts.grad.tolist() == [-8.0, -16.0]


@pytest.mark.parametrize("pairs", [1, 2])
def test_an_update_asks_online_actors_and_target_critics(pairs: int) -> None:
    agent = DoubleAC(1, PUSH, replace(CONFIG, pairs=pairs), seed=0)
    for parameter in agent.target_critic.parameters():
        parameter.add_(0.5)  # so that it matters which critic is asked
    rows = batch()
    target = double_ac.bellman_target(rows, agent.actors, agent.target_critic, 0.99)
    loss = double_ac.critic_loss(agent.critic(rows.obs, rows.action), target.detach())
    expected = torch.autograd.grad(loss, list(agent.critic.parameters()))
    before = [parameter.detach().clone() for parameter in agent.actors.parameters()]
    agent.update(rows)
    for parameter, gradient in zip(agent.critic.parameters(), expected, strict=True):
        torch.testing.assert_close(parameter.grad, gradient)
    assert all(
        not torch.equal(old, new) for old, new in zip(before, agent.actors.parameters(), strict=True) if old.dim() > 1
    )


def test_one_pair_whose_targets_are_copies_is_ddpg() -> None:
    """With τ = 1 the online actor is the target actor: then DDQN-AC and DDPG are one, bit for bit."""
    one = DoubleAC(1, PUSH, replace(CONFIG, tau=1.0), seed=0)
    plain = ddpg.DDPG(1, PUSH, ddpg.Config(**SIZES, tau=1.0), seed=0)
    for _ in range(5):
        assert one.update(batch()) == plain.update(batch())
