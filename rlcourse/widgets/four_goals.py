r"""What the temperature does in the four-goal world (`envs.FourGoals`), solved exactly, and what a Gaussian can do.

`soft_q_iteration.optimal_soft_q` gives the soft Q* for γ = `GAMMA` and each of `TEMPERATURES`; rewards are 10 per goal.
Two policies follow from it: softmax(Q*/α), the soft optimum, and in each state the Gaussian of a direction, wrapped
round the circle, with the smallest KL(π ‖ softmax(Q*/α)), which is what an actor that can only be Gaussian is trained
towards. It is sought among all of `FAMILY`, so no local optimum is mistaken for the best; of equally good ones, the
middle has four, the first is taken.

A **mode** is a direction whose probability is larger than its neighbours' and at least `SMALLEST`. The Gaussian
**covers** a mode if it goes there at least half as often as the softmax does. Shares of the goals reached from the
chosen start are exact: the distribution of places, step by step. The paths drawn are a sample, at most `PATHS` of them.

Hotter than α ≈ 0.4 entropy pays for never arriving: to go anywhere for ever earns up to α log 16 / (1 − γ), and the
goal ends that.
"""

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import sparse, special

from rlcourse.algorithms import soft_q_iteration
from rlcourse.curves import Estimate, share_estimate
from rlcourse.envs import FourGoals, TabularMDP
from rlcourse.widgets import presets
from rlcourse.widgets.panel import Panel, choice, selection, slider
from rlcourse.widgets.scene import Axis, Mark, Scene, View, bars, counted, dots, handle, line, patches, text, up_to

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
MOMENTS = (*range(13), 15, 20, 30, 50, STEPS)  # of a walk
POINTS = 700  # of all walks drawn together: a long walk fills the room, and few of them show that
SMALLEST = 0.01  # of the probabilities that are called a mode
WORLD = FourGoals()
MDP = WORLD.mdp()
FAMILY = gaussians(2 * np.pi * np.arange(64) / 64, np.geomspace(0.1, 4, 40), WORLD.DIRECTIONS)
NAMES = ("east", "north", "west", "south")

_GOOD = {"policy": POLICIES[0], "temperature": 0.05, "x": 0, "y": 0, "steps": STEPS}
PRESETS: dict[str, dict[str, Any]] = {
    "the middle: four modes, four goals": _GOOD,
    "a Gaussian there: one mode, one goal": _GOOD | {"policy": POLICIES[1]},
    "between two goals: two modes": _GOOD | {"x": 4, "y": 4},
    "near a goal: one mode": _GOOD | {"x": 6, "y": 0},
    "warmer: detours are paid for": _GOOD | {"temperature": 0.2},
    "warmer, a Gaussian: everywhere, no mode covered": _GOOD | {"policy": POLICIES[1], "temperature": 0.15},
    "too hot: it hardly ever arrives": _GOOD | {"temperature": 1.0},
}


@dataclass(frozen=True)
class Temperature:
    """The four-goal world at one temperature.

    Attributes:
        values: the soft V*, `(S,)`.
        softmax, gaussian: both policies at the chosen start, over the directions.
        modes: directions that are modes of the softmax; covered: which of them the Gaussian covers.
        counts: the same two numbers, at the chosen start, for every temperature.
        shares: probability of having reached each goal within `steps` steps, from there, with the chosen policy.
        nats: the chosen policy's entropy there.
        paths: states of the sampled walks, from there, `steps` of them.
    """

    policy: str
    temperature: float
    x: int
    y: int
    steps: int
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


def arrivals(policy: Float[np.ndarray, "S A"], start: int, steps: int) -> Float[np.ndarray, " 4"]:
    """Exact probability of having reached each goal within `steps` steps from the state `start`."""
    step, place = motion(MDP, policy), np.eye(MDP.num_states)[start]
    for _ in range(steps):
        place = step @ place
    return place[WORLD.goals]


def walk(
    policy: Float[np.ndarray, "S A"], start: int, count: int, rng: np.random.Generator
) -> Int[np.ndarray, "steps count"]:
    """States of `count` sampled walks from the state `start`, `STEPS` steps each; at a goal they stay."""
    actions, outcomes = policy.cumsum(-1), MDP.probability.cumsum(-1)
    uniform = rng.random((STEPS, 2, count))
    states = np.empty((STEPS + 1, count), int)
    states[0] = start
    for t, (first, second) in enumerate(uniform):
        # The last share of [0, 1) ends at 1 whatever the sum rounds to.
        action = (first[:, None] >= actions[states[t], :-1]).sum(-1)
        outcome = (second[:, None] >= outcomes[states[t], action, :-1]).sum(-1)
        states[t + 1] = MDP.next_state[states[t], action, outcome]
    return states


