r"""How far n-step targets are from the true values: a bias from the guess they end with, a variance from their rewards.

An agent walks on `STATES` states in a row, left or right with equal probability, from the middle one until it falls off
an end. Falling off on the right pays 1, everything else 0, plus noise of ±σ on every reward. Each state's value is
estimated by the mean of the n-step targets of its *first* visits in N episodes,

$$G_t^{(n)} = \sum_{k=0}^{n-1} \gamma^k r_{t+k} + \gamma^n \hat V(s_{t+n}),$$

without the last term where the episode ends before. The guess V̂ = V + e is wrong by e and stays fixed; n = 1 is the TD
target, n = ∞ the Monte-Carlo return.

Nothing of the main picture is sampled. With P the walk's transition probabilities (ending is not a state), the mean of
a target and its mean square follow the recursion G⁽ⁿ⁾ = r + γ G⁽ⁿ⁻¹⁾(s') from V̂, one more step at a time, so

- the bias is γⁿ Pⁿ e exactly, in absolute value at most γⁿ max |e|. It falls with every n if e is the same everywhere.
  It falls much faster if e changes sign from place to place, because Pⁿ averages: the waves, e(s) = sin(3πs/8), are an
  eigenvector of P and shrink by cos(3π/8) = 0.38 per step beside γ. An error in one place has to be reached first, and
  the bias elsewhere *grows* with n before it falls;
- the variance of the estimate is Var[G⁽ⁿ⁾] · E[1/K | K ≥ 1], K the number of episodes that visit the state: binomial
  with N and the probability h of ever coming there. The targets of two first visits are independent: what follows a
  first visit depends on nothing before it.

The dots are `SETS` sampled sets of N episodes each, to be believed only together with the curves.
"""

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.special import comb

from rlcourse.algorithms.q_iteration import evaluate_policy
from rlcourse.envs import TabularMDP
from rlcourse.returns import monte_carlo_targets, n_step_targets
from rlcourse.widgets import presets
from rlcourse.widgets.panel import Panel, choice, selection, slider
from rlcourse.widgets.scene import Axis, Scene, View, area, around, bars, dots, handle, line, text, track, up_to

LECTURE = "4 Actor-critic"
QUESTION = "Bias or variance: how many rewards before the guess?"

STATES, SETS, SEED = 7, 50, 0
MOST_EPISODES = 50
INFINITE = 1000  # stands for ∞: no walk is that long
N = np.array([*range(1, 33), INFINITE])  # where the curves are computed; drawn with ∞ at 48
STEPS = {str(n): n for n in (1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 24, 32)} | {"∞": INFINITE}
POLICY = np.full((STATES, 2), 0.5)
ERRORS = {
    "everywhere": np.ones(STATES),
    "in waves": np.sin(3 * np.pi * np.arange(1, STATES + 1) / (STATES + 1)),
    f"in state {STATES} only": np.eye(STATES)[-1],
}

_MIDDLE = {"n": 2, "episodes": 20, "error": 0.5, "where": "in waves", "noise": 0.3, "gamma": 0.99}
_EVERYWHERE = _MIDDLE | {"where": "everywhere"}
PRESETS: dict[str, dict[str, Any]] = {
    "in between is best": _MIDDLE,
    "TD: the most bias, the least variance": _MIDDLE | {"n": 1},
    "Monte Carlo: no bias, the most variance": _MIDDLE | {"n": INFINITE},
    "a perfect guess: n = 1 is best": _MIDDLE | {"n": 1, "error": 0.0},
    "a guess that is wrong everywhere: longer is better": _EVERYWHERE | {"n": 12},
    "the same with much noise: n = 1 is best": _EVERYWHERE | {"n": 1, "noise": 1.0},
    "half the episodes: twice the variance": _MIDDLE | {"episodes": 10},
    "an error far away: elsewhere the bias first grows": _MIDDLE
    | {"n": 4, "error": 1.0, "where": f"in state {STATES} only"},
}


