r"""One batch of episodes, read again and again: why Monte Carlo and TD give different answers to the same data.

All values start at 0 and are learned from a few given episodes, with γ = 1. A sweep moves every value by the fraction
`STEP_SIZE` towards the mean target of its visits, computed with the values of the sweep before.

- **Monte Carlo**: the targets are the returns, and the values become their means. No other values have a smaller
  squared error *on these episodes*.
- **TD**: the targets are r + V(s'). The values become those of the Markov chain that makes the episodes most likely,
  whose transition probabilities are the observed shares: the *certainty-equivalent* answer (Sutton & Barto 2018, §6.3).

**Eight episodes** (Sutton & Barto 2018, example 6.4): once A, then B, without any reward; six times B with reward 1;
once B with reward 0. By hand: B was visited 8 times and 6 were followed by a 1, so both say V(B) = 6/8. A was visited
once, with return 0: Monte Carlo says V(A) = 0. But A was always followed by B, with reward 0: TD says V(A) = 0 + V(B) =
6/8.

**Two trajectories**: one goes from "left" through "middle" to a reward of +1, the other from "right" through "middle"
to −1. By hand: both say V(middle) = (1 − 1)/2 = 0. Monte Carlo says V(left) = 1 and V(right) = −1, TD says V(left) =
V(right) = 0 + V(middle) = 0.

If the next step depends on nothing but the state, what came after B, or after the middle, in *another* episode tells
about A, or left and right. TD uses that and Monte Carlo does not; if the state leaves out something that matters, TD is
wrong to use it.
"""

from dataclasses import dataclass
from itertools import islice
from typing import Any

import ipywidgets
import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rlcourse.algorithms.q_iteration import evaluation_sweeps
from rlcourse.envs import TabularMDP
from rlcourse.returns import n_step_targets
from rlcourse.widgets import presets
from rlcourse.widgets.panel import COLORS, Panel

LECTURE = "4 Actor-critic"
QUESTION = "Same data, two answers: what do Monte Carlo and TD believe?"

STEP_SIZE, SWEEPS, MOST = 0.2, 60, 10
METHODS = ("Monte Carlo", "TD")
LONGEST = 2  # steps of an episode: targets of so many are returns


@dataclass(frozen=True)
class Example:
    """Four kinds of episodes: the names of their states, and the reward that comes with the last step."""

    places: dict[str, tuple[float, float]]  # of each state on the picture
    kinds: tuple[tuple[tuple[str, ...], float], ...]


EXAMPLES = {
    "eight episodes": Example(
        {"A": (0, 0), "B": (1, 0)},
        ((("A", "B"), 0.0), (("B",), 1.0), (("B",), 0.0), (("A", "B"), 1.0)),
    ),
    "two trajectories": Example(
        {"left": (0, 0.7), "middle": (1, 0), "right": (0, -0.7)},
        (
            (("left", "middle"), 1.0),
            (("right", "middle"), -1.0),
            (("left", "middle"), -1.0),
            (("right", "middle"), 1.0),
        ),
    ),
}
COUNTS = ("first", "second", "third", "fourth")

_EIGHT = {"example": "eight episodes", "first": 1, "second": 6, "third": 1, "fourth": 0, "sweep": SWEEPS}
_TWO = {"example": "two trajectories", "first": 1, "second": 1, "third": 0, "fourth": 0, "sweep": SWEEPS}
PRESETS: dict[str, dict[str, Any]] = {
    "eight episodes: two answers for A": _EIGHT,
    "eight episodes, three sweeps: TD learns B first, then A": _EIGHT | {"sweep": 3},
    "two trajectories: two answers for left and right": _TWO,
    "four trajectories: one answer": _TWO | {"third": 1, "fourth": 1},
}


@dataclass(frozen=True)
class Batch:
    """Values of every state after every sweep.

    Attributes:
        values: after 0, 1, …, `SWEEPS` sweeps, Monte Carlo and TD; not a number for states that no episode visits.
        answers: mean returns, and the values of the most likely Markov chain, computed without sweeps.
        squared_error: of both answers on the episodes' returns, mean over all visits.
        chain: the most likely Markov chain; its last two successors are the ends with the lower and the higher reward.
    """

    example: str
    counts: tuple[int, ...]
    sweep: int
    values: Float[np.ndarray, "2 sweeps S"]
    answers: Float[np.ndarray, "2 S"]
    squared_error: Float[np.ndarray, "2"]
    chain: Float[np.ndarray, "S S+2"]

    @property
    def states(self) -> list[str]:
        return list(EXAMPLES[self.example].places)

    @property
    def ends(self) -> tuple[float, float]:
        """The two rewards that an episode may end with."""
        low, high = sorted({reward for _, reward in EXAMPLES[self.example].kinds})
        return low, high


