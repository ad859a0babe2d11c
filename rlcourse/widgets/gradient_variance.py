r"""How noisy an estimate of the policy gradient is, and what causality and baselines do about it.

A softmax policy with one logit θ(s, a) per state and action acts in `envs.two_floors` for T steps. There its expected
return J(θ) is known exactly, and so is the gradient. `compute` estimates it from N episodes again and again, in six
ways at once:

$$\hat g = \frac{1}{N} \sum_i \sum_t \nabla_\theta \log \pi_\theta(a_{i,t} \mid s_{i,t})\, (G_{i,t} - b_{i,t})$$

- G is the episode's whole return, or with *causality* only the rewards from step t on;
- the baseline b is 0, the mean of $G_{\cdot,t}$ over the batch, or, *leaving one out*, over the other N − 1 episodes.

The batch mean contains the episode's own return, which depends on its actions. The part $G_{i,t} / N$ makes the
expected estimate exactly $(1 - 1/N)\, \nabla J$. Leaving it out repairs that, and more: because
$G_i - \frac{1}{N-1} \sum_{j \ne i} G_j = \frac{N}{N-1} (G_i - \bar G)$, it is the other estimate times N/(N − 1).

Papers: Williams (1992), *Simple statistical gradient-following algorithms*; Sutton et al. (2000), *Policy gradient
methods for reinforcement learning with function approximation*; Kool, van Hoof and Welling (2019), *Buy 4 REINFORCE
samples, get a baseline for free!*, for leaving one out.
"""

from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from rlcourse.algorithms import reinforce
from rlcourse.algorithms.q_iteration import Table, backup, boltzmann, evaluation_sweeps, sample
from rlcourse.algorithms.reinforce import Baseline, trajectory_returns
from rlcourse.envs import TabularMDP, two_floors
from rlcourse.widgets import presets
from rlcourse.widgets.panel import Panel, choice, selection, slider, switch
from rlcourse.widgets.scene import Axis, Scene, View, arrows, bars, counted, dots, highlight, line, percent, text

LECTURE = "3 Policy gradients"
QUESTION = "Where does the noise in a policy gradient come from?"

SAMPLED, SEED = 4096, 4  # episodes in all, however many of them make one estimate
EPISODES = (2, 4, 8, 16, 32, 64)
LONGEST = 20
ARROWS = 60  # estimates that the picture shows
BASELINES: dict[str, Baseline] = {"none": "none", "batch mean": "mean", "leave one out": "leave_one_out"}
NAMES = tuple(f"{prefix}{baseline}" for prefix in ("", "causality, ") for baseline in BASELINES)
THETA = np.zeros((2, 2))  # both actions equally likely on both floors

_PLAIN = {"episodes": 8, "horizon": 10, "offset": 0.0, "causality": False, "baseline": "none"}
PRESETS: dict[str, dict[str, Any]] = {
    "plain: the whole return, no baseline": _PLAIN,
    "causality and a baseline": _PLAIN | {"causality": True, "baseline": "leave one out"},
    "five more for every step: nothing changes, says J": _PLAIN | {"offset": 5.0},
    "five more, with a baseline": _PLAIN | {"offset": 5.0, "baseline": "leave one out"},
    "two episodes: the batch mean halves the gradient": _PLAIN | {"episodes": 2, "baseline": "batch mean"},
    "one step: no past to forget": _PLAIN | {"horizon": 1, "causality": True},
}


def expected_return(mdp: TabularMDP, theta: Table, horizon: int) -> float:
    r"""$J(\theta)$ exactly: `horizon` sweeps of policy evaluation, undiscounted, averaged over the first state."""
    values = next(islice(evaluation_sweeps(mdp, boltzmann(theta, 1.0), 1.0), horizon, None))
    return float(mdp.start @ values)


