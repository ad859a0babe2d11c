r"""A critic where there are no data: one state, a line of actions, and what four cures do about its guesses.

The data are `COUNT` actions with their rewards, from −0.7 to 0.5 but for a gap. True values are a hill with its top at
`BEST`. A critic is linear in random features, $Q(a) = \phi(a)^\top \theta$, which are waves of random lengths (Rahimi
and Recht 2007). It begins with random weights $\theta_0$ and is fitted to the data by ridge regression,

$$\min_\theta \sum_j (\phi(a_j)^\top \theta - r_j)^2 + \rho\, |\theta - \theta_0|^2,$$

which is where gradient descent from $\theta_0$ ends that is stopped by ρ. All critics have the same features and the
same data; their $\theta_0$ differ. So they agree where there are data, and elsewhere each keeps what it began with. The
actor takes the best of all actions, by

- *one critic*: $Q_1(a)$;
- *minimum of N*: $\min_i Q_i(a)$, as in SAC-N;
- *conservative*: $Q_1(a)$, whose fit also has the term $10\alpha\rho\,(\mathbb{E}_u Q(a) - \mathbb{E}_j Q(a_j))$, with
  u uniform: CQL's eq. 2, which is linear in θ and so in closed form;
- *clipped*: $Q_1(a)$ again, and what it says of the action is kept within the data's values, as in TD7;
- *copying*: $Q_1(a) - \lambda\, \overline{|Q|}\, \overline{(a - a_j)^2}$, as in TD3+BC.
"""

from dataclasses import dataclass
from functools import cache, lru_cache, reduce
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from rlcourse.widgets import presets
from rlcourse.widgets.panel import Panel, choice, slider
from rlcourse.widgets.scene import Axis, Mark, Scene, View, area, around, bars, counted, dots, handle, line

LECTURE = "10 Learning from data"
QUESTION = "What does a critic say of actions that nobody tried?"

ACTIONS = np.linspace(-1, 1, 201)
ACROSS = Axis(-1, 1, "action a", ticks={-1: "−1", -0.5: "−0.5", 0: "0", 0.5: "0.5", 1: "1"})
LOW, EDGE, HIGH = -0.7, -0.15, 0.5  # of the data; where the gap begins
BEST, COUNT = 0.1, 20
FEATURES, LENGTH, SPREAD, RIDGE = 100, 0.25, 2.0, 0.02  # of critics: waves, their lengths, size of what they begin with
NEAR = 0.1  # what is farther from all of the data's actions lies outside of the data
DRAWS, SEED, MOST = 100, 0, 20  # worlds and critics, and critics in each
CURES = ("one critic", "minimum of N", "conservative", "clipped", "copying")
INKS = ("red", "green", "purple", "orange", "blue")

_ONE = {"cure": CURES[0], "critics": 10, "draw": 12, "gap": 0.0, "noise": 0.0, "strength": 3.0}
PRESETS: dict[str, dict[str, Any]] = {
    "one critic climbs out of the data": _ONE,
    "the minimum of ten stays": _ONE | {"cure": "minimum of N"},
    "the minimum of two leaves more often": _ONE | {"cure": "minimum of N", "critics": 2},
    "clipping: the height, not the place": _ONE | {"cure": "clipped"},
    "conservative: pushed down where no data are": _ONE | {"cure": "conservative"},
    "copying stays near the data": _ONE | {"cure": "copying"},
    "the best action is in a gap": _ONE | {"cure": "minimum of N", "gap": 0.5},
    "noise in the rewards is no disagreement": _ONE | {"cure": "minimum of N", "noise": 0.5},
}


@dataclass(frozen=True)
class Extrapolation:
    """One draw of data and critics in full, and where actors end in all draws.

    Attributes:
        action, reward: the data of the drawn world.
        values: of its critics, over `ACTIONS`.
        climbed: what the chosen actor makes as large as it can.
        end: where each cure's actor ends, in each draw,
        believed: what its critic says of that action, and
        true: what it is worth.
        outside: whether it lies outside of the data.
        spread: of the critics over each other, standard deviation, mean over draws and actions: near data, and outside.
    """

    cure: str
    critics: int
    draw: int
    gap: float
    noise: float
    strength: float
    action: Float[np.ndarray, " n"]
    reward: Float[np.ndarray, " n"]
    values: Float[np.ndarray, "N a"]
    climbed: Float[np.ndarray, " a"]
    end: Float[np.ndarray, "5 draws"]
    believed: Float[np.ndarray, "5 draws"]
    true: Float[np.ndarray, "5 draws"]
    outside: Bool[np.ndarray, "5 draws"]
    spread: Float[np.ndarray, "2"]

    @property
    def chosen(self) -> int:
        return CURES.index(self.cure)

    def of(self, row: Float[np.ndarray, "5 draws"]) -> float:
        """The chosen cure's number in the drawn world."""
        return float(row[self.chosen, self.draw - 1])


def true_value(action: Float[np.ndarray, "*n"]) -> Float[np.ndarray, "*n"]:
    """A hill, 1 high."""
    return np.exp(-(((action - BEST) / 0.4) ** 2))


