r"""What the temperature does in the four-goal world (`envs.FourGoals`), solved exactly, and what a Gaussian can do.

`soft_q_iteration.optimal_soft_q` gives the soft Q* for γ = `GAMMA` and each of `TEMPERATURES`; rewards are 10 per goal.
Two policies follow from it: softmax(Q*/α), the soft optimum, and in each state the Gaussian of a direction, wrapped
round the circle, with the smallest KL(π ‖ softmax(Q*/α)), which is what an actor that can only be Gaussian is trained
towards. It is sought among all of `FAMILY`, so no local optimum is mistaken for the best; of equally good ones, the
middle has four, the first is taken.

A **mode** is a direction whose probability is larger than its neighbours' and at least `SMALLEST`. The Gaussian
**covers** a mode if it goes there at least half as often as the softmax does. Shares of the goals reached within
`STEPS` steps are exact: the distribution of places, step by step. The paths drawn are a sample, `PATHS` of them.

Hotter than α ≈ 0.4 entropy pays for never arriving: to go anywhere for ever earns up to α log 16 / (1 − γ), and the
goal ends that.
"""

from dataclasses import dataclass
from functools import cache
from typing import Any

import ipywidgets
import numpy as np
from jaxtyping import Bool, Float, Int
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy import sparse, special

from rlcourse.algorithms import soft_q_iteration
from rlcourse.curves import Estimate, share_estimate
from rlcourse.envs import FourGoals, TabularMDP
from rlcourse.widgets import presets
from rlcourse.widgets.oldpanel import Panel
from rlcourse.widgets.still import COLORS

LECTURE = "7 SAC"
QUESTION = "Can one policy want four things at once?"


def gaussians(
    mean: Float[np.ndarray, " M"], std: Float[np.ndarray, " D"], directions: int
) -> Float[np.ndarray, "M*D A"]:
    r"""Normal distributions of an angle, wrapped round the circle, for A `directions` at equal distances.

    Rows run through the means (radians), and for each through the standard deviations. A direction's probability is in
    proportion to its density $\sum_k \exp\big(-(\vartheta - \mu + 2 \pi k)^2 / 2 \sigma^2\big)$, and all sum to 1.
    """
    angle = 2 * np.pi * np.arange(directions) / directions
    turns = 2 * np.pi * np.arange(-3, 4)  # beyond, less than e⁻⁸ for a spread of up to 4
    distance = (angle - mean[:, None])[:, None, :, None] + turns
    return special.softmax(
        special.logsumexp(-0.5 * (distance / std[:, None, None]) ** 2, axis=-1).reshape(-1, directions), axis=-1
    )


def reverse_kl(
    family: Float[np.ndarray, "F A"], q: Float[np.ndarray, "S A"], temperature: float
) -> Float[np.ndarray, "S F"]:
    r"""How far each π of a family is from softmax(Q/α): $\mathrm{KL}(\pi \,\|\, e^{Q(s, \cdot)/\alpha} / Z(s))$.

    This is what the actor's update makes small, in Haarnoja et al. (2018), *Soft actor-critic*, eq. 4.

    It is $\mathbb{E}_{a \sim \pi}[\log \pi(a) - Q(s, a)/\alpha] + \log Z(s)$. Z does not matter to who minimises.
    """
    gap = soft_q_iteration.soft_maximum(q, temperature)[:, None] - q @ family.T
    return gap / temperature - soft_q_iteration.entropy(family)


def closest(family: Float[np.ndarray, "F A"], q: Float[np.ndarray, "S A"], temperature: float) -> Int[np.ndarray, " S"]:
    """The member with the smallest `reverse_kl` in each state; of equals the first."""
    distance = reverse_kl(family, q, temperature)
    # Of members that differ by a symmetry alone, rounding would pick one at random.
    return (distance <= distance.min(-1, keepdims=True) + 1e-9).argmax(-1)


