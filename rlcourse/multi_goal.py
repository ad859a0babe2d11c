"""The world that lecture 7's soft agents are trained in: a room with four goals, one of which can be walled off."""

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Box


class MultiGoal(gym.Env[np.ndarray, np.ndarray]):
    """Walk from the middle of a room to one of four goals, all at a distance of 1: to the east, north, west or south.

    The action `(2,)` points to the east and to the north. It is a step of at most `SPEED`, in any direction: what is
    longer is cut. Observed is the place, `(2,)`. A step costs the distance that is left to the nearest goal; coming
    within `REACH` of a goal pays `REWARD` and ends the episode. The walls of the room stop the walker.

    After the multi-goal world of Haarnoja et al. (2017), a fifth as large. It charges the square of the distance, and
    that of the action where we cut it.

    Args:
        blocked: the number of a goal, from 0, before which stands a wall of `WALL` to both sides; a step across it is
            not made. Nothing that is observed tells.
    """

    GOALS = np.array([(1.0, 0.0), (0.0, 1.0), (-1.0, 0.0), (0.0, -1.0)])
    NAMES = ("east", "north", "west", "south")
    HALF, SPEED, REACH, REWARD = 1.4, 0.15, 0.2, 1.0  # the room goes from −HALF to HALF
    BEFORE, WALL = 0.6, 0.6  # how far from the middle the wall is, and half its length

    def __init__(self, blocked: int | None = None) -> None:
        self.observation_space = Box(-self.HALF, self.HALF, (2,))
        self.action_space = Box(-1.0, 1.0, (2,))
        self._blocked = None if blocked is None else self.GOALS[blocked]

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self._place = np.zeros(2)
        return self._place.astype(np.float32), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        step = self.SPEED * action / max(1.0, float(np.linalg.norm(action)))
        there = np.clip(self._place + step, -self.HALF, self.HALF)
        if self._blocked is None or not self._crossed(self._place, there, self._blocked):
            self._place = there
        left = float(np.linalg.norm(self.GOALS - self._place, axis=-1).min())
        reached = left < self.REACH
        return self._place.astype(np.float32), self.REWARD * reached - left, reached, False, {}

    def _crossed(self, here: np.ndarray, there: np.ndarray, goal: np.ndarray) -> bool:
        """Whether the way passes the line of the wall, where the wall stands."""
        before, after = here @ goal - self.BEFORE, there @ goal - self.BEFORE
        if (before < 0) == (after < 0):
            return False
        passed = here + before / (before - after) * (there - here)
        return bool(np.abs(passed - self.BEFORE * goal).max() < self.WALL)
