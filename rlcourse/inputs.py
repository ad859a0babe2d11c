"""Refuse what cannot be right in a table, a grid, a transition or a goal-reaching world; say where, and what helps."""

import copy
from collections.abc import Callable, Mapping, Sequence
from numbers import Integral
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Dict, flatdim, flatten


def check_table(
    next_state: np.ndarray, probability: np.ndarray, reward: np.ndarray, terminated: np.ndarray, start: np.ndarray
) -> None:
    """Check the arrays of an `envs.TabularMDP`.

    Raises:
        ValueError: shapes that differ, a successor that does not exist, probabilities that are negative or do not
            sum to 1, rewards that are not finite; names state, action and value.
    """
    shape = next_state.shape
    if len(shape) != 3:
        raise ValueError(f"next_state has shape {shape}; it must be (states, actions, outcomes)")
    for name, array in (("probability", probability), ("reward", reward), ("terminated", terminated)):
        if array.shape != shape:
            raise ValueError(f"{name} has shape {array.shape}, next_state has {shape}: make them equal")
    if start.shape != shape[:1]:
        raise ValueError(f"start has shape {start.shape}; it must be ({shape[0]},), one entry per state")
    total, outside = probability.sum(-1), (next_state < 0) | (next_state >= shape[0])
    _refuse(terminated, ~np.isin(terminated, (0, 1)), "terminated", "must be true or false")
    _refuse(next_state, outside, "next_state", f"must be a state, 0 to {shape[0] - 1}")
    _refuse(probability, ~(probability >= 0), "probability", "must be at least 0")
    _refuse(total, ~np.isclose(total, 1, rtol=0, atol=1e-8), "the sum of probability over outcomes", "must be 1")
    _refuse(reward, ~np.isfinite(reward), "reward", "must be finite")
    if not (np.all(start >= 0) and np.isclose(start.sum(), 1, rtol=0, atol=1e-8)):
        raise ValueError(f"start sums to {start.sum():g}; it must be a distribution over the states")


def _refuse(values: np.ndarray, bad: np.ndarray, name: str, rule: str) -> None:
    if bad.any():
        where = tuple(np.argwhere(bad)[0])
        place = ", ".join(f"{axis} {index}" for axis, index in zip(("state", "action", "outcome"), where, strict=False))
        raise ValueError(f"{name} is {values[where]:g} at {place}: it {rule}")


def check_sizes(what: str, *sizes: Any) -> None:
    """Check sizes of layers, or of a table: a space is none, but has one.

    Raises:
        ValueError: one is no whole number from 1 on.
    """
    for size in sizes:
        if not isinstance(size, Integral) or size < 1:
            raise ValueError(
                f"{what}: {size} among {sizes} is no whole number from 1 on; of observations hand in shape[0], of "
                "discrete actions (for DQN) n, of an action that is a Box the space itself, to PPO, TD3 or SAC"
            )


def check_grid(
    rows: Sequence[str], goals: Mapping[str, float], others: str, slip: float, rewards: Mapping[tuple[int, int], float]
) -> None:
    """Check what an `envs.GridWorld` is made of.

    Args:
        goals: the characters of which one must be there; `others` are allowed, too, and the second of these is a wall.
        rewards: of single cells.

    Raises:
        ValueError: an unknown character, rows of unequal length, no goal, a slip outside [0, 1], a cell reward
            outside the grid or on a wall; names the place and the remedy.
    """
    known = {*others, *goals}
    for r, row in enumerate(rows):
        if len(row) != len(rows[0]):
            raise ValueError(f"row {r} has {len(row)} cells, row 0 has {len(rows[0])}: give every row the same length")
        for c, cell in enumerate(row):
            if cell not in known:
                raise ValueError(
                    f"unknown character {cell!r} in row {r}, column {c}: use one of {' '.join(sorted(known))}"
                )
    if not any(cell in goals for row in rows for cell in row):
        raise ValueError(f"no goal: put at least one of {' '.join(sorted(goals))} on the grid")
    if not 0 <= slip <= 1:
        raise ValueError(f"slip = {slip} is out of range: it must be in [0, 1]")
    for (r, c), reward in rewards.items():
        if not (0 <= r < len(rows) and 0 <= c < len(rows[0])) or rows[r][c] == others[1]:
            raise ValueError(f"cell_rewards has row {r}, column {c}: it must be on the grid and no wall")
        if not np.isfinite(reward):
            raise ValueError(f"cell_rewards is {reward} in row {r}, column {c}: it must be finite")


