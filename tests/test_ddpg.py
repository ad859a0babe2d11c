"""DDPG: its equations on numbers worked out by hand, and that an update follows them."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from rlcourse.algorithms import ddpg
from rlcourse.algorithms.ddpg import DDPG, Config
from rlcourse.nets import Critics, generators, mlp
from tests.test_off_policy import PUSH, SIZES, batch

CONFIG = Config(**SIZES)


def actor(obs: Tensor) -> Tensor:
    """μ(s) = s/2"""
    return obs / 2


def critic(obs: Tensor, action: Tensor) -> Tensor:
    """Q(s, a) = 4s + 8a"""
    return (4 * obs + 8 * action).squeeze(-1)


def test_bellman_target_by_hand() -> None:
    # 1 + 0.5·Q(¼, ⅛) = 1 + 0.5·(1 + 1) = 2; terminated: 2
    assert ddpg.bellman_target(batch(), actor, critic, 0.5).tolist() == [2.0, 2.0]


def test_critic_loss_by_hand() -> None:
    q = torch.tensor([1.0, 5.0], requires_grad=True)
    loss = ddpg.critic_loss(q, torch.tensor([4.0, 4.0]))
    assert loss.item() == 5.0  # (9 + 1) / 2
    loss.backward()
    assert q.grad is not None
    assert q.grad.tolist() == [-3.0, 1.0]


def test_actor_loss_climbs_the_critic() -> None:
    shift = torch.zeros((), requires_grad=True)
    loss = ddpg.actor_loss(batch(), lambda obs: obs / 2 + shift, critic)
    assert loss.item() == 0.0  # −(Q(½, ¼) + Q(−½, −¼)) / 2 = −(4 − 4) / 2
    loss.backward()
    assert shift.grad is not None
    assert shift.grad.item() == -8.0  # ∂Q/∂a


def test_ornstein_uhlenbeck_by_hand() -> None:
    noise = ddpg.ornstein_uhlenbeck(torch.tensor([2.0]), torch.tensor([3.0]), 0.25, 0.5)
    assert noise.tolist() == [3.0]  # ¾·2 + ½·3
    assert ddpg.ornstein_uhlenbeck(torch.tensor([2.0]), torch.tensor([3.0]), 1.0, 0.5).tolist() == [1.5]


def test_its_spread_in_the_long_run_is_the_stated_one() -> None:
    normal = torch.randn(20_000, generator=generators(0, 1)[0])
    noise = [torch.zeros(())]
    for z in normal:
        noise.append(ddpg.ornstein_uhlenbeck(noise[-1], z, 0.5, 1.0))
    # 1/√(1 − ¼) = 1.155; 20 000 correlated samples are worth some 10 000, a standard error of 0.8 %
    assert torch.stack(noise[100:]).std().item() == pytest.approx(1.155, rel=0.035)


def test_noise_remembers_within_an_episode_only() -> None:
    agent = DDPG(1, PUSH, replace(CONFIG, reversion=0.1, learning_starts=8), seed=0)
    agent.steps = 8
    agent.act(np.zeros(1))
    first = agent._noise.clone()
    agent.act(np.zeros(1))
    assert not torch.equal(agent._noise, first)
    from rlcourse.buffers import Transition

    agent.observe(Transition(np.zeros(1), np.zeros(1), 0.0, np.zeros(1), False, True))
    assert agent._noise.tolist() == [0.0]


def test_an_update_follows_both_losses() -> None:
    agent = DDPG(1, PUSH, CONFIG, seed=0)
    rows = batch()
    target = ddpg.bellman_target(rows, agent.target_actor, agent.target_critic.first, 0.99)
    loss = ((target - agent.critic.first(rows.obs, rows.action)) ** 2).mean()
    expected = torch.autograd.grad(loss, list(agent.critic.parameters()))
    agent.update(rows)
    for parameter, gradient in zip(agent.critic.parameters(), expected, strict=True):
        torch.testing.assert_close(parameter.grad, gradient)


@pytest.mark.parametrize("tau", [0.0, 1.0])
def test_targets_follow_by_tau(tau: float) -> None:
    agent = DDPG(1, PUSH, replace(CONFIG, tau=tau, lr=0.1), seed=0)
    before = agent.target_actor(torch.ones(1, 1)), agent.target_critic.first(torch.ones(1, 1), torch.ones(1, 1))
    agent.update(batch())
    after = agent.target_actor(torch.ones(1, 1)), agent.target_critic.first(torch.ones(1, 1), torch.ones(1, 1))
    online = agent.actor(torch.ones(1, 1)), agent.critic.first(torch.ones(1, 1), torch.ones(1, 1))
    for old, new, now in zip(before, after, online, strict=True):
        assert torch.equal(new, now if tau else old)
        assert not torch.equal(old, now)


def test_critics_are_networks_of_their_own() -> None:
    """N at once say what N perceptrons say, and the first is the same however many follow."""
    both, one = Critics(3, 2, (5, 4), generators(0, 1)[0], 2), Critics(3, 2, (5, 4), generators(0, 1)[0], 1)
    drawn = generators(0, 1)[0]
    separate = [mlp([5, 5, 4, 1], drawn) for _ in range(2)]
    obs, action = torch.randn(6, 3), torch.randn(6, 2)
    expected = torch.stack([net(torch.cat([obs, action], -1)).squeeze(-1) for net in separate])
    torch.testing.assert_close(both(obs, action), expected)
    torch.testing.assert_close(both.first(obs, action), expected[0])
    torch.testing.assert_close(one(obs, action), expected[:1])
