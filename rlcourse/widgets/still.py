"""Pictures on paper: a figure with its alternative text, and scenes drawn with matplotlib instead of in a browser."""

from collections.abc import Callable, Mapping
from textwrap import fill
from typing import Any

import imageio.v3 as imageio
import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Polygon

from rlcourse.widgets import scene as scenes
from rlcourse.widgets.scene import Mark, Scene, View

COLORS = tuple(scenes.COLORS.values())[:7]
STYLE = {
    "axes.prop_cycle": f"cycler('color', {list(COLORS)})",
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 13,
    "figure.constrained_layout.use": False,  # solving the layout would take half of each redraw
    "font.size": 12,
    "lines.linewidth": 2,
}
DPI, CSS_PIXELS = 144, 96  # per inch: drawn half again as fine as shown, to stay sharp when a lecturer zooms in


class Still:
    """A picture with an alternative text, for a notebook's output.

    Args:
        draw: puts the picture on an empty figure.
        alt: what it shows, in words and numbers.
        size: in inches, `(width, height)`.
    """

    def __init__(self, draw: Callable[[Figure], None], alt: str, size: tuple[float, float]) -> None:
        self.alt, self.width, self.figure = alt, round(size[0] * CSS_PIXELS), Figure(figsize=size)
        with rc_context(STYLE):
            draw(self.figure)
            self.figure.set_dpi(DPI)
            canvas = FigureCanvasAgg(self.figure)
            canvas.draw()
        # Nothing shines through: without the fourth channel the files are a tenth smaller, and a lecture has many.
        opaque = np.asarray(canvas.buffer_rgba())[..., :3]
        self.png = imageio.imwrite("<bytes>", opaque, extension=".png")

    def __repr__(self) -> str:
        return self.alt

    def _repr_mimebundle_(self, **_: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        return {"image/png": self.png, "text/plain": self.alt}, {"image/png": {"alt": self.alt, "width": self.width}}


WRAP = 105  # letters of a headline on a line


def on_paper(scene: Scene, alt: str) -> Still:
    """The same scene without a browser: the main view large, the others beside it, the headline above."""

    def draw(figure: Figure) -> None:
        headline = fill(scene.headline, WRAP)
        figure.text(0.01, 0.985, headline, ha="left", va="top", weight="bold", fontsize=14)
        figure.text(0.01, 0.94 - 0.05 * headline.count("\n"), fill(scene.caption, WRAP + 25), ha="left", va="top")
        wide = (0.6 if scene.others else 1.0) / len(scene.main)
        for i, view in enumerate(scene.main):
            draw_view(figure.add_axes((i * wide + 0.05, 0.13, wide - 0.14, 0.68)), view)
        tall = 0.93 / max(1, len(scene.others))
        for i, view in enumerate(reversed(scene.others)):
            draw_view(figure.add_axes((0.66, 0.13 + i * tall, 0.22, tall - 0.25)), view)

    return Still(draw, alt, size=(13, 5.4))


def draw_view(ax: Axes, view: View) -> None:
    """Put the marks of a view on a pair of axes."""
    for name, axis in (("x", view.x), ("y", view.y)):
        if axis.log:
            ax.set(**{f"{name}scale": "log"})
        ax.set(**{f"{name}lim": (axis.low, axis.high)})
        if axis.ticks is not None:
            ax.set(**{f"{name}ticks": list(axis.ticks), f"{name}ticklabels": list(axis.ticks.values())})
            ax.minorticks_off()
    ax.set_xlabel(view.x.label)
    if view.y.label:
        ax.text(0, 1.03, view.y.label, transform=ax.transAxes, color=scenes.LETTERS["grey"])
    ax.set_title(view.title, loc="left", pad=24 if view.y.label else 6, weight="bold")
    if view.equal:
        ax.set_aspect("equal")
    ends = [end for mark in view.marks if (end := DRAW[mark["kind"]](ax, mark))]
    _write_ends(ax, ends)


def _color(name: Any, known: Mapping[str, str] = scenes.COLORS) -> Any:
    return known.get(name, name) if isinstance(name, str) else [known.get(each, each) for each in name]


def _line(ax: Axes, mark: Mark) -> tuple[float, float, Mark]:
    x, y = np.asarray(mark["x"], float), np.asarray(mark["y"], float)
    ax.plot(x, y, color=_color(mark["color"]), linewidth=mark["width"], linestyle="--" if mark["dash"] else "-")
    last = np.flatnonzero(np.isfinite(y))[-1:]
    return float(x[last].sum()), float(y[last].sum()), mark


def _area(ax: Axes, mark: Mark) -> tuple[float, float, Mark]:
    x, low, high = (np.asarray(mark[name], float) for name in ("x", "low", "high"))
    ax.fill_between(x, low, high, color=_color(mark["color"]), alpha=mark["alpha"], linewidth=0)
    return float(x[-1]), float(high[-1] if ax.get_yscale() == "log" else (low[-1] + high[-1]) / 2), mark


def _dots(ax: Axes, mark: Mark) -> tuple[float, float, Mark] | None:
    x, y = np.asarray(mark["x"], float), np.asarray(mark["y"], float)
    if not x.size:
        return None
    color, area = _color(mark["color"]), (2 * 12 * np.asarray(mark["size"])) ** 2  # letters of 12 points
    face = "none" if mark["hollow"] else color
    ax.scatter(
        x, y, area, facecolors=face, edgecolors=color if mark["hollow"] else "none", alpha=mark["alpha"], zorder=3
    )
    return float(x[-1]), float(y[-1]), mark


def _bars(ax: Axes, mark: Mark) -> tuple[float, float, Mark]:
    x, low, high = (np.asarray(mark[name], float) for name in ("x", "low", "high"))
    ax.bar(x, high - low, mark["width"], low, color=_color(mark["color"]), alpha=mark["alpha"])
    return float(x[-1] + mark["width"] / 2), float(low[-1] + high[-1]) / 2, mark


def _patches(ax: Axes, mark: Mark) -> None:
    for corners, color in zip(np.asarray(mark["corners"], float), _color(mark["color"]), strict=True):
        ax.add_patch(Polygon(corners, facecolor=color, edgecolor="#d8d8d8", linewidth=0.5))


def _arrows(ax: Axes, mark: Mark) -> None:
    for x, y, dx, dy in zip(*(np.atleast_1d(mark[name]) for name in ("x", "y", "dx", "dy")), strict=True):
        if dx or dy:
            style = {
                "arrowstyle": "-|>",
                "color": _color(mark["color"]),
                "lw": mark["width"],
                "shrinkA": 0,
                "shrinkB": 0,
            }
            ax.annotate("", (x + dx, y + dy), (x, y), arrowprops=style)


def _text(ax: Axes, mark: Mark) -> None:
    colors = [mark["color"]] * len(mark["words"]) if isinstance(mark["color"], str) else mark["color"]
    side = {"start": "left", "middle": "center", "end": "right"}[mark["anchor"]]
    weight = "bold" if mark["bold"] else "normal"
    for x, y, words, color in zip(mark["x"], mark["y"], mark["words"], colors, strict=True):
        ax.text(
            x,
            y,
            words,
            ha=side,
            va="center",
            color=_color(color, scenes.LETTERS),
            fontsize=12 * mark["size"],
            weight=weight,
        )


def _handle(ax: Axes, mark: Mark) -> None:
    ax.scatter(
        [mark["x"]], [mark["y"]], (2 * 12 * mark["size"]) ** 2, color=_color(mark["color"]), edgecolors="k", zorder=5
    )


DRAW: Mapping[str, Callable[[Axes, Mark], tuple[float, float, Mark] | None]] = {
    "line": _line, "area": _area, "dots": _dots, "bars": _bars, "patches": _patches, "arrows": _arrows, "text": _text,
    "handle": _handle,
}  # fmt: skip


def _write_ends(ax: Axes, ends: list[tuple[float, float, Mark]]) -> None:
    """Each label where its curve ends; those that would lie on each other make way upwards."""
    room = 1.35 * 12 / 72 * ax.figure.dpi / ax.bbox.height  # a line of letters, as a share of the axes
    placed = -np.inf
    to_share = ax.transData + ax.transAxes.inverted()
    for (x, y), mark in sorted(
        ((to_share.transform((x, y)), mark) for x, y, mark in ends if mark["label"]), key=lambda end: float(end[0][1])
    ):
        placed = max(float(np.clip(y, 0, 1)), placed + room)
        color = mark["color"] if isinstance(mark["color"], str) else mark["color"][-1]
        ax.text(
            min(x, 1) + 0.01,
            placed,
            mark["label"],
            transform=ax.transAxes,
            va="center",
            color=_color(color, scenes.LETTERS),
        )
