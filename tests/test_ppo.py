"""PPO: ratio, clip, divergence and advantages on numbers worked out by hand; what is normalised, and when."""

import math

import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Discrete, flatdim
from torch import nn

from rlcourse import envs
from rlcourse.algorithms import ppo
from rlcourse.algorithms.ppo import PPO, Config, RunningNorm, Samples
from rlcourse.buffers import Transition
from rlcourse.loop import evaluate, train_vector
from rlcourse.nets import generators, mlp
from rlcourse.returns import gae

HALF, ONE, DOUBLE = -math.log(2), 0.0, math.log(2)  # log-probabilities that make ratios ½, 1 and 2 of old ones of 0


def test_ratio_by_hand() -> None:
    log_prob, old = torch.tensor([HALF, ONE, -1.0]), torch.tensor([0.0, 0.0, -1.0 - DOUBLE])
    assert ppo.ratio(log_prob, old).tolist() == pytest.approx([0.5, 1, 2])


@pytest.mark.parametrize(
    ("log_prob", "advantage", "loss", "gradient"),
    [
        # min(r·A, clip(r, 0.8, 1.2)·A), negated; its slope in log π is −r·A, or 0 where there is no more to gain.
        (ONE, 3.0, -3.0, -3.0),
        (DOUBLE, 3.0, -3.6, 0.0),  # good and already likelier: clipped at 1.2·3
        (HALF, 3.0, -1.5, -1.5),  # good but rarer than before: all of it counts
        (DOUBLE, -3.0, 6.0, 6.0),  # bad and likelier than before: all of it counts
        (HALF, -3.0, 2.4, 0.0),  # bad and already rarer: clipped at 0.8·(−3)
    ],
)
def test_actor_loss_by_hand(log_prob: float, advantage: float, loss: float, gradient: float) -> None:
    new = torch.tensor([log_prob], requires_grad=True)
    found = ppo.actor_loss(new, torch.zeros(1), torch.tensor([advantage]), 0.2)
    found.backward()
    assert new.grad is not None
    assert (found.item(), new.grad.item()) == pytest.approx((loss, gradient))


def test_without_a_clip_the_loss_is_the_importance_weighted_one() -> None:
    new = torch.tensor([HALF, DOUBLE])
    # −(½·4 + 2·4) / 2
    assert ppo.actor_loss(new, torch.zeros(2), torch.full((2,), 4.0), math.inf).item() == pytest.approx(-5)


def test_kl_by_hand() -> None:
    # ½ − 1 + log 2, 0, 2 − 1 − log 2: the mean is ½ / 3
    assert ppo.kl(torch.tensor([HALF, ONE, DOUBLE]), torch.zeros(3)).item() == pytest.approx(0.5 / 3)


def test_kl_is_right_on_average_and_so_is_its_gradient() -> None:
    """Summed over three actions with their old probabilities it is KL(old ‖ new), exactly."""
    old = torch.tensor([0.5, 0.3, 0.2])
    logits = torch.tensor([0.1, 0.4, -0.2], requires_grad=True)
    log_new = logits.log_softmax(-1)
    exact = (old * (old.log() - log_new)).sum()
    terms = torch.stack([ppo.kl(log_new[[a]], old.log()[[a]]) for a in range(3)])
    torch.testing.assert_close((old * terms).sum(), exact)
    one, other = (torch.autograd.grad(x, logits, retain_graph=True)[0] for x in (exact, (old * terms).sum()))
    torch.testing.assert_close(one, other)


def test_kl_near_0_and_far_out() -> None:
    """exp(x) − 1 − x = x²/2 + x³/6 + …: 1.125·10⁻⁸ at x = 1.5·10⁻⁴, and never below 0."""
    for x in (1.5e-4, -1.5e-4, 1e-3):
        exact = x**2 / 2 + x**3 / 6 + x**4 / 24
        assert ppo.kl(torch.tensor([x]), torch.zeros(1)).item() == pytest.approx(exact, rel=1e-3, abs=0)
    for x in torch.logspace(-12, 1, 2_000).tolist():
        assert ppo.kl(torch.tensor([x]), torch.zeros(1)) >= 0
        assert ppo.kl(torch.tensor([-x]), torch.zeros(1)) >= 0
    assert ppo.kl(torch.tensor([-200.0]), torch.zeros(1)).item() == 199  # e⁻²⁰⁰ − 1 + 200


