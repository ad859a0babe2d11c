"""Our DQN against Stable-Baselines3's: steps per second, peak memory, seconds until CartPole is solved.

Needs the extra `bench`: pip install -c constraints.txt -e ".[bench]".

Every measurement has a process of its own, with one thread; ours and theirs take turns, so that both see the same
machine. The time that evaluations take does not count.
"""

import resource
import time
from concurrent.futures import ProcessPoolExecutor
from importlib.util import find_spec
from multiprocessing import get_context
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from rich.table import Table

from rlcourse import loop
from rlcourse.algorithms.dqn import DQN, Config

ENV = "CartPole-v1"
WARM_UP, STEPS, LIMIT = 1_000, 5_000, 50_000
EVALUATE_EVERY, EPISODES, SOLVED, EVALUATION_SEED = 1_000, 10, 475, 1_000_000
SEEDS = range(3)

# Both: one update of 128 per step, 2 × 128 units, a copy of the network every 500 updates.
OURS = Config(
    batch_size=128,
    hidden=(128, 128),
    learning_starts=500,
    train_every=1,
    updates=1,
    target_every=500,
    tau=1.0,
    n_step=1,
)
THEIRS = {
    "policy_kwargs": {"net_arch": [128, 128]},
    "batch_size": 128,
    "buffer_size": 100_000,
    "learning_starts": 500,
    "train_freq": 1,
    "gradient_steps": 1,
    "target_update_interval": 500,
}

# rl-baselines3-zoo's tuned settings for CartPole-v1; its exploration fractions refer to 50 000 steps.
ZOO = {
    "policy_kwargs": {"net_arch": [256, 256]},
    "learning_rate": 2.3e-3,
    "batch_size": 64,
    "buffer_size": 100_000,
    "learning_starts": 1_000,
    "target_update_interval": 10,
    "train_freq": 256,
    "gradient_steps": 128,
    "exploration_fraction": 0.16,
    "exploration_final_eps": 0.04,
}


def our_speed() -> tuple[float, float]:
    """Environment steps per second of the full loop, and peak memory in MiB."""
    torch.set_num_threads(1)
    env, agent = gym.make(ENV), DQN(4, 2, OURS, seed=0)
    for _ in loop.train(env, agent, WARM_UP, seed=0):
        pass
    start = time.perf_counter()
    for _ in loop.train(env, agent, STEPS, seed=None):
        pass
    return STEPS / (time.perf_counter() - start), _peak_memory()


def their_speed() -> tuple[float, float]:
    from stable_baselines3 import DQN

    torch.set_num_threads(1)
    model = DQN("MlpPolicy", gym.make(ENV), seed=0, device="cpu", **THEIRS)
    model.learn(WARM_UP)
    start = time.perf_counter()
    model.learn(STEPS, reset_num_timesteps=False)
    return STEPS / (time.perf_counter() - start), _peak_memory()


def _peak_memory() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


class Stopwatch:
    """Training time until a first evaluation reaches `SOLVED`."""

    def __init__(self, act: Any) -> None:
        self.env, self.act = gym.make(ENV), act
        self.seconds, self.started = 0.0, time.perf_counter()

    def solved(self) -> bool:
        self.seconds += time.perf_counter() - self.started
        score = np.mean(loop.evaluate(self.env, self, EPISODES, EVALUATION_SEED))  # type: ignore[arg-type]  # it only acts
        self.started = time.perf_counter()
        return bool(score >= SOLVED)


def our_seconds(seed: int) -> float:
    torch.set_num_threads(1)
    agent = DQN(4, 2, Config(), seed)
    watch = Stopwatch(agent.act)
    for metrics in loop.train(gym.make(ENV), agent, LIMIT, seed):
        if "reward" in metrics and metrics["step"] % EVALUATE_EVERY == 0 and watch.solved():
            return watch.seconds
    return float("inf")


def their_seconds(seed: int) -> float:
    from stable_baselines3 import DQN
    from stable_baselines3.common.callbacks import BaseCallback

    torch.set_num_threads(1)
    model = DQN("MlpPolicy", gym.make(ENV), seed=seed, device="cpu", **ZOO)
    watch = Stopwatch(lambda obs, explore: int(model.predict(obs, deterministic=not explore)[0]))

    class Evaluation(BaseCallback):
        def _on_step(self) -> bool:
            return self.n_calls % EVALUATE_EVERY != 0 or not watch.solved()

    model.learn(LIMIT, Evaluation())
    return watch.seconds if model.num_timesteps < LIMIT else float("inf")


def tables() -> list[Table]:
    if find_spec("stable_baselines3") is None:
        return [Table(title='DQN: not measured, pip install -c constraints.txt -e ".[bench]" brings its rival')]
    speed = Table("DQN", "steps/s, three runs", "peak memory [MiB]", title="one update of 128 per step, 2 × 128 units")
    solve = Table("seed", "ours [s]", "theirs [s]", title=f"training until {EPISODES} evaluation episodes ≥ {SOLVED}")
    with ProcessPoolExecutor(1, mp_context=get_context("spawn"), max_tasks_per_child=1) as pool:
        pairs = [(pool.submit(our_speed), pool.submit(their_speed)) for _ in range(3)]
        times = [(pool.submit(our_seconds, seed), pool.submit(their_seconds, seed)) for seed in SEEDS]
        ours, theirs = ([one.result() for one in column] for column in zip(*pairs, strict=True))
        for name, runs in (("ours", ours), ("Stable-Baselines3", theirs)):
            speed.add_row(name, ", ".join(f"{rate:.0f}" for rate, _ in runs), f"{max(peak for _, peak in runs):.0f}")
        ratio = np.median([rate for rate, _ in ours]) / np.median([rate for rate, _ in theirs])
        speed.add_row("ratio of medians", f"{ratio:.2f}", "")
        for seed, (our, their) in zip(SEEDS, times, strict=True):
            solve.add_row(str(seed), f"{our.result():.1f}", f"{their.result():.1f}")
    return [speed, solve]
