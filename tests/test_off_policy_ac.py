"""The off-policy actor-critic: its equations by hand, and its score-function gradient against reparameterisation."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from rlcourse.algorithms import off_policy_ac, sac
from rlcourse.algorithms.off_policy_ac import Config, OffPolicyAC
from rlcourse.nets import Gaussian, generators
from tests.test_off_policy import PUSH, SIZES, batch

CONFIG = Config(**SIZES)


def test_squash_is_sacs_without_a_gradient_of_the_action() -> None:
    mean = torch.tensor([[0.3, -1.0]], requires_grad=True)
    policy, normal = Gaussian(mean, torch.tensor([[0.1, -0.5]])), torch.tensor([[0.2, -2.0]])
    action, log_prob = off_policy_ac.squash(policy, normal)
    same, same_log_prob = sac.squash(policy, normal)
    assert torch.equal(action, same)
    assert torch.equal(log_prob, same_log_prob)
    assert not action.requires_grad
    (score,) = torch.autograd.grad(log_prob.sum(), mean)
    # ∇_μ log N(u; μ, σ) = z / σ; the tanh's correction does not depend on μ
    expected = [[0.2 / math.exp(0.1), -2 / math.exp(-0.5)]]
    torch.testing.assert_close(score, torch.tensor(expected))


LOG_PI = -0.5 * math.log(2 * math.pi)  # of u = 0 under N(0, 1), where tanh changes nothing


def policy(obs: Tensor) -> Gaussian:
    """Standard normal whatever is observed; with z = 0 the action is 0 and log π is −½ log 2π."""
    return Gaussian(torch.zeros_like(obs), torch.zeros(1))


def critics(obs: Tensor, action: Tensor) -> Tensor:
    """Q₁ = 8s + a, Q₂ = 4s + 3a"""
    return torch.stack([8 * obs + action, 4 * obs + 3 * action]).squeeze(-1)


def test_bellman_target_by_hand() -> None:
    # s' = ¼, a' = 0: min(2, 1) = 1; 1 + ½·1; terminated: 2
    assert off_policy_ac.bellman_target(batch(), policy, critics, 0.5, torch.zeros(2, 1)).tolist() == [1.5, 2.0]
    # a' = tanh 1, in which Q₁ is 2 + tanh 1 and the smaller, Q₂ 1 + 3 tanh 1: 1 + ½·(2 + tanh 1)
    found = off_policy_ac.bellman_target(batch(), policy, critics, 0.5, torch.ones(2, 1))
    assert found.tolist() == pytest.approx([2 + math.tanh(1) / 2, 2.0])


def test_critic_loss_by_hand() -> None:
    q = torch.tensor([[1.0, 5.0], [4.0, 2.0]], requires_grad=True)
    loss = off_policy_ac.critic_loss(q, torch.tensor([4.0, 4.0]))
    assert loss.item() == 7.0  # (9 + 1)/2 + (0 + 4)/2
    loss.backward()
    assert q.grad is not None
    assert q.grad.tolist() == [[-3.0, 1.0], [0.0, -2.0]]


def slope(normal: Tensor, baseline: bool) -> tuple[float, float]:
    """The actor's loss and its slope in a shift of all means, for Q = 2 + a."""
    shift = torch.zeros((), requires_grad=True)
    actor = lambda obs: Gaussian(torch.zeros_like(obs) + shift, torch.zeros(1))  # noqa: E731
    critic = lambda obs, action: (2 + action).squeeze(-1)[None]  # noqa: E731
    loss, log_prob = off_policy_ac.actor_loss(batch(), actor, critic, normal, baseline)
    assert log_prob.shape == normal.shape[:2]
    loss.backward()
    assert shift.grad is not None
    return loss.item(), shift.grad.item()