def walk(noise: float) -> TabularMDP:
    """The world: actions left and right, two equally likely outcomes each, whose rewards differ by 2σ."""
    to = np.arange(STATES)[:, None] + [-1, 1]
    end = (to < 0) | (to >= STATES)
    reward = (to >= STATES)[..., None] + noise * np.array([-1.0, 1.0])
    shape = reward.shape
    start = np.eye(STATES)[STATES // 2]
    return TabularMDP(
        np.broadcast_to(np.clip(to, 0, STATES - 1)[..., None], shape),
        np.full(shape, 0.5),
        reward,
        np.broadcast_to(end[..., None], shape),
        start,
    )


@dataclass(frozen=True)
class Estimates:
    """Bias and variance of the estimates, for all of `N` and every state, and sampled ones for the chosen n.

    Attributes:
        value: V, exactly.
        guess: V̂.
        bias, variance: of the estimate, rows as in `N`.
        sampled: estimates from `SETS` sets of episodes; not a number where a set never visits the state.
        both: those of the first set by TD, n = 1, and by Monte Carlo.
    """

    n: int
    episodes: int
    error: float
    where: str
    noise: float
    gamma: float
    value: Float[np.ndarray, " S"]
    guess: Float[np.ndarray, " S"]
    bias: Float[np.ndarray, "n S"]
    variance: Float[np.ndarray, "n S"]
    sampled: Float[np.ndarray, "sets S"]
    both: Float[np.ndarray, "2 S"]

    @property
    def here(self) -> tuple[Float[np.ndarray, " S"], Float[np.ndarray, " S"]]:
        """Bias and variance for the chosen n, by state."""
        (row,) = np.flatnonzero(self.n == N)
        return self.bias[row], self.variance[row]

    @property
    def mse(self) -> Float[np.ndarray, " n"]:
        """Mean squared error for all of `N`, mean over the states."""
        return (self.bias**2 + self.variance).mean(1)

    @property
    def best(self) -> int:
        """The n with the smallest mean squared error."""
        return int(N[self.mse.argmin()])

    @property
    def bound(self) -> float:
        """No bias is larger: γⁿ max |e|."""
        return float(self.gamma**self.n * np.abs(self.guess - self.value).max())


def compute(n: int, episodes: int, error: float, where: str, noise: float, gamma: float) -> Estimates:
    world = walk(noise)
    value = evaluate_policy(world, POLICY, gamma)
    guess = value + error * ERRORS[where]
    mean, variance = target_moments(world, guess, gamma)
    share = mean_of_inverse_count(episodes, visit_probability(world))
    both = np.concatenate([sample(world, guess, each, episodes, gamma, 1) for each in (1, INFINITE)])
    return Estimates(
        n, episodes, error, where, noise, gamma, value, guess, mean - value, variance * share,
        sample(world, guess, n, episodes, gamma, SETS), both,
    )  # fmt: skip


def steps_of(world: TabularMDP) -> Float[np.ndarray, "S S"]:
    """P, the chance of going from one state to another in a step; what a row lacks to 1 is that of the end."""
    by_action = world.transition.toarray().reshape(2, STATES, STATES)
    return np.asarray((POLICY.T[..., None] * by_action).sum(0))


def target_moments(
    world: TabularMDP, guess: Float[np.ndarray, " S"], gamma: float
) -> tuple[Float[np.ndarray, "n S"], Float[np.ndarray, "n S"]]:
    """Mean and variance of a single n-step target from each state, for all of `N`."""
    step = steps_of(world)
    chance = POLICY[..., None] * world.probability
    reward, squared = ((chance * world.reward**power).sum((1, 2)) for power in (1, 2))
    mean, mean_square = guess, guess**2
    moments = []
    for _ in N[:-1]:
        # (r + γG)² with the target G that is one step shorter. The mean of 2γrG is 0: where the walk goes on, r is
        # noise; where it ends, there is no G.
        mean_square = squared + gamma**2 * step @ mean_square
        mean = reward + gamma * step @ mean
        moments.append((mean, mean_square))
    # The fixed point, n = ∞.
    mean = np.linalg.solve(np.eye(STATES) - gamma * step, reward)
    mean_square = np.linalg.solve(np.eye(STATES) - gamma**2 * step, squared)
    means, mean_squares = np.array([*moments, (mean, mean_square)]).swapaxes(0, 1)
    return means, mean_squares - means**2


def visit_probability(world: TabularMDP) -> Float[np.ndarray, " S"]:
    """Of coming to each state at least once in an episode: expected visits from the start over those from there."""
    visits = np.linalg.inv(np.eye(STATES) - steps_of(world))
    return np.asarray(world.start @ visits / np.diag(visits))


def mean_of_inverse_count(episodes: int, probability: Float[np.ndarray, " S"]) -> Float[np.ndarray, " S"]:
    """E[1/K | K ≥ 1] for a binomial K."""
    k = np.arange(1, episodes + 1)[:, None]
    weight = comb(episodes, k) * probability**k * (1 - probability) ** (episodes - k)
    return np.asarray((weight / k).sum(0) / weight.sum(0))


@dataclass(frozen=True)
class Walks:
    """Episodes side by side, longest possible; what stands after an episode's end means nothing.

    Attributes:
        steps: state, action and outcome of each step,
        next_state: where it led, and
        terminated: whether it ended the episode.
        first: the step of the first visit to each state, −1 for never.
    """

    steps: tuple[Int[np.ndarray, "T E"], Int[np.ndarray, "T E"], Int[np.ndarray, "T E"]]
    next_state: Int[np.ndarray, "T E"]
    terminated: Bool[np.ndarray, "T E"]
    first: Int[np.ndarray, "S E"]


@cache
def walks() -> Walks:
    """All episodes that any setting of the controls needs: no control changes where the agent walks."""
    rng, world, count = np.random.default_rng(SEED), walk(0.0), SETS * MOST_EPISODES
    state, going = np.full(count, STATES // 2), np.ones(count, bool)
    first = np.full((STATES, count), -1)
    steps: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    while going.any():
        new = np.flatnonzero(going & (first[state, np.arange(count)] < 0))
        first[state[new], new] = len(steps)
        action, outcome = rng.integers(2, size=(2, count))
        steps.append((state, action, outcome))
        going &= ~world.terminated[state, action, outcome]
        state = world.next_state[state, action, outcome]
    states, actions, outcomes = path = tuple(np.array(steps).swapaxes(0, 1))
    return Walks((states, actions, outcomes), world.next_state[path], world.terminated[path], first)


def sample(
    world: TabularMDP, guess: Float[np.ndarray, " S"], n: int, episodes: int, gamma: float, sets: int
) -> Float[np.ndarray, "sets S"]:
    """The estimate of each state in each of the first `sets` sets of episodes."""
    count = sets * episodes
    path = tuple(each[:, :count] for each in walks().steps)
    next_state, terminated = walks().next_state[:, :count], walks().terminated[:, :count]
    steps = world.reward[path], guess[next_state], terminated, np.zeros_like(terminated), gamma
    targets = monte_carlo_targets(*steps) if n == INFINITE else n_step_targets(*steps, n)  # the same, but quicker
    first = walks().first[:, :count]
    visited = first >= 0
    first_targets = np.where(visited, targets[first, np.arange(count)], 0.0)
    total, visits = (each.reshape(STATES, sets, episodes).sum(-1) for each in (first_targets, visited))
    with np.errstate(invalid="ignore"):  # 0/0 where a set never comes to a state
        return np.asarray((total / visits).T)


def scene(data: Estimates) -> Scene:
    bias, variance = data.here
    parts = {"bias²": float((bias**2).mean()), "variance": float(variance.mean())}
    share = round(100 * parts["bias²"] / (sum(parts.values()) or 1.0))
    best = "no other n is better" if data.n == data.best else f"n = {name(data.best)} would be best"
    headline = (
        f"n = {name(data.n)}: squared error {sum(parts.values()):.3f}, {share} % of it bias² and "
        f"{100 - share} % variance; {best}."
    )
    return Scene(headline, (chain_view(data), errors_view(data)), (lengths_view(data), sets_view(data)))


NUMBERS = np.arange(1, STATES + 1)  # of the states
TICKS = {float(s): str(s) for s in NUMBERS}
TRACK = [*STEPS.values()]


def chain_view(data: Estimates) -> View:
    """The chain: for each state how far the estimates scatter around which mean, what one agent says, its last walk."""
    methods = [("TD, n = 1", 0, "red"), ("Monte Carlo, n = ∞", -1, "blue")]
    agents = [*data.both]
    if data.n not in (1, INFINITE):
        methods.insert(1, (f"n = {data.n}", int(np.flatnonzero(data.n == N)[0]), "green"))
        agents.insert(1, data.sampled[0])
    rows = [row for _, row, _ in methods]
    means, deviations = (data.value + data.bias)[rows], np.sqrt(data.variance[rows])
    low = float(min((means - deviations).min(), data.guess.min(), 0.0))
    high = float(max((means + deviations).max(), data.guess.max(), 1.0))
    floor = low - 0.35 * (high - low)  # the walk is drawn below the values
    path = last_walk(data.episodes)
    trail = floor + 0.25 * (high - low) * np.linspace(1, 0, len(path))
    guess, true = float(data.guess[-1]), float(data.value[-1])
    apart = max(0.09 * (high - low) - abs(guess - true), 0.0) / 2 * (1 if guess >= true else -1)
    marks = [
        line(path, trail, "grey", width=1),
        dots(path[-1:], trail[-1:], "ink", size=0.4, names=[f"the last of {data.episodes} episodes ends here"]),
        line(NUMBERS, data.guess, "grey", dash=True),
        line(NUMBERS, data.value, "ink", width=3),
        text([STATES + 0.5] * 2, [guess + apart, true - apart], ["guess V̂", "true V"], ["grey", "ink"], anchor="start"),
    ]
    for i, ((label, _, color), agent) in enumerate(zip(methods, agents, strict=True)):
        beside = NUMBERS + 0.24 * (i - (len(methods) - 1) / 2)
        names = [f"one agent, {label}\nstate {s}: {v:.2f}" for s, v in zip(NUMBERS, agent, strict=True)]
        marks.append(bars(beside, means[i] - deviations[i], means[i] + deviations[i], color, width=0.2, alpha=0.35))
        marks.append(dots(beside, agent, color, size=0.32, names=names))
        row = high + (0.1 + 0.12 * (len(methods) - 1 - i)) * (high - low)
        marks.append(text([-0.3], [row], [label], color, anchor="start", bold=True))
    ticks = {0.0: "end", **TICKS, STATES + 1.0: "+1"}
    across = Axis(-0.4, STATES + 1.9, "state; below: the walk of the last episode", ticks=ticks)
    episodes = f"{data.episodes} episode{'' if data.episodes == 1 else 's'}"
    title = f"estimates from {episodes}: bars, mean ± deviation; dots, one agent"
    return View(across, Axis(floor, high + 0.45 * (high - low), "value"), marks, title)


def errors_view(data: Estimates) -> View:
    """The two parts of each state's error, with n to take hold of above them; the axis is the same for every n."""
    bias, variance = data.here
    top = 1.05 * float((data.bias**2 + data.variance).max())
    height = 1.12 * top
    marks = [
        bars(NUMBERS, 0 * bias, bias**2, "red", label="bias²"),
        bars(NUMBERS, bias**2, bias**2 + variance, "sky", label="variance"),
        *track((0.7, STATES + 0.3), height, "n", "n", TRACK, data.n),
        text([0.6], [1.25 * top], ["TD, n = 1"], "red", anchor="start", bold=True),
        text([STATES + 0.4], [1.25 * top], ["Monte Carlo, n = ∞"], "blue", anchor="end", bold=True),
    ]
    across = Axis(0.4, STATES + 0.6, "state", ticks=TICKS)
    title = f"error of each state, n = {name(data.n)}"
    return View(across, Axis(0, 1.35 * top, "squared error"), marks, title)


def lengths_view(data: Estimates) -> View:
    """The error for every n, mean over the states, with the chosen n to take hold of."""
    drawn, bias_squared = np.where(N == INFINITE, 48.0, N), (data.bias**2).mean(1)
    chosen = int(np.flatnonzero(data.n == N)[0])
    stops = {48.0 if n == INFINITE else float(n): float(n) for n in TRACK}
    marks = [
        area(drawn, 0 * drawn, bias_squared, "red", label="bias²", alpha=0.6),
        area(drawn, bias_squared, data.mse, "sky", label="variance", alpha=0.6),
        line(drawn, data.mse, "ink"),
        text([float(drawn[data.mse.argmin()])], [float(data.mse.min()) / 2], ["best"], bold=True),
        handle(float(drawn[chosen]), float(data.mse[chosen]), "number of rewards", along_x="n", stops=stops),
    ]
    ticks = {float(n): str(n) for n in (1, 2, 4, 8, 16, 32)} | {48.0: "∞"}
    across = Axis(0.93, 52, "n, rewards before bootstrapping", log=True, ticks=ticks)
    return View(across, up_to(data.mse, label="squared error"), marks, "mean error for every n")


def sets_view(data: Estimates) -> View:
    """What many agents say with the chosen n: their mean is off by the bias, their spread is the variance."""
    bias, variance = data.here
    mean, deviation = data.value + bias, np.sqrt(variance)
    measured = np.nanmean((data.sampled - data.value) ** 2)
    jitter = np.random.default_rng(SEED).uniform(-0.25, 0.25, data.sampled.shape)
    marks = [
        dots((NUMBERS + jitter).ravel().round(2), data.sampled.ravel(), "sky", size=0.14, alpha=0.5),
        *(line([s, s], [m - d, m + d], "blue", width=4) for s, m, d in zip(NUMBERS, mean, deviation, strict=True)),
        line(NUMBERS, data.value, "ink", label="true V", width=2.5),
        dots(NUMBERS, mean, "blue", size=0.4, label="expected"),
    ]
    across = Axis(0.4, STATES + 0.9, "state", ticks=TICKS)
    up = around(mean - 2 * deviation, mean + 2 * deviation, label="value", room=0.05)
    return View(across, up, marks, f"{SETS} agents, n = {name(data.n)}: measured squared error {measured:.3f}")


def last_walk(episodes: int) -> Int[np.ndarray, " T"]:
    """The states, 1 to 7 and an end on either side, that the first set's last episode passes."""
    world, episode = walk(0.0), episodes - 1
    states, actions, outcomes = (each[:, episode] for each in walks().steps)
    length = int(np.flatnonzero(world.terminated[states, actions, outcomes])[0]) + 1
    end = states[length - 1] + (1 if actions[length - 1] else -1)
    return np.append(states[:length], end) + 1


def name(n: int) -> str:
    return "∞" if n == INFINITE else str(n)


def describe(data: Estimates) -> str:
    bias, variance = data.here
    measured, error = np.nanmean((data.sampled - data.value) ** 2), f"{data.error:g}".replace("-", "−")
    episodes = f"{data.episodes} episode{'' if data.episodes == 1 else 's'}"
    return (
        f"Values of {STATES} states from {episodes}, n = {name(data.n)}, guess wrong by {error} "
        f"{data.where}, noise {data.noise:g}, discount {data.gamma:g}. Mean over the states: bias² "
        f"{(bias**2).mean():.4f}, variance {variance.mean():.4f}, squared error {(bias**2 + variance).mean():.4f}; "
        f"measured in {SETS} sets {measured:.4f}. Largest bias {np.abs(bias).max():.3f}, bound {data.bound:.3f}. "
        f"The squared error is smallest for n = {name(data.best)}."
    )


@presets.offered(PRESETS)
def widget(values: presets.Values) -> Panel:
    """Choose how many rewards to add up before trusting the guess, and see where the error comes from."""
    controls = {
        "n": selection(values["n"], list(STEPS.items()), "n"),
        "episodes": slider(values["episodes"], 1, MOST_EPISODES, 1, "episodes"),
        "error": slider(values["error"], -1.0, 1.0, 0.1, "error of V̂"),
        "where": choice(values["where"], list(ERRORS), "error"),
        "noise": slider(values["noise"], 0.0, 2.0, 0.1, "noise σ"),
        "gamma": slider(values["gamma"], 0.5, 0.99, 0.01, "γ"),
    }
    more = ("error", "where", "noise", "gamma")
    return Panel(compute, scene, describe, controls, more, play="episodes")
