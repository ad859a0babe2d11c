"""DQN: each equation on numbers worked out by hand, then that every part and every setting does something."""

import math
from dataclasses import fields, replace
from functools import cache, partial
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from torch import Tensor

from rlcourse.algorithms import dqn
from rlcourse.algorithms.dqn import DQN, Config
from rlcourse.buffers import Batch, PrioritizedReplay, ReplayBuffer, Transition
from rlcourse.loop import evaluate, train
from tests.agents import assert_a_loaded_one_goes_on, assert_refused, assert_the_seed_decides

SMALL = Config(
    hidden=(8,), batch_size=4, buffer_size=64, learning_starts=4, epsilon_steps=20, n_step=1, huber_threshold=1.0
)


def batch(**changes: Any) -> Batch:
    """Two rows: reward 1 and going on, reward 2 and terminated; one step each, drawn uniformly."""
    columns = {
        "obs": torch.zeros(2, 1),
        "action": torch.tensor([0, 1]),
        "reward": torch.tensor([1.0, 2.0]),
        "next_obs": torch.tensor([[3.0], [4.0]]),
        "terminated": torch.tensor([0.0, 1.0]),
        "steps": torch.ones(2),
        "probability": torch.full((2,), 0.5),
        "indices": torch.tensor([0, 1]),
    }
    return Batch(**columns | changes)


def q(obs: Tensor) -> Tensor:
    """Q(s, ·) = (s, −s, 2s)."""
    return obs * torch.tensor([1.0, -1.0, 2.0])


def selector(obs: Tensor) -> Tensor:
    """Prefers action 1, which `q` thinks the worst."""
    return torch.tensor([0.0, 9.0, 1.0]).expand(len(obs), 3)


def steps(agent: DQN, count: int, seed: int = 0) -> list[dict[str, Any]]:
    """Metrics of the updates in `count` steps of CartPole with a time limit of 15."""
    env = gym.make("CartPole-v1", max_episode_steps=15)
    return [metrics for metrics in train(env, agent, count, seed) if "loss" in metrics]


def weights(agent: DQN) -> Tensor:
    return torch.cat([p.detach().flatten() for net in (agent.q, agent.target_q) for p in net.parameters()])


# --- equations


def test_bellman_target_takes_the_best_next_action_and_stops_at_terminal_states() -> None:
    # Row 0: 1 + 0.9·max(3, −3, 6) = 6.4.  Row 1 is terminated: 2.
    assert dqn.bellman_target(batch(), q, 0.9).tolist() == pytest.approx([6.4, 2.0])


def test_bellman_target_of_n_steps_discounts_by_gamma_to_the_n() -> None:
    # Both go on (the second was cut off by a time limit after 1 of 3 steps).
    # 1 + 0.9³·6 = 5.374;  2 + 0.9·8 = 9.2.
    steps = torch.tensor([3.0, 1.0])
    going_on = batch(terminated=torch.zeros(2), steps=steps)
    assert dqn.bellman_target(going_on, q, 0.9**steps).tolist() == pytest.approx([5.374, 9.2])


def test_double_target_selects_with_one_network_and_evaluates_with_the_other() -> None:
    # `selector` picks action 1 and `q` says −3 for it: 1 + 0.9·(−3) = −1.7.  The other way round it would be
    # 1 + 0.9·1 = 1.9, and one network alone gives 6.4 or 9.1.
    assert dqn.double_bellman_target(batch(), selector, q, 0.9).tolist() == pytest.approx([-1.7, 2.0])


def test_dueling_subtracts_the_mean_advantage() -> None:
    # Mean advantage 3: 10 + (1 − 3), 10 + (2 − 3), 10 + (6 − 3).
    assert dqn.dueling(torch.tensor([[10.0]]), torch.tensor([[1.0, 2.0, 6.0]])).tolist() == [[8, 9, 13]]


