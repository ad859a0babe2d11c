r"""Why the maximum of estimates is too high, what two sets of estimates change, and what a minimum over N does.

Two pictures, chosen by the function class. All actions but the first have the true value V − gap, the first has V.

**A table**: one state, V = 0, each estimate the mean of n samples with noise of standard deviation σ. Distribution and
expectation are computed by numerical integration; the draws shown beside them are sampled. With Φ the normal
distribution, s = σ/√n and F_N(x) = 1 − (1 − Φ(x))^N, the distribution of the smallest of N estimates,

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
from functools import cache
from itertools import count
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from scipy.special import ndtr

from rlcourse.curves import signed
from rlcourse.widgets import presets
from rlcourse.widgets.panel import Panel, choice, slider
from rlcourse.widgets.scene import Axis, Mark, Scene, View, area, around, dots, handle, line, text, track, up_to

LECTURE = "2 DQN"
QUESTION = "Why is the largest of many guesses too high?"

MOST_ACTIONS, SEED = 50, 0
DRAWS, CENTRED_DRAWS = 32, 1000  # of noisy polynomials; of errors that sum to 0
MOST_DRAWS, MOST_CRITICS = 60, 10  # of a table, shown one after the other
ESTIMATORS = ("single", "double", "min of N")
INKS = ("blue", "red", "green")  # of the three estimators
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
    "draws": 20,
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
    draws: int

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
        estimates: the last draw's, one row per set.
        selected: which action the chosen estimator picked in the last draw.
        taken: what it took for the maximum, in each draw so far.
        bias: of the three estimators for m = 2, 3, …
        centred: the largest of m errors that sum to 0 and have the mean square scale², one row per draw.
        bound: the least it can be; None where it does not apply.
    """

    setting: Setting
    scale: float
    x: Float[np.ndarray, " x"]
    density: Float[np.ndarray, " x"]
    estimates: Float[np.ndarray, "sets actions"]
    selected: int
    taken: Float[np.ndarray, " shown"]
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
    function: str,
    target: str,
    actions: int,
    noise: float,
    samples: int,
    gap: float,
    estimator: str,
    critics: int,
    draws: int,
) -> OneState | AlongStates:
    """What the three estimators make of `samples` noisy samples per action.

    Raises:
        ValueError: there are fewer samples than the polynomial has coefficients.
    """
    setting = Setting(function, target, actions, noise, samples, gap, estimator, critics, draws)
    return one_state(setting) if function == "table" else along_states(setting)


def one_state(setting: Setting) -> OneState:
    scale, gap, critics = setting.noise / np.sqrt(setting.samples), setting.gap, setting.critics
    drawn = scale * errors()[: setting.draws, :critics, : setting.actions]
    drawn[..., 1:] -= gap
    taken = maxima(drawn[..., None])[setting.chosen][:, 0]
    last = drawn[-1]
    selected = int((last.min(0) if setting.estimator == "min of N" else last[0]).argmax())
    if scale == 0:
        still = np.zeros((3, M.size))
        empty, bound = np.zeros(0), None if gap else still[0]
        return OneState(setting, 0.0, empty, empty, last, selected, taken, still, still[:1], bound)

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
    bias = np.stack([single, double, smallest])
    return OneState(setting, scale, scale * X, density / scale, last, selected, taken, bias, centred, bound)


@cache
def errors() -> Float[np.ndarray, "draws critics m"]:
    """Standardised errors of all the estimates that any setting draws: a larger m adds actions and keeps the others."""
    return np.random.default_rng(SEED).standard_normal((MOST_DRAWS, MOST_CRITICS, MOST_ACTIONS))


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


def scene(data: OneState | AlongStates) -> Scene:
    setting, bias = data.setting, float(data.here[data.setting.chosen])
    verdict = "as it should be" if abs(bias) < 0.005 else f"{abs(bias):.2f} too {'high' if bias > 0 else 'low'}"
    where = "on average" if isinstance(data, OneState) else "on average over the states"
    name = {"single": "The largest estimate", "double": "What the second set says of the first set's best action"}
    what = name.get(setting.estimator, f"The largest minimum of {setting.critics} estimates")
    headline = f"{what} is {verdict} {where}, for {setting.actions} actions."
    draw = one_state_views if isinstance(data, OneState) else along_states_views
    main, others = draw(data)  # type: ignore[arg-type]
    return Scene(headline, (main,), others)


