"""`make bench`: how fast things are on this machine, beside what they should be. Nothing here passes or fails."""

import os
import platform
import sys
from pathlib import Path

import numpy as np
from rich.console import Console

from tests.benchmarks import (
    dqn,
    gpu,
    grading,
    hindsight,
    imitation,
    off_policy,
    offline,
    ppo,
    q_iteration,
    replay,
    shares,
    widgets,
)

TABLES = (
    q_iteration.tables,
    widgets.tables,
    replay.tables,
    hindsight.tables,
    dqn.tables,
    ppo.tables,
    off_policy.tables,
    shares.tables,
    offline.tables,
    imitation.tables,
    gpu.tables,
    grading.tables,
)


def cpu_model() -> str:
    info = Path("/proc/cpuinfo")
    names = [line for line in info.read_text().splitlines() if line.startswith("model name")] if info.exists() else []
    return names[0].partition(": ")[2] if names else platform.processor() or platform.machine()


def main() -> None:
    console = Console()
    threads = os.environ.get("OMP_NUM_THREADS", "not limited")
    # Other work on the machine slows everything below, so say how much there is; Windows does not know.
    load = f", load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    console.print(
        f"{cpu_model()}, {os.cpu_count()} cores{load}; Python {sys.version.split()[0]}, "
        f"numpy {np.__version__}; OMP_NUM_THREADS {threads}",
        highlight=False,
    )
    for tables in TABLES:
        console.print(*tables())


if __name__ == "__main__":
    main()
