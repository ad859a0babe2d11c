"""What AvgL1Norm does to SALE's embeddings while TD7 trains: recorded clouds, scale, rank, prediction (`recordings`).

The clouds are the embeddings of the same `recordings.DOTS` states, with AvgL1Norm and without, of the first seed: each
around its middle, seen in the plane in which the clouds of all moments together are widest, on one scale.

Each quantity is shown for every seed, with AvgL1Norm and without, and its ratio (without over with) at the chosen step,
paired by seed, with a 95 % interval from the logarithms. A ratio whose interval holds 1 is not resolved.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from rlcourse.curves import Estimate, mean_estimate
from rlcourse.widgets import presets, recordings
from rlcourse.widgets.panel import Panel, choice, slider
from rlcourse.widgets.scene import Axis, Scene, View, dots, handle, line, text, up_to

LECTURE = "9 TD7"
QUESTION = "What keeps an embedding alive?"

QUANTITIES = {
    "scale of what is seen": "scale",
    "scale before any norm": "raw",
    "effective rank": "rank",
    "loss of the encoder": "loss",
}
WITH = ("with AvgL1Norm", "without")
LAST = recordings.STEPS // recordings.EVERY - recordings.CONFIG.learning_starts // recordings.EVERY

_SCALE = {"quantity": "scale of what is seen", "look": LAST}
PRESETS: dict[str, dict[str, Any]] = {
    "scale: 1 by definition, or whatever it becomes": _SCALE,
    "before the norm it drifts all the same": _SCALE | {"quantity": "scale before any norm"},
    "effective rank at the end": _SCALE | {"quantity": "effective rank"},
    "effective rank early on": _SCALE | {"quantity": "effective rank", "look": 2},
    "how well the next embedding is predicted": _SCALE | {"quantity": "loss of the encoder"},
}


@dataclass(frozen=True)
class Embeddings:
    """One recorded quantity.

    Attributes:
        look: number of the chosen moment, counted from 1.
        updates: at which the embeddings were looked at.
        values: with AvgL1Norm and without, of every seed.
        clouds: embeddings at the chosen moment, with AvgL1Norm and without.
        reach: how far from its middle any cloud ever comes.
        speed: the agent's speed forwards in the states that the clouds are of.
        ratio: of the quantity without over with, at the chosen moment: geometric mean over seeds.
    """

    quantity: str
    look: int
    updates: Float[np.ndarray, " T"]
    values: Float[np.ndarray, "2 N T"]
    clouds: Float[np.ndarray, "2 dots 2"]
    reach: float
    speed: Float[np.ndarray, " dots"]
    ratio: Estimate

    @property
    def spread(self) -> Float[np.ndarray, "2"]:
        """Of both clouds: root mean square distance from the middle."""
        return np.sqrt((self.clouds**2).sum(-1).mean(-1))


def compute(quantity: str, look: int) -> Embeddings:
    """Moments are counted from 1."""
    data = recordings.load()
    values = getattr(data, QUANTITIES[quantity]).astype(float)
    logarithm = mean_estimate(np.log(values[1, :, look - 1] / values[0, :, look - 1]))
    ratio = Estimate(*(float(np.exp(end)) for end in (logarithm.value, logarithm.low, logarithm.high)))
    clouds = data.cloud.astype(float)
    reach = float(np.abs(clouds).max())
    return Embeddings(
        quantity, look, data.updates.astype(float), values, clouds[:, look - 1], reach, data.speed.astype(float), ratio
    )  # fmt: skip


def verdict(ratio: Estimate) -> str:
    return "larger" if ratio.low > 1 else "smaller" if ratio.high < 1 else "not resolved"


def scene(data: Embeddings) -> Scene:
    one, other = (float(seeds[:, data.look - 1].mean()) for seeds in data.values)
    when = f"After {data.updates[data.look - 1]:,.0f} updates"
    headline = f"{when}: {data.quantity} {one:.3g} with AvgL1Norm, {other:.3g} without."
    return Scene(headline, tuple(cloud(data, i) for i in (0, 1)), (course(data), interval(data)))


def cloud(data: Embeddings, which: int) -> View:
    """The embeddings themselves, on the same scale with the norm and without, coloured by how fast the agent was."""
    x, y = data.clouds[which].T
    slow, fast = np.quantile(data.speed, (1 / 3, 2 / 3))
    colors = ["blue" if speed < slow else "red" if speed > fast else "grey" for speed in data.speed]
    names = [f"speed {speed:.1f} m/s" for speed in data.speed]
    marks = [dots(x, y, colors, size=0.3, alpha=0.75, names=names)]
    if which == 0:
        ends = 0.97 * data.reach, -0.95 * data.reach
        marks.append(text([-ends[0]], [ends[1]], ["slow states"], "blue", anchor="start", bold=True))
        marks.append(text([ends[0]], [ends[1]], ["fast states"], "red", anchor="end", bold=True))
    side = Axis(-data.reach, data.reach, ticks={})
    scale = float(data.spread[which])
    return View(side, side, marks, f"{WITH[which]}: spread {scale:.2f}", equal=True)


def course(data: Embeddings) -> View:
    """The quantity over the updates, of every seed, with the moment to take hold of."""
    up = up_to(data.values, label=data.quantity)
    marks = []
    for name, seeds, color in zip(WITH, data.values, ("blue", "red"), strict=True):
        marks += [line(data.updates, seed, color, width=0.8) for seed in seeds]
        marks.append(line(data.updates, seeds.mean(0), color, label=name, width=3))
    now = float(data.updates[data.look - 1])
    stops = {float(update): i + 1.0 for i, update in enumerate(data.updates)}
    marks.append(line([now, now], [0, up.high], "ink", width=1, dash=True))
    marks.append(handle(now, float(data.values[0, :, data.look - 1].mean()), "moment", along_x="look", stops=stops))
    title = f"thin: {data.values.shape[1]} seeds; thick: their mean"
    return View(Axis(0, float(data.updates[-1]), "updates"), up, marks, title)


def interval(data: Embeddings) -> View:
    """The ratio with its uncertainty."""
    low, high = min(0.5, data.ratio.low / 1.3), max(2.0, data.ratio.high * 1.3)
    return View(Axis(low, high, "without over with", log=True), Axis(-1, 1, ticks={}), [
        line([1, 1], [-1, 1], "ink", width=1.5, dash=True),
        line([data.ratio.low, data.ratio.high], [0, 0], "blue", width=4),
        dots([data.ratio.value], [0.0], "blue", size=0.6, names=[str(data.ratio)]),
    ], f"paired by seed, 95 %: {data.ratio}, {verdict(data.ratio)}")  # fmt: skip


def describe(data: Embeddings) -> str:
    one, other = (
        f"{name} {seeds[:, data.look - 1].mean():.3g} "
        f"({seeds[:, data.look - 1].min():.3g} to {seeds[:, data.look - 1].max():.3g})"
        for name, seeds in zip(WITH, data.values, strict=True)
    )
    return (
        f"{data.quantity.capitalize()} of the embeddings after {data.updates[data.look - 1]:.0f} updates, mean and "
        f"range over {data.values.shape[1]} seeds: {one}, {other}. Without over with, paired by seed, 95 % interval: "
        f"{data.ratio}, {verdict(data.ratio)}."
    )


@presets.offered(PRESETS)
def widget(values: presets.Values) -> Panel:
    """Choose what to look at and when."""
    controls = {
        "quantity": choice(values["quantity"], list(QUANTITIES), "quantity"),
        "look": slider(values["look"], 1, LAST, 1, "moment"),
    }
    return Panel(compute, scene, describe, controls, play="look")
