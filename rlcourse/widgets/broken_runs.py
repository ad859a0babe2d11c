"""Recorded runs of agents, one of them healthy and each of the others broken in one thing: a picture to diagnose from.

Recordings stand in `recorded/NAME.json`, one for each homework ("hw01") and each case of the demo `diagnosis`. Each run
has several seeds; all of them are drawn, since a difference that is not there in every seed may be luck.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from textwrap import wrap

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rlcourse.curves import digits
from rlcourse.widgets.still import COLORS, Still

RECORDED = Path(__file__).parent / "recorded"
HEALTHY = "healthy"


@dataclass(frozen=True)
class Recording:
    """What was measured of each run.

    Attributes:
        xlabel: what `at` counts.
        at: where along the run each of the points was measured.
        runs: by the run's name and the quantity's; the first run is the healthy one.
    """

    xlabel: str
    at: Float[np.ndarray, " points"]
    runs: Mapping[str, Mapping[str, Float[np.ndarray, "seeds points"]]]

    def words(self, name: str) -> str:
        """The means over seeds at the first point and at the last, as text."""
        means = {quantity: seeds.mean(0) for quantity, seeds in self.runs[name].items()}
        return f"{name}: " + ", ".join(f"{what} {short(m[0])} → {short(m[-1])}" for what, m in means.items())


def short(number: float) -> str:
    """Three significant digits with a true minus."""
    return digits(number).replace("-", "−")


@cache
def load(name: str) -> Recording:
    """The recording of this name.

    Raises:
        FileNotFoundError: there is none; names those that there are.
    """
    path = RECORDED / f"{name}.json"
    if not path.exists():
        there = ", ".join(sorted(each.stem for each in RECORDED.glob("*.json")))
        raise FileNotFoundError(f"nothing is recorded under {name!r}: choose one of {there}")
    data = json.loads(path.read_text(encoding="utf-8"))
    runs = {
        run: {quantity: np.array(seeds, float) for quantity, seeds in quantities.items()}
        for run, quantities in data["runs"].items()
    }
    return Recording(data["xlabel"], np.array(data["at"], float), runs)


def compare(
    ax: Axes,
    at: Float[np.ndarray, " points"],
    healthy: Float[np.ndarray, "seeds points"],
    broken: Float[np.ndarray, "seeds points"],
    width: float = 1.3,
) -> None:
    """One line per seed: the broken run in front of the healthy one."""
    ax.plot(at, healthy.T, color="#aaaaaa", linewidth=width)
    ax.plot(at, broken.T, color=COLORS[1], linewidth=width)


def from_zero(ax: Axes, last: float) -> None:
    """An axis from 0 to `last`, with these two numbers inside its ends."""
    ax.set(xlim=(0, last), xticks=(0, last))
    left, right = ax.get_xticklabels()
    left.set_horizontalalignment("left")
    right.set_horizontalalignment("right")


def show(name: str) -> Still:
    """All runs of a recording: a column each, a row for each quantity, the mean at the end as a number.

    Raises:
        FileNotFoundError: there is no such recording.
    """
    data = load(name)
    healthy = data.runs[HEALTHY]
    height = 0.85 + 1.1 * len(healthy)  # inches

    def draw(figure: Figure) -> None:
        axes = figure.subplots(len(healthy), len(data.runs), sharex=True, squeeze=False)
        figure.subplots_adjust(0.085, 0.5 / height, 0.99, 1 - 0.32 / height, wspace=0.38, hspace=0.38)
        for column, (run, quantities) in enumerate(data.runs.items()):
            axes[0, column].set_title(run, loc="left", weight="bold")
            axes[-1, column].set_xlabel(data.xlabel, fontsize=11)
            for ax, (quantity, seeds) in zip(axes[:, column], quantities.items(), strict=True):
                if run == HEALTHY:
                    ax.plot(data.at, seeds.T, color=COLORS[0], linewidth=1.3)
                    ax.set_ylabel("\n".join(wrap(quantity, 11)), fontsize=11)
                else:
                    compare(ax, data.at, healthy[quantity], seeds)
                ax.set_title(short(seeds[:, -1].mean()), loc="right", fontsize=11, pad=3)
                ax.locator_params(axis="y", nbins=3)
                ax.tick_params(labelsize=10)
                ax.ticklabel_format(axis="y", useOffset=False, scilimits=(-3, 5))
            from_zero(axes[-1, column], data.at[-1])
        figure.align_ylabels(axes[:, 0])

    words = "; ".join(map(data.words, data.runs))
    seeds = len(next(iter(healthy.values())))
    return Still(draw, f"{seeds} seeds of each run, means at the first and the last point. {words}.", (13, height))
