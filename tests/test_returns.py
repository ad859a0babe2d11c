"""Returns, n-step targets and generalised advantages: numbers worked out by hand, and the identities between them."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from rlcourse.returns import discounted_returns, gae, monte_carlo_targets, n_step_targets

# Three steps of one episode that terminates, one step that is truncated, two that the record cuts; γ = ½.
REWARD = np.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
VALUE = np.array([10.0, 20.0, 30.0, 40.0, 50.0, 60.0])
NEXT_VALUE = np.array([20.0, 30.0, 99.0, 80.0, 60.0, 100.0])  # 99: of a terminal state, must never count
TERMINATED = np.array([False, False, True, False, False, False])
TRUNCATED = np.array([False, False, False, True, False, False])
RECORD = REWARD, NEXT_VALUE, TERMINATED, TRUNCATED


Ends = tuple[np.ndarray, np.ndarray, np.ndarray]  # next value, terminated, truncated


def random_record(n: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray, Ends]:
    rng = np.random.default_rng(0)
    reward, value, next_value = rng.normal(size=(3, 12, *n))
    ends = rng.random((2, 12, *n)) < 0.15
    for t in range(11):  # a value function gives the same state the same value
        inside = ~(ends[0, t] | ends[1, t])
        next_value[t] = np.where(inside, value[t + 1], next_value[t])
    return reward, value, (next_value, ends[0], ends[1])


def test_discounted_returns_by_hand() -> None:
    # G₂ = 3, G₁ = 2 + 0.5·3 = 3.5, G₀ = 1 + 0.5·3.5 = 2.75
    np.testing.assert_allclose(discounted_returns(np.array([1.0, 2.0, 3.0]), 0.5), [2.75, 3.5, 3.0])
    assert discounted_returns(np.array([1.0, 2.0]), 0.0).tolist() == [1, 2]
    assert discounted_returns(np.ones(3), 1.0) == pytest.approx([3, 2, 1])
    assert discounted_returns(np.array([[1.0, 0.0], [2.0, 4.0]]), 0.5).tolist() == [[2, 2], [2, 4]]


def test_monte_carlo_targets_by_hand() -> None:
    # The first episode as above; truncated: 4 + ½·80 = 44; cut: 6 + ½·100 = 56, and before it 5 + ½·56 = 33.
    np.testing.assert_allclose(monte_carlo_targets(*RECORD, 0.5), [2.75, 3.5, 3.0, 44.0, 33.0, 56.0])


@pytest.mark.parametrize(
    ("n", "expected"),
    [
        # 1 + ½·20, 2 + ½·30, 3, 4 + ½·80, 5 + ½·60, 6 + ½·100
        (1, [11.0, 17.0, 3.0, 44.0, 35.0, 56.0]),
        # 1 + ½·2 + ¼·30 = 9.5, 2 + ½·3 = 3.5; the cut: 5 + ½·6 + ¼·100 = 33
        (2, [9.5, 3.5, 3.0, 44.0, 33.0, 56.0]),
        # 1 + ½·2 + ¼·3 = 2.75
        (3, [2.75, 3.5, 3.0, 44.0, 33.0, 56.0]),
        (1000, [2.75, 3.5, 3.0, 44.0, 33.0, 56.0]),
    ],
)
def test_n_step_targets_by_hand(n: int, expected: list[float]) -> None:
    np.testing.assert_allclose(n_step_targets(*RECORD, 0.5, n), expected)


def test_gae_by_hand() -> None:
    # δ = 11 − 10, 17 − 20, 3 − 30, 44 − 40, 35 − 50, 56 − 60 = 1, −3, −27, 4, −15, −4; γλ = ¼:
    # −27;  −3 − 27/4 = −9.75;  1 − 9.75/4 = −1.4375;  4;  −4;  −15 − 4/4 = −16
    expected = [-1.4375, -9.75, -27.0, 4.0, -16.0, -4.0]
    np.testing.assert_allclose(gae(REWARD, VALUE, *RECORD[1:], 0.5, 0.5), expected)


def test_a_constant_reward_and_its_true_value_leave_no_advantage() -> None:
    """Reward 1 for ever is worth 1/(1 − γ) = 10: every target says so, however the record is cut."""
    ones, tens, never = np.ones((7, 2)), np.full((7, 2), 10.0), np.zeros((7, 2), bool)
    cut = never.copy()
    cut[3, 0] = True
    for n in (1, 3, 100):
        np.testing.assert_allclose(n_step_targets(ones, tens, never, cut, 0.9, n), 10)
    for gae_lambda in (0.0, 0.7, 1.0):
        np.testing.assert_allclose(gae(ones, tens, tens, never, cut, 0.9, gae_lambda), 0, atol=1e-12)


def test_a_constant_value_gives_gae_in_closed_form() -> None:
    """δ = 1 everywhere and no end: A_t is a geometric series, (1 − (γλ)^(T−t)) / (1 − γλ)."""
    zeros, never = np.zeros(5), np.zeros(5, bool)
    remaining = np.arange(5, 0, -1)
    np.testing.assert_allclose(gae(np.ones(5), zeros, zeros, never, never, 0.8, 0.5), (1 - 0.4**remaining) / 0.6)


@pytest.mark.parametrize("n", [(), (3,)], ids=["T", "T × N"])
def test_the_ends_of_the_spectrum(n: tuple[int, ...]) -> None:
    reward, value, rest = random_record(n)
    td_error = n_step_targets(reward, *rest, 0.9, 1) - value
    monte_carlo = monte_carlo_targets(reward, *rest, 0.9) - value
    np.testing.assert_allclose(gae(reward, value, *rest, 0.9, 0.0), td_error)
    np.testing.assert_allclose(gae(reward, value, *rest, 0.9, 1.0), monte_carlo)
    np.testing.assert_allclose(n_step_targets(reward, *rest, 0.9, 12) - value, monte_carlo)


@pytest.mark.parametrize("n", [(), (3,)], ids=["T", "T × N"])
def test_gae_is_the_weighted_sum_of_n_step_advantages(n: tuple[int, ...]) -> None:
    """(1 − λ) Σ λ^(k−1) A^(k), and what remains of the weight, λ^(K−1), on the longest."""
    reward, value, rest = random_record(n)
    weights = 0.3 * 0.7 ** np.arange(12)
    weights[-1] = 0.7**11
    advantages = [n_step_targets(reward, *rest, 0.9, k) - value for k in range(1, 13)]
    weighted = sum(weight * advantage for weight, advantage in zip(weights, advantages, strict=True))
    np.testing.assert_allclose(gae(reward, value, *rest, 0.9, 0.7), weighted)


def test_columns_do_not_disturb_each_other_and_nothing_is_overwritten() -> None:
    reward, value, rest = random_record((3,))
    before = [array.copy() for array in (reward, value, *rest)]
    together = gae(reward, value, *rest, 0.9, 0.7), n_step_targets(reward, *rest, 0.9, 4)
    for i in range(3):
        column = rest[0][:, i], rest[1][:, i], rest[2][:, i]
        np.testing.assert_array_equal(gae(reward[:, i], value[:, i], *column, 0.9, 0.7), together[0][:, i])
        np.testing.assert_array_equal(n_step_targets(reward[:, i], *column, 0.9, 4), together[1][:, i])
    for array, copy in zip((reward, value, *rest), before, strict=True):
        np.testing.assert_array_equal(array, copy)


AS_FLAGS: dict[str, Callable[[list[int]], Any]] = {
    "bool": lambda flags: np.array(flags, bool),
    "int64": lambda flags: np.array(flags),
    "uint8": lambda flags: np.array(flags, np.uint8),
    "float32": lambda flags: np.array(flags, np.float32),
    "list of int": lambda flags: flags,
    "list of float": lambda flags: [float(flag) for flag in flags],
    "list of bool": lambda flags: [flag == 1 for flag in flags],
    "torch": lambda flags: torch.tensor(flags, dtype=torch.float32),
}


@pytest.mark.parametrize("kind", AS_FLAGS)
def test_flags_of_any_type_say_the_same(kind: str) -> None:
    """Three rewards of 1, V = 0 and then 10, the second step terminates, γ = 0.9.

    λ = ½: δ = 1 + 0.9·10, 1, 1 + 0.9·10 = 10, 1, 10; A₁ = 1, and A₀ = 10 + 0.45·1 = 10.45.
    n = 2: 1 + 0.9·1 = 1.9; 1; the record ends, 1 + 0.9·10 = 10. Monte Carlo: the same.
    """
    flags, never = AS_FLAGS[kind]([0, 1, 0]), AS_FLAGS[kind]([0, 0, 0])
    reward, value, next_value = [1, 1, 1], 0, [10, 10, 10]
    np.testing.assert_allclose(gae(reward, value, next_value, flags, never, 0.9, 0.5), [10.45, 1, 10])
    np.testing.assert_allclose(n_step_targets(reward, next_value, flags, never, 0.9, 2), [1.9, 1, 10])
    np.testing.assert_allclose(monte_carlo_targets(reward, next_value, flags, never, 0.9), [1.9, 1, 10])
    # Truncated instead: the second step is worth 1 + 0.9·10 = 10, too, and the first 10 + 0.45·10 = 14.5.
    np.testing.assert_allclose(gae(reward, value, next_value, never, flags, 0.9, 0.5), [14.5, 10, 10])
    np.testing.assert_allclose(monte_carlo_targets(reward, next_value, never, flags, 0.9), [10, 10, 10])


@pytest.mark.parametrize("wrong", [2, -1, 0.5, np.nan])
def test_what_is_neither_true_nor_false_is_refused(wrong: float) -> None:
    with pytest.raises(ValueError, match=r"^terminated = .*: it must be true or false, 1 or 0$"):
        gae([1.0, 1.0], [0.0, 0.0], [0.0, 0.0], [0, wrong], [0, 0], 0.9, 0.5)
    with pytest.raises(ValueError, match=r"^truncated = .*: it must be true or false, 1 or 0$"):
        n_step_targets([1.0, 1.0], [0.0, 0.0], [0, 0], [0, wrong], 0.9, 2)


def test_columns_of_another_shape_are_refused() -> None:
    """(T, 1) against (T,) would broadcast to (T, T)."""
    flags = np.zeros(2, bool)
    with pytest.raises(ValueError, match=r"^next_value has shape \(2, 1\), reward has \(2,\): give one for each step$"):
        n_step_targets([1.0, 1.0], [[0.0], [0.0]], flags, flags, 0.9, 2)
    with pytest.raises(ValueError, match=r"^terminated has shape \(3,\), reward has \(2,\): give one for each step$"):
        gae([1.0, 1.0], [0.0, 0.0], [0.0, 0.0], [0, 0, 0], [0, 0], 0.9, 0.5)
    with pytest.raises(ValueError, match=r"^n = 0 is out of range: it must be in \[1, inf\)$"):
        n_step_targets([1.0, 1.0], [0.0, 0.0], flags, flags, 0.9, 0)


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
def test_nothing_that_is_said_of_a_terminal_state_counts(value: float) -> None:
    # As above with γ = ½: δ = 1 + ½·10 = 6 and 1; A₀ = 6 + ¼·1.
    record = [1.0, 1.0], [10.0, value], [0, 1], [0, 0]
    np.testing.assert_allclose(gae(record[0], [0, 0], *record[1:], 0.5, 0.5), [6.25, 1])
    np.testing.assert_allclose(n_step_targets(*record, 0.5, 2), [1.5, 1])
    np.testing.assert_allclose(monte_carlo_targets(*record, 0.5), [1.5, 1])


def test_a_record_of_no_steps_is_worth_nothing() -> None:
    nothing: list[float] = []
    assert discounted_returns(nothing, 0.9).shape == (0,)
    assert gae(nothing, nothing, nothing, nothing, nothing, 0.9, 0.5).shape == (0,)
    assert n_step_targets(nothing, nothing, nothing, nothing, 0.9, 3).shape == (0,)