def test_critic_loss_is_quadratic_inside_the_threshold_and_linear_outside() -> None:
    estimate, target, weight = torch.tensor([0.0, 0.0]), torch.tensor([0.5, -3.0]), torch.ones(2)
    # ½·0.5² = 0.125;  1·(3 − ½) = 2.5;  mean 1.3125.
    assert dqn.critic_loss(estimate, target, weight, 1.0).item() == pytest.approx(1.3125)
    # Threshold 2: 0.125 and 2·(3 − 1) = 4, mean 2.0625.  Weights ½ and 2: (0.0625 + 5)/2 = 2.53125.
    assert dqn.critic_loss(estimate, target, weight, 2.0).item() == pytest.approx(2.0625)
    assert dqn.critic_loss(estimate, target, torch.tensor([0.5, 2.0]), 1.0).item() == pytest.approx(2.53125)
    # No threshold: ½·0.25 and ½·9, mean 2.3125.
    assert dqn.critic_loss(estimate, target, weight, math.inf).item() == pytest.approx(2.3125)


def test_the_slope_of_the_loss_never_exceeds_the_threshold() -> None:
    estimate = torch.tensor([0.5, 3.0, -100.0], requires_grad=True)
    dqn.critic_loss(estimate, torch.zeros(3), torch.ones(3), 1.0).backward()
    assert estimate.grad is not None
    assert (3 * estimate.grad).tolist() == pytest.approx([0.5, 1, -1])  # 3 undoes the mean


def test_priority_grows_with_surprise_and_is_never_zero() -> None:
    # 4^½ = 2, for either sign; 0 becomes (10⁻⁶)^½ = 10⁻³; exponent 0 is uniform.
    td_error = torch.tensor([4.0, -4.0, 0.0])
    assert dqn.priority(td_error, 0.5).tolist() == pytest.approx([2, 2, 1e-3])
    assert dqn.priority(td_error, 0.0).tolist() == [1, 1, 1]


def test_importance_weights_are_largest_for_the_rarest() -> None:
    # P = 0.1, 0.4:  (0.4/0.1)^−½ = ½ and 4^−1 = ¼; all 1 at exponent 0.
    probability = torch.tensor([0.1, 0.4])
    assert dqn.importance_weight(probability, 0.5).tolist() == pytest.approx([1, 0.5])
    assert dqn.importance_weight(probability, 1.0).tolist() == pytest.approx([1, 0.25])
    assert dqn.importance_weight(probability, 0.0).tolist() == [1, 1]


# --- mechanics


def test_no_gradient_reaches_the_target_network() -> None:
    agent = DQN(1, 2, replace(SMALL, tau=0.0), seed=0)
    before = weights(agent)
    agent.update(batch())
    assert not any(p.requires_grad for p in agent.target_q.parameters())
    assert all(p.grad is not None for p in agent.q.parameters())
    half = len(before) // 2
    assert torch.equal(weights(agent)[half:], before[half:])
    assert not torch.equal(weights(agent)[:half], before[:half])


def test_the_gradient_is_that_of_the_estimate_alone() -> None:
    """Semi-gradient: with γ > 0 the target of the same network is a constant."""
    agent = DQN(1, 2, replace(SMALL, max_grad_norm=math.inf), seed=0)
    agent.target_q = agent.q  # the worst case: target and estimate share their weights
    rows = batch(terminated=torch.zeros(2))
    target = dqn.bellman_target(rows, agent.q, 0.99).detach()
    chosen = agent.q(rows.obs)[torch.arange(2), rows.action]
    loss = dqn.critic_loss(chosen, target, torch.ones(2), 1.0)
    expected = torch.autograd.grad(loss, list(agent.q.parameters()))
    agent.update(rows)
    for parameter, gradient in zip(agent.q.parameters(), expected, strict=True):
        assert parameter.grad is not None
        torch.testing.assert_close(parameter.grad, gradient)


