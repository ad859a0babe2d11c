"""The experiments of `00_start_here`: what is hidden, what is remembered, what is planned."""

import gymnasium as gym
import numpy as np
import pytest

from rlcourse import first_steps
from rlcourse.envs import GridWorld, TabularEnv


@pytest.mark.parametrize("remembered", [1, 2, 3])
def test_places_are_shown_velocities_are_not(remembered: int) -> None:
    whole, blind = gym.make("CartPole-v1"), first_steps.without_velocities(gym.make("CartPole-v1"), remembered)
    places = [whole.reset(seed=0)[0][[0, 2]]] * remembered  # before the first one the world stood still
    seen, _ = blind.reset(seed=0)
    for action in (1, 1, 0):
        np.testing.assert_array_equal(seen, np.concatenate(places[-remembered:]))
        places.append(whole.step(action)[0][[0, 2]])
        seen, *_ = blind.step(action)


def test_good_weights_balance_and_bad_ones_do_not() -> None:
    pole = gym.make("CartPole-v1")
    assert first_steps.balanced(pole, np.array([0.1, 0.5, 1.0, 1.0]), seed=0) == 500
    assert first_steps.balanced(pole, np.zeros(4), seed=0) < 20  # always to the left


@pytest.mark.thorough
def test_a_search_finds_weights_where_there_are_some() -> None:
    poles = [first_steps.without_velocities(gym.make("CartPole-v1"), remembered) for remembered in (1, 2)]
    found = [
        max(first_steps.balanced(pole, first_steps.policy_search(pole, 20, seed), seed=9) for seed in range(3))
        for pole in poles
    ]
    assert found[0] < 100
    assert found[1] > 400


def corridor() -> gym.Env:
    return gym.wrappers.TimeLimit(TabularEnv(GridWorld("S....G").mdp()), 500)


def test_without_plans_the_first_success_teaches_one_step() -> None:
    """Only the step into the goal pays: 0.5 of its reward 1 after one visit, and nothing before it."""
    q, _ = first_steps.dyna(corridor(), planned=0, episodes=1, seed=0)
    assert q[4, 1] == 0.5
    assert np.count_nonzero(q) == 1


def test_with_plans_it_teaches_the_whole_way() -> None:
    q, lengths = first_steps.dyna(corridor(), planned=200, episodes=3, seed=0)
    np.testing.assert_allclose(q[:5, 1], 0.95 ** np.arange(4, -1, -1), rtol=0.01)  # 1 at the goal, γ a step before
    assert lengths[-1] < 10


def test_every_step_counts_and_the_seed_decides() -> None:
    first, again = (first_steps.dyna(corridor(), 5, 4, seed=3) for _ in range(2))
    np.testing.assert_array_equal(first[0], again[0])
    np.testing.assert_array_equal(first[1], again[1])
    assert first[1].min() >= 5