def finite_differences(mdp: TabularMDP, theta: Table, horizon: int, step: float = 1e-4) -> Table:
    r"""$\partial J / \partial \theta(s, a) \approx (J(\theta + h\, e_{sa}) - J(\theta - h\, e_{sa})) / 2h$."""
    gradient = np.zeros(theta.shape)
    for entry in np.ndindex(theta.shape):
        aside = np.zeros(theta.shape)
        aside[entry] = step
        up, down = (expected_return(mdp, theta + sign * aside, horizon) for sign in (1, -1))
        gradient[entry] = (up - down) / (2 * step)
    return gradient


def exact_gradient(mdp: TabularMDP, theta: Table, horizon: int) -> Table:
    r"""The policy gradient theorem (Sutton et al. 2000), with d_t the states' distribution after t steps:

    $$\frac{\partial J}{\partial \theta(s, a)} =
      \sum_{t<T} d_t(s)\, \pi(a \mid s)\, \big(Q_{T-t}(s, a) - V_{T-t}(s)\big)$$
    """
    policy, states, gradient = boltzmann(theta, 1.0), mdp.start, np.zeros(theta.shape)
    values = list(islice(evaluation_sweeps(mdp, policy, 1.0), horizon + 1))
    for t in range(horizon):
        advantage = backup(mdp, values[horizon - t - 1], 1.0) - values[horizon - t][:, None]
        gradient += states[:, None] * policy * advantage
        states = (states[:, None] * policy).T.ravel() @ mdp.transition
    return gradient


@dataclass(frozen=True)
class Episodes:
    """What happened, one row per step, one column per episode."""

    state: Int[np.ndarray, "T E"]
    action: Int[np.ndarray, "T E"]
    reward: Float[np.ndarray, "T E"]


def roll_out(mdp: TabularMDP, policy: Table, horizon: int, episodes: int, seed: int) -> Episodes:
    """Episodes of `horizon` steps, all at once, in a world that does not end them earlier.

    A longer horizon goes on where a shorter one stopped: its first steps are the same.
    """
    rng = np.random.default_rng(seed)
    state, action = np.zeros((2, horizon, episodes), int)
    reward = np.zeros((horizon, episodes))
    now = sample(np.tile(mdp.start, (episodes, 1)), rng.random(episodes))
    for t in range(horizon):
        choice, chance = rng.random((2, episodes))
        state[t], action[t] = now, sample(policy[now], choice)
        outcome = now, action[t], sample(mdp.probability[now, action[t]], chance)
        reward[t], now = mdp.reward[outcome], mdp.next_state[outcome]
    return Episodes(state, action, reward)


@lru_cache(maxsize=8)  # neither the size of a batch nor the baseline changes what happens
def happened(horizon: int, offset: float = 0.0) -> Episodes:
    """`SAMPLED` episodes of the policy with the logits `THETA`."""
    return roll_out(two_floors(offset), boltzmann(THETA, 1.0), horizon, SAMPLED, SEED)


def score_function(episodes: Episodes, weight: Float[np.ndarray, "T E"], policy: Table) -> Float[np.ndarray, "E S A"]:
    r"""Per episode $\sum_t w_t\, \nabla_\theta \log \pi_\theta(a_t \mid s_t)$: with returns for w an estimate of ∇J.

    For a softmax, $\partial \log \pi(a \mid s) / \partial \theta(s, b) = 1[a = b] - \pi(b \mid s)$.
    """
    number = weight.shape[1]
    entry = np.arange(number) * policy.size + episodes.state * policy.shape[1] + episodes.action
    chosen = np.bincount(entry.ravel(), weight.ravel(), number * policy.size).reshape(number, *policy.shape)
    return chosen - chosen.sum(-1, keepdims=True) * policy