@cache
def drawn() -> tuple[Float[np.ndarray, "draws n"], Float[np.ndarray, "draws n"], Float[np.ndarray, "draws N k"]]:
    """Of each draw: where its actions lie among those that are not in the gap, errors of rewards, critics' weights."""
    rng = np.random.default_rng(SEED)
    places, errors = rng.uniform(size=(DRAWS, COUNT)), rng.standard_normal((DRAWS, COUNT))
    return places, errors, SPREAD * rng.standard_normal((DRAWS, MOST, FEATURES))


@cache
def waves() -> tuple[Float[np.ndarray, " k"], Float[np.ndarray, " k"]]:
    rng = np.random.default_rng(SEED)
    return rng.standard_normal(FEATURES) / LENGTH, rng.uniform(0, 2 * np.pi, FEATURES)


def features(action: Float[np.ndarray, "*n"]) -> Float[np.ndarray, "*n k"]:
    """φ(a), of length 1 on average: a Gaussian kernel of length `LENGTH`, but for chance."""
    slope, phase = waves()
    return np.sqrt(2 / FEATURES) * np.cos(np.asarray(action)[..., None] * slope + phase)


@lru_cache(maxsize=8)  # only the gap changes which actions were tried
def tried_actions(
    gap: float,
) -> tuple[Float[np.ndarray, "draws n"], Float[np.ndarray, "draws n k"], Float[np.ndarray, "draws n n"]]:
    """The data's actions, their features Φ, and (ΦΦᵀ + ρ)⁻¹."""
    left, right = EDGE - LOW, HIGH - EDGE - gap
    along = drawn()[0] * (left + right)
    action = LOW + along + np.where(along > left, gap, 0)
    tried = features(action)
    return action, tried, np.linalg.inv(tried @ tried.mT + RIDGE * np.eye(COUNT))


def compute(cure: str, critics: int, draw: int, gap: float, noise: float, strength: float) -> Extrapolation:
    _, errors, begin = drawn()
    action, tried, inverse = tried_actions(gap)
    reward, line_of = true_value(action) + noise * errors, features(ACTIONS)
    # The fit in n dimensions and not in k: θ = θ₀ + Φᵀ (ΦΦᵀ + ρ)⁻¹ (r − Φ θ₀).
    begin = begin[:, :critics]
    pull = (reward[:, None] - begin @ tried.mT) @ inverse  # (draws, N, n)
    values = np.tensordot(begin + pull @ tried, line_of.T, 1)  # (draws, N, a), as one product and not one a draw
    # The conservative term: θ moves by −5α (I − Φᵀ (ΦΦᵀ + ρ)⁻¹ Φ)(E_u φ − E_j φ).
    push = line_of.mean(0) - tried.mean(1)
    push = push - ((push[:, None] @ tried.mT) @ inverse @ tried)[:, 0]
    first = values[:, 0]
    # The mean square distance to the data's actions: to their mean, and theirs from it.
    far = np.square(ACTIONS - action.mean(1, keepdims=True)) + action.var(1, keepdims=True)
    climbed = np.stack(
        [
            first,
            values.min(1),
            first - 5 * strength * push @ line_of.T,
            first,
            first - strength * np.abs(first).mean(-1, keepdims=True) * far,
        ]
    )
    best, rows = climbed.argmax(-1), np.arange(DRAWS)
    end = ACTIONS[best]
    says = climbed.copy()
    says[3] = np.clip(first, reward.min(1, keepdims=True), reward.max(1, keepdims=True))
    says[4] = first
    # One action of the data after the other: all distances at once would not fit into a processor's cache.
    lonely = reduce(np.minimum, (np.abs(ACTIONS - each[:, None]) for each in action.T)) > NEAR  # (draws, a)
    apart = values.std(1)
    chosen = CURES.index(cure)
    return Extrapolation(
        cure, critics, draw, gap, noise, strength,
        action[draw - 1], reward[draw - 1], values[draw - 1], climbed[chosen, draw - 1],
        end, says[np.arange(len(CURES))[:, None], rows, best], true_value(end), lonely[rows, best],
        np.array([apart[~lonely].mean(), apart[lonely].mean()]),
    )  # fmt: skip


def scene(data: Extrapolation) -> Scene:
    leaves = int(data.outside[data.chosen].sum())
    where = "outside of the data" if data.outside[data.chosen, data.draw - 1] else "near data"
    headline = (
        f"The actor ends {where}, at {data.of(data.end):z.2f}: believed {data.of(data.believed):z.2f}, true "
        f"{data.of(data.true):z.2f}. It leaves the data in {leaves} of {DRAWS} draws."
    ).replace("-", "−")
    apart = "The critics differ by {:.2f} near data and by {:.2f} outside (standard deviation).".format(*data.spread)
    return Scene(headline, (hill(data),), (ends(data), worths(data)), apart if data.critics > 1 else "")


