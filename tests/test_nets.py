"""Generators, perceptrons, policies and target networks."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Discrete, MultiDiscrete
from torch import nn

from rlcourse.nets import Categorical, Gaussian, Policy, generators, mlp, polyak_update


def linear(weight: float, bias: float) -> nn.Linear:
    net = nn.Linear(1, 1)
    nn.init.constant_(net.weight, weight)
    nn.init.constant_(net.bias, bias)
    return net


def test_generators_differ_repeat_and_do_not_depend_on_how_many_there_are() -> None:
    draws = [torch.rand((), generator=generator).item() for generator in generators(0, 3)]
    assert len(set(draws)) == 3
    assert [torch.rand((), generator=generator).item() for generator in generators(0, 2)] == draws[:2]
    assert torch.rand((), generator=generators(1, 1)[0]).item() not in draws


def test_mlp_is_linear_layers_with_activations_between() -> None:
    net = mlp([3, 5, 2], generators(0, 1)[0], nn.ELU)
    assert [type(layer) for layer in net] == [nn.Linear, nn.ELU, nn.Linear]
    assert [tuple(parameter.shape) for parameter in net.parameters()] == [(5, 3), (5,), (2, 5), (2,)]
    assert net(torch.zeros(4, 3)).shape == (4, 2)


def test_mlp_draws_from_its_generator_within_bounds_and_leaves_the_global_one_alone() -> None:
    before = torch.get_rng_state()
    one, same, other = (next(mlp([4, 400], generators(seed, 1)[0]).parameters()) for seed in (0, 0, 1))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    assert torch.equal(torch.get_rng_state(), before)
    # U(−1/√4, 1/√4): of 1600 draws the largest is within 1 % of the bound but for odds of 0.99^1600 ≈ 1e-7.
    assert 0.495 < one.abs().max() <= 0.5


@pytest.mark.parametrize(
    ("tau", "weight", "bias"),
    [(0.0, 1.0, -1.0), (1.0, 3.0, 7.0), (0.25, 1.5, 1.0)],  # 1 + ¼·(3 − 1) = 1.5 and −1 + ¼·(7 + 1) = 1
)
def test_polyak_update_moves_the_target_by_tau(tau: float, weight: float, bias: float) -> None:
    target, online = linear(1.0, -1.0).requires_grad_(False), linear(3.0, 7.0)
    polyak_update(target, online, tau)
    assert (target.weight.item(), target.bias.item()) == (weight, bias)
    assert (online.weight.item(), online.bias.item()) == (3.0, 7.0)
    assert not target.weight.requires_grad


P = Categorical(torch.tensor([[0.25, 0.5, 0.25], [1.0, 0.0, 0.0]]).log())
NORMAL = Gaussian(torch.tensor([[1.0, -2.0]]), torch.tensor([0.0, math.log(2)]))


def test_categorical_by_hand() -> None:
    assert P.log_prob(torch.tensor([1, 0])).tolist() == pytest.approx([math.log(0.5), 0])
    shifted = Categorical(P.logits[:1] + 7)  # logits need not be normalised
    assert shifted.log_prob(torch.tensor([2])).item() == pytest.approx(math.log(0.25), abs=1e-5)
    assert shifted.entropy().item() == pytest.approx(1.5 * math.log(2), abs=1e-5)  # 1½ bits
    assert P.mode.tolist() == [1, 0]
    q = Categorical(torch.tensor([[0.5, 0.25, 0.25]]).log())
    # ¼ log(¼/½) + ½ log(½/¼) = ¼ log 2
    assert Categorical(P.logits[:1]).kl(q).item() == pytest.approx(0.25 * math.log(2))


def test_gaussian_by_hand() -> None:
    # −(2² / 2 + ½ log 2π) − (4² / (2·4) + log 2 + ½ log 2π) = −4 − log 2 − log 2π at (3, 2)
    log_prob = NORMAL.log_prob(torch.tensor([[3.0, 2.0]]))
    assert log_prob.tolist() == pytest.approx([-4 - math.log(2) - math.log(2 * math.pi)])
    assert NORMAL.entropy().tolist() == pytest.approx([math.log(2) + math.log(2 * math.pi * math.e)])
    assert NORMAL.mode.tolist() == [[1, -1]]  # −2 is no action
    other = Gaussian(torch.tensor([[0.0, -2.0]]), torch.zeros(2))
    # ½ (1 + 1 − 1 − 0) + ½ (4 + 0 − 1 − log 4)
    assert NORMAL.kl(other).item() == pytest.approx(0.5 + 0.5 * (3 - math.log(4)))


@pytest.mark.parametrize("batch", [(), (3,), (4, 3)])
@pytest.mark.parametrize("space", [Discrete(5), Box(-1.0, 1.0, (2,))], ids=["discrete", "continuous"])
def test_a_policy_gives_a_distribution_for_each_observation(space: Any, batch: tuple[int, ...]) -> None:
    if isinstance(space, Discrete) and len(batch) == 2:
        pytest.skip("nobody samples for rollouts")
    policy = Policy(3, space, (8,), generators(0, 1)[0])
    distribution = policy(torch.zeros(*batch, 3))
    action = distribution.sample(generators(1, 1)[0])
    assert action.shape == distribution.mode.shape == (*batch, *space.shape)
    assert distribution.log_prob(action).shape == distribution.entropy().shape == batch
    assert distribution.kl(distribution).abs().max() < 1e-6


def test_samples_are_as_frequent_as_their_probabilities_and_repeat_with_the_generator() -> None:
    many = Categorical(P.logits[:1].expand(4000, 3))
    counts = many.sample(generators(0, 1)[0]).bincount(minlength=3) / 4000
    # Four standard deviations of √(¼·¾/4000) = 0.0068 and √(½·½/4000) = 0.0079.
    assert counts.tolist() == pytest.approx([0.25, 0.5, 0.25], abs=0.03)
    one, same, other = (many.sample(generators(seed, 1)[0]) for seed in (0, 0, 1))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)

    normal = Gaussian(torch.tensor([1.0, -2.0]).expand(4000, 2), NORMAL.log_std).sample(generators(0, 1)[0])
    # Four standard errors of the mean, 2/√4000, and of the spread, 2/√8000.
    assert normal.mean(0).tolist() == pytest.approx([1, -2], abs=0.13)
    assert normal.std(0).tolist() == pytest.approx([1, 2], abs=0.09)


def test_a_policy_refuses_other_action_spaces() -> None:
    for space in (MultiDiscrete([2, 2]), Box(-1.0, 1.0, (2, 2)), Box(-2.0, 2.0, (2,)), Box(-np.inf, np.inf, (2,))):
        with pytest.raises(ValueError, match=r"action_space = .* must be a Box from -1 to 1 with one axis; envs.make"):
            Policy(3, space, (8,), generators(0, 1)[0])
    with pytest.raises(ValueError, match=r"action_space = Discrete\(3, start=5\): it must count from 0, as envs.make"):
        Policy(3, Discrete(3, start=5), (8,), generators(0, 1)[0])


def test_log_probabilities_agree_with_scipy() -> None:
    from scipy import stats

    action = np.array([[0.3, -0.7]])
    expected = stats.norm([1.0, -2.0], [1.0, 2.0]).logpdf(action).sum()
    assert NORMAL.log_prob(torch.tensor(action, dtype=torch.float32)).item() == pytest.approx(expected)


INFINITY = math.inf


def test_an_action_that_never_happens_adds_nothing_to_entropy_and_divergence() -> None:
    """0 log 0 is 0: p = (½, ½, 0) has the entropy log 2; KL(p ‖ (½, ¼, ¼)) = ½ log 2; the other way it is infinite."""
    logits = torch.tensor([[0.0, 0.0, -INFINITY]], requires_grad=True)
    masked, other = Categorical(logits), Categorical(torch.tensor([[0.5, 0.25, 0.25]]).log())
    assert masked.entropy().item() == pytest.approx(math.log(2))
    assert masked.kl(other).item() == pytest.approx(0.5 * math.log(2))
    assert masked.kl(masked).item() == 0
    assert other.kl(masked).item() == INFINITY
    (masked.entropy() + masked.kl(other)).backward()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()
    sure = Categorical(torch.tensor([[500.0, 0.0]]))  # e⁻⁵⁰⁰ is 0 in float32, too
    assert sure.entropy().item() == sure.kl(sure).item() == 0
    assert sure.log_prob(torch.tensor([1])).item() == -500


def test_of_equally_likely_actions_the_first_is_the_mode() -> None:
    assert Categorical(torch.tensor([[1.0, 2.0, 2.0], [0.0, 0.0, 0.0]])).mode.tolist() == [1, 0]


@pytest.mark.parametrize(
    ("log_std", "other", "expected"),
    [  # log(σ'/σ) + σ²/(2 σ'²) − ½ for one number
        (-60.0, 0.0, 59.5),  # 60 + ½ e⁻¹²⁰ − ½
        (0.0, 0.0, 0.0),
        (1e-4, 0.0, 1e-8),  # x = log σ − log σ': ½ (e²ˣ − 1 − 2x) = x² + ⅔ x³ + …
        (0.0, -30.0, 0.5 * math.exp(60) - 30.5),
        (0.0, -60.0, INFINITY),  # ½ e¹²⁰, more than float32 holds
    ],
)
def test_the_divergence_of_narrow_and_of_nearly_equal_gaussians(log_std: float, other: float, expected: float) -> None:
    mean = torch.zeros(1, 1)
    kl = Gaussian(mean, torch.tensor([log_std])).kl(Gaussian(mean, torch.tensor([other])))
    assert kl.item() == pytest.approx(expected, rel=1e-3)


def test_the_density_of_a_gaussian_without_spread() -> None:
    """At its mean log σ = −110 gives 110 − ½ log 2π, though 1/σ is beyond float32; elsewhere it is −∞."""
    narrow = Gaussian(torch.zeros(2, 1), torch.tensor([-110.0]))
    expected = [110 - 0.5 * math.log(2 * math.pi), -INFINITY]
    assert narrow.log_prob(torch.tensor([[0.0], [1.0]])).tolist() == pytest.approx(expected)
