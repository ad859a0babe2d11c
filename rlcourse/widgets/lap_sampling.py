r"""What prioritised sampling does to the gradient: four schemes on the TD errors of a real replay buffer.

The errors are recorded (`recordings`): of `recordings.ROWS` transitions of one buffer, at three moments of TD7's
training. With $|\delta_i|$ the size of an error, α the exponent and κ the minimum priority:

| scheme | drawn with probability | loss of what is drawn |
|---|---|---|
| uniform + MSE | $1/N$ | $\frac12 \delta^2$ |
| PER + MSE | $\propto |\delta_i|^\alpha$ | $\frac12 \delta^2$ |
| LAP + Huber | $\propto \max(|\delta_i|, \kappa)^\alpha$ | `td7.huber` with threshold κ |
| PAL | $1/N$ | `prioritisation.pal`, LAP's uniform twin |

**Pull** of a transition is the size of its part in the expected gradient with respect to Q, its probability times the
size of its loss's derivative; here as a share of the sum over all. **Stale** priorities come from the error that each
transition had when it was last replayed; one that was never replayed has the largest priority. Fresh ones come from the
errors of now. PER's importance weights are left out (β = 0), and so is its ε.
"""

from dataclasses import dataclass
from functools import cache
from typing import Any

import ipywidgets
import numpy as np
import torch
from jaxtyping import Float, Int
from matplotlib.figure import Figure

from rlcourse.algorithms import prioritisation, td7
from rlcourse.widgets import presets, recordings
from rlcourse.widgets.panel import COLORS, Panel

LECTURE = "9 TD7"
QUESTION = "Who should pull, and how hard?"

SCHEMES = ("uniform + MSE", "PER + MSE", "LAP + Huber", "PAL")
PRIORITIES = ("fresh", "stale")
MOMENTS = dict(zip((f"after {n:,} updates" for n in recordings.MOMENTS), range(len(recordings.MOMENTS)), strict=True))
BATCH, TOP = 256, 0.01  # of a batch; the share of transitions that are called the largest errors

_LAP = {
    "scheme": "LAP + Huber",
    "moment": 2,
    "exponent": 0.4,
    "floor": 1.0,
    "priorities": "fresh",
    "draw": 0,
}
PRESETS: dict[str, dict[str, Any]] = {
    "LAP as in TD7": _LAP,
    "uniform: squares let the largest pull": _LAP | {"scheme": "uniform + MSE"},
    "PER with squares: the largest pull more": _LAP | {"scheme": "PER + MSE", "exponent": 1.0},
    "PAL: LAP's pull without its sampling": _LAP | {"scheme": "PAL"},
    "α = 0: LAP samples uniformly": _LAP | {"exponent": 0.0},
    "a high floor: uniform, and squares": _LAP | {"floor": 10.0},
    "stale priorities": _LAP | {"priorities": "stale", "exponent": 1.0, "floor": 0.1},
}


@dataclass(frozen=True)
class Sampling:
    """One scheme on one buffer, transitions sorted by error, the largest first.

    Attributes:
        error: |δ|.
        probability: of being drawn.
        pull: share of the expected gradient, for each of `SCHEMES`.
        batch: ranks of the drawn transitions, 0 the largest error.
        ratio: the probability that a stale priority gives over the one that a fresh one gives.
    """

    scheme: str
    exponent: float
    floor: float
    priorities: str
    error: Float[np.ndarray, " N"]
    probability: Float[np.ndarray, " N"]
    pull: Float[np.ndarray, "4 N"]
    batch: Int[np.ndarray, " B"]
    ratio: Float[np.ndarray, " N"]

    @property
    def top(self) -> Float[np.ndarray, "4"]:
        """The share of the pull that the largest errors have, for each of `SCHEMES`."""
        return self.pull[:, : round(TOP * len(self.error))].sum(1)


@cache
def buffer(moment: int) -> tuple[Float[np.ndarray, " N"], Float[np.ndarray, " N"]]:
    """|δ| now, the largest first, and when last replayed; what never was counts as the largest."""
    recorded = recordings.load()
    error, known = recorded.error[moment].astype(float), recorded.known[moment].astype(float)
    order = np.argsort(-error, kind="stable")
    return error[order], np.nan_to_num(known[order], nan=float(np.nanmax(known)))


def _priorities(scheme: str, error: Float[np.ndarray, " N"], exponent: float, floor: float) -> Float[np.ndarray, " N"]:
    """What the scheme draws in proportion to."""
    if scheme == "PER + MSE":
        return error**exponent
    if scheme == "LAP + Huber":
        return td7.priority(torch.as_tensor(error)[None], exponent, floor).numpy()
    return np.ones_like(error)


def gradient(scheme: str, error: Float[np.ndarray, " N"], exponent: float, floor: float) -> Float[np.ndarray, " N"]:
    """Size of the loss's derivative for each error; PAL's constant belongs to fresh priorities."""
    delta = torch.as_tensor(error).requires_grad_()
    losses = {
        "LAP + Huber": lambda: td7.huber(delta, floor),
        "PAL": lambda: prioritisation.pal(delta, exponent, floor),
    }
    loss = losses.get(scheme, lambda: 0.5 * delta.square())()
    return torch.autograd.grad(loss.sum(), delta)[0].abs().numpy()


