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

import numpy as np
from jaxtyping import Float

from rlcourse.widgets import presets
from rlcourse.widgets.panel import Panel, choice, player, slider, switch
from rlcourse.widgets.scene import Axis, Scene, View, arrows, counted, dots, handle, line, text

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
    formula = f"{_formula(bootstrap, p, batch, gamma, lr)} = {factor:.4f}" if approximate else ""
    setting = bootstrap, approximate, updated, method, gamma, lr, step
    return Triad(*setting, parameters @ features.T, factor, factors, threshold, formula)


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


def scene(data: Triad) -> Scene:
    headline = f"{counted(data.step, 'step')}: {in_words(data)}."
    caption = f"Factor per step: {data.formula}" if data.formula else ""
    return Scene(headline, (run(data), factors(data)), (chain(data),), caption)


def run(data: Triad) -> View:
    """The sizes of both values, step by step."""
    steps = np.arange(STEPS + 1.0)
    size = np.abs(data.values).clip(1e-5, 1e7)
    marks = [line([0, STEPS], [1, 1], "grey", width=1)]
    for i, color in enumerate(("blue", "red")):
        marks.append(line(steps, size[:, i], color, label=f"|V({i + 1})|", width=3))
    value = float(size[data.step, 1].clip(1e-4, 1e6))
    marks.append(handle(float(data.step), value, "step", along_x="step"))
    ticks = {10.0**power: name for power, name in ((-4, "0.0001"), (-2, "0.01"), (0, "1"), (2, "100"), (4, "10,000"))}
    low, high = (number(each) for each in data.values[data.step])
    title = f"after {counted(data.step, 'step')} V(1) = {low}, V(2) = {high}; the true values are 0"
    return View(Axis(-1, STEPS + 1, "step"), Axis(5e-5, 2e6, "size", log=True, ticks=ticks), marks, title)


def factors(data: Triad) -> View:
    """What one step multiplies by, for every discount."""
    thin = slice(None, None, 4)
    top = max(1.25, 1.05 * float(data.factors.max()))
    marks = [
        line([0, 1], [1, 1], "ink", label="1: stays", dash=True),
        line(GAMMAS[thin], data.factors[thin], "green", width=3),
    ]
    if data.threshold is not None:
        name = {1.0: "γ = 1/2", 0.5: "γ = 5/6"}[UPDATED[data.updated]]
        marks.append(line([data.threshold] * 2, [0, top], "purple", dash=True))
        marks.append(text([data.threshold - 0.02], [0.06 * top], [name], "purple", anchor="end", bold=True))
    marks.append(handle(data.gamma, data.factor, "γ", along_x="gamma"))
    return View(Axis(0, 1.02, "discount γ"), Axis(0, top, "factor per step"), marks, "above 1 the values grow")


def chain(data: Triad) -> View:
    """The two states, what each is worth now, and how often each is updated."""
    p, value = UPDATED[data.updated], data.values[data.step]
    shares = np.array([p, 1 - p])
    places = np.array([0.0, 1.6])
    names = [("w", "2w")[i] if data.approximate else f"V({i + 1})" for i in (0, 1)]
    updated = [f"updated: {100 * share:.0f} %" if share else "not updated" for share in shares]
    loop = np.pi * (1 - np.linspace(0.2, 1.9, 40))
    x, y = 2.3 + 0.35 * np.cos(loop), 0.35 * np.sin(loop)
    marks = [
        arrows([0.45, x[-5]], [0.0, y[-5]], [0.7, x[-1] - x[-5]], [0.0, y[-1] - y[-5]], "ink", width=3),
        line(x[:-4], y[:-4], "ink", width=3),
        dots(places, 0 * places, ["blue", "red"], size=2.6, alpha=0.25),
        text(places, 0 * places, names, size=1.3, bold=True),
        text(places, 0 * places - 0.62, [number(each) for each in value], ["blue", "red"], bold=True),
        text(places, 0 * places - 0.9, updated),
    ]
    return View(Axis(-1, 3, ticks={}), Axis(-1.1, 0.8, ticks={}), marks, "all rewards are 0", equal=True)


def number(value: float) -> str:
    """Short, also when it has run away or died out: written as the axis is."""
    if value == 0 or 1e-4 <= value < 1e6:
        return f"{float(f'{value:.3g}'):,.10g}"
    front, power = f"{value:.1e}".split("e")
    return f"{front}·10{str(int(power)).translate(str.maketrans('-0123456789', '⁻⁰¹²³⁴⁵⁶⁷⁸⁹'))}"


def describe(data: Triad) -> str:
    bootstrapping = "with bootstrapping" if data.bootstrap else "without bootstrapping"
    values = "one shared weight" if data.approximate else "a table"
    settings = f"updated: {data.updated}, {data.method}, discount {data.gamma:g}, step size {data.lr:g}"
    low, high = (number(each) for each in data.values[data.step])
    limit = f"Grows for discounts above {data.threshold:.3f}." if data.threshold else "Grows for no discount."
    return (
        f"Two states, {bootstrapping}, {values}, {settings}. After {counted(data.step, 'step')} V(1) = {low}, "
        f"V(2) = {high}. Factor per step {data.factor:.4f}: {in_words(data)}. {limit}"
    )


@presets.offered(PRESETS)
def widget(values: presets.Values) -> Panel:
    """Take away one of the three parts, or move γ across its threshold, and step."""
    controls = {
        "bootstrap": switch(values["bootstrap"], "bootstrapping"),
        "approximate": switch(values["approximate"], "approximation: one weight"),
        "updated": choice(values["updated"], list(UPDATED), "updated"),
        "gamma": slider(values["gamma"], 0.0, 1.0, 0.01, "γ"),
        "step": slider(values["step"], 0, STEPS, 1, "step"),
        "method": choice(values["method"], METHODS, "method"),
        "lr": slider(values["lr"], 0.01, 0.25, 0.01, "step size α"),
    }
    first = [controls[name] for name in ("bootstrap", "approximate", "updated")]
    rest = [controls["step"], player(controls["step"]), *(controls[name] for name in ("gamma", "method", "lr"))]
    panel = Panel(compute, scene, describe, controls, rows=[first, rest])

    def follow(_: Any = None) -> None:
        controls["lr"].disabled = controls["method"].value == METHODS[1]  # the regression is solved exactly

    follow()
    controls["method"].observe(follow, "value")
    return panel