STRIP, END = 1.08, 1.75  # right of the row, which is 1 long: where the maxima so far begin and end


def one_state_views(data: OneState) -> tuple[View, tuple[View, View]]:
    """The row of estimates with what is picked in each draw beside it; bias and bound by the number of actions."""
    chosen, m = data.setting.chosen, data.setting.actions
    lines = [line([M[0], M[-1]], [0, 0], "grey", width=1), *estimators(data.setting, M.astype(float), data.bias)]
    lines.append(handle(m, float(data.here[chosen]), "number of actions", along_x="actions"))
    across = Axis(2, MOST_ACTIONS, "actions m")
    up = around(data.bias, 0.1, label="expected − true maximum")
    growth = View(across, up, lines, title="bias")

    title = "errors that sum to 0: how large is the largest?"
    if data.bound is None or not data.scale:
        words = [text([0.5], [0.5], ["no bound: no errors, or unequal true values"])]
        return row(data), (growth, View(Axis(0, 1, ticks={}), Axis(0, 1, ticks={}), words, title))
    highs = data.centred.max(0)
    bound = [
        area(M, data.centred.min(0), highs, "sky", label=f"{CENTRED_DRAWS} draws"),
        line(M, data.centred.mean(0), "blue", label="mean: grows"),
        line(M, data.bound, "red", label="bound: falls", dash=True, width=3),
    ]
    return row(data), (growth, View(across, up_to(highs, label="largest error"), bound, title))


def row(data: OneState) -> View:
    """One estimate per action, the one that is picked in its ring, and to the right what was picked in each draw."""
    setting, chosen, m = data.setting, data.setting.chosen, data.setting.actions
    name, color, actions = setting.names[chosen], INKS[chosen], np.arange(1, m + 1)
    places = (actions - 0.5) / m
    so_far = STRIP + (END - STRIP) * (np.arange(setting.draws) + 0.5) / MOST_DRAWS
    reach = 3.6 * data.scale or 1.0
    low = -1.1 * reach - setting.gap
    true = np.where(actions == 1, 0.0, -setting.gap)
    running = data.taken.cumsum() / np.arange(1, setting.draws + 1)
    mean = float(running[-1])
    marks = [
        area(so_far, 0 * running, running, color, alpha=0.2),
        line([0, END], [0, 0], "ink", label="true maximum 0", width=3),
        dots(places, true, "ink", size=0.25, names=words("true value", actions, true)),
    ]
    if setting.estimator == "min of N":
        each = np.tile(places, setting.critics)
        marks.append(dots(each, data.estimates.ravel(), "grey", size=0.2, alpha=0.6))
        lowest = data.estimates.min(0)
        marks.append(dots(places, lowest, "sky", size=0.45, names=words("lowest estimate", actions, lowest)))
    else:
        first = data.estimates[0]
        marks.append(dots(places, first, "sky", size=0.45, names=words("estimate", actions, first)))
    best, value = float(places[data.selected]), float(data.taken[-1])
    if setting.estimator == "double":
        first, second = data.estimates[:2]
        marks.append(dots(places, second, "green", size=0.3, names=words("second set", actions, second)))
        marks.append(line([best, best], [first[data.selected], value], "red", width=1.5))
        marks.append(dots([best], first[[data.selected]], "red", size=0.7, hollow=True))
    names = [f"draw {i + 1}: {signed(v)}" for i, v in enumerate(data.taken)]
    marks += [
        dots([best], [value], color, size=0.75, hollow=True),
        line([best, so_far[-1]], [value, value], color, width=1, dash=True),
        dots(so_far, data.taken, color, size=0.3, alpha=0.7, names=names),
        line(so_far, running, color, width=4),
        line([so_far[-1], END], [mean, mean], color, label=f"mean {signed(mean)}", width=1),
        line([STRIP, END], [data.here[chosen]] * 2, color, label=f"expected {signed(data.here[chosen])}", dash=True),
        *track((0, 1), low, "actions", "number of actions", M.tolist(), m),
    ]
    here = (m - M[0]) / (M[-1] - M[0])
    ends = {place: words for place, words in ((0.0, "2"), (1.0, "50")) if abs(place - here) > 0.25}
    ticks = ends | {here: f"{m} actions", (STRIP + END) / 2: "picked so far"}
    title = f"draw {setting.draws}: {name} picks action {data.selected + 1} and takes {signed(value)} for the maximum"
    return View(Axis(-0.03, END + 0.02, ticks=ticks), Axis(low, reach, "estimate"), marks, title)