POLICIES = ("softmax(Q/α)", "Gaussian, reverse KL")
TEMPERATURES = (0.02, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.5, 0.7, 1.0)
GAMMA, STEPS, PATHS, SEED = 0.9, 100, 30, 0
SMALLEST = 0.01  # of the probabilities that are called a mode
WORLD = FourGoals()
MDP = WORLD.mdp()
FAMILY = gaussians(2 * np.pi * np.arange(64) / 64, np.geomspace(0.1, 4, 40), WORLD.DIRECTIONS)
NAMES = ("east", "north", "west", "south")

_GOOD = {"policy": POLICIES[0], "temperature": 0.05, "x": 0, "y": 0}
PRESETS: dict[str, dict[str, Any]] = {
    "the middle: four modes, four goals": _GOOD,
    "a Gaussian there: one mode, one goal": _GOOD | {"policy": POLICIES[1]},
    "between two goals: two modes": _GOOD | {"x": 4, "y": 4},
    "near a goal: one mode": _GOOD | {"x": 6, "y": 0},
    "warmer: detours are paid for": _GOOD | {"temperature": 0.2},
    "warmer, a Gaussian: everywhere, no mode covered": _GOOD | {"policy": POLICIES[1], "temperature": 0.15},
    "too hot: it never arrives": _GOOD | {"temperature": 1.0},
}


@dataclass(frozen=True)
class Temperature:
    """The four-goal world at one temperature.

    Attributes:
        values: the soft V*, `(S,)`.
        softmax, gaussian: both policies at the chosen place, over the directions.
        modes: directions that are modes of the softmax; covered: which of them the Gaussian covers.
        counts: the same two numbers, at the chosen place, for every temperature.
        shares: probability of having reached each goal within `STEPS` steps, from the middle, with the chosen policy.
        nats: the chosen policy's entropy at the chosen place.
        paths: states of the sampled walks.
    """

    policy: str
    temperature: float
    x: int
    y: int
    values: Float[np.ndarray, " S"]
    softmax: Float[np.ndarray, " A"]
    gaussian: Float[np.ndarray, " A"]
    modes: Int[np.ndarray, " M"]
    covered: Bool[np.ndarray, " M"]
    counts: Int[np.ndarray, "T 2"]
    shares: Float[np.ndarray, " 4"]
    nats: float
    paths: Int[np.ndarray, "steps N"]


@cache
def solution(temperature: float) -> tuple[Float[np.ndarray, "S A"], Float[np.ndarray, "2 S A"]]:
    """The soft Q*, and of `POLICIES` the probabilities in every state."""
    q = soft_q_iteration.optimal_soft_q(MDP, GAMMA, temperature, 1e-6)
    gaussian = FAMILY[closest(FAMILY, q, temperature)]
    return q, np.stack([soft_q_iteration.improve(q, temperature), gaussian])


def modes(policy: Float[np.ndarray, " A"]) -> Int[np.ndarray, " M"]:
    """The directions likelier than those on both sides, and not rare; of equal neighbours the first, of all none."""
    change = np.roll(policy, -1) - policy  # to the next one
    change[np.abs(change) <= 1e-6 * policy] = 0  # the tolerance of Q*, and rounding
    (steps,) = np.nonzero(change)
    tops = (change[steps] > 0) & (np.roll(change[steps], -1) < 0)
    peaks = np.sort((steps[tops] + 1) % len(policy))
    return peaks[policy[peaks] >= SMALLEST]


def cover(softmax: Float[np.ndarray, " A"], other: Float[np.ndarray, " A"]) -> Bool[np.ndarray, " M"]:
    """Of the softmax's modes, those where the other policy goes at least half as often."""
    tops = modes(softmax)
    return other[tops] >= 0.5 * softmax[tops]


