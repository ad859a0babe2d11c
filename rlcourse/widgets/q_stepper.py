"""Q-iteration, sweep by sweep, on a grid world that can be edited while one watches."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import ipywidgets
import numpy as np
import traitlets
from jaxtyping import Float

from rlcourse.algorithms.q_iteration import q_iteration
from rlcourse.envs import ACTIONS, GRIDS, GridWorld
from rlcourse.widgets import grid, presets
from rlcourse.widgets.panel import KEYS, Panel, choice, player, slider
from rlcourse.widgets.scene import Axis, Scene, View, counted, handle, line

LECTURE = "1 Tabular Q-iteration"
QUESTION = "How does a reward travel through a world?"

SWEEPS = 50
Cell = tuple[int, int]  # row, column

_SMALL = {"world": GRIDS["small"], "gamma": 0.9, "slip": 0.2, "sweep": SWEEPS, "cell": (2, 0)}
PRESETS: dict[str, dict[str, Any]] = {
    "three sweeps: the start knows nothing yet": _SMALL | {"sweep": 3},
    "settled: the long way round, far from the pit": _SMALL | {"cell": (2, 1)},
    "γ = 0.5: the short way, past the pit": _SMALL | {"gamma": 0.5, "cell": (2, 1)},
    "more slippery: beside the pit, into the wall": _SMALL | {"slip": 0.4, "cell": (1, 2)},
    "a cell that pays 0.5: better than the goal": _SMALL
    | {"world": GRIDS["small"].with_reward(0, 1, 0.5), "slip": 0.0, "cell": (0, 1)},
    "a slippery cliff: away from the edge": _SMALL | {"world": GRIDS["cliff"], "cell": (2, 3)},
}


@dataclass(frozen=True)
class Sweep:
    """Q after `sweep` sweeps, Q before the last of them, and the Bellman residual of every sweep up to `SWEEPS`."""

    world: GridWorld
    gamma: float
    sweep: int
    cell: Cell
    q: Float[np.ndarray, "S A"]
    previous: Float[np.ndarray, "S A"]
    residuals: Float[np.ndarray, " sweeps"]

    @property
    def state(self) -> int:
        return self.cell[0] * self.world.shape[1] + self.cell[1]

    @property
    def best(self) -> int:
        """The chosen cell's greedy action."""
        return int(self.q[self.state].argmax())


def compute(world: GridWorld, gamma: float, slip: float, sweep: int, cell: Cell) -> Sweep:
    world = replace(world, slip=slip)
    history = np.stack(list(islice(q_iteration(world.mdp(), gamma), SWEEPS + 2)))
    residuals = np.abs(np.diff(history, axis=0)).max((1, 2))
    return Sweep(world, gamma, sweep, cell, history[sweep], history[max(sweep - 1, 0)], residuals)


def scene(data: Sweep) -> Scene:
    scale = max(1.0, float(np.abs(data.q).max()))
    row, column = data.cell
    x, y = 0.47 * np.array([(-1, 1, 1, -1, -1), (-1, -1, 1, 1, -1)])
    chosen = line(column + x, row + y, "#E69F00", width=4)
    knows = float((data.q[grid.inside(data.world)[0]] != 0).any(1).mean())
    headline = f"After {counted(data.sweep, 'sweep')} {100 * knows:.0f} % of the cells know of a reward."
    marks = [*grid.q_values(data.world, data.q, scale), chosen]
    world = grid.view(data.world, marks, f"Q after {counted(data.sweep, 'sweep')}, arrows: greedy actions", touch=True)

    sweeps = np.arange(len(data.residuals))
    # Below rounding a residual is noise; a floor keeps exact zeros on the logarithmic axis.
    shown = np.maximum(data.residuals, 1e-12)
    residuals = View(
        Axis(0, SWEEPS + 0.5, "sweep k"),
        Axis(1e-12, 10, "largest |Q after one more sweep − Q|", log=True),
        [
            line(
                sweeps, np.maximum(shown[0] * data.gamma**sweeps, 1e-12), "grey", label=f"γ = {data.gamma:g}", dash=True
            ),
            line(sweeps, shown, "blue", label="residual"),
            handle(float(data.sweep), float(shown[data.sweep]), "sweep", along_x="sweep"),
        ],
        "Bellman residual",
    )
    return Scene(headline, (world,), (residuals,), last_backup(data))


def last_backup(data: Sweep) -> str:
    """The chosen cell's last backup, with its numbers."""
    if not grid.inside(data.world)[0][data.state]:
        return f"cell {data.cell}: the episode ends here, or it is a wall; nothing to look ahead to"
    if data.sweep == 0:
        return f"cell {data.cell}: before the first sweep every Q is 0"
    mdp, action = data.world.mdp(), data.best
    entry = data.state, action
    parts = []
    for p, r, end, following in zip(
        *(a[entry] for a in (mdp.probability, mdp.reward, mdp.terminated, mdp.next_state)), strict=True
    ):
        ahead = "" if end else f" + {data.gamma:g}·{data.previous[following].max():.2f}"
        parts.append(f"{p:g}·({r:.2f}{ahead})")
    return f"cell {data.cell}, {ACTIONS[action]}:  {' + '.join(parts)} = {data.q[entry]:.3f}"