def test_an_update_discounts_each_row_by_the_steps_it_spans() -> None:
    agent = DQN(1, 2, replace(SMALL, gamma=0.5), seed=0)
    rows = batch(terminated=torch.zeros(2), steps=torch.tensor([3.0, 1.0]))
    target = dqn.bellman_target(rows, agent.target_q, torch.tensor([0.125, 0.5]))
    chosen = agent.q(rows.obs)[torch.arange(2), rows.action]
    expected = dqn.critic_loss(chosen, target, torch.ones(2), 1.0).item()
    assert agent.update(rows)["loss"] == pytest.approx(expected)


@pytest.mark.parametrize("norm", [1e-3, 1e3])
def test_gradients_are_clipped_to_the_norm(norm: float) -> None:
    agent = DQN(1, 2, replace(SMALL, max_grad_norm=norm), seed=0)
    unclipped = agent.update(batch())["grad_norm"]
    clipped = torch.cat([p.grad.flatten() for p in agent.q.parameters() if p.grad is not None]).norm().item()
    assert 1e-3 < unclipped < 1e3
    assert clipped == pytest.approx(min(norm, unclipped), rel=1e-2)  # torch adds 1e-6 to the norm, 1e-3 here


@pytest.mark.parametrize("updates", [1, 2, 3, 4])
def test_the_target_network_is_copied_at_its_interval(updates: int) -> None:
    agent = DQN(1, 2, replace(SMALL, tau=1.0, target_every=3), seed=0)
    first = weights(agent).chunk(2)[1]
    for _ in range(updates):
        agent.update(batch())
    online, target = weights(agent).chunk(2)
    assert torch.equal(target, first) == (updates < 3)
    assert torch.equal(target, online) == (updates == 3)


def test_epsilon_falls_linearly_and_stays() -> None:
    agent = DQN(4, 2, replace(SMALL, epsilon_start=1.0, epsilon_end=0.2, epsilon_steps=4), seed=0)
    transition = Transition(np.zeros(4), 0, 0.0, np.zeros(4), False, False)
    seen = []
    for _ in range(6):
        seen.append(agent.epsilon)
        agent.observe(transition)
    assert seen == pytest.approx([1.0, 0.8, 0.6, 0.4, 0.2, 0.2])


def test_exploration_happens_as_often_as_epsilon_says_and_only_when_asked() -> None:
    agent = DQN(1, 2, replace(SMALL, epsilon_start=0.5, epsilon_end=0.5), seed=0)
    best = agent.act(np.zeros(1), explore=False)
    chosen = [agent.act(np.zeros(1)) == best for _ in range(4000)]
    # Half of the random half is best too: 3/4, give or take 4 standard deviations of √(¾·¼/4000) = 0.0068.
    assert np.mean(chosen) == pytest.approx(0.75, abs=0.028)
    assert {agent.act(np.zeros(1), explore=False) for _ in range(100)} == {best}


def test_learning_starts_and_recurs_as_configured() -> None:
    agent = DQN(4, 2, replace(SMALL, learning_starts=10, train_every=4, updates=3), seed=0)
    assert [metrics["step"] for metrics in steps(agent, 20)] == [12] * 3 + [16] * 3 + [20] * 3


@pytest.mark.parametrize("priority_exponent", [0.0, 0.6])
def test_a_diverged_network_is_refused_by_name(priority_exponent: float) -> None:
    config = replace(SMALL, priority_exponent=priority_exponent)
    agent = DQN(4, 2, config, 0)
    with torch.no_grad():
        next(agent.q.parameters()).fill_(math.nan)
    wrong = (
        r"priorities lie in \[nan" if priority_exponent else r"^loss = nan: DQN has diverged, lower its learning rate$"
    )
    with pytest.raises(ValueError, match=wrong):
        steps(agent, 10)


def test_prioritised_replay_gets_the_new_priorities() -> None:
    agent = DQN(1, 2, replace(SMALL, priority_exponent=0.5, lr=1e-9), seed=0)
    assert isinstance(agent.replay, PrioritizedReplay)
    for reward in (0.0, 5.0):
        agent.observe(Transition(np.zeros(1), 0, reward, np.zeros(1), True, False))
    value = agent.q(torch.zeros(1))[0].item()
    agent.update(agent.replay.gather(torch.tensor([0, 1])))
    # √|0 − Q| and √|5 − Q|
    assert agent.replay.priorities.tolist() == pytest.approx([abs(value) ** 0.5, (5 - value) ** 0.5], rel=1e-4)


