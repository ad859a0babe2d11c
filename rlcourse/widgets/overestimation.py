r"""Why the maximum of estimates is too high, what two sets of estimates change, and what a minimum over N does.

Two pictures, chosen by the function class. All actions but the first have the true value V − gap, the first has V.

**A table**: one state, V = 0, each estimate the mean of n samples with noise of standard deviation σ. Distribution and
expectation are computed by numerical integration, not sampled. With Φ the normal distribution, s = σ/√n and
F_N(x) = 1 − (1 − Φ(x))^N, the distribution of the smallest of N estimates,

- single, min of N: P(max_a min_i Q̂_i(a) ≤ s·x) = F_N(x) · F_N(x + gap/s)^{m−1}, with N = 1 for single;
- double (van Hasselt 2010): Q̂_B(argmax_a Q̂_A(a)) has bias −gap · P(A selects another action than the best), which is
  never positive, and 0 for equal true values.

**Polynomials** (van Hasselt, Guez & Silver 2016, figure 2): V(s) for s in [−6, 6], each action's estimate is a
polynomial fitted to samples at its own choice of n states: n + 2 evenly spaced ones, of which it misses two adjacent
inner ones. With n = 11 and 10 actions these are the paper's subsets of the integers. Even without noise the estimates
differ, and their maximum is too high. In further sets the actions exchange their choices of states: the second set
gives each action the choice of the one m/2 further on. The paper leaves open how its second set is chosen; this way all
its averages come out (+0.61, +0.47, +3.35 single, −0.02, +0.02, −0.02 double). It matters: without noise a second set
is only another interpolation error, and with the neighbour's choice degree 9 would give −6.96 for double.

**The bound** (van Hasselt, Guez & Silver 2016, theorem 1): if m ≥ 2 actions have equal true values V, their errors sum
to zero and have the *mean* square C = (1/m) Σ_a (Q̂(a) − V)² > 0, then max_a Q̂(a) ≥ V + √(C/(m − 1)), for every such
set of estimates and not only in expectation, and no larger bound holds.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from typing import Any

import ipywidgets
import numpy as np
from jaxtyping import Float, Int
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.special import ndtr

from rlcourse.curves import signed
from rlcourse.widgets import presets
from rlcourse.widgets.panel import COLORS, Panel

LECTURE = "2 DQN"
QUESTION = "Why is the largest of many guesses too high?"

MOST_ACTIONS, SEED = 50, 0
DRAWS, CENTRED_DRAWS = 32, 1000  # of noisy polynomials; of errors that sum to 0
ESTIMATORS = ("single", "double", "min of N")
LINES = ("-", "--", "-.")
DEGREES = {"table": 0, "polynomial, degree 6": 6, "polynomial, degree 9": 9}
TARGETS: dict[str, Callable[[np.ndarray], np.ndarray]] = {"sin s": np.sin, "2 exp(−s²)": lambda s: 2 * np.exp(-(s**2))}
STATES = np.linspace(-6, 6, 121)
X = np.linspace(-10, 10, 1001)  # of a standardised estimate
M = np.arange(2, MOST_ACTIONS + 1)

_TABLE = {
    "function": "table",
    "target": "sin s",
    "actions": 10,
    "noise": 1.0,
    "samples": 1,
    "gap": 0.0,
    "estimator": "single",
    "critics": 2,
}
_FIGURE_2 = _TABLE | {"function": "polynomial, degree 6", "noise": 0.0, "samples": 11}
PRESETS: dict[str, dict[str, Any]] = {
    "noise only": _TABLE,
    "many actions": _TABLE | {"actions": 50},
    "more samples help slowly": _TABLE | {"samples": 16},
    "the double estimator underestimates unequal actions": _TABLE | {"gap": 1.0, "estimator": "double"},
    "the minimum of ten critics underestimates": _TABLE | {"estimator": "min of N", "critics": 10},
    "zero noise: sin, degree 6": _FIGURE_2,
    "zero noise: bump, degree 6": _FIGURE_2 | {"target": "2 exp(−s²)"},
    "zero noise: bump, degree 9": _FIGURE_2 | {"target": "2 exp(−s²)", "function": "polynomial, degree 9"},
    "zero noise: bump, degree 9, double": _FIGURE_2
    | {"target": "2 exp(−s²)", "function": "polynomial, degree 9", "estimator": "double"},
}


def lower_bound(mean_square: Float[np.ndarray, "*m"], actions: Int[np.ndarray, "*m"]) -> Float[np.ndarray, "*m"]:
    """√(C/(m − 1)): max Q̂ − V is at least this, if all true values are V, the errors sum to 0 and m ≥ 2."""
    return np.sqrt(mean_square / (actions - 1))


@dataclass(frozen=True)
class Setting:
    """Where the controls stand."""

    function: str
    target: str
    actions: int
    noise: float
    samples: int
    gap: float
    estimator: str
    critics: int

    @property
    def chosen(self) -> int:
        return ESTIMATORS.index(self.estimator)

    @property
    def names(self) -> tuple[str, str, str]:
        return "single", "double", f"min of {self.critics}"


@dataclass(frozen=True)
class OneState:
    """A table's estimates of one state whose best action is worth 0.

    Attributes:
        scale: standard deviation of an estimate, σ/√n.
        x, density: distribution of what the chosen estimator takes for the maximum; empty without noise.
        bias: of the three estimators for m = 2, 3, …
        centred: the largest of m errors that sum to 0 and have the mean square scale², one row per draw.
        bound: the least it can be; None where it does not apply.
    """

    setting: Setting
    scale: float
    x: Float[np.ndarray, " x"]
    density: Float[np.ndarray, " x"]
    bias: Float[np.ndarray, "3 m"]
    centred: Float[np.ndarray, "draws m"]
    bound: Float[np.ndarray, " m"] | None

    @property
    def here(self) -> Float[np.ndarray, "3"]:
        """The three biases for the chosen number of actions."""
        return self.bias[:, self.setting.actions - M[0]]


@dataclass(frozen=True)
class AlongStates:
    """Polynomials fitted to each action's samples, for `STATES`.

    Attributes:
        value: V, the best action's true value.
        points, samples: where the first action was sampled, and what was seen.
        estimates: the first set's, one row per action.
        maximum: what the chosen estimator takes for the maximum, with these estimates as its first set.
        bias: of the three estimators in every state, mean over draws of the noise.
    """

    setting: Setting
    value: Float[np.ndarray, " S"]
    points: Float[np.ndarray, " n"]
    samples: Float[np.ndarray, " n"]
    estimates: Float[np.ndarray, "m S"]
    maximum: Float[np.ndarray, " S"]
    bias: Float[np.ndarray, "3 S"]

    @property
    def here(self) -> Float[np.ndarray, "3"]:
        """The three biases, mean over all states."""
        return np.trapezoid(self.bias, STATES) / np.ptp(STATES)


def compute(
    function: str, target: str, actions: int, noise: float, samples: int, gap: float, estimator: str, critics: int
) -> OneState | AlongStates:
    """What the three estimators make of `samples` noisy samples per action.

    Raises:
        ValueError: there are fewer samples than the polynomial has coefficients.
    """
    setting = Setting(function, target, actions, noise, samples, gap, estimator, critics)
    return one_state(setting) if function == "table" else along_states(setting)


def one_state(setting: Setting) -> OneState:
    scale, gap, critics = setting.noise / np.sqrt(setting.samples), setting.gap, setting.critics
    if scale == 0:
        still = np.zeros((3, M.size))
        return OneState(setting, 0.0, np.zeros(0), np.zeros(0), still, still[:1], None if gap else still[0])

    def maximum(smallest_of: int, others: np.ndarray) -> np.ndarray:
        """P(max ≤ X) for one action worth 0 and `others` worth −gap."""
        best, worse = (1 - (1 - ndtr(x)) ** smallest_of for x in (X, X + gap / scale))
        return best * worse ** others[..., None]

    others, step = M - 1, X[1] - X[0]
    single, smallest = (scale * (X[-1] - np.trapezoid(maximum(n, others), dx=step)) for n in (1, critics))
    normal = np.exp(-(X**2) / 2) / np.sqrt(2 * np.pi)
    best_selected = np.trapezoid(normal * ndtr(X + gap / scale) ** others[:, None], dx=step)
    double = -gap * (1 - best_selected)

    if setting.estimator == "double":
        shifted = np.exp(-((X + gap / scale) ** 2) / 2) / np.sqrt(2 * np.pi)
        p = best_selected[setting.actions - M[0]]
        density = p * normal + (1 - p) * shifted
    else:
        smallest_of = critics if setting.estimator == "min of N" else 1
        density = np.gradient(maximum(smallest_of, np.array(setting.actions - 1)), step)

    centred = scale * largest_centred(np.random.default_rng(SEED).standard_normal((CENTRED_DRAWS, MOST_ACTIONS)))
    bound = None if gap else lower_bound(np.full(M.size, scale**2), M)
    return OneState(setting, scale, scale * X, density / scale, np.stack([single, double, smallest]), centred, bound)


def largest_centred(errors: Float[np.ndarray, "draws most"]) -> Float[np.ndarray, "draws m"]:
    """For m = 2, 3, …: the largest of the first m errors, after they were centred and scaled to mean square 1."""
    counts = np.arange(1, errors.shape[1] + 1)
    mean = errors.cumsum(1) / counts
    # Welford (1962): each error adds its distance from the mean so far; E[x²] − E[x]² would cancel.
    added = (errors[:, 1:] - mean[:, :-1]) ** 2 * (counts[:-1] / counts[1:])
    return (np.maximum.accumulate(errors, 1) - mean)[:, 1:] / np.sqrt(added.cumsum(1) / counts[1:])


def missing(samples: int, actions: int) -> Int[np.ndarray, "m 2"]:
    """Which two of the inner points 1…n each action misses: adjacent ones, then two apart, three apart, …"""
    adjacent = samples - 1
    if actions < adjacent:
        first = np.linspace(1, adjacent, actions).round().astype(int)
        return np.stack([first, first + 1], axis=1)
    pairs: list[tuple[int, int]] = []
    for apart in count(1):
        pairs += [(first, first + apart) for first in range(1, samples + 1 - apart)]
        if len(pairs) >= actions or apart == adjacent:
            break
    return np.resize(np.array(pairs), (actions, 2))


def along_states(setting: Setting) -> AlongStates:
    degree, m, n = DEGREES[setting.function], setting.actions, setting.samples
    if n <= degree:
        raise ValueError(f"samples = {n}: a polynomial of degree {degree} needs at least {degree + 1}")
    rng, true = np.random.default_rng(SEED), TARGETS[setting.target]
    grid = np.linspace(-6, 6, n + 2)
    kept = np.ones((m, n + 2), bool)
    np.put_along_axis(kept, missing(n, m), False, axis=1)
    points = np.broadcast_to(grid, kept.shape)[kept].reshape(m, n)

    # Least squares by QR: coefficients = R⁻¹ Qᵀ samples, and for white noise Qᵀ noise is white noise again.
    q, r = np.linalg.qr(np.polynomial.legendre.legvander(points / 6, degree))
    inverse = np.linalg.inv(r)
    basis = np.polynomial.legendre.legvander(STATES / 6, degree).T
    handicap = setting.gap * (np.arange(m) > 0)[:, None]
    value = true(STATES)

    exact = (q.mT @ true(points)[..., None])[..., 0]
    choice = (np.arange(m) + shifts(setting.critics, m)[:, None]) % m
    draws = DRAWS if setting.noise else 1
    noise = setting.noise * rng.standard_normal((draws, setting.critics, m, degree + 1))
    # What is on the picture is the first set of the first draw; its samples are needed too, not only their projection.
    seen = true(points) + setting.noise * rng.standard_normal(points.shape)
    noise[0, 0] = (q.mT @ seen[..., None])[..., 0] - exact
    coefficients = (inverse[choice] @ (exact[choice] + noise)[..., None])[..., 0]
    estimates = (coefficients.reshape(-1, degree + 1) @ basis).reshape(draws, setting.critics, m, -1) - handicap

    single, double, smallest = maxima(estimates)
    chosen = (single, double, smallest)[setting.chosen][0]
    bias = np.stack([single, double, smallest]).mean(1) - value
    return AlongStates(setting, value, points[0], seen[0], estimates[0, 0], chosen, bias)


def shifts(sets: int, actions: int) -> Int[np.ndarray, " sets"]:
    """How far each set's choices are moved on: by 0, 1/2, 1/4, 3/4, 1/8, … of the actions, the same ones for any N."""
    return np.array([int(actions * int(f"{i:08b}"[::-1], 2) / 256) for i in range(sets)])


