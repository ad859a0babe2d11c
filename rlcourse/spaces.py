"""What `envs.make` and `envs.make_vector` put around worlds, so that agents find what they know."""

import copy
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Box, Discrete
from jaxtyping import Bool


def adapted(env: gym.Env) -> gym.Env:
    """The world, its actions in [−1, 1] if they are bounded, and its choices and numbered states counted from 0."""
    seen, done = env.observation_space, env.action_space
    if UnitActions.suits(done):
        env = UnitActions(env)
    elif isinstance(done, Discrete) and done.start != 0:
        first = int(done.start)
        env = gym.wrappers.TransformAction(env, lambda action: int(action) + first, Discrete(int(done.n)))
    if isinstance(seen, Discrete) and seen.start != 0:
        lowest = int(seen.start)
        env = gym.wrappers.TransformObservation(env, lambda obs: int(obs) - lowest, Discrete(int(seen.n)))
    return env


class CopiedObservation(gym.ObservationWrapper):
    """Hands out copies: a world that goes on writing into the array that it returned changes nobody else's.

    `SyncVectorEnv` keeps an episode's last observation while the next one begins. A single world needs no such wrapper:
    `loop.train` copies what it is told.
    """

    def observation(self, observation: Any) -> Any:
        # the first is many times faster
        return observation.copy() if isinstance(observation, np.ndarray) else copy.deepcopy(observation)


class UnitActions(gym.ActionWrapper):
    """A bounded box of actions as numbers in [−1, 1], on one axis: −1 is the lowest the world takes, 1 the highest.

    Between them the world's action rises in proportion, rounded to the nearest where it takes whole numbers. Rounding
    never misses a bound, and what lies outside [−1, 1] counts as the bound.
    """

    def __init__(self, env: gym.Env) -> None:
        super().__init__(env)
        assert isinstance(env.action_space, Box)
        self._box = env.action_space
        self._whole = self._box.dtype.kind in "iu"
        dtype = np.float64 if self._whole else self._box.dtype
        self._low, self._high = self._box.low.ravel().astype(dtype), self._box.high.ravel().astype(dtype)
        low, high = self._low.astype(np.longdouble), self._high.astype(np.longdouble)
        self._middle = (low / 2 + high / 2).astype(dtype)
        reach = np.maximum(high - self._middle, self._middle - low)
        with np.errstate(divide="ignore", over="ignore"):  # both bounds are the same: infinity lets nothing through
            self._slope = (1 / reach).astype(dtype)  # divided by, as by gymnasium's RescaleAction: old runs repeat
        while (short := self._short()).any():
            self._slope[short] = np.nextafter(self._slope[short], 0, dtype=dtype)
        self.action_space = Box(-1.0, 1.0, self._low.shape)

    def _short(self) -> Bool[np.ndarray, " A"]:
        """Where −1 or 1 would miss its bound by rounding."""
        reach = 1 / self._slope
        return (self._middle + reach < self._high) | (self._middle - reach > self._low)

    @staticmethod
    def suits(space: gym.Space) -> bool:
        """Whether it is a box with bounds on all sides; whole numbers beyond 2⁵³ count as none."""
        if not (isinstance(space, Box) and space.is_bounded()):
            return False
        return space.dtype.kind == "f" or all(
            np.abs(bound.astype(float)).max() < 2**53 for bound in (space.low, space.high)
        )

    def action(self, action: Any) -> np.ndarray:
        scaled = np.asarray(action) / self._slope + self._middle
        inside = np.minimum(np.maximum(scaled, self._low), self._high)
        if self._whole:
            inside = inside.round()
        return inside.astype(self._box.dtype, copy=False).reshape(self._box.shape)