def compute(scheme: str, moment: int, exponent: float, floor: float, priorities: str, draw: int) -> Sampling:
    """`draw` seeds the batch."""
    now, known = buffer(moment)
    basis = known if priorities == "stale" else now
    probabilities, pulls = [], []
    for each in SCHEMES:
        weight = _priorities(each, basis, exponent, floor)
        probabilities.append(weight / weight.sum())
        pull = probabilities[-1] * gradient(each, now, exponent, floor)
        pulls.append(pull / pull.sum())
    probability = probabilities[SCHEMES.index(scheme)]
    fresh, stale = (_priorities(scheme, each, exponent, floor) for each in (now, known))
    uniform = np.random.default_rng(draw).random(BATCH)
    batch = np.minimum(np.searchsorted(probability.cumsum(), uniform), len(now) - 1)
    ratio = (stale / stale.sum()) / (fresh / fresh.sum())
    return Sampling(scheme, exponent, floor, priorities, now, probability, np.array(pulls), batch, ratio)


def draw(figure: Figure, data: Sampling) -> None:
    left, middle, right = (figure.add_axes((x, 0.155, 0.26, 0.74)) for x in (0.05, 0.38, 0.72))
    count = len(data.error)
    share = (np.arange(count) + 0.5) / count
    top = max(2.0, 1.6 * float(data.probability.max()) * count)
    left.plot(share, count * data.probability, ".", color=COLORS[0], markersize=3, rasterized=True)
    left.plot([], [], ".", color=COLORS[0], markersize=8, label="chance of being drawn")
    left.axhline(1, color=COLORS[6], linestyle=":", linewidth=1.5, label="uniform")
    left.plot(share[data.batch], np.full(BATCH, -0.06 * top), "|", color=COLORS[1], markersize=10, alpha=0.5)
    left.plot([], [], "|", color=COLORS[1], markersize=10, label=f"a batch of {BATCH}")
    left.set(xlabel="transitions, largest error first", title="chance, times N", xlim=(0, 1), ylim=(-0.12 * top, top))
    left.legend(frameon=False, loc="upper right", fontsize=11)

    # PAL lies on LAP where priorities are fresh: dashes on a wide line.
    styles = (("-", COLORS[6], 2.0), ("-", COLORS[1], 2.0), ("-", COLORS[5], 5.0), ("--", COLORS[0], 2.0))
    for name, pull, part, (style, color, width) in zip(SCHEMES, data.pull, data.top, styles, strict=True):
        label = f"{name}: {percent(part)}"
        middle.plot(share, pull.cumsum(), color=color, linestyle=style, linewidth=width, label=label)
    middle.set(xlabel="transitions, largest error first", title="their share of the gradient", xlim=(0, 1), ylim=(0, 1))
    middle.legend(frameon=False, loc="lower right", fontsize=11, title=f"of the largest {percent(TOP)}")

    ends = float(data.error[-1].clip(1e-3)), 1.5 * float(data.error[0])
    color = COLORS[1] if data.priorities == "stale" else "#999999"
    right.loglog(data.error, data.ratio, ".", color=color, markersize=3, alpha=0.6, rasterized=True)
    right.axhline(1, color=COLORS[6], linestyle=":", linewidth=1.5)
    right.set(xlabel="error |δ| now", title="stale chance over fresh chance", xlim=ends)
    low, high = min(0.3, float(data.ratio.min()) / 1.5), max(3.0, 1.5 * float(data.ratio.max()))
    ticks = [tick for tick in (0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100, 300, 1000) if low <= tick <= high]
    right.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    right.set_ylim(low, high)
    right.minorticks_off()


def percent(share: float) -> str:
    return f"{100 * float(share):.0f} %"


def describe(data: Sampling) -> str:
    count = len(data.error)
    parts = ", ".join(f"{name} {percent(part)}" for name, part in zip(SCHEMES, data.top, strict=True))
    many = int((data.batch < round(TOP * count)).sum())
    return (
        f"{count} TD errors of a replay buffer, median {np.median(data.error):.2f}, largest {data.error[0]:.1f}. "
        f"Scheme {data.scheme}, exponent {data.exponent:g}, minimum priority {data.floor:g}, {data.priorities} "
        f"priorities: the likeliest is drawn {count * data.probability.max():.2f} times as often as uniformly, the "
        f"least likely {count * data.probability.min():.2f} times; {many} of {BATCH} drawn are of the largest "
        f"{percent(TOP)}. Their share of the expected gradient: {parts}. Stale chances are between "
        f"{data.ratio.min():.2f} and {data.ratio.max():.2f} times the fresh ones."
    )


@presets.checked
def widget(preset: str = next(iter(PRESETS)), **changes: Any) -> Panel:
    """Choose a scheme, its exponent and its floor, and see who is drawn and who pulls.

    Args:
        preset: one of `PRESETS`, where the controls start.
        changes: values of controls, by `compute`'s names, that differ from the preset's.

    Raises:
        ValueError: the preset or the name of a control is unknown, or a value is none that it takes.
    """
    values = presets.start(PRESETS, preset, changes)
    wide = {"style": {"description_width": "90px"}, "layout": {"width": "310px"}}
    make, floors = ipywidgets, (0.01, 0.1, 0.3, 1.0, 3.0, 10.0)
    controls = {
        "scheme": make.Dropdown(options=SCHEMES, value=values["scheme"], description="scheme", **wide),
        "moment": make.Dropdown(options=list(MOMENTS.items()), value=values["moment"], description="buffer", **wide),
        "exponent": make.FloatSlider(
            value=values["exponent"], min=0, max=1, step=0.1, description="exponent α", readout_format=".1f", **wide
        ),
        "floor": make.SelectionSlider(options=floors, value=values["floor"], description="floor κ", **wide),
        "priorities": make.Dropdown(options=PRIORITIES, value=values["priorities"], description="priorities", **wide),
        "draw": make.IntSlider(value=values["draw"], min=0, max=20, description="draw", **wide),
    }
    return presets.attach(Panel(compute, draw, describe, controls, size=(13, 4.1)), PRESETS)
