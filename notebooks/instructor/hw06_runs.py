"""Homework 6: the agents that question 5 asks about, really broken. Not for students.

`python notebooks/instructor/hw06_runs.py` records them anew.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import partial
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from gymnasium.spaces import Box
from recorder import Study, record

from rlcourse.algorithms import td3
from rlcourse.buffers import Batch, Transition

GAMMA, STEPS, EVERY, TIME_LIMIT = 0.95, 4_000, 200, 40
SEEDS = (0, 1, 2, 4)  # of five, those in which the healthy agent learns to arrive
World = Callable[[float, np.ndarray], tuple[float, float, bool]]  # position, action → position, reward, terminated
STARTS = np.linspace(0.5, 1.0, 6)
ACTIONS = Box(-1.0, 1.0, (1,))
NAMES = ("return", "believed", "true", "action size", "critic loss")
SETTINGS: dict[str, Any] = {"gamma": GAMMA, "lr": 1e-3, "batch_size": 64, "hidden": (32, 32), "learning_starts": 400}


def step(x: float, action: np.ndarray) -> tuple[float, float, bool]:
    """A point on a line; each step costs 1 until it is at the origin. Position, reward, whether that ended it."""
    x = float(np.clip(x + 0.1 * action[0], -1.2, 1.2))
    return x, -1.0, abs(x) < 0.05


def episode(agent: Any, x: float) -> np.ndarray:
    """Rewards of the policy without noise, from x."""
    rewards, over = [], False
    while not over and len(rewards) < TIME_LIMIT:
        x, reward, over = step(x, agent.act(np.array([x]), explore=False))
        rewards.append(reward)
    return np.array(rewards)


def measure(agent: Any) -> tuple[float, ...]:
    """Mean return; what the critic believes of the first step and what is true, discounted; mean size of an action."""
    acts = [agent.act(np.array([x]), explore=False) for x in STARTS]
    runs = [episode(agent, x) for x in STARTS]
    believed = np.mean([agent.value(np.array([x]), act) for x, act in zip(STARTS, acts, strict=True)])
    true = np.mean([run @ GAMMA ** np.arange(len(run)) for run in runs])
    return float(np.mean([run.sum() for run in runs])), float(believed), float(true), float(np.abs(acts).mean())


def train(agent: Any, seed: int, step: World, steps: int, every: int) -> Iterator[dict[str, float]]:
    """The mean of each metric that all updates have, every `every` steps once there were updates."""
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    x, age, metrics = float(rng.uniform(0.5, 1.0)), 0, []
    for number in range(1, steps + 1):
        action = agent.act(np.array([x]))
        following, reward, terminated = step(x, action)
        age += 1
        truncated = age == TIME_LIMIT and not terminated
        agent.observe(Transition(np.array([x]), action, reward, np.array([following]), terminated, truncated))
        metrics += agent.learn()
        x = following
        if terminated or truncated:
            x, age = float(rng.uniform(0.5, 1.0)), 0
        if number % every == 0 and number > agent.config.learning_starts:
            every_time = set.intersection(*map(set, metrics))  # the actor learns at every second update only
            yield {key: float(np.mean([each[key] for each in metrics])) for key in every_time}
            metrics = []


def unmasked(target: Callable[..., Any]) -> Callable[..., Any]:
    """The same target, which never sees that an episode ended."""

    def wrong(batch: Batch, *args: Any) -> Any:
        return target(replace(batch, terminated=torch.zeros_like(batch.terminated)), *args)

    return wrong


class OneOptimizer(td3.TD3):
    """The actor's loss reaches the critic's parameters, too, as when one optimiser holds them all."""

    def update(self, batch: Batch) -> dict[str, float]:
        metrics = super().update(batch)
        loss = td3.actor_loss(batch, self.actor, self.critic.first)
        self.critic_optimizer.zero_grad()
        loss.backward()
        self.critic_optimizer.step()
        return metrics


actor_loss = td3.actor_loss
BROKEN: dict[str, tuple[type[td3.TD3], AbstractContextManager[Any]]] = {
    "healthy": (td3.TD3, nullcontext()),
    "A": (td3.TD3, patch.object(td3, "polyak_update", lambda *_: None)),
    "B": (td3.TD3, patch.object(td3, "bellman_target", unmasked(td3.bellman_target))),
    "C": (td3.TD3, patch.object(td3, "actor_loss", lambda *args: -actor_loss(*args))),
    "D": (OneOptimizer, nullcontext()),
}


def run(kind: type[td3.TD3], change: AbstractContextManager[Any], seed: int) -> Iterator[tuple[float, ...]]:
    """What `NAMES` lists, every 200 steps."""
    with change:
        agent = kind(1, ACTIONS, td3.Config(**SETTINGS), seed)
        for means in train(agent, seed, step, STEPS, EVERY):
            yield *measure(agent), means["critic_loss"]


STUDIES = (
    Study(
        "hw06",
        "step",
        range(600, STEPS + 1, EVERY),
        NAMES,
        {name: partial(run, *how) for name, how in BROKEN.items()},
        SEEDS,
    ),
)

if __name__ == "__main__":
    record(STUDIES)