@dataclass(frozen=True)
class Variance:
    """Six ways to estimate the gradient, in the order of `NAMES`.

    Gradients are with respect to the logits of going up, downstairs and upstairs; those of going down are their
    negatives.

    Attributes:
        exact: the gradient.
        estimates: each from a batch of N episodes.
    """

    episodes: int
    horizon: int
    offset: float
    causality: bool
    baseline: str
    exact: Float[np.ndarray, "2"]
    estimates: Float[np.ndarray, "6 B 2"]

    @property
    def chosen(self) -> int:
        return 3 * self.causality + [*BASELINES].index(self.baseline)

    @property
    def variance(self) -> Float[np.ndarray, "6"]:
        """Of an estimate: mean squared distance from the estimates' mean."""
        return self.estimates.var(1, ddof=1).sum(-1)

    @property
    def along(self) -> Float[np.ndarray, "6 B"]:
        """How far each estimate goes in the gradient's direction; 1 is as far as the gradient itself."""
        return self.estimates @ self.exact / (self.exact @ self.exact)

    @property
    def wrong_way(self) -> Float[np.ndarray, "6"]:
        """The share of estimates that point away from the gradient: a small step along them makes J smaller."""
        return (self.along < -1e-9).mean(1)  # not what is 0 but for rounding


def compute(episodes: int, horizon: int, offset: float, causality: bool, baseline: str) -> Variance:
    """Estimate the gradient from batches of `episodes` episodes, `SAMPLED` in all."""
    walked, policy = happened(horizon, offset), boltzmann(THETA, 1.0)
    estimates = []
    for credited in (False, True):
        returns = trajectory_returns(walked.reward, 1.0, credited)
        batches = returns.reshape(-1, episodes)  # the columns of a batch next to each other
        for kind in BASELINES.values():
            advantage = (batches - reinforce.baseline(batches, kind)).reshape(returns.shape)
            by_episode = score_function(walked, advantage, policy)[:, :, 1]
            estimates.append(by_episode.reshape(-1, episodes, 2).mean(1))
    exact = exact_gradient(two_floors(offset), THETA, horizon)[:, 1]
    return Variance(episodes, horizon, offset, causality, baseline, exact, np.stack(estimates))


def scene(data: Variance) -> Scene:
    wrong, variance = 100 * data.wrong_way[data.chosen], two_digits(data.variance[data.chosen])
    times = data.variance[data.chosen] / data.variance[0]
    size = "the plain estimate's" if data.chosen == 0 else f"{two_digits(100 * times)} % of the plain estimate's"
    headline = f"{wrong:.0f} % of the estimates point the wrong way; their variance {variance} is {size}."
    return Scene(headline, (cloud(data),), (variances(data), means(data)))


def cloud(data: Variance) -> View:
    """Estimates as arrows from the origin, the ellipse that holds most of them, and the true gradient."""
    chosen, plain = data.estimates[data.chosen], data.estimates[0]
    x, y = chosen[:ARROWS].T
    marks = [arrows(0 * x, 0 * y, x, y, "sky", width=1)]
    if data.chosen:
        marks.append(line(*ellipse(plain), "grey", label="plain", dash=True))
    marks.append(line(*ellipse(chosen), "blue", label="chosen", width=3))
    exact_x, exact_y = data.exact[:, None]
    marks.append(arrows(0 * exact_x, 0 * exact_y, exact_x, exact_y, "ink", width=4))
    marks.append(dots(exact_x, exact_y, "ink", size=0.3, names=["the exact gradient"]))
    # The plain ellipse keeps its place while causality and baseline are switched on and off.
    reach = 1.1 * float(np.abs(np.stack([*ellipse(plain), *ellipse(chosen)])).max())
    title = f"{ARROWS} of {len(chosen)} estimates from {data.episodes} episodes each; ellipses: two deviations"
    return View(Axis(-reach, reach, "∂J/∂θ(downstairs, up)"), Axis(-reach, reach, "∂J/∂θ(upstairs, up)"), marks, title)


