"""Which of two settings is better, if one asks three seeds? Many recorded seeds, of which a few are drawn, over again.

A draw takes n of the recorded seeds, each from all of them, so that one may come twice (the bootstrap: Efron 1979). It
compares both settings on them, seed by seed: how much more return, averaged over the evaluations (`Curve.gains`), with
the 95 % interval that the course uses everywhere (`curves.mean_band`). What all seeds together say stands in for the
truth. How often n seeds name the other winner is counted over `DRAWS` draws. If no seed came twice, a draw of all
recorded seeds would be compared with itself and never err; as many fresh seeds do err.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from rlcourse.curves import Curve, Estimate, digits, mean_band, reference
from rlcourse.widgets import presets
from rlcourse.widgets.panel import Panel, choice, slider
from rlcourse.widgets.scene import Axis, Mark, Scene, View, counted, dots, handle, line, text

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
SHOWN, DRAWS, MOST, SEED = 20, 20_000, 30, 0

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
    """The draws up to the chosen one, each of n seeds, from N recorded ones.

    Attributes:
        every: gain of the default with each recorded seed.
        chosen: the seeds of the chosen draw, some perhaps twice.
        step: at which the runs were evaluated.
        base, other: returns of the chosen draw's seeds.
        gains: mean over its seeds by which the default is ahead, for each draw so far.
        low, high: the ends of their intervals.
        truth: the same of all N seeds.
        wrong: share of draws of 1, 2, …, `MOST` seeds whose winner is not that of all N.
    """

    rival: str
    n: int
    every: Float[np.ndarray, " N"]
    chosen: Int[np.ndarray, " n"]
    step: Int[np.ndarray, " T"]
    base: Float[np.ndarray, "n T"]
    other: Float[np.ndarray, "n T"]
    gains: Float[np.ndarray, " draws"]
    low: Float[np.ndarray, " draws"]
    high: Float[np.ndarray, " draws"]
    truth: Estimate
    wrong: Float[np.ndarray, " most"]

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
def draws(seeds: int) -> Int[np.ndarray, "draws most"]:
    """Each row are `MOST` of the seeds, drawn one by one from all; its first n are a draw of n."""
    return np.random.default_rng(SEED).integers(seeds, size=(DRAWS, MOST))


def wrong_shares(gains: Float[np.ndarray, " N"]) -> Float[np.ndarray, " most"]:
    """For n = 1, 2, …, `MOST`: the share of draws of n whose mean has another sign than the mean of all."""
    sums = gains[draws(len(gains))].cumsum(1)
    return np.asarray((np.sign(sums) != np.sign(gains.sum())).mean(0))


def compute(rival: str, n: int, draw: int) -> Lottery:
    """The first `draw` draws, counted from 1, of `n` seeds each."""
    base, other = pair(rival)
    gains = base.gains(other)
    rows = draws(len(gains))[:draw, :n]
    drawn = gains[rows]
    low, high = mean_band(drawn.T)
    chosen = rows[-1]
    return Lottery(
        rival,
        n,
        gains,
        chosen,
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


def scene(data: Lottery) -> Scene:
    share, shown = 100 * data.wrong[data.n - 1], len(data.gains)
    headline = (
        f"With {data.n} seeds a draw, the {BASE} wins {data.ahead} of {counted(shown, 'draw')}; of {DRAWS} draws, "
        f"{share:.0f} % name another winner than all {len(data.every)} seeds do."
    )
    number = np.arange(1, MOST + 1)
    top = max(55.0, 1.1 * share)
    wrong = View(
        Axis(1, MOST, "seeds n of a draw"),
        Axis(-1, top, "% of draws"),
        [
            line(number, 100 * data.wrong, "blue"),
            handle(data.n, share, "seeds n", along_x="n"),
            text([15.5], [0.9 * top], [f"n = {data.n}: {share:.1f} %"], bold=True),
        ],
        "another winner",
    )
    thin = slice(None, None, 1 + data.step.size // 30)
    curves = [
        line(data.step[thin], returns.mean(0)[thin], color, label=name, width=3)
        for name, returns, color in ((BASE, data.base, "blue"), (data.rival, data.other, "red"))
    ]
    single = [
        line(data.step[thin], each[thin], color, width=0.8)
        for returns, color in ((data.base, "blue"), (data.other, "red"))
        for each in returns[:FEW]
    ]
    runs = View(
        Axis(0, float(data.step[-1]), "environment step"),
        Axis(0, 520, "return"),
        [*single, *curves],
        f"runs of draw {shown}" + (f", {FEW} of {data.n}" if data.n > FEW else ""),
    )
    return Scene(headline, (intervals(data),), (wrong, runs))


FEW = 5  # single runs drawn of each setting


def intervals(data: Lottery) -> View:
    """All seeds as dots, those of the chosen draw large; under them each draw so far, hollow if it holds zero."""
    wide = float(np.ptp(data.every))
    low, high = min(0.0, float(data.every.min())) - 0.25 * wide, max(0.0, float(data.every.max())) + 0.25 * wide
    often = np.bincount(data.chosen, minlength=data.every.size)
    # Next to each other where they would hide one another.
    height = -2.3 + 0.55 * (np.argsort(np.argsort(data.every)) % 3)
    names = [
        f"seed {seed}: {gain:+.0f}" + (f", drawn {counted(int(times), 'time')}" if times else "")
        for seed, (gain, times) in enumerate(zip(data.every, often, strict=True))
    ]
    colors = np.where(often == 0, "grey", np.where(data.every > 0, "blue", "red")).tolist()
    size = np.where(often > 0, 0.35 + 0.15 * often.clip(max=3), 0.25)
    bottom = SHOWN + 0.7
    truth = data.truth.value
    marks: list[Mark] = [
        line([0, 0], [-3, bottom], "ink", width=1.5),
        line([truth, truth], [-3, bottom], "green", dash=True),
        dots(data.every, height, colors, size=size, alpha=np.where(often > 0, 1.0, 0.6), names=names),
    ]
    for i, (gain, *ends, resolved) in enumerate(
        zip(data.gains, data.low, data.high, data.resolved, strict=True), start=1
    ):
        color = "blue" if gain > 0 else "red"
        latest = i == len(data.gains)
        name = f"draw {i}: {gain:+.0f} ({ends[0]:+.0f} to {ends[1]:+.0f}), {'' if resolved else 'not '}resolved"
        # A hollow dot is a ring: the interval ends at it.
        marks.append(line(ends, [i, i], color, width=3.5 if latest else 1.5))
        marks.append(dots([gain], [i], color, size=0.42 if latest else 0.32, names=[name], hollow=not resolved))
    edge = 0.02 * (high - low)
    marks += [
        text([low + edge], [-3.4], [f"{data.rival} is better"], "red", anchor="start", bold=True),
        text([high - edge], [-3.4], [f"{BASE} is better"], "blue", anchor="end", bold=True),
        text([truth + edge], [bottom + 0.6], [f"all {len(data.every)} seeds: {data.truth}"], "green", anchor="start"),
    ]
    rows = {-1.75: "seeds"} | {float(i): str(i) for i in (1, 5, 10, 15, 20)}
    across = Axis(low, high, f"return of the {BASE} less that of {data.rival}")
    title = f"draw {len(data.gains)}: {winner(data)}"
    return View(across, Axis(bottom + 1.2, -4, "draw", ticks=rows), marks, title)


def describe(data: Lottery) -> str:
    shown, resolved = len(data.gains), data.resolved.sum()
    return (
        f"PPO on CartPole, {BASE} against {data.rival}, draws of {data.n} from {len(data.every)} seeds. "
        f"Draw {shown}: {winner(data)} ({digits(data.low[-1])} to {digits(data.high[-1])}). "
        f"The {BASE} is ahead in {data.ahead} of {shown} draws. Of their 95 % intervals {resolved} lie on one side of "
        f"zero, and {data.missed} miss the gain over all seeds, {data.truth}. "
        f"Of all draws of {data.n}, {100 * data.wrong[data.n - 1]:.1f} % name another winner than all seeds do."
    )


@presets.offered(PRESETS)
def widget(values: presets.Values) -> Panel:
    """Draw a few seeds, and a few others, and see who wins."""
    controls = {
        "rival": choice(values["rival"], list(RIVALS), "default against"),
        "n": slider(values["n"], 2, MOST, 1, "seeds n"),
        "draw": slider(values["draw"], 1, SHOWN, 1, "draw"),
    }
    return Panel(compute, scene, describe, controls, play="draw")