def reached(policy: str, temperature: float, count: int) -> dict[str, Estimate]:
    """The share of sampled walks from the middle that reach each goal, with 95 % intervals."""
    chosen = solution(temperature)[1][POLICIES.index(policy)]
    ends = walk(chosen, WORLD.state(0, 0), count, np.random.default_rng(SEED))[-1]
    return {name: share_estimate(ends == goal) for name, goal in zip(NAMES, WORLD.goals, strict=True)}


def compute(policy: str, temperature: float, x: int, y: int, steps: int) -> Temperature:
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
        steps,
        soft_q_iteration.soft_maximum(q, temperature),
        softmax,
        gaussian,
        modes(softmax),
        cover(softmax, gaussian),
        np.array([(len(each), each.sum()) for each in covered]),
        arrivals(chosen, here, steps),
        float(soft_q_iteration.entropy(chosen[here : here + 1])[0]),
        walk(chosen, here, PATHS, np.random.default_rng(SEED))[: steps + 1],
    )


def scene(data: Temperature) -> Scene:
    shares = [f"{100 * share:.0f} %" for share in data.shares]
    softmax, tops = data.policy == POLICIES[0], counted(len(data.modes), "mode")
    who = f"softmax(Q/α) has {tops}" if softmax else f"the Gaussian covers {data.covered.sum()} of {tops}"
    parts = [f"{name} in {share}" for name, share in zip(NAMES, shares, strict=True) if share != "0 %"]
    alike = len(parts) == 4 and len(set(shares)) == 1
    few = f"any goal in {100 * data.shares.sum():.1f} %"
    reach = f"each goal in {shares[0]}" if alike else ", ".join(parts) or few
    at = f"({data.x}, {data.y})".replace("-", "−")
    headline = f"From {at}, {who}: within {counted(data.steps, 'step')} its walks reach {reach} of the cases."

    degrees = np.degrees(WORLD.angles)
    directions = View(
        Axis(-15, 350, "direction", ticks=dict(zip((0.0, 90.0, 180.0, 270.0), NAMES, strict=True))),
        up_to(data.softmax, data.gaussian, label="probability", room=0.1),
        [
            bars(degrees, np.zeros(degrees.size), data.softmax, "sky", width=15, label="softmax"),
            line(degrees, data.gaussian, "red", label="Gaussian"),
            dots(degrees[data.modes], data.softmax[data.modes], "orange", size=0.35),
        ],
        f"first step from {at}",
    )
    number, here = np.arange(len(TEMPERATURES)), TEMPERATURES.index(data.temperature)
    every = {float(i): each for i, each in enumerate(TEMPERATURES)}
    arrived = View(
        Axis(
            0,
            len(TEMPERATURES) - 1,
            "temperature α",
            ticks={i: f"{each:g}" for i, each in every.items() if i % 2 == 0},
        ),
        Axis(-0.2, 4.3, "modes", ticks={float(i): str(i) for i in range(5)}),
        [
            line(number, data.counts[:, 0], "sky", label="softmax", width=3.5),
            line(number, data.counts[:, 1], "red", label="covered"),
            handle(here, int(data.counts[here, 1]), "temperature", along_x="temperature", stops=every),
        ],
        f"modes at {at}",
    )
    return Scene(headline, (room(data),), (directions, arrived))


PETAL = 5  # of the likeliest direction, in cells


