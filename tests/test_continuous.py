"""Ways to find the best continuous action, and two gradients of a Gaussian policy's value, against worked numbers."""

import pytest
import torch
from torch import Tensor

from rlcourse.algorithms import continuous


def parabola(action: Tensor) -> Tensor:
    """Q(a) = −|a − 0.3|²: best at 0.3 in each direction."""
    return -(action - 0.3).square().sum(-1)


def test_a_hill_is_worth_1_on_top() -> None:
    critic = continuous.hill(torch.tensor([0.5, -0.5]))
    assert critic(torch.tensor([[0.5, -0.5], [0.0, 0.5]])).tolist() == [1, 1 - 0.25 - 1]


def two_hills(action: Tensor) -> Tensor:
    """A lower hill at −0.5, a higher one at 0.6."""
    x = action[..., 0]
    return torch.exp(-((x + 0.5) ** 2) / 0.04) + 1.5 * torch.exp(-((x - 0.6) ** 2) / 0.04)


def test_the_list_has_a_resolution() -> None:
    # Five values −1, −0.5, 0, 0.5, 1: 0.5 is 0.2 away from 0.3, 0 is 0.3 away. Eleven values contain 0.2 and 0.4.
    assert continuous.best_of_list(parabola, size=2, count=5).tolist() == [0.5, 0.5]
    assert continuous.best_of_list(lambda a: a[..., 0] - a[..., 1], 2, 3).tolist() == [1, -1]
    assert continuous.best_of_list(two_hills, size=1, count=11).tolist() == pytest.approx([0.6])
    with pytest.raises(ValueError, match="1,771,561 actions"):
        continuous.best_of_list(parabola, size=6, count=11)
    with pytest.raises(ValueError, match="count = 1 "):
        continuous.best_of_list(parabola, size=1, count=1)


def test_the_list_asks_for_every_action_once() -> None:
    asked: list[int] = []

    def counting(action: Tensor) -> Tensor:
        asked.append(len(action.unique(dim=0)))
        return parabola(action)

    continuous.best_of_list(counting, size=3, count=7)
    assert asked == [343]


def test_cross_entropy_finds_the_top_and_the_higher_hill() -> None:
    generator = torch.Generator().manual_seed(0)
    assert continuous.cross_entropy_method(parabola, 4, generator, rounds=12).tolist() == pytest.approx(
        [0.3] * 4, abs=0.05
    )
    assert float(continuous.cross_entropy_method(two_hills, 1, generator)) == pytest.approx(0.6, abs=0.05)
    for elite in (1, 64):
        with pytest.raises(ValueError, match=f"elite = {elite} "):
            continuous.cross_entropy_method(parabola, 1, generator, elite=elite)


def test_climbing_step_by_step() -> None:
    # Q' = −2(a − 0.3): from 0 with η = 0.25 half of the distance per step: 0.15, 0.225; beyond 1 it is clipped.
    start = torch.zeros(1)
    assert continuous.climb(parabola, start, lr=0.25, steps=1).item() == pytest.approx(0.15)
    assert continuous.climb(parabola, start, lr=0.25, steps=2).item() == pytest.approx(0.225)
    assert continuous.climb(lambda a: 9 * a.sum(-1), start, lr=1.0, steps=1).item() == 1
    assert start.item() == 0


def test_climbing_ends_on_the_hill_it_starts_on() -> None:
    start = torch.tensor([[-0.9], [-0.2], [0.3], [0.9]])
    assert continuous.climb(two_hills, start, lr=0.01, steps=500).flatten().tolist() == pytest.approx(
        [-0.5, -0.5, 0.6, 0.6], abs=0.01
    )