def test_an_injected_memory_is_used() -> None:
    memory = ReplayBuffer(7, (4,))
    agent = DQN(4, 2, SMALL, seed=0, replay=memory)
    steps(agent, 3)
    assert agent.replay is memory
    assert len(memory) == 3


def test_n_step_transitions_reach_the_memory() -> None:
    agent = DQN(1, 2, replace(SMALL, n_step=3, gamma=0.5), seed=0)
    for i in range(4):
        agent.observe(Transition(np.full(1, i), 0, 1.0, np.full(1, i + 1), False, i == 3))
    stored = agent.replay.gather(torch.arange(4))
    assert stored.reward.tolist() == [1.75, 1.75, 1.5, 1]  # 1 + ½ + ¼, and less before the time limit
    assert stored.steps.tolist() == [3, 3, 2, 1]
    assert stored.terminated.tolist() == [0, 0, 0, 0]


# --- the two older algorithms


@pytest.mark.thorough
def test_fitted_q_iteration_is_updates_on_one_batch() -> None:
    """State 0 → 1 → end, rewards 0 and 1: Q(0) = γ after two regressions, ½ here."""
    rows = batch(
        obs=torch.tensor([[0.0], [1.0]]),
        action=torch.tensor([0, 0]),
        reward=torch.tensor([0.0, 1.0]),
        next_obs=torch.tensor([[1.0], [0.0]]),
    )
    agent = DQN(1, 1, replace(SMALL, gamma=0.5, lr=1e-2, target_every=400, tau=1.0), seed=0)
    for regression in range(2):
        values = agent.target_q(torch.tensor([1.0])).item()
        for _ in range(400):
            agent.update(rows)
        # Each regression fits targets that stood still: r + ½·Q of the regression before.
        wanted = [0.5 * (values if regression == 0 else 1.0), 1.0]
        assert agent.q(rows.obs).flatten().tolist() == pytest.approx(wanted, abs=0.02)


def test_online_q_iteration_learns_from_the_latest_transition_only() -> None:
    agent = DQN(1, 2, replace(dqn.ONLINE, hidden=(8,)), seed=0)
    for i in range(3):
        agent.observe(Transition(np.full(1, i), 0, 1.0, np.zeros(1), True, False))
        assert len(list(agent.learn())) == 1
        assert agent.replay.gather(torch.tensor([0])).obs.item() == i
        online, target = weights(agent).chunk(2)
        assert torch.equal(online, target)


# --- learning


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_cartpole_is_solved_by_at_least_four_of_five_seeds() -> None:
    torch.set_num_threads(1)
    scores = []
    for seed in range(5):
        agent = DQN(4, 2, Config(), seed)
        for _ in train(gym.make("CartPole-v1"), agent, 25_000, seed):
            pass
        scores.append(evaluate(gym.make("CartPole-v1"), agent, 20, seed=1_000_000).mean())
    assert sum(score >= 475 for score in scores) >= 4, scores


# --- settings, seeds, saving


CHANGES: dict[str, Any] = {
    "gamma": 0.5,
    "lr": 1e-3,
    "batch_size": 5,
    "hidden": (9,),
    "buffer_size": 20,
    "learning_starts": 9,
    "train_every": 2,
    "updates": 2,
    "target_every": 2,
    "tau": 0.5,
    "epsilon_start": 0.7,
    "epsilon_end": 0.5,
    "epsilon_steps": 40,
    "huber_threshold": 0.1,
    "max_grad_norm": 0.1,
    "double": True,
    "dueling": True,
    "n_step": 3,
    "priority_exponent": 0.9,
    "importance_start": 1.0,
    "importance_steps": 5,
}