def ellipse(points: Float[np.ndarray, "B 2"]) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    """Two standard deviations around the mean in every direction."""
    angle = np.linspace(0, 2 * np.pi, 61)
    values, vectors = np.linalg.eigh(np.cov(points.T))
    radius = 2 * np.sqrt(values.clip(0))[:, None]
    x, y = points.mean(0)[:, None] + vectors @ (radius * np.stack([np.cos(angle), np.sin(angle)]))
    start = int(x.argmax())  # where it ends stands its name
    order = np.append(np.roll(np.arange(60), -start), start % 60)
    return x[order], y[order]


# Long names would lie on each other.
SHORT = ("plain", "mean", "LOO", "c", "c+m", "c+LOO")


def variances(data: Variance) -> View:
    """All six, the chosen one in its colour."""
    places = np.arange(len(NAMES), dtype=float)
    top = float(data.variance.max())
    marks = [
        bars(places, 0 * places, data.variance, highlight(len(NAMES), data.chosen), width=0.6),
        text(places, data.variance + 0.06 * top, [two_digits(value) for value in data.variance]),
    ]
    ticks = dict(zip(places.tolist(), SHORT, strict=True))
    title = "variance of an estimate; c: causality, m: batch mean, LOO: leave one out"
    return View(Axis(-0.6, 5.6, ticks=ticks), Axis(0, 1.15 * top, "variance"), marks, title)


def means(data: Variance) -> View:
    """How far the estimates go along the gradient on average: 1 is unbiased."""
    places = np.arange(len(NAMES), dtype=float)
    mean, error = data.along.mean(1), data.along.std(1, ddof=1) / np.sqrt(data.along.shape[1])
    marks = [
        line([-0.6, 5.6], [1, 1], "ink", label="∇J", dash=True),
        line([-0.6, 5.6], [1 - 1 / data.episodes] * 2, "green", label=f"(1 − 1/{data.episodes}) ∇J", dash=True),
    ]
    marks += [
        line([x, x], [m - 2 * e, m + 2 * e], color, width=3)
        for x, m, e, color in zip(places, mean, error, highlight(len(NAMES), data.chosen), strict=True)
    ]
    marks.append(dots(places, mean, highlight(len(NAMES), data.chosen), size=0.4, names=list(NAMES)))
    low, high = min(0.0, float((mean - 2 * error).min())), max(1.2, float((mean + 2 * error).max()))
    ticks = dict(zip(places.tolist(), SHORT, strict=True))
    title = "mean ± 2 standard errors, along ∇J"
    return View(Axis(-0.6, 5.6, ticks=ticks), Axis(low, 1.05 * high, "share of the gradient"), marks, title)


def two_digits(number: float) -> str:
    """Two significant ones, and never an exponent."""
    return f"{float(f'{number:.2g}'):.{max(0, 1 - int(np.floor(np.log10(number))))}f}"


def describe(data: Variance) -> str:
    mean = data.along.mean(1)
    parts = "; ".join(
        f"{name}: variance {variance:.3g}, mean {share:.3f} of the gradient"
        for name, variance, share in zip(NAMES, data.variance, mean, strict=True)
    )
    return (
        f"Estimates of the policy gradient from {data.episodes} episodes of {counted(data.horizon, 'step')}, "
        f"reward offset {data.offset:g}; shown: {NAMES[data.chosen]}, of which "
        f"{percent(data.wrong_way[data.chosen])} point the wrong way. {parts}."
    )


@presets.offered(PRESETS)
def widget(values: presets.Values) -> Panel:
    """Choose batch, horizon, a constant reward, causality and baseline, and see how the estimates scatter."""
    controls = {
        "causality": switch(values["causality"], "causality"),
        "baseline": choice(values["baseline"], list(BASELINES), "baseline"),
        "episodes": selection(values["episodes"], EPISODES, "episodes N"),
        "horizon": slider(values["horizon"], 1, LONGEST, 1, "horizon T"),
        "offset": slider(values["offset"], -5.0, 5.0, 0.5, "reward +"),
    }
    return Panel(compute, scene, describe, controls, more=("horizon", "offset"), play="episodes")
