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

import numpy as np
from jaxtyping import Float

from rlcourse.algorithms.q_iteration import evaluation_sweeps
from rlcourse.envs import TabularMDP
from rlcourse.returns import n_step_targets
from rlcourse.widgets import presets
from rlcourse.widgets.panel import Panel, choice, slider
from rlcourse.widgets.scene import Axis, Scene, View, around, arrows, counted, dots, handle, line, text

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
    returns = mean_targets(episodes, np.zeros(len(states)), LONGEST)  # the same in all sweeps
    for k in range(SWEEPS):
        targets = np.stack([returns, mean_targets(episodes, values[1, k], 1)])
        values[:, k + 1] = values[:, k] + STEP_SIZE * (targets - values[:, k])
    values[:, :, ~visited] = np.nan

    low, high = sorted({reward for _, reward in chosen.kinds})
    chain = most_likely_chain(episodes, len(states), high)
    answers = np.stack([returns, certainty_equivalent(chain, low, high)])
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


def scene(data: Batch) -> Scene:
    parts = [
        f"V({state}) = {number(data.values[0, data.sweep, s])} and {number(data.values[1, data.sweep, s])}"
        for s, state in enumerate(data.states)
        if abs(data.values[0, data.sweep, s] - data.values[1, data.sweep, s]) >= 0.005
    ]
    apart = f"differ: {', '.join(parts)}" if parts else "agree"
    headline = f"After {counted(data.sweep, 'sweep')} over the same episodes Monte Carlo and TD {apart}."
    kinds = EXAMPLES[data.example].kinds
    rows = [
        f"{count} × {' → '.join(names)} → {reward_label(reward)}"
        for count, (names, reward) in zip(data.counts, kinds, strict=True)
        if count
    ]
    return Scene(headline, (chain_view(data), values_view(data)), (), f"The episodes: {';  '.join(rows)}.")


INKS = ("blue", "red", "green")  # of the states


def values_view(data: Batch) -> View:
    """What both methods believe after every sweep."""
    sweeps = np.arange(SWEEPS + 1.0)
    marks = []
    for s, state in enumerate(data.states):
        for method, short in enumerate(("MC", "TD")):
            value = data.values[method, :, s]
            if np.isnan(value).any():
                continue
            marks.append(line(sweeps, value, INKS[s], label=f"{short} V({state})", width=3 - method, dash=method == 1))
    first = next(s for s in range(len(data.states)) if np.isfinite(data.values[0, 0, s]))
    marks.append(handle(float(data.sweep), float(data.values[1, data.sweep, first]), "sweep", along_x="sweep"))
    return View(
        Axis(0, 1.03 * SWEEPS, "sweep"),
        around(data.values, 0.1, label="value"),
        marks,
        "thick: Monte Carlo; dashed: TD",
    )


def chain_view(data: Batch) -> View:
    """The most likely Markov chain, with both methods' values at its states."""
    places = np.array([*EXAMPLES[data.example].places.values(), (1.9, -0.6), (1.9, 0.6)], float)
    size, (x, y) = len(data.states), places.T
    start, end = places[np.argwhere(data.chain > 0)].swapaxes(0, 1)
    step = (end - start) / np.linalg.norm(end - start, axis=1, keepdims=True)
    tail, head = start + 0.24 * step, end - 0.24 * step
    middle = (start + end) / 2
    aside = np.where(end[:, 1] >= start[:, 1], 0.14, -0.14)
    shares = [f"{100 * share:.0f} %" for share in data.chain[data.chain > 0]]
    says = [
        [f"{name} {number(each)}" for each in row]
        for name, row in zip(("MC", "TD"), data.values[:, data.sweep], strict=True)
    ]
    marks = [
        arrows(tail[:, 0], tail[:, 1], head[:, 0] - tail[:, 0], head[:, 1] - tail[:, 1]),
        text(middle[:, 0] - 0.03, middle[:, 1] + aside, shares),
        dots(x[:size], y[:size], INKS[:size], size=1.7, alpha=0.25),
        text(x[:size], y[:size], data.states, bold=True),
        text(x[:size], y[:size] - 0.36, says[0], INKS[:size], bold=True),
        text(x[:size], y[:size] - 0.54, says[1], INKS[:size], bold=True),
        dots(x[size:], y[size:], "grey", size=1.3, alpha=0.3),
        text(x[size:], y[size:], [reward_label(reward) for reward in data.ends], bold=True),
    ]
    title = "the chain that makes these episodes most likely"
    return View(Axis(-0.5, 2.3, ticks={}), Axis(-1.4, 1.2, ticks={}), marks, title)


def reward_label(reward: float) -> str:
    return f"{reward:+g}".replace("-", "−") if reward else "0"


def number(value: float) -> str:
    return "?" if np.isnan(value) else f"{value:z.2f}".replace("-", "−")


def describe(data: Batch) -> str:
    def listed(values: Float[np.ndarray, " S"]) -> str:
        return ", ".join(f"V({state}) = {number(value)}" for state, value in zip(data.states, values, strict=True))

    learned = "; ".join(f"{method}: {listed(data.values[i, data.sweep])}" for i, method in enumerate(METHODS))
    *others, last = map(str, data.counts)
    return (
        f"Example “{data.example}”: {', '.join(others)} and {last} of its four kinds. After "
        f"{counted(data.sweep, 'sweep')} {learned}. Mean returns: {listed(data.answers[0])}. "
        f"Most likely Markov chain: {listed(data.answers[1])}. Mean squared error on the data: Monte Carlo "
        f"{data.squared_error[0]:.3f}, TD {data.squared_error[1]:.3f}."
    )


@presets.offered(PRESETS)
def widget(values: presets.Values) -> Panel:
    """Choose the episodes, sweep over them, and see what Monte Carlo and TD make of the same data."""
    controls: dict[str, Any] = {
        "example": choice(values["example"], list(EXAMPLES), "example"),
        "sweep": slider(values["sweep"], 0, SWEEPS, 1, "sweep"),
    }
    for count in COUNTS:
        controls[count] = slider(values[count], 0, MOST, 1, f"{count} kind")
    return Panel(compute, scene, describe, controls, more=COUNTS, play="sweep")
