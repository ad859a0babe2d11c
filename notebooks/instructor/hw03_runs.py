"""Homework 3: the agents that question 5 asks about, really broken. Not for students.

`python notebooks/instructor/hw03_runs.py` records them anew.
"""

from collections.abc import Iterator
from functools import partial

import numpy as np
from recorder import Study, record

from rlcourse.algorithms import q_iteration as qi
from rlcourse.envs import GridWorld

WORLD = GridWorld(".....\n.....\n..P..\n.....\n....G", slip=0.2)
MDP = WORLD.mdp()
LIVING = np.flatnonzero(~WORLD.ends.ravel())
GAMMA, EPISODES, HORIZON, UPDATES, EVERY, SEEDS = 0.95, 32, 20, 500, 25, 5
BROKEN = {
    "A": {"own_baseline": True},  # each return is compared with itself
    "B": {"renew": False},
    "C": {"lr": 100.0},
    "D": {"sign": -1.0},
    "E": {"shift": 1},  # the log-probability of the next step's action
}


def softmax(x: np.ndarray) -> np.ndarray:
    p = np.exp(x - x.max(-1, keepdims=True))
    return p / p.sum(-1, keepdims=True)


def roll_out(preferences: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
    """State, action, reward and whether the episode was still running, each (T, N)."""
    rows = []
    s, running = rng.choice(LIVING, EPISODES), np.ones(EPISODES, bool)
    for _ in range(HORIZON):
        a = (rng.random(EPISODES)[:, None] > softmax(preferences[s]).cumsum(-1)[:, :-1]).sum(-1)
        k = (rng.random(EPISODES)[:, None] > MDP.probability[s, a].cumsum(-1)[:, :-1]).sum(-1)
        rows.append((s, a, MDP.reward[s, a, k] * running, running))
        running = running & ~MDP.terminated[s, a, k]
        s = MDP.next_state[s, a, k]
    return tuple(np.array(column) for column in zip(*rows, strict=True))


def run(
    seed: int, own_baseline: bool = False, renew: bool = True, lr: float = 1.0, sign: float = 1.0, shift: int = 0
) -> Iterator[tuple[float, ...]]:
    """The batch's mean return, the policy's exact value, its entropy, the gradient's length; every 25 updates."""
    rng = np.random.default_rng(seed)
    preferences, seen = np.zeros((25, 4)), []
    for update in range(1, UPDATES + 1):
        if renew or update == 1:
            s, a, reward, running = roll_out(preferences, rng)
        to_go = np.array(reward)
        for t in reversed(range(HORIZON - 1)):
            to_go[t] += GAMMA * to_go[t + 1]
        others = (to_go.sum(1, keepdims=True) - to_go) / (EPISODES - 1)
        advantage = sign * running * (to_go - (to_go if own_baseline else others))
        score = np.eye(4)[np.roll(a, -shift, axis=0)] - softmax(preferences[s])
        gradient = np.zeros((25, 4))
        np.add.at(gradient, s, advantage[..., None] * score / EPISODES)
        preferences += lr * gradient
        seen.append((to_go[0].mean(), np.linalg.norm(gradient)))
        if update % EVERY == 0:
            policy = softmax(preferences)
            entropy = -(policy * np.log(policy + 1e-30)).sum(-1)
            exact = qi.evaluate_policy(MDP, policy, GAMMA)[LIVING].mean()
            batch_return, length = np.mean(seen, axis=0)
            yield batch_return, exact, entropy[LIVING].mean(), length
            seen = []


STUDIES = (
    Study(
        "hw03",
        "update",
        range(EVERY, UPDATES + 1, EVERY),
        ("batch return", "true value", "entropy", "gradient norm"),
        {name: partial(run, **how) for name, how in {"healthy": {}, **BROKEN}.items()},
        range(SEEDS),
    ),
)

if __name__ == "__main__":
    record(STUDIES)
