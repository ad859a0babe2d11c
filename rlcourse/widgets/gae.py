r"""What λ chooses: how the n-step advantages are weighted, and which bias and variance the estimate has.

**Weights.** With n rewards before the bootstrap, Â_n = r_0 + … + γ^{n−1} r_{n−1} + γ^n V̂(s_n) − V̂(s_0). Generalised
advantage estimation (Schulman et al. 2016, eq. 16) weights them by (1 − λ)λ^{n−1}. A rollout of T steps has no Â_n with
n > T: all remaining mass, λ^{T−1}, falls on n = T. So the weights sum to 1.

**Bias.** A chain of `STATES` states; the policy goes left or right with probability 1/2, against the ends it stays.
Each step into the last state pays 1, and every reward has normal noise. The critic is V̂ = (1 − error)·V: exact for 0,
and still untrained, V̂ = 0, for 1. Whatever the estimate, it contains −V̂(s_0), a baseline that is the same for all
actions and does not change the expected policy gradient. So what counts is whether Â + V̂(s_0) estimates Q(s_0, a_0),
and

E[Â + V̂(s_0)] − Q(s_0, a_0) = −error · Σ_n w_n γ^n E[V(s_n)],

computed exactly. V is nowhere negative here, so γ^n E[V(s_n)] falls with n and the bias falls with λ: from
γ·error·E[V(s_1)] at λ = 0 (the TD error) to γ^T·error·E[V(s_T)] at λ = 1 (Monte Carlo, bootstrapped at the cut).

**Variance.** Of the estimates that `returns.gae` makes from `ROLLOUTS` rollouts for every state and first action; the
same rollouts for every λ, so that the curve shows λ and not chance. A mean of N estimates has the same bias and 1/N of
the variance, so the more is averaged, the less variance matters.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from rlcourse import returns
from rlcourse.widgets import presets
from rlcourse.widgets.panel import Panel, selection, slider
from rlcourse.widgets.scene import Axis, Scene, View, area, around, bars, handle, line, text, up_to

LECTURE = "5 PPO"
QUESTION = "What does λ choose?"

STATES, ROLLOUTS, SEED = 9, 60, 0
MOST_STEPS = 50
SAMPLES = (1, 3, 10, 30, 100)
LAMBDAS = np.linspace(0, 1, 21)

_GOOD = {"gae_lambda": 0.95, "gamma": 0.95, "steps": 30, "error": 0.5, "noise": 0.5, "samples": 1}
PRESETS: dict[str, dict[str, Any]] = {
    "a half-trained critic, λ = 0.95": _GOOD,
    "λ = 0: the TD error": _GOOD | {"gae_lambda": 0.0},
    "λ = 1: Monte Carlo": _GOOD | {"gae_lambda": 1.0},
    "an exact critic: λ = 0 is best": _GOOD | {"error": 0.0, "gae_lambda": 0.0},
    "an untrained critic, ten averaged: λ = 1 is best": _GOOD | {"error": 1.0, "samples": 10, "gae_lambda": 1.0},
    "one estimate: a small λ is best": _GOOD | {"gae_lambda": 0.45},
    "a hundred averaged: a large λ is best": _GOOD | {"samples": 100},
    "a short rollout: most of the mass on the last n": _GOOD | {"steps": 5},
}


@dataclass(frozen=True)
class Gae:
    """The estimate for every state and first action, (s, a) = (s, left), (s, right).

    Attributes:
        weights: of the n-step advantages, n = 1, …, `steps`.
        target: Q(s, a).
        bias: of Â + V̂(s), for each of `LAMBDAS`.
        variance: of Â, the same.
        estimates: what the chosen λ makes of each rollout, Â + V̂(s).
        own_bias: of the chosen λ.
    """

    gae_lambda: float
    gamma: float
    steps: int
    error: float
    noise: float
    samples: int
    weights: Float[np.ndarray, " steps"]
    target: Float[np.ndarray, "S 2"]
    bias: Float[np.ndarray, "lambdas S 2"]
    variance: Float[np.ndarray, "lambdas S 2"]
    estimates: Float[np.ndarray, "rollouts S 2"]
    own_bias: Float[np.ndarray, "S 2"]

    @property
    def curves(self) -> Float[np.ndarray, "3 lambdas"]:
        """Squared bias, variance and their sum, of a mean of `samples` estimates; mean over states and actions."""
        bias, variance = (self.bias**2).mean((1, 2)), self.variance.mean((1, 2)) / self.samples
        return np.stack([bias, variance, bias + variance])

    @property
    def here(self) -> Float[np.ndarray, "3"]:
        """The same for the chosen λ."""
        bias, variance = (self.own_bias**2).mean(), self.estimates.var(0, ddof=1).mean() / self.samples
        return np.array([bias, variance, bias + variance])

    @property
    def alike(self) -> bool:
        """Whether λ changes nothing, as without any future."""
        return float(np.ptp(self.curves[2])) < 1e-9

    @property
    def best(self) -> float:
        """The λ with the smallest sum."""
        return float(LAMBDAS[self.curves[2].argmin()])


def weights(gae_lambda: float, steps: int) -> Float[np.ndarray, " steps"]:
    """(1 − λ)λ^{n−1} for n = 1, …, T − 1, and what remains, λ^{T−1}, on n = T."""
    powers = gae_lambda ** np.arange(steps)
    return np.append((1 - gae_lambda) * powers[:-1], powers[-1])


def move(state: Int[np.ndarray, "*#N"], action: Int[np.ndarray, "*#N"]) -> Int[np.ndarray, "*#N"]:
    """Action 0 goes left, 1 goes right; against an end it stays."""
    return np.clip(state + 2 * action - 1, 0, STATES - 1)


def exact(gamma: float) -> tuple[Float[np.ndarray, " S"], Float[np.ndarray, "S 2"], Float[np.ndarray, "S S"]]:
    """V, Q and the policy's transition probabilities P."""
    following = move(np.arange(STATES)[:, None], np.arange(2))
    transition = np.eye(STATES)[following].mean(1)
    reward = (following == STATES - 1).astype(float)
    value = np.linalg.solve(np.eye(STATES) - gamma * transition, reward.mean(1))
    return value, reward + gamma * value[following], transition