def row(name: str, value: Any, rows: np.ndarray) -> np.ndarray:
    """A field of a transition as a replay buffer stores it, in an array like `rows`.

    Raises:
        ValueError: another shape, NaN or infinite, or a fraction where a discrete action is stored.
    """
    array = np.asarray(value)
    if array.shape != rows.shape[1:]:
        raise ValueError(
            f"{name} has shape {array.shape}, this buffer stores {rows.shape[1:]}: add one transition at a time, "
            "to a buffer made for this environment"
        )
    if array.dtype.kind not in ("iu" if rows.dtype.kind == "i" else "fiub"):
        wanted = "an integer, a discrete action" if rows.dtype.kind == "i" else "real numbers"
        raise ValueError(f"{name} = {value} has dtype {array.dtype}: it must be {wanted}")
    array = array.astype(rows.dtype, copy=False)
    if not np.isfinite(array).all():
        raise not_finite(name, value)
    return array


def not_finite(name: str, value: Any) -> ValueError:
    """The error for a field of a transition that no network can compute with."""
    remedy = "the agent has diverged, lower its learning rate" if name == "action" else "mend the environment"
    return ValueError(f"{name} = {value} is not finite, or beyond float32's range: {remedy}")


def check_flags(name: str, flags: Any) -> None:
    """Raise ValueError unless every flag is true or false, or 1 or 0."""
    if not np.isin(flags, (0, 1)).all():
        raise ValueError(f"{name} = {flags}: it must be true or false, 1 or 0")


def goal_sizes(env: gym.Env) -> tuple[int, int]:
    """Numbers in an observation of a goal-reaching world, all in one vector, and in a goal, the first of them.

    Raises:
        ValueError: `env` has no goals, or does not put them there.
    """
    space, shape = env.unwrapped.observation_space, env.observation_space.shape
    if not isinstance(space, Dict) or [*space][:2] != ["achieved_goal", "desired_goal"]:
        raise ValueError(
            f"{env} has no goals: hindsight needs a world that observes achieved_goal, desired_goal and "
            "observation, such as rlcourse/BitFlip10-v0 or rlcourse/FetchReach-v4"
        )
    if shape != (flatdim(space),):
        raise ValueError(f"{env} observes {shape}, not its goals in one vector: wrap it in FlattenObservation")
    return shape[0], flatdim(space["desired_goal"])


GOAL_REMEDY = "let it answer for each row alone, as np.linalg.norm(achieved_goal - desired_goal, axis=-1) does, (B,)"


def goal_function(env: gym.Env, name: str, numbers: tuple[int, ...]) -> Callable[[np.ndarray, np.ndarray, Any], Any]:
    """The world's `compute_reward` or `compute_terminated`, once it has answered about two goals as `her.relabel` asks.

    One of the two goals was reached, the other, the farthest of 64, was not.

    Args:
        numbers: how many axes an answer may have: 1, or 0 if one number may answer for all.

    Raises:
        ValueError: there is no such function, it needs `info`, or mixes up the goals; says how to write it.
    """
    try:  # the outermost layer that answers knows in which units goals are observed
        answer: Callable[[np.ndarray, np.ndarray, Any], Any] = env.get_wrapper_attr(name)
    except AttributeError:
        raise ValueError(
            f"{env} has no {name}: hindsight needs `def {name}(self, achieved_goal, desired_goal, info)`, which says "
            "for each of B goals what a step that achieved it is worth (compute_reward), or ends (compute_terminated)"
        ) from None
    space = copy.deepcopy(env.unwrapped.observation_space["desired_goal"])  # type: ignore[index]
    space.seed(0)
    goals = np.array([flatten(space, space.sample()) for _ in range(64)], np.float32)
    reached = goals[[0, 0]]
    wanted = goals[[0, np.linalg.norm(goals - goals[0], axis=-1).argmax()]]
    try:
        together = np.asarray(answer(reached, wanted, {}), float)
        alone = [np.asarray(answer(reached[i : i + 1], wanted[i : i + 1], {}), float) for i in range(2)]
    except Exception as error:
        raise ValueError(
            f"{name} of {env} cannot answer about two goals without info ({error!r}): hindsight knows goals, (B, G), "
            f"and nothing else; {GOAL_REMEDY}"
        ) from error
    if together.ndim not in numbers or together.size not in (1, 2):
        raise ValueError(f"{name} of {env} has shape {together.shape} for two goals: {GOAL_REMEDY}")
    if not np.allclose(together, [one.item() for one in alone if one.size == 1]):
        raise ValueError(
            f"{name} of {env} says {together} of two goals together, but {alone} of each alone: {GOAL_REMEDY}"
        )
    return answer
