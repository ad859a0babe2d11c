r"""What clipping does to one sample and to a batch: the objective against the ratio, and where its gradient is zero.

With the ratio r = π(a|s) / π_old(a|s), the advantage A and the clip range ε, PPO maximises the mean over the batch of
min(r·A, clip(r, 1 − ε, 1 + ε)·A) (Schulman et al. 2017, eq. 7). Its gradient with respect to r is A or 0: 0 if A > 0
and r > 1 + ε, or if A < 0 and r < 1 − ε, that is, if the policy has already moved far enough in the direction that A
asks for, and nowhere else. Two comparisons: r·A, not clipped, and clip(r, …)·A without the minimum, whose gradient is 0
for *every* ratio outside the range, also for those that moved the wrong way.

**The batch.** r = exp(σz − σ²/2) with normal z, and A normal, independent of it: a policy that has moved by σ in a
direction that has nothing to do with the advantages. Then E[r] = 1, as for every policy: E over π_old of π/π_old is 1.

Objective and gradient of PPO and of the unclipped objective come from `ppo.actor_loss` itself, by autograd.
"""

from dataclasses import dataclass
from typing import Any

import ipywidgets
import numpy as np
import torch
from jaxtyping import Bool, Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rlcourse.algorithms import ppo
from rlcourse.curves import signed
from rlcourse.widgets import presets
from rlcourse.widgets.panel import COLORS, Panel

LECTURE = "5 PPO"
QUESTION = "When does a clipped sample stop pushing?"

OBJECTIVES = ("clipped, with min (PPO)", "clipped, without min", "not clipped")
LINES = ("-", "--", ":")
RATIOS = np.linspace(0.01, 3, 600)  # none of them where the objective has a corner
SAMPLES, SEED = 300, 0

_GOOD = {"objective": OBJECTIVES[0], "advantage": 1.0, "ratio": 1.55, "clip": 0.2, "spread": 0.3}
PRESETS: dict[str, dict[str, Any]] = {
    "A > 0, ratio too large: no gradient": _GOOD,
    "A < 0, ratio too small: no gradient": _GOOD | {"advantage": -1.0, "ratio": 0.55},
    "A > 0, moved the wrong way: pulled back": _GOOD | {"ratio": 0.55},
    "the same without min: stuck": _GOOD | {"ratio": 0.55, "objective": OBJECTIVES[1]},
    "A < 0, moved the wrong way: no lower bound": _GOOD | {"advantage": -1.0, "ratio": 2.85},
    "not clipped: always further": _GOOD | {"ratio": 2.85, "objective": OBJECTIVES[2]},
    "a policy far from the old one": _GOOD | {"spread": 1.0},
}


@dataclass(frozen=True)
class Clip:
    """One advantage over all ratios, and a batch.

    Attributes:
        objectives, gradients: for each of `OBJECTIVES` over `RATIOS`, and with respect to the ratio.
        value, slope: the chosen objective and its gradient at the chosen ratio.
        ratios, advantages: of the batch.
        blocked: of the batch, where the chosen objective has no gradient.
        mean: the chosen objective of the batch, and the unclipped one.
    """

    objective: str
    advantage: float
    ratio: float
    clip: float
    objectives: Float[np.ndarray, "3 R"]
    gradients: Float[np.ndarray, "3 R"]
    value: float
    slope: float
    ratios: Float[np.ndarray, " B"]
    advantages: Float[np.ndarray, " B"]
    blocked: Bool[np.ndarray, " B"]
    mean: tuple[float, float]

    @property
    def chosen(self) -> int:
        return OBJECTIVES.index(self.objective)


def objective_and_gradient(
    objective: str, ratio: Float[np.ndarray, " B"], advantage: Float[np.ndarray, " B"], clip: float
) -> tuple[Float[np.ndarray, " B"], Float[np.ndarray, " B"]]:
    """Of every single sample, and its derivative with respect to the ratio."""
    r, a = torch.tensor(ratio).requires_grad_(), torch.tensor(advantage)
    if objective == "clipped, without min":
        each = r.clamp(1 - clip, 1 + clip) * a
    else:
        limit = clip if objective == OBJECTIVES[0] else np.inf
        # Batches of one sample: a loss that is a mean does not show what each contributes.
        loss = torch.vmap(ppo.actor_loss, in_dims=(0, 0, 0, None))
        each = -loss(r.log()[:, None], torch.zeros_like(r)[:, None], a[:, None], limit)
    each.sum().backward()
    assert r.grad is not None
    return each.detach().numpy(), r.grad.numpy()


def compute(objective: str, advantage: float, ratio: float, clip: float, spread: float) -> Clip:
    same = np.full_like(RATIOS, advantage)
    curves = [objective_and_gradient(each, RATIOS, same, clip) for each in OBJECTIVES]
    value, slope = objective_and_gradient(objective, np.array([ratio]), np.array([advantage]), clip)
    z, advantages = np.random.default_rng(SEED).standard_normal((2, SAMPLES))
    ratios = np.exp(spread * z - spread**2 / 2)
    batch, gradient = objective_and_gradient(objective, ratios, advantages, clip)
    return Clip(
        objective,
        advantage,
        ratio,
        clip,
        np.stack([each for each, _ in curves]),
        np.stack([each for _, each in curves]),
        float(value[0]),
        float(slope[0]),
        ratios,
        advantages,
        gradient == 0,
        (float(batch.mean()), float((ratios * advantages).mean())),
    )