def maxima(estimates: Float[np.ndarray, "draws critics m S"]) -> tuple[Float[np.ndarray, "draws S"], ...]:
    """What single, double and min of N take for max_a Q(s, a)."""
    first, second = estimates[:, 0], estimates[:, 1]
    selected = first.argmax(1)[:, None]
    return (
        np.take_along_axis(first, selected, 1)[:, 0],
        np.take_along_axis(second, selected, 1)[:, 0],
        estimates.min(1).max(1),
    )


def draw(figure: Figure, data: OneState | AlongStates) -> None:
    axes = [figure.add_axes((left, 0.155, 0.27, 0.74)) for left in (0.045, 0.375, 0.705)]
    if isinstance(data, OneState):
        draw_one_state(axes, data)
    else:
        draw_along_states(axes, data)


def draw_one_state(axes: list[Axes], data: OneState) -> None:
    setting, chosen = data.setting, data.setting.chosen
    color = COLORS[chosen]
    left, middle, right = axes
    if data.x.size:
        left.fill_between(data.x, data.density, color=color, alpha=0.25, lw=0)
        left.plot(data.x, data.density, color=color, lw=1)
    top = 1.4 * float(data.density.max(initial=0)) or 1.0
    left.vlines(0, 0, 0.74 * top, COLORS[6], ":", label="true maximum 0", lw=3)
    left.vlines(data.here[chosen], 0, 0.74 * top, color, LINES[chosen], label=f"expected {signed(data.here[chosen])}")
    reach = 4 * data.scale or 1.0
    left.set(xlim=(-reach - setting.gap, reach), ylim=(0, top), yticks=[], xlabel="estimate of the maximum")
    left.set_title(f"{setting.names[chosen]}, {setting.actions} actions")
    left.legend(frameon=False, loc="upper left", fontsize=11)

    middle.axhline(0, color="#777777", lw=0.8)
    for i, name in enumerate(setting.names):
        width = 3.5 if i == chosen else 1.5
        label = f"{name} {signed(data.here[i])}"
        middle.plot(M, data.bias[i], color=COLORS[i], linestyle=LINES[i], lw=width, label=label)
        middle.plot(setting.actions, data.here[i], "o", color=COLORS[i], markersize=8)
    low, high = float(data.bias.min()), max(float(data.bias.max()), 0.1)
    middle.set(xlabel="actions m", title="bias: expected − true maximum")
    middle.set_ylim(low - 0.07 * (high - low), high + 0.5 * (high - low))
    middle.legend(frameon=False, loc="upper left", fontsize=11, handlelength=3)

    right.set(xlabel="actions m", title="errors that sum to 0: the bound")
    if data.bound is None:
        right.text(0.5, 0.5, "no bound here:\nthe true values differ", ha="center", transform=right.transAxes)
        right.set(xticks=[], yticks=[])
        return
    low_, high_ = data.centred.min(0), data.centred.max(0)
    right.fill_between(M, low_, high_, color=COLORS[5], alpha=0.4, lw=0, label=f"largest error, {CENTRED_DRAWS} draws")
    right.plot(M, data.centred.mean(0), color=COLORS[0], label="its mean: grows")
    right.plot(M, data.bound, color=COLORS[1], linestyle="--", lw=3, label=r"bound $\sqrt{C/(m-1)}$: falls")
    right.set_ylim(0, 1.5 * float(data.centred.max()) or 1.0)
    right.legend(frameon=False, loc="upper left", fontsize=11)


