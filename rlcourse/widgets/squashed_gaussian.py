r"""SAC's policy for one number: a normal u squashed to a = tanh u, and what happens if nobody corrects its probability.

Changing variables, log π(a) = log N(u; μ, σ²) − log(1 − tanh² u) (Haarnoja et al. 2018, appendix C). Both come from
`sac.squash`. With the correction the density over (−1, 1) integrates to 1. Without it, N(u) stands where a density over
a should be: its integral is E[1 − a²], below 1 and ever smaller the further out the actions lie.

**Entropy.** The true one is E[−log π(a)]; it is at most log 2, that of even actions over (−1, 1), and falls again where
a wide u presses the actions against the ends. Without the correction an agent believes in the entropy of u,
log σ + ½ log 2πe, which grows without end: it is paid for spreading u, and gets actions at −1 and 1.

For μ = 0 the density has its top in the middle up to σ² = ½, and from there on two tops, one towards either end: the
slope of −u²/2σ² − log(1 − tanh² u) at small u is u (2 − 1/σ²).
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from scipy import special

from rlcourse.algorithms import sac
from rlcourse.curves import signed
from rlcourse.nets import Gaussian
from rlcourse.widgets import presets
from rlcourse.widgets.panel import Panel, choice, slider
from rlcourse.widgets.scene import Axis, Scene, View, area, bars, counted, handle, line, up_to

LECTURE = "7 SAC"
QUESTION = "How likely is an action that went through tanh?"

STANDARD = np.linspace(-8, 8, 4001)  # z = (u − μ)/σ: outside lies less than 1e-14 of the probability
WEIGHT = np.exp(-(STANDARD**2) / 2) / math.sqrt(2 * math.pi) * (STANDARD[1] - STANDARD[0])
SPREADS = np.geomspace(0.05, 3, 40)
SAMPLES, SEED = 2000, 0
EDGE = 0.9
LOG_PROBS = ("corrected", "without correction")

_GOOD = {"log_prob": LOG_PROBS[0], "mean": 0.0, "std": 0.5}
PRESETS: dict[str, dict[str, Any]] = {
    "one top in the middle": _GOOD,
    "without correction: not a density": _GOOD | {"log_prob": LOG_PROBS[1]},
    "σ = 0.9: nearly even": _GOOD | {"std": 0.9},
    "wide: two tops, at the ends": _GOOD | {"std": 2.0},
    "wide, without correction: it believes in much entropy": _GOOD | {"std": 2.0, "log_prob": LOG_PROBS[1]},
    "−1 nat, SAC's default target": _GOOD | {"std": 0.09},
    "against an end": _GOOD | {"mean": 1.5},
}


@dataclass(frozen=True)
class Squashed:
    """One normal distribution before and after tanh.

    Attributes:
        u, density_u: numbers before squashing, and N(u; μ, σ²).
        action: tanh u; density: e to the chosen log-probability there.
        area: the integral of `density` over (−1, 1).
        samples: actions drawn.
        outside: the probability of an action beyond ±`EDGE`.
        entropy: of the actions, for each of `SPREADS`; believed: what the chosen log-probability makes of it.
        own: the same two for the chosen spread.
    """

    log_prob: str
    mean: float
    std: float
    u: Float[np.ndarray, " U"]
    density_u: Float[np.ndarray, " U"]
    action: Float[np.ndarray, " U"]
    density: Float[np.ndarray, " U"]
    area: float
    samples: Float[np.ndarray, " N"]
    outside: float
    entropy: Float[np.ndarray, " S"]
    believed: Float[np.ndarray, " S"]
    own: tuple[float, float]

    @property
    def tops(self) -> Float[np.ndarray, " T"]:
        """The actions where the density is highest around."""
        inner = (self.density[1:-1] > self.density[:-2]) & (self.density[1:-1] > self.density[2:])
        return self.action[1:-1][inner]


def log_probs(
    mean: float, std: Float[np.ndarray, "*S"], normal: Float[np.ndarray, "*S"]
) -> tuple[Float[np.ndarray, "*S"], Float[np.ndarray, "*S"], Float[np.ndarray, "*S"]]:
    """Of u = μ + σz the action, its log-probability by `sac.squash`, and that of u, which lacks the correction."""
    log_std, z = torch.tensor(std)[..., None].log(), torch.tensor(normal)[..., None]
    policy = Gaussian(torch.full_like(log_std, mean), log_std)
    action, log_prob = sac.squash(policy, z)
    return action[..., 0].numpy(), log_prob.numpy(), policy.log_prob(mean + log_std.exp() * z).numpy()


def entropies(mean: float, std: Float[np.ndarray, " S"]) -> tuple[Float[np.ndarray, " S"], Float[np.ndarray, " S"]]:
    """E[−log π] with the correction, which is the entropy of the actions, and without; by quadrature over z."""
    grid = np.broadcast_to(std[:, None], (len(std), len(STANDARD[::20])))
    _, corrected, raw = log_probs(mean, grid, np.broadcast_to(STANDARD[::20], grid.shape))
    weight = 20 * WEIGHT[::20]
    return -corrected @ weight, -raw @ weight


def compute(log_prob: str, mean: float, std: float) -> Squashed:
    action, corrected, raw = log_probs(mean, np.full_like(STANDARD, std), STANDARD)
    chosen = LOG_PROBS.index(log_prob)
    # ∫ e^{log π(a)} da, with da = (1 − tanh² u) du, and (1 − tanh² u) = e^{raw − corrected}
    area = float((np.exp((corrected, raw)[chosen] - corrected) * WEIGHT).sum())
    curves, own = entropies(mean, SPREADS), entropies(mean, np.array([std]))
    return Squashed(
        log_prob,
        mean,
        std,
        mean + std * STANDARD,
        np.exp(raw),
        action,
        np.exp((corrected, raw)[chosen]),
        area,
        np.tanh(mean + std * np.random.default_rng(SEED).standard_normal(SAMPLES)),
        float(special.ndtr((np.array([mean, -mean]) - math.atanh(EDGE)) / std).sum()),
        curves[0],
        curves[chosen],
        (float(own[0][0]), float(own[chosen][0])),
    )


def scene(data: Squashed) -> Scene:
    (true, believed), tops = data.own, counted(len(data.tops), "top")
    headline = f"After tanh the density has {tops} inside and area {data.area:.2f}; entropy {signed(true)} nats."
    if data.log_prob == LOG_PROBS[1]:
        headline = (
            f"exp(log π) without the correction has {tops} inside and area {data.area:.3f}, so it is no density; "
            f"believed entropy {signed(believed)} nats, true {signed(true)}."
        )
    bell = data.mean + data.std * np.linspace(-3, 3, 61)  # a narrow one has its own points
    thin = np.unique(np.abs(data.u[:, None] - np.append(np.linspace(-6, 6, 121), bell)).argmin(0))
    u, before = data.u[thin], data.density_u[thin]
    top = 1.15 * float(data.density_u.max())
    marks = [line(u, before, "sky", width=3)]
    for side in (-1, 1):
        beyond = side * u > math.atanh(EDGE)
        if beyond.any():
            marks.append(area(u[beyond], 0 * u[beyond], before[beyond], "red", alpha=0.5))
    peak = float(np.exp(-0.5) / (data.std * math.sqrt(2 * math.pi)))  # of the density, one σ from the middle
    marks.append(handle(data.mean, top / 1.15, "mean μ", along_x="mean"))
    marks.append(handle(data.mean + data.std, peak, "σ, from the mean", along_x="std", zero=data.mean, color="green"))
    across = Axis(-6, 6, f"u; shaded: |tanh u| > {EDGE}, {100 * data.outside:.0f} %")
    gauss = View(across, Axis(0, top, "density"), marks, f"before: μ = {data.mean:g}, σ = {data.std:g}")

    counts, edges = np.histogram(data.samples, 40, (-1, 1), density=True)
    inside = np.abs(data.action) < 0.975  # beyond, a wide Gaussian's density is a spike that would flatten the rest
    thin = np.unique(np.abs(data.action[:, None] - np.append(np.linspace(-1, 1, 121), np.tanh(bell))).argmin(0))
    squashed = View(Axis(-1.02, 1.02, "action a = tanh u"), up_to(counts, data.density[inside], label="density"), [
        bars((edges[1:] + edges[:-1]) / 2, 0 * counts, counts, "sky", width=0.048, alpha=0.6),
        line(data.action[thin], data.density[thin], "red", width=3, dash=data.area <= 0.999),
    ], f"after: bars, what is drawn; line, exp(log π) {data.log_prob}")  # fmt: skip

    lowest = min(-2.0, float(min(data.entropy.min(), true)) - 0.3)
    curves = [
        line([0, 3], [math.log(2)] * 2, "ink", label="even: log 2", width=1.5),
        line(SPREADS, data.entropy, "blue", label="true"),
    ]
    if data.log_prob == LOG_PROBS[1]:
        curves.append(line(SPREADS, data.believed, "red", label="believed", dash=True))
    curves.append(handle(data.std, true, "spread", along_x="std", color="green"))
    return Scene(
        headline,
        (gauss, squashed),
        (View(Axis(0, 3, "spread σ"), Axis(lowest, 5, "nats"), curves, "entropy of the actions"),),
    )


def describe(data: Squashed) -> str:
    (true, believed), tops = data.own, counted(len(data.tops), "top")
    what = "Its density over actions" if data.log_prob == LOG_PROBS[0] else "exp(log π) is no density: it"
    return (
        f"Normal with mean {data.mean:g} and spread {data.std:g}, squashed by tanh; log-probability {data.log_prob}. "
        f"{what} integrates to {data.area:.3f} and has {tops} inside; "
        f"{100 * data.outside:.0f} % of the actions are beyond ±{EDGE}. "
        f"Entropy of the actions {signed(true)} nats, believed {signed(believed)}."
    )


@presets.offered(PRESETS)
def widget(values: presets.Values) -> Panel:
    """Move mean and spread of a squashed Gaussian, and leave out the correction of its log-probability."""
    controls = {
        "mean": slider(values["mean"], -2.0, 2.0, 0.1, "mean μ"),
        "std": slider(values["std"], 0.05, 3.0, 0.01, "spread σ"),
        "log_prob": choice(values["log_prob"], LOG_PROBS, "log-probability"),
    }
    return Panel(compute, scene, describe, controls)