def describe(data: Sweep) -> str:
    values = ", ".join(f"{name} {value:.2f}" for name, value in zip(ACTIONS, data.q[data.state], strict=True))
    return (
        f"Q-iteration on a grid of {data.world.shape[0]} by {data.world.shape[1]} cells after "
        f"{counted(data.sweep, 'sweep')}, discount {data.gamma:g}, slip {data.world.slip:g}. Largest Q "
        f"{data.q.max():.3f}, Bellman residual {data.residuals[data.sweep]:.1e}. In cell {data.cell}: {values}."
    )


class _World(traitlets.HasTraits):
    """A control without a face: what the presets, the list of worlds and the editors change."""

    value = traitlets.Instance(GridWorld)


def name_of(world: GridWorld) -> str | None:
    """Its name among `envs.GRIDS`; an edited one has none."""
    return next((name for name, known in GRIDS.items() if known == world), None)


def cells(world: GridWorld) -> list[tuple[str, Cell]]:
    return [(f"row {row}, column {column}", (row, column)) for row, column in np.ndindex(world.shape)]


def first_free(world: GridWorld) -> Cell:
    """The start, or else the first cell one can be in: something to look at."""
    row, column = (
        np.argwhere(world.cells == "S")[0] if "S" in world.text else np.argwhere(~(world.walls | world.ends))[0]
    )
    return int(row), int(column)


@presets.offered(PRESETS)
def widget(values: presets.Values) -> Panel:
    """Choose a world, γ and slip; drag or play the sweeps; click a cell to look at it and to edit it.

    Everything is reachable by keyboard; on the picture the arrow keys move the chosen cell.
    """
    current, loaded, building = _World(value=values["world"]), values["world"], True
    world = choice(name_of(current.value), list(GRIDS), "world")
    discount = slider(values["gamma"], 0.0, 0.99, 0.01, "γ")
    slips = slider(values["slip"], 0.0, 0.8, 0.05, "slip")
    sweeps = slider(values["sweep"], 0, SWEEPS, 1, "sweep")
    cell = choice(values["cell"], cells(current.value), "cell")
    reward = slider(0.0, -2.0, 2.0, 0.1, "reward")
    wall = ipywidgets.Checkbox(description="wall", indent=False, layout={"width": "70px"})
    reset = ipywidgets.Button(description="Reset world", layout={"width": "110px"})

    def follow(change: Any) -> None:
        """Name the new world and list its cells: before the panel computes, so that the chosen cell is one of them."""
        nonlocal loaded
        loaded = change.new
        world.value = name_of(change.new)
        if change.new.shape != change.old.shape:
            cell.options, cell.value = cells(change.new), first_free(change.new)

    current.observe(follow, "value")
    panel = Panel(
        compute,
        scene,
        describe,
        {"world": current, "gamma": discount, "slip": slips, "sweep": sweeps, "cell": cell},
        rows=[[world, sweeps, player(sweeps)], [discount, slips, cell, reward, wall, reset]],
        on_touch=lambda moved: point(moved),
    )

    def load(_: Any) -> None:
        if world.value is not None and GRIDS[world.value] != current.value:
            with panel.one_redraw():
                current.value = GRIDS[world.value]

    def restore(_: Any) -> None:
        current.value = loaded

    def edit(fresh: GridWorld) -> None:
        """Change the world, but not what the button goes back to."""
        nonlocal loaded
        before = loaded
        current.value = fresh
        loaded = before

    def show(_: Any = None) -> None:
        """Let the editors say what the chosen cell is."""
        reward.value, wall.value = float(current.value.entry_reward[cell.value]), bool(current.value.walls[cell.value])
        reward.disabled = wall.value

    # What `show` writes into the editors already is so in the world: only a person's change gets past the ifs.
    def build(_: Any) -> None:
        if wall.value != current.value.walls[cell.value]:
            try:
                edit(current.value.with_cell(*cell.value, "#" if wall.value else "."))
            except ValueError as error:
                panel.say(str(error))
                show()

    def pay(_: Any) -> None:
        if reward.value != current.value.entry_reward[cell.value]:
            edit(current.value.with_reward(*cell.value, reward.value))

    def point(moved: Mapping[str, Any]) -> None:
        """An arrow key or a press chooses a cell; dragging on builds walls, or takes them away if it began on one."""
        nonlocal building
        height, width = current.value.shape
        if "key" in moved:
            right, up = KEYS[moved["key"]]
            row, column = cell.value[0] - up, cell.value[1] + right
        else:
            row, column = round(moved["y"]), round(moved["x"])
        if not (0 <= row < height and 0 <= column < width):
            return
        if moved.get("kind") == "press":
            building = not current.value.walls[row, column]
        if (row, column) == cell.value:
            return
        cell.value = row, column
        if moved.get("kind") == "drag":
            wall.value = building

    world.observe(load, "value")
    current.observe(show, "value")
    cell.observe(show, "value")
    wall.observe(build, "value")
    reward.observe(pay, "value")
    reset.on_click(restore)
    show()
    return panel
