"""Grid worlds as marks of a scene: values, Q as four triangles per cell, arrows, shares of time."""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Bool, Float
from matplotlib import colormaps
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from rlcourse.envs import ACTIONS, GridWorld
from rlcourse.widgets.scene import Axis, Mark, View, arrows, line, patches, text
from rlcourse.widgets.still import Still, draw_view

INK, PAPER, WALL = "#000000", "#FFFFFF", "#5A5A5A"
VALUES = colormaps["RdBu"]  # red below 0, white at 0, blue above: the colour-blind tell these apart too
SHARES = colormaps["Blues"]
# Per action (up, right, down, left), as (x, y) in a cell of side 1 around its centre, y running downwards.
CORNERS = 0.5 * np.array([[(-1, -1), (1, -1)], [(1, -1), (1, 1)], [(1, 1), (-1, 1)], [(-1, 1), (-1, -1)]])
DIRECTIONS = np.array([(0, -1), (1, 0), (0, 1), (-1, 0)])
SQUARE = 0.5 * np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)])
LEGIBLE = 5  # columns of a grid in which four numbers fit into a cell; in a wider one a pointer reads them


def panels(world: GridWorld, tables: Mapping[str, np.ndarray], goal: str = "") -> Still:
    """Tables side by side under their names: V `(S,)` as numbers, Q or A `(S, A)` as triangles, π (bool) as arrows.

    A cell is as large as what stands in it needs. `goal` is written on the cells that end, instead of a reward.
    """
    rows, columns = world.shape
    # Inches, all in sixteenths, which are whole pixels: around a grid, for its row and column numbers and its name.
    left, right, below, above = 0.5, 0.25, 0.375, 0.375
    pictures = []
    for title, table in tables.items():
        scale = max(1.0, float(np.abs(table).max()))
        if table.dtype == bool:
            marks, side = [*frame(world, goal), policy(world, table)], 0.4375
        elif table.ndim == 1:
            marks, side = values(world, table, scale), 0.6875
        else:
            marks, side = q_values(world, table, scale), 1.0625 if columns <= LEGIBLE else 0.6875
        pictures.append((view(world, marks, title), side))
    width = sum(left + side * columns + right for _, side in pictures)
    height = below + max(side for _, side in pictures) * rows + above

    def draw(figure: Figure) -> None:
        x = left
        for picture, side in pictures:
            box = x, height - above - side * rows, side * columns, side * rows
            draw_view(figure.add_axes((box[0] / width, box[1] / height, box[2] / width, box[3] / height)), picture)
            x += side * columns + right + left

    inner, _ = inside(world)
    alt = "; ".join(f"{title}: {table[inner].min():.2f} to {table[inner].max():.2f}" for title, table in tables.items())
    return Still(draw, f"Grid world, smallest to largest entry. {alt}.", size=(width, height))


def view(world: GridWorld, marks: Sequence[Mark], title: str, touch: bool = False, below: float = 0) -> View:
    """The map under the marks; x is the column, y the row, downwards. `below` it there may be room, in cells."""
    height, width = world.shape
    columns, rows = ({float(i): str(i) for i in range(size)} for size in (width, height))
    return View(
        Axis(-0.52, width - 0.48, ticks={} if below else columns),
        Axis(height - 0.48 + below, -0.52, ticks=rows),
        marks,
        title,
        True,
        touch,
    )


def q_values(world: GridWorld, q: Float[np.ndarray, "S A"], scale: float) -> list[Mark]:
    """Q as four triangles per cell, coloured from −scale to scale, with an arrow for every greedy action."""
    inner, centres = inside(world)
    colors = diverging(q[inner], scale).reshape(-1, 4)
    apex = np.broadcast_to(centres[:, None, None], (len(centres), 4, 1, 2))
    triangles = np.concatenate([centres[:, None, None] + CORNERS, apex], axis=2).reshape(-1, 3, 2)
    numbers = [f"{value:z.2f}" for value in q[inner].ravel()]  # z: no −0.00
    names = [
        f"row {y:.0f}, column {x:.0f}, {action}: {number}"
        for (x, y), row in zip(centres, np.reshape(numbers, (-1, 4)), strict=True)
        for action, number in zip(ACTIONS, row, strict=True)
    ]
    marks = [patches(triangles, [to_hex(color) for color in colors], names), *frame(world)]
    if world.shape[1] <= LEGIBLE:
        places = centres[:, None] + 0.31 * DIRECTIONS
        places[world.entry_reward.ravel()[inner] != 0, 0, 1] += 0.09  # below what is paid for entering
        x, y = places.reshape(-1, 2).T
        marks.append(text(x, y, numbers, [legible(color) for color in colors], size=0.85))
        return [*marks, policy(world, greedy_actions(q), length=0.13)]  # not into the numbers
    return [*marks, policy(world, greedy_actions(q))]


