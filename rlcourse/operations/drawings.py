"""Concept drawings: boxes and arrows, stored in a lecture's text cell as an attachment, so that a copy carries them.

JupyterLab shows no `<svg>` that stands in a text cell, and no attachment that is one, so they are PNG; the alternative
text stands in the cell. After a change here: `python -m rlcourse.operations.drawings notebooks`.
"""

import base64
import io
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import nbformat
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from rlcourse.widgets.scene import LETTERS
from rlcourse.widgets.still import COLORS

WORLD, LEARNS, FIXED = COLORS[2], COLORS[0], LETTERS["grey"]
Point = tuple[float, float]


def _page(width: float, height: float) -> tuple[Figure, Axes]:
    """A page measured in inches."""
    figure = Figure(figsize=(width, height), dpi=110, facecolor="white")
    ax = figure.add_axes((0, 0, 1, 1))
    ax.set(xlim=(0, width), ylim=(0, height))
    ax.set_axis_off()
    return figure, ax


def _box(ax: Axes, center: Point, size: Point, text: str, color: str) -> None:
    (x, y), (w, h) = center, size
    style = "round,pad=0,rounding_size=0.08"
    ax.add_patch(FancyBboxPatch((x - w / 2, y - h / 2), w, h, style, facecolor="white", edgecolor=color, linewidth=2))
    ax.text(x, y, text, ha="center", va="center", fontsize=11)


def _arrow(ax: Axes, start: Point, end: Point, text: str = "", at: Point = (0, 0.14), color: str = "black") -> None:
    """An arrow with its words `at` a distance from its middle; grey and dashed where nothing learns through it."""
    line = {"arrowstyle": "-|>", "color": color, "linewidth": 1.6, "linestyle": "--" if color == FIXED else "-"}
    ax.annotate("", end, start, arrowprops=line)
    middle = (start[0] + end[0]) / 2 + at[0], (start[1] + end[1]) / 2 + at[1]
    ax.text(*middle, text, ha="center", va="center", fontsize=10, color=color)


def agent_and_world() -> Figure:
    figure, ax = _page(7.4, 2.3)
    _box(ax, (1.3, 1.3), (1.8, 0.9), "agent\npolicy π", LEARNS)
    _box(ax, (6.1, 1.3), (1.8, 0.9), "world\nstate $s_t$", WORLD)
    _arrow(ax, (2.3, 1.55), (5.1, 1.55), "action $a_t$")
    _arrow(ax, (5.1, 1.05), (2.3, 1.05), "reward $r_t$, observation $o_{t+1}$", (0, -0.18))
    ax.text(3.7, 0.28, r"trajectory τ:   $o_0, a_0, r_0,\; o_1, a_1, r_1,\; o_2, \ldots$", ha="center", fontsize=11)
    return figure


def actor_critic() -> Figure:
    figure, ax = _page(8.6, 3.5)
    _box(ax, (0.8, 1.75), (1.0, 0.6), "state $s$", WORLD)
    _box(ax, (3.0, 2.7), (1.7, 0.8), "actor\n$π_θ(a | s)$", LEARNS)
    _box(ax, (3.0, 0.8), (1.7, 0.8), "critic\n$V_φ(s)$", LEARNS)
    _box(ax, (5.9, 2.7), (1.4, 0.8), "world", WORLD)
    _box(ax, (5.9, 0.8), (2.2, 0.8), "target\n$y = r + γ V_φ(s')$", FIXED)
    _arrow(ax, (1.3, 1.95), (2.1, 2.6))
    _arrow(ax, (1.3, 1.55), (2.1, 0.9))
    _arrow(ax, (3.85, 2.7), (5.2, 2.7), "action $a$")
    _arrow(ax, (5.9, 2.3), (5.9, 1.2), "reward $r$, next state $s'$", (1.15, 0))
    _arrow(ax, (4.8, 0.8), (3.85, 0.8), "fit $V$ to $y$", (0, 0.16), FIXED)
    _arrow(ax, (4.8, 1.1), (3.6, 2.3), "advantage\n$y - V_φ(s)$", (-0.62, -0.1), FIXED)
    ax.text(8.5, 0.12, "dashed: numbers, no gradient flows back", ha="right", fontsize=10, color=FIXED)
    return figure


