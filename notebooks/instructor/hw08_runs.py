"""Homework 8: the agents that question 5 asks about, really broken. Not for students.

`python notebooks/instructor/hw08_runs.py` records them anew.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
from recorder import Study, record

SIDE, TIME_LIMIT, EPISODES, EVERY, SEEDS = 6, 12, 500, 25, 5
GAMMA, EPSILON, LR, BATCH, SHARE = 0.95, 0.3, 0.5, 32, 0.8
MOVES = np.array([(-1, 0), (0, 1), (1, 0), (0, -1)])
NAMES = ("success", "relabelled paid", "believed", "true", "batch reward")


@dataclass(frozen=True)
class Rules:
    """How transitions are relabelled; each default is right.

    Attributes:
        past: the goal is something that was achieved before the transition.
        reward: it is computed anew for the goal.
        next_goal: what follows is judged with the new goal, too.
        mask: reaching the goal ends the episode.
    """

    past: bool = False
    reward: bool = True
    next_goal: bool = True
    mask: bool = True


BROKEN = {
    "healthy": Rules(),
    "A": Rules(reward=False),
    "B": Rules(past=True),
    "C": Rules(next_goal=False),
    "D": Rules(mask=False),
}


def neighbour(place: np.ndarray, action: np.ndarray) -> np.ndarray:
    """Where an action leads on the grid; beyond the edge it leads nowhere."""
    row, column = np.divmod(place, SIDE)
    row, column = np.clip(row + MOVES[action, 0], 0, SIDE - 1), np.clip(column + MOVES[action, 1], 0, SIDE - 1)
    return row * SIDE + column


def evaluate(q: np.ndarray) -> tuple[float, float, float]:
    """Share of 200 goals that the greedy policy reaches; what Q believes of the first step, and what is true."""
    place, goal = np.random.default_rng(0).integers(SIDE**2, size=(2, 200))
    believed = q[place, goal].max(-1).mean()
    reached, value = np.zeros(200, bool), np.zeros(200)
    for t in range(TIME_LIMIT):
        place = np.where(reached, place, neighbour(place, q[place, goal].argmax(-1)))
        reached |= place == goal
        value -= GAMMA**t * ~reached
    return float(reached.mean()), float(believed), float(value.mean())


def run(rules: Rules, seed: int) -> Iterator[tuple[float, ...]]:
    """What `NAMES` lists, every 25 episodes, of a tabular Q-learner with a memory that relabels."""
    rng, q = np.random.default_rng(seed), np.full((SIDE**2, SIDE**2, 4), -1 / (1 - GAMMA))
    q += 1e-3 * rng.random(q.shape)  # so that equal actions are not always the first
    memory, paid, rewards = np.zeros((EPISODES * TIME_LIMIT, 6), int), [], []
    size = 0
    for number in range(1, EPISODES + 1):
        place, goal = rng.integers(SIDE**2, size=2)
        first = size
        for _ in range(TIME_LIMIT):
            action = rng.integers(4) if rng.random() < EPSILON else q[place, goal].argmax()
            following = neighbour(place, action)
            memory[size, :4] = place, action, following, goal
            size, place = size + 1, following
            if place == goal:
                break
        memory[first:size, 4:] = first, size - 1
        for _ in range(TIME_LIMIT):
            index = rng.integers(size, size=BATCH)
            s, a, s_next, desired, begin, last = memory[index].T
            source = np.where(rules.past, rng.integers(begin, index + 1), rng.integers(index, last + 1))
            chosen = rng.random(BATCH) < SHARE
            g = np.where(chosen, memory[source, 0 if rules.past else 2], desired)
            reached = s_next == (g if rules.reward else desired)
            follows = q[s_next, g if rules.next_goal else desired].max(-1)
            target = -1.0 * ~reached + GAMMA * follows * (~reached | (not rules.mask))
            q[s, g, a] += LR * (target - q[s, g, a])
            paid += reached[chosen].tolist()
            rewards += reached.tolist()
        if number % EVERY == 0:
            success, believed, true = evaluate(q)
            yield success, np.mean(paid), believed, true, np.mean(rewards) - 1
            paid, rewards = [], []


STUDIES = (
    Study(
        "hw08",
        "episode",
        range(EVERY, EPISODES + 1, EVERY),
        NAMES,
        {name: partial(run, rules) for name, rules in BROKEN.items()},
        range(SEEDS),
    ),
)

if __name__ == "__main__":
    record(STUDIES)
