"""What every benchmark needs: to time rivals in turns, and a table in which they stand beside their aims."""

import time
from collections.abc import Callable, Mapping
from statistics import median
from typing import Any

from rich.table import Table


def timed(run: Callable[[], Any]) -> float:
    """Seconds of one call."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def interleaved(rivals: Mapping[str, Callable[[], Any]], rounds: int) -> dict[str, float]:
    """Median seconds of each; they take turns, so that whatever else the machine does slows all of them alike."""
    seconds: dict[str, list[float]] = {name: [] for name in rivals}
    for number in range(rounds + 1):
        for name, run in rivals.items():
            spent = timed(run)
            if number:  # the first round warms up
                seconds[name].append(spent)
    return {name: median(times) for name, times in seconds.items()}


def results(title: str) -> Table:
    table = Table("what", "measured", "aim", "", title=title, title_justify="left")
    table.columns[1].justify = table.columns[2].justify = "right"
    return table


def milliseconds(table: Table, what: str, seconds: float, at_most: float) -> None:
    table.add_row(what, f"{1000 * seconds:.0f} ms", f"≤ {at_most:g} ms", mark(1000 * seconds <= at_most))


def mark(reached: bool) -> str:
    return "✔" if reached else "✘"
