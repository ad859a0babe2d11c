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

import ipywidgets
import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure
from scipy.special import ndtri

from rlcourse.curves import signed
from rlcourse.widgets import presets
from rlcourse.widgets.panel import COLORS, Panel

LECTURE = "6 DDPG and TD3"
QUESTION = "Does an actor that climbs its critic get to the top?"

ACTIONS = np.linspace(-1, 1, 601)
PEAK, WIDTH, LENGTH = 0.1, 0.03, 0.15
DRAWS, SEED, SHOWN = 200, 0, 1  # draws of the errors, and which of them is in the left picture
STEPS, CHECKPOINTS, LR = 300, 11, 0.0015
TARGETS = ("one critic", "the other critic", "the smaller of two", "smoothed", "both (TD3)")
LINES = ("-", "--", ":", "-.", "-")

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
    rows = np.arange(len(values)).reshape(-1, *[1] * (action.ndim - 1))
    low, high = values[rows, left], values[rows, left + 1]
    return np.asarray(low + (place - left) * (high - low))


def smoothing_noise(scale: float) -> Float[np.ndarray, " n"]:
    """Equally likely values of ε: 24 quantiles of a normal distribution, clipped at 2.5σ."""
    return scale * np.clip(ndtri((np.arange(24) + 0.5) / 24), -2.5, 2.5)


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
            action = np.clip(action + LR * at(slope, action), -1, 1)
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


def draw(figure: Figure, data: Climb) -> None:
    left, middle, right = (
        figure.add_axes(box)
        for box in ((0.05, 0.155, 0.37, 0.74), (0.46, 0.155, 0.14, 0.74), (0.69, 0.155, 0.29, 0.74))
    )
    left.plot(ACTIONS, true_value(ACTIONS), color=COLORS[6], lw=3, alpha=0.6, label="true Q")
    left.plot(ACTIONS, data.critics[0], color=COLORS[0], label="critic 1, climbed")
    if data.noise and data.chosen in (1, 2, 4):
        left.plot(ACTIONS, data.critics[1], color=COLORS[5], linestyle="--", lw=1.5, label="critic 2")
    if data.chosen in (3, 4):
        left.plot(ACTIONS, data.smoothed, color=COLORS[3], linestyle="-.", label="critic 1, smoothed")
    believed = np.interp(data.path, ACTIONS, data.critics[0])
    left.plot(data.path[::10], believed[::10], ".", color=COLORS[1], markersize=6)
    left.plot(data.path[0], believed[0], "o", color=COLORS[1], mfc="white", markersize=9, label="the actor: start")
    left.plot(data.end, believed[-1], "o", color=COLORS[1], markersize=9, label="end")
    shown = np.concatenate([data.critics[0], true_value(ACTIONS)])
    low, high = float(shown.min()), float(shown.max())
    left.set(xlabel="action a", title="the critic and the actor", xlim=(-1, 1), xticks=(-1, -0.5, 0, 0.5, 1))
    left.set_ylim(low - 0.05 * (high - low), high + 0.5 * (high - low))
    left.legend(frameon=False, loc="upper left", fontsize=11, ncols=2, columnspacing=1, handlelength=1.8)

    rows = np.arange(len(TARGETS))
    colors = [COLORS[i] if i == data.chosen else "#bbbbbb" for i in rows]
    middle.barh(rows + 0.25, data.values, height=0.4, color=colors)
    middle.vlines(np.full(rows.size, data.true), rows + 0.01, rows + 0.49, COLORS[6], lw=3)
    middle.set(yticks=[], title=f"its worth, true {data.true:.2f}", ylim=(4.6, -0.6))
    middle.set_xlim(min(0.0, float(data.values.min())), 1.15 * max(data.true, float(data.values.max()), 0.1))
    for row, name in enumerate(TARGETS):
        label = f"{name} {data.values[row]:.2f}"
        middle.text(0.02, row - 0.15, label, transform=middle.get_yaxis_transform(), va="center", fontsize=11)

    right.axhline(0, color="#777777", lw=0.8)
    for i, name in enumerate(TARGETS):
        width = 3.5 if i == data.chosen else 1.5
        label = f"{name} {signed(data.bias[i, -1])}"
        dot = "o" if data.at.size == 1 else ""  # a line of one point shows nothing
        right.plot(data.at, data.bias[i], color=COLORS[i], linestyle=LINES[i], lw=width, marker=dot, label=label)
    low, high = float(data.bias.min()), max(float(data.bias.max()), 0.02)
    right.set(xlabel="steps of the actor", title=f"bias, mean of {DRAWS} draws")
    right.set_ylim(low - 0.07 * (high - low), high + 0.75 * (high - low))
    right.legend(frameon=False, loc="upper left", fontsize=11, handlelength=3)


def describe(data: Climb) -> str:
    values = ", ".join(f"{name} {value:.2f}" for name, value in zip(TARGETS, data.values, strict=True))
    biases = ", ".join(f"{name} {signed(bias)}" for name, bias in zip(TARGETS, data.bias[:, -1], strict=True))
    return (
        f"An actor climbs a critic: noise {data.noise:g}, false peak {data.peak:g}, smoothing {data.smoothing:g}, "
        f"target {data.target}. From {data.start:g} it gets in {len(data.path) - 1} steps to {data.end:.2f}, "
        f"worth {data.true:.2f}. What targets say: {values}. Bias over {DRAWS} draws: {biases}."
    )


@presets.checked
def widget(preset: str = next(iter(PRESETS)), **changes: Any) -> Panel:
    """Choose how wrong the critics are and where the actor starts, and see what targets make of where it ends.

    Args:
        preset: one of `PRESETS`, where the controls start.
        changes: values of controls, by `compute`'s names, that differ from the preset's.

    Raises:
        ValueError: the preset or the name of a control is unknown, or a value is none that it takes.
    """
    values = presets.start(PRESETS, preset, changes)
    wide = {"style": {"description_width": "100px"}, "layout": {"width": "320px"}}
    make = ipywidgets
    controls = {
        "start": make.FloatSlider(value=values["start"], min=-1, max=1, step=0.05, description="start", **wide),
        "steps": make.IntSlider(value=values["steps"], min=0, max=STEPS, step=10, description="steps", **wide),
        "noise": make.FloatSlider(value=values["noise"], min=0, max=1, step=0.05, description="noise", **wide),
        "peak": make.FloatSlider(value=values["peak"], min=0, max=1, step=0.05, description="false peak", **wide),
        "smoothing": make.FloatSlider(
            value=values["smoothing"], min=0, max=0.4, step=0.05, description="smoothing σ", **wide
        ),
        "target": make.Dropdown(options=TARGETS, value=values["target"], description="target", **wide),
    }
    return presets.attach(Panel(compute, draw, describe, controls, size=(13, 4.2)), PRESETS)
