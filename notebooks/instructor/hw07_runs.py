"""Homework 7: the agents that question 5 asks about, really broken. Not for students.

`python notebooks/instructor/hw07_runs.py` records them anew.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any
from unittest.mock import patch

import numpy as np
from hw06_runs import ACTIONS, STARTS, TIME_LIMIT, train
from recorder import Study, record
from torch import Tensor

from rlcourse.algorithms import sac
from rlcourse.buffers import Batch
from rlcourse.nets import Gaussian

STEPS, EVERY, SEEDS = 1_500, 100, 3
NAMES = ("return", "entropy", "temperature", "action size")
SETTINGS: dict[str, Any] = {
    "gamma": 0.95,
    "lr": 3e-3,
    "batch_size": 64,
    "hidden": (32, 32),
    "learning_starts": 200,
    "tau": 0.02,
}


def step(x: float, action: np.ndarray) -> tuple[float, float, bool]:
    """A point on a line that should stay at the origin, and effort costs a little. It never ends."""
    return float(np.clip(x + 0.2 * action[0], -1.2, 1.2)), -(x**2) - 0.1 * float(action[0]) ** 2, False


def measure(agent: Any) -> tuple[float, float]:
    """Mean return without noise, and mean size of the first actions."""
    returns, sizes = [], []
    for x in STARTS:
        rewards, sizes = [], [*sizes, abs(float(agent.act(np.array([x]), explore=False)[0]))]
        for _ in range(TIME_LIMIT):
            x, reward, _ = step(x, agent.act(np.array([x]), explore=False))
            rewards.append(reward)
        returns.append(sum(rewards))
    return float(np.mean(returns)), float(np.mean(sizes))


def squash_uncorrected(policy: Gaussian, normal: Tensor) -> tuple[Tensor, Tensor]:
    u = policy.mean + policy.log_std.exp() * normal
    return u.tanh(), policy.log_prob(u)


def loss_without_entropy(batch: Batch, actor: Any, critic: Any, temperature: float, normal: Tensor) -> Any:
    action, log_prob = sac.squash(actor(batch.obs), normal)
    return -critic(batch.obs, action).amin(0).mean(), log_prob


def loss_without_slope(batch: Batch, actor: Any, critic: Any, temperature: float, normal: Tensor) -> Any:
    action, log_prob = sac.squash(actor(batch.obs), normal)
    return (temperature * log_prob - critic(batch.obs, action.detach()).amin(0)).mean(), log_prob


BROKEN: dict[str, tuple[dict[str, float], AbstractContextManager[Any]]] = {
    "healthy": ({}, nullcontext()),
    "A": ({"target_entropy": 1.0}, nullcontext()),
    "B": ({}, patch.object(sac, "actor_loss", loss_without_entropy)),
    "C": ({}, patch.object(sac, "actor_loss", loss_without_slope)),
    "D": ({}, patch.object(sac, "squash", squash_uncorrected)),
}


def run(settings: dict[str, float], change: AbstractContextManager[Any], seed: int) -> Iterator[tuple[float, ...]]:
    """What `NAMES` lists, every 100 steps."""
    with change:
        agent = sac.SAC(1, ACTIONS, sac.Config(**SETTINGS | settings), seed)
        for means in train(agent, seed, step, STEPS, EVERY):
            score, size = measure(agent)
            yield score, means["entropy"], means["temperature"], size


STUDIES = (
    Study(
        "hw07",
        "step",
        range(300, STEPS + 1, EVERY),
        NAMES,
        {name: partial(run, *how) for name, how in BROKEN.items()},
        range(SEEDS),
    ),
)

if __name__ == "__main__":
    record(STUDIES)