def values(world: GridWorld, table: Float[np.ndarray, " S"], scale: float) -> list[Mark]:
    """One number per cell, coloured from −scale to scale."""
    inner, _ = inside(world)
    return cells(world, diverging(table[inner], scale), [f"{value:z.2f}" for value in table[inner]])


def shares(world: GridWorld, visits: Float[np.ndarray, " S"]) -> list[Mark]:
    """Shares of time in per cent; the colour's depth is their square root, so that rare visits show."""
    inner, _ = inside(world)
    depth = np.sqrt(visits[inner] / visits[inner].max())
    return cells(world, SHARES(0.9 * depth), [f"{100 * share:.0f}" for share in visits[inner]])


def policy(world: GridWorld, chosen: Float[np.ndarray, "S A"] | Bool[np.ndarray, "S A"], length: float = 0.2) -> Mark:
    """An arrow from a cell's centre for every action that the policy takes there."""
    inner, centres = inside(world)
    places, actions = np.nonzero(chosen[inner])
    (x, y), (dx, dy) = centres[places].T, length * DIRECTIONS[actions].T
    return arrows(x, y, dx, dy, INK, width=2.5)


def frame(world: GridWorld, goal: str = "") -> list[Mark]:
    """Walls, and the rewards for entering cells; `goal` is what stands there instead on the cells that end."""
    walls = np.argwhere(world.walls)[:, ::-1]
    marks = [patches(walls[:, None] + SQUARE, [WALL] * len(walls))]
    ends = np.argwhere(world.ends)
    rewards = world.entry_reward[world.ends]
    faces = VALUES(np.where(rewards > 0, 0.9, 0.1))
    marks.append(patches(ends[:, None, ::-1] + 0.88 * SQUARE, [to_hex(face) for face in faces]))
    x, y = np.append(0.88 * SQUARE, 0.88 * SQUARE[:1], axis=0).T
    marks += [line(column + x, row + y, INK, width=2.5) for row, column in ends]
    words = [goal or f"{reward:+g}" for reward in rewards]
    marks.append(text(ends[:, 1], ends[:, 0], words, [legible(face) for face in faces], bold=True))
    paying = np.argwhere((world.entry_reward != 0) & ~world.ends)
    words = [f"enter: {world.entry_reward[row, column]:+g}" for row, column in paying]
    marks.append(patches(paying[:, None, ::-1] + (0.9, 0.19) * SQUARE + (0, -0.38), [PAPER] * len(paying)))
    marks.append(text(paying[:, 1], paying[:, 0] - 0.38, words, INK, size=0.95, bold=True))
    return marks


def cells(world: GridWorld, colors: Float[np.ndarray, "cells 4"], words: Sequence[str]) -> list[Mark]:
    """Every cell in its colour with its words."""
    _, centres = inside(world)
    painted = patches(centres[:, None] + SQUARE, [to_hex(color) for color in colors], words)
    x, y = centres.T
    return [painted, *frame(world), text(x, y, words, [legible(color) for color in colors])]


def inside(world: GridWorld) -> tuple[Bool[np.ndarray, " S"], Float[np.ndarray, "cells 2"]]:
    """Which states are cells one can be in, and their centres as (x, y)."""
    open_cells = ~(world.walls | world.ends)
    return open_cells.ravel(), np.argwhere(open_cells)[:, ::-1].astype(float)


def legible(face: Float[np.ndarray, "4"]) -> str:
    """Ink or paper, whichever stands out more from this colour."""
    return INK if luminance(face[:3]) > 0.179 else PAPER


def luminance(rgb: Float[np.ndarray, "3"]) -> float:
    """Relative luminance as WCAG 2.2 defines it, in [0, 1]."""
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    return float(linear @ (0.2126, 0.7152, 0.0722))


def diverging(values: np.ndarray, scale: float) -> np.ndarray:
    """Colours of values, white at 0; the palest and the darkest tenth of the map are left out."""
    return VALUES((0.5 + 0.4 * values / scale).clip(0, 1))


def greedy_actions(q: Float[np.ndarray, "S A"]) -> Bool[np.ndarray, "S A"]:
    """Every action within rounding of the best, but none where all are alike: nothing is known there yet."""
    best = q >= q.max(-1, keepdims=True) - 1e-9
    return best & ~best.all(-1, keepdims=True)