def test_actor_loss_by_hand() -> None:
    # z = 0 in the first row, 1 in the second: −½ Σ log π · Q, with the slope −½ Σ z·Q = −½ (0·2 + 1·(2 + tanh 1))
    loss, found = slope(torch.tensor([[[0.0], [1.0]]]), baseline=False)
    far = LOG_PI - 0.5 - math.log(1 - math.tanh(1) ** 2)
    assert loss == pytest.approx(-(LOG_PI * 2 + far * (2 + math.tanh(1))) / 2)
    assert found == pytest.approx(-(2 + math.tanh(1)) / 2)


def test_each_action_is_compared_with_the_others_in_its_state() -> None:
    # Three actions, z = −1, 0, 1 in both rows; Q = 2 − t, 2, 2 + t for t = tanh 1. Against the mean of the other two:
    # −3t/2, 0, 3t/2; the slope is −⅓ (−1·(−3t/2) + 0 + 1·3t/2) = −t in each row
    normal = torch.tensor([-1.0, 0.0, 1.0])[:, None, None].expand(3, 2, 1)
    assert slope(normal, baseline=True)[1] == pytest.approx(-math.tanh(1))
    assert slope(normal, baseline=False)[1] == pytest.approx(-2 * math.tanh(1) / 3)  # −⅓ (−(2 − t) + 2 + t)


def gradients(loss: Any, count: int, seed: int, **options: Any) -> np.ndarray:
    """`count` gradients, each from fresh actions in two states, in mean and log σ; Q = −10 − (u(a) − 0.3)² + s."""
    generator = generators(seed, 1)[0]
    critic = lambda obs, action: (obs - 10 - (action.atanh() - 0.3).square()).squeeze(-1)[None]  # noqa: E731
    found = []
    for _ in range(count):
        mean, log_std = (torch.full((1,), x, dtype=torch.float64, requires_grad=True) for x in (-0.1, -0.7))
        actor = lambda obs, m=mean, s=log_std: Gaussian(m.expand(obs.shape), s)  # noqa: E731
        found.append([x.item() for x in torch.autograd.grad(loss(actor, critic, generator), (mean, log_std))])
    return np.array(found)


@pytest.mark.thorough
def test_the_score_functions_gradient_has_the_same_mean_as_the_reparameterised_one_and_a_larger_variance() -> None:
    """On a quadratic Q of u, where the mean is known: 2 (μ − 0.3) and 2σ² (a loss falls where Q rises)."""
    rows = replace(batch(), obs=batch().obs.double())

    def score(samples: int, baseline: bool) -> Any:
        def loss(actor: Any, critic: Any, generator: torch.Generator) -> Tensor:
            normal = torch.randn(samples, 2, 1, generator=generator, dtype=torch.float64)
            return off_policy_ac.actor_loss(rows, actor, critic, normal, baseline)[0]

        return loss

    def pathwise(actor: Any, critic: Any, generator: torch.Generator) -> Tensor:
        normal = torch.randn(2, 1, generator=generator, dtype=torch.float64)
        return sac.actor_loss(rows, actor, critic, 0.0, normal)[0]

    true = np.array([2 * (-0.1 - 0.3), 2 * math.exp(-0.7) ** 2])
    through = gradients(pathwise, 3_000, seed=0)
    plain, many, compared = (gradients(score(*how), 3_000, seed=1) for how in ((1, False), (8, False), (8, True)))
    for found in (through, plain, many, compared):
        assert np.min(stats.ttest_1samp(found, true).pvalue) > 1e-3
    # Levene's test: which of two samples scatters more.
    for wide, narrow in ((plain, through), (plain, many), (many, compared)):
        for k in range(2):
            assert wide[:, k].var() > narrow[:, k].var()
            assert stats.levene(wide[:, k], narrow[:, k]).pvalue < 1e-6