def test_both_gradients_on_numbers() -> None:
    # μ = 0, σ = ½, ε = ±2: a = ±1. Q = −(a − 0.3)²: −0.49 and −1.69; times ε/σ = ±4: −1.96 and 6.76.
    # Q' = −2(a − 0.3): −1.4 and 2.6.
    mean, normal = torch.zeros(1), torch.tensor([[2.0], [-2.0]])
    score = continuous.score_function_gradient(parabola, mean, 0.5, normal)
    assert score.flatten().tolist() == pytest.approx([-1.96, 6.76])
    # Less a baseline of −0.09: (−0.4, −1.6) · (4, −4).
    score = continuous.score_function_gradient(parabola, mean, 0.5, normal, baseline=-0.09)
    assert score.flatten().tolist() == pytest.approx([-1.6, 6.4])
    path = continuous.pathwise_gradient(parabola, mean, 0.5, normal)
    assert path.flatten().tolist() == pytest.approx([-1.4, 2.6])
    assert continuous.pathwise_gradient(parabola, mean, 0.0, normal).flatten().tolist() == pytest.approx([0.6, 0.6])


def test_both_gradients_estimate_the_same() -> None:
    # E[Q] = −(μ − 0.3)² − σ²; its gradient at μ = 0 is 0.6 in each direction. Four standard errors, 3 · 2 comparisons.
    mean, normal = torch.zeros(2), torch.randn(200_000, 2, generator=torch.Generator().manual_seed(0))
    for estimates in (
        continuous.score_function_gradient(parabola, mean, 0.5, normal),
        continuous.score_function_gradient(parabola, mean, 0.5, normal, baseline=-0.68),
        continuous.pathwise_gradient(parabola, mean, 0.5, normal),
    ):
        error = estimates.std(0) / len(normal) ** 0.5
        assert ((estimates.mean(0) - 0.6).abs() < 4 * error).all()


def test_what_happens_to_the_variances_as_sigma_falls() -> None:
    # One direction, Q = −(a − 0.3)², μ = 0: Q(0) = −0.09, Q'(0) = 0.6.
    # Score function: about (Q(0)/σ)²: 0.81 at σ = 0.1, 81 at σ = 0.01. With baseline Q(0): 2·Q'² = 0.72.
    # Pathwise: Var[0.6 − 2σε] = 4σ².
    mean, normal = torch.zeros(1), torch.randn(400_000, 1, generator=torch.Generator().manual_seed(1))
    fine = 0.01
    plain = continuous.score_function_gradient(parabola, mean, fine, normal).var()
    centred = continuous.score_function_gradient(parabola, mean, fine, normal, baseline=-0.09).var()
    path = continuous.pathwise_gradient(parabola, mean, fine, normal).var()
    assert plain.item() == pytest.approx(81 + 0.72, rel=0.03)
    assert centred.item() == pytest.approx(0.72, rel=0.03)
    assert path.item() == pytest.approx(4e-4, rel=0.03)


@pytest.mark.parametrize("numbers", [1, 2, 6])
def test_the_ratio_of_variances_at_the_top_of_a_quadratic(numbers: int) -> None:
    """With S = Σ z²: Var[σ² S z₁/σ] = σ² E[S² z₁²] = σ² (A + 2)(A + 4), and Var[2 σ z₁] = 4σ².

    With the mean as baseline E[(S − A)² z₁²] = (A + 2)(A + 4) − 2A(A + 2) + A² = 2A + 8.
    """
    normal = torch.randn(200_000, numbers, generator=torch.Generator().manual_seed(0))
    mean, std, bowl = torch.zeros(numbers), 0.3, lambda action: -action.square().sum(-1)
    through = continuous.pathwise_gradient(bowl, mean, std, normal).var(0).mean()
    assert through.item() == pytest.approx(4 * std**2, rel=0.01)
    for baseline, ratio in ((0.0, (numbers + 2) * (numbers + 4) / 4), (-(std**2) * numbers, (numbers + 4) / 2)):
        score = continuous.score_function_gradient(bowl, mean, std, normal, baseline).var(0).mean()
        # The variance of a variance of such heavy tails: 5 % is three of its standard errors at A = 1, more beyond.
        assert (score / through).item() == pytest.approx(ratio, rel=0.05)


def test_without_any_spread_there_is_no_score() -> None:
    with pytest.raises(ValueError, match=r"^std = 0.0 is out of range: it must be in \(0, inf\]$"):
        continuous.score_function_gradient(lambda a: a.sum(-1), torch.zeros(1), 0.0, torch.zeros(3, 1))
