"""Soft Q-learning: the soft value by hand and against an integral, its target, and how it chooses."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from scipy import integrate, stats
from torch import Tensor

from rlcourse.algorithms import soft_q_iteration, soft_q_learning
from rlcourse.algorithms.soft_q_learning import Config, SoftQLearning
from tests.test_off_policy import PUSH, SIZES, batch

CONFIG = Config(**SIZES)


def test_the_soft_value_of_two_actions_by_hand() -> None:
    # α = ½: ½ log((e² + e⁰)/2) + ½ log 2 = ½ log(e² + 1), and for each further number of an action ½ log 2 more
    q = torch.tensor([[1.0], [0.0]])
    found = [soft_q_learning.soft_value(q, 0.5, numbers).item() for numbers in (1, 2)]
    assert found == pytest.approx([0.5 * math.log(math.e**2 + 1), 0.5 * math.log(2 * (math.e**2 + 1))])
    assert found[0] == pytest.approx(soft_q_iteration.soft_maximum(np.array([[1.0, 0.0]]), 0.5)[0])


def test_the_soft_value_of_large_values_is_finite() -> None:
    assert soft_q_learning.soft_value(torch.tensor([[3e3], [0.0]]), 1.0, 1).item() == pytest.approx(3e3)


def test_many_samples_give_the_integral() -> None:
    """Q = 3 cos 2a: α log ∫ exp(Q/α) da, with 20 000 actions; the standard error is 0.002."""
    actions = torch.empty(20_000, 1).uniform_(-1, 1, generator=torch.Generator().manual_seed(0))
    found = soft_q_learning.soft_value(3 * (2 * actions).cos(), 2.0, 1).item()
    integral = integrate.quad(lambda a: math.exp(1.5 * math.cos(2 * a)), -1, 1)[0]
    assert found == pytest.approx(2 * math.log(integral), abs=0.01)


def critics(obs: Tensor, action: Tensor) -> Tensor:
    """Q₁ = 8s + a, Q₂ = 4s + 3a"""
    return torch.stack([8 * obs + action, 4 * obs + 3 * action]).squeeze(-1)


def test_bellman_target_by_hand() -> None:
    # s' = ¼, a = 0 and 1: min(2, 1) = 1 and min(3, 4) = 3; α = 2: V = 2 log(e^½ + e^³⁄₂); 1 + ½ V; the other has ended
    actions = torch.tensor([[[0.0], [0.5]], [[1.0], [-0.5]]])
    found = soft_q_learning.bellman_target(batch(), critics, 0.5, 2.0, actions)
    assert found.tolist() == pytest.approx([1 + math.log(math.exp(0.5) + math.exp(1.5)), 2.0])


def test_improve_is_softmax() -> None:
    policy = soft_q_learning.improve(torch.tensor([1.0, 0.0]), 0.5)
    assert policy.logits.softmax(-1).tolist() == pytest.approx(soft_q_iteration.improve(np.array([1.0, 0.0]), 0.5))


def test_it_acts_by_softmax_and_without_exploration_takes_the_best() -> None:
    """On Q = 2a, α = 1, the density of a is 2 e^{2a} / (e² − e⁻²)."""
    agent = SoftQLearning(1, PUSH, replace(CONFIG, hidden=(), candidates=500), seed=0)
    agent.steps = 10
    with torch.no_grad():
        for parameter, value in zip(agent.critic.parameters(), (torch.tensor([[[0.0], [2.0]]]), 0.0), strict=True):
            parameter.copy_(torch.as_tensor(value))
    actions = np.array([agent.act(np.array([0.5]))[0] for _ in range(1000)])

    def cdf(a: Any) -> Any:
        return (np.exp(2 * a) - math.exp(-2)) / (math.exp(2) - math.exp(-2))

    assert stats.kstest(actions, cdf).pvalue > 1e-3
    assert agent.act(np.array([0.5]), explore=False)[0] > 0.97  # the best of 500


def test_an_update_follows_its_target() -> None:
    agent = SoftQLearning(1, PUSH, replace(CONFIG, temperature=0.3, critics=2), seed=0)
    rows, same = batch(), torch.Generator()
    same.set_state(agent.state_dict()["_policy"])
    actions = torch.empty(16, 2, 1).uniform_(-1, 1, generator=same)
    target = soft_q_learning.bellman_target(rows, agent.target_critic, 0.99, 0.3, actions)
    loss = soft_q_learning.critic_loss(agent.critic(rows.obs, rows.action), target)
    expected = torch.autograd.grad(loss, list(agent.critic.parameters()))
    agent.update(rows)
    for parameter, gradient in zip(agent.critic.parameters(), expected, strict=True):
        torch.testing.assert_close(parameter.grad, gradient)


@pytest.mark.thorough
@pytest.mark.usefixtures("unchecked")
def test_in_one_step_it_learns_both_of_two_goals() -> None:
    """Reward −8 (|a| − ½)², α = ½: the critic has two equal tops, and the agent goes to each half of the time."""
    agent = SoftQLearning(1, PUSH, replace(CONFIG, hidden=(64, 64), lr=3e-3, gamma=0.0, temperature=0.5), seed=0)
    actions = torch.linspace(-1, 1, 65)[:, None]
    zero = torch.zeros(65, 1)
    reward = -8 * (actions.squeeze(-1).abs() - 0.5) ** 2
    rows = batch(obs=zero, action=actions, reward=reward, next_obs=zero, terminated=torch.ones(65),
                 steps=torch.ones(65), probability=torch.ones(65), indices=torch.arange(65))  # fmt: skip
    for _ in range(800):
        agent.update(rows)
    agent.steps = 10
    chosen = np.array([agent.act(np.zeros(1))[0] for _ in range(1000)])
    assert (chosen > 0).mean() == pytest.approx(0.5, abs=0.05)  # three standard errors
    assert np.abs(np.abs(chosen) - 0.5).mean() < 0.2  # evenly drawn actions have 0.25
