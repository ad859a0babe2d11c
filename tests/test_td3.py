"""TD3: its three cures on numbers worked out by hand, each alone, and that an update follows them."""

from dataclasses import replace

import pytest
import torch
from gymnasium.spaces import Box
from torch import Tensor

from rlcourse.algorithms import ddpg, td3
from rlcourse.algorithms.td3 import TD3, Config
from tests.test_off_policy import PUSH, SIZES, batch

CONFIG = Config(**SIZES)
# How far twenty updates move each layer's weights and biases: the norm of the change. Printed by the authors' TD3.py
# (github.com/sfujim/TD3, commit 6a9f761), given the same first weights, batches and noise in float64.
MOVED = {
    "actor": [0.134746174446, 0.0354527939815, 0.567337330761, 0.0371782628256, 0.0826385108403, 0.00507256541636],
    "target_actor": [
        *(0.00382646678425, 0.000996402809302, 0.015750908802),
        *(0.0010269694334, 0.00234569440958, 0.000146600936245),
    ],
    "critic": [0.170107891298, 0.0310025611031, 0.507854445183, 0.0258348642448, 0.028711661169, 0.000714429681162],
    "target_critic": [
        *(0.00569782096457, 0.00109396299702, 0.0178968570467),
        *(0.00100092596849, 0.00106120846663, 4.92221215109e-05),
    ],
}


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


def test_twenty_updates_at_full_size_are_those_of_the_authors_code() -> None:
    agent = TD3(17, Box(-1.0, 1.0, (6,)), Config(buffer_size=25_000), seed=0)
    first, data, double = {}, torch.Generator().manual_seed(1), torch.float64
    for name in MOVED:
        net = getattr(agent, name).double()
        first[name] = [parameter.detach().clone() for parameter in net.parameters()]
    for _ in range(20):
        obs, next_obs = torch.randn(2, 256, 17, generator=data, dtype=double)
        action = 2 * torch.rand(256, 6, generator=data, dtype=double) - 1
        reward = torch.randn(256, generator=data, dtype=double)
        terminated = (torch.rand(256, generator=data, dtype=double) < 0.1).double()
        unused = {"steps": torch.ones(256), "probability": torch.ones(256), "indices": torch.arange(256)}
        rows = {"obs": obs, "action": action, "reward": reward, "next_obs": next_obs, "terminated": terminated}
        agent.update(batch(**rows, **unused))
    for name, expected in MOVED.items():
        last = getattr(agent, name).parameters()
        assert [(b - a).norm().item() for a, b in zip(first[name], last, strict=True)] == pytest.approx(expected, 1e-9)
