"""Homework 10: the agents that question 5 asks about, really broken. Not for students.

`python notebooks/instructor/hw10_runs.py` records them anew.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import partial
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from hw06_runs import ACTIONS, TIME_LIMIT, step
from recorder import Study, record

from rlcourse.algorithms import iql
from rlcourse.buffers import ReplayBuffer, Transition, standardise
from rlcourse.loop import train_offline

UPDATES, EVERY, SEEDS, EPISODES = 1_500, 100, 3, 100
STARTS = np.array([-1.0, -0.8, -0.6, 0.6, 0.8, 1.0])
NAMES = ("return", "towards", "value", "weight", "critic loss")
CONFIG = iql.Config(
    gamma=0.95, lr=3e-3, batch_size=64, hidden=(32, 32), buffer_size=4_000, learning_starts=64, tau=0.05, expectile=0.8
)


def observe(x: float) -> np.ndarray:
    """The position, as a sensor reports it: around 100."""
    return np.array([100 + 20 * x], dtype=np.float32)


def dataset(seed: int) -> ReplayBuffer:
    """Every other episode is by somebody who goes to the origin, unsteadily, the others at random."""
    rng, replay = np.random.default_rng(seed), ReplayBuffer(CONFIG.buffer_size, (1,), (1,))
    for number in range(EPISODES):
        x, age, over = float(rng.choice((-1, 1)) * rng.uniform(0.5, 1.0)), 0, False
        while not over and age < TIME_LIMIT:
            steady = np.clip(-10 * x + 0.5 * rng.normal(), -1, 1)
            action = np.array([steady if number % 2 else rng.uniform(-1, 1)])
            following, reward, over = step(x, action)
            age += 1
            truncated = age == TIME_LIMIT and not over
            replay.add(Transition(observe(x), action, reward, observe(following), over, truncated))
            x = following
    return replay


def measure(agent: iql.IQL, acts_on: tuple[Any, Any], learned_on: tuple[Any, Any]) -> tuple[float, float, float]:
    """Mean return without noise; how far a first action goes towards the origin; V of the first step, standardised."""

    def act(x: float) -> np.ndarray:
        mean, spread = acts_on
        return np.asarray(agent.act((observe(x) - mean) / spread, explore=False))

    returns = []
    for start in STARTS:
        x, total, over, age = float(start), 0.0, False, 0
        while not over and age < TIME_LIMIT:
            x, reward, over = step(x, act(x))
            total, age = total + reward, age + 1
        returns.append(total)
    mean, spread = learned_on
    seen = torch.tensor(np.array([(observe(x) - mean) / spread for x in STARTS]), dtype=torch.float32)
    with torch.inference_mode():
        value = agent.value_network(seen).mean().item()
    return float(np.mean(returns)), float(np.mean([-np.sign(x) * act(x) for x in STARTS])), value


advantage_weight = iql.advantage_weight
BROKEN: dict[str, tuple[dict[str, float], bool, AbstractContextManager[Any]]] = {
    "healthy": ({}, True, nullcontext()),
    "A": ({}, True, patch.object(iql, "advantage_weight", lambda advantage, *how: advantage_weight(-advantage, *how))),
    "B": ({}, True, patch.object(iql, "polyak_update", lambda *_: None)),
    "C": ({}, False, nullcontext()),
    "D": ({"expectile": 1 - CONFIG.expectile}, True, nullcontext()),
}


def run(
    settings: dict[str, float], standardised: bool, change: AbstractContextManager[Any], seed: int
) -> Iterator[tuple[float, ...]]:
    """What `NAMES` lists, every 100 updates; `standardised` says whether observations are, too, while it acts."""
    torch.set_num_threads(1)
    replay = dataset(seed)
    learned_on = standardise(replay)
    acts_on = learned_on if standardised else (0.0, 1.0)
    with change:
        agent = iql.IQL(1, ACTIONS, replace(CONFIG, **settings), seed, replay)
        weights, losses = [], []
        for metrics in train_offline(agent, UPDATES, seed):
            weights.append(metrics["weight"])
            losses.append(metrics["critic_loss"])
            if metrics["step"] % EVERY == 0:
                yield *measure(agent, acts_on, learned_on), float(np.mean(weights)), float(np.mean(losses))
                weights, losses = [], []


STUDIES = (
    Study(
        "hw10",
        "update",
        range(EVERY, UPDATES + 1, EVERY),
        NAMES,
        {name: partial(run, *how) for name, how in BROKEN.items()},
        range(SEEDS),
    ),
)

if __name__ == "__main__":
    record(STUDIES)