def generations() -> Figure:
    figure, ax = _page(9.0, 3.6)
    columns = (1.45, 4.5, 7.55)
    heads = ("learning encoder\n$f_{t+1}, g_{t+1}$", "fixed encoder\n$f_t, g_t$", "target encoder\n$f_{t-1}, g_{t-1}$")
    for x, head, color in zip(columns, heads, (LEARNS, FIXED, FIXED), strict=True):
        _box(ax, (x, 2.75), (1.9, 0.8), head, color)
    for left, right in ((0, 1), (1, 2)):
        _arrow(ax, (columns[left] + 0.95, 2.75), (columns[right] - 0.95, 2.75), "copy", color=FIXED)
    _box(ax, (columns[0], 0.95), (1.9, 0.8), "prediction of\nthe next $z^{s'}$", LEARNS)
    _box(ax, (columns[1], 0.95), (1.9, 0.8), "actor, critics\n$π_{t+1}, Q_{t+1}$", LEARNS)
    _box(ax, (columns[2], 0.95), (1.9, 0.8), "their targets\n$π_t, Q_t$", FIXED)
    _arrow(ax, (columns[0], 2.35), (columns[0], 1.35), "$z^{sa}$", (0.25, 0))
    for x in columns[1:]:
        _arrow(ax, (x, 2.35), (x, 1.35), "embeddings", (0.55, 0))
    _arrow(ax, (columns[1] + 0.95, 1.1), (columns[2] - 0.95, 1.1), "copy", color=FIXED)
    _arrow(ax, (columns[2] - 0.95, 0.8), (columns[1] + 0.95, 0.8), "target $y$", (0, -0.17))
    ax.text(4.5, 3.4, "every copy (250 updates) moves each generation one place to the right", ha="center", fontsize=10)
    ax.text(8.9, 0.12, "blue: learns   grey: stands still between copies", ha="right", fontsize=10)
    return figure


def replay_and_target() -> Figure:
    figure, ax = _page(9.4, 4.5)
    _box(ax, (1.0, 3.75), (1.3, 0.8), "world", WORLD)
    _box(ax, (3.7, 3.75), (1.9, 0.8), "replay buffer\nold … new", FIXED)
    _box(ax, (6.3, 3.75), (1.3, 0.8), "network\n$Q$", LEARNS)
    _box(ax, (8.5, 3.75), (1.4, 0.8), "target\nnetwork $Q'$", FIXED)
    _arrow(ax, (1.65, 3.75), (2.75, 3.75), "$s, a, r, s'$")
    _arrow(ax, (4.65, 3.75), (5.65, 3.75), "batch")
    _arrow(ax, (6.95, 3.95), (7.8, 3.95), "copy", color=FIXED)
    _arrow(ax, (7.8, 3.55), (6.95, 3.55), "targets", (0, -0.16))
    around = {"arrowstyle": "-|>", "color": "black", "linewidth": 1.6, "connectionstyle": "arc3,rad=-0.2"}
    ax.annotate("", (1.0, 3.35), (6.3, 3.35), arrowprops=around)
    ax.text(3.65, 2.55, "actions, ε-greedy", ha="center", fontsize=10)
    updates = np.linspace(0, 1, 201)
    learned = 0.55 + 1.3 * updates**0.6
    copied = learned[(updates * 4.999).astype(int) * 40]
    ax.plot(1.0 + 5.4 * updates, learned, color=LEARNS, linewidth=2)
    ax.plot(1.0 + 5.4 * updates, copied, color=FIXED, linewidth=2, linestyle="--")
    ax.text(6.55, learned[-1], "$Q$: a small step in every update", va="center", fontsize=10, color=LEARNS)
    ax.text(6.55, copied[-1] - 0.15, "$Q'$: stands still, then copies", va="center", fontsize=10, color=FIXED)
    _arrow(ax, (1.0, 0.4), (6.4, 0.4), "updates", (0, -0.18))
    return figure