@pytest.mark.parametrize("clip", [0.2, math.inf])
@pytest.mark.parametrize(("advantage", "sign"), [(0.0, 0), (1.0, -1), (-1.0, 1)])
def test_an_action_far_likelier_than_float32_can_say(advantage: float, sign: int, clip: float) -> None:
    log_prob = torch.tensor([100.0], requires_grad=True)  # e¹⁰⁰ is infinite in float32
    loss = ppo.actor_loss(log_prob, torch.zeros(1), torch.tensor([advantage]), clip)
    loss.backward()
    # Clipped, the gain counts 1.2; the loss, and all of it without a clip, as much as e⁶⁰.
    size = 1.2 if advantage > 0 and clip == 0.2 else math.exp(60)
    assert loss.item() == pytest.approx(sign * size)
    assert log_prob.grad is not None
    assert log_prob.grad.isfinite().all()


def test_critic_loss_by_hand() -> None:
    assert ppo.critic_loss(torch.tensor([1.0, 5.0]), torch.tensor([4.0, 4.0])).item() == 2.5  # ½ · (9 + 1) / 2


def test_running_norm_is_that_of_all_it_was_shown() -> None:
    data = torch.randn(60, 3, generator=generators(0, 1)[0]) * torch.tensor([1.0, 10.0, 0.0]) + 5
    norm = RunningNorm(3)
    torch.testing.assert_close(norm(data), data.clamp(-10, 10))  # nothing seen: left as it is
    for part in (data[:5], data[5:25], data[25:]):
        norm.update(part)
    torch.testing.assert_close(norm.mean, data.mean(0))
    torch.testing.assert_close(norm.variance, data.var(0, correction=0), atol=1e-5, rtol=1e-4)  # float32
    torch.testing.assert_close(norm(data).std(0, correction=0), torch.tensor([1.0, 1.0, 0.0]), atol=1e-3, rtol=1e-3)
    assert norm(data + 1000).max() == 10


def test_orthogonal_weights() -> None:
    net = mlp([6, 4, 2], generators(0, 1)[0])
    ppo.orthogonal_(net, 0.01, generators(1, 1)[0])
    first, last = (layer for layer in net if isinstance(layer, nn.Linear))
    torch.testing.assert_close(first.weight @ first.weight.T, 2 * torch.eye(4))  # √2² = 2
    torch.testing.assert_close(last.weight @ last.weight.T, 1e-4 * torch.eye(2))
    assert first.bias.abs().max() == last.bias.abs().max() == 0


def rollout(steps: int = 4) -> Transition:
    rng = np.random.default_rng(0)
    obs, next_obs = rng.normal(size=(2, steps, 2, 3))
    ends = rng.random((2, steps, 2)) < 0.3
    return Transition(obs, rng.integers(2, size=(steps, 2)), rng.normal(size=(steps, 2)), next_obs, ends[0], ends[1])


@pytest.mark.parametrize("normalize", [False, True])
def test_a_rollout_is_prepared_once(normalize: bool) -> None:
    config = Config(num_envs=2, rollout_steps=4, batch_size=8, normalize_advantage=normalize)
    agent = PPO(3, Discrete(2), config, seed=0)
    data = rollout()
    samples = agent.prepare(data)
    value, ends = agent.value(data.obs), (data.terminated, data.truncated)
    advantage = gae(data.reward, value, agent.value(data.next_obs), *ends, 0.99, 0.95)
    np.testing.assert_allclose(samples.target, (advantage + value).flatten(), rtol=1e-5)  # float32
    if normalize:
        advantage = (advantage - advantage.mean()) / advantage.std()
    np.testing.assert_allclose(samples.advantage, advantage.flatten(), rtol=1e-4, atol=1e-6)
    log_prob = agent.policy(samples.obs).log_prob(samples.action)
    torch.testing.assert_close(samples.old_log_prob, log_prob)
    assert not samples.old_log_prob.requires_grad
    assert samples.action.tolist() == data.action.flatten().tolist()


