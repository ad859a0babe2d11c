"""Prioritised replay against a plain cumulative sum: sample 256 and update their priorities, at 10⁴ to 10⁶ items.

PER's and LAP's priorities differ in size, not in what they ask of the buffer.
"""

import time
from collections.abc import Callable
from statistics import median
from typing import Any

import torch
from rich.table import Table

from rlcourse.buffers import Batch, PrioritizedReplay

BATCH = 256


def milliseconds(work: Callable[[], None], repeats: int = 300) -> float:
    """The median over `repeats` calls, after a tenth as many to warm up."""
    times = []
    for _ in range(repeats + repeats // 10):
        start = time.perf_counter()
        work()
        times.append(1e3 * (time.perf_counter() - start))
    return median(times[repeats // 10 :])


class CumulativeSum(PrioritizedReplay):
    """The textbook's way: sums over the whole buffer for every batch."""

    def sample(self, batch_size: int, generator: torch.Generator) -> Batch:
        upper = self.flat.cumsum(0)
        uniform = torch.rand(batch_size, generator=generator, dtype=torch.float64)
        return self.gather(torch.searchsorted(upper, uniform * upper[-1], right=True))

    def update_priorities(self, indices: torch.Tensor, priorities: torch.Tensor) -> None:
        self.flat[indices] = priorities.double()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self.flat = state["priorities"].double()


def sample_and_update(cls: type[PrioritizedReplay], size: int) -> Callable[[], None]:
    """What an update of an agent asks of a full buffer."""
    generator = torch.Generator().manual_seed(0)
    replay = cls(size, (4,))
    state = replay.state_dict() | {"priorities": torch.rand(size, generator=generator) + 0.1}
    # Adding a million transitions would take a minute.
    state["fields"] = {name: rows.new_zeros(size, *rows.shape[1:]) for name, rows in state["fields"].items()}
    replay.load_state_dict(state)
    fresh = torch.rand(BATCH, generator=generator) + 0.1
    return lambda: replay.update_priorities(replay.sample(BATCH, generator).indices, fresh)


def tables() -> list[Table]:
    torch.set_num_threads(1)
    table = Table("items", "ours [ms]", "cumulative sum [ms]", "ratio", title=f"sample and update {BATCH}, one thread")
    for size in (10_000, 100_000, 1_000_000):
        ours, plain = (milliseconds(sample_and_update(cls, size)) for cls in (PrioritizedReplay, CumulativeSum))
        table.add_row(f"{size:,}", f"{ours:.3f}", f"{plain:.3f}", f"{ours / plain:.2f}")
    return [table]
