"""Our DDPG, TD3 and SAC against Stable-Baselines3's, see `rivals`. Aims: TD3 1.5 times the steps per second, SAC 1.8.

Beside it how much of the processor's speed at multiplying matrices the updates reach, TD7's on one thread and on two,
aim 55 %: nothing can be faster. What LAP asks of the replay buffer is in `replay`.
"""

import time
from collections.abc import Iterable
from functools import partial
from typing import Any

import gymnasium as gym
import torch
from gymnasium.spaces import flatdim
from rich.table import Table
from torch.utils.flop_counter import FlopCounterMode

from rlcourse import envs, loop
from rlcourse.algorithms import ddpg, sac, td3, td7
from rlcourse.runs import matmul_precision
from tests.benchmarks import rivals
from tests.benchmarks.rivals import peak_memory
from tests.benchmarks.timing import interleaved

ENV = "HalfCheetah-v5"
WARM_UP, STEPS = 300, 1_000
SETTING = f"{ENV}, one update of 256 per step, 2 × 256 units"
PRECISION = matmul_precision(256, 256)  # as in `rlcourse train`

# Both: what `SETTING` says, updates from step 256 on.
OURS: dict[str, tuple[type, Any]] = {
    "DDPG": (ddpg.DDPG, ddpg.Config(learning_starts=256)),
    "TD3": (td3.TD3, td3.Config(learning_starts=256)),
    "SAC": (sac.SAC, sac.Config(learning_starts=256)),
}
TD7 = {"TD7": (td7.TD7, td7.Config(learning_starts=256, checkpoints=False))}  # Stable-Baselines3 has none
THEIRS = {"policy_kwargs": {"net_arch": [256, 256]}, "batch_size": 256, "learning_starts": 256}


def make(algorithm: str) -> tuple[gym.Env, Any]:
    env = envs.make(ENV)
    kind, config = (OURS | TD7)[algorithm]
    return env, kind(flatdim(env.observation_space), env.action_space, config, seed=0)


def our_speed(algorithm: str) -> tuple[float, float]:
    torch.set_num_threads(1)
    torch.set_float32_matmul_precision(PRECISION)
    env, agent = make(algorithm)
    for _ in loop.train(env, agent, WARM_UP, seed=0):
        pass
    start = time.perf_counter()
    for _ in loop.train(env, agent, STEPS, seed=None):
        pass
    return STEPS / (time.perf_counter() - start), peak_memory()


def their_speed(algorithm: str, precision: str = "highest") -> tuple[float, float]:
    import stable_baselines3

    torch.set_num_threads(1)
    torch.set_float32_matmul_precision(precision)
    kind = getattr(stable_baselines3, algorithm)
    model = kind("MlpPolicy", gym.make(ENV), seed=0, device="cpu", train_freq=1, gradient_steps=1, **THEIRS)
    model.learn(WARM_UP)
    start = time.perf_counter()
    model.learn(STEPS, reset_num_timesteps=False)
    return STEPS / (time.perf_counter() - start), peak_memory()


def share_of_the_limit(algorithms: Iterable[str], threads: int) -> Table:
    """Floating-point operations of two updates (TD3's actor learns in every second), counted, over their time."""
    torch.set_num_threads(threads)
    torch.set_float32_matmul_precision(PRECISION)
    table = Table("update", "per second", "GFLOP each", "GFLOP/s", "of the limit")
    square = torch.randn(256, 256)
    for algorithm in algorithms:
        env, agent = make(algorithm)
        for _ in loop.train(env, agent, WARM_UP, seed=0):
            pass
        batch = agent.replay.sample(256, torch.Generator())

        def two_updates(agent: Any = agent, batch: Any = batch) -> None:
            agent.update(batch)
            agent.update(batch)

        with FlopCounterMode(display=False) as counter:
            two_updates()
        work = counter.get_total_flops() / 2e9
        seconds = interleaved({"update": two_updates, "limit": lambda: [square @ square for _ in range(100)]}, 30)
        limit = 100 * 2 * 256**3 / 1e9 / seconds["limit"]
        rate = 2 / seconds["update"]
        table.add_row(algorithm, f"{rate:.0f}", f"{work:.2f}", f"{rate * work:.0f}", f"{rate * work / limit:.0%}")
    table.title = f"of {limit:.0f} GFLOP/s, a 256 × 256 product's, {threads} thread{'s' if threads > 1 else ''}"
    return table


def tables() -> list[Table]:
    return [
        share_of_the_limit(TD7, threads=2),
        share_of_the_limit(OURS | TD7, threads=1),
        *rivals.with_rivals(
            "DDPG, TD3, SAC",
            lambda pool: [
                rivals.speeds(
                    pool,
                    name,
                    SETTING,
                    {
                        "ours": partial(our_speed, name),
                        "Stable-Baselines3": partial(their_speed, name),
                        "the same, products as ours": partial(their_speed, name, PRECISION),
                    },
                )
                for name in OURS
            ],
        ),
    ]
