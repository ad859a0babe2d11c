"""ε-greedy, Boltzmann and optimistic exploration side by side: where they go, and what that costs."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Float, Int

from rlcourse.algorithms.q_iteration import (
    advantage,
    bellman_target,
    boltzmann,
    epsilon_greedy,
    greedy,
    optimal_q,
    sample,
)
from rlcourse.buffers import Transition
from rlcourse.envs import GRIDS, GridWorld
from rlcourse.widgets import grid, presets
from rlcourse.widgets.panel import Panel, choice, player, slider
from rlcourse.widgets.scene import Axis, Scene, View, handle, line, patches, text, up_to

LECTURE = "1 Tabular Q-iteration"
QUESTION = "What does it cost to explore, and what not to?"

RUNS, STEPS, GAMMA, LR, SEED = 200, 300, 0.95, 0.5, 0
WORLDS = ("two goals", "small", "cliff")
EVERY = 10  # steps between two moments that can be looked at
STRATEGIES = ("ε-greedy", "Boltzmann", "optimistic")
_CAREFUL = {"world": "two goals", "epsilon": 0.1, "temperature": 0.05, "initial_value": 1.0, "steps": STEPS}
PRESETS: presets.Presets = {
    "two goals: only the optimist always finds the far one": _CAREFUL,
    "more noise helps, and does not suffice": _CAREFUL | {"epsilon": 0.5, "temperature": 0.25},
    "three greedy learners: chance decides": _CAREFUL | {"epsilon": 0.0, "temperature": 0.0, "initial_value": 0.0},
    "too optimistic: it costs": _CAREFUL | {"initial_value": 3.0},
    "a small world: nobody stands out": _CAREFUL | {"world": "small"},
}


@dataclass(frozen=True)
class Exploration:
    """What `RUNS` Q-learners of each strategy did in their first `STEPS` steps.

    Attributes:
        settings: the strategies with their parameters, for titles.
        steps: how many of them are looked at.
        visits: share of these steps spent in each state, `(3, S)`.
        regret: Σ_t V*(s_t) − Q*(s_t, a_t) so far, mean over the runs, `(3, STEPS)`.
        regret_error: its standard error at the end, `(3,)`.
        found: share of the runs that earned the world's largest reward at least once by then, `(3,)`.
    """

    world: GridWorld
    settings: tuple[str, str, str]
    steps: int
    visits: Float[np.ndarray, "3 S"]
    regret: Float[np.ndarray, "3 steps"]
    regret_error: Float[np.ndarray, "3"]
    found: Float[np.ndarray, "3"]


@lru_cache(maxsize=16)  # a control moves one strategy only: the other two need not walk again
def walk(world: str, strategy: int, value: float) -> Int[np.ndarray, "2 steps learners"]:
    """States and actions of all learners of a strategy: each row of the arrays is one with a table of its own."""
    mdp = GRIDS[world].mdp()
    epsilon, temperature, initial_value = np.eye(3)[strategy] * value  # of the other strategies' settings each is 0
    learners = np.arange(RUNS)
    q = np.full((RUNS, mdp.num_states, mdp.num_actions), initial_value)
    uniform = np.random.default_rng(SEED).random((STEPS, len(STRATEGIES), RUNS))[:, strategy]

    start = int(mdp.start.argmax())
    obs = np.full(RUNS, start)
    walked = np.empty((2, STEPS, RUNS), int)

    def values(obs: Int[np.ndarray, " learners"]) -> Float[np.ndarray, "learners A"]:
        # One action's values side by side in memory: numpy is slow at many sums of four numbers in a row.
        return np.asfortranarray(q[learners, obs])

    for t in range(STEPS):
        action = sample(epsilon_greedy(boltzmann(values(obs), temperature), epsilon), uniform[t])
        outcome = obs, action, 0  # these worlds do not slip: there is one outcome
        batch = Transition(obs, action, mdp.reward[outcome], mdp.next_state[outcome], mdp.terminated[outcome], False)
        target = bellman_target(batch, values, GAMMA)
        q[learners, obs, action] += LR * (target - q[learners, obs, action])
        walked[:, t] = obs, action
        obs = np.where(batch.terminated, start, batch.next_obs)
    walked.flags.writeable = False  # others get the same
    return walked


def compute(world: str, epsilon: float, temperature: float, initial_value: float, steps: int = STEPS) -> Exploration:
    mdp = GRIDS[world].mdp()
    cost = -advantage(best_q := optimal_q(mdp, GAMMA), greedy(best_q))
    walks = [walk(world, i, value) for i, value in enumerate((epsilon, temperature, initial_value))]
    states, actions = np.concatenate(walks, axis=-1)

    regret = cost[states, actions].cumsum(0).reshape(STEPS, 3, RUNS)
    seen = states[:steps].reshape(steps, 3, RUNS)
    visits = [np.bincount(seen[:, i].ravel(), minlength=mdp.num_states) for i in range(3)]
    reward = mdp.reward[states[:steps], actions[:steps], 0].reshape(steps, 3, RUNS)
    return Exploration(
        GRIDS[world],
        (f"ε-greedy, ε = {epsilon:g}", f"Boltzmann, T = {temperature:g}", f"optimistic, Q₀ = {initial_value:g}"),
        steps,
        np.stack(visits) / (steps * RUNS),
        regret.mean(-1).T,
        regret[-1].std(-1, ddof=1) / np.sqrt(RUNS),
        (reward == mdp.reward.max()).any(0).mean(-1),
    )


def scene(data: Exploration) -> Scene:
    found = [f"{name} in {100 * share:g} %" for name, share in zip(STRATEGIES, data.found, strict=True)]
    headline = f"In {data.steps} steps the best reward is found by {found[0]}, {found[1]}, {found[2]} of {RUNS} runs."
    maps = [place(data, i) for i in range(len(STRATEGIES))]
    steps, thin = np.arange(1, STEPS + 1), slice(3, None, 4)
    curves = [
        line(steps[thin], regret[thin], color, label=name)
        for name, regret, color in zip(STRATEGIES, data.regret, ("blue", "red", "green"), strict=True)
    ]
    up = up_to(data.regret, label="regret so far, mean over the runs")
    curves.append(line([data.steps] * 2, [0, up.high], "ink", width=1, dash=True))
    curves.append(handle(float(data.steps), 0.0, "steps", along_x="steps"))
    regret = View(Axis(0, STEPS, "step"), up, curves, "what exploring costs")
    caption = f"In each cell: per cent of the steps spent there; γ = {GAMMA:g}, step size {LR:g}."
    return Scene(headline, maps, (regret,), caption)


def place(data: Exploration, strategy: int) -> View:
    """The world with the time spent in its cells, and under it the share of runs that have found its best reward."""
    height, width = data.world.shape
    bottom, share = height - 0.2, float(data.found[strategy])
    bar = np.array([(-0.5, -0.1), (0.5, -0.1), (0.5, 0.1), (-0.5, 0.1)])
    marks = [
        *grid.shares(data.world, data.visits[strategy]),
        patches(
            np.stack([bar * (long, 1) + (long / 2 - 0.5, bottom) for long in (width, width * share)]),
            ["faint", "green"],
        ),
        text([(width - 1) / 2], [bottom + 0.45], [f"found by {100 * share:g} %"], bold=True),
    ]
    return grid.view(data.world, marks, data.settings[strategy], below=1)


def describe(data: Exploration) -> str:
    parts = [
        f"{setting}: regret {regret[-1]:.1f} ± {error:.1f}, best reward found by {100 * found:g} % of the runs"
        for setting, regret, error, found in zip(data.settings, data.regret, data.regret_error, data.found, strict=True)
    ]
    when = f"regret after {STEPS} steps (mean ± standard error), best reward within {data.steps}"
    return f"{RUNS} Q-learners: {when}. {'; '.join(parts)}."


@presets.offered(PRESETS)
def widget(values: presets.Values) -> Panel:
    """Choose how much each of the three strategies explores, and compare visits and regret."""
    controls = {
        "epsilon": slider(values["epsilon"], 0.0, 1.0, 0.05, "ε"),
        "temperature": slider(values["temperature"], 0.0, 0.5, 0.01, "temperature T"),
        "initial_value": slider(values["initial_value"], 0.0, 3.0, 0.1, "optimistic Q₀"),
        "steps": slider(values["steps"], EVERY, STEPS, EVERY, "steps"),
        "world": choice(values["world"], WORLDS, "world"),
    }
    more = [controls["steps"], controls["world"]]
    first = [controls["epsilon"], controls["temperature"], controls["initial_value"], player(controls["steps"])]
    return Panel(compute, scene, describe, controls, rows=[first, more])
