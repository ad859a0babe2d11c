"""The loop hands over what happened, the evaluation measures without changing anything."""

import gymnasium as gym
import numpy as np
import pytest

from rlcourse.algorithms import q_iteration as qi
from rlcourse.buffers import Transition
from rlcourse.envs import GRIDS, GridWorld, TabularEnv
from rlcourse.loop import evaluate, train
from rlcourse.returns import discounted_returns


class Recorder(qi.QLearning):
    """Goes right, and remembers what it was told."""

    def __init__(self) -> None:
        super().__init__(3, 4, qi.Config(), seed=0)
        self.seen: list[Transition] = []

    def act(self, obs: int | np.integer, explore: bool = True) -> int:
        return 1 if explore else 3

    def observe(self, transition: Transition) -> None:
        self.seen.append(transition)
        super().observe(transition)


def test_transitions_arrive_as_they_happened() -> None:
    agent = Recorder()
    metrics = list(train(TabularEnv(GridWorld("S.G").mdp()), agent, steps=5, seed=0))
    assert [(t.obs, t.next_obs, t.reward, t.terminated, t.truncated) for t in agent.seen] == [
        (0, 1, 0, False, False),
        (1, 2, 1, True, False),  # the goal itself, not the next episode's start
        (0, 1, 0, False, False),
        (1, 2, 1, True, False),
        (0, 1, 0, False, False),
    ]
    episodes = [m for m in metrics if "episode_return" in m]
    assert episodes == [{"step": 2 * k, "episode_return": 1, "episode_length": 2} for k in (1, 2)]
    assert [m["step"] for m in metrics if "td_error" in m] == [1, 2, 3, 4, 5]


def test_a_time_limit_truncates() -> None:
    agent = Recorder()
    list(train(gym.wrappers.TimeLimit(TabularEnv(GridWorld("S...G").mdp()), 2), agent, steps=2, seed=0))
    assert [(t.terminated, t.truncated) for t in agent.seen] == [(False, False), (False, True)]


def test_same_seed_same_run() -> None:
    def run(seed: int) -> list[dict[str, float]]:
        agent = qi.QLearning(12, 4, qi.Config(epsilon=0.5), seed)
        return list(train(TabularEnv(GridWorld(GRIDS["small"].text, slip=0.2).mdp()), agent, 500, seed))

    assert run(0) == run(0)
    assert run(0) != run(1)


def test_evaluation_neither_explores_nor_learns() -> None:
    agent = Recorder()
    returns = evaluate(gym.wrappers.TimeLimit(TabularEnv(GridWorld("G.S.G").mdp()), 5), agent, episodes=3, seed=0)
    assert returns.tolist() == [1, 1, 1]  # two steps to the left, without exploration
    assert agent.seen == []


def test_discounted_returns_by_hand() -> None:
    # 3; 2 + 0.5·3 = 3.5; 1 + 0.5·3.5 = 2.75
    np.testing.assert_allclose(discounted_returns(np.array([1.0, 2.0, 3.0]), 0.5), [2.75, 3.5, 3.0])
    assert discounted_returns(np.array([1.0, 2.0]), 0.0).tolist() == [1, 2]
    assert discounted_returns(np.ones(3), 1.0) == pytest.approx([3, 2, 1])
