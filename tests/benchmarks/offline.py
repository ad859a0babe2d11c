"""One update of each learner of lecture 10, all in the same process and interleaved: no number is an aim."""

from dataclasses import fields, replace
from typing import Any

import torch
from gymnasium.spaces import Box
from rich.table import Table

from rlcourse import offline
from rlcourse.algorithms import agent_class
from rlcourse.buffers import Batch
from rlcourse.runs import matmul_precision
from tests.benchmarks.timing import interleaved

SIZES = 17, 6  # HalfCheetah's numbers in an observation and in an action
SETTING = "batch 256, 2 × 256 units, HalfCheetah's sizes, one thread"


def make(learner: str) -> Any:
    config = offline.LEARNERS[learner]
    page = type(config).__module__.rsplit(".", 1)[-1]
    known = {field.name for field in fields(config)}
    config = replace(config, **({"lap": False} if "lap" in known else {}))  # a prioritised memory is in `replay`
    return agent_class(page)(SIZES[0], Box(-1.0, 1.0, (SIZES[1],)), config, 0)


def batch() -> Batch:
    generator = torch.Generator().manual_seed(0)
    obs, next_obs = torch.randn(2, 256, SIZES[0], generator=generator)
    action = torch.rand(256, SIZES[1], generator=generator) * 2 - 1
    reward, ones = torch.randn(256, generator=generator), torch.ones(256)
    return Batch(obs, action, reward, next_obs, torch.zeros(256), ones, ones / 256, torch.arange(256))


def tables() -> list[Table]:
    torch.set_num_threads(1)
    torch.set_float32_matmul_precision(matmul_precision(256, 256))
    rows, agents = batch(), {name: make(name) for name in offline.LEARNERS}
    # Two updates: the actor of TD3 and TD7 learns in every second.
    pairs = {name: lambda agent=agent: (agent.update(rows), agent.update(rows)) for name, agent in agents.items()}
    seconds = interleaved(pairs, 20)
    table = Table("learner", "updates per second", title=f"Offline: {SETTING}")
    for name, each in seconds.items():
        table.add_row(name, f"{2 / each:.0f}")
    return [table]
