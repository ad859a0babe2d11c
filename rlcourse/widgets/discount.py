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

import math
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from rlcourse.curves import signed
from rlcourse.widgets import presets
from rlcourse.widgets.panel import Panel, choice, slider
from rlcourse.widgets.scene import Axis, Scene, View, area, handle, line, patches, up_to

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
        return self.gamma ** math.ceil(round(self.horizon, 6))

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


def scene(data: Discounted) -> Scene:
    lives = f"{data.returns.size} undiscounted lives sum to {signed(data.returns.mean())} on average"
    headline = f"γ = {data.gamma:g}: the discounted sum is {signed(data.value)}, and {lives}."
    return Scene(headline, (weights_view(data), lives_view(data)), (sums_view(data),))


def weights_view(data: Discounted) -> View:
    """The first reading: what a reward counts after t steps."""
    last = max(40, data.delay + 10, round(3 * data.horizon))
    shown = np.unique(np.linspace(0, last, 100).round().astype(int))
    steps, weights = shown.astype(float), data.weights[shown]
    marks = [
        area(steps, 0 * weights, weights, "sky"),
        line(steps, weights, "blue", width=3),
        line([data.horizon] * 2, [0, 0.75], "red", label=f"horizon {data.horizon:.0f}", dash=True),
    ]
    marks.append(handle(1.0, data.gamma, "γ, the weight after one step", along_y="gamma", color="green", size=0.55))
    if data.stream != STREAMS[0]:
        weight = float(data.weights[data.delay])
        marks.append(handle(float(data.delay), weight, f"delay: weight {weight:.2g}", along_x="delay"))
    title = f"weight γᵗ = chance to be alive; {100 * data.beyond:.0f} % of it lies beyond the horizon"
    return View(Axis(0, last, "step t"), Axis(0, 1.05, "weight"), marks, title)


def lives_view(data: Discounted) -> View:
    """The second reading: sampled lives, each as long as it lasted."""
    some = np.sort(data.lifetimes[:40]).astype(float)
    corners = [[(0, i - 0.3), (length, i - 0.3), (length, i + 0.3), (0, i + 0.3)] for i, length in enumerate(some)]
    marks = [patches(np.array(corners), ["green"] * some.size, [f"{length:.0f} rewards" for length in some])]
    marks.append(line([data.horizon] * 2, [-0.6, some.size], "red", dash=True))
    title = f"{some.size} lives; mean of all {data.lifetimes.size}: {data.lifetimes.mean():.1f} rewards"
    return View(up_to(some, label="rewards received", room=0.05), Axis(-0.6, some.size, ticks={}), marks, title)


def sums_view(data: Discounted) -> View:
    """Both readings agree: the mean over lives runs to the discounted sum."""
    number = np.unique(np.geomspace(1, data.returns.size, 100).round().astype(int))
    running = data.returns.cumsum()[number - 1] / number
    deviation = data.returns.std(ddof=1) / np.sqrt(number)
    spread = 4 * float(data.returns.std(ddof=1)) / np.sqrt(min(10, data.returns.size)) or 1.0
    marks = [
        area(number, data.value - deviation, data.value + deviation, "sky"),
        line(number, running, "green", label=f"lives {signed(running[-1])}", width=3),
        line([1, data.returns.size], [data.value] * 2, "blue", label=f"Σ γᵗ rₜ {signed(data.value)}", dash=True),
    ]
    up = Axis(data.value - spread, data.value + spread, "sum of rewards")
    return View(Axis(1, data.returns.size, "lives", log=True), up, marks, f"mean so far; rewards: {data.stream}")


def describe(data: Discounted) -> str:
    late = "" if data.stream == STREAMS[0] else f", delay {data.delay}"
    value, mean = (f"{each:.3f}".replace("-", "−") for each in (data.value, data.returns.mean()))
    return (
        f"Discount {data.gamma:g}: horizon {data.horizon:.1f}, beyond it {100 * data.beyond:.1f} % of the weight. "
        f"Rewards: {data.stream}{late}. Discounted value {value}. In {data.returns.size} lives without "
        f"discounting, each step survived with probability {data.gamma:g}: {data.lifetimes.mean():.2f} rewards and a "
        f"sum of {mean} on average, standard error {data.standard_error:.3f}."
    )


@presets.offered(PRESETS)
def widget(values: presets.Values) -> Panel:
    """Change the discount and the rewards, and compare weights with lives."""
    gamma = slider(values["gamma"], 0.5, 0.995, 0.001, "γ")
    gamma.readout_format = ".3f"
    controls = {
        "gamma": gamma,
        "stream": choice(values["stream"], STREAMS, "rewards"),
        "delay": slider(values["delay"], 0, 100, 1, "delay"),
        "lives": slider(values["lives"], 10, MOST_LIVES, 10, "lives"),
    }
    panel = Panel(compute, scene, describe, controls, more=("lives",))

    def follow(_: Any = None) -> None:
        controls["delay"].disabled = controls["stream"].value == STREAMS[0]  # nothing is late there

    follow()
    controls["stream"].observe(follow, "value")
    return panel
