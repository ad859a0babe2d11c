"""Which of two settings is better, if one asks three seeds? Many recorded seeds, of which a few are drawn, over again.

A draw takes n of the recorded seeds, without putting any back, and compares both settings on them, seed by seed: how
much more return, averaged over the evaluations (`Curve.gains`), with the 95 % interval that the course uses everywhere
(`curves.mean_band`). What all seeds together say stands in for the truth. How often n seeds name the other winner is
counted over `DRAWS` draws; near n = all of them it is too low for fresh seeds, as the draws overlap.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Any

import ipywidgets
import numpy as np
from jaxtyping import Float, Int
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rlcourse.curves import Curve, Estimate, digits, mean_band, reference
from rlcourse.widgets import presets
from rlcourse.widgets.oldpanel import Panel
from rlcourse.widgets.still import COLORS

LECTURE = "5 PPO"
QUESTION = "Which is better, if one asks three seeds?"

# PPO on CartPole, lecture 5's default, and one switch turned: the ten seeds of its table of details and more.
RIVALS: Mapping[str, str] = MappingProxyType(
    {
        "λ = 0": "05_lottery_lambda_0",
        "raw advantages": "05_lottery_raw_advantages",
        "raw observations": "05_lottery_raw_observations",
    }
)
BASE = "default"
SHOWN, DRAWS, MOST, SEED = 20, 20_000, 15, 0

_HARD = {"rival": "raw observations", "n": 3, "draw": SHOWN}
PRESETS: dict[str, dict[str, Any]] = {
    "3 seeds: a lottery": _HARD,
    "10 seeds: the lottery goes on": _HARD | {"n": 10},
    "a real difference, 3 seeds: the wrong winner at times": _HARD | {"rival": "raw advantages"},
    "a real difference, 10 seeds: seldom the wrong one": _HARD | {"rival": "raw advantages", "n": 10},
    "a large difference: 3 seeds are enough": _HARD | {"rival": "λ = 0"},
}


@dataclass(frozen=True)
class Lottery:
    """The draws up to the chosen one, each with n of N seeds.

    Attributes:
        step: at which the runs were evaluated.
        base, other: returns of the chosen draw's seeds.
        gains: mean over its seeds by which the default is ahead, for each draw so far.
        low, high: the ends of their intervals.
        truth: the same of all N seeds.
        wrong: share of draws of 1, 2, …, N seeds whose winner is not that of all N.
    """

    rival: str
    n: int
    step: Int[np.ndarray, " T"]
    base: Float[np.ndarray, "n T"]
    other: Float[np.ndarray, "n T"]
    gains: Float[np.ndarray, " draws"]
    low: Float[np.ndarray, " draws"]
    high: Float[np.ndarray, " draws"]
    truth: Estimate
    wrong: Float[np.ndarray, " N"]

    @property
    def ahead(self) -> int:
        """Draws in which the default is ahead."""
        return int((self.gains > 0).sum())

    @property
    def resolved(self) -> np.ndarray:
        """Which draws' intervals do not hold zero."""
        return (self.low > 0) | (self.high < 0)

    @property
    def missed(self) -> int:
        """Draws whose interval does not hold what all seeds say."""
        return int(((self.low > self.truth.value) | (self.truth.value > self.high)).sum())


@cache
def pair(rival: str) -> tuple[Curve, Curve]:
    return reference(f"05_lottery_{BASE}"), reference(RIVALS[rival])


@cache
def order(seeds: int) -> Int[np.ndarray, "draws N"]:
    """Each row shuffles all seeds; its first n are a draw of n."""
    rows = np.tile(np.arange(seeds), (DRAWS, 1))
    return np.random.default_rng(SEED).permuted(rows, axis=1)


def wrong_shares(gains: Float[np.ndarray, " N"]) -> Float[np.ndarray, " N"]:
    """For n = 1, 2, …, N: the share of draws of n whose mean has another sign than the mean of all."""
    sums = gains[order(len(gains))].cumsum(1)
    return np.asarray((np.sign(sums) != np.sign(gains.sum())).mean(0))


def compute(rival: str, n: int, draw: int) -> Lottery:
    """The first `draw` draws, counted from 1, of `n` seeds each."""
    base, other = pair(rival)
    gains = base.gains(other)
    rows = order(len(gains))[:draw, :n]
    drawn = gains[rows]
    low, high = mean_band(drawn.T)
    chosen = rows[-1]
    return Lottery(
        rival,
        n,
        base.step,
        base.returns[chosen],
        other.returns[chosen],
        drawn.mean(1),
        low,
        high,
        base.gain(other),
        wrong_shares(gains),
    )


def winner(data: Lottery) -> str:
    """What the chosen draw says, in words."""
    first, second = (BASE, data.rival) if data.gains[-1] > 0 else (data.rival, BASE)
    certainty = "resolved" if data.resolved[-1] else "not resolved"
    return f"{first} beats {second} by {digits(abs(data.gains[-1]))}, {certainty}"


