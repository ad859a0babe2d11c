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

import numpy as np
import torch
from jaxtyping import Bool, Float

from rlcourse.algorithms import ppo
from rlcourse.curves import signed
from rlcourse.widgets import presets
from rlcourse.widgets.panel import Panel, choice, slider
from rlcourse.widgets.scene import Axis, Mark, Scene, View, area, around, dots, handle, line, up_to

LECTURE = "5 PPO"
QUESTION = "When does a clipped sample stop pushing?"

OBJECTIVES = ("clipped, with min (PPO)", "clipped, without min", "not clipped")
INKS = ("blue", "red", "green")  # of the three objectives
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


def scene(data: Clip) -> Scene:
    toward = "up" if data.slope > 0 else "down"
    push = (
        f"pushes the ratio {toward}, with slope {signed(data.slope)}" if data.slope else "does not push: its slope is 0"
    )
    headline = f"A sample with ratio {data.ratio:g} and advantage {signed(data.advantage)} {push}."
    objective = curves(data, data.objectives, data.value, "objective of one sample")
    slope = curves(data, data.gradients, data.slope, "slope, by which the ratio is pushed")
    return Scene(headline, (objective,), (slope, batch(data)))


def curves(data: Clip, lines: Float[np.ndarray, "3 R"], here: float, title: str) -> View:
    """The three objectives, or their slopes, over the ratio, with the sample to take hold of."""
    up, thin = around(lines, room=0.1), slice(None, None, 6)
    marks = [within(data.clip, up)]
    for i in (2, 1, 0):
        width = 3.5 if i == data.chosen else 1.5
        marks.append(line(RATIOS[thin], lines[i, thin], INKS[i], label=OBJECTIVES[i], width=width, dash=i > 0))
    marks.append(handle(1 + data.clip, up.low, "clip range ε", along_x="clip", zero=1.0, color="green", size=0.5))
    marks.append(handle(data.ratio, here, "ratio", along_x="ratio"))
    return View(Axis(0, 3, "ratio r = π / π_old; grey: 1 − ε to 1 + ε"), up, marks, title)


def batch(data: Clip) -> View:
    """Every sample of the batch; those without a gradient are hollow."""
    across, up = up_to(data.ratios, 1.9, label="ratio r", room=0.05), Axis(-3.5, 3.5, "advantage A")
    marks = [within(data.clip, up), line([0, across.high], [0, 0], "grey", width=1)]
    for blocked, color in ((False, "blue"), (True, "red")):
        mask = data.blocked == blocked
        marks.append(dots(data.ratios[mask], data.advantages[mask], color, size=0.2, hollow=blocked, alpha=0.7))
    title = f"a batch of {SAMPLES}: {100 * data.blocked.mean():.0f} % without gradient (red)"
    return View(across, up, marks, title)


def within(clip: float, up: Axis) -> Mark:
    """The ratios that clipping leaves alone."""
    return area([1 - clip, 1 + clip], [up.low] * 2, [up.high] * 2, "grey", alpha=0.15)


def describe(data: Clip) -> str:
    chosen, unclipped = data.mean
    return (
        f"Objective {data.objective}, advantage {signed(data.advantage)}, clip range {data.clip:g}. "
        f"At ratio {data.ratio:g} the objective is {signed(data.value)} and its slope {signed(data.slope)}. "
        f"In a batch of {SAMPLES} with ratios from {data.ratios.min():.2f} to {data.ratios.max():.2f}, "
        f"{100 * data.blocked.mean():.0f} % have no gradient; the mean objective is {signed(chosen)}, "
        f"not clipped {signed(unclipped)}."
    )


@presets.offered(PRESETS)
def widget(values: presets.Values) -> Panel:
    """Move ratio, advantage and clip range, and see which samples still have a gradient."""
    # Ratio and clip range move on different grids: at its corners the objective has no derivative.
    controls = {
        "ratio": slider(values["ratio"], 0.05, 2.95, 0.1, "ratio r"),
        "advantage": slider(values["advantage"], -2.0, 2.0, 0.1, "advantage A"),
        "objective": choice(values["objective"], OBJECTIVES, "objective"),
        "clip": slider(values["clip"], 0.1, 0.5, 0.1, "clip range ε"),
        "spread": slider(values["spread"], 0.0, 1.0, 0.05, "policy moved σ"),
    }
    return Panel(compute, scene, describe, controls, more=("clip", "spread"))
