r"""The discount as a chance of dying: the same value, once by weights and once by lives that end.

An agent receives the rewards r₀, r₁, … of a given stream.

- **Discounted**: the reward after t steps counts γᵗ. The value is Σ γᵗ rₜ.
- **Mortal**: all rewards count alike, but after each one the agent dies with probability 1 − γ. It still lives at t
  with probability γᵗ, so the *expected sum until death* is Σ γᵗ rₜ as well.

A life has 1/(1 − γ) rewards on average: the effective horizon H. What lies beyond it still has the share γᴴ of all the
weight, (1 − 1/H)^H → 1/e = 37 % for γ → 1.

In an MDP this is one more state, "dead", that every action reaches with probability 1 − γ, while all other transition
probabilities are multiplied by γ (Puterman 1994, *Markov Decision Processes*, section 5.3).
"""

from dataclasses import dataclass
from functools import cache
from typing import Any

import ipywidgets
import numpy as np
from jaxtyping import Float, Int
from matplotlib.figure import Figure

from rlcourse.curves import signed
from rlcourse.widgets import presets
from rlcourse.widgets.panel import COLORS, Panel

LECTURE = "4 Actor-critic"
QUESTION = "What has a discount to do with dying?"

T = np.arange(10_000)  # the longest discount's weights have died out by then, to 10⁻²¹
MOST_LIVES, SEED = 2000, 1
STREAMS = ("1 every step", "10, once, late", "−1 at first, then 1")

_STEADY = {"gamma": 0.9, "stream": STREAMS[0], "delay": 20, "lives": 200}
PRESETS: dict[str, dict[str, Any]] = {
    "γ = 0.9: ten steps": _STEADY,
    "γ = 0.99: a hundred steps": _STEADY | {"gamma": 0.99},
    "a late reward, hardly seen": _STEADY | {"stream": STREAMS[1], "delay": 50},
    "the same, worth waiting for": _STEADY | {"stream": STREAMS[1], "delay": 50, "gamma": 0.99},
    "first pain, then gain: not worth it": _STEADY | {"stream": STREAMS[2], "delay": 10},
    "the same, worth it": _STEADY | {"stream": STREAMS[2], "delay": 10, "gamma": 0.95},
}


@dataclass(frozen=True)
class Discounted:
    """Both readings of one discount.

    Attributes:
        rewards, weights: rₜ and γᵗ at every step.
        lifetimes: rewards received in each sampled life, at least 1.
        returns: the sum of rewards of each life, none of them discounted.
    """

    gamma: float
    stream: str
    delay: int
    rewards: Float[np.ndarray, " T"]
    weights: Float[np.ndarray, " T"]
    lifetimes: Int[np.ndarray, " lives"]
    returns: Float[np.ndarray, " lives"]

    @property
    def horizon(self) -> float:
        """1/(1 − γ): the mean number of rewards in a life, and the sum of all weights."""
        return 1 / (1 - self.gamma)

    @property
    def beyond(self) -> float:
        """The share of the weights that lies beyond the horizon."""
        return self.gamma**self.horizon

    @property
    def value(self) -> float:
        return float(self.weights @ self.rewards)

    @property
    def standard_error(self) -> float:
        """Of the mean return."""
        return float(self.returns.std(ddof=1) / np.sqrt(self.returns.size))


@cache
def chances() -> Float[np.ndarray, " lives"]:
    """One number in (0, 1] per life, the same for every discount: a safer world lengthens each of the lives."""
    return 1 - np.random.default_rng(SEED).random(MOST_LIVES)


def compute(gamma: float, stream: str, delay: int, lives: int) -> Discounted:
    streams: dict[str, np.ndarray] = {
        STREAMS[0]: np.ones(T.size),
        STREAMS[1]: np.where(delay == T, 10.0, 0.0),
        STREAMS[2]: np.where(delay > T, -1.0, 1.0),
    }
    rewards = streams[stream]
    # P(a life has more than t rewards) = γᵗ, solved for t.
    lifetimes = np.minimum(np.floor(np.log(chances()[:lives]) / np.log(gamma)), T.size - 1).astype(int) + 1
    returns = rewards.cumsum()[lifetimes - 1]
    return Discounted(gamma, stream, delay, rewards, gamma ** T.astype(float), lifetimes, returns)