def expected_bias(
    error: Float[np.ndarray, " S"], gamma: float, steps: int, lambdas: Float[np.ndarray, " L"]
) -> Float[np.ndarray, "L S 2"]:
    """Σ_n w_n γ^n E[error(s_n)] for every s_0 and a_0, with V̂ = V + error."""
    _, _, transition = exact(gamma)
    following = move(np.arange(STATES)[:, None], np.arange(2))
    by_n = np.empty((steps, STATES, 2))
    for n in range(steps):
        error = gamma * error
        by_n[n] = error[following]
        error = transition @ error
    return np.tensordot(np.stack([weights(each, steps) for each in lambdas]), by_n, 1)


def rollouts(steps: int, noise: float) -> tuple[Int[np.ndarray, "times N"], Float[np.ndarray, "steps N"]]:
    """States and rewards of `ROLLOUTS` rollouts from each state with each first action, N = rollouts · states · 2."""
    rng = np.random.default_rng(SEED)
    first, action = (each.ravel() for each in np.meshgrid(np.arange(STATES), np.arange(2), indexing="ij"))
    shape = ROLLOUTS * first.size
    # Drawn for the longest rollout: a longer one begins like a shorter one.
    actions = rng.integers(0, 2, (MOST_STEPS, shape))
    normal = rng.standard_normal((MOST_STEPS, shape))
    states = np.empty((steps + 1, shape), int)
    states[0], actions[0] = np.tile(first, ROLLOUTS), np.tile(action, ROLLOUTS)
    for t in range(steps):
        states[t + 1] = move(states[t], actions[t])
    return states, (states[1:] == STATES - 1) + noise * normal[:steps]


def compute(gae_lambda: float, gamma: float, steps: int, error: float, noise: float, samples: int) -> Gae:
    value, target, _ = exact(gamma)
    critic = (1 - error) * value
    states, reward = rollouts(steps, noise)
    ends = np.zeros(reward.shape, bool)  # the task has none; at the cut `returns.gae` bootstraps

    def estimates(each: float) -> Float[np.ndarray, "rollouts S 2"]:
        advantage = returns.gae(reward, critic[states[:-1]], critic[states[1:]], ends, ends, gamma, each)
        return (advantage[0] + critic[states[0]]).reshape(ROLLOUTS, STATES, 2)

    return Gae(
        gae_lambda,
        gamma,
        steps,
        error,
        noise,
        samples,
        weights(gae_lambda, steps),
        target,
        expected_bias(-error * value, gamma, steps, LAMBDAS),
        np.stack([estimates(float(each)).var(0, ddof=1) for each in LAMBDAS]),
        estimates(gae_lambda),
        expected_bias(-error * value, gamma, steps, np.array([gae_lambda]))[0],
    )


