"""The ladder: worlds whose true values are known, in the order in which to look for the bug.

An agent joins by one line in `LEARNERS`: how to make it, for how many steps it trains, and what it thinks Q is.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.spaces import Discrete
from gymnasium.utils.env_checker import check_env

from rlcourse import envs, loop
from rlcourse.algorithms import dqn, q_iteration
from rlcourse.envs import ActionMatters, ConstantReward, Discounting, ObservationMatters, TruncationIsNotTermination

torch.set_num_threads(1)  # small networks: a second thread only slows them down
GAMMA = 0.5  # far from 1, so that every mistake is large

# World, observation, action (−1 or 1), and the true Q(s, a), as in the docstrings of `envs`.
TRUTH: list[tuple[type[envs.Probe], float, int, float]] = [
    (ConstantReward, 0.0, 1, 1.0),
    (ObservationMatters, -1.0, 1, -1.0),
    (ObservationMatters, 1.0, 1, 1.0),
    (Discounting, 0.0, 1, GAMMA),
    (Discounting, 1.0, 1, 1.0),
    (ActionMatters, 0.0, -1, -1.0),
    (ActionMatters, 0.0, 1, 1.0),
    (TruncationIsNotTermination, 0.0, 1, 1 / (1 - GAMMA)),
    (TruncationIsNotTermination, 1.0, 1, 1 / (1 - GAMMA)),
]


@dataclass(frozen=True)
class Learner:
    make: Callable[[], Any]
    q: Callable[[Any, float, int], float]  # (agent, observation, action −1 or 1) → what it thinks the pair is worth
    steps: int
    continuous: bool = False
    tabular: bool = False
    tolerance: float = 0.1


DQN_CONFIG = dqn.Config(
    gamma=GAMMA, lr=1e-2, hidden=(32,), batch_size=32, learning_starts=32, epsilon_end=0.5, epsilon_steps=1, tau=0.1
)
LEARNERS = {
    "q_learning": Learner(
        lambda: q_iteration.QLearning(3, 2, q_iteration.Config(gamma=GAMMA, lr=0.2, epsilon=0.5), seed=0),
        lambda agent, obs, action: float(agent.q[int(obs) + 1, (action + 1) // 2]),
        steps=300,
        tabular=True,
    ),
    "dqn": Learner(
        lambda: dqn.DQN(1, 2, DQN_CONFIG, seed=0),
        lambda agent, obs, action: agent.q(torch.tensor([obs]))[(action + 1) // 2].item(),
        steps=600,
    ),
}


def world(probe: type[envs.Probe], learner: Learner) -> gym.Env:
    env: gym.Env = probe(learner.continuous)
    if learner.tabular:  # −1, 0, 1 → states 0, 1, 2
        env = gym.wrappers.TransformObservation(env, lambda obs: int(obs[0]) + 1, Discrete(3))
    return env


@pytest.mark.parametrize("probe", envs.PROBES, ids=lambda probe: probe.__name__)
@pytest.mark.parametrize("name", LEARNERS)
def test_ladder(name: str, probe: type[envs.Probe]) -> None:
    learner = LEARNERS[name]
    agent = learner.make()
    for _ in loop.train(world(probe, learner), agent, learner.steps, seed=0):
        pass
    truth = [(obs, action, value) for which, obs, action, value in TRUTH if which is probe]
    believed = [learner.q(agent, obs, action) for obs, action, _ in truth]
    np.testing.assert_allclose(believed, [value for *_, value in truth], atol=learner.tolerance)


@pytest.mark.parametrize("name", LEARNERS)
def test_the_policy_follows_the_values(name: str) -> None:
    learner = LEARNERS[name]
    agent = learner.make()
    for _ in loop.train(world(ActionMatters, learner), agent, learner.steps, seed=0):
        pass
    assert loop.evaluate(world(ActionMatters, learner), agent, 1, seed=9)[0] > 0.9


@pytest.mark.parametrize("continuous", [False, True])
@pytest.mark.parametrize("probe", envs.PROBES, ids=lambda probe: probe.__name__)
def test_probes_are_proper_environments(probe: type[envs.Probe], continuous: bool) -> None:
    check_env(probe(continuous), skip_render_check=True)


@pytest.mark.parametrize(("probe", "obs", "action", "value"), TRUTH)
@pytest.mark.parametrize("continuous", [False, True])
def test_the_stated_values_are_true(
    probe: type[envs.Probe], obs: float, action: int, value: float, continuous: bool
) -> None:
    env = probe(continuous)
    coded: Any = np.array([action], np.float32) if continuous else (action + 1) // 2
    for seed in range(20):  # until it starts where we want it, or gets there
        start = env.reset(seed=seed)[0][0]
        if start == obs or (probe in (Discounting, TruncationIsNotTermination) and env.step(coded)[0][0] == obs):
            break
    snap = envs.snapshot(env)
    found = envs.monte_carlo_return(env, snap, coded, lambda _: coded, GAMMA, max_reward=1.0, tolerance=1e-6)
    assert found == pytest.approx(value, abs=1e-5)


def test_a_limit_taken_for_an_end_is_found_out() -> None:
    """The ladder can fail: an agent that takes truncation for termination believes Q(1) = 1, the truth is 2."""

    class Mistaken(q_iteration.QLearning):
        def observe(self, transition: Any) -> None:
            cut = transition.terminated or transition.truncated
            super().observe(type(transition)(**{**vars(transition), "terminated": cut}))

    learner = LEARNERS["q_learning"]
    agent = Mistaken(3, 2, q_iteration.Config(gamma=GAMMA, lr=0.2), seed=0)
    for _ in loop.train(world(TruncationIsNotTermination, learner), agent, learner.steps, seed=0):
        pass
    assert learner.q(agent, 1.0, -1) == pytest.approx(1.0, abs=0.1)
