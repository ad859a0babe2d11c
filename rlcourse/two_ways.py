"""The world of lecture 10: from goal to goal, with two right ways round each tree, and walkers who show them."""

from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Box
from jaxtyping import Float


class TwoWays(gym.Env[np.ndarray, np.ndarray]):
    """Walk from goal to goal, always north-east: half-way to each stands a tree, round which both ways are right.

    The action `(2,)` is a step to the east and to the north. Observed is where the tree is, as seen from the walker,
    `(2,)`. The goal lies `AHEAD` of the tree. Reaching it pays 1, everything else 0, and the next tree comes into view:
    1 further to the north-east, and up to `ASIDE` beside the line. Walking into the tree, or past it all, ends the
    episode.
    """

    SPEED = 0.4  # length of the longest step along each axis
    AHEAD = np.sqrt([0.5, 0.5])
    TREE, REACH, LOST, ASIDE = 0.35, 0.2, 1.8, 0.1  # the tree's radius, and distances

    def __init__(self) -> None:
        self.observation_space = Box(-3.0, 3.0, (2,))
        self.action_space = Box(-1.0, 1.0, (2,))
        self._tree = self.AHEAD  # as seen from the walker

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self._next_tree()
        return self._tree.astype(np.float32), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        step = self.SPEED * np.clip(action, -1, 1)
        nearest = np.clip(self._tree @ step / max(float(step @ step), 1e-12), 0, 1) * step  # to the tree, on this step
        hit = float(np.linalg.norm(self._tree - nearest)) < self.TREE
        self._tree = self._tree - step
        lost = float(np.linalg.norm(self._tree)) > self.LOST
        reached = float(np.linalg.norm(self._tree + self.AHEAD)) < self.REACH and not hit
        if reached:
            self._next_tree()
        return self._tree.astype(np.float32), float(reached), hit or lost, False, {}

    def _next_tree(self) -> None:
        self._tree = self.AHEAD + self.ASIDE * self.np_random.uniform(-1, 1) * left_of(self.AHEAD)


def left_of(direction: Float[np.ndarray, "2"]) -> Float[np.ndarray, "2"]:
    """The direction, turned by a quarter to the left."""
    return np.array([-direction[1], direction[0]])


@dataclass
class TwoWalkers:
    """Demonstrators in `TwoWays`: of two walkers one always goes round on the left, the other on the right.

    Both turn late. Until they stand before the tree, nothing that is observed tells who it is.

    Attributes:
        rng: who walks to the next goal, each with probability ½, and how exactly.
        side: 1 for the one on the left, −1 for the other.
    """

    rng: np.random.Generator
    side: float = 1.0

    def __call__(self, obs: np.ndarray) -> np.ndarray:
        tree, ahead = obs.astype(float), TwoWays.AHEAD
        before = float(tree @ ahead)  # how far the tree is ahead
        if before > 0.999:  # a way begins
            self.side = self.rng.choice((-1.0, 1.0))
        if before > 0.65:
            way = (before - 0.6) * ahead
        elif before > 0.25:
            way = tree - 0.2 * ahead + 0.7 * self.side * left_of(ahead)
        else:
            way = tree + ahead
        exact = way / max(float(np.linalg.norm(way)), TwoWays.SPEED)  # and no further than there
        return np.clip(exact + 0.05 * self.rng.normal(size=2), -1, 1).astype(np.float32)
