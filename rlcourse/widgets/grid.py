"""Grid worlds on a matplotlib axes: values, Q as four triangles per cell, arrows, shares of time."""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Bool, Float
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.collections import PatchCollection, PolyCollection
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from rlcourse.envs import GridWorld
from rlcourse.widgets.panel import Still

INK, PAPER, WALL = "#000000", "#FFFFFF", "#5A5A5A"
VALUES = colormaps["RdBu"]  # red below 0, white at 0, blue above: the colour-blind tell these apart too
SHARES = colormaps["Blues"]
# Per action (up, right, down, left), as (x, y) in a cell of side 1 around its centre, y running downwards.
CORNERS = 0.5 * np.array([[(-1, -1), (1, -1)], [(1, -1), (1, 1)], [(1, 1), (-1, 1)], [(-1, 1), (-1, -1)]])
DIRECTIONS = np.array([(0, -1), (1, 0), (0, 1), (-1, 0)])


def panels(world: GridWorld, tables: Mapping[str, np.ndarray]) -> Still:
    """Tables side by side under their names: V `(S,)` as numbers, Q or A `(S, A)` as triangles, π (bool) as arrows."""

    def draw(figure: Figure) -> None:
        axes = np.atleast_1d(figure.subplots(1, len(tables)))
        figure.subplots_adjust(0.03, 0.06, 0.99, 0.9, wspace=0.08)
        for ax, (title, table) in zip(axes, tables.items(), strict=True):
            scale = max(1.0, float(np.abs(table).max()))
            if table.dtype == bool:
                frame(ax, world)
                draw_policy(ax, world, table)
            elif table.ndim == 1:
                draw_values(ax, world, table, scale)
            else:
                draw_q(ax, world, table, scale)
            ax.set_title(title)

    inner, _ = inside(world)
    width = 12 / max(2, len(tables))
    alt = "; ".join(f"{title}: {table[inner].min():.2f} to {table[inner].max():.2f}" for title, table in tables.items())
    return Still(
        draw, f"Grid world, smallest to largest entry. {alt}.", (12, 0.3 + width * world.shape[0] / world.shape[1])
    )


def draw_q(ax: Axes, world: GridWorld, q: Float[np.ndarray, "S A"], scale: float) -> None:
    """Q as four triangles per cell, coloured from −scale to scale, with an arrow for every greedy action."""
    frame(ax, world)
    inner, centres = inside(world)
    colors = diverging(q[inner], scale).reshape(-1, 4)
    apex = np.broadcast_to(centres[:, None, None], (len(centres), 4, 1, 2))
    triangles = np.concatenate([centres[:, None, None] + CORNERS, apex], axis=2).reshape(-1, 3, 2)
    ax.add_collection(PolyCollection(list(triangles), facecolors=colors, edgecolors="#999999", linewidths=0.5))
    places = (centres[:, None] + 0.33 * DIRECTIONS).reshape(-1, 2)
    inches = cell_inches(ax, world)
    texts = [f"{value:z.2f}" for value in q[inner].ravel()]  # z: no −0.00
    if inches < 1.1:  # four numbers must fit: no leading zeros
        texts = [text.replace("0.", ".") for text in texts]
    write(ax, places, texts, colors, float(np.clip(9 * inches, 7, 11)))
    draw_policy(ax, world, greedy_actions(q))


def draw_values(ax: Axes, world: GridWorld, values: Float[np.ndarray, " S"], scale: float) -> None:
    """One number per cell, coloured from −scale to scale."""
    inner, _ = inside(world)
    paint(ax, world, diverging(values[inner], scale), [f"{value:z.2f}" for value in values[inner]])


def draw_shares(ax: Axes, world: GridWorld, shares: Float[np.ndarray, " S"]) -> None:
    """Shares of time in per cent; the colour's depth is their square root, so that rare visits show."""
    inner, _ = inside(world)
    depth = np.sqrt(shares[inner] / shares[inner].max())
    paint(ax, world, SHARES(0.9 * depth), [f"{100 * share:.0f}" for share in shares[inner]])


