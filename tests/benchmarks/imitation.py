"""What an expressive policy costs: actions a second, one at a time and 256 together, and updates of 64 a second.

Observations of 4 numbers, actions of 2, networks of 2 × 64 units, the policy classes of lecture 10 side by side. No
aims: a diffusion policy asks its network once for each of its steps.
"""

from functools import partial
from typing import Any

import numpy as np
import torch
from rich.table import Table

from rlcourse.algorithms.imitation import Config, Imitation
from tests.benchmarks.timing import interleaved

CLASSES: dict[str, dict[str, Any]] = {
    "squared error": {},
    "mixture of 2": {"components": 2},
    "autoregressive, 21 bins": {"bins": 21},
    "diffusion, 20 steps": {"noise_steps": 20},
}
BATCH, ACTIONS, ROUNDS = 64, 256, 20


def tables() -> list[Table]:
    torch.set_num_threads(1)
    table = Table("policy", "actions/s, one at a time", f"{ACTIONS} at a time", "updates/s", title="imitation")
    obs, action = torch.zeros(BATCH, 4), torch.zeros(BATCH, 2)
    one, many = np.zeros(4, np.float32), np.zeros((ACTIONS, 4), np.float32)
    for name, choice in CLASSES.items():
        agent = Imitation(4, 2, lambda obs: obs[:2], Config(hidden=(64, 64), **choice), seed=0)
        work: dict[str, Any] = {
            "one": partial(agent.act, one, explore=False),
            "many": partial(agent.act, many, explore=False),
            "update": partial(agent.update, obs, action),
        }
        seconds = interleaved(work, ROUNDS)
        rates = 1 / seconds["one"], ACTIONS / seconds["many"], 1 / seconds["update"]
        table.add_row(name, *(f"{rate:,.0f}" for rate in rates))
    return [table]
