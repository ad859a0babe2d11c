r"""A walk that failed, and what hindsight makes of it: other goals, other rewards, and transitions that pay 0.

The walks are through `envs.WallMaze`, `STEPS` steps each, in directions that mostly stay the same: none reaches the
goal, so every one of their transitions pays −1. The memory holds `EPISODES` of them. Each transition of the chosen one
is shown once as it was and k times with another goal, which `her.goal_index` draws and the maze itself rewards.

**Expected transitions that pay 0.** A transition pays 0 under a goal that is the cell it led to. With n(t) the cells
that the strategy may draw for step t, and m(t) those of them that are this cell, the mean over draws is k Σ m(t)/n(t).
Were all cells of a walk different, it would be k for final and for episode, k(1 + 1/2 + … + 1/T) for future, and
k / `EPISODES` for random; a walk that comes back to a cell, or stands at a wall, has more.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, get_args

import numpy as np
import torch
from jaxtyping import Float, Int

from rlcourse.algorithms import her
from rlcourse.envs import WallMaze
from rlcourse.widgets import grid, presets
from rlcourse.widgets.panel import KEYS, Panel, choice, nearest, slider, step
from rlcourse.widgets.scene import Axis, Scene, View, arrows, bars, counted, dots, highlight, line, patches, text, up_to

LECTURE = "8 Hindsight experience replay"
QUESTION = "What can be learned from a walk that failed?"

STRATEGIES: tuple[her.Strategy, ...] = get_args(her.Strategy)
STEPS, EPISODES, MOST, SEED = 24, 8, 8, 24

_FUTURE = {"strategy": "future", "k": 4, "episode": 1, "step": 9, "draw": 0}
PRESETS: dict[str, dict[str, Any]] = {
    "future: goals that lie ahead": _FUTURE,
    "k = 0: nothing but failure": _FUTURE | {"k": 0},
    "final: one goal for the whole walk": _FUTURE | {"strategy": "final", "k": 1},
    "episode: goals that may lie behind": _FUTURE | {"strategy": "episode"},
    "random: goals of other walks": _FUTURE | {"strategy": "random"},
    "future, the last step: its own cell": _FUTURE | {"step": STEPS},
}


@dataclass(frozen=True)
class Hindsight:
    """One walk and its relabelled copies.

    Attributes:
        step: the one whose goals are shown, counted from 1.
        cells: (row, column) at the start and after each step.
        goals: cells, for each copy and step.
        rewards: of the walk as it was, then of each copy.
        expected: transitions that pay 0 among the copies, on average over draws, for each of `STRATEGIES`.
    """

    strategy: her.Strategy
    k: int
    step: int
    cells: Int[np.ndarray, "places 2"]
    goals: Int[np.ndarray, "copies T 2"]
    rewards: Float[np.ndarray, "rows T"]
    expected: Float[np.ndarray, " strategies"]

    @property
    def signals(self) -> int:
        """Transitions that pay 0."""
        return int((self.rewards == 0).sum())


@cache
def walks() -> Int[np.ndarray, "E places 2"]:
    """The cells of all walks; each step goes on in the last one's direction with probability 0.7."""
    maze, rng = WallMaze(), np.random.default_rng(SEED)
    cells = np.empty((EPISODES, STEPS + 1, 2), int)
    for walk in cells:
        maze.reset()
        walk[0], action = maze._cell, 1
        for t in range(STEPS):
            action = action if rng.random() < 0.7 else int(rng.integers(4))
            maze.step(action)
            walk[t + 1] = maze._cell
    return cells


