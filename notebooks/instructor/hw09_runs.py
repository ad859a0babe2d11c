"""Homework 9: the agents that question 5 asks about, really broken. Not for students.

`python notebooks/instructor/hw09_runs.py` records them anew.
"""

import math
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from gymnasium.spaces import Box
from recorder import Study, record

from rlcourse.algorithms import td7
from rlcourse.buffers import Batch, PrioritizedReplay, Transition

GAMMA, STEPS, EVERY, TIME_LIMIT, SEEDS = 0.95, 3_000, 200, 40, 3
STARTS = np.linspace(0.5, 1.0, 6)
ACTIONS = Box(-1.0, 1.0, (1,))
SETTINGS: dict[str, Any] = {
    "gamma": GAMMA,
    "lr": 1e-3,
    "batch_size": 64,
    "hidden": (32, 32),
    "embedding": 16,
    "learning_starts": 300,
    "target_every": 100,
    "priority_exponent": 0.6,
    "min_priority": 0.05,
}
NAMES = ("checkpoint", "policy", "believed", "drawn error", "encoder loss", "spread")


def step(x: float, action: np.ndarray) -> tuple[float, float, bool]:
    """A point on a line; each step costs 1 until it is at the origin. Position, reward, whether that ended it."""
    x = float(np.clip(x + 0.1 * action[0], -1.2, 1.2))
    return x, -1.0, abs(x) < 0.05


def observe(x: float, rng: np.random.Generator) -> np.ndarray:
    """The position in full steps, and a sensor that says nothing."""
    return np.array([10 * x, rng.uniform(-10, 10)], dtype=np.float32)


def mean_return(actor: td7.Actor, encoder: td7.Encoder) -> float:
    """Of episodes without noise on the actions, one from each start."""
    totals = []
    for start in STARTS:
        rng, x, total, over, age = np.random.default_rng(0), float(start), 0.0, False, 0
        while not over and age < TIME_LIMIT:
            obs = torch.tensor(observe(x, rng))
            x, reward, over = step(x, actor(obs, encoder.state(obs)).numpy())
            total, age = total + reward, age + 1
        totals.append(total)
    return float(np.mean(totals))


@torch.no_grad()
def measure(agent: td7.TD7) -> tuple[float, ...]:
    """Return of checkpoint and policy; value believed of the first step; error of what is drawn, over the mean's;
    and how much a number of an embedding differs between states."""
    checkpoint = mean_return(agent.checkpoint_actor, agent.checkpoint_encoder)
    policy = mean_return(agent.actor, agent.fixed_encoder)
    rng = np.random.default_rng(0)
    starts = torch.tensor(np.array([observe(x, rng) for x in STARTS]))
    choose, q = td7.bind_embeddings(agent.fixed_encoder, starts, agent.actor, agent.critic)
    believed = q(starts, choose(starts)).mean().item()

    replay = agent.replay
    assert isinstance(replay, PrioritizedReplay)
    batch = replay.gather(torch.arange(len(replay)))
    target_policy, target_q = td7.bind_embeddings(
        agent.target_encoder, batch.next_obs, agent.target_actor, agent.target_critic
    )
    target = td7.bellman_target(
        batch, target_policy, target_q, GAMMA, torch.zeros_like(batch.action), *agent._target_bounds
    )
    _, q = td7.bind_embeddings(agent.fixed_encoder, batch.obs, agent.actor, agent.critic)
    error = (target - q(batch.obs, batch.action)).abs().amax(0)
    chance = replay.priorities / replay.priorities.sum()
    drawn = ((chance * error).sum() / error.mean()).item()

    spread = agent.encoder.state(batch.obs).std(0).mean().item()
    return checkpoint, policy, believed, drawn, spread


def train(agent: td7.TD7, seed: int) -> Iterator[tuple[float, ...]]:
    """What `NAMES` lists, every 200 steps once there were updates."""
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    x, age, losses = float(rng.uniform(0.5, 1.0)), 0, []
    obs = observe(x, rng)
    for number in range(1, STEPS + 1):
        action = agent.act(obs)
        following, reward, terminated = step(x, action)
        age += 1
        truncated = age == TIME_LIMIT and not terminated
        next_obs = observe(following, rng)
        agent.observe(Transition(obs, action, reward, next_obs, terminated, truncated))
        losses += [metrics["encoder_loss"] for metrics in agent.learn()]
        x, obs = following, next_obs
        if terminated or truncated:
            x, age = float(rng.uniform(0.5, 1.0)), 0
            obs = observe(x, rng)
        if number % EVERY == 0 and losses:
            *found, spread = measure(agent)
            yield *found, float(np.mean(losses)), spread
            losses = []


class MovingTarget(td7.TD7):
    """The encoder's loss goes down its target's gradient, too."""

    def update(self, batch: Batch) -> dict[str, float]:
        moving = self.encoder.state(batch.next_obs)
        with patch.object(td7, "encoder_loss", lambda predicted, _: (predicted - moving).square().mean()):
            return super().update(batch)


class FixedBounds(td7.TD7):
    """What was seen never reaches the bounds of the target."""

    def update(self, batch: Batch) -> dict[str, float]:
        metrics = super().update(batch)
        self._target_bounds = (0.0, 0.0)
        return metrics


class NoCheckpoint(td7.TD7):
    """The bar begins at +∞, where no policy reaches it."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._best = math.inf


BROKEN: dict[str, tuple[type[td7.TD7], AbstractContextManager[Any]]] = {
    "healthy": (td7.TD7, nullcontext()),
    "A": (td7.TD7, patch.object(PrioritizedReplay, "update_priorities", lambda *_: None)),
    "B": (MovingTarget, nullcontext()),
    "C": (FixedBounds, nullcontext()),
    "D": (NoCheckpoint, nullcontext()),
}


def run(kind: type[td7.TD7], change: AbstractContextManager[Any], seed: int) -> Iterator[tuple[float, ...]]:
    with change:
        yield from train(kind(2, ACTIONS, td7.Config(**SETTINGS), seed), seed)


STUDIES = (
    Study(
        "hw09",
        "step",
        range(400, STEPS + 1, EVERY),
        NAMES,
        {name: partial(run, *how) for name, how in BROKEN.items()},
        range(SEEDS),
    ),
)

if __name__ == "__main__":
    record(STUDIES)