def draw_along_states(axes: list[Axes], data: AlongStates) -> None:
    setting, chosen = data.setting, data.setting.chosen
    left, middle, right = axes
    left.plot(STATES, data.estimates[0], color=COLORS[2], linestyle="--", label="its estimate")
    left.plot(STATES, data.value, color=COLORS[3], lw=3, label="true value")
    left.plot(data.points, data.samples, "o", color=COLORS[2], label=f"{data.points.size} samples")
    left.set_title(f"one action, fitted with degree {DEGREES[setting.function]}")
    middle.plot(STATES, data.estimates.T, color=COLORS[2], lw=0.8, alpha=0.7)
    middle.plot([], [], color=COLORS[2], lw=0.8, label="estimates")
    middle.plot(STATES, data.value, color=COLORS[3], lw=3, label="true value")
    label = ("their maximum", "double's", f"max of min of {setting.critics}")[chosen]
    middle.plot(STATES, data.maximum, color=COLORS[6], linestyle="--", label=label)
    middle.set_title(f"all {setting.actions} actions")
    right.axhline(0, color="#777777", lw=0.8)
    for i, name in enumerate(setting.names):
        width = 3.5 if i == chosen else 1.5
        label = f"{name} {signed(data.here[i])}"
        right.plot(STATES, data.bias[i], color=COLORS[i], linestyle=LINES[i], lw=width, label=label)
    right.set_title("bias of the maximum, and its mean")
    lowest = float(data.estimates.min())
    shown = np.concatenate([data.value, data.maximum, np.percentile(data.estimates, (4, 96))])
    if lowest > shown.min() - 0.5 * np.ptp(shown):  # else what runs far down would leave no room for the rest
        shown = np.append(shown, lowest)
    for ax, values in zip(axes, (shown, shown, data.bias), strict=True):
        low, high = values.min(), values.max()
        size = max(high - low, 0.5)
        ax.set(xlabel="state s", ylim=(low - 0.1 * size, high + 0.42 * size))
        ax.legend(frameon=False, loc="upper center", fontsize=11, ncols=2, columnspacing=1, handlelength=1.6)
    if lowest < shown.min():
        middle.text(0.5, 0.02, f"some fall to {signed(lowest)}", ha="center", transform=middle.transAxes, fontsize=11)


