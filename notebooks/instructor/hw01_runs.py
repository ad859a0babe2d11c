"""Homework 1: the agents that question 5 asks about, really broken. Not for students.

`python notebooks/instructor/hw01_runs.py` records them anew.
"""

from collections.abc import Iterator
from functools import partial

import numpy as np
from recorder import Study, record

from rlcourse.algorithms import q_iteration as qi
from rlcourse.envs import GridWorld, TabularEnv

WORLD = GridWorld(".....\n.....\n..P..\n.....\n....G", slip=0.2)
GAMMA, STEPS, EVERY, TIME_LIMIT, SEEDS = 0.9, 40_000, 2_000, 50, 5
BROKEN = {
    "A": {"mask": False},  # bootstraps past the end: from the state in which the next episode starts
    "B": {"epsilon": 0.0},
    "C": {"gamma": 1.0},
    "D": {"lr": 1.0},
}


def run(
    seed: int, mask: bool = True, epsilon: float = 0.3, gamma: float = GAMMA, lr: float = 0.1
) -> Iterator[tuple[float, ...]]:
    """Mean return of the greedy policy, value of the best and of the worst state, mean |TD error|, every 2000 steps."""
    rng, env = np.random.default_rng(seed), TabularEnv(WORLD.mdp())
    q, errors = np.zeros((25, 4)), []
    living = [s for s in range(25) if not WORLD.ends.ravel()[s]]
    (s, _), age = env.reset(seed=seed), 0
    for step in range(1, STEPS + 1):
        a = int(rng.integers(4)) if rng.random() < epsilon else int(q[s].argmax())
        following, r, terminated, _, _ = env.step(a)
        age += 1
        over = terminated or age == TIME_LIMIT
        upcoming = env.reset()[0] if over else following
        age = 0 if over else age
        bootstrap = q[following].max() * (1 - terminated) if mask else q[upcoming].max()
        error = r + gamma * bootstrap - q[s, a]
        q[s, a] += lr * error
        errors.append(abs(error))
        s = upcoming
        if step % EVERY == 0:
            values = q.max(-1)[living]
            policy = qi.evaluate_policy(env.mdp, qi.greedy(q), GAMMA)
            yield env.mdp.start @ policy, values.max(), values.min(), np.mean(errors)
            errors = []


STUDIES = (
    Study(
        "hw01",
        "step",
        range(EVERY, STEPS + 1, EVERY),
        ("greedy return", "largest value", "smallest value", "TD error"),
        {name: partial(run, **how) for name, how in {"healthy": {}, **BROKEN}.items()},
        range(SEEDS),
    ),
)

if __name__ == "__main__":
    record(STUDIES)
