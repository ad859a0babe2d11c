"""SAC with a mixture: its density against an integral, its equations by hand, its gradient against differences."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from scipy import integrate, stats
from torch import Tensor

from rlcourse.algorithms import mixture_sac, sac
from rlcourse.algorithms.mixture_sac import Config, Mixture, MixtureSAC
from rlcourse.nets import Gaussian, generators
from tests.test_off_policy import PUSH, SIZES, batch

CONFIG = Config(**SIZES)
WEIGHTS, MEANS, STDS = (0.3, 0.7), (-0.5, 1.0), (0.4, 0.8)


def mixture(weights: Tensor, means: Tensor, log_stds: Tensor) -> Mixture:
    """Of one number, for one observation."""
    return Mixture(weights.log()[None], Gaussian(means[None, :, None], log_stds[None, :, None]))


def two() -> Mixture:
    weights, means, stds = (torch.tensor(each, dtype=torch.float64) for each in (WEIGHTS, MEANS, STDS))
    return mixture(weights, means, stds.log())


def density(action: float) -> float:
    """exp of the log-probability that `squash` gives the action, drawn from the first part."""
    z = torch.tensor([[[(math.atanh(action) - MEANS[0]) / STDS[0]], [0.0]]], dtype=torch.float64)
    found, log_prob = mixture_sac.squash(two(), z)
    assert found[0, 0].item() == pytest.approx(action)
    return float(log_prob[0, 0].exp())


def test_the_squashed_density_integrates_to_one() -> None:
    edge = 1 - 1e-9
    total, _ = integrate.quad(density, -edge, edge, limit=200, points=np.tanh(MEANS))
    assert total == pytest.approx(1, abs=1e-6)


def test_squash_by_hand() -> None:
    # z = ½ and −½: u = −0.3 and 0.6, each under both parts
    action, log_prob = mixture_sac.squash(two(), torch.tensor([[[0.5], [-0.5]]], dtype=torch.float64))
    u = np.array([-0.3, 0.6])
    assert action.flatten().tolist() == pytest.approx(np.tanh(u))
    normal = sum(w * stats.norm(m, s).pdf(u) for w, m, s in zip(WEIGHTS, MEANS, STDS, strict=True))
    assert log_prob[0].tolist() == pytest.approx(np.log(normal / (1 - np.tanh(u) ** 2)))


def test_numbers_of_an_action_are_drawn_by_the_same_part() -> None:
    """Two numbers: Σ_k w_k N(u₁) N(u₂), not the product of two mixtures."""
    parts = Gaussian(torch.tensor([[0.0, 0.0], [2.0, 2.0]]), torch.zeros(2, 2))
    found = Mixture(torch.zeros(2), parts).log_prob(torch.tensor([[0.0, 2.0]])).item()
    assert found == pytest.approx(math.log(stats.norm.pdf(0) * stats.norm.pdf(2)), abs=1e-6)


def test_far_out_the_log_probability_stays_finite_and_right() -> None:
    policy = Mixture(torch.zeros(2), Gaussian(torch.full((2, 1), 20.0), torch.zeros(2, 1)))
    _, log_prob = mixture_sac.squash(policy, torch.zeros(2, 1))
    assert log_prob.tolist() == pytest.approx([-0.5 * math.log(2 * math.pi) - math.log(4) + 40] * 2, rel=1e-6)


LOG_PI = -0.5 * math.log(2 * math.pi)  # of u = 0 under N(0, 1), where tanh changes nothing


def policy(obs: Tensor) -> Mixture:
    """With z = 0: a part of weight ¼ at 0 and one of weight ¾ far away, at u = 10, where a rounds to 1."""
    means = torch.tensor([0.0, 10.0]).expand(len(obs), 2)[..., None]
    return Mixture(torch.tensor([0.25, 0.75]).log().expand(len(obs), 2), Gaussian(means, torch.zeros_like(means)))


NEAR, FAR = math.log(0.25) + LOG_PI, math.log(0.75) + LOG_PI - (2 * math.log(2) - 20)  # log π, with tanh's correction


def critics(obs: Tensor, action: Tensor) -> Tensor:
    """Q₁ = 8s + a, Q₂ = 4s + 3a"""
    return torch.stack([8 * obs + action, 4 * obs + 3 * action]).squeeze(-1)


ZERO = torch.zeros(2, 2, 1)


def test_bellman_target_by_hand() -> None:
    # s' = ¼: min(2, 1) = 1 at a = 0 and min(3, 4) = 3 at a = 1, with weights ¼ and ¾
    found = mixture_sac.bellman_target(batch(), policy, critics, 0.5, 2.0, ZERO)
    value = 0.25 * (1 - 2 * NEAR) + 0.75 * (3 - 2 * FAR)
    assert found.tolist() == pytest.approx([1 + 0.5 * value, 2.0])


def test_actor_loss_by_hand() -> None:
    # s = ½: min(4, 2) = 2 and min(5, 5) = 5; s = −½: min(−4, −2) = −4 and min(−3, 1) = −3
    loss, log_prob = mixture_sac.actor_loss(batch(), policy, critics, 2.0, ZERO)
    mean = 0.25 * NEAR + 0.75 * FAR
    assert loss.item() == pytest.approx(2 * mean - (0.25 * (2 - 4) + 0.75 * (5 - 3)) / 2)
    assert log_prob.tolist() == pytest.approx([mean] * 2)


def test_one_part_is_sac() -> None:
    gaussian = Gaussian(torch.tensor([[0.3], [-0.2]]), torch.tensor([[-1.0], [0.5]]))
    one = Mixture(torch.tensor([[7.0], [-7.0]]), Gaussian(gaussian.mean[:, None], gaussian.log_std[:, None]))
    normal = torch.tensor([[0.4], [-1.1]])
    target = sac.bellman_target(batch(), lambda _: gaussian, critics, 0.9, 0.7, normal)
    found = mixture_sac.bellman_target(batch(), lambda _: one, critics, 0.9, 0.7, normal[:, None])
    torch.testing.assert_close(found, target)
    loss, log_prob = sac.actor_loss(batch(), lambda _: gaussian, critics, 0.7, normal)
    found, found_log_prob = mixture_sac.actor_loss(batch(), lambda _: one, critics, 0.7, normal[:, None])
    torch.testing.assert_close(found, loss)
    torch.testing.assert_close(found_log_prob, log_prob)


def wavy(obs: Tensor, action: Tensor) -> Tensor:
    """Two tops of different height."""
    return (torch.sin(5 * action) + 0.5 * action).mT


def exact_loss(parameters: np.ndarray) -> float:
    """∫ π(a) (α log π(a) − Q(a)) da with α = ½, over u, for the logits, means and log-spreads of two parts."""
    logits, means, log_stds = parameters.reshape(3, 2)
    weights = np.exp(logits) / np.exp(logits).sum()

    def integrand(u: float) -> float:
        normal = float((weights * stats.norm(means, np.exp(log_stds)).pdf(u)).sum())
        a = math.tanh(u)
        return normal * (0.5 * math.log(normal / (1 - a * a)) - math.sin(5 * a) - 0.5 * a)

    return float(integrate.quad(integrand, -6, 6, limit=200, epsabs=1e-10)[0])


@pytest.mark.thorough
def test_the_gradient_is_that_of_the_exact_expectation() -> None:
    """The mean of 20 000 estimates against finite differences of the integral: of weights, means and spreads alike."""
    start = np.array([0.2, -0.3, -0.6, 0.5, -0.7, -0.2])
    exact = [(exact_loss(start + step) - exact_loss(start - step)) / 2e-4 for step in 1e-4 * np.eye(6)]
    rows, samples = 100, 200
    normal = torch.randn(samples, rows, 2, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    several = batch(**{name: column.repeat_interleave(rows // 2, 0) for name, column in vars(batch()).items()})
    found: list[Tensor] = []
    for each in normal:
        parameters = torch.tensor(start, requires_grad=True)
        logits, means, log_stds = parameters.reshape(3, 1, 2).expand(-1, rows, -1)
        actor = lambda _: Mixture(logits, Gaussian(means[..., None], log_stds[..., None]))  # noqa: E731, B023
        loss, _ = mixture_sac.actor_loss(several, actor, wavy, 0.5, each)
        found += torch.autograd.grad(loss, parameters)
    means_found, error = torch.stack(found).mean(0), torch.stack(found).std(0) / math.sqrt(samples)
    assert error.max() < 0.02
    assert (np.abs(means_found.numpy() - exact) < 4 * error.numpy()).all()


def test_an_update_follows_its_target_and_its_loss() -> None:
    agent = MixtureSAC(1, PUSH, replace(CONFIG, temperature=0.3), seed=0)
    rows, same = batch(), torch.Generator()
    same.set_state(agent.state_dict()["_policy"])
    normal, next_normal = torch.randn(2, 2, 4, 1, generator=same)
    target = mixture_sac.bellman_target(rows, agent.actor, agent.target_critic, 0.99, 0.3, next_normal)
    loss = mixture_sac.critic_loss(agent.critic(rows.obs, rows.action), target.detach())
    expected = torch.autograd.grad(loss, list(agent.critic.parameters()))
    seen = agent.update(rows)
    for parameter, gradient in zip(agent.critic.parameters(), expected, strict=True):
        torch.testing.assert_close(parameter.grad, gradient)
    assert seen["critic_loss"] == pytest.approx(loss.item())
    assert {parameter.grad is None for parameter in agent.actor.parameters()} == {False}
    assert normal.shape == (2, 4, 1)


def test_a_fixed_temperature_stays() -> None:
    agent = MixtureSAC(1, PUSH, replace(CONFIG, learn_temperature=False, temperature=0.3), seed=0)
    assert [agent.update(batch())["temperature"] for _ in range(3)] == pytest.approx([0.3] * 3)


def test_exploration_follows_the_squashed_mixture() -> None:
    agent = MixtureSAC(1, PUSH, replace(CONFIG, components=2, hidden=()), seed=0)
    agent.steps = 10
    with torch.no_grad():  # whatever is observed: of each part the logit, the mean and the log-spread
        weight, bias = agent.actor.parameters()
        weight.zero_()
        bias.copy_(torch.tensor(np.stack([np.log(WEIGHTS), MEANS, np.log(STDS)], -1)).flatten())
    actions = np.array([agent.act(np.array([0.5]))[0] for _ in range(2000)])

    def cdf(u: Any) -> Any:
        return sum(w * stats.norm(m, s).cdf(u) for w, m, s in zip(WEIGHTS, MEANS, STDS, strict=True))

    assert stats.kstest(np.arctanh(actions.astype(float)), cdf).pvalue > 1e-3
    assert agent.act(np.array([0.5]), explore=False)[0] == pytest.approx(math.tanh(1.0))  # the heaviest part's mean


def test_spreads_are_bounded() -> None:
    actor = mixture_sac.MixtureActor(1, 1, (), generators(0, 1)[0], 2)
    with torch.no_grad():
        next(actor.parameters()).fill_(1.0)
        low, high = (actor(torch.tensor([x])).parts.log_std.flatten().tolist() for x in (-1e4, 1e4))
    assert (low, high) == ([-20] * 2, [2] * 2)
