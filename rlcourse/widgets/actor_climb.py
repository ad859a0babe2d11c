r"""An actor climbs a critic of one number: to the nearest top, to a false peak, and towards what the critic overrates.

One state, actions in [−1, 1]. The true Q has two hills. Two critics see it with errors of their own,

Q̂_i(a) = Q(a) + noise · g_i(a), with g_i smooth, mean 0 and variance 1 at every action (a Gaussian process of length
`LENGTH`), independent of each other. Critic 1, the one that the actor climbs, also has a false narrow peak at `PEAK`.

The actor starts somewhere and takes gradient steps on Q̂_1, as in DDPG and TD3. What is its action then worth?

- *one critic* (DDPG): Q̂_1(a);
- *the other critic* (double): Q̂_2(a), whose errors the actor has not looked for;
- *the smaller of two* (clipped double): min_i Q̂_i(a);
- *smoothed*: E[Q̂_1(a + ε)], ε normal with deviation σ, clipped at 2.5σ, the ratio in Fujimoto et al. (2018);
- *both* (TD3): E[min_i Q̂_i(a + ε)].

**Certain**, over many draws of the errors: where the actor starts, one critic has no bias; a minimum of two has
−noise/√π. After climbing one critic is too high, since the actor went where its error is large; the other one is not.
"""

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.special import ndtri

from rlcourse.curves import signed
from rlcourse.widgets import presets
from rlcourse.widgets.panel import Panel, choice, slider
from rlcourse.widgets.scene import Axis, Scene, View, around, bars, dots, handle, highlight, line

LECTURE = "6 DDPG and TD3"
QUESTION = "Does an actor that climbs its critic get to the top?"

ACTIONS = np.linspace(-1, 1, 601)
PEAK, WIDTH, LENGTH = 0.1, 0.03, 0.15
DRAWS, SEED, SHOWN = 200, 0, 1  # draws of the errors, and which of them is in the left picture
STEPS, CHECKPOINTS, LR = 300, 11, 0.0015
TARGETS = ("one critic", "the other critic", "the smaller of two", "smoothed", "both (TD3)")

_GOOD = {"start": -0.05, "steps": 300, "noise": 0.0, "peak": 0.6, "smoothing": 0.2, "target": TARGETS[0]}
PRESETS: dict[str, dict[str, Any]] = {
    "a false narrow peak": _GOOD,
    "the same, target smoothed": _GOOD | {"target": TARGETS[3]},
    "no errors: the nearest top": _GOOD | {"peak": 0.0, "start": -0.8},
    "no errors: the higher hill": _GOOD | {"peak": 0.0},
    "noise: one critic is too high": _GOOD | {"peak": 0.0, "noise": 0.3},
    "noise: the other critic is not": _GOOD | {"peak": 0.0, "noise": 0.3, "target": TARGETS[1]},
    "noise: the smaller of two": _GOOD | {"peak": 0.0, "noise": 0.3, "target": TARGETS[2]},
    "noise and peak: both cures": _GOOD | {"noise": 0.3, "target": TARGETS[4]},
}


@dataclass(frozen=True)
class Climb:
    """One draw of the errors in full, and what the five targets make of many.

    Attributes:
        critics: of the drawn errors, over `ACTIONS`.
        smoothed: critic 1, averaged over the target's noise.
        path: the actor's action after 0, 1, …, `steps` steps, for that draw.
        end, true: its last action, and what that is worth.
        values: what the five targets say of it.
        at: the numbers of steps after which the bias was measured.
        bias: of the five targets, mean over the draws, and
        error: its standard error.
    """

    target: str
    start: float
    noise: float
    peak: float
    smoothing: float
    critics: Float[np.ndarray, "2 a"]
    smoothed: Float[np.ndarray, " a"]
    path: Float[np.ndarray, " steps_and_one"]
    end: float
    true: float
    values: Float[np.ndarray, "5"]
    at: Float[np.ndarray, " c"]
    bias: Float[np.ndarray, "5 c"]
    error: Float[np.ndarray, "5 c"]

    @property
    def chosen(self) -> int:
        return TARGETS.index(self.target)


