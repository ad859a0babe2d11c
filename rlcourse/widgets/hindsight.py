r"""A walk that failed, and what hindsight makes of it: other goals, other rewards, and transitions that pay 0.

The walks are through `envs.WallMaze`, `STEPS` steps each, in directions that mostly stay the same: none reaches the
goal, so every one of their transitions pays −1. The memory holds `EPISODES` of them. Each transition of the chosen one
is shown once as it was and k times with another goal, which `her.goal_index` draws and the maze itself rewards.

**Expected transitions that pay 0.** A transition pays 0 under a goal that is the cell it led to. With n(t) the cells
that the strategy may draw for step t, and m(t) those of them that are this cell, the mean over draws is k Σ m(t)/n(t).
Were all cells of a walk different, it would be k for final and for episode, k(1 + 1/2 + … + 1/T) for future, and
k / `EPISODES` for random; a walk that comes back to a cell, or stands at a wall, has more.
"""

from dataclasses import dataclass
from functools import cache
from typing import Any, get_args

import ipywidgets
import numpy as np
import torch
from jaxtyping import Float, Int
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from rlcourse.algorithms import her
from rlcourse.envs import WallMaze
from rlcourse.widgets import presets
from rlcourse.widgets.grid import frame
from rlcourse.widgets.oldpanel import Panel
from rlcourse.widgets.still import COLORS

LECTURE = "8 Hindsight experience replay"
QUESTION = "What can be learned from a walk that failed?"

STRATEGIES: tuple[her.Strategy, ...] = get_args(her.Strategy)
STEPS, EPISODES, MOST, SEED = 24, 8, 8, 24

_FUTURE = {"strategy": "future", "k": 4, "episode": 1, "step": 9, "draw": 0}
PRESETS: dict[str, dict[str, Any]] = {
    "k = 0: nothing but failure": _FUTURE | {"k": 0},
    "final: one goal for the whole walk": _FUTURE | {"strategy": "final", "k": 1},
    "future: goals that lie ahead": _FUTURE,
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


def draw(figure: Figure, data: Hindsight) -> None:
    left = figure.add_axes((0.02, 0.06, 0.37, 0.84))
    middle = figure.add_axes((0.46, 0.17, 0.26, 0.71))
    right = figure.add_axes((0.82, 0.17, 0.16, 0.71))

    frame(left, WallMaze.GRID)
    goal = np.argwhere(WallMaze.GRID.ends)[0][::-1]
    left.add_patch(Rectangle(goal - 0.5, 1, 1, facecolor=COLORS[4]))
    left.texts[0].set(text="goal", color="black", fontsize=11)  # instead of the grid's own reward
    # Slightly apart, so that a way back does not hide the way there.
    aside = np.linspace(-0.16, 0.16, STEPS + 1)[:, None]
    x, y = (data.cells[:, ::-1] + aside).T
    left.plot(x, y, color="#777777", lw=1.5)
    t = data.step
    left.annotate(
        "",
        (x[t], y[t]),
        (x[t - 1], y[t - 1]),
        arrowprops={"arrowstyle": "-|>", "color": COLORS[0], "lw": 3, "mutation_scale": 18},
    )
    spots, counts = np.unique(data.goals[:, t - 1], axis=0, return_counts=True)
    reached = (spots == data.cells[t]).all(1)
    for spot, count, pays in zip(spots, counts, reached, strict=True):
        color = COLORS[2] if pays else COLORS[1]
        left.plot(*spot[::-1], "o", markersize=20, markerfacecolor="none", markeredgecolor=color, markeredgewidth=3)
        if count > 1:
            left.text(spot[1], spot[0], f"×{count}", ha="center", va="center", fontsize=12, color=color, weight="bold")
    left.set_title(f"step {t} of a failed walk, and its new goals")

    middle.imshow(
        data.rewards == 0,
        aspect="auto",
        cmap=ListedColormap(["#dddddd", COLORS[2]]),
        vmin=0,
        vmax=1,
        extent=(0.5, STEPS + 0.5, data.k + 0.5, -0.5),
    )
    for row in range(data.k):
        middle.axhline(row + 0.5, color="white", lw=2)
    middle.plot(t, -0.5, "v", color=COLORS[0], markersize=10, clip_on=False)
    middle.set_yticks(range(data.k + 1), ["as it was", *(f"copy {i}" for i in range(1, data.k + 1))])
    middle.set(xlabel="step", xticks=(1, 8, 16, 24))
    middle.set_title(f"pay 0 (green): {data.signals} of {data.rewards.size}", pad=12)
    middle.spines[:].set_visible(False)

    bars = right.barh(STRATEGIES, data.expected, color=["#bbbbbb"] * len(STRATEGIES))
    bars[STRATEGIES.index(data.strategy)].set_color(COLORS[2])
    right.bar_label(bars, [f"{value:.1f}" for value in data.expected], padding=3)
    right.invert_yaxis()
    right.set(title="pay 0, on average", xlabel="transitions", xlim=(0, 1.3 * max(1, float(data.expected.max()))))


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


@presets.checked
def widget(preset: str = next(iter(PRESETS)), **changes: Any) -> Panel:
    """Choose where new goals come from and how many, and see which transitions pay.

    Args:
        preset: one of `PRESETS`, where the controls start.
        changes: values of controls, by `compute`'s names, that differ from the preset's.

    Raises:
        ValueError: the preset or the name of a control is unknown, or a value is none that it takes.
    """
    values = presets.start(PRESETS, preset, changes)
    wide = {"style": {"description_width": "90px"}, "layout": {"width": "310px"}}
    make = ipywidgets
    controls = {
        "strategy": make.Dropdown(options=STRATEGIES, value=values["strategy"], description="strategy", **wide),
        "k": make.IntSlider(value=values["k"], min=0, max=MOST, description="copies k", **wide),
        "episode": make.IntSlider(value=values["episode"], min=1, max=EPISODES, description="walk", **wide),
        "step": make.IntSlider(value=values["step"], min=1, max=STEPS, description="step", **wide),
        "draw": make.IntSlider(value=values["draw"], min=0, max=20, description="draw", **wide),
    }
    return presets.attach(Panel(compute, draw, describe, controls, size=(13, 4.1)), PRESETS)