def test_every_field_of_the_config_is_tried() -> None:
    assert CHANGES.keys() == {field.name for field in fields(Config)}


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("name", CHANGES)
def test_every_setting_changes_what_is_learned(name: str) -> None:
    assert learned() != learned(name)


@cache
def learned(*changed: str) -> list[dict[str, Any]]:
    """With these settings changed. What all compare with, no change, is learned once."""
    # β matters where priorities do, and the double target where the networks differ in which action they prefer.
    base = replace(SMALL, lr=0.1, learning_starts=5, priority_exponent=0.6, importance_steps=100, tau=0.1)
    return steps(DQN(4, 2, replace(base, **{name: CHANGES[name] for name in changed}), seed=0), 45)


def test_the_seed_decides() -> None:
    config = replace(SMALL, n_step=2, dueling=True, double=True, priority_exponent=0.6)
    assert_the_seed_decides(partial(DQN, 4, 2, config), lambda agent, seed: steps(agent, 40, seed))
    one, other = (steps(DQN(4, 2, config, seed), 40)[0]["loss"] for seed in (0, 1))
    assert one != other  # from the first update on


def test_seeds_change_weights_exploration_and_sampling() -> None:
    """A switch that draws more numbers for one use leaves the others alone: each has its own generator."""
    agents = [DQN(4, 2, SMALL, seed) for seed in (0, 1)]
    assert not torch.equal(*(weights(agent) for agent in agents))
    agents[0].act(np.zeros(4))
    state = agents[0].state_dict()
    assert torch.equal(state["_sampling"], DQN(4, 2, SMALL, 0).state_dict()["_sampling"])
    assert not torch.equal(state["_exploration"], DQN(4, 2, SMALL, 0).state_dict()["_exploration"])


@pytest.mark.parametrize("config", [SMALL, replace(SMALL, n_step=3, priority_exponent=0.6, dueling=True, double=True)])
def test_a_loaded_agent_goes_on_like_the_saved_one(config: Config) -> None:
    saved = DQN(4, 2, config, seed=0)
    steps(saved, 37)  # in the middle of an episode, so that n-step windows are pending
    assert_a_loaded_one_goes_on(saved, partial(DQN, 4, 2, config), lambda agent, seed: steps(agent, 30, seed))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"gamma": 1.0}, r"gamma = 1.0 is out of range: it must be in \[0, 1\)"),
        ({"lr": 0.0}, "lr = 0.0"),
        ({"lr": math.nan}, "lr = nan"),
        ({"batch_size": 0}, "batch_size = 0"),
        ({"batch_size": 100}, r"batch_size = 100 is out of range: it must be in \[1, 64\]"),
        ({"hidden": (8, 0)}, "hidden = 0"),
        ({"hidden": (), "dueling": True}, "hidden: number of layers = 0"),
        ({"buffer_size": 0}, "buffer_size = 0"),
        ({"learning_starts": 3}, r"learning_starts = 3 is out of range: it must be in \[4, 64\]"),
        ({"learning_starts": 65}, "learning_starts = 65"),
        ({"train_every": 0}, "train_every = 0"),
        ({"updates": 0}, "updates = 0"),
        ({"target_every": 0}, "target_every = 0"),
        ({"tau": 1.1}, r"tau = 1.1 is out of range: it must be in \[0, 1\]"),
        ({"epsilon_start": -0.1}, "epsilon_start = -0.1"),
        ({"epsilon_end": 2}, "epsilon_end = 2"),
        ({"epsilon_steps": 0}, "epsilon_steps = 0"),
        ({"huber_threshold": 0}, "huber_threshold = 0"),
        ({"max_grad_norm": 0}, "max_grad_norm = 0"),
        ({"n_step": 0}, "n_step = 0"),
        ({"priority_exponent": 1.5}, "priority_exponent = 1.5"),
        ({"importance_start": -1}, "importance_start = -1"),
        ({"importance_steps": 0}, "importance_steps = 0"),
    ],
)
def test_nonsense_is_refused_by_name(changes: dict[str, Any], message: str) -> None:
    assert_refused(SMALL, changes, message)