def motion(mdp: TabularMDP, policy: Float[np.ndarray, "S A"]) -> sparse.csr_array:
    """P(s'|s) under a policy, transposed: times a distribution of places it is the next one. Who has arrived stays."""
    weight = (policy[..., None] * mdp.probability).ravel()
    source = np.repeat(np.arange(mdp.num_states), weight.size // mdp.num_states)
    return sparse.csr_array((weight, (mdp.next_state.ravel(), source)), shape=(mdp.num_states, mdp.num_states))


def arrivals(policy: Float[np.ndarray, "S A"]) -> Float[np.ndarray, " 4"]:
    """Exact probability of having reached each goal within `STEPS` steps from the middle."""
    step, place = motion(MDP, policy), MDP.start
    for _ in range(STEPS):
        place = step @ place
    return place[WORLD.goals]


def walk(policy: Float[np.ndarray, "S A"], count: int, rng: np.random.Generator) -> Int[np.ndarray, "steps count"]:
    """States of `count` sampled walks from the middle, `STEPS` steps each; at a goal they stay."""
    actions, outcomes = policy.cumsum(-1), MDP.probability.cumsum(-1)
    uniform = rng.random((STEPS, 2, count))
    states = np.empty((STEPS + 1, count), int)
    states[0] = WORLD.state(0, 0)
    for t, (first, second) in enumerate(uniform):
        # The last share of [0, 1) ends at 1 whatever the sum rounds to.
        action = (first[:, None] >= actions[states[t], :-1]).sum(-1)
        outcome = (second[:, None] >= outcomes[states[t], action, :-1]).sum(-1)
        states[t + 1] = MDP.next_state[states[t], action, outcome]
    return states


def reached(policy: str, temperature: float, count: int) -> dict[str, Estimate]:
    """The share of sampled walks from the middle that reach each goal, with 95 % intervals."""
    ends = walk(solution(temperature)[1][POLICIES.index(policy)], count, np.random.default_rng(SEED))[-1]
    return {name: share_estimate(ends == goal) for name, goal in zip(NAMES, WORLD.goals, strict=True)}


def compute(policy: str, temperature: float, x: int, y: int) -> Temperature:
    """Raises ValueError on a goal, where there is nothing to choose."""
    here = WORLD.state(x, y)
    if here in WORLD.goals:
        raise ValueError(f"x = {x}, y = {y} is a goal: the episode has ended there, choose another place")
    covered = [cover(*solution(each)[1][:, here]) for each in TEMPERATURES]
    q, both = solution(temperature)
    chosen, (softmax, gaussian) = both[POLICIES.index(policy)], both[:, here]
    return Temperature(
        policy,
        temperature,
        x,
        y,
        soft_q_iteration.soft_maximum(q, temperature),
        softmax,
        gaussian,
        modes(softmax),
        cover(softmax, gaussian),
        np.array([(len(each), each.sum()) for each in covered]),
        arrivals(chosen),
        float(soft_q_iteration.entropy(chosen[here : here + 1])[0]),
        walk(chosen, PATHS, np.random.default_rng(SEED)),
    )


def draw(figure: Figure, data: Temperature) -> None:
    left, middle, right = (
        figure.add_axes(box) for box in ((0.01, 0.03, 0.3, 0.87), (0.37, 0.16, 0.28, 0.74), (0.72, 0.16, 0.27, 0.74))
    )
    room(left, data)

    degrees = np.degrees(WORLD.angles)
    middle.bar(degrees, data.softmax, width=15, color=COLORS[5], label=f"softmax(Q/α): {_modes(len(data.modes))}")
    label = f"Gaussian: covers {data.covered.sum()} of {len(data.modes)}"
    middle.plot(degrees, data.gaussian, "o-", color=COLORS[1], markersize=4, label=label)
    middle.plot(degrees[data.modes], data.softmax[data.modes], "v", color=COLORS[0], markersize=8, clip_on=False)
    top = max(float(data.softmax.max()), float(data.gaussian.max()))
    middle.set(title=f"probability of each direction at ({data.x}, {data.y})", ylim=(0, 1.45 * top))
    middle.set_xticks(range(0, 360, 90), NAMES)
    middle.legend(frameon=False, loc="upper left", fontsize=11)

    number = np.arange(len(TEMPERATURES))
    for column, (name, color, style) in enumerate(
        (("softmax(Q/α)", COLORS[0], "-"), ("covered by the Gaussian", COLORS[1], "--"))
    ):
        right.step(number, data.counts[:, column], style, where="mid", color=color, label=name)
        here = TEMPERATURES.index(data.temperature)
        right.plot(here, data.counts[here, column], "o", color=color, markersize=8, clip_on=False)
    right.set(title=f"modes at ({data.x}, {data.y})", xlabel="temperature α", ylim=(-0.2, 6.5), yticks=range(5))
    right.set_xticks(number[::2], [f"{each:g}" for each in TEMPERATURES[::2]])
    right.legend(frameon=False, loc="upper left", fontsize=11)


def room(ax: Axes, data: Temperature) -> None:
    """Soft values, walks, goals with their shares, and the chosen place."""
    half, width = WORLD.HALF, 2 * WORLD.HALF + 1
    going_on = np.where(np.isin(np.arange(MDP.num_states), WORLD.goals), np.nan, data.values)
    ax.imshow(
        going_on.reshape(width, width), origin="lower", extent=(-half - 0.5, half + 0.5) * 2, cmap="Greys", alpha=0.6
    )
    # A little to the side, so that walks through the same places show.
    places = WORLD.places[data.paths] + np.random.default_rng(SEED).uniform(-0.3, 0.3, (PATHS, 2))
    ax.plot(places[..., 0], places[..., 1], color=COLORS[0], linewidth=0.8, alpha=0.6)
    for (x, y), share in zip(WORLD.places[WORLD.goals], data.shares, strict=True):
        ax.plot(x, y, "s", color=COLORS[2], markersize=11)
        ax.text(
            x,
            y - 1.9 if y >= 0 else y + 1.9,
            f"{100 * share:.0f} %",
            ha="center",
            va="center",
            weight="bold",
            fontsize=12,
            bbox={"facecolor": "white", "alpha": 0.8, "linewidth": 0, "pad": 1},
        )
    ax.plot(data.x, data.y, "X", color=COLORS[1], markersize=11)
    ax.set(xlim=(-half - 0.5, half + 0.5), ylim=(-half - 0.5, half + 0.5), xticks=[], yticks=[])
    ax.set_title(f"{data.policy}, α = {data.temperature:g}")


def _modes(count: int) -> str:
    return "1 mode" if count == 1 else f"{count} modes"


def describe(data: Temperature) -> str:
    shares = ", ".join(f"{name} {100 * share:.1f} %" for name, share in zip(NAMES, data.shares, strict=True))
    return (
        f"Four-goal world, temperature {data.temperature:g}, policy {data.policy}. "
        f"At ({data.x}, {data.y}) softmax(Q/α) has {_modes(len(data.modes))}, the likeliest direction "
        f"{data.softmax.max():.3f}, the unlikeliest {data.softmax.min():.3f}; "
        f"the Gaussian covers {data.covered.sum()}. The policy's entropy there is {data.nats:.2f} nats. "
        f"From the middle it reaches within {STEPS} steps: {shares}."
    )


@presets.checked
def widget(preset: str = next(iter(PRESETS)), **changes: Any) -> Panel:
    """Turn the temperature and move the place, and see modes come and go, and which goals are reached.

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
        "policy": make.Dropdown(options=POLICIES, value=values["policy"], description="policy", **wide),
        "temperature": make.SelectionSlider(
            options=TEMPERATURES, value=values["temperature"], description="temperature α", **wide
        ),
        "x": make.IntSlider(value=values["x"], min=-WORLD.HALF, max=WORLD.HALF, description="x", **wide),
        "y": make.IntSlider(value=values["y"], min=-WORLD.HALF, max=WORLD.HALF, description="y", **wide),
    }
    return presets.attach(Panel(compute, draw, describe, controls, size=(13, 4.1)), PRESETS)