def hill(data: Extrapolation) -> View:
    """The true value, the data, the critics, and what the actor climbs."""
    thin = slice(None, None, 5)
    x, ink = ACTIONS[thin], INKS[data.chosen]
    reach = around(np.clip(data.climbed, -2, 3), true_value(ACTIONS), data.reward, 1.5, label="value")

    def seen(values: Float[np.ndarray, " a"]) -> Float[np.ndarray, " thinned"]:
        return np.where((values >= reach.low) & (values <= reach.high), values, np.nan)[thin]

    marks: list[Mark] = []
    if data.gap:
        marks.append(area([EDGE, EDGE + data.gap], [reach.low] * 2, [reach.high] * 2, "grey", label="gap", alpha=0.15))
    if data.cure == "minimum of N":
        marks += [line(x, seen(each), "sky", width=1) for each in data.values]
    elif data.cure in ("conservative", "copying"):
        marks.append(line(x, seen(data.values[0]), "sky", label="critic 1", dash=True))
    marks.append(line(x, true_value(x), "ink", label="true value", width=4))
    if data.cure == "clipped":
        kept = np.clip(data.values[0, thin], data.reward.min(), data.reward.max())
        marks.append(line(x, kept, "sky", label="clipped", dash=True))
    marks.append(line(x, seen(data.climbed), ink, label="climbed", width=3))
    marks.append(dots(data.action, data.reward, "ink", size=0.3, hollow=True))
    top = float(np.clip(data.climbed.max(), reach.low, reach.high))
    end = data.of(data.end)
    marks.append(line([end, end], [data.of(data.true), top], "grey", width=1, dash=True))
    marks.append(dots([end], [data.of(data.true)], "ink", size=0.5, names=[f"true {data.of(data.true):z.2f}"]))
    marks.append(dots([end], [top], ink, size=0.7, names=[f"the actor's end: {end:z.2f}".replace("-", "−")]))
    marks.append(handle(EDGE + data.gap, reach.low, "the gap's end", along_x="gap", zero=EDGE))
    title = f"draw {data.draw}: data (rings), and what is climbed"
    return View(ACROSS, reach, marks, title)


SHORT = ("one", "min", "cons.", "clip", "copy")


def ends(data: Extrapolation) -> View:
    """Where the actors end in all draws: one row for each cure."""
    marks: list[Mark] = []
    for row, ink in enumerate(INKS):
        spots = row + 0.3 * np.linspace(-1, 1, DRAWS)
        marks.append(dots(data.end[row], spots, ink, size=0.22, alpha=0.7 if row == data.chosen else 0.35))
    ticks = {float(row): f"{name} {data.outside[row].sum()}" for row, name in enumerate(SHORT)}
    title = "ends, and how many outside"
    return View(ACROSS, Axis(len(CURES) - 0.4, -0.6, ticks=ticks), marks, title)


def worths(data: Extrapolation) -> View:
    """What the actors' ends are worth, and what their critics say of them, mean over all draws."""
    places = np.arange(len(CURES), dtype=float)
    believed, true = data.believed.mean(1), data.true.mean(1)
    marks = [
        bars(places - 0.2, 0 * places, believed, "sky", width=0.36),
        bars(places + 0.2, 0 * places, true, "ink", width=0.36),
    ]
    ticks = dict(zip(places.tolist(), SHORT, strict=True))
    title = "mean believed (blue), true (dark)"
    return View(Axis(-0.6, len(CURES) - 0.4, ticks=ticks), around(0, believed, true, label="value"), marks, title)


def describe(data: Extrapolation) -> str:
    told = "; ".join(
        f"{name}: {data.outside[row].sum()} outside of the data, believed {data.believed[row].mean():z.2f}, "
        f"true {data.true[row].mean():z.2f}"
        for row, name in enumerate(CURES)
    )
    return (
        f"{counted(data.critics, 'critic')} fitted to {COUNT} actions with a gap of {data.gap:g} and noise "
        f"{data.noise:g}. Cure {data.cure}, strength {data.strength:g}; in draw {data.draw} the actor ends at "
        f"{data.of(data.end):z.2f}, believed {data.of(data.believed):z.2f}, true {data.of(data.true):z.2f}. Over "
        f"{DRAWS} draws: {told}. The critics differ by {data.spread[0]:.2f} near data and {data.spread[1]:.2f} outside."
    ).replace("-", "−")


@presets.offered(PRESETS)
def widget(values: presets.Values) -> Panel:
    """Choose a cure, and see where an actor ends that takes the best action by its critic."""
    controls = {
        "cure": choice(values["cure"], CURES, "actor"),
        "draw": slider(values["draw"], 1, DRAWS, 1, "draw"),
        "critics": slider(values["critics"], 1, MOST, 1, "critics N"),
        "gap": slider(values["gap"], 0.0, 0.6, 0.05, "gap"),
        "noise": slider(values["noise"], 0.0, 1.0, 0.1, "noise σ"),
        "strength": slider(values["strength"], 0.0, 5.0, 0.1, "λ, α"),
    }
    more = ("gap", "noise", "strength")
    return Panel(compute, scene, describe, controls, more, play="draw")
