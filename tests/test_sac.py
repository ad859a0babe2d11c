"""SAC: the squashed Gaussian against integrals, its equations by hand, the temperature, and the original's V.

The equations are tested on the pages of CQL and EDAC, too, which have the same.
"""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from scipy import integrate, stats
from torch import Tensor

from rlcourse.algorithms import cql, edac, off_policy_ac, sac
from rlcourse.algorithms.off_policy_ac import OffPolicyAC
from rlcourse.algorithms.sac import SAC, Config
from rlcourse.nets import Gaussian, generators
from tests.test_off_policy import PUSH, SIZES, batch

CONFIG = Config(**SIZES)


def density(action: float, mean: float, std: float) -> float:
    """exp of the log-probability that `squash` gives the action."""
    z = (math.atanh(action) - mean) / std
    policy = Gaussian(torch.tensor([mean], dtype=torch.float64), torch.tensor([math.log(std)], dtype=torch.float64))
    found, log_prob = sac.squash(policy, torch.tensor([z], dtype=torch.float64))
    assert found.item() == pytest.approx(action)
    return float(log_prob.exp())


@pytest.mark.parametrize(("mean", "std"), [(0.0, 1.0), (1.5, 0.3), (-0.5, 2.0)])
def test_the_squashed_density_integrates_to_one(mean: float, std: float) -> None:
    edge = 1 - 1e-9  # beyond it lies less than 1e-5 of the probability, for the widest of these
    total, _ = integrate.quad(density, -edge, edge, args=(mean, std), limit=200, points=[math.tanh(mean)])
    assert total == pytest.approx(1, abs=1e-4)


def test_squash_by_hand() -> None:
    # u = 0.5 + 2·0.25 = 1: a = tanh 1; log N = −0.25²/2 − log 2 − ½ log 2π, and −log(1 − tanh² 1), for each number
    policy = Gaussian(torch.full((1, 2), 0.5), torch.full((1, 2), math.log(2)))
    action, log_prob = sac.squash(policy, torch.full((1, 2), 0.25))
    assert action.tolist() == [pytest.approx([math.tanh(1)] * 2)]
    one = stats.norm(0.5, 2).logpdf(1) - math.log(1 - math.tanh(1) ** 2)
    assert log_prob.tolist() == pytest.approx([2 * one])


def test_far_out_the_log_probability_stays_finite_and_right() -> None:
    # u = 20: tanh rounds to 1 in float32, and 1 − tanh² u ≈ 4 exp(−40)
    policy = Gaussian(torch.tensor([20.0]), torch.tensor([0.0]))
    _, log_prob = sac.squash(policy, torch.zeros(1))
    assert log_prob.item() == pytest.approx(-0.5 * math.log(2 * math.pi) - math.log(4) + 40, rel=1e-6)


def test_the_gradient_goes_through_action_and_probability() -> None:
    mean = torch.tensor([0.3], requires_grad=True)
    action, log_prob = sac.squash(Gaussian(mean, torch.zeros(1)), torch.tensor([0.2]))
    (slope,) = torch.autograd.grad(action.sum(), mean, retain_graph=True)
    assert slope.item() == pytest.approx(1 - math.tanh(0.5) ** 2)
    # log π = const − log(1 − tanh² u), whose derivative is 2 tanh u
    (slope,) = torch.autograd.grad(log_prob, mean)
    assert slope.item() == pytest.approx(2 * math.tanh(0.5))


LOG_PI = -0.5 * math.log(2 * math.pi)  # of u = 0 under N(0, 1), where tanh changes nothing


def policy(obs: Tensor) -> Gaussian:
    """Standard normal whatever is observed; with z = 0 the action is 0 and log π is −½ log 2π."""
    return Gaussian(torch.zeros_like(obs), torch.zeros(1))


def critics(obs: Tensor, action: Tensor) -> Tensor:
    """Q₁ = 8s + a, Q₂ = 4s + 3a"""
    return torch.stack([8 * obs + action, 4 * obs + 3 * action]).squeeze(-1)


ZERO = torch.zeros(2, 1)
PAGES = pytest.mark.parametrize("page", [sac, cql, edac], ids=lambda page: page.__name__.rsplit(".", 1)[-1])


@PAGES
def test_bellman_target_by_hand(page: Any) -> None:
    # s' = ¼: min(2, 1) = 1; 1 + ½·(1 − 2·log π)
    found = page.bellman_target(batch(), policy, critics, 0.5, 2.0, ZERO)
    assert found.tolist() == pytest.approx([1 + 0.5 * (1 - 2 * LOG_PI), 2.0])


@PAGES
def test_critic_loss_by_hand(page: Any) -> None:
    # (1 + 4)/2 for the first critic, (4 + 0)/2 for the second
    q = torch.tensor([[0.0, 0.0], [-1.0, 2.0]])
    assert page.critic_loss(q, torch.tensor([1.0, 2.0])).item() == pytest.approx(4.5)


@PAGES
def test_actor_loss_by_hand(page: Any) -> None:
    # s = ±½: min(4, 2) = 2 and min(−4, −2) = −4; mean −1
    loss, log_prob = page.actor_loss(batch(), policy, critics, 2.0, ZERO)
    assert loss.item() == pytest.approx(2 * LOG_PI + 1)
    assert log_prob.tolist() == pytest.approx([LOG_PI] * 2)


def test_the_originals_targets_by_hand() -> None:
    assert sac.value_target(batch(), policy, critics, 2.0, ZERO).tolist() == pytest.approx(
        [2 - 2 * LOG_PI, -4 - 2 * LOG_PI]
    )
    assert sac.value_bellman_target(batch(), lambda obs: 4 * obs, 0.5).tolist() == [1.5, 2.0]  # 1 + ½·4·¼


