"""Homework 4: the agents that question 5 asks about, really broken. Not for students.

`python notebooks/instructor/hw04_runs.py` records them anew.
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
GAMMA, WALKERS, ROUNDS, EVERY, TIME_LIMIT, SEEDS = 0.9, 16, 10_000, 500, 5, 5
BROKEN = {
    "A": {"mask": 0.0},  # bootstraps past the end: there is a value where an episode has ended
    "B": {"critic_rate": 0.0},
    "C": {"truncated_ends": True},
    "D": {"sign": -1.0},
    "E": {"actor_rate": 20.0},
}


def softmax(x: np.ndarray) -> np.ndarray:
    p = np.exp(x - x.max(-1, keepdims=True))
    return p / p.sum(-1, keepdims=True)


def run(
    seed: int,
    mask: float = 1.0,
    truncated_ends: bool = False,
    sign: float = 1.0,
    actor_rate: float = 0.2,
    critic_rate: float = 0.1,
) -> Iterator[tuple[float, ...]]:
    """Means over all living states, every 500 rounds: exact V of the policy, the critic's V, entropy, |TD error|."""
    rng = np.random.default_rng(seed)
    values, preferences = np.zeros(25), np.zeros((25, 4))
    s, age, errors = rng.choice(LIVING, WALKERS), rng.integers(TIME_LIMIT, size=WALKERS), []
    for step in range(1, ROUNDS + 1):
        policy = softmax(preferences[s])
        a = (rng.random(WALKERS)[:, None] > policy.cumsum(-1)[:, :-1]).sum(-1)
        k = (rng.random(WALKERS)[:, None] > MDP.probability[s, a].cumsum(-1)[:, :-1]).sum(-1)
        following, r, terminated = MDP.next_state[s, a, k], MDP.reward[s, a, k], MDP.terminated[s, a, k]
        age += 1
        over = terminated | (age == TIME_LIMIT)
        upcoming = np.where(over, rng.choice(LIVING, WALKERS), following)
        if not mask:
            following = upcoming  # the next row of a rollout, whatever episode it belongs to
        error = r + GAMMA * (1 - mask * (over if truncated_ends else terminated)) * values[following] - values[s]
        np.add.at(values, s, critic_rate * error)
        np.add.at(preferences, s, sign * actor_rate * error[:, None] * (np.eye(4)[a] - policy))
        errors.append(np.abs(error).mean())
        age[over], s = 0, upcoming
        if step % EVERY == 0:
            policy = softmax(preferences)
            entropy = -(policy * np.log(policy + 1e-30)).sum(-1)
            exact = qi.evaluate_policy(MDP, policy, GAMMA)
            yield exact[LIVING].mean(), values[LIVING].mean(), entropy[LIVING].mean(), np.mean(errors)
            errors = []


STUDIES = (
    Study(
        "hw04",
        "round",
        range(EVERY, ROUNDS + 1, EVERY),
        ("true value", "critic's value", "entropy", "TD error"),
        {name: partial(run, **how) for name, how in {"healthy": {}, **BROKEN}.items()},
        range(SEEDS),
    ),
)

if __name__ == "__main__":
    record(STUDIES)