def compute(strategy: her.Strategy, k: int, episode: int, step: int, draw: int) -> Hindsight:
    """Relabel walk number `episode`; walks and steps are counted from 1, and `draw` seeds the choice of goals."""
    maze, cells = WallMaze(), walks()
    achieved = cells[:, 1:].reshape(-1, 2)  # of every step in the memory
    first = (episode - 1) * STEPS
    index = torch.arange(first, first + STEPS)
    ends = torch.full_like(index, first), torch.full_like(index, first + STEPS - 1)

    def sources(strategy: her.Strategy, uniform: np.ndarray) -> np.ndarray:
        return her.goal_index(strategy, index, *ends, len(achieved), torch.as_tensor(uniform)).numpy()

    uniform = np.random.default_rng(draw).random((MOST, STEPS))[:k]
    goals = achieved[np.stack([sources(strategy, row) for row in uniform])] if k else np.empty((0, STEPS, 2), int)
    desired = np.broadcast_to(maze._goal, (1, STEPS, 2))
    here = np.broadcast_to(achieved[index], (k + 1, STEPS, 2))
    rewards = maze.compute_reward(maze.scaled(here), maze.scaled(np.concatenate([desired, goals])), {})

    same = (achieved[index][:, None] == achieved).all(-1)
    steps, expected = np.arange(len(achieved)), []
    for each in STRATEGIES:
        low, high = (sources(each, np.full(STEPS, end))[:, None] for end in (0.0, np.nextafter(1.0, 0.0)))
        drawn = (low <= steps) & (steps <= high)
        expected.append(k * ((same & drawn).sum(1) / drawn.sum(1)).sum())
    return Hindsight(strategy, k, step, cells[episode - 1], goals, rewards, np.array(expected))


def scene(data: Hindsight) -> Scene:
    own = int((data.rewards[0] == 0).sum())
    many = f"With {counted(data.k, 'new goal')} for each step, {data.signals} of {data.rewards.size} transitions pay 0"
    headline = f"{many}, the others −1; as the walk was, {own} of {STEPS} pay 0."
    return Scene(headline, (walked(data), rows(data)), (averages(data),))


def walked(data: Hindsight) -> View:
    """The walk up to its end, the chosen step, and where that step's new goals lie."""
    x, y = trail(data.cells)
    t = data.step
    spots, counts = np.unique(data.goals[:, t - 1], axis=0, return_counts=True)
    reached, walls = (spots == data.cells[t]).all(1), WallMaze.GRID.walls
    marks = [
        *grid.frame(WallMaze.GRID, "G"),
        line(x, y, "grey", width=1.5),
        dots(x[1:], y[1:], "grey", size=0.2, names=[f"step {i + 1}" for i in range(STEPS)]),
        arrows(x[t - 1 : t], y[t - 1 : t], x[t : t + 1] - x[t - 1 : t], y[t : t + 1] - y[t - 1 : t], "blue", width=4),
    ]
    for pays, color, what in ((True, "green", "reached"), (False, "red", "not reached")):
        of = reached == pays
        names = [f"{what} by step {t}" for _ in spots[of]]
        marks.append(dots(spots[of, 1], spots[of, 0], color, size=0.9, hollow=True, names=names))
        several = of & (counts > 1)
        words = [f"×{count}" for count in counts[several]]
        row, column = spots[several].T  # beside the ring, where neither the walk nor a wall is
        aside = (
            column + np.where(walls[row, column - 1], 0.4, -0.4),
            row + np.where(walls[row - 1, column], 0.52, -0.52),
        )
        marks.append(text(*aside, words, color, bold=True))
    return grid.view(WallMaze.GRID, marks, f"step {t} of a walk that failed to reach G, and its new goals", touch=True)


def trail(cells: Int[np.ndarray, "places 2"]) -> tuple[Float[np.ndarray, " places"], Float[np.ndarray, " places"]]:
    """Where the walk is drawn: slightly apart, so that a way back does not hide the way there."""
    x, y = (cells[:, ::-1] + np.linspace(-0.16, 0.16, len(cells))[:, None]).T
    return x, y