@PAGES
@pytest.mark.parametrize(("log_prob", "rises"), [(3.0, True), (-3.0, False)])
def test_too_little_entropy_raises_the_temperature(page: Any, log_prob: float, rises: bool) -> None:
    log_temperature = torch.zeros((), requires_grad=True)
    loss = page.temperature_loss(log_temperature, torch.tensor([log_prob, log_prob]), -1.0)
    loss.backward()
    assert log_temperature.grad is not None
    assert log_temperature.grad.item() == -(log_prob - 1.0)
    assert (log_temperature.grad.item() < 0) == rises


@pytest.mark.thorough
def test_entropy_is_held_near_its_target() -> None:
    """On a critic that does not care, the temperature alone decides how random the actor is."""
    agent = SAC(1, PUSH, replace(CONFIG, lr=1e-2, target_entropy=-0.5, gamma=0.0), seed=0)
    rows = batch(**{name: column.repeat_interleave(64, 0) for name, column in vars(batch()).items()})
    rows = replace(rows, reward=torch.zeros(128))
    seen = [agent.update(rows)["entropy"] for _ in range(1200)]
    assert seen[0] > 0
    assert np.mean(seen[-400:]) == pytest.approx(-0.5, abs=0.1)  # it swings around its target, ever less


@pytest.mark.parametrize("value_network", [False, True])
def test_an_update_follows_its_target(value_network: bool) -> None:
    agent = SAC(1, PUSH, replace(CONFIG, value_network=value_network, temperature=0.3), seed=0)
    rows = batch()
    same = torch.Generator()
    same.set_state(agent.state_dict()["_policy"])
    _, normal = torch.randn(2, 2, 1, generator=same)
    if value_network:
        target = sac.value_bellman_target(rows, agent.target_value_network, 0.99)
    else:
        target = sac.bellman_target(rows, agent.actor, agent.target_critic, 0.99, 0.3, normal)
    loss = sac.critic_loss(agent.critic(rows.obs, rows.action), target.detach())
    expected = torch.autograd.grad(loss, list(agent.critic.parameters()))
    fitted = sac.value_target(rows, agent.actor, agent.critic, 0.3, normal).detach()
    error = ((agent.value_network(rows.obs).squeeze(-1) - fitted) ** 2).mean()
    expected_v = torch.autograd.grad(error, list(agent.value_network.parameters()))
    agent.update(rows)
    for parameter, gradient in zip(agent.critic.parameters(), expected, strict=True):
        torch.testing.assert_close(parameter.grad, gradient)
    for parameter, gradient in zip(agent.value_network.parameters(), expected_v, strict=True):
        if value_network:
            torch.testing.assert_close(parameter.grad, gradient)
        else:
            assert parameter.grad is None


def test_a_fixed_temperature_stays() -> None:
    agent = SAC(1, PUSH, replace(CONFIG, learn_temperature=False, temperature=0.3), seed=0)
    assert [agent.update(batch())["temperature"] for _ in range(3)] == pytest.approx([0.3] * 3)


def test_without_entropy_only_q_counts_and_a_temperature_of_zero_is_not_learned() -> None:
    agent = SAC(1, PUSH, replace(CONFIG, learn_temperature=False, temperature=0.0), seed=0)
    rows = batch()
    same = torch.Generator()
    same.set_state(agent.state_dict()["_policy"])
    _, next_normal = torch.randn(2, 2, 1, generator=same)
    with torch.no_grad():
        next_action, _ = sac.squash(agent.actor(rows.next_obs), next_normal)
        smaller = agent.target_critic(rows.next_obs, next_action).amin(0)
    target = torch.tensor([1 + 0.99 * smaller[0].item(), 2.0])  # the second row is terminated
    expected = (target - agent.critic(rows.obs, rows.action)).square().mean(-1).sum().item()
    metrics = agent.update(rows)
    assert metrics["temperature"] == 0
    assert metrics["critic_loss"] == pytest.approx(expected, rel=1e-5)
    with pytest.raises(ValueError, match=r"sac.Config.temperature = 0.0 has no logarithm to learn: set learn_temp"):
        replace(CONFIG, temperature=0.0)
    with pytest.raises(ValueError, match=r"sac.Config.temperature = -0.1 is out of range: it must be in \[0, inf\)"):
        replace(CONFIG, learn_temperature=False, temperature=-0.1)


@pytest.mark.parametrize(
    "agent",
    [SAC(1, PUSH, CONFIG, seed=0), OffPolicyAC(1, PUSH, off_policy_ac.Config(**SIZES), seed=0)],
    ids=lambda agent: type(agent).__name__,
)
def test_exploration_follows_the_squashed_distribution(agent: Any) -> None:
    agent.steps = 10
    actions = np.array([agent.act(np.array([0.5]))[0] for _ in range(2000)])
    with torch.no_grad():
        gaussian = agent.actor(torch.tensor([0.5]))
    expected = stats.norm(gaussian.mean.item(), gaussian.log_std.exp().item())
    assert stats.kstest(np.arctanh(actions.astype(float)), expected.cdf).pvalue > 1e-3
    assert agent.act(np.array([0.5]), explore=False)[0] == pytest.approx(math.tanh(gaussian.mean.item()), abs=1e-6)


def test_spreads_are_bounded() -> None:
    actor = sac.StochasticActor(1, 1, (), generators(0, 1)[0])
    with torch.no_grad():
        next(actor.parameters()).fill_(1.0)
        low, high = (actor(torch.tensor([x])).log_std.item() for x in (-1e4, 1e4))
    assert (low, high) == (-20, 2)