def describe(data: OneState | AlongStates) -> str:
    setting = data.setting
    settings = (
        f"{setting.actions} actions, noise {setting.noise:g}, {setting.samples} samples each, gap {setting.gap:g}, "
        f"estimator {setting.names[setting.chosen]}"
    )
    biases = ", ".join(
        f"{name} {round(float(bias), 3) + 0.0:+.3f}" for name, bias in zip(setting.names, data.here, strict=True)
    )
    if isinstance(data, AlongStates):
        return (
            f"Estimated maximum of {setting.function} fitted to {setting.target}: {settings}. "
            f"Bias of the maximum, mean over the states: {biases}. "
            f"Single is too high in {100 * (data.bias[0] > 0).mean():.0f} % of the states."
        )
    bound = (
        "does not apply: the true values differ"
        if data.bound is None
        else f"{data.bound[setting.actions - M[0]]:.3f} for errors that sum to 0"
    )
    return f"Estimated maximum of a table's values: {settings}. Bias: {biases}. Lower bound {bound}."


@presets.checked
def widget(preset: str = "noise only", **changes: Any) -> Panel:
    """Choose actions, noise, samples, function class and estimator, and see by how much the maximum is wrong.

    Args:
        preset: one of `PRESETS`, where the controls start.
        changes: values of controls, by `compute`'s names, that differ from the preset's.

    Raises:
        ValueError: the preset or the name of a control is unknown, or a value is none that it takes.
    """
    values = presets.start(PRESETS, preset, changes)
    wide = {"style": {"description_width": "90px"}, "layout": {"width": "300px"}}
    make = ipywidgets
    controls = {
        "function": make.Dropdown(options=list(DEGREES), value=values["function"], description="estimates", **wide),
        "target": make.Dropdown(options=list(TARGETS), value=values["target"], description="true value", **wide),
        "actions": make.IntSlider(value=values["actions"], min=2, max=MOST_ACTIONS, description="actions m", **wide),
        "noise": make.FloatSlider(value=values["noise"], min=0, max=2, step=0.1, description="noise σ", **wide),
        "samples": make.IntSlider(value=values["samples"], min=1, max=40, description="samples n", **wide),
        "gap": make.FloatSlider(value=values["gap"], min=0, max=2, step=0.1, description="gap", **wide),
        "estimator": make.Dropdown(options=ESTIMATORS, value=values["estimator"], description="estimator", **wide),
        "critics": make.IntSlider(value=values["critics"], min=2, max=10, description="N critics", **wide),
    }
    panel = Panel(compute, draw, describe, controls, size=(13, 4.2))

    def fit(_: Any = None) -> None:
        """A polynomial needs a sample per coefficient; a table has no true value that depends on the state."""
        controls["samples"].min = DEGREES[controls["function"].value] + 1
        controls["target"].disabled = controls["function"].value == "table"

    fit()
    controls["function"].observe(fit, "value")
    return presets.attach(panel, PRESETS)
