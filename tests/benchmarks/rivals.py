"""An agent of ours against Stable-Baselines3's: steps per second, peak memory, seconds until CartPole is solved.

Needs the extra `bench`: pip install -c constraints.txt -e ".[bench]".

Every measurement has a process of its own, with one thread; ours and theirs take turns, so that both see the same
machine. The time that evaluations take does not count.
"""

import resource
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from importlib.util import find_spec
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from rich.table import Table

from rlcourse import loop

ENV = "CartPole-v1"
EPISODES, SOLVED, EVALUATION_SEED = 10, 475, 1_000_000
SEEDS = range(3)

Speed = Callable[[], tuple[float, float]]  # environment steps per second of the full loop, peak memory in MiB
Seconds = Callable[[int], float]  # seed → training time until CartPole is solved


def peak_memory() -> float:
    """Of this process so far, in MiB; on Linux without the peak of the process that started it, which getrusage has."""
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


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


def speeds(pool: ProcessPoolExecutor, algorithm: str, setting: str, rivals: Mapping[str, Speed]) -> Table:
    """Three runs of each, in turns, and the first one's speed over the others'.

    The functions must be importable, because each run has a process of its own.
    """
    table = Table(algorithm, "steps/s, three runs", "peak memory [MiB]", "times as fast", title=setting)
    rounds = [[pool.submit(run) for run in rivals.values()] for _ in range(3)]
    columns = [[one.result() for one in runs] for runs in zip(*rounds, strict=True)]
    medians = [np.median([rate for rate, _ in runs]) for runs in columns]
    for name, runs, median in zip(rivals, columns, medians, strict=True):
        rates = ", ".join(f"{rate:.0f}" for rate, _ in runs)
        table.add_row(name, rates, f"{max(peak for _, peak in runs):.0f}", f"{medians[0] / median:.2f}")
    return table


def until_solved(pool: ProcessPoolExecutor, algorithm: str, ours: Seconds, theirs: Seconds) -> Table:
    title = f"{algorithm} on {ENV}: training until {EPISODES} evaluation episodes ≥ {SOLVED}"
    table = Table("seed", "ours [s]", "theirs [s]", title=title)
    times = [(pool.submit(ours, seed), pool.submit(theirs, seed)) for seed in SEEDS]
    for seed, (our, their) in zip(SEEDS, times, strict=True):
        table.add_row(str(seed), f"{our.result():.1f}", f"{their.result():.1f}")
    return table


def with_rivals(algorithm: str, compare: Callable[[ProcessPoolExecutor], list[Table]]) -> list[Table]:
    """What `compare` measures, or what to install for it."""
    if find_spec("stable_baselines3") is None:
        missing = f'{algorithm}: not measured, pip install -c constraints.txt -e ".[bench]" brings its rival'
        return [Table(title=missing)]
    with ProcessPoolExecutor(1, mp_context=get_context("spawn"), max_tasks_per_child=1) as pool:
        return compare(pool)
