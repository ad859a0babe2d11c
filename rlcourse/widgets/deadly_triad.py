r"""The deadly triad on the smallest example: two states, one weight, no reward, and values that grow without end.

State 1 leads to state 2, state 2 to itself, all rewards are 0, so every true value is 0. The features are 1 and 2, one
weight is shared: V(1) = w, V(2) = 2w. It starts at w = 1. What is learned from is state 1 with probability p and state
2 with 1 − p.

**Bootstrapping, shared weight.** The targets are γV(2) = 2γw for either state; the error is (2γ − 1)w in state 1 and
(2γ − 2)w in state 2.

- Semi-gradient TD adds step size · error · feature, here its mean over p:
  w ← [1 + α(p(2γ − 1) + (1 − p)·2·(2γ − 2))] w. It grows if and only if p(2γ − 1) > 4(1 − p)(1 − γ).
- Fitted iteration solves the regression min_u p(u − 2γw)² + (1 − p)(2u − 2γw)² exactly: u = γ(4 − 2p)/(4 − 3p) · w.
- Both thresholds are the same: γ > (4 − 3p)/(4 − 2p). State 1 only (p = 1; Sutton & Barto 2018, §11.2): γ > 1/2. Both
  equally (p = 1/2; Tsitsiklis & Van Roy 1996, Sutton & Barto's example 11.1 without its exit): γ > 5/6.

**On-policy** is p = 0: whoever follows this chain sees state 1 at most once and then state 2 for ever, its stationary
distribution is (0, 1). Then the error always has the sign opposite to w: factors 1 − 4α(1 − γ) and γ. In general
(Tsitsiklis & Van Roy 1997), with d the stationary distribution of the transitions P, d-weighted lengths obey
‖PV‖_d ≤ ‖V‖_d, because one step of the chain turns d into d. So γPV is shorter than V and the mean update, −Xᵀ D (I −
γP) X w, points inwards for every choice of features X. Another weighting, p > 0 here, breaks exactly this inequality:
the update asks for V(1) = 2γw and moves V(2) = 2w along, more often than state 2 is there to correct it.

**Without bootstrapping** the targets are the returns, all 0: factor 1 − α(p + 4(1 − p)), or 0 for fitted iteration.
**Without a shared weight** (a table) V(1) ← V(1) + αp(γV(2) − V(1)), V(2) ← V(2) − α(1 − p)(1 − γ)V(2): the updates of
one state cannot change the other. What is never updated stays. Fitted iteration sets the updated states to their
targets.

The step size is at most 1/4, so that no factor is negative: what grows here grows for *every* step size.
"""

from dataclasses import dataclass
from typing import Any

import ipywidgets
import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rlcourse.widgets import presets
from rlcourse.widgets.oldpanel import Panel
from rlcourse.widgets.still import COLORS

LECTURE = "2 DQN"
QUESTION = "Which three things together make values explode?"

STEPS = 100
GAMMAS = np.linspace(0, 1, 201)
FEATURES = np.array([[1.0], [2.0]])
FOLLOWING = np.array([[0.0, 1.0], [0.0, 1.0]])  # transition probabilities P
METHODS = ("online: semi-gradient TD", "batch: fitted iteration")
UPDATED = {"state 1 only": 1.0, "both equally": 0.5, "on-policy: state 2": 0.0}  # p

_ALL = {
    "bootstrap": True,
    "approximate": True,
    "updated": "state 1 only",
    "method": METHODS[0],
    "gamma": 0.9,
    "lr": 0.1,
    "step": 20,
}
_BATCH = _ALL | {"updated": "both equally", "method": METHODS[1]}
PRESETS: dict[str, dict[str, Any]] = {
    "all three: it grows": _ALL,
    "all three, but γ just below 1/2": _ALL | {"gamma": 0.49},
    "fitted iteration, γ above 5/6": _BATCH,
    "fitted iteration, γ below 5/6": _BATCH | {"gamma": 0.8},
    "without bootstrapping": _ALL | {"bootstrap": False},
    "without approximation": _ALL | {"approximate": False},
    "on-policy": _ALL | {"updated": "on-policy: state 2"},
}


