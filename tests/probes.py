"""How an agent enters the ladder of probe worlds (`test_probes`): each page's test declares it, as `LEARNERS`."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from gymnasium.spaces import Box

GAMMA = 0.5  # far from 1, so that every mistake is large
ONE_NUMBER = Box(-1.0, 1.0, (1,))


@dataclass(frozen=True)
class Learner:
    """How to make the agent, for how many steps it trains, and what it thinks Q or V is."""

    make: Callable[[], Any]
    steps: int
    q: Callable[[Any, float, int], float] | None = None  # (agent, observation, action −1 or 1) → what it thinks Q is
    v: Callable[[Any, float], float] | None = None  # (agent, observation) → what it thinks V is, of its own policy
    num_envs: int = 0  # trained side by side
    continuous: bool = False
    tabular: bool = False
    tolerance: float = 0.1


def value(agent: Any, obs: float) -> float:
    return float(agent.value(np.array([obs])))


def q_value(agent: Any, obs: float, action: int) -> float:
    return float(agent.value(np.array([obs]), np.array([action])))


CONTINUOUS: dict[str, Any] = {
    "gamma": GAMMA,
    "lr": 1e-2,
    "hidden": (32,),
    "batch_size": 32,
    "buffer_size": 2_000,
    "learning_starts": 500,
    "tau": 0.1,
}