def draw(figure: Figure, data: Lottery) -> None:
    left, middle, right = (
        figure.add_axes(box)
        for box in ((0.045, 0.155, 0.27, 0.7), (0.375, 0.155, 0.32, 0.7), (0.755, 0.155, 0.235, 0.7))
    )
    for name, returns, color, style in ((BASE, data.base, COLORS[0], "-"), (data.rival, data.other, COLORS[1], "--")):
        left.plot(data.step, returns.T, color=color, linewidth=0.8, alpha=0.5, linestyle=style)
        left.plot(data.step, returns.mean(0), color=color, linestyle=style, label=name)
    left.set(xlabel="environment step", ylim=(0, 640), yticks=range(0, 501, 100))
    left.locator_params(axis="x", nbins=4)
    left.legend(frameon=False, loc="upper left", ncols=2)
    left.set_title(f"draw {len(data.gains)}, {data.n} of {len(data.wrong)} seeds:\n{winner(data)}", fontsize=12)

    intervals(middle, data)

    number = np.arange(1, len(data.wrong) + 1)
    right.plot(number, 100 * data.wrong, color=COLORS[0])
    share = 100 * data.wrong[data.n - 1]
    right.plot(data.n, share, "o", color=COLORS[1], markersize=9, clip_on=False)
    right.annotate(f"n = {data.n}: {share:.1f} %", (data.n, share), (8, 8), textcoords="offset points")
    right.set(xlabel="seeds n", ylim=(0, 55), xlim=(1, len(data.wrong)))
    right.set_title(f"% of draws with another winner\nthan all {len(data.wrong)} seeds have", fontsize=12)


def intervals(ax: Axes, data: Lottery) -> None:
    """Every draw so far with its interval, in the colour of its winner; hollow where the interval holds zero."""
    top, bottom = 0.3, SHOWN + 0.7
    ax.plot((0, 0), (top, bottom), color=COLORS[6], linewidth=1.5)
    label = f"all {len(data.wrong)} seeds: {data.truth}"
    ax.plot((data.truth.value,) * 2, (top, bottom), color=COLORS[2], linestyle=":", label=label)
    for i, (gain, low, high, resolved) in enumerate(
        zip(data.gains, data.low, data.high, data.resolved, strict=True), start=1
    ):
        color = COLORS[0] if gain > 0 else COLORS[1]
        ax.plot((low, high), (i, i), color=color, linewidth=1.5)
        ax.plot(
            gain, i, "o" if gain > 0 else "s", color=color, markerfacecolor=color if resolved else "white", markersize=6
        )
    ax.set(ylim=(bottom, -2), yticks=(1, 5, 10, 15, 20), ylabel="draw")
    ax.set_xlabel(f"return of {BASE} less that of {data.rival}")
    title = f"{BASE} ahead in {data.ahead} of {len(data.gains)} draws,\n{data.resolved.sum()} resolved (filled)"
    ax.set_title(title, fontsize=12)
    ax.legend(frameon=False, loc="upper center", fontsize=11, handlelength=1.5, borderpad=0)


def describe(data: Lottery) -> str:
    shown, resolved = len(data.gains), data.resolved.sum()
    return (
        f"PPO on CartPole, {BASE} against {data.rival}, {data.n} of {len(data.wrong)} seeds a draw. "
        f"Draw {shown}: {winner(data)} ({digits(data.low[-1])} to {digits(data.high[-1])}). "
        f"The {BASE} is ahead in {data.ahead} of {shown} draws; {resolved} of their 95 % intervals do "
        f"not hold zero, {data.missed} miss what all seeds say, {data.truth}. "
        f"Of all draws of {data.n}, {100 * data.wrong[data.n - 1]:.1f} % name another winner than all seeds do."
    )


@presets.checked
def widget(preset: str = next(iter(PRESETS)), **changes: Any) -> Panel:
    """Draw a few seeds, and a few others, and see who wins.

    Args:
        preset: one of `PRESETS`, where the controls start.
        changes: values of controls, by `compute`'s names, that differ from the preset's.

    Raises:
        ValueError: the preset or the name of a control is unknown, or a value is none that it takes.
    """
    values = presets.start(PRESETS, preset, changes)
    wide = {"style": {"description_width": "110px"}, "layout": {"width": "360px"}}
    make = ipywidgets
    controls = {
        "rival": make.Dropdown(options=list(RIVALS), value=values["rival"], description="default against", **wide),
        "n": make.IntSlider(value=values["n"], min=2, max=MOST, description="seeds n", **wide),
        "draw": make.IntSlider(value=values["draw"], min=1, max=SHOWN, description="draw", **wide),
    }
    return presets.attach(Panel(compute, draw, describe, controls, size=(13, 4.1)), PRESETS)
