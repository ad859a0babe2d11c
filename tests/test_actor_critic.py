"""Actor-critic: its losses on numbers worked out by hand, and what an update does with ends and values."""

import numpy as np
import pytest
import torch
from gymnasium.spaces import Discrete

from rlcourse import envs
from rlcourse.algorithms import actor_critic
from rlcourse.algorithms.actor_critic import ActorCritic, Config
from rlcourse.buffers import Transition
from rlcourse.loop import evaluate, train_vector


def test_actor_loss_by_hand() -> None:
    log_prob = torch.tensor([-1.0, -2.0], requires_grad=True)
    loss = actor_critic.actor_loss(log_prob, torch.tensor([3.0, -1.0]))
    assert loss.item() == 0.5  # −(−3 + 2) / 2
    loss.backward()
    assert log_prob.grad is not None
    assert log_prob.grad.tolist() == [-1.5, 0.5]


def test_an_action_that_could_not_happen_counts_nothing_at_an_advantage_of_0() -> None:
    log_prob = torch.tensor([-torch.inf, -2.0], requires_grad=True)
    loss = actor_critic.actor_loss(log_prob, torch.tensor([0.0, 4.0]))
    assert loss.item() == 4.0  # −(0 − 8) / 2
    loss.backward()
    assert log_prob.grad is not None
    assert log_prob.grad.tolist() == [0.0, -2.0]


def test_critic_loss_by_hand() -> None:
    value = torch.tensor([1.0, 5.0], requires_grad=True)
    loss = actor_critic.critic_loss(value, torch.tensor([4.0, 4.0]))
    assert loss.item() == 2.5  # ½ · (9 + 1) / 2
    loss.backward()
    assert value.grad is not None
    assert value.grad.tolist() == [-1.5, 0.5]


def rollout() -> Transition:
    """Two environments, two steps: one terminates at once and begins anew, the other is truncated at the end."""
    obs, next_obs = np.array([[[0.0], [1.0]], [[2.0], [3.0]]]), np.array([[[5.0], [3.0]], [[4.0], [6.0]]])
    terminated, truncated = np.array([[True, False], [False, False]]), np.array([[False, False], [False, True]])
    return Transition(
        obs, np.array([[0, 1], [1, 0]]), np.array([[1.0, 2.0], [3.0, 4.0]]), next_obs, terminated, truncated
    )


@pytest.mark.parametrize("n_step", [1, 2])
def test_an_update_follows_the_n_step_advantage(n_step: int) -> None:
    config = Config(gamma=0.5, hidden=(4,), num_envs=2, rollout_steps=2, n_step=n_step, max_grad_norm=float("inf"))
    agent = ActorCritic(1, Discrete(2), config, seed=0)

    def v(obs: float) -> float:
        return float(agent.value(np.array([obs])))

    # Terminated: 1. Second row, cut and truncated: 3 + ½ V(4), 4 + ½ V(6). Between: n decides.
    between = 2 + 0.5 * v(3.0) if n_step == 1 else 2 + 0.5 * (4 + 0.5 * v(6.0))
    target = torch.tensor([[1.0, between], [3 + 0.5 * v(4.0), 4 + 0.5 * v(6.0)]])
    obs = torch.tensor([[[0.0], [1.0]], [[2.0], [3.0]]])
    value, policy = agent.critic(obs).squeeze(-1), agent.policy(obs)
    advantage = (target - value).detach()
    actor = -(advantage * policy.log_prob(torch.tensor([[0, 1], [1, 0]]))).mean() - 0.01 * policy.entropy().mean()
    critic = 0.5 * ((target - value) ** 2).mean()
    expected = torch.autograd.grad(actor + critic, agent.parameters)
    agent.update(rollout())
    for parameter, gradient in zip(agent.parameters, expected, strict=True):
        torch.testing.assert_close(parameter.grad, gradient)


@pytest.mark.parametrize("norm", [1e-3, 1e3])
def test_gradients_are_clipped_to_the_norm(norm: float) -> None:
    config = Config(hidden=(4,), num_envs=2, rollout_steps=2, n_step=1, max_grad_norm=norm)
    agent = ActorCritic(1, Discrete(2), config, seed=0)
    agent.update(rollout())
    clipped = torch.cat([p.grad.flatten() for p in agent.parameters if p.grad is not None]).norm().item()
    assert (clipped == pytest.approx(norm, rel=1e-2)) == (norm < 1)  # torch adds 1e-6 to the norm


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_cartpole_is_solved_by_at_least_four_of_five_seeds() -> None:
    scores = []
    for seed in range(5):
        agent = ActorCritic(4, Discrete(2), Config(), seed)
        for _ in train_vector(envs.make_vector("CartPole-v1", agent.config.num_envs), agent, 150_000, seed):
            pass
        scores.append(evaluate(envs.make("CartPole-v1"), agent, 20, seed=1_000_000).mean())
    assert sum(score >= 475 for score in scores) >= 4, scores