def test_samples_are_picked_together() -> None:
    columns = torch.arange(4.0)
    samples = Samples(columns[:, None], columns.long(), columns, columns, columns)[torch.tensor([2, 0])]
    assert samples.obs.tolist() == [[2], [0]]
    assert all(getattr(samples, name).tolist() == [2, 0] for name in ("action", "old_log_prob", "advantage", "target"))


def test_an_update_follows_all_its_terms() -> None:
    config = Config(
        num_envs=2, rollout_steps=4, batch_size=8, kl_coefficient=2.0, entropy_coefficient=0.3, max_grad_norm=math.inf
    )
    agent = PPO(3, Discrete(2), config, seed=0)
    samples = agent.prepare(rollout())
    agent.update(samples)  # so that old and new differ
    policy = agent.policy(samples.obs)
    log_prob = policy.log_prob(samples.action)
    r = (log_prob - samples.old_log_prob).exp()
    clipped = torch.min(r * samples.advantage, r.clamp(0.8, 1.2) * samples.advantage).mean()
    critic = 0.5 * ((samples.target - agent.critic(samples.obs).squeeze(-1)) ** 2).mean()
    loss = -clipped + critic + 2.0 * (r - 1 - r.log()).mean() - 0.3 * policy.entropy().mean()
    expected = torch.autograd.grad(loss, agent.parameters)
    metrics = agent.update(samples)
    for parameter, gradient in zip(agent.parameters, expected, strict=True):
        torch.testing.assert_close(parameter.grad, gradient)
    assert metrics["max_ratio"] == pytest.approx(r.max().item())


def test_every_sample_is_used_once_an_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    config = Config(num_envs=2, rollout_steps=5, batch_size=4, epochs=3)
    agent = PPO(1, Discrete(2), config, seed=0)
    seen: list[list[float]] = []

    def update(samples: Samples) -> dict[str, float]:
        seen.append(samples.obs.flatten().tolist())
        return {}

    monkeypatch.setattr(agent, "update", update)
    for t in range(5):
        obs = np.array([[t / 10], [t / 10 + 0.5]])
        agent.observe(Transition(obs, np.zeros(2, int), np.zeros(2), obs, np.zeros(2, bool), np.zeros(2, bool)))
        assert len(list(agent.learn())) == (9 if t == 4 else 0)
    assert [len(batch) for batch in seen] == [4, 4, 2] * 3
    epochs = [[obs for batch in seen[i : i + 3] for obs in batch] for i in (0, 3, 6)]
    everything = [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]
    assert all(sorted(epoch) == pytest.approx(everything) for epoch in epochs)
    assert epochs[0] != epochs[1]


def test_observations_are_normalised_with_what_came_before_the_rollout() -> None:
    """Old log-probabilities are those of the policy that acted, so its normalisation must not change under it."""
    agent = PPO(4, Discrete(2), Config(num_envs=2, rollout_steps=16, batch_size=8), seed=0)
    training = train_vector(envs.make_vector("CartPole-v1", 2), agent, 64, seed=0)
    counts = [float(agent.norm.count) for metrics in training if "kl" in metrics]
    assert set(counts) == {0, 32}
    assert float(agent.norm.count) == 64


@pytest.mark.parametrize(
    ("env", "config", "steps", "solved"),
    [
        (
            "CartPole-v1",
            Config(num_envs=8, rollout_steps=64, lr=1e-3, batch_size=128),
            60_000,
            475,
        ),
        ("InvertedPendulum-v5", Config(), 60_000, 900),
    ],
)
@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_at_least_four_of_five_seeds_learn(env: str, config: Config, steps: int, solved: float) -> None:
    scores = []
    for seed in range(5):
        world = envs.make_vector(env, config.num_envs)
        agent = PPO(flatdim(world.single_observation_space), world.single_action_space, config, seed)
        for _ in train_vector(world, agent, steps, seed):
            pass
        scores.append(evaluate(envs.make(env), agent, 20, seed=1_000_000).mean())
    assert sum(score >= solved for score in scores) >= 4, scores


def test_the_spread_of_a_gaussian_policy_is_learned() -> None:
    agent = PPO(3, Box(-1.0, 1.0, (2,)), Config(hidden=(4,)), seed=0)
    assert any(parameter is agent.policy.log_std for parameter in agent.parameters)