def test_an_update_follows_both_losses() -> None:
    agent = OffPolicyAC(1, PUSH, replace(CONFIG, samples=3, baseline=True, critics=2), seed=0)
    rows = batch()
    same = torch.Generator()
    same.set_state(agent.state_dict()["_policy"])
    normal = torch.randn(4, 2, 1, generator=same)
    target = off_policy_ac.bellman_target(rows, agent.actor, agent.target_critic, 0.99, normal[0])
    loss = off_policy_ac.critic_loss(agent.critic(rows.obs, rows.action), target.detach())
    expected = torch.autograd.grad(loss, list(agent.critic.parameters()))
    agent.update(rows)
    for parameter, gradient in zip(agent.critic.parameters(), expected, strict=True):
        torch.testing.assert_close(parameter.grad, gradient)
    other = OffPolicyAC(1, PUSH, replace(CONFIG, samples=3, baseline=True, critics=2), seed=0)
    loss, _ = off_policy_ac.actor_loss(rows, other.actor, agent.critic, normal[1:], True)  # the critic has moved
    expected = torch.autograd.grad(loss, list(other.actor.parameters()))
    for parameter, gradient in zip(agent.actor.parameters(), expected, strict=True):
        torch.testing.assert_close(parameter.grad, gradient)


@pytest.mark.parametrize("tau", [0.0, 1.0])
def test_targets_follow_by_tau(tau: float) -> None:
    agent = OffPolicyAC(1, PUSH, replace(CONFIG, tau=tau, lr=0.1), seed=0)
    before = agent.target_critic(torch.ones(1, 1), torch.ones(1, 1))
    agent.update(batch())
    after = agent.target_critic(torch.ones(1, 1), torch.ones(1, 1))
    online = agent.critic(torch.ones(1, 1), torch.ones(1, 1))
    assert torch.equal(after, online if tau else before)
    assert not torch.equal(before, online)


def test_spreads_are_bounded() -> None:
    actor = off_policy_ac.StochasticActor(1, 1, (), generators(0, 1)[0], -3.0)
    with torch.no_grad():
        next(actor.parameters()).fill_(1.0)
        low, high = (actor(torch.tensor([x])).log_std.item() for x in (-1e4, 1e4))
    assert (low, high) == (-3, 2)


@pytest.mark.parametrize(("baseline", "stays"), [(True, True), (False, False)])
def test_only_with_a_baseline_a_constant_q_moves_nothing(baseline: bool, stays: bool) -> None:
    generator, log_std = generators(0, 1)[0], torch.full((1,), -1.0, requires_grad=True)
    optimizer = torch.optim.Adam([log_std], lr=1e-2)
    for _ in range(50):
        actor = lambda obs: Gaussian(torch.zeros_like(obs), log_std)  # noqa: E731
        critic = lambda obs, action: torch.full((1, len(obs)), -10.0)  # noqa: E731
        normal = torch.randn(4, 2, 1, generator=generator)
        loss, _ = off_policy_ac.actor_loss(batch(), actor, critic, normal, baseline)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert (log_std.item() == -1) == stays


@pytest.mark.parametrize(("log_std", "lost"), [(-2.0, False), (-14.0, True)])
def test_a_tiny_spread_leaves_the_score_function_only_rounding(log_std: float, lost: bool) -> None:
    """Q near −100 in float32 has steps of 8e-6; of a slope of 1 a spread of 8e-7 makes differences below these."""
    mean = torch.zeros(1, requires_grad=True)
    actor = lambda obs: Gaussian(mean.expand(obs.shape), torch.full((1,), log_std))  # noqa: E731
    critic = lambda obs, action: (action - 100).squeeze(-1)[None]  # noqa: E731
    normal = torch.randn(20_000, 2, 1, generator=generators(0, 1)[0])
    score, _ = off_policy_ac.actor_loss(batch(), actor, critic, normal, True)
    (found,) = torch.autograd.grad(score, mean)
    through, _ = sac.actor_loss(batch(), actor, critic, 0.0, normal[0])
    (right,) = torch.autograd.grad(through, mean)
    assert right.item() == pytest.approx(-1, abs=0.1)  # tanh is steepest at 0
    assert (abs(found.item() - right.item()) > 0.5) == lost