def draw(figure: Figure, data: Clip) -> None:
    left, middle, right = (figure.add_axes((x, 0.155, 0.27, 0.74)) for x in (0.05, 0.38, 0.71))
    sign = "A > 0" if data.advantage > 0 else "A < 0" if data.advantage < 0 else "A = 0"
    rows = (
        (left, data.objectives, data.value, f"objective for A = {signed(data.advantage)}"),
        (middle, data.gradients, data.slope, f"its slope, {sign}"),
    )
    for ax, lines, here, title in rows:
        ax.axvspan(1 - data.clip, 1 + data.clip, color="#999999", alpha=0.2, lw=0)
        for i in (2, 1, 0):
            width = 3.5 if i == data.chosen else 1.5
            ax.plot(RATIOS, lines[i], color=COLORS[i], linestyle=LINES[i], lw=width, label=OBJECTIVES[i])
        ax.plot(data.ratio, here, "o", color=COLORS[6], markersize=9)
        ax.set(xlabel="ratio r = π / π_old", title=title, xlim=(0, 3))
        headroom(ax, lines)
    left.legend(frameon=False, loc="upper left", fontsize=11, handlelength=3)
    middle.text(
        0.5,
        0.93,
        f"at r = {data.ratio:g}: slope {signed(data.slope)}",
        ha="center",
        transform=middle.transAxes,
        weight="bold",
        fontsize=12,
    )

    right.axvspan(1 - data.clip, 1 + data.clip, color="#999999", alpha=0.2, lw=0)
    right.axhline(0, color="#777777", lw=0.8)
    for mask, marker, color, label in (
        (~data.blocked, "o", COLORS[0], "gradient"),
        (data.blocked, "x", COLORS[1], "none"),
    ):
        share = f"{label}: {100 * mask.mean():.0f} %"
        right.plot(data.ratios[mask], data.advantages[mask], marker, color=color, markersize=4, label=share)
    right.set(xlabel="ratio r", ylabel="advantage A", title=f"a batch of {SAMPLES}", ylim=(-3.5, 5.2))
    right.set_xlim(0, max(2.0, 1.05 * float(data.ratios.max())))
    right.legend(frameon=False, loc="upper left", fontsize=11, ncols=2, columnspacing=1, handletextpad=0.1)


def headroom(ax: Axes, lines: np.ndarray) -> None:
    """For the legend above the lines."""
    low, high = float(lines.min()), float(lines.max())
    size = max(high - low, 0.5)
    ax.set_ylim(low - 0.08 * size, high + 0.42 * size)


def describe(data: Clip) -> str:
    chosen, unclipped = data.mean
    return (
        f"Objective {data.objective}, advantage {signed(data.advantage)}, clip range {data.clip:g}. "
        f"At ratio {data.ratio:g} the objective is {signed(data.value)} and its slope {signed(data.slope)}. "
        f"In a batch of {SAMPLES} with ratios from {data.ratios.min():.2f} to {data.ratios.max():.2f}, "
        f"{100 * data.blocked.mean():.0f} % have no gradient; the mean objective is {signed(chosen)}, "
        f"not clipped {signed(unclipped)}."
    )


@presets.checked
def widget(preset: str = next(iter(PRESETS)), **changes: Any) -> Panel:
    """Move ratio, advantage and clip range, and see which samples still have a gradient.

    Args:
        preset: one of `PRESETS`, where the controls start.
        changes: values of controls, by `compute`'s names, that differ from the preset's.

    Raises:
        ValueError: the preset or the name of a control is unknown, or a value is none that it takes.
    """
    values = presets.start(PRESETS, preset, changes)
    wide = {"style": {"description_width": "115px"}, "layout": {"width": "340px"}}
    make = ipywidgets
    # Ratio and clip range move on different grids: at its corners the objective has no derivative.
    controls = {
        "objective": make.Dropdown(options=OBJECTIVES, value=values["objective"], description="objective", **wide),
        "advantage": make.FloatSlider(
            value=values["advantage"], min=-2, max=2, step=0.1, description="advantage A", **wide
        ),
        "ratio": make.FloatSlider(value=values["ratio"], min=0.05, max=2.95, step=0.1, description="ratio r", **wide),
        "clip": make.FloatSlider(value=values["clip"], min=0.1, max=0.5, step=0.1, description="clip range ε", **wide),
        "spread": make.FloatSlider(
            value=values["spread"], min=0, max=1, step=0.05, description="policy moved σ", **wide
        ),
    }
    return presets.attach(Panel(compute, draw, describe, controls, size=(13, 4.1)), PRESETS)
