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

import numpy as np
import torch
from jaxtyping import Float, Int

from rlcourse.algorithms import prioritisation, td7
from rlcourse.widgets import presets, recordings
from rlcourse.widgets.panel import Panel, choice, selection, slider
from rlcourse.widgets.scene import Axis, Mark, Scene, View, arrows, dots, handle, line, percent, text

LECTURE = "9 TD7"
QUESTION = "Who should pull, and how hard?"

SCHEMES = ("uniform + MSE", "PER + MSE", "LAP + Huber", "PAL")
PRIORITIES = ("fresh", "stale")
MOMENTS = dict(zip((f"after {n:,} updates" for n in recordings.MOMENTS), range(len(recordings.MOMENTS)), strict=True))
BATCH, TOP = 256, 0.01  # of a batch; the share of transitions that are called the largest errors
BALLS, PULLING = 140, 24  # transitions that a picture shows, and those with an arrow
FLOORS = (0.01, 0.1, 0.3, 1.0, 3.0, 10.0)
LARGEST = 40.0  # to which the largest error can be pulled

_LAP = {
    "scheme": "LAP + Huber",
    "moment": 2,
    "exponent": 0.4,
    "floor": 1.0,
    "priorities": "fresh",
    "draw": 0,
    "added": 0.0,
}
PRESETS: dict[str, dict[str, Any]] = {
    "LAP as in TD7": _LAP,
    "uniform: squares let the largest pull": _LAP | {"scheme": "uniform + MSE"},
    "PER with squares: the largest pull more": _LAP | {"scheme": "PER + MSE", "exponent": 1.0},
    "PAL: LAP's pull without its sampling": _LAP | {"scheme": "PAL"},
    "α = 0: LAP samples uniformly": _LAP | {"exponent": 0.0},
    "a high floor: uniform, and squares": _LAP | {"floor": 10.0},
    "an outlier under squares": _LAP | {"scheme": "uniform + MSE", "added": 20.0},
    "the same outlier under LAP": _LAP | {"added": 20.0},
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
        added: by how much the largest error was enlarged.
        likeliest: the largest probability under any of `SCHEMES`.
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
    added: float
    likeliest: float

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


def compute(
    scheme: str, moment: int, exponent: float, floor: float, priorities: str, draw: int, added: float
) -> Sampling:
    """`draw` seeds the batch; `added` makes an outlier of the largest error, both as it is now and as last known."""
    now, known = (each + added * (np.arange(len(each)) == 0) for each in buffer(moment))
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
    likeliest = float(np.max(probabilities))
    return Sampling(
        scheme, exponent, floor, priorities, now, probability, np.array(pulls), batch, ratio, added, likeliest
    )


def scene(data: Sampling) -> Scene:
    own = dict(zip(SCHEMES, data.top, strict=True))
    others = ", ".join(f"{name} {percent(part)}" for name, part in own.items() if name != data.scheme)
    mine = percent(own[data.scheme])
    headline = f"{data.scheme}: the largest {percent(TOP)} of the errors make {mine} of the gradient ({others})."
    count, pull = len(data.error), data.pull[SCHEMES.index(data.scheme)]
    drawn = balls(data, count * data.probability, count * data.likeliest, "how often each is drawn (orange: just now)")
    # The largest ten and others down to the smallest: an arrow on each ball would hide them.
    few = np.unique(np.append(np.arange(10), np.linspace(0, count - 1, PULLING - 10).round().astype(int)))
    stems = arrows(data.error[few], 0.0 * few, 0.0 * few, count * pull[few], "red")
    force = balls(data, count * pull, count * float(data.pull.max()), "how hard each pulls at the gradient", stems)
    return Scene(headline, (drawn, force), (shares(data), staleness(data)))


def balls(data: Sampling, height: Float[np.ndarray, " N"], highest: float, title: str, *under: Mark) -> View:
    """Some of the transitions as balls, large ones for large errors, with the largest to take hold of.

    The upright axis, in multiples of the mean, is the same for every scheme: a ball goes up or down with the scheme.
    """
    count = len(data.error)
    shown = np.unique(np.linspace(0, count - 1, BALLS).round().astype(int))
    error, up = data.error[shown], height[shown]
    drawn = np.isin(shown, data.batch)
    colors = ["orange" if each else "blue" for each in drawn]
    alpha = np.where(drawn, 0.9, 0.35)
    largest, top = float(data.error[0]), 1.15 * max(2.0, highest)
    stops = {round(largest - data.added + extra, 2): extra for extra in np.arange(0, LARGEST - 4, 1.0)}
    marks = [
        line([0.003, LARGEST * 1.3], [1, 1], "grey", width=1, label="mean"),
        *under,
        dots(error, up, colors, size=radius(error), alpha=alpha),
        handle(largest, float(up[0]), f"the largest error, {title}", along_x="added", stops=stops, color="purple",
               size=float(radius(largest))),
    ]  # fmt: skip
    if data.scheme in SCHEMES[2:]:
        floors = {each: each for each in FLOORS}
        marks.append(text([data.floor], [0.07 * top], ["κ"], "green", size=1.2, bold=True))
        marks.append(
            handle(data.floor, 0.0, f"floor κ, {title}", along_x="floor", stops=floors, color="green", size=0.5)
        )
    across = Axis(0.004, LARGEST * 1.3, "error |δ|", log=True, ticks={0.01: "0.01", 0.1: "0.1", 1.0: "1", 10.0: "10"})
    return View(across, Axis(0, top, "times the mean"), marks, title)


def radius(error: Float[np.ndarray, "*N"] | float) -> Float[np.ndarray, "*N"]:
    """Of a ball, in letters."""
    return np.asarray(np.round(0.16 + 0.22 * np.sqrt(error), 2))


def shares(data: Sampling) -> View:
    """How much of the gradient the largest errors have, for each scheme."""
    count = len(data.error)
    thin = np.unique(np.geomspace(1, count, 60).round().astype(int)) - 1
    share = (thin + 1) / count
    # PAL lies on LAP where priorities are fresh: dashes on a wide line.
    styles = (("ink", 2.0, False), ("red", 2.0, False), ("sky", 5.0, False), ("blue", 2.0, True))
    marks = [
        line(share, pull.cumsum()[thin], color, label=name, width=width, dash=dash)
        for name, pull, (color, width, dash) in zip(SCHEMES, data.pull, styles, strict=True)
    ]
    return View(
        Axis(0, 1, "transitions, largest error first"),
        Axis(0, 1, "share of the gradient"),
        marks,
        "who makes the gradient",
    )


def staleness(data: Sampling) -> View:
    """What a priority that is out of date does to the chance."""
    shown = np.unique(np.linspace(0, len(data.error) - 1, BALLS).round().astype(int))
    low, high = min(0.3, float(data.ratio.min()) / 1.5), max(3.0, 1.5 * float(data.ratio.max()))
    ends = float(data.error[-1].clip(1e-3)), 1.5 * float(data.error[0])
    marks = [
        line(ends, [1, 1], "grey", width=1),
        dots(
            data.error[shown], data.ratio[shown], "red" if data.priorities == "stale" else "grey", size=0.2, alpha=0.6
        ),
    ]
    return View(
        Axis(*ends, "error |δ| now", log=True),
        Axis(low, high, "stale chance over fresh", log=True),
        marks,
        "out-of-date priorities",
    )


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


@presets.offered(PRESETS)
def widget(values: presets.Values) -> Panel:
    """Choose a scheme, its exponent and its floor, and see who is drawn and who pulls."""
    controls = {
        "scheme": choice(values["scheme"], SCHEMES, "scheme"),
        "draw": slider(values["draw"], 0, 20, 1, "batch"),
        "added": slider(values["added"], 0.0, LARGEST - 4.5, 0.5, "outlier: add"),
        "exponent": slider(values["exponent"], 0.0, 1.0, 0.1, "exponent α"),
        "floor": selection(values["floor"], FLOORS, "floor κ"),
        "priorities": choice(values["priorities"], PRIORITIES, "priorities"),
        "moment": choice(values["moment"], list(MOMENTS.items()), "buffer"),
    }
    more = ("exponent", "floor", "priorities", "moment")
    return Panel(compute, scene, describe, controls, more, play="draw")