@dataclass(frozen=True)
class Triad:
    """Values of both states before every step, and what one step multiplies them by.

    Attributes:
        values: V(1), V(2) after 0, 1, …, `STEPS` steps.
        factor: what a step multiplies the largest component of the parameters by, in the long run.
        factors: the same for all of `GAMMAS`.
        threshold: the largest γ up to which nothing grows; None if nothing ever does.
        formula: of the factor, with its numbers; empty for a table.
    """

    bootstrap: bool
    approximate: bool
    updated: str
    method: str
    gamma: float
    lr: float
    step: int
    values: Float[np.ndarray, "steps 2"]
    factor: float
    factors: Float[np.ndarray, " gammas"]
    threshold: float | None
    formula: str

    @property
    def moves(self) -> tuple[bool, bool]:
        """Which of the two values the updates change."""
        p = UPDATED[self.updated]
        return self.approximate or p > 0, self.approximate or p < 1


def update_matrix(
    bootstrap: bool, approximate: bool, p: float, batch: bool, gamma: float, lr: float
) -> Float[np.ndarray, "n n"]:
    """What one step multiplies the parameters by: w `(1, 1)`, or the table V(1), V(2) `(2, 2)`.

    Semi-gradient: I − α Xᵀ D (X − Y), fitted iteration: (Xᵀ D X)⁺ Xᵀ D Y; D the weighting and Y w the targets.
    """
    features = FEATURES if approximate else np.eye(2)
    targets = gamma * FOLLOWING @ features if bootstrap else np.zeros_like(features)
    weighted = features.T * (p, 1 - p)
    if not batch:
        return np.eye(features.shape[1]) - lr * weighted @ (features - targets)
    untouched = np.diag((np.diag(weighted @ features) == 0).astype(float))
    return np.linalg.pinv(weighted @ features) @ weighted @ targets + untouched


def growth(matrix: Float[np.ndarray, "*gammas n n"]) -> Float[np.ndarray, "*gammas"]:
    """The spectral radius."""
    return np.asarray(np.abs(np.linalg.eigvals(matrix)).max(-1))


def compute(bootstrap: bool, approximate: bool, updated: str, method: str, gamma: float, lr: float, step: int) -> Triad:
    p, batch = UPDATED[updated], method == METHODS[1]
    matrix = update_matrix(bootstrap, approximate, p, batch, gamma, lr)
    parameters = np.empty((STEPS + 1, len(matrix)))
    parameters[0] = (1.0,) if approximate else (1.0, 2.0)
    for k in range(STEPS):
        parameters[k + 1] = matrix @ parameters[k]
    features = FEATURES if approximate else np.eye(2)
    still, full = (update_matrix(bootstrap, approximate, p, batch, each, lr) for each in (0.0, 1.0))
    # The targets are proportional to γ, so the matrix is linear in it.
    factors = growth(still + GAMMAS[:, None, None] * (full - still))
    threshold = (4 - 3 * p) / (4 - 2 * p) if bootstrap and approximate and p > 0 else None
    factor = float(growth(matrix))
    formula = f"{_formula(bootstrap, p, batch, gamma, lr)} = {factor:.3f}" if approximate else ""
    return Triad(
        bootstrap,
        approximate,
        updated,
        method,
        gamma,
        lr,
        step,
        parameters @ features.T,
        factor,
        factors,
        threshold,
        formula,
    )


def _formula(bootstrap: bool, p: float, batch: bool, gamma: float, lr: float) -> str:
    """The factor of w with the settings put in."""
    if batch:
        return {1.0: f"2γ = 2·{gamma:g}", 0.5: f"6γ/5 = 6·{gamma:g}/5", 0.0: "γ"}[p] if bootstrap else "0"
    if not bootstrap:
        return {1.0: f"1 − α = 1 − {lr:g}", 0.5: f"1 − 5α/2 = 1 − 2.5·{lr:g}", 0.0: f"1 − 4α = 1 − 4·{lr:g}"}[p]
    return {
        1.0: f"1 + α(2γ − 1) = 1 + {lr:g}·({2 * gamma - 1:.3g})",
        0.5: f"1 + α(6γ − 5)/2 = 1 + {lr:g}·({3 * gamma - 2.5:.3g})",
        0.0: f"1 − 4α(1 − γ) = 1 − {4 * lr:.3g}·{1 - gamma:.3g}",
    }[p].replace("(-", "(−")


