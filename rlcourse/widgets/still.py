"""Pictures on paper: a figure with its alternative text, and scenes drawn with matplotlib instead of in a browser."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
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

# In the order in which matplotlib takes them, where curves have no names for colours.
COLORS = tuple(scenes.COLORS[name] for name in ("blue", "red", "green", "purple", "orange", "sky", "ink"))
LETTER, SMALL = 12, 11  # points; smaller ones the last row cannot read
STYLE = {
    "axes.prop_cycle": f"cycler('color', {list(COLORS)})",
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 13,
    "figure.constrained_layout.use": False,  # solving the layout would take half of each redraw
    "font.size": LETTER,
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
SIZE = 13, 5.4  # inches


def on_paper(scene: Scene, alt: str) -> Still:
    """The same scene without a browser: the headline, and below it what is seen at first sight.

    Beside a single main view there is room for the others; two or more take the whole width.
    """

    def draw(figure: Figure) -> None:
        headline, caption = fill(scene.headline, WRAP), fill(scene.caption, WRAP + 25)
        figure.text(0.01, 0.985, headline, ha="left", va="top", weight="bold", fontsize=14)
        below = 0.985 - (0.055 * (headline.count("\n") + 1) if headline else 0)
        figure.text(0.01, below, caption, ha="left", va="top")
        top = below - (0.05 * (caption.count("\n") + 1) if caption else 0)
        beside = scene.others if len(scene.main) == 1 else ()
        wide = (0.6 if beside else 1.0) / len(scene.main)
        for i, view in enumerate(scene.main):
            _place(figure, view, (i * wide, 0.0, wide, top))
        tall = top / max(1, len(beside))
        for i, view in enumerate(reversed(beside)):
            _place(figure, view, (0.61, i * tall, 0.39, tall))

    return Still(draw, alt, SIZE)


def _place(figure: Figure, view: View, box: tuple[float, float, float, float]) -> None:
    """Draw a view into a box `(left, bottom, width, height)`, in shares of the figure, with its words around it."""
    left, bottom, width, height = box
    labels = max(
        (len(mark["label"]) for mark in view.marks if mark.get("label") and mark["kind"] != "handle"), default=0
    )
    right = min(0.0075 * labels + 0.02, 0.4 * width)
    title = fill(view.title, int((width - 0.06) * SIZE[0] / 0.108))  # a bold letter is about a ninth of an inch wide
    across = fill(view.x.label, int((width - 0.06) * SIZE[0] / 0.095))
    lines = (title.count("\n") + 1 if title else 0, across.count("\n") + 1 if across else 0)
    above = 0.02 + 0.045 * lines[0] + 0.055 * bool(view.y.label)
    below = 0.02 + (0.05 if view.x.ticks != {} else 0) + 0.045 * lines[1] + 0.02 * bool(_below(view))
    numbers = 0.05 + 0.008 * max(0, max(map(len, (view.y.ticks or {}).values()), default=0) - 4)
    area = (left + numbers, bottom + below, width - numbers - right, height - below - above)
    draw_view(figure.add_axes(area), replace(view, title=title, x=replace(view.x, label=across)))


def _below(view: View) -> float:
    """The radius, in letters, of a handle that stands on the lower edge and hangs over it; 0 without one."""
    edge = view.y.low + 0.02 * (view.y.high - view.y.low)
    held = [mark for mark in view.marks if mark["kind"] == "handle" and not view.y.log]
    return max((mark["size"] for mark in held if mark["y"] <= edge), default=0.0)


def draw_view(ax: Axes, view: View) -> None:
    """Put the marks of a view on a pair of axes."""
    for name, axis in (("x", view.x), ("y", view.y)):
        if axis.log:
            ax.set(**{f"{name}scale": "log"})
        ax.set(**{f"{name}lim": (axis.low, axis.high)})
        if axis.ticks is not None:
            ax.set(**{f"{name}ticks": list(axis.ticks), f"{name}ticklabels": list(axis.ticks.values())})
            ax.minorticks_off()
            ax.spines["bottom" if name == "x" else "left"].set_visible(bool(axis.ticks))
    ax.set_xlabel(view.x.label)
    if disc := _below(view):
        ax.tick_params(axis="x", pad=LETTER * disc)
    if view.y.label:
        ax.text(0, 1.03, view.y.label, transform=ax.transAxes, color=scenes.LETTERS["grey"])
    ax.set_title(view.title, loc="left", pad=24 if view.y.label else 6, weight="bold")
    if view.equal:
        ax.set_aspect("equal")
    ends = []
    for number, mark in enumerate(view.marks):
        there = set(ax.get_children())
        if end := DRAW[mark["kind"]](ax, mark):
            ends.append(end)
        for artist in set(ax.get_children()) - there:
            artist.set_zorder(2.1 + number / 100)  # in the scene's order; matplotlib has lines above patches
    _make_room_for_ticks(ax)
    _write_ends(ax, ends, view)


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
    color, area = _color(mark["color"]), (2 * LETTER * np.asarray(mark["size"])) ** 2
    face = "none" if mark["hollow"] else color
    ax.scatter(x, y, area, facecolors=face, edgecolors=color if mark["hollow"] else "none", alpha=mark["alpha"])
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
        style = {"color": _color(color, scenes.LETTERS), "fontsize": LETTER * mark["size"], "weight": weight}
        ax.text(x, y, words, ha=side, va="center", **style)


def _handle(ax: Axes, mark: Mark) -> None:
    ax.scatter(
        [mark["x"]],
        [mark["y"]],
        (2 * LETTER * mark["size"]) ** 2,
        color=_color(mark["color"]),
        edgecolors="k",
        clip_on=False,
    )


DRAW: Mapping[str, Callable[[Axes, Mark], tuple[float, float, Mark] | None]] = {
    "line": _line, "area": _area, "dots": _dots, "bars": _bars, "patches": _patches, "arrows": _arrows, "text": _text,
    "handle": _handle,
}  # fmt: skip


def _make_room_for_ticks(ax: Axes) -> None:
    """Words below the axis do not touch each other."""
    words = [label for label in ax.get_xticklabels() if label.get_text()]
    boxes = [label.get_window_extent() for label in words]
    gap = 0.3 * LETTER / 72 * ax.figure.dpi
    if any(after.x0 - before.x1 < gap for before, after in pairwise(sorted(boxes, key=lambda box: box.x0))):
        ax.tick_params(axis="x", labelsize=SMALL)


def _write_ends(ax: Axes, ends: list[tuple[float, float, Mark]], view: View) -> None:
    """Each label where its curve ends; those that would lie on each other make way to both sides."""
    to_share = ax.transData + ax.transAxes.inverted()
    named = [(*to_share.transform((x, y)), mark) for x, y, mark in ends if mark["label"]]
    if not named:
        return
    named.sort(key=lambda end: float(end[1]))
    letter = LETTER / 72 * ax.figure.dpi
    width, height = letter / ax.bbox.width, letter / ax.bbox.height
    heights = apart([float(np.clip(y, 0, 1)) for _, y, _ in named], 1.35 * height, 0.4 * height)
    held = [
        (*to_share.transform((mark["x"], mark["y"])), mark["size"]) for mark in view.marks if mark["kind"] == "handle"
    ]
    for (x, _, mark), placed in zip(named, heights, strict=True):
        color = mark["color"] if isinstance(mark["color"], str) else mark["color"][-1]
        place = min(x, 1) + 0.01 + (np.ravel(mark["size"])[-1] * width if mark["kind"] == "dots" else 0)
        for across, up, size in held:  # not under what a hand takes hold of, nor half of a group beside it
            if abs(across - x) < size * width and abs(up - placed) < (size + 1.5) * height:
                place = max(place, across + size * width + 0.01)
        ax.text(
            place,
            placed,
            mark["label"],
            transform=ax.transAxes,
            va="center",
            color=_color(color, scenes.LETTERS),
        )


def apart(wanted: Sequence[float], room: float, lowest: float) -> np.ndarray:
    """Heights between `lowest` and 1, at least `room` apart, as close as can be to the ascending ones `wanted`."""
    groups: list[list[float]] = []  # of labels that touch; each stands where its mean wants to be
    for i, height in enumerate(wanted):
        groups.append([height - i * room])
        while len(groups) > 1 and np.mean(groups[-2]) > np.mean(groups[-1]):
            groups[-2:] = [groups[-2] + groups[-1]]
    low = np.concatenate([np.full(len(group), np.mean(group)) for group in groups])
    return np.clip(low, lowest, max(lowest, 1 - (len(wanted) - 1) * room)) + room * np.arange(len(wanted))