def rows(data: Hindsight) -> View:
    """The walk as it was and its copies, a square for each step: green pays."""
    pays = data.rewards == 0
    copies, steps = np.nonzero(np.ones_like(pays))
    square = np.array([(-0.45, -0.4), (0.45, -0.4), (0.45, 0.4), (-0.45, 0.4)])
    corners = np.stack([steps + 1, copies], 1)[:, None] + square
    names = [
        f"step {step + 1}, {'as it was' if not copy else f'copy {copy}'}"
        for copy, step in zip(copies, steps, strict=True)
    ]
    colors = ["green" if paid else "faint" for paid in pays.ravel()]
    labels = {0.0: "as it was"} | {float(i): f"copy {i}" for i in range(1, data.k + 1)}
    here = [data.step - 0.5, data.step + 0.5, data.step + 0.5, data.step - 0.5, data.step - 0.5]
    marks = [
        patches(corners, colors, names),
        line(here, [-0.5, -0.5, data.k + 0.5, data.k + 0.5, -0.5], "blue", width=3),
    ]
    across = Axis(0.3, STEPS + 0.7, "step", ticks={1.0: "1", 8.0: "8", 16.0: "16", 24.0: "24"})
    return View(
        across, Axis(MOST + 0.6, -0.6, ticks=labels), marks, "which transitions pay 0 (green)", touch=True, name="rows"
    )


def averages(data: Hindsight) -> View:
    """How many copies pay on average over draws, for each strategy."""
    places = np.arange(len(STRATEGIES), dtype=float)
    colors = highlight(len(STRATEGIES), STRATEGIES.index(data.strategy), "green")
    marks = [
        bars(places, 0 * places, data.expected, colors, width=0.6),
        text(places, data.expected + 0.4, [f"{value:.1f}" for value in data.expected]),
    ]
    ticks = dict(zip(places.tolist(), STRATEGIES, strict=True))
    up = up_to(data.expected, 1.5, label="transitions", room=0.3)
    return View(Axis(-0.6, len(STRATEGIES) - 0.4, ticks=ticks), up, marks, "copies that pay 0, on average over draws")


def describe(data: Hindsight) -> str:
    copies = f"{data.k} copies" if data.k != 1 else "1 copy"
    goals = ", ".join(f"({row}, {column})" for row, column in data.goals[:, data.step - 1]) or "none"
    row, column = data.cells[data.step]
    average = ", ".join(f"{name} {value:.1f}" for name, value in zip(STRATEGIES, data.expected, strict=True))
    return (
        f"A walk of {STEPS} steps that does not reach its goal, with {copies} of each step, strategy {data.strategy}. "
        f"{data.signals} of {data.rewards.size} transitions pay 0, of the walk as it was "
        f"{int((data.rewards[0] == 0).sum())}. Step {data.step} leads to ({row}, {column}); its new goals: {goals}."
        f" Transitions that pay 0, on average over draws: {average}."
    )


@presets.offered(PRESETS)
def widget(values: presets.Values) -> Panel:
    """Choose where new goals come from and how many, and see which transitions pay."""
    controls = {
        "strategy": choice(values["strategy"], STRATEGIES, "strategy"),
        "k": slider(values["k"], 0, MOST, 1, "copies k"),
        "step": slider(values["step"], 1, STEPS, 1, "step"),
        "episode": slider(values["episode"], 1, EPISODES, 1, "walk"),
        "draw": slider(values["draw"], 0, 20, 1, "draw"),
    }

    def point(moved: Mapping[str, Any]) -> None:
        """A press or a drag chooses the step that is nearest; arrow keys go one on or back."""
        if "key" in moved:
            right, up = KEYS[moved["key"]]
            controls["step"].value = step(controls["step"], right or up)
        elif moved["view"] == "rows":
            controls["step"].value = nearest(controls["step"], moved["x"])
        else:
            x, y = trail(walks()[controls["episode"].value - 1])
            controls["step"].value = 1 + int(np.hypot(x[1:] - moved["x"], y[1:] - moved["y"]).argmin())

    return Panel(compute, scene, describe, controls, more=("episode", "draw"), play="step", on_touch=point)
