"""Record the broken runs that students see as `widgets.broken_runs`, each in its `*_runs.py`. Not for students."""

import json
import platform
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch

from rlcourse.widgets import broken_runs

# Elsewhere, what a network learns differs from the first update on.
PROCESSOR = f"{platform.machine()} {torch.backends.cpu.get_cpu_capability()}"
Rows = Iterator[Sequence[float]]  # a number for each quantity, at each point


@dataclass(frozen=True)
class Study:
    """Runs to record: each is a function of the seed."""

    name: str
    xlabel: str
    at: Sequence[int]
    quantities: Sequence[str]
    runs: Mapping[str, Callable[[int], Rows]]
    seeds: Sequence[int]

    def measured(self, run: str, seed: int, points: int | None = None) -> dict[str, list[float]]:
        """Every quantity of one run, or of its first `points`, in four significant digits."""
        columns = zip(*islice(self.runs[run](seed), points), strict=True)
        return {
            quantity: [float(f"{number:.4g}") + 0.0 for number in column]
            for quantity, column in zip(self.quantities, columns, strict=True)
        }

    def record(self) -> None:
        """Write all runs to where `broken_runs.load` finds them."""
        runs = {}
        for name in self.runs:
            seeds = [self.measured(name, seed) for seed in self.seeds]
            runs[name] = {quantity: [each[quantity] for each in seeds] for quantity in self.quantities}
            ends = {quantity: f"{np.mean([row[-1] for row in rows]):.3g}" for quantity, rows in runs[name].items()}
            print(self.name, name, ends, file=sys.stderr, flush=True)
        path = broken_runs.RECORDED / f"{self.name}.json"
        data = {"processor": PROCESSOR, "xlabel": self.xlabel, "at": list(self.at), "runs": runs}
        path.write_text(json.dumps(data) + "\n", encoding="utf-8")


def record(studies: Sequence[Study]) -> None:
    """Record those that the command line names, or all."""
    for study in studies:
        if study.name in (sys.argv[1:] or [study.name]):
            study.record()