def in_words(data: Triad) -> str:
    """What a step does, in one sentence."""
    if not data.approximate:
        still = [f"V({i + 1}) is never updated and stays {i + 1}" for i in (0, 1) if not data.moves[i]]
        if data.bootstrap:
            rest = "no value of a table exceeds the largest it began with"
        elif still:
            rest = f"V({1 + data.moves.index(True)}) goes to its return, 0"
        else:
            rest = "both values go to their return, 0"
        return "; ".join([*still, rest])
    percent = 100 * abs(data.factor - 1)
    if percent < 5e-8:
        return "w stays as it is"
    if data.factor == 0:
        return "w is 0 after one step"
    return f"w {'grows' if data.factor > 1 else 'shrinks'} by {percent:.3g} % per step"


def draw(figure: Figure, data: Triad) -> None:
    draw_chain(figure.add_axes((0.01, 0.16, 0.25, 0.74)), data)
    middle, right = (figure.add_axes((left, 0.25, 0.29, 0.63)) for left in (0.335, 0.7))
    steps = np.arange(STEPS + 1)
    size = np.abs(data.values)
    for i, style in enumerate(("--", "-")):
        value = number(data.values[data.step, i])
        middle.semilogy(
            steps, np.maximum(size[:, i], 1e-30), color=COLORS[i], linestyle=style, label=f"V({i + 1}) = {value}"
        )
        middle.plot(data.step, np.clip(size[data.step, i], 1e-4, 1e6), "o", color=COLORS[i], markersize=9)
    middle.set(xlabel="step", title=f"values after {data.step} steps", ylim=(5e-5, 2e6), xlim=(-2, STEPS + 2))
    middle.set_yticks([1e-4, 1e-2, 1, 1e2, 1e4, 1e6])
    middle.axhline(1, color="#777777", lw=0.8)
    middle.legend(frameon=False, loc="upper left" if data.factor <= 1 else "lower right", fontsize=11)

    right.plot(GAMMAS, data.factors, color=COLORS[2])
    right.axhline(1, color=COLORS[6], linestyle=":")
    right.plot(data.gamma, data.factor, "o", color=COLORS[1], markersize=10, clip_on=False)
    top = max(1.25, 1.05 * float(data.factors.max()))
    right.set(xlabel="discount γ", title="factor per step", xlim=(0, 1.02), ylim=(0, top))
    right.text(0.02, 1 + 0.02 * top, "above: grows", fontsize=11)
    if data.threshold is not None:
        right.axvline(data.threshold, color=COLORS[3], linestyle="--")
        name = {1.0: "γ = 1/2", 0.5: "γ = 5/6"}[UPDATED[data.updated]]
        right.text(data.threshold - 0.02, 0.04 * top, name, color=COLORS[3], ha="right", fontsize=11, weight="bold")
    sentence = in_words(data)
    figure.text(
        0.335,
        0.045,
        f"{sentence};  factor {data.formula}" if data.formula else sentence,
        fontsize=13,
        weight="bold",
        color=COLORS[1] if data.factor > 1 + 1e-9 else COLORS[6],
    )