def true_value(action: float | Float[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
    """Two hills: 0.7 high at −0.45, 1 high at 0.4."""
    return np.asarray(
        0.7 * np.exp(-(((action + 0.45) / 0.28) ** 2) / 2) + np.exp(-(((action - 0.4) / 0.3) ** 2) / 2), float
    )


@cache
def errors() -> Float[np.ndarray, "2 draws a"]:
    """g_1 and g_2 for every draw: sums of 200 random waves (Rahimi and Recht 2007)."""
    rng = np.random.default_rng(SEED)
    waves, phase = rng.standard_normal((2, 200)) / LENGTH, rng.uniform(0, 2 * np.pi, (2, 200))
    weight = rng.standard_normal((2, DRAWS, 200)) / 10  # 200 waves of variance 1/100 · ½: 1
    return weight @ np.cos(waves[:, :, None] * ACTIONS + phase[:, :, None])


def at(values: Float[np.ndarray, "draws a"], action: Float[np.ndarray, "draws ..."]) -> Float[np.ndarray, "draws ..."]:
    """Each draw's function at its own actions, between the grid's points on a straight line."""
    place = (action + 1) / 2 * (ACTIONS.size - 1)
    left = np.minimum(place.astype(int), ACTIONS.size - 2)
    entry = left + ACTIONS.size * np.arange(len(values)).reshape(-1, *[1] * (action.ndim - 1))
    low, high = values.take(entry), values.take(entry + 1)  # quicker than by row and column
    return np.asarray(low + (place - left) * (high - low))


def smoothing_noise(scale: float) -> Float[np.ndarray, " n"]:
    """Equally likely values of ε: 24 quantiles of a normal distribution, the largest at 2.04σ."""
    return scale * ndtri((np.arange(24) + 0.5) / 24)


def judge(
    critics: Float[np.ndarray, "2 draws a"], action: Float[np.ndarray, " draws"], smoothing: float
) -> Float[np.ndarray, "5 draws"]:
    """What the five targets say of each draw's action."""
    one, other = (at(critic, action) for critic in critics)
    near = np.clip(action[:, None] + smoothing_noise(smoothing), -1, 1)
    first, second = (at(critic, near) for critic in critics)
    both = np.minimum(first, second).mean(1)
    return np.stack([one, other, np.minimum(one, other), first.mean(1), both])


def compute(start: float, steps: int, noise: float, peak: float, smoothing: float, target: str) -> Climb:
    bump = peak * np.exp(-(((ACTIONS - PEAK) / WIDTH) ** 2) / 2)
    critics = true_value(ACTIONS) + noise * errors()
    critics[0] += bump
    slope = np.gradient(critics[0], ACTIONS, axis=-1)
    checkpoints = np.unique(np.linspace(0, steps, CHECKPOINTS).round().astype(int))
    action, path, gap = np.full(DRAWS, start), [start], []
    for step in range(steps + 1):
        if step in checkpoints:
            gap.append(judge(critics, action, smoothing) - true_value(action))
        if step < steps:
            action = (action + LR * at(slope, action)).clip(-1, 1)
            path.append(float(action[SHOWN]))
    bias = np.stack(gap, -1)
    shown, near = critics[:, SHOWN], np.clip(ACTIONS[:, None] + smoothing_noise(smoothing), -1, 1)
    end = action[SHOWN]
    return Climb(
        target,
        start,
        noise,
        peak,
        smoothing,
        shown,
        np.interp(near, ACTIONS, shown[0]).mean(1),
        np.array(path),
        float(end),
        float(true_value(end)),
        bias[:, SHOWN, -1] + float(true_value(end)),
        checkpoints.astype(float),
        bias.mean(1),
        bias.std(1, ddof=1) / np.sqrt(DRAWS),
    )


def scene(data: Climb) -> Scene:
    believed = float(data.values[data.chosen])
    headline = (
        f"The actor ends at {data.end:.2f}, worth {data.true:.2f}; the target says {believed:.2f} "
        f"(over {DRAWS} draws {signed(data.bias[data.chosen, -1])})."
    )
    return Scene(headline, (hills(data),), (worths(data), biases(data)))


def hills(data: Climb) -> View:
    """The true value, the critics, and the actor's way up the first of them."""
    thin = slice(None, None, 6)
    marks = [line(ACTIONS[thin], true_value(ACTIONS)[thin], "ink", label="true Q", width=4)]
    if data.noise and data.chosen in (1, 2, 4):
        marks.append(line(ACTIONS[thin], data.critics[1, thin], "sky", label="critic 2", dash=True))
    if data.chosen in (3, 4):
        marks.append(line(ACTIONS[thin], data.smoothed[thin], "purple", label="smoothed", dash=True))
    marks.append(line(ACTIONS[thin], data.critics[0, thin], "blue", label="critic 1"))
    believed = np.interp(data.path, ACTIONS, data.critics[0])
    marks.append(dots(data.path[::10], believed[::10], "red", size=0.25))
    marks.append(dots(data.path[-1:], believed[-1:], "red", size=0.7, names=[f"the actor's end: {data.end:.2f}"]))
    marks.append(handle(data.start, float(believed[0]), "the actor's start", along_x="start"))
    title = "an actor climbs critic 1 from its start (orange) to its end (red)"
    return View(Axis(-1, 1, "action a"), around(data.critics[0], true_value(ACTIONS), label="value"), marks, title)


SHORT = ("one", "other", "smaller", "smooth", "both")


def worths(data: Climb) -> View:
    """What the five targets say of the actor's last action."""
    places = np.arange(len(TARGETS), dtype=float)
    marks = [
        bars(places, 0 * places, data.values, highlight(len(TARGETS), data.chosen), width=0.6),
        line([-0.6, 4.6], [data.true] * 2, "ink", label=f"true {data.true:.2f}", dash=True),
    ]
    low = min(0.0, float(data.values.min()))
    high = 1.15 * max(data.true, float(data.values.max()), 0.1)
    ticks = dict(zip(places.tolist(), SHORT, strict=True))
    return View(Axis(-0.6, 4.6, ticks=ticks), Axis(low, high, "value"), marks, "what targets say of the end")


def biases(data: Climb) -> View:
    """How wrong the five targets are on average over the draws, as the actor climbs."""
    marks = [line([0, max(float(data.at[-1]), 1.0)], [0, 0], "grey", width=1)]
    inks = ("blue", "red", "green", "purple", "orange")
    for i, (name, color) in enumerate(zip(SHORT, inks, strict=True)):
        marks.append(line(data.at, data.bias[i], color, label=name, width=3.5 if i == data.chosen else 1.5))
    across = Axis(0, max(float(data.at[-1]), 1.0), "steps of the actor")
    return View(across, around(data.bias, 0.02, label="target − true"), marks, f"bias, mean of {DRAWS} draws")


def describe(data: Climb) -> str:
    values = ", ".join(f"{name} {value:.2f}" for name, value in zip(TARGETS, data.values, strict=True))
    biases = ", ".join(f"{name} {signed(bias)}" for name, bias in zip(TARGETS, data.bias[:, -1], strict=True))
    return (
        f"An actor climbs a critic: noise {data.noise:g}, false peak {data.peak:g}, smoothing {data.smoothing:g}, "
        f"target {data.target}. From {data.start:g} it gets in {len(data.path) - 1} steps to {data.end:.2f}, "
        f"worth {data.true:.2f}. What targets say: {values}. Bias over {DRAWS} draws: {biases}."
    )


@presets.offered(PRESETS)
def widget(values: presets.Values) -> Panel:
    """Choose how wrong the critics are and where the actor starts, and see what targets make of where it ends."""
    controls = {
        "target": choice(values["target"], TARGETS, "target"),
        "noise": slider(values["noise"], 0.0, 1.0, 0.05, "noise"),
        "steps": slider(values["steps"], 0, STEPS, 10, "steps"),
        "start": slider(values["start"], -1.0, 1.0, 0.05, "start"),
        "peak": slider(values["peak"], 0.0, 1.0, 0.05, "false peak"),
        "smoothing": slider(values["smoothing"], 0.0, 0.4, 0.05, "smoothing σ"),
    }
    more = ("start", "peak", "smoothing")
    return Panel(compute, scene, describe, controls, more, play="steps")
