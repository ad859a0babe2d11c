r"""SAC's policy for one number: a normal u squashed to a = tanh u, and what happens if nobody corrects its probability.

Changing variables, log π(a) = log N(u; μ, σ) − log(1 − tanh² u) (Haarnoja et al. 2018, appendix C). Both come from
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

import ipywidgets
import numpy as np
import torch
from jaxtyping import Float
from matplotlib.figure import Figure
from scipy import special

from rlcourse.algorithms import sac
from rlcourse.curves import signed
from rlcourse.nets import Gaussian
from rlcourse.widgets import presets
from rlcourse.widgets.panel import COLORS, Panel

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
        u, density_u: numbers before squashing, and N(u; μ, σ).
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


def draw(figure: Figure, data: Squashed) -> None:
    left, middle, right = (figure.add_axes((x, 0.155, 0.27, 0.74)) for x in (0.05, 0.38, 0.71))
    left.plot(data.u, data.density_u, color=COLORS[5], label="density of u")
    for side in (-1, 1):
        beyond = side * data.u > math.atanh(EDGE)
        label = f"|tanh u| > {EDGE}: {100 * data.outside:.0f} %" if side > 0 else None
        left.fill_between(data.u[beyond], data.density_u[beyond], color=COLORS[1], alpha=0.5, linewidth=0, label=label)
    left.set(xlabel="u", title=f"before: μ = {data.mean:g}, σ = {data.std:g}", xlim=(-6, 6))
    left.set_ylim(0, 1.4 * float(data.density_u.max()))

    bars, *_ = middle.hist(data.samples, 40, range=(-1, 1), density=True, color=COLORS[5], alpha=0.5, label="samples")
    label = f"exp(log π), area {data.area:.2f}"
    middle.plot(data.action, data.density, color=COLORS[1], linestyle="-" if data.area > 0.999 else "--", label=label)
    inside = np.abs(data.action) < 0.975  # beyond, a wide Gaussian's density is a spike that would flatten the rest
    top = max(float(np.max(bars)), float(data.density[inside].max()))
    middle.set(xlabel="action a = tanh u", title=f"after: {data.log_prob}", xlim=(-1.02, 1.02), ylim=(0, 1.4 * top))

    true, believed = data.own
    right.axhline(math.log(2), color=COLORS[6], linestyle=":", linewidth=1.5, label="even actions: log 2")
    right.plot(SPREADS, data.entropy, color=COLORS[0], label=f"true: {signed(true)}")
    right.plot(data.std, true, "o", color=COLORS[0], markersize=8)
    if data.log_prob == LOG_PROBS[1]:
        right.plot(SPREADS, data.believed, color=COLORS[1], linestyle="--", label=f"believed: {signed(believed)}")
        right.plot(data.std, believed, "o", color=COLORS[1], markersize=8)
    lowest = float(min(data.entropy.min(), true))
    right.set(xlabel="spread σ", title="entropy in nats", xlim=(0, 3), ylim=(min(-2, lowest - 0.3), 5))
    for ax in (left, middle, right):
        ax.legend(frameon=False, loc="upper left", fontsize=11, handlelength=2.4)


def describe(data: Squashed) -> str:
    true, believed = data.own
    tops = f"{len(data.tops)} top{'' if len(data.tops) == 1 else 's'}"
    return (
        f"Normal with mean {data.mean:g} and spread {data.std:g}, squashed by tanh; log-probability {data.log_prob}. "
        f"Its density over actions integrates to {data.area:.3f} and has {tops} inside; "
        f"{100 * data.outside:.0f} % of the actions are beyond ±{EDGE}. "
        f"Entropy of the actions {signed(true)} nats, believed {signed(believed)}."
    )


@presets.checked
def widget(preset: str = next(iter(PRESETS)), **changes: Any) -> Panel:
    """Move mean and spread of a squashed Gaussian, and leave out the correction of its log-probability.

    Args:
        preset: one of `PRESETS`, where the controls start.
        changes: values of controls, by `compute`'s names, that differ from the preset's.

    Raises:
        ValueError: the preset or the name of a control is unknown, or a value is none that it takes.
    """
    values = presets.start(PRESETS, preset, changes)
    wide = {"style": {"description_width": "110px"}, "layout": {"width": "330px"}}
    make = ipywidgets
    controls = {
        "log_prob": make.Dropdown(options=LOG_PROBS, value=values["log_prob"], description="log-probability", **wide),
        "mean": make.FloatSlider(value=values["mean"], min=-2, max=2, step=0.1, description="mean μ", **wide),
        "std": make.FloatSlider(value=values["std"], min=0.05, max=3, step=0.01, description="spread σ", **wide),
    }
    return presets.attach(Panel(compute, draw, describe, controls, size=(13, 4.1)), PRESETS)