def room(data: Temperature) -> View:
    """The walks so far, goals with their shares, and at the start, to take hold of, both policies as roses."""
    half, start = WORLD.HALF, np.array([data.x, data.y])
    wall = (half + 0.5) * np.array([(-1, -1), (1, -1), (1, 1), (-1, 1), (-1, -1)])
    marks: list[Mark] = [line(wall[:, 0], wall[:, 1], "grey", width=3)]

    # A little to the side, so that walks through the same places show; one that has arrived is drawn up to there.
    places = WORLD.places[data.paths] + np.random.default_rng(SEED).uniform(-0.3, 0.3, (PATHS, 2))
    lengths = 1 + (~np.isin(data.paths, WORLD.goals)).sum(0).clip(max=data.steps)
    shown = max(1, int((lengths.cumsum() <= POINTS).sum()))
    gap = np.full((1, 2), np.nan)
    trails = [part for i in range(shown) for part in (places[: lengths[i], i].round(1), gap)]
    ends = places[-1, :shown]
    trail = np.concatenate(trails)[:-1]
    marks.append(line(trail[:, 0], trail[:, 1], "grey", width=1))
    names = [f"walk {i + 1}, {lengths[i] - 1} steps" for i in range(shown)]
    marks.append(dots(ends[:, 0], ends[:, 1], "ink", size=0.25, names=names))

    # A petal's area is its direction's probability; the Gaussian's outline may be longer than the softmax's petals.
    longest = PETAL / np.sqrt(max(float(data.softmax.max()), float(data.gaussian.max())))
    angles, wide = WORLD.angles, np.pi / WORLD.DIRECTIONS
    rims = np.stack([unit(angles - wide), unit(angles + wide)], 1) * (longest * np.sqrt(data.softmax))[:, None, None]
    petals = np.concatenate([np.zeros((angles.size, 1, 2)), rims], 1) + start
    names = [f"{angle:.0f}°: softmax {p:.3f}, Gaussian {q:.3f}" for angle, p, q in zip(
        np.degrees(angles), data.softmax, data.gaussian, strict=True)]  # fmt: skip
    marks.append(patches(petals.round(2), ["sky"] * angles.size, names))
    outline = (
        start + unit(np.append(angles, 0)) * (longest * np.sqrt(np.append(data.gaussian, data.gaussian[0])))[:, None]
    )
    marks.append(line(outline[:, 0], outline[:, 1], "red", width=3))

    goals = WORLD.places[WORLD.goals]
    square = 0.5 * np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)])
    marks.append(patches(goals[:, None] + square, ["green"] * len(goals)))
    for (x, y), name, share in zip(goals, NAMES, data.shares, strict=True):
        anchor = "end" if x > 0 else "start" if x < 0 else "middle"
        inner = np.sign(x) * (half + 0.2), y + (1.3 if y > 0 else -1.3)
        words = f"{name}: {100 * share:.0f} %"
        marks.append(text([inner[0]], [inner[1]], [words], "green", anchor=anchor, bold=True))

    aside = half + 1.2
    marks.append(text([aside], [8.5], ["take the start and move it"], "orange", anchor="start", bold=True))
    marks.append(text([aside], [6.5], ["petals: softmax(Q/α)"], "sky", anchor="start"))
    marks.append(text([aside], [5], ["outline: Gaussian"], "red", anchor="start"))
    walks = f"{shown} walks of {'softmax' if data.policy == POLICIES[0] else 'the Gaussian'}"
    marks.append(text([aside], [3.5], [walks], "grey", anchor="start"))
    marks.append(handle(data.x, data.y, "start", along_x="x", along_y="y", size=0.55))
    title = f"{data.policy}, α = {data.temperature:g}, after {data.steps} steps"
    return View(Axis(-half - 1, half + 11, ticks={}), Axis(-half - 1, half + 1, ticks={}), marks, title, True)


def unit(angle: Float[np.ndarray, " n"]) -> Float[np.ndarray, "n 2"]:
    return np.stack([np.cos(angle), np.sin(angle)], -1)


def describe(data: Temperature) -> str:
    shares = ", ".join(f"{name} {100 * share:.1f} %" for name, share in zip(NAMES, data.shares, strict=True))
    return (
        f"Four-goal world, temperature {data.temperature:g}, policy {data.policy}. "
        f"At ({data.x}, {data.y}) softmax(Q/α) has {counted(len(data.modes), 'mode')}, the likeliest direction "
        f"{data.softmax.max():.3f}, the unlikeliest {data.softmax.min():.3f}; "
        f"the Gaussian covers {data.covered.sum()}. The policy's entropy there is {data.nats:.2f} nats. "
        f"From there it reaches within {counted(data.steps, 'step')}: {shares}."
    )


@presets.offered(PRESETS)
def widget(values: presets.Values) -> Panel:
    """Turn the temperature and move the start, and see modes come and go, and which goals are reached."""
    controls = {
        "policy": choice(values["policy"], POLICIES, "policy"),
        "temperature": selection(values["temperature"], TEMPERATURES, "temperature α"),
        "steps": selection(values["steps"], MOMENTS, "steps"),
        "x": slider(values["x"], -WORLD.HALF, WORLD.HALF, 1, "x"),
        "y": slider(values["y"], -WORLD.HALF, WORLD.HALF, 1, "y"),
    }
    return Panel(compute, scene, describe, controls, ("x", "y"), play="steps")
