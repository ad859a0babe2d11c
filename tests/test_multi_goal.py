"""The room of four goals: its steps, its pay and its wall, by hand."""

import itertools
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from rlcourse import envs
from rlcourse.multi_goal import MultiGoal

EAST, NORTH, WEST, SOUTH = range(4)


def walked(world: MultiGoal, *actions: tuple[float, float]) -> list[Any]:
    """What each step from the middle returns."""
    world.reset(seed=0)
    return [world.step(np.array(action)) for action in actions]


@pytest.mark.parametrize("blocked", [None, EAST])
def test_it_is_a_proper_environment(blocked: int | None) -> None:
    env: Any = gym.make("rlcourse/MultiGoal-v0", blocked=blocked)
    check_env(env.unwrapped, skip_render_check=True)
    env.action_space.seed(0)
    for seed in range(50):
        obs, _ = env.reset(seed=seed)
        for step in itertools.count(1):
            obs, _, terminated, truncated, _ = env.step(
                np.sign(env.action_space.sample()) if seed % 2 else env.action_space.sample()
            )
            assert env.observation_space.contains(obs)
            assert truncated == (step == 50)
            if terminated or truncated:
                break


def test_a_step_is_cut_to_its_length_and_costs_the_distance_left() -> None:
    first, second, third = walked(MultiGoal(), (0.4, 0.0), (1.0, 1.0), (0.0, 0.0))
    assert first[0].tolist() == pytest.approx([0.06, 0.0])  # 0.4 of 0.15
    assert first[1:] == (pytest.approx(-0.94), False, False, {})
    side = 0.15 / np.sqrt(2)  # of a square whose diagonal is the step
    assert second[0].tolist() == pytest.approx([0.06 + side, side])
    assert second[1] == pytest.approx(-np.hypot(1 - 0.06 - side, side))
    assert third[:2] == (pytest.approx(second[0]), second[1])


@pytest.mark.parametrize("goal", range(4))
def test_every_goal_pays_and_ends_the_episode(goal: int) -> None:
    """0.8 are to go, in steps of 0.15: the sixth arrives, at 0.9."""
    *before, last = walked(MultiGoal(), *6 * [tuple(MultiGoal.GOALS[goal])])
    assert [step[1] for step in before] == pytest.approx([-0.85, -0.7, -0.55, -0.4, -0.25])
    assert not any(step[2] for step in before)
    assert last[1:3] == (pytest.approx(0.9), True)


def test_the_room_has_walls() -> None:
    corner = walked(MultiGoal(), *20 * [(1.0, 1.0)])[-1]
    assert corner[0].tolist() == pytest.approx([1.4, 1.4])
    assert not corner[2]


@pytest.mark.parametrize("goal", range(4))
def test_a_wall_stops_whoever_walks_straight(goal: int) -> None:
    straight = MultiGoal.GOALS[goal]
    steps = walked(MultiGoal(blocked=goal), *10 * [tuple(straight)])
    assert steps[-1][0] @ straight == pytest.approx(0.45)  # at 0.6 stands the wall; a step would end on it
    assert not any(step[2] for step in steps)
    others = [other for other in range(4) if other != goal]
    assert all(walked(MultiGoal(blocked=goal), *6 * [tuple(MultiGoal.GOALS[other])])[-1][2] for other in others)


def test_the_wall_has_two_sides_and_two_ends() -> None:
    world = MultiGoal(blocked=EAST)
    world.reset(seed=0)
    for here, action, there in (
        ((0.55, 0.5), (1, 0), (0.55, 0.5)),  # against the wall
        ((0.65, 0.5), (-1, 0), (0.65, 0.5)),  # and from behind
        ((0.55, 0.7), (1, 0), (0.7, 0.7)),  # beside its end
        ((0.55, 0.5), (0, 1), (0.55, 0.65)),  # along it
        ((0.55, 0.55), (0.8, 0.8), (0.55 + 0.15 / np.sqrt(2), 0.55 + 0.15 / np.sqrt(2))),  # just past its end
        ((-0.65, 0.0), (1, 0), (-0.5, 0.0)),  # in the west there is none
    ):
        world._place = np.array(here)
        assert world.step(np.array(action, float))[0].tolist() == pytest.approx(there)


def test_it_is_registered_with_its_time_limit() -> None:
    env = envs.make("rlcourse/MultiGoal-v0", blocked=NORTH)
    assert env.spec is not None
    assert env.spec.max_episode_steps == 50
    assert isinstance(env.unwrapped, MultiGoal)