def six_networks() -> Figure:
    figure, ax = _page(9.4, 4.3)
    names = {1.3: ("actor μ", "target\nactor μ′"), 5.2: ("critic $Q_1$", "target\ncritic $Q_1'$")}
    names[8.2] = ("critic $Q_2$", "target\ncritic $Q_2'$")
    for x, (learning, target) in names.items():
        _box(ax, (x, 3.7), (1.5, 0.7), learning, LEARNS)
        _box(ax, (x, 1.0), (1.5, 0.7), target, FIXED)
    for x in (0.8, 4.7, 8.7):
        _arrow(ax, (x, 3.35), (x, 1.35), color=FIXED)
    ax.text(0.95, 2.35, "moves slowly,\nevery second update", va="center", fontsize=10, color=FIXED)
    _box(ax, (6.7, 2.35), (2.0, 0.6), "target $y$: takes\nthe smaller value", FIXED)
    for x, low, high in ((5.6, 6.2, 6.2), (7.8, 7.2, 7.2)):
        _arrow(ax, (x, 1.35), (low, 2.05))
        _arrow(ax, (high, 2.65), (x, 3.35))
    _arrow(ax, (4.45, 3.7), (2.05, 3.7), "slope $∇_a Q_1$")
    _arrow(ax, (2.05, 1.0), (4.45, 1.0), "$a' = μ'(s') + $ noise, for both")
    ax.text(9.3, 0.15, "blue: learns   grey: targets", ha="right", fontsize=10)
    return figure


def who_drives() -> Figure:
    figure, ax = _page(9.4, 3.6)
    left, right = 2.3, 9.2
    # From where on the clone drives, as shares of the time; where labels come from.
    ways: dict[str, tuple[list[Point], list[Point]]] = {
        "behaviour cloning": ([], [(0, 1)]),
        "DAgger": ([(0.25, 1)], [(0, 1)]),
        "the expert takes over": ([(0.25, 0.48), (0.58, 0.8), (0.9, 1)], [(0, 0.25), (0.48, 0.58), (0.8, 0.9)]),
    }
    thick: dict[str, Any] = {"linewidth": 12, "solid_capstyle": "butt"}
    for height, (name, (clone, labels)) in zip((2.65, 1.75, 0.85), ways.items(), strict=True):
        ax.text(left - 0.15, height, name, ha="right", va="center", fontsize=11)
        ax.plot((left, right), (height, height), color=FIXED, **thick)
        for start, end in clone:
            ax.plot(left + (right - left) * np.array((start, end)), (height, height), color=LEARNS, **thick)
        for start, end in labels:
            place = left + (right - left) * np.arange(start + 0.01, end, 0.02)
            ax.plot(place, np.full(place.size, height + 0.27), "|", color="black", markersize=8)
    _arrow(ax, (left, 0.42), (right, 0.42), "steps", (0, -0.18))
    ax.text(left, 3.3, "grey: the expert drives", fontsize=10, color=FIXED)
    ax.text(4.7, 3.3, "blue: the clone drives", fontsize=10, color=LEARNS)
    ax.text(right, 3.3, "each stroke: a label", ha="right", fontsize=10)
    return figure


DRAWINGS: Mapping[str, Callable[[], Figure]] = MappingProxyType(
    {
        "agent-and-world.png": agent_and_world,
        "actor-critic.png": actor_critic,
        "generations.png": generations,
        "replay-and-target.png": replay_and_target,
        "six-networks.png": six_networks,
        "who-drives.png": who_drives,
    }
)


def png(figure: Figure) -> bytes:
    stream = io.BytesIO()
    figure.savefig(stream, format="png", metadata={"Software": None})
    return stream.getvalue()


def embed(path: Path) -> None:
    """Draw anew what the lecture's text cells attach."""
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        for name in DRAWINGS:
            if f"(attachment:{name})" in cell.source:
                cell.attachments = {name: {"image/png": base64.b64encode(png(DRAWINGS[name]())).decode()}}
    nbformat.write(notebook, path)


if __name__ == "__main__":
    for lecture in sorted(Path(sys.argv[1]).glob("[0-9]*.ipynb")):
        embed(lecture)
