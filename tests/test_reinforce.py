"""REINFORCE: credit, baselines and the loss on numbers worked out by hand; its gradient against an exact one."""

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.spaces import Discrete

from rlcourse.algorithms import reinforce
from rlcourse.algorithms.reinforce import REINFORCE, Config
from rlcourse.buffers import Transition
from rlcourse.loop import evaluate, train

# Three episodes: rewards 1, 2, 4; then 3; then 5, 6.
REWARD = np.array([[1.0, 3.0, 5.0], [2.0, 0.0, 6.0], [4.0, 0.0, 0.0]])


def test_trajectory_returns_by_hand() -> None:
    # γ = ½: 1 + ½(2 + ½·4) = 3, 2 + ½·4 = 4, 4;  3;  5 + ½·6 = 8, 6
    to_go = [[3.0, 3.0, 8.0], [4.0, 0.0, 6.0], [4.0, 0.0, 0.0]]
    assert reinforce.trajectory_returns(REWARD, 0.5, causality=True).tolist() == to_go
    assert reinforce.trajectory_returns(REWARD, 0.5, causality=False).tolist() == [[3.0, 3.0, 8.0]] * 3


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("none", [[0.0, 0.0, 0.0], [0.0, 0.0, 0.0]]),
        ("mean", [[5.0, 5.0, 5.0], [2.0, 2.0, 2.0]]),
        ("leave_one_out", [[6.0, 5.5, 3.5], [3.0, 0.0, 3.0]]),  # (3+9)/2, (2+9)/2, (3+4)/2 without 3, 4, 8 …
    ],
)
def test_baselines_by_hand(kind: reinforce.Baseline, expected: list[list[float]]) -> None:
    returns = np.array([[3.0, 4.0, 8.0], [0.0, 6.0, 0.0]])
    assert reinforce.baseline(returns, kind).tolist() == expected


def test_the_mean_baseline_shrinks_the_advantage_of_the_leave_one_out_baseline() -> None:
    """G − mean = (1 − 1/E) (G − mean of the others), exactly."""
    returns = np.random.default_rng(0).normal(size=(4, 5))
    mean, others = (returns - reinforce.baseline(returns, kind) for kind in ("mean", "leave_one_out"))
    np.testing.assert_allclose(mean, (1 - 1 / 5) * others)


def test_actor_loss_by_hand() -> None:
    log_prob = torch.tensor([-1.0, -2.0, -0.5], requires_grad=True)
    loss = reinforce.actor_loss(log_prob, torch.tensor([2.0, -1.0, 4.0]), episodes=2)
    assert loss.item() == 1.0  # −(−2 + 2 − 2) / 2
    loss.backward()
    assert log_prob.grad is not None
    assert log_prob.grad.tolist() == [-1.0, 0.5, -2.0]  # good actions up, bad ones down


def test_an_action_that_could_not_happen_counts_nothing_at_an_advantage_of_0() -> None:
    log_prob = torch.tensor([-torch.inf, -2.0], requires_grad=True)
    loss = reinforce.actor_loss(log_prob, torch.tensor([0.0, 4.0]), episodes=2)
    assert loss.item() == 4.0  # −(0 − 8) / 2
    loss.backward()
    assert log_prob.grad is not None
    assert log_prob.grad.tolist() == [0.0, -2.0]


def rollout() -> Transition:
    """The episodes of `REWARD`, one after the other; the last one was cut by a time limit."""
    obs = np.arange(6.0)[:, None]
    ends = np.array([False, False, True, True, False, False]), np.array([False, False, False, False, False, True])
    return Transition(obs, np.array([0, 1, 1, 0, 0, 1]), np.array([1.0, 2, 4, 3, 5, 6]), obs + 1, *ends)


def test_an_update_gives_each_action_its_own_credit() -> None:
    agent = REINFORCE(1, Discrete(2), Config(gamma=0.5, hidden=(4,), baseline="none"), seed=0)
    credit = torch.tensor([3.0, 4.0, 4.0, 3.0, 8.0, 6.0])
    log_prob = agent.policy(torch.arange(6.0)[:, None]).log_prob(torch.tensor([0, 1, 1, 0, 0, 1]))
    expected = torch.autograd.grad(-(credit * log_prob).sum() / 3, list(agent.policy.parameters()))
    agent.update(rollout())
    for parameter, gradient in zip(agent.policy.parameters(), expected, strict=True):
        torch.testing.assert_close(parameter.grad, gradient)


def test_it_learns_once_enough_episodes_are_whole() -> None:
    agent = REINFORCE(4, Discrete(2), Config(batch_size=3, hidden=(4,)), seed=0)
    ends = [m["step"] for m in train(gym.make("CartPole-v1"), agent, 400, 0) if "episode_return" in m]
    agent = REINFORCE(4, Discrete(2), Config(batch_size=3, hidden=(4,)), seed=0)
    updates = [m["step"] for m in train(gym.make("CartPole-v1"), agent, 400, 0) if "actor_loss" in m]
    assert updates == ends[2::3]
    assert len(updates) > 3


class Bandit(gym.Env[Any, Any]):
    """One step; action a pays `PAYS[a]`."""

    observation_space = gym.spaces.Box(0.0, 1.0, (1,))
    action_space = Discrete(3)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict[str, Any]]:
        return np.ones(1, np.float32), {}

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        return np.ones(1, np.float32), PAYS[int(action)], True, False, {}


PAYS = [1.0, 2.0, 6.0]


@pytest.mark.thorough
@pytest.mark.parametrize(("kind", "shrink"), [("none", 1.0), ("leave_one_out", 1.0), ("mean", 3 / 4)])
def test_the_estimate_is_right_on_average(kind: reinforce.Baseline, shrink: float) -> None:
    """Over many batches of 4 episodes the gradient is that of J = Σ π(a) r(a); with the mean baseline ¾ of it."""
    agent = REINFORCE(1, Discrete(3), Config(hidden=(), batch_size=4, baseline=kind, lr=1e-12), seed=0)
    bias: Any = agent.policy.net[0].bias
    p = agent.policy(torch.ones(1)).logits.softmax(-1).detach().numpy()
    exact = p * (PAYS - p @ PAYS)  # ∂J/∂logit_a = π(a) (r(a) − J)
    gradients = []
    for metrics in train(Bandit(), agent, 8_000, seed=0):
        if "actor_loss" in metrics:
            gradients.append(-bias.grad.numpy().copy())
    standard_error = np.std(gradients, axis=0) / len(gradients) ** 0.5
    assert np.all(np.abs(np.mean(gradients, 0) - shrink * exact) < 4 * standard_error)
    # The test can tell ¾ from 1: they lie more than 8 standard errors apart.
    assert np.max(np.abs(exact) / 4 / standard_error) > 8


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_cartpole_is_solved_by_at_least_four_of_five_seeds() -> None:
    scores = []
    for seed in range(5):
        agent = REINFORCE(4, Discrete(2), Config(), seed)
        for _ in train(gym.make("CartPole-v1"), agent, 60_000, seed):
            pass
        scores.append(evaluate(gym.make("CartPole-v1"), agent, 20, seed=1_000_000).mean())
    assert sum(score >= 475 for score in scores) >= 4, scores


def test_a_single_episode_has_no_others() -> None:
    with pytest.raises(
        ValueError, match=r"^reinforce\.baseline: number of episodes = 1 is out of range: it must be in"
    ):
        reinforce.baseline(np.ones((3, 1)), "leave_one_out")