def compute(example: str, first: int, second: int, third: int, fourth: int, sweep: int) -> Batch:
    """Learn from so many episodes of each of the example's four kinds.

    Raises:
        ValueError: there are no episodes.
    """
    counts = (first, second, third, fourth)
    if not any(counts):
        raise ValueError("no episodes: nothing can be learned; set one of the counts above 0")
    chosen = EXAMPLES[example]
    states = list(chosen.places)
    episodes = [
        (count, np.array([states.index(name) for name in names]), reward)
        for count, (names, reward) in zip(counts, chosen.kinds, strict=True)
        if count
    ]
    visited = np.isin(np.arange(len(states)), np.concatenate([path for _, path, _ in episodes]))
    values = np.zeros((2, SWEEPS + 1, len(states)))
    for method, n in enumerate((LONGEST, 1)):
        for k in range(SWEEPS):
            old = values[method, k]
            values[method, k + 1] = old + STEP_SIZE * (mean_targets(episodes, old, n) - old)
    values[:, :, ~visited] = np.nan

    low, high = sorted({reward for _, reward in chosen.kinds})
    chain = most_likely_chain(episodes, len(states), high)
    answers = np.stack([mean_targets(episodes, np.zeros(len(states)), LONGEST), certainty_equivalent(chain, low, high)])
    # Without rewards on the way, the return from every step of an episode is its last reward.
    squares = sum(count * ((answers[:, path] - reward) ** 2).sum(1) for count, path, reward in episodes)
    squared_error = squares / sum(count * len(path) for count, path, _ in episodes)
    answers[:, ~visited] = np.nan
    return Batch(example, counts, sweep, values, answers, squared_error, chain)


def mean_targets(
    episodes: list[tuple[int, np.ndarray, float]], values: Float[np.ndarray, " S"], n: int
) -> Float[np.ndarray, " S"]:
    """The mean n-step target of all visits to each state; its value where there are none."""
    total, visits = np.zeros(len(values)), np.zeros(len(values))
    for count, path, last_reward in episodes:
        ends = np.arange(len(path)) == len(path) - 1
        next_value = np.append(values[path[1:]], 0.0)
        targets = n_step_targets(last_reward * ends, next_value, ends, np.zeros_like(ends), 1.0, n)
        total[path] += count * targets  # no episode visits a state twice
        visits[path] += count
    return np.where(visits > 0, total / np.maximum(visits, 1), values)


def most_likely_chain(
    episodes: list[tuple[int, np.ndarray, float]], size: int, high: float
) -> Float[np.ndarray, "S S+2"]:
    """The observed shares of what follows each state: another state, the end with the lower reward, the higher."""
    seen = np.zeros((size, size + 2))
    for count, path, last_reward in episodes:
        seen[path, np.append(path[1:], size + (last_reward == high))] += count
    return seen / np.maximum(seen.sum(1, keepdims=True), 1)


def certainty_equivalent(chain: Float[np.ndarray, "S S+2"], low: float, high: float) -> Float[np.ndarray, " S"]:
    """The chain's own values; exact, because no episode has more steps than there are states to sweep over."""
    size = len(chain)
    successors = np.arange(size + 2)
    over = successors >= size
    reward = np.where(over, np.where(successors == size, low, high), 0.0)
    # What was never visited goes nowhere: its row must be a distribution too.
    rows = np.where(chain.sum(1, keepdims=True) > 0, chain, over / 2)
    shape = (size, 1, size + 2)
    model = TabularMDP(
        np.broadcast_to(np.where(over, 0, successors), shape),
        rows[:, None],
        np.broadcast_to(reward, shape),
        np.broadcast_to(over, shape),
        np.full(size, 1 / size),
    )
    sweeps = evaluation_sweeps(model, np.ones((size, 1)), gamma=1.0)
    return next(islice(sweeps, size, None))


def draw(figure: Figure, data: Batch) -> None:
    draw_episodes(figure.add_axes((0.01, 0.06, 0.19, 0.84)), data)
    draw_chain(figure.add_axes((0.2, 0.06, 0.33, 0.84)), data)
    ax = figure.add_axes((0.57, 0.155, 0.23, 0.74))
    sweeps = np.arange(SWEEPS + 1)
    for method, style in enumerate(("-", "--")):
        for s, state in enumerate(data.states):
            value = data.values[method, :, s]
            label = f"{('MC', 'TD')[method]}: V({state}) = {number(value[data.sweep])}"
            ax.plot(sweeps, value, style, color=COLORS[s], lw=3 - method, label=label)
            ax.plot(data.sweep, value[data.sweep], "so"[method], color=COLORS[s], markersize=8, clip_on=False)
    ax.set(xlabel="sweep", title=f"values after {data.sweep} sweeps", xlim=(0, SWEEPS))
    ax.legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5), fontsize=11)


