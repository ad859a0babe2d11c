"""Diffusion: noise comes and goes by hand, and the sampler draws from mixtures whose score is known."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from rlcourse.algorithms import cloning, diffusion
from rlcourse.algorithms.cloning import Mixture
from tests.test_cloning import mixture


def test_what_noise_leaves_of_an_action() -> None:
    # (0.5, −1) · √0.64 + (1, 2) · √0.36; the second row is still whole.
    action, noise = torch.tensor([[0.5, -1.0], [0.5, -1.0]]), torch.tensor([[1.0, 2.0], [1.0, 2.0]])
    x = diffusion.noised(action, noise, torch.tensor([0.64, 1.0]))
    assert x.flatten().tolist() == pytest.approx([0.4 + 0.6, -0.8 + 1.2, 0.5, -1.0])


def test_the_schedule_goes_from_everything_to_nothing() -> None:
    share = diffusion.kept(10)
    assert share.shape == (11,)
    assert share[0] == 1
    # cos²(π/2 · (0.5 + 0.008)/1.008) / cos²(π/2 · 0.008/1.008) = 0.4937668 / 0.9998446
    assert share[5].item() == pytest.approx(0.4938436, abs=1e-6)
    assert (share[1:] < share[:-1]).all()
    assert (share[-1] / share[-2]).item() == pytest.approx(1e-3)  # the last step: nothing divides by 0
    assert share[-1] > 0


def test_a_step_back() -> None:
    # ᾱ_t = 0.4, ᾱ_{t−1} = 0.8, β = ½. Mean: (√0.8·½·0.9 + √½·0.2·1)/0.6 = (0.402492 + 0.141421)/0.6 = 0.906523;
    # spread √(0.2/0.6·½) = 0.408248.
    x, guess, fresh = torch.tensor([[1.0]]), torch.tensor([[0.9]]), torch.tensor([[2.0]])
    back = diffusion.denoised(x, guess, 0.4, 0.8, fresh)
    assert back.item() == pytest.approx(0.906523 + 2 * 0.408248, abs=1e-5)
    # The same as [DDPM] algorithm 2 has it: (x − β/√(1 − ᾱ_t) ε)/√(1 − β), with ε = (x − √ᾱ_t a)/√(1 − ᾱ_t).
    noise = (1 - 0.4**0.5 * 0.9) / 0.6**0.5
    assert back.item() == pytest.approx((1 - 0.5 / 0.6**0.5 * noise) / 0.5**0.5 + 2 * 0.408248, abs=1e-5)
    # The last step ends at the guess itself, without fresh noise.
    assert diffusion.denoised(x, guess, 0.3, 1.0, fresh).item() == pytest.approx(0.9)


TWO = mixture((0.25, 0.75), [[-0.6, 0.3], [0.4, -0.3]], [[0.1, 0.1], [0.05, 0.1]])


def test_the_score_of_a_mixture() -> None:
    # At (−0.1, 0): log-weights log ¼ − ½(5² + 3²) − 2 log 0.1 and log ¾ − ½(10² + 3²) − log(0.05·0.1): the first
    # component has all but e^(−36). Uphill (μ − a)/σ² = (−0.5, 0.3)/0.01.
    assert TWO.score(torch.tensor([-0.1, 0.0])).tolist() == pytest.approx([-50, 30], abs=1e-3)
    # Half-way between two equal components 2 apart, at x = 0.1 from the middle, σ = 1: the responsibilities are
    # 1/(1 + e^(∓0.2)) and the score is tanh(0.1) − 0.1.
    equal = mixture((0.5, 0.5), [[-1.0], [1.0]], [[1.0], [1.0]])
    assert equal.score(torch.tensor([0.1])).item() == pytest.approx(math.tanh(0.1) - 0.1, abs=1e-6)


def test_noise_moves_a_mixture_together_and_widens_it() -> None:
    share = 0.36
    noisy = TWO.noised(share)
    assert noisy.mean.flatten().tolist() == pytest.approx([-0.36, 0.18, 0.24, -0.18])
    # 0.36 · 0.01 + 0.64 and 0.36 · 0.0025 + 0.64
    assert (2 * noisy.log_std).exp().flatten().tolist() == pytest.approx([0.6436, 0.6436, 0.6409, 0.6436])
    assert torch.equal(noisy.logits, TWO.logits)
    action = Mixture(*(each.expand(4000, *each.shape) for each in (TWO.logits, TWO.mean, TWO.log_std)))
    generator = torch.Generator().manual_seed(0)
    x = diffusion.noised(
        action.sample(generator), torch.randn(4000, 2, generator=generator), torch.full((4000,), share)
    )
    centre, wide = 0.25 * noisy.mean[0] + 0.75 * noisy.mean[1], 1.0
    # Four standard errors of a mean, with a spread below 1.
    assert x.mean(0).tolist() == pytest.approx(centre.tolist(), abs=4 * wide / math.sqrt(4000))


def exact_guess(target: Mixture) -> Any:
    r"""$E[a \mid x] = (x + (1 - \bar\alpha)\, \nabla \log p_t(x)) / \sqrt{\bar\alpha}$: what a network should learn."""

    def guess(x: Tensor, share: Tensor) -> Tensor:
        (left,) = share.unique().tolist()
        return (x + (1 - left) * target.noised(left).score(x)) / left**0.5

    return guess


def test_squared_error_of_noised_actions_learns_the_score() -> None:
    """The best guess at the action follows from the score: better than one that is moved a little."""
    generator = torch.Generator().manual_seed(0)
    many = Mixture(*(each.expand(20_000, *each.shape) for each in (TWO.logits, TWO.mean, TWO.log_std)))
    action, share = many.sample(generator), torch.full((20_000,), 0.7)
    x = diffusion.noised(action, torch.randn(20_000, 2, generator=generator), share)
    best = exact_guess(TWO)(x, share)
    loss = [cloning.squared_error(guess, action).item() for guess in (best, best + 0.1, 0.9 * best, x)]
    # Moved by 0.1 in both directions it is worse by 2 · 0.1²; four standard errors of the rest: 0.0017.
    assert loss[1] - loss[0] == pytest.approx(0.02, abs=0.0017)
    assert loss[0] < min(loss[2:])
    # Pure noise says nothing, and the best guess is the mean, ¼ · (−0.6, 0.3) + ¾ · (0.4, −0.3).
    blind = exact_guess(TWO)(torch.randn(100, 2, generator=generator), torch.full((100,), 1e-8))
    assert blind.mean(0).tolist() == pytest.approx([0.15, -0.15], abs=1e-3)


@pytest.mark.parametrize(("steps", "share", "place", "width"), [(10, 0.06, 0.06, 0.5), (100, 0.03, 0.01, 0.3)])
def test_the_sampler_draws_from_a_mixture_whose_score_it_knows(
    steps: int, share: float, place: float, width: float
) -> None:
    """The more steps, the nearer; with few of them the samples are also too much alike."""
    chain = diffusion.Diffusion(exact_guess(TWO), diffusion.kept(steps), (4000, 2))
    sample = chain.sample(torch.Generator().manual_seed(0))
    left = sample[:, 0] < 0
    assert left.float().mean().item() == pytest.approx(0.25, abs=share)
    for side, mean, std in ((left, [-0.6, 0.3], [0.1, 0.1]), (~left, [0.4, -0.3], [0.05, 0.1])):
        assert sample[side].mean(0).tolist() == pytest.approx(mean, abs=place)
        assert sample[side].std(0).tolist() == pytest.approx(std, rel=width)
        assert sample[side].std(0).mean().item() < np.mean(std)


def test_the_path_starts_in_noise_and_ends_in_actions() -> None:
    """A network that always knows the action."""
    target = torch.tensor([0.5, -0.25])
    fresh = torch.randn(9, 4000, 2, generator=torch.Generator().manual_seed(0))
    path = diffusion.Diffusion(lambda x, share: target.expand_as(x), diffusion.kept(8), (4000, 2)).path(fresh)
    assert torch.equal(path[0], fresh[0])
    assert torch.equal(path[-1], target.expand(4000, 2))
    # In between x_t is N(√ᾱ a, 1 − ᾱ), as if the action had been noised; four standard errors of mean and spread.
    for x, share in zip(path, diffusion.kept(8).flip(0).tolist(), strict=True):
        spread = math.sqrt(1 - share)
        assert x.mean(0).numpy() == pytest.approx(share**0.5 * target.numpy(), abs=0.064 * spread + 1e-6)
        assert x.std(0).numpy() == pytest.approx(np.full(2, spread), rel=0.045, abs=1e-6)


def test_no_guess_leaves_the_box() -> None:
    far = diffusion.Diffusion(lambda x, share: 9 * torch.ones_like(x), diffusion.kept(3), (2, 1))
    assert far.sample(torch.Generator().manual_seed(0)).tolist() == [[1], [1]]


def test_the_diffusion_network_sees_observation_action_and_share() -> None:
    policy = diffusion.DiffusionPolicy(3, 2, 6, (8,), torch.Generator().manual_seed(0))
    chain = policy(torch.zeros(4, 3))
    assert chain.sample(torch.Generator()).shape == (4, 2)
    assert policy(torch.zeros(3)).sample(torch.Generator()).shape == (2,)
    x, half = torch.zeros(4, 2), torch.full((4,), 0.5)
    guess = chain.guess(x, half)
    assert not torch.equal(chain.guess(x + 1, half), guess)
    assert not torch.equal(chain.guess(x, half / 2), guess)
    assert not torch.equal(policy(torch.ones(4, 3)).guess(x, half), guess)