def draw_chain(ax: Axes, data: Triad) -> None:
    p = UPDATED[data.updated]
    ax.set(xlim=(-0.75, 2.35), ylim=(-1.5, 1.75), xticks=[], yticks=[])
    ax.set_aspect("equal")
    ax.spines[:].set_visible(False)
    ax.set_title("rewards 0: true values 0")
    value = data.values[data.step]
    for i, share in enumerate((p, 1 - p)):
        x = 1.6 * i
        inside = "#E8E8E8" if share else "#FFFFFF"
        ax.plot(x, 0, "o", markersize=62, color=COLORS[i], markeredgewidth=3, markerfacecolor=inside)
        ax.text(x, 0, ("w", "2w")[i] if data.approximate else f"V({i + 1})", ha="center", va="center", fontsize=16)
        ax.text(x, -0.75, number(value[i]), ha="center", va="center", color=COLORS[i], weight="bold", fontsize=14)
        updated = f"updated: {100 * share:.0f} %" if share else "not updated"
        ax.text(x, -1.15, updated, ha="center", va="center", fontsize=11)
    arrow = {"arrowstyle": "-|>", "lw": 2, "color": COLORS[6]}
    ax.annotate("", (1.1, 0), (0.5, 0), arrowprops=arrow)
    ax.annotate(
        "", (1.85, 0.45), (1.35, 0.45), arrowprops=arrow | {"connectionstyle": "arc3,rad=-1.6"}, annotation_clip=False
    )


def number(value: float) -> str:
    """Short, also when it has run away or died out."""
    if value == 0:
        return "0"
    return f"{value:.3g}" if 0.01 <= abs(value) < 1e4 else f"{value:.1e}"


def describe(data: Triad) -> str:
    bootstrapping = "with bootstrapping" if data.bootstrap else "without bootstrapping"
    values = "one shared weight" if data.approximate else "a table"
    settings = f"updated: {data.updated}, {data.method}, discount {data.gamma:g}, step size {data.lr:g}"
    low, high = (number(each) for each in data.values[data.step])
    limit = f"Grows for discounts above {data.threshold:.3f}." if data.threshold else "Grows for no discount."
    return (
        f"Two states, {bootstrapping}, {values}, {settings}. After {data.step} steps V(1) = {low}, V(2) = {high}. "
        f"Factor per step {data.factor:.4f}: {in_words(data)}. {limit}"
    )


@presets.checked
def widget(preset: str = "all three: it grows", **changes: Any) -> Panel:
    """Take away one of the three parts, or move γ across its threshold, and step.

    Args:
        preset: one of `PRESETS`, where the controls start.
        changes: values of controls, by `compute`'s names, that differ from the preset's.

    Raises:
        ValueError: the preset or the name of a control is unknown, or a value is none that it takes.
    """
    values = presets.start(PRESETS, preset, changes)
    wide = {"style": {"description_width": "90px"}, "layout": {"width": "320px"}}
    small = {"indent": False, "layout": {"width": "220px"}}
    make = ipywidgets
    controls = {
        "bootstrap": make.Checkbox(value=values["bootstrap"], description="bootstrapping", **small),
        "approximate": make.Checkbox(value=values["approximate"], description="approximation: one weight", **small),
        "updated": make.Dropdown(options=list(UPDATED), value=values["updated"], description="updated", **wide),
        "method": make.Dropdown(options=METHODS, value=values["method"], description="method", **wide),
        "gamma": make.FloatSlider(value=values["gamma"], min=0, max=1, step=0.01, description="γ", **wide),
        "lr": make.FloatSlider(value=values["lr"], min=0.01, max=0.25, step=0.01, description="step size α", **wide),
        "step": make.IntSlider(value=values["step"], min=0, max=STEPS, description="step", **wide),
    }
    play = make.Play(value=values["step"], min=0, max=STEPS, interval=400)
    make.link((play, "value"), (controls["step"], "value"))
    rows = [
        [controls[name] for name in ("bootstrap", "approximate", "updated")],
        [controls[name] for name in ("method", "gamma", "lr")],
        [controls["step"], play],
    ]
    panel = Panel(compute, draw, describe, controls, size=(13, 4), rows=rows)

    def follow(_: Any = None) -> None:
        controls["lr"].disabled = controls["method"].value == METHODS[1]  # the regression is solved exactly

    follow()
    controls["method"].observe(follow, "value")
    return presets.attach(panel, PRESETS)
