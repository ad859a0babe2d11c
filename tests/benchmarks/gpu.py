"""Updates per second on a GPU, if there is one, beside the CPU's; each with its batches and LAP's priorities.

TD7's, TD3's and SAC's updates as `rlcourse train --cuda` runs them, and how far the numbers are apart.
"""

from functools import partial
from typing import Any

import numpy as np
import torch
from gymnasium.spaces import Box
from rich.table import Table

from rlcourse import cuda
from rlcourse.algorithms import agent_class, config_class
from rlcourse.buffers import Transition
from tests.benchmarks.timing import interleaved

OBS, ACTIONS = 17, 6  # HalfCheetah's
UPDATES = 100  # timed at once
COMPARED = 200  # by how much two runs then differ: rounding grows with every update


def make(name: str) -> Any:
    """An agent at full size, with transitions of noise in its memory."""
    config = config_class(name)(buffer_size=5_000, learning_starts=1_000)
    agent, rng = agent_class(name)(OBS, Box(-1, 1, (ACTIONS,)), config, 0), np.random.default_rng(0)
    for _ in range(5_000):
        action = rng.uniform(-1, 1, ACTIONS)
        agent.replay.add(Transition(rng.normal(size=OBS), action, rng.normal(), rng.normal(size=OBS), False, False))
    return agent


def learn(agent: Any, updates: int) -> float:
    """The mean value after so many updates."""
    for _ in range(updates):
        metrics = agent.update(agent.replay.sample(agent.config.batch_size, agent._sampling))
    return metrics["q"]


def tables() -> list[Table]:
    if not torch.cuda.is_available():
        return [Table(title="updates on a GPU: not measured, PyTorch sees none")]
    table = Table("agent", "CPU", "GPU", f"Q differs after {COMPARED} by", title=torch.cuda.get_device_name())
    for name in ("td3", "sac", "td7"):
        here, there = make(name), make(name)
        cuda.move(there)
        ours, theirs = learn(here, COMPARED), learn(there, COMPARED)
        seconds = interleaved({"here": partial(learn, here, UPDATES), "there": partial(learn, there, UPDATES)}, 5)
        table.add_row(name, *(f"{UPDATES / seconds[key]:.0f} / s" for key in seconds), f"{abs(ours - theirs):.1g}")
    return [table]