def draw_policy(ax: Axes, world: GridWorld, policy: Float[np.ndarray, "S A"] | Bool[np.ndarray, "S A"]) -> None:
    """An arrow from a cell's centre for every action that the policy takes there."""
    inner, centres = inside(world)
    cells, actions = np.nonzero(policy[inner])
    ax.quiver(
        *centres[cells].T,
        *(0.18 * DIRECTIONS[actions]).T,
        units="xy",
        angles="xy",
        scale_units="xy",
        scale=1,
        width=0.05,
        headwidth=4,
        color=INK,
        zorder=4,
    )


def frame(ax: Axes, world: GridWorld) -> None:
    """Walls, and the rewards for entering cells; x is the column, y the row, downwards."""
    height, width = world.shape
    ax.set(
        xlim=(-0.52, width - 0.48),
        ylim=(height - 0.48, -0.52),
        aspect="equal",
        xticks=range(width),
        yticks=range(height),
    )
    ax.tick_params(length=0, labelsize=11)
    ax.spines[:].set_visible(False)
    for edges, line in ((np.arange(height + 1), ax.hlines), (np.arange(width + 1), ax.vlines)):
        line(edges - 0.5, -0.5, (width if line == ax.hlines else height) - 0.5, color="#999999", linewidth=0.5)
    walls = [Rectangle((column - 0.5, row - 0.5), 1, 1) for row, column in np.argwhere(world.walls)]
    ax.add_collection(PatchCollection(walls, facecolor=WALL, edgecolor=WALL))
    size = float(np.clip(18 * cell_inches(ax, world), 11, 12))
    for row, column in np.argwhere(world.ends):
        reward = world.entry_reward[row, column]
        face = VALUES(0.9 if reward > 0 else 0.1)
        ax.add_patch(Rectangle((column - 0.44, row - 0.44), 0.88, 0.88, facecolor=face, edgecolor=INK, linewidth=2.5))
        ax.text(
            column,
            row,
            f"{reward:+g}",
            ha="center",
            va="center",
            color=legible(np.array(face)),
            weight="bold",
            fontsize=size,
        )
    for row, column in np.argwhere((world.entry_reward != 0) & ~world.ends):
        label = f"{world.entry_reward[row, column]:+g}"
        box = {"facecolor": PAPER, "edgecolor": INK, "boxstyle": "round,pad=0.1", "linewidth": 0.8}
        ax.text(
            column - 0.47,
            row - 0.39,
            label,
            ha="left",
            va="center",
            color=INK,
            fontsize=11,
            weight="bold",
            bbox=box,
            zorder=5,
        )


def cell_inches(ax: Axes, world: GridWorld) -> float:
    """The side of a cell as drawn."""
    return float(min(ax.bbox.width / world.shape[1], ax.bbox.height / world.shape[0]) / ax.figure.dpi)


def inside(world: GridWorld) -> tuple[Bool[np.ndarray, " S"], Float[np.ndarray, "cells 2"]]:
    """Which states are cells one can be in, and their centres as (x, y)."""
    open_cells = ~(world.walls | world.ends)
    return open_cells.ravel(), np.argwhere(open_cells)[:, ::-1].astype(float)


def paint(ax: Axes, world: GridWorld, colors: Float[np.ndarray, "cells 4"], texts: Sequence[str]) -> None:
    """Every cell in its colour with its text."""
    frame(ax, world)
    _, centres = inside(world)
    cells = [Rectangle((x - 0.5, y - 0.5), 1, 1) for x, y in centres]
    ax.add_collection(PatchCollection(cells, facecolors=colors, edgecolors="#999999", linewidths=0.5))
    write(ax, centres, texts, colors, 11)


def write(
    ax: Axes, places: Float[np.ndarray, "n 2"], texts: Sequence[str], faces: Float[np.ndarray, "n 4"], size: float
) -> None:
    """Each text at its place, dark on light faces and light on dark ones."""
    for (x, y), text, face in zip(places, texts, faces, strict=True):
        ax.text(x, y, text, ha="center", va="center", fontsize=size, color=legible(face))


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
