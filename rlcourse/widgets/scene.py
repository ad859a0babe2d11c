"""What a widget shows: marks in data coordinates. `scene.js` draws them in the browser, `still` on paper.

A scene holds numbers and words only, no pixels: a few kilobytes go to the browser, which draws them at its own size, in
its own colours for day and night, and lets a hand take hold of them. Both renderers know the same few marks, made by
the functions below. Colours are names (`COLORS`) or `#RRGGBB`; lengths that are no data are fractions of the picture's
letters, so that a picture for a projector is the same picture.

Two other ways were tried on `q_stepper` and `overestimation`, one Vega specification each and one JavaScript module
each: neither was reliably faster, the one needs 0.9 MB of JavaScript in the browser, the other every picture written
twice. To give a Vega-Lite chart a new specification at every move (altair's `JupyterChart`) took twice as long.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any

import numpy as np

# Okabe & Ito (2008): told apart with every common colour blindness, and on a washed-out projector. By night the same
# hues are lighter; letters need more contrast than lines, 4.5 to 1.
COLORS = {
    "blue": "#0072B2",
    "red": "#D55E00",
    "green": "#009E73",
    "purple": "#CC79A7",
    "orange": "#E69F00",
    "sky": "#56B4E9",
    "ink": "#000000",
    "grey": "#777777",
    "faint": "#D8D8D8",
}
LETTERS = COLORS | {
    "red": "#A84900",
    "green": "#00734F",
    "purple": "#9C4274",
    "orange": "#8A5E00",
    "sky": "#0F6A9C",
    "grey": "#5F5F5F",
}
NIGHT = {
    "blue": "#3BA3E0",
    "red": "#F0803C",
    "green": "#2CC295",
    "purple": "#DE9BC0",
    "orange": "#F2B73A",
    "sky": "#8CCDF2",
    "ink": "#E6E6E6",
    "grey": "#9A9A9A",
    "faint": "#444444",
}
Mark = dict[str, Any]
Numbers = np.ndarray | Sequence[Any]  # of numbers, numpy's own among them
DIGITS = 4  # significant ones that go to the browser: a picture of 1,000 pixels shows three


@dataclass(frozen=True)
class Axis:
    """One direction of a view.

    Attributes:
        low, high: its ends, in data coordinates; `low > high` turns it round.
        label: what it measures, with its unit.
        log: logarithmic; both ends are positive.
        ticks: the words at some places; None leaves the choice to the renderer, `{}` writes nothing.
    """

    low: float
    high: float
    label: str = ""
    log: bool = False
    ticks: Mapping[float, str] | None = None


def around(*shown: Numbers | float, label: str = "", room: float = 0.08) -> Axis:
    """An axis that holds all these numbers, with some room at both ends: a share of their range."""
    found = np.concatenate([np.ravel(each) for each in shown]).astype(float)
    low, high = float(np.nanmin(found)), float(np.nanmax(found))
    margin = room * ((high - low) or 1.0)
    return Axis(low - margin, high + margin, label)


def counted(number: int, what: str) -> str:
    """`1 step`, `2 steps`."""
    return f"{number} {what}{'' if number == 1 else 's'}"


def percent(share: float) -> str:
    return f"{100 * float(share):.0f} %"


def up_to(*shown: Numbers | float, label: str = "", room: float = 0.15) -> Axis:
    """An axis from 0 to the largest of these numbers and a little further; to 1 where none is positive."""
    highest = max(float(np.nanmax(each)) for each in shown)
    return Axis(0, (1 + room) * highest if highest > 0 else 1.0, label)


@dataclass(frozen=True)
class View:
    """One pair of axes and what lies on it.

    Attributes:
        marks: drawn in this order, the last on top.
        title: the line above it.
        equal: one unit is equally long in both directions, as on a map.
        touch: presses and drags on it are reported to `Panel.on_touch`, in data coordinates.
        name: says which view was touched.
    """

    x: Axis
    y: Axis
    marks: Sequence[Mark]
    title: str = ""
    equal: bool = False
    touch: bool = False
    name: str = ""


@dataclass(frozen=True)
class Scene:
    """A whole picture.

    Attributes:
        headline: one sentence with its numbers: what there is to see.
        main: the large view, or two that belong together.
        others: further views, shown when asked for.
        caption: a second line, for a calculation in numbers.
    """

    headline: str
    main: Sequence[View]
    others: Sequence[View] = ()
    caption: str = ""


def line(x: Numbers, y: Numbers, color: str = "ink", *, label: str = "", width: float = 2, dash: bool = False) -> Mark:
    """A polyline, with its label where it ends. Not-a-number interrupts it."""
    return {"kind": "line", "x": x, "y": y, "color": color, "label": label, "width": width, "dash": dash}


def area(x: Numbers, low: Numbers, high: Numbers, color: str, *, label: str = "", alpha: float = 0.3) -> Mark:
    """The band between two curves."""
    return {"kind": "area", "x": x, "low": low, "high": high, "color": color, "label": label, "alpha": alpha}


def dots(
    x: Numbers,
    y: Numbers,
    color: str | Sequence[str],
    *,
    size: Numbers | float = 0.35,
    alpha: Numbers | float = 1.0,
    label: str = "",
    names: Sequence[str] = (),
    hollow: bool = False,
) -> Mark:
    """Discs; `size` is the radius in letters. `names` are what a pointer reads on them, else it reads their numbers."""
    return {
        "kind": "dots", "x": x, "y": y, "color": color, "size": size, "alpha": alpha, "label": label,
        "names": list(names), "hollow": hollow,
    }  # fmt: skip


def bars(
    x: Numbers,
    low: Numbers,
    high: Numbers,
    color: str | Sequence[str],
    *,
    label: str = "",
    width: float = 0.8,
    alpha: float = 1,
) -> Mark:
    """Upright bars around `x`, `width` wide in its units; of one colour, or each of its own."""
    return {
        "kind": "bars", "x": x, "low": low, "high": high, "color": color, "label": label, "width": width,
        "alpha": alpha,
    }  # fmt: skip


def highlight(count: int, chosen: int, color: str = "blue") -> list[str]:
    """Colours of `count` things: grey, but one of them."""
    return [color if i == chosen else "grey" for i in range(count)]


def patches(corners: np.ndarray, colors: Sequence[str], names: Sequence[str] = ()) -> Mark:
    """Filled polygons: `corners (n, k, 2)`."""
    return {"kind": "patches", "corners": corners, "color": list(colors), "names": list(names)}


def arrows(x: Numbers, y: Numbers, dx: Numbers, dy: Numbers, color: str = "ink", *, width: float = 2) -> Mark:
    """From (x, y) to (x + dx, y + dy), with a head."""
    return {"kind": "arrows", "x": x, "y": y, "dx": dx, "dy": dy, "color": color, "width": width}


def text(
    x: Numbers,
    y: Numbers,
    words: Sequence[str],
    color: str | Sequence[str] = "ink",
    *,
    anchor: str = "middle",
    size: float = 1.0,
    bold: bool = False,
) -> Mark:
    """Words at places; `anchor` start, middle or end is the part of the words that stands there."""
    return {
        "kind": "text", "x": x, "y": y, "words": list(words), "color": color, "anchor": anchor, "size": size,
        "bold": bold,
    }  # fmt: skip


def handle(
    x: float,
    y: float,
    label: str,
    *,
    along_x: str = "",
    along_y: str = "",
    zero: float = 0.0,
    stops: Mapping[float, float] | None = None,
    color: str = "orange",
    size: float = 0.7,
) -> Mark:
    """A disc to take hold of: dragged, it moves the controls `along_x` and `along_y` to its coordinates.

    Where the control `along_x` does not have the coordinate's own value, `zero` is the place of its value 0, or `stops`
    are pairs of a place and the value there.
    """
    return {
        "kind": "handle", "x": x, "y": y, "label": label, "along_x": along_x, "along_y": along_y, "zero": zero,
        "stops": list((stops or {}).items()), "color": color, "size": size,
    }  # fmt: skip


def track(
    ends: tuple[float, float], height: float, control: str, label: str, values: Sequence[float], value: float
) -> list[Mark]:
    """A slider on the picture: the control's `values` at equal distances on a line between the x of both `ends`."""
    places = np.linspace(*ends, len(values))
    here = float(places[np.abs(np.asarray(values, float) - value).argmin()])
    stops = dict(zip(places.tolist(), map(float, values), strict=True))
    return [
        line(ends, [height, height], "grey", width=5),
        handle(here, height, label, along_x=control, stops=stops),
    ]


