"""IQL: its equations by hand; that it asks about the data's actions only; and what it learns from two demonstrators."""

import copy
import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from rlcourse import loop
from rlcourse.algorithms import iql
from rlcourse.algorithms.iql import IQL, Config
from rlcourse.buffers import ReplayBuffer, Transition
from rlcourse.nets import generators
from tests.test_off_policy import PUSH, SIZES, batch

CONFIG = Config(**SIZES)


def test_expectile_loss_by_hand() -> None:
    # u = 1 counts 0.7, u = −2 counts 0.3: (0.7·1 + 0.3·4) / 2
    assert iql.expectile_loss(torch.tensor([1.0, -2.0]), 0.7).item() == pytest.approx(0.95)
    assert iql.expectile_loss(torch.tensor([1.0, -2.0]), 0.5).item() == pytest.approx(1.25)  # half the mean square


@pytest.mark.parametrize("expectile", [0.5, 0.7, 0.99])
def test_of_values_0_and_1_the_expectile_is_tau(expectile: float) -> None:
    # τ (1 − V) = (1 − τ) V
    value = torch.tensor(expectile, requires_grad=True)
    iql.expectile_loss(torch.tensor([0.0, 1.0]) - value, expectile).backward()
    assert value.grad is not None
    assert value.grad.item() == pytest.approx(0, abs=1e-6)


def test_bellman_target_by_hand() -> None:
    # V(s') = 4·¼ = 1: 1 + ½·1; the second row has terminated
    assert iql.bellman_target(batch(), lambda obs: 4 * obs, 0.5).tolist() == [1.5, 2.0]


def test_critic_loss_by_hand() -> None:
    # (1 + 4)/2 for the first critic, (4 + 0)/2 for the second
    found = iql.critic_loss(torch.tensor([[0.0, 0.0], [-1.0, 2.0]]), torch.tensor([1.0, 2.0]))
    assert found.item() == pytest.approx(4.5)


def test_advantage_weights_by_hand() -> None:
    advantage = torch.tensor([-1.0, 0.0, 1.0, 2.0])
    found = iql.advantage_weight(advantage, 3.0, 100.0)
    assert found.tolist() == pytest.approx([math.exp(-3), 1.0, math.exp(3), 100.0])  # e⁶ = 403 is cut
    assert iql.advantage_weight(advantage, 0.0, 100.0).tolist() == [1, 1, 1, 1]


def test_actor_loss_by_hand() -> None:
    # −(2·(−1) + ½·(−2)) / 2
    assert iql.actor_loss(torch.tensor([-1.0, -2.0]), torch.tensor([2.0, 0.5])).item() == 1.5


def test_the_spread_is_learned_bounded_and_the_same_everywhere() -> None:
    actor = iql.GaussianActor(1, 2, (), generators(0, 1)[0])
    policy = actor(torch.tensor([[-9.0], [9.0]]))
    assert policy.mean.abs().max() <= 1
    assert policy.log_std.tolist() == [0, 0]
    with torch.no_grad():
        actor.log_std.copy_(torch.tensor([-9.0, 9.0]))
    assert actor(torch.zeros(1, 1)).log_std.tolist() == [-5, 2]


def test_an_update_follows_its_targets() -> None:
    agent = IQL(1, PUSH, replace(CONFIG, expectile=0.9, beta=2.0, max_weight=1.02), seed=0)
    rows = batch()
    with torch.no_grad():  # so that the target critics are others than the critics
        for parameter in agent.target_critic.parameters():
            parameter.add_(0.1)
    target_q = agent.target_critic(rows.obs, rows.action).amin(0)
    value = iql.expectile_loss(target_q - agent.value_network(rows.obs).squeeze(-1), 0.9)
    expected_v = torch.autograd.grad(value, list(agent.value_network.parameters()))
    critic, actor = copy.deepcopy(agent.critic), copy.deepcopy(agent.actor)
    before = [parameter.clone() for parameter in agent.target_critic.parameters()]
    agent.update(rows)
    target = iql.bellman_target(rows, agent.value_network, 0.99).detach()  # V has moved first
    advantage = (target_q - agent.value_network(rows.obs).squeeze(-1)).detach()
    weight = iql.advantage_weight(advantage, 2.0, 1.02)
    assert (weight == 1.02).any()  # the limit matters
    critic_loss = iql.critic_loss(critic(rows.obs, rows.action), target)
    actor_loss = iql.actor_loss(actor(rows.obs).log_prob(rows.action), weight)
    for net, gradients in (
        (agent.value_network, expected_v),
        (agent.critic, torch.autograd.grad(critic_loss, list(critic.parameters()))),
        (agent.actor, torch.autograd.grad(actor_loss, list(actor.parameters()))),
    ):
        for parameter, gradient in zip(net.parameters(), gradients, strict=True):
            torch.testing.assert_close(parameter.grad, gradient)
    for parameter, old, new in zip(agent.target_critic.parameters(), before, agent.critic.parameters(), strict=True):
        torch.testing.assert_close(parameter, 0.995 * old + 0.005 * new)


def test_no_critic_is_asked_about_an_action_that_is_not_in_the_data(monkeypatch: pytest.MonkeyPatch) -> None:
    agent, asked = IQL(1, PUSH, CONFIG, seed=0), []
    for critic in (agent.critic, agent.target_critic):

        def forward(obs: Tensor, action: Tensor, genuine: Any = critic.forward) -> Tensor:
            asked.append(action)
            return genuine(obs, action)

        monkeypatch.setattr(critic, "forward", forward)
    rows = batch()
    agent.update(rows)
    assert len(asked) == 2
    assert all(torch.equal(action, rows.action) for action in asked)


def two_demonstrators() -> ReplayBuffer:
    """One state, one step: half of the data do −½ and get 0, half do ½ and get 1."""
    replay = ReplayBuffer(64, (1,), (1,))
    for i in range(64):
        good = i % 2
        replay.add(Transition([0.0], [good - 0.5], float(good), [0.0], True, False))
    return replay


@pytest.mark.thorough
@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(("beta", "mode"), [(0.0, 0.0), (3.0, 0.45)])
def test_it_copies_the_better_demonstrator_and_a_clone_the_mean(beta: float, mode: float) -> None:
    # V = τ = 0.7, so the weights are e^(3·0.3) = 2.46 and e^(−3·0.7) = 0.12: the weighted mean is ½·2.34/2.58 = 0.45
    agent = IQL(1, PUSH, replace(CONFIG, lr=1e-2, hidden=(16,), batch_size=64, learning_starts=64, beta=beta), seed=0)
    agent.replay = two_demonstrators()
    for _ in loop.train_offline(agent, 1_000, seed=0):
        pass
    assert agent.act([0.0], explore=False)[0] == pytest.approx(mode, abs=0.05)
    assert agent.value_network(torch.zeros(1, 1)).item() == pytest.approx(0.7, abs=0.05)
    assert [agent.value([0.0], [a]) for a in (-0.5, 0.5)] == pytest.approx([0, 1], abs=0.05)


def test_a_clone_does_not_care_what_was_paid() -> None:
    def actor(beta: float, factor: float) -> list[float]:
        agent = IQL(1, PUSH, replace(CONFIG, beta=beta), seed=0)
        for _ in range(5):
            agent.update(replace(batch(), reward=factor * batch().reward))
        return [number for parameter in agent.actor.parameters() for number in parameter.flatten().tolist()]

    assert actor(0.0, 1.0) == actor(0.0, -10.0)
    assert actor(3.0, 1.0) != actor(3.0, -10.0)