def draw(figure: Figure, data: Discounted) -> None:
    left, middle, right = (figure.add_axes((x, 0.155, 0.27, 0.74)) for x in (0.05, 0.38, 0.715))
    shown = slice(0, max(40, data.delay + 10, round(3 * data.horizon)))
    left.fill_between(T[shown], data.weights[shown], color=COLORS[5], alpha=0.4, lw=0)
    left.plot(T[shown], data.weights[shown], color=COLORS[0], label="weight $γ^t$ = chance to be alive")
    left.axvline(data.horizon, 0, 0.6, color=COLORS[1], linestyle="--", label=f"horizon 1/(1 − γ) = {data.horizon:.0f}")
    if data.stream != STREAMS[0]:
        weight = data.weights[data.delay]
        left.plot(data.delay, weight, "o", color=COLORS[6], markersize=9, label=f"after {data.delay}: {weight:.2g}")
    left.set(xlabel="step t", title=f"beyond the horizon: {100 * data.beyond:.0f} % of the weight", ylim=(0, 1.6))
    left.set_yticks([0, 0.5, 1])

    some = np.sort(data.lifetimes[:40])
    middle.hlines(np.arange(some.size), 0, some, color=COLORS[2], lw=3)
    middle.axvline(data.horizon, color=COLORS[1], linestyle="--")
    middle.set(
        xlabel="rewards received", yticks=[], title=f"{some.size} lives; mean of all {data.lifetimes.mean():.1f}"
    )

    number = np.arange(1, data.returns.size + 1)
    running = data.returns.cumsum() / number
    deviation = data.returns.std(ddof=1) / np.sqrt(number)
    right.fill_between(number, data.value - deviation, data.value + deviation, color=COLORS[5], alpha=0.4, lw=0)
    right.plot(number, running, color=COLORS[2], label=f"mean sum of {data.returns.size} lives {signed(running[-1])}")
    right.axhline(data.value, color=COLORS[0], linestyle="--", label=f"$Σ γ^t r_t$ = {signed(data.value)}")
    spread = 4 * float(deviation[min(9, number.size - 1)]) or 1.0
    right.set(xlabel="lives", xscale="log", title=f"rewards: {data.stream}")
    right.set_ylim(data.value - spread, data.value + 1.6 * spread)
    for ax in (left, right):
        ax.legend(frameon=False, loc="upper right", fontsize=11)


def describe(data: Discounted) -> str:
    late = "" if data.stream == STREAMS[0] else f", delay {data.delay}"
    return (
        f"Discount {data.gamma:g}: horizon {data.horizon:.1f}, beyond it {100 * data.beyond:.1f} % of the weight. "
        f"Rewards: {data.stream}{late}. Discounted value {data.value:.3f}. In {data.returns.size} lives without "
        f"discounting, each step survived with probability {data.gamma:g}: {data.lifetimes.mean():.2f} rewards and a "
        f"sum of {data.returns.mean():.3f} on average, standard error {data.standard_error:.3f}."
    )


@presets.checked
def widget(preset: str = next(iter(PRESETS)), **changes: Any) -> Panel:
    """Change the discount and the rewards, and compare weights with lives.

    Args:
        preset: one of `PRESETS`, where the controls start.
        changes: values of controls, by `compute`'s names, that differ from the preset's.

    Raises:
        ValueError: the preset or the name of a control is unknown, or a value is none that it takes.
    """
    values = presets.start(PRESETS, preset, changes)
    wide = {"style": {"description_width": "70px"}, "layout": {"width": "320px"}}
    make = ipywidgets
    controls = {
        "gamma": make.FloatSlider(
            value=values["gamma"], min=0.5, max=0.995, step=0.001, readout_format=".3f", description="γ", **wide
        ),
        "stream": make.Dropdown(options=STREAMS, value=values["stream"], description="rewards", **wide),
        "delay": make.IntSlider(value=values["delay"], min=0, max=100, description="delay", **wide),
        "lives": make.IntSlider(value=values["lives"], min=10, max=MOST_LIVES, step=10, description="lives", **wide),
    }
    panel = Panel(compute, draw, describe, controls, size=(13, 4.1))

    def follow(_: Any = None) -> None:
        controls["delay"].disabled = controls["stream"].value == STREAMS[0]  # nothing is late there

    follow()
    controls["stream"].observe(follow, "value")
    return presets.attach(panel, PRESETS)