def payload(scene: Scene) -> dict[str, Any]:
    """The scene as the browser gets it: lists of numbers with `DIGITS` digits, None for not-a-number."""
    words = {"headline": scene.headline, "caption": scene.caption}
    return words | {"main": _views(scene.main), "others": _views(scene.others)}


def _views(views: Sequence[View]) -> list[dict[str, Any]]:
    return [
        {
            "x": _axis(view.x), "y": _axis(view.y), "title": view.title, "equal": view.equal, "touch": view.touch,
            "name": view.name, "marks": [{name: _plain(value) for name, value in mark.items()} for mark in view.marks],
        }
        for view in views
    ]  # fmt: skip


def _axis(axis: Axis) -> dict[str, Any]:
    ticks = None if axis.ticks is None else [[_plain(float(place)), word] for place, word in axis.ticks.items()]
    ends = {"low": _plain(float(axis.low)), "high": _plain(float(axis.high))}
    return ends | {"label": axis.label, "log": axis.log, "ticks": ticks}


def _plain(value: Any) -> Any:
    if isinstance(value, str | bool):
        return value
    if isinstance(value, np.ndarray) and value.dtype.kind in "fiu":
        return _rounded(value).tolist()
    if isinstance(value, np.ndarray | np.generic):
        return _plain(value.tolist())
    if isinstance(value, Sequence):
        return [_plain(each) for each in value]
    return float(f"{value:.{DIGITS}g}") if isfinite(value) else None


def _rounded(values: np.ndarray) -> np.ndarray:
    """All at once: one after the other, the thousand numbers of a picture take longer than most of them to compute."""
    finite = np.isfinite(values)
    size = np.log10(np.abs(values), out=np.zeros(values.shape), where=finite & (values != 0))
    digits = DIGITS - 1 - np.floor(size)  # after the point; before it where negative
    up, down = 10.0 ** digits.clip(0, 300), 10.0 ** (-digits).clip(0, 300)  # whole powers, since a tenth is not exact
    rounded = np.round(values / down * up) / up * down
    if not finite.all():
        rounded = rounded.astype(object)
        rounded[~finite] = None
    return rounded
