"""Probes: worlds so small that their true values are known, in the order in which to look for an agent's bug."""

from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Box, Discrete

from rlcourse import envs


class Probe(gym.Env[np.ndarray, Any]):
    """A world so small that its true values can be written down; an agent that misses them has a certain bug.

    Observations are `(1,)` in [−1, 1]. Actions are −1 or +1, coded as 0 and 1, or with `continuous` anything in
    between, `(1,)`. Only in `ActionMatters` and `NextActionMatters` do values depend on the policy.
    """

    starts: ClassVar[tuple[float, ...]] = (0.0,)  # equally likely

    def __init__(self, continuous: bool = False) -> None:
        self.observation_space = Box(-1.0, 1.0, (1,))
        self.action_space = Box(-1.0, 1.0, (1,)) if continuous else Discrete(2)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self._place = float(self.np_random.choice(self.starts))
        return self._obs(), {}

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        choice = 2.0 * action - 1.0 if isinstance(self.action_space, Discrete) else float(action[0])
        self._place, reward, terminated, truncated = self.outcome(self._place, choice)
        return self._obs(), reward, terminated, truncated, {}

    def outcome(self, place: float, choice: float) -> tuple[float, float, bool, bool]:
        """The next observation, the reward, terminated, truncated."""
        raise NotImplementedError

    def _obs(self) -> np.ndarray:
        return np.array([self._place], np.float32)


class ConstantReward(Probe):
    """One step that pays 1: Q = 1. Missed by a critic that does not learn, or bootstraps past the end."""

    def outcome(self, place: float, choice: float) -> tuple[float, float, bool, bool]:
        return 0.0, 1.0, True, False


class ObservationMatters(Probe):
    """One step that pays what is observed, −1 or 1: Q(o) = o. Missed where observations are lost or mixed up."""

    starts = (-1.0, 1.0)

    def outcome(self, place: float, choice: float) -> tuple[float, float, bool, bool]:
        return place, place, True, False


class Discounting(Probe):
    """Two steps, 0 then 1, the second pays 1: Q(0) = γ, Q(1) = 1. Missed by a wrong discount or next observation."""

    def outcome(self, place: float, choice: float) -> tuple[float, float, bool, bool]:
        return 1.0, place, place == 1.0, False


class ActionMatters(Probe):
    """One step that pays the action, from −1 to 1: Q(a) = a, and V = 1. Missed by a policy that does not follow Q."""

    def outcome(self, place: float, choice: float) -> tuple[float, float, bool, bool]:
        return 0.0, choice, True, False


class NextActionMatters(Probe):
    """Two steps, 0 then 1, the second pays its action: Q(0, ·) = γ, Q(1, a) = a. Missed by a target without its max."""

    def outcome(self, place: float, choice: float) -> tuple[float, float, bool, bool]:
        return 1.0, place * choice, place == 1.0, False


class TruncationIsNotTermination(Probe):
    """Pays 1 for ever, but is cut after two steps, 0 then 1: Q = 1 / (1 − γ). Missed (Q(1) = 1) if cut means end."""

    def outcome(self, place: float, choice: float) -> tuple[float, float, bool, bool]:
        return 1.0, 1.0, False, place == 1.0


PROBES: tuple[type[Probe], ...] = (  # in the order in which to look for the bug
    ConstantReward,
    ObservationMatters,
    Discounting,
    ActionMatters,
    NextActionMatters,
    TruncationIsNotTermination,
)


class GoalProbe(envs.BitFlip):
    """A world of one or two bits, for agents with hindsight: V = 0 where one bit is wrong, −1 where two or none are.

    Attributes:
        steps: after which an episode is cut off.
    """

    bits: ClassVar[int] = 2
    steps: ClassVar[int] = 2

    def __init__(self) -> None:
        super().__init__(self.bits)


class GoalReached(GoalProbe):
    """One bit: who starts beside the goal arrives, Q = 0. Missed where reward or end do not belong to the new goal."""

    bits = steps = 1


class GoalReachedLater(GoalProbe):
    """Two bits: two steps may be needed, Q = −1. Missed where the next observation has another goal."""


class GoalNeverSet(GoalProbe):
    """One step, but both bits are wrong: what it is worth where one is wrong, Q = 0, only hindsight can know."""

    steps = 1

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        super().reset(seed=seed)
        self._goal = 1 - self._bits
        return self._obs(), {}


GOAL_PROBES: tuple[type[GoalProbe], ...] = GoalReached, GoalReachedLater, GoalNeverSet  # in the same order