def draw_episodes(ax: Axes, data: Batch) -> None:
    ax.set_axis_off()
    ax.set_title("the data")
    lines = [
        f"{count} × {' → '.join(names)} → {reward_label(reward)}"
        for count, (names, reward) in zip(data.counts, EXAMPLES[data.example].kinds, strict=True)
    ]
    for i, (line, count) in enumerate(zip(lines, data.counts, strict=True)):
        ax.text(0.03, 0.8 - 0.2 * i, line, color=COLORS[6] if count else "#707070", transform=ax.transAxes)


def draw_chain(ax: Axes, data: Batch) -> None:
    """The most likely Markov chain, with both methods' final answers at its states."""
    places = [*EXAMPLES[data.example].places.values(), (1.9, -0.6), (1.9, 0.6)]
    size = len(data.states)
    ax.set(xlim=(-0.35, 2.2), ylim=(-1.25, 1.25), title="the chain it makes most likely")
    ax.set_axis_off()
    for s, t in np.argwhere(data.chain > 0):
        (x, y), (x2, y2) = places[s], places[t]
        ax.annotate("", (x2, y2), (x, y), arrowprops={"arrowstyle": "-|>", "lw": 2, "shrinkA": 24, "shrinkB": 24})
        share = f"{100 * data.chain[s, t]:.0f} %"
        ax.text((x + x2) / 2 - 0.03, (y + y2) / 2 + (0.17 if y2 >= y else -0.17), share, ha="center", va="center")
    for s, state in enumerate(data.states):
        x, y = places[s]
        ax.plot(x, y, "o", markersize=46, color=COLORS[s], markeredgewidth=3, markerfacecolor="#FFFFFF")
        ax.text(x, y, state, ha="center", va="center")
    for t, reward in enumerate(data.ends):
        x, y = places[size + t]
        ax.plot(x, y, "s", markersize=30, color="#DDDDDD")
        ax.text(x, y, reward_label(reward), ha="center", va="center")


def reward_label(reward: float) -> str:
    return f"{reward:+g}".replace("-", "−") if reward else "0"


def number(value: float) -> str:
    return "?" if np.isnan(value) else f"{value:z.2f}".replace("-", "−")


def describe(data: Batch) -> str:
    def listed(values: Float[np.ndarray, " S"]) -> str:
        return ", ".join(f"V({state}) = {number(value)}" for state, value in zip(data.states, values, strict=True))

    learned = "; ".join(f"{method}: {listed(data.values[i, data.sweep])}" for i, method in enumerate(METHODS))
    return (
        f"{data.example.capitalize()}, {', '.join(map(str, data.counts))} of the four kinds. After {data.sweep} sweeps "
        f"{learned}. Mean returns: {listed(data.answers[0])}. Most likely Markov chain: {listed(data.answers[1])}. "
        f"Mean squared error on the data: Monte Carlo {data.squared_error[0]:.3f}, TD {data.squared_error[1]:.3f}."
    )


@presets.checked
def widget(preset: str = next(iter(PRESETS)), **changes: Any) -> Panel:
    """Choose the episodes, sweep over them, and see what Monte Carlo and TD make of the same data.

    Args:
        preset: one of `PRESETS`, where the controls start.
        changes: values of controls, by `compute`'s names, that differ from the preset's.

    Raises:
        ValueError: the preset or the name of a control is unknown, or a value is none that it takes.
    """
    values = presets.start(PRESETS, preset, changes)
    wide = {"style": {"description_width": "90px"}, "layout": {"width": "300px"}}
    make = ipywidgets
    controls: dict[str, Any] = {
        "example": make.Dropdown(options=list(EXAMPLES), value=values["example"], description="example", **wide)
    }
    for count in COUNTS:
        controls[count] = make.IntSlider(value=values[count], min=0, max=MOST, description=f"{count} kind", **wide)
    controls["sweep"] = make.IntSlider(value=values["sweep"], min=0, max=SWEEPS, description="sweep", **wide)
    play = make.Play(value=values["sweep"], min=0, max=SWEEPS, interval=400)
    make.link((play, "value"), (controls["sweep"], "value"))
    rows = [[controls["example"], controls["sweep"], play], [controls[count] for count in COUNTS]]
    return presets.attach(Panel(compute, draw, describe, controls, size=(13, 4), rows=rows), PRESETS)
