"""TD3: its three cures on numbers worked out by hand, each alone, and that an update follows them."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from rlcourse.algorithms import ddpg, td3
from rlcourse.algorithms.td3 import TD3, Config
from tests.test_off_policy import PUSH, SIZES, batch

CONFIG = Config(**SIZES)


def actor(obs: Tensor) -> Tensor:
    """μ(s) = 2s"""
    return 2 * obs


def critics(obs: Tensor, action: Tensor) -> Tensor:
    """Q₁ = 4s + 8a, Q₂ = 6s + 6a: the first is the smaller one where a < s."""
    return torch.stack([4 * obs + 8 * action, 6 * obs + 6 * action]).squeeze(-1)


@pytest.mark.parametrize(
    ("noise", "target"),
    [
        (0.25, 4.0),  # a' = ½ + ¼: min(1 + 6, 1.5 + 4.5) = 6, the second; 1 + ½·6
        (-0.5, 1.5),  # a' = 0: min(1, 1.5) = 1, the first; 1 + ½·1
        (9.0, 4.75),  # a' = clip(9.5) = 1: min(9, 7.5); 1 + ½·7.5
    ],
)
def test_bellman_target_by_hand(noise: float, target: float) -> None:
    found = td3.bellman_target(batch(), actor, critics, 0.5, torch.full((2, 1), noise))
    assert found.tolist() == [target, 2.0]  # the second row is terminated


def test_smoothing_noise_by_hand() -> None:
    assert td3.smoothing_noise(torch.tensor([[1.0, -3.0, 4.0]]), 0.5, 1.0).tolist() == [[0.5, -1.0, 1.0]]


def test_critic_loss_by_hand() -> None:
    q = torch.tensor([[1.0, 5.0], [4.0, 2.0]], requires_grad=True)
    loss = td3.critic_loss(q, torch.tensor([4.0, 4.0]))
    assert loss.item() == 7.0  # (9 + 1)/2 + (0 + 4)/2
    loss.backward()
    assert q.grad is not None
    assert q.grad.tolist() == [[-3.0, 1.0], [0.0, -2.0]]


def test_actor_loss_is_ddpgs() -> None:
    found = [module.actor_loss(batch(), actor, lambda s, a: critics(s, a)[0]).item() for module in (ddpg, td3)]
    assert found[0] == found[1] == 0.0  # −(Q₁(½, 1) + Q₁(−½, −1)) / 2


def test_an_update_follows_the_smaller_critic_with_noise() -> None:
    agent = TD3(1, PUSH, CONFIG, seed=0)
    rows = batch()
    same = torch.Generator()
    same.set_state(agent.state_dict()["_smoothing"])
    noise = (0.2 * torch.randn(2, 1, generator=same)).clamp(-0.5, 0.5)
    target = td3.bellman_target(rows, agent.target_actor, agent.target_critic, 0.99, noise)
    loss = td3.critic_loss(agent.critic(rows.obs, rows.action), target)
    expected = torch.autograd.grad(loss, list(agent.critic.parameters()))
    agent.update(rows)
    for parameter, gradient in zip(agent.critic.parameters(), expected, strict=True):
        torch.testing.assert_close(parameter.grad, gradient)


@pytest.mark.parametrize("every", [1, 2, 3])
def test_actor_and_targets_wait(every: int) -> None:
    agent = TD3(1, PUSH, replace(CONFIG, policy_every=every), seed=0)

    def weights() -> list[Tensor]:
        nets = agent.actor, agent.target_actor, agent.target_critic
        return [torch.cat([p.detach().flatten() for p in net.parameters()]) for net in nets]

    for update in range(1, 7):
        before = weights()
        metrics = agent.update(batch())
        moved = [not torch.equal(old, new) for old, new in zip(before, weights(), strict=True)]
        assert moved == [update % every == 0] * 3
        assert ("actor_loss" in metrics) == (update % every == 0)


def test_without_its_cures_it_is_ddpg() -> None:
    """From equal seeds, on equal batches: bit for bit the same networks."""
    cured = TD3(1, PUSH, replace(CONFIG, critics=1, policy_every=1, target_noise=0.0), seed=0)
    plain = ddpg.DDPG(1, PUSH, ddpg.Config(**SIZES), seed=0)
    for _ in range(5):
        assert cured.update(batch()) == plain.update(batch())
    for name in ("actor", "critic", "target_actor", "target_critic"):
        for one, other in zip(getattr(cured, name).parameters(), getattr(plain, name).parameters(), strict=True):
            assert torch.equal(one, other)