def estimators(setting: Setting, x: Float[np.ndarray, " n"], bias: Float[np.ndarray, "3 n"]) -> list[Mark]:
    """A curve for each of the three, the chosen one thick."""
    return [
        line(x, each, color, label=name, width=3.5 if i == setting.chosen else 1.5)
        for i, (each, color, name) in enumerate(zip(bias, INKS, setting.names, strict=True))
    ]


def words(what: str, actions: Int[np.ndarray, " m"], values: Float[np.ndarray, " m"]) -> list[str]:
    return [f"action {action}\n{what} {signed(value)}" for action, value in zip(actions, values, strict=True)]


def along_states_views(data: AlongStates) -> tuple[View, tuple[View, View]]:
    """Every action's polynomial with their maximum; one action with its samples; the bias along the states."""
    # Every second state: a curve of 61 points looks the same.
    thin = slice(None, None, 2)
    setting, chosen = data.setting, data.setting.chosen
    across = Axis(-6, 6, "state s")
    up = around(data.value, data.maximum, np.percentile(data.estimates, (4, 96)), label="value", room=0.15)
    true = line(STATES[thin], data.value[thin], "purple", label="true value", width=3.5)
    maximum = ("maximum", "double's", f"max of min of {setting.critics}")[chosen]
    curves = [line(STATES[thin], estimate[thin], "green", width=1) for estimate in data.estimates[1:]]
    curves.append(line(STATES[thin], data.estimates[0, thin], "green", width=1, label="estimates"))
    curves.append(area(STATES[thin], data.value[thin], data.maximum[thin], INKS[chosen], alpha=0.2))
    curves += [true, line(STATES[thin], data.maximum[thin], INKS[chosen], label=maximum, width=3.5)]
    every = View(across, up, curves, title=f"all {setting.actions} actions, degree {DEGREES[setting.function]}")
    one = View(across, up, [
        true,
        line(STATES[thin], data.estimates[0, thin], "green", label="estimate"),
        dots(data.points, data.samples, "green", label=""),
    ], title=f"one action, {data.points.size} samples")  # fmt: skip
    lines = [line([-6, 6], [0, 0], "grey", width=1), *estimators(setting, STATES[thin], data.bias[:, thin])]
    bias = View(across, around(data.bias, label="maximum − true value"), lines, title="bias")
    return every, (one, bias)


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


@presets.offered(PRESETS)
def widget(values: presets.Values) -> Panel:
    """Choose actions, noise, samples, function class and estimator, and see by how much the maximum is wrong."""
    controls = {
        "actions": slider(values["actions"], 2, MOST_ACTIONS, 1, "actions m"),
        "draws": slider(values["draws"], 1, MOST_DRAWS, 1, "draws"),
        "estimator": choice(values["estimator"], ESTIMATORS, "estimator"),
        "noise": slider(values["noise"], 0.0, 2.0, 0.1, "noise σ"),
        "samples": slider(values["samples"], 1, 40, 1, "samples n"),
        "gap": slider(values["gap"], 0.0, 2.0, 0.1, "gap"),
        "critics": slider(values["critics"], 2, MOST_CRITICS, 1, "N critics"),
        "function": choice(values["function"], list(DEGREES), "estimates"),
        "target": choice(values["target"], list(TARGETS), "true value"),
    }
    more = [name for name in controls if name not in ("actions", "draws", "estimator")]
    panel = Panel(compute, scene, describe, controls, more, play="draws")

    def fit(_: Any = None) -> None:
        """A polynomial needs a sample per coefficient; a table has no true value that depends on the state."""
        controls["samples"].min = DEGREES[controls["function"].value] + 1
        controls["target"].disabled = controls["function"].value == "table"

    fit()
    controls["function"].observe(fit, "value")
    return panel
