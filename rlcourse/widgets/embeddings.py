"""What AvgL1Norm does to SALE's embeddings while TD7 trains: recorded scale, effective rank, prediction (`recordings`).

Each quantity is shown for every seed, with AvgL1Norm and without, and its ratio (without over with) at the chosen step,
paired by seed, with a 95 % interval from the logarithms. A ratio whose interval holds 1 is not resolved.
"""

from dataclasses import dataclass
from functools import cache
from typing import Any

import ipywidgets
import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure

from rlcourse.curves import Estimate, mean_estimate
from rlcourse.widgets import presets, recordings
from rlcourse.widgets.oldpanel import Panel
from rlcourse.widgets.still import COLORS

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
        ratio: of the quantity without over with, at the chosen moment: geometric mean over seeds.
    """

    quantity: str
    look: int
    updates: Float[np.ndarray, " T"]
    values: Float[np.ndarray, "2 N T"]
    ratio: Estimate


@cache
def recorded() -> recordings.Recording:
    return recordings.load()


def compute(quantity: str, look: int) -> Embeddings:
    """Moments are counted from 1."""
    data = recorded()
    values = getattr(data, QUANTITIES[quantity]).astype(float)
    logarithm = mean_estimate(np.log(values[1, :, look - 1] / values[0, :, look - 1]))
    ratio = Estimate(*(float(np.exp(end)) for end in (logarithm.value, logarithm.low, logarithm.high)))
    return Embeddings(quantity, look, data.updates.astype(float), values, ratio)


def verdict(ratio: Estimate) -> str:
    return "larger" if ratio.low > 1 else "smaller" if ratio.high < 1 else "not resolved"


def draw(figure: Figure, data: Embeddings) -> None:
    left, right = figure.add_axes((0.06, 0.155, 0.5, 0.74)), figure.add_axes((0.68, 0.3, 0.29, 0.45))
    for name, seeds, color, style in zip(WITH, data.values, (COLORS[0], COLORS[1]), ("-", "--"), strict=True):
        left.plot(data.updates, seeds.T, color=color, linewidth=0.8, alpha=0.5, linestyle=style)
        label = f"{name}: {seeds[:, data.look - 1].mean():.3g}"
        left.plot(data.updates, seeds.mean(0), color=color, linestyle=style, label=label)
    left.axvline(data.updates[data.look - 1], color=COLORS[6], linestyle=":", linewidth=1.5)
    left.set(xlabel="updates", title=f"{data.quantity}, {data.values.shape[1]} seeds and their mean", xlim=(0, None))
    left.set_ylim(0, 1.3 * float(data.values.max()))
    left.legend(frameon=False, loc="upper left", ncols=2)

    right.axvline(1, color=COLORS[6], linestyle=":", linewidth=1.5)
    right.plot((data.ratio.low, data.ratio.high), (0, 0), color=COLORS[0])
    right.plot(data.ratio.value, 0, "o", color=COLORS[0], markersize=8)
    right.set_xscale("log")
    ends = [*(0.5, 2.0), data.ratio.low / 1.3, data.ratio.high * 1.3]
    ticks = [tick for tick in (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50) if min(ends) <= tick <= max(ends)]
    right.set(xlim=(min(ends), max(ends)), yticks=[], ylim=(-1, 1), xlabel="without over with")
    right.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    right.minorticks_off()
    right.set_title(f"{data.ratio}\n{verdict(data.ratio)}")


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


@presets.checked
def widget(preset: str = next(iter(PRESETS)), **changes: Any) -> Panel:
    """Choose what to look at and when.

    Args:
        preset: one of `PRESETS`, where the controls start.
        changes: values of controls, by `compute`'s names, that differ from the preset's.

    Raises:
        ValueError: the preset or the name of a control is unknown, or a value is none that it takes.
    """
    values = presets.start(PRESETS, preset, changes)
    wide = {"style": {"description_width": "80px"}, "layout": {"width": "360px"}}
    make = ipywidgets
    controls = {
        "quantity": make.Dropdown(options=list(QUANTITIES), value=values["quantity"], description="quantity", **wide),
        "look": make.IntSlider(value=values["look"], min=1, max=LAST, description="look", **wide),
    }
    return presets.attach(Panel(compute, draw, describe, controls, size=(13, 4.1)), PRESETS)