def scene(data: Gae) -> Scene:
    bias, variance, both = data.here
    least = both <= data.curves[2].min() + 1e-9
    best = "no other λ is better" if least else f"λ = {data.best:.2f} would be best"
    headline = (
        f"λ = {data.gae_lambda:g}: squared error {both:.2f} = bias² {bias:.2f} + variance {variance:.2f}; {best}."
    )
    return Scene(headline, (errors(data),), (lengths(data), values_right(data)))


def errors(data: Gae) -> View:
    """Bias and variance as the two parts of the error for every λ, with the chosen λ to take hold of."""
    bias, _, both = data.curves
    inwards = "start" if data.best < 0.1 else "end" if data.best > 0.9 else "middle"  # from the axis' ends
    above = both[np.abs(LAMBDAS - data.best) < 0.06].max() + 0.09 * both.max()
    marks = [
        area(LAMBDAS, 0 * bias, bias, "red", label="bias²", alpha=0.6),
        area(LAMBDAS, bias, both, "sky", label="variance", alpha=0.6),
        line(LAMBDAS, both, "ink"),
        text([data.best], [above], ["" if data.alike else "best"], anchor=inwards, bold=True),
        handle(data.gae_lambda, float(data.here[2]), "λ", along_x="gae_lambda"),
    ]
    title = "error of the estimate" if data.samples == 1 else f"error of a mean of {data.samples} estimates"
    return View(Axis(0, 1, "λ"), up_to(both, label="squared error"), marks, title)


def lengths(data: Gae) -> View:
    """What each n-step advantage counts; the last takes all that is left."""
    n = np.arange(1.0, data.steps + 1)
    marks = [
        bars(n[:-1], 0 * n[:-1], data.weights[:-1], "blue"),
        bars(n[-1:], [0.0], data.weights[-1:], "red", label=f"the rest: {data.weights[-1]:.2f}"),
    ]
    return View(
        Axis(0.3, data.steps + 0.7, "n"), up_to(data.weights, label="weight"), marks, "weights of the n-step advantages"
    )


def values_right(data: Gae) -> View:
    """What is estimated along the chain for one action."""
    states = np.arange(float(STATES))
    estimates, target = data.estimates[..., 1], data.target[:, 1]
    mean, spread = target + data.own_bias[:, 1], estimates.std(0, ddof=1) / np.sqrt(data.samples)
    marks = [
        area(states, mean - spread, mean + spread, "sky"),
        line(states, mean, "blue", label="estimate ± deviation", width=3),
        line(states, target, "ink", label="true", dash=True),
    ]
    return View(
        Axis(0, STATES - 1, "state"),
        around(mean - spread, mean + spread, target, 0, label="value", room=0.05),
        marks,
        "Q(s, right)",
    )


def describe(data: Gae) -> str:
    bias, variance, both = data.here
    best = "the same for every λ" if data.alike else f"smallest at λ = {data.best:.2f}"
    return (
        f"Generalised advantage estimation with λ = {data.gae_lambda:g}, γ = {data.gamma:g}, rollouts of {data.steps} "
        f"steps, critic error {data.error:g}, reward noise {data.noise:g}, averaged: {data.samples}. "
        f"Weight of the one-step advantage {data.weights[0]:.3f}, of the longest {data.weights[-1]:.3f}. "
        f"Squared bias {bias:.3f}, variance {variance:.3f}, sum {both:.3f}. The sum is {best}."
    )


@presets.offered(PRESETS)
def widget(values: presets.Values) -> Panel:
    """Choose λ and γ, how wrong the critic is and how noisy the world, and see bias and variance."""
    controls = {
        "gae_lambda": slider(values["gae_lambda"], 0.0, 1.0, 0.05, "λ"),
        "error": slider(values["error"], 0.0, 1.0, 0.05, "critic error"),
        "samples": selection(values["samples"], SAMPLES, "averaged N"),
        "gamma": slider(values["gamma"], 0.0, 0.99, 0.01, "γ"),
        "steps": slider(values["steps"], 2, MOST_STEPS, 1, "rollout T"),
        "noise": slider(values["noise"], 0.0, 2.0, 0.1, "reward noise"),
    }
    return Panel(compute, scene, describe, controls, more=("gamma", "steps", "noise"))
