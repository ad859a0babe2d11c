"""Homework 2: the agents that question 5 asks about, really broken. Not for students.

`python notebooks/instructor/hw02_runs.py` records them anew, in some minutes.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from unittest.mock import patch

import numpy as np
import torch
from recorder import Study, record

from rlcourse import envs
from rlcourse.algorithms import dqn
from rlcourse.buffers import Batch
from rlcourse.loop import evaluate, train

CONFIG = dqn.Config(gamma=0.95, n_step=1, epsilon_steps=1_500, learning_starts=500)
STEPS, EVERY, SEEDS = 4_000, 250, 3
FIRST = 1_000  # learning has begun
NAMES = ("return", "mean value", "value before fall", "spread of values", "loss")


def unmasked(batch: Batch, q: dqn.QFunction, gamma: float | torch.Tensor) -> torch.Tensor:
    return batch.reward + gamma * q(batch.next_obs).amax(-1)


def column(batch: Batch, q: dqn.QFunction, gamma: float | torch.Tensor) -> torch.Tensor:
    return CORRECT(batch, q, gamma)[:, None]


def broadcast_loss(q: torch.Tensor, target: torch.Tensor, weight: torch.Tensor, threshold: float) -> torch.Tensor:
    return torch.nn.functional.huber_loss(q.expand(len(q), -1), target.expand(-1, len(q)), delta=threshold)


def hundredth(batch: Batch, q: dqn.QFunction, gamma: float | torch.Tensor) -> torch.Tensor:
    return CORRECT(replace(batch, reward=batch.reward / 100), q, gamma)


CORRECT = dqn.bellman_target
BROKEN: dict[str, tuple[dqn.Config, dict[str, Callable[..., torch.Tensor]]]] = {
    "healthy": (CONFIG, {}),
    "A": (replace(CONFIG, tau=0.0), {}),  # the target network is never updated
    "B": (CONFIG, {"bellman_target": unmasked}),  # no terminal mask
    "C": (CONFIG, {"bellman_target": column, "critic_loss": broadcast_loss}),  # (B,) against (B, 1)
    "D": (CONFIG, {"bellman_target": hundredth}),  # the reward is scaled
}


def run(
    config: dqn.Config, mutations: dict[str, Callable[..., torch.Tensor]], seed: int
) -> Iterator[tuple[float, ...]]:
    """A row of `NAMES` every 250 steps, the first after 1000."""
    torch.set_num_threads(1)
    agent = dqn.DQN(4, 2, config, seed)
    losses = []
    with patch.multiple(dqn, **mutations) if mutations else patch.object(dqn, "Config", dqn.Config):
        for metrics in train(envs.make("CartPole-v1"), agent, STEPS, seed):
            losses += [metrics["loss"]] if "loss" in metrics else []
            if "reward" in metrics and metrics["step"] % EVERY == 0 and metrics["step"] >= FIRST:
                batch = agent.replay.gather(torch.arange(len(agent.replay)))
                with torch.inference_mode():
                    values = agent.q(batch.obs).amax(-1)
                fell = values[batch.terminated.bool()]
                returns = evaluate(envs.make("CartPole-v1"), agent, episodes=10, seed=1000)
                of_values = (number.item() for number in (values.mean(), fell.mean(), values.std()))
                yield returns.mean(), *of_values, np.mean(losses)
                losses = []


STUDIES = (
    Study(
        "hw02",
        "step",
        range(FIRST, STEPS + 1, EVERY),
        NAMES,
        {name: partial(run, *how) for name, how in BROKEN.items()},
        range(SEEDS),
    ),
)

if __name__ == "__main__":
    record(STUDIES)
