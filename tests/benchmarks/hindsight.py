"""Sampling 256 relabelled transitions against 256 as they are, and against Stable-Baselines3's `HerReplayBuffer`.

On FetchPush, episodes of 50 steps, `future` with k = 4. Aim: at most five times as long as a plain sample.
"""

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import gymnasium as gym
import torch
from rich.table import Table

from rlcourse import envs
from rlcourse.algorithms import her
from rlcourse.buffers import ReplayBuffer
from tests.benchmarks.timing import interleaved, mark

BATCH, LENGTH, ENV = 256, 50, "rlcourse/FetchPush-v4"


def ours(size: int) -> tuple[Callable[[], Any], Callable[[], Any]]:
    """Samplers of a full buffer: plain, with hindsight."""
    env, generator = envs.make(ENV), torch.Generator().manual_seed(0)
    memory = her.HindsightReplay(env, size, her.Config())
    plain = ReplayBuffer(size, env.observation_space.shape or (), env.action_space.shape or ())
    # Adding a million transitions would take a minute.
    state = plain.state_dict()
    state["fields"] = {
        name: torch.rand(size, *rows.shape[1:], generator=generator) for name, rows in state["fields"].items()
    }
    plain.load_state_dict(state)
    before = torch.arange(size) % LENGTH
    memory.load_state_dict(state | {"before": before, "after": LENGTH - 1 - before, "running": 0})
    return lambda: plain.sample(BATCH, generator), lambda: memory.sample(BATCH, generator)


def theirs(size: int) -> Callable[[], Any]:
    import numpy as np
    from stable_baselines3 import HerReplayBuffer
    from stable_baselines3.common.vec_env import DummyVecEnv

    vector = DummyVecEnv([lambda: gym.make(ENV).unwrapped])
    world: Any = vector.envs[0]
    memory = HerReplayBuffer(size, world.observation_space, world.action_space, vector, device="cpu")
    rng = np.random.default_rng(0)
    for rows in (*memory.observations.values(), *memory.next_observations.values(), memory.actions, memory.rewards):
        rows[:] = rng.random(rows.shape, np.float32)
    memory.ep_start[:, 0], memory.ep_length[:] = np.arange(size) // LENGTH * LENGTH, LENGTH
    memory.full = True
    return lambda: memory.sample(BATCH)


def tables() -> list[Table]:
    torch.set_num_threads(1)
    rivals = find_spec("stable_baselines3") is not None
    title = f"sample {BATCH}, one thread; aim: with hindsight ≤ 5 times plain"
    table = Table("items", "plain [ms]", "hindsight [ms]", "ratio", "", "Stable-Baselines3 [ms]", title=title)
    for size in (10_000, 100_000, 1_000_000):
        plain, relabelled = ours(size)
        samplers = {"plain": plain, "hindsight": relabelled} | ({"theirs": theirs(size)} if rivals else {})
        seconds = interleaved(samplers, rounds=300)
        ratio = seconds["hindsight"] / seconds["plain"]
        row = f"{1e3 * seconds['plain']:.2f}", f"{1e3 * seconds['hindsight']:.2f}", f"{ratio:.1f}", mark(ratio <= 5)
        table.add_row(f"{size:,}", *row, f"{1e3 * seconds['theirs']:.2f}" if rivals else "not installed")
    return [table]
