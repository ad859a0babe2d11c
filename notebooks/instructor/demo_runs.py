"""The agents of the demo "Diagnose this run", really broken: other faults, worlds and seeds than the homework's.

`python notebooks/instructor/demo_runs.py` records them anew, in some minutes; names after it record only those.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any
from unittest.mock import patch

import gymnasium as gym
import hw06_runs
import hw07_runs
import numpy as np
import torch
from recorder import Study, record

from rlcourse.algorithms import q_iteration as qi
from rlcourse.algorithms import sac, td3
from rlcourse.loop import evaluate, train

SEEDS = range(100, 105)
FEW = range(100, 103)

# --- lecture 1: a cliff


class Trembling(qi.QLearning):
    """It explores whatever it is told, so also while its return is measured."""

    def act(self, obs: int | np.integer, explore: bool = True) -> int:
        return super().act(obs, explore=True)


def cliff(kind: type[qi.QLearning], seed: int) -> Iterator[tuple[float, ...]]:
    """Along the cliff every step costs 1 and a fall 100."""
    env, test = (gym.make("CliffWalking-v1", max_episode_steps=100) for _ in range(2))
    agent = kind(48, 4, qi.Config(gamma=0.99, lr=0.5, epsilon=0.1, temperature=0.0), seed)
    returns, errors = [], []
    for metrics in train(env, agent, 20_000, seed):
        returns += [metrics["episode_return"]] if "episode_return" in metrics else []
        errors += [abs(metrics["td_error"])] if "td_error" in metrics else []
        if "reward" in metrics and metrics["step"] % 1_000 == 0:
            measured = evaluate(test, agent, episodes=20, seed=1000).mean()
            yield measured, np.mean(returns), agent.q[36].max(), np.mean(errors)
            returns, errors = [], []


# --- any lecture: seeds


def lake(same: bool, seed: int) -> Iterator[tuple[float, ...]]:
    """On the ice of an 8 × 8 lake every third step goes where it should."""
    if same:
        seed = SEEDS[0]
    env, test = (gym.make("FrozenLake-v1", map_name="8x8") for _ in range(2))
    agent = qi.QLearning(64, 4, qi.Config(gamma=0.99, lr=0.1, epsilon=0.3, temperature=0.0, initial_value=0.5), seed)
    errors = []
    for metrics in train(env, agent, 40_000, seed):
        errors += [abs(metrics["td_error"])] if "td_error" in metrics else []
        if "reward" in metrics and metrics["step"] % 2_000 == 0:
            score = evaluate(test, agent, episodes=100, seed=1000).mean()
            yield score, agent.q[0].max(), np.mean(errors)
            errors = []


# --- lecture 6: a line


class Timid(td3.TD3):
    """It never tries anything but its policy."""

    def act(self, obs: Any, explore: bool = True) -> Any:
        return super().act(obs, explore=False)


def line(kind: type[td3.TD3], seed: int) -> Iterator[tuple[float, ...]]:
    agent = kind(1, hw06_runs.ACTIONS, td3.Config(**hw06_runs.SETTINGS), seed)
    for means in hw06_runs.train(agent, seed, hw07_runs.step, 2_000, 100):
        score, size = hw07_runs.measure(agent)
        actions = agent.replay.gather(torch.arange(len(agent.replay))).action
        yield score, size, actions.std().item(), means["critic_loss"]


# --- lecture 7: the price of entropy

temperature_loss = sac.temperature_loss


def price(change: AbstractContextManager[Any], seed: int) -> Iterator[tuple[float, ...]]:
    """To the origin, where the episode ends."""
    with change:
        agent = sac.SAC(1, hw06_runs.ACTIONS, sac.Config(**hw07_runs.SETTINGS), seed)
        for means in hw06_runs.train(agent, seed, hw06_runs.step, 2_000, 100):
            score, *_ = hw06_runs.measure(agent)
            yield score, means["entropy"], means["temperature"], means["critic_loss"]


# --- lecture 8: goals

BITS, TIME_LIMIT, EPISODES, GAMMA, EPSILON, LR, BATCH = 4, 6, 1_000, 0.95, 0.2, 0.5, 64


def bits(fixed: bool, seed: int) -> Iterator[tuple[float, ...]]:
    """Flip bits until they are as wanted: a Q-table over states and goals, without hindsight."""
    rng, size = np.random.default_rng(seed), 2**BITS
    q = 1e-3 * rng.random((size, size, BITS))  # optimistic: it tries everything
    memory: list[tuple[int, int, int, int]] = []
    trained, wanted = [], int(rng.integers(size))
    for number in range(1, EPISODES + 1):
        wanted = wanted if fixed else int(rng.integers(size))
        state, walk = wanted ^ int(rng.integers(1, size)), []  # at least one bit is wrong
        for _ in range(TIME_LIMIT):
            if state == wanted:
                break
            action = int(rng.integers(BITS)) if rng.random() < EPSILON else int(q[state, wanted].argmax())
            walk.append((state, action, state ^ 1 << action))
            state ^= 1 << action
        trained.append(state == wanted)
        memory += [(*step, wanted) for step in walk]
        for s, a, following, goal in (memory[i] for i in rng.integers(len(memory), size=BATCH)):
            arrives = following == goal
            target = 0.0 if arrives else -1 + GAMMA * q[following, goal].max()
            q[s, goal, a] += LR * (target - q[s, goal, a])
        if number % 50 == 0:
            starts, goals = np.random.default_rng(0).integers(size, size=(2, 200))
            places, reached = starts.copy(), starts == goals
            for _ in range(TIME_LIMIT):
                places = np.where(reached, places, places ^ 1 << q[places, goals].argmax(-1))
                reached |= places == goals
            believed = q[starts, goals].max(-1).mean()
            goals_seen = len({goal for *_, goal in memory}) / size
            yield np.mean(trained), reached.mean(), believed, goals_seen
            trained = []


def study(name: str, xlabel: str, at: range, quantities: str, healthy: Any, broken: Any, seeds: range) -> Study:
    return Study(name, xlabel, at, quantities.split(", "), {"healthy": healthy, "broken": broken}, seeds)


STUDIES = (
    study(
        "cliff",
        "step",
        range(1_000, 20_001, 1_000),
        "measured return, training return, value of start, TD error",
        partial(cliff, qi.QLearning),
        partial(cliff, Trembling),
        SEEDS,
    ),
    study(
        "lake",
        "step",
        range(2_000, 40_001, 2_000),
        "return, value of start, TD error",
        partial(lake, False),
        partial(lake, True),
        SEEDS,
    ),
    study(
        "line",
        "step",
        range(500, 2_001, 100),
        "return, action size, spread of actions, critic loss",
        partial(line, td3.TD3),
        partial(line, Timid),
        FEW,
    ),
    study(
        "price",
        "step",
        range(300, 2_001, 100),
        "return, entropy, temperature, critic loss",
        partial(price, nullcontext()),
        partial(price, patch.object(sac, "temperature_loss", lambda *args: -temperature_loss(*args))),
        FEW,
    ),
    study(
        "bits",
        "episode",
        range(50, EPISODES + 1, 50),
        "training success, success on new goals, value, goals in memory",
        partial(bits, False),
        partial(bits, True),
        SEEDS,
    ),
)

if __name__ == "__main__":
    record(STUDIES)
