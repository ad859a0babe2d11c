"""TD7: its equations on numbers worked out by hand, its rungs, its assessments, and that an update follows them."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from rlcourse import envs, loop
from rlcourse.algorithms import prioritisation, td3, td7
from rlcourse.algorithms.td7 import TD7, Config
from rlcourse.buffers import PrioritizedReplay, Transition
from rlcourse.config import OutOfRangeError
from tests.test_off_policy import PUSH, SIZES, batch

CONFIG = Config(**SIZES, embedding=6, target_every=5)
OFF: dict[str, Any] = dict.fromkeys(("appendix_changes", "lap", "sale", "clip_target", "checkpoints"), False)


def test_avg_l1_norm_by_hand() -> None:
    # mean |x| = 2; a row of zeros stays what it is
    found = td7.avg_l1_norm(torch.tensor([[1.0, -4.0, 1.0], [0.0, 0.0, 0.0]]))
    assert found.tolist() == [[0.5, -2.0, 0.5], [0.0, 0.0, 0.0]]


def test_encoder_loss_by_hand_and_its_target_stands_still() -> None:
    predicted = torch.tensor([[1.0, 3.0]], requires_grad=True)
    target = torch.tensor([[0.0, 1.0]], requires_grad=True)
    loss = td7.encoder_loss(predicted, target)
    assert loss.item() == 2.5  # (1 + 4) / 2
    loss.backward()
    assert predicted.grad is not None
    assert predicted.grad.tolist() == [[1.0, 2.0]]
    assert target.grad is None


def actor(obs: Tensor) -> Tensor:
    """μ(s) = 2s"""
    return 2 * obs


def critics(obs: Tensor, action: Tensor) -> Tensor:
    """Q₁ = 4s + 8a, Q₂ = 6s + 6a: the first is the smaller one where a < s."""
    return torch.stack([4 * obs + 8 * action, 6 * obs + 6 * action]).squeeze(-1)


@pytest.mark.parametrize(
    ("noise", "low", "high", "target"),
    [
        (0.25, -math.inf, math.inf, 4.0),  # a' = ½ + ¼: min(1 + 6, 1.5 + 4.5) = 6; 1 + ½·6
        (-0.5, -math.inf, math.inf, 1.5),  # a' = 0: min(1, 1.5) = 1; 1 + ½·1
        (0.25, 0.0, 5.0, 3.5),  # 6, clipped to 5
        (-0.5, 3.0, 5.0, 2.5),  # 1, clipped to 3
    ],
)
def test_bellman_target_by_hand(noise: float, low: float, high: float, target: float) -> None:
    found = td7.bellman_target(batch(), actor, critics, 0.5, torch.full((2, 1), noise), low, high)
    assert found.tolist() == [target, 2.0]  # the second row is terminated


def test_huber_by_hand() -> None:
    error = torch.tensor([-3.0, 0.5, 2.0, 4.0], requires_grad=True)
    loss = td7.huber(error, 2.0)
    assert loss.tolist() == [6.0, 0.125, 2.0, 8.0]  # beyond 2: 2|δ|
    loss.sum().backward()
    assert error.grad is not None
    assert error.grad.tolist() == [-2.0, 0.5, 2.0, 2.0]


def test_huber_without_a_threshold_is_the_square() -> None:
    error = torch.tensor([-3.0, 0.0, 4.0], requires_grad=True)
    loss = td7.huber(error, math.inf)
    assert loss.tolist() == [4.5, 0.0, 8.0]
    loss.sum().backward()
    assert error.grad is not None
    assert error.grad.tolist() == [-3.0, 0.0, 4.0]


def test_critic_loss_by_hand() -> None:
    q, target = torch.tensor([[1.0, 5.0], [4.0, 3.5]]), torch.tensor([4.0, 4.0])
    # errors 3, −1 and 0, ½: 3 + ½ and 0 + ⅛, each over two
    assert td7.critic_loss(q, target, 1.0).item() == 3.5 / 2 + 0.125 / 2
    assert td7.critic_loss(q, target, None).item() == (9 + 1) / 2 + (0 + 0.25) / 2


def test_priority_by_hand() -> None:
    error = torch.tensor([[1.0, -16.0, 0.5], [-4.0, 9.0, 0.25]])
    assert td7.priority(error, 0.5, 1.0).tolist() == [2.0, 4.0, 1.0]  # the larger of the two; at least the floor
    assert td7.priority(error, 0.5, 4.0).tolist() == [2.0, 4.0, 2.0]


def test_actor_loss_by_hand() -> None:
    # a = 1 and −1: Q₁ = 2 + 8 = 10 and −10, Q₂ = 3 + 6 = 9 and −9: mean 0, mean size 9.5; (1 − ¼)² and (−1 − ¾)²
    assert td7.actor_loss(batch(), actor, critics, 2, 0.0).item() == 0.0
    square = (0.5625 + 3.0625) / 2
    assert td7.actor_loss(batch(), actor, critics, 2, 0.5).item() == pytest.approx(0.5 * 9.5 * square)
    assert td7.actor_loss(batch(), actor, critics, 1, 0.5).item() == pytest.approx(0.5 * 10 * square)


def test_the_copying_term_is_td3_bc_up_to_a_positive_factor() -> None:
    """TD3+BC minimises −λ·mean Q + mean (π − a)² with λ = α / mean |Q|, a constant to the gradient."""
    alpha, rows = 2.5, batch()
    weight = torch.tensor([[2.0]], requires_grad=True)

    def policy(obs: Tensor) -> Tensor:
        return obs @ weight

    action = policy(rows.obs)
    q = critics(rows.obs, action)[:1]
    scale = alpha / q.detach().abs().mean()
    theirs = torch.autograd.grad(-scale * q.mean() + (action - rows.action).square().mean(), weight)[0]
    ours = torch.autograd.grad(td7.actor_loss(rows, policy, critics, 1, 1 / alpha), weight)[0]
    torch.testing.assert_close(scale * ours, theirs)


# --- the losses of LAP, PAL and PER, over all samples of a buffer instead of some


def expected_gradient(loss: Tensor, error: Tensor, share: Tensor) -> Tensor:
    """Of Σ share·loss with respect to the errors; shares are constants."""
    return torch.autograd.grad((share.detach() * loss).sum(), error)[0]


ERRORS = torch.tensor([-7.0, -1.5, -0.3, 0.01, 0.6, 1.0, 2.0, 30.0], dtype=torch.float64)


@pytest.mark.parametrize("floor", [0.5, 1.0, 4.0])
@pytest.mark.parametrize("exponent", [0.0, 0.4, 1.0])
def test_pal_is_the_uniform_twin_of_lap(exponent: float, floor: float) -> None:
    error = ERRORS.clone().requires_grad_()
    priorities = td7.priority(error.detach()[None], exponent, floor)
    lap = expected_gradient(td7.huber(error, floor), error, priorities / priorities.sum())
    uniform = torch.full_like(error, 1 / len(error))
    twin = expected_gradient(prioritisation.pal(error, exponent, floor), error, uniform)
    torch.testing.assert_close(lap, twin)


@pytest.mark.parametrize("power", [1.0, 2.0])
@pytest.mark.parametrize(("exponent", "correction"), [(0.6, 0.4), (0.4, 1.0), (1.0, 0.0), (0.0, 0.5)])
def test_per_is_the_uniform_loss_of_theorem_3(power: float, exponent: float, correction: float) -> None:
    error = ERRORS.clone().requires_grad_()
    priorities = error.detach().abs() ** exponent
    probability = priorities / priorities.sum()
    weight = (probability.min() / probability) ** correction
    prioritised = expected_gradient(weight * error.abs() ** power / power, error, probability)
    uniform = torch.full_like(error, 1 / len(error))
    torch.testing.assert_close(
        prioritised, expected_gradient(prioritisation.per(error, power, exponent, correction), error, uniform)
    )


# --- the ladder


def test_with_all_rungs_off_it_is_td3() -> None:
    """From equal seeds, on equal batches: bit for bit the same numbers and networks."""
    low = TD7(1, PUSH, replace(CONFIG, **OFF), seed=0)
    plain = td3.TD3(1, PUSH, td3.Config(**SIZES), seed=0)
    for _ in range(6):
        assert low.update(batch()) == plain.update(batch())
    for one, other in zip(low.actor.parameters(), plain.actor.parameters(), strict=True):
        assert torch.equal(one, other)
    rows = batch()
    nothing = rows.obs[:, :0]
    assert torch.equal(low.critic(rows.obs, rows.action, nothing, nothing), plain.critic(rows.obs, rows.action))


@pytest.mark.parametrize("rung", ["lap", "sale", "clip_target"])
def test_a_rung_stands_on_the_first(rung: str) -> None:
    with pytest.raises(OutOfRangeError, match=rf"td7\.Config\.{rung} = True needs appendix_changes = True"):
        replace(CONFIG, **OFF | {rung: True})


def parameters(*nets: torch.nn.Module) -> list[Tensor]:
    return [parameter.detach().clone() for net in nets for parameter in net.parameters()]


def same(one: list[Tensor], other: list[Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def filled(**changes: Any) -> TD7:
    agent = TD7(1, PUSH, replace(CONFIG, **changes), seed=0)
    numbers = np.random.default_rng(0)
    for _ in range(20):
        obs, next_obs = numbers.normal(size=(2, 1))
        agent.observe(Transition(obs, numbers.uniform(-1, 1, 1), numbers.normal(), next_obs, False, False))
    return agent


def step(agent: TD7) -> dict[str, float]:
    return agent.update(agent.replay.sample(8, agent._sampling))


def test_generations_move_on_together_at_every_copy_and_never_between() -> None:
    agent = filled()
    for update in range(1, 11):
        fixed, encoder = parameters(agent.fixed_encoder), parameters(agent.encoder)
        target = parameters(agent.target_actor, agent.target_critic, agent.target_encoder)
        step(agent)
        assert not same(parameters(agent.encoder), encoder)
        if update % 5:
            assert same(parameters(agent.fixed_encoder), fixed)
            assert same(parameters(agent.target_actor, agent.target_critic, agent.target_encoder), target)
        else:
            assert same(parameters(agent.fixed_encoder), parameters(agent.encoder))
            assert same(parameters(agent.target_encoder), fixed)
            assert same(parameters(agent.target_critic), parameters(agent.critic))
            assert same(parameters(agent.target_actor), parameters(agent.actor))


def test_what_clips_the_target_is_what_was_seen_until_the_last_copy() -> None:
    agent = filled()
    assert agent._target_bounds == (0.0, 0.0)  # so the first targets are bare rewards
    for _ in range(4):
        step(agent)
    assert agent._target_bounds == (0.0, 0.0)
    rewards = agent.replay.gather(torch.arange(20)).reward
    assert rewards.min() <= agent._targets_seen[0] < 0 < agent._targets_seen[1] <= rewards.max()
    seen = agent._targets_seen
    step(agent)
    assert agent._target_bounds == agent._targets_seen
    assert agent._targets_seen[0] <= seen[0] < seen[1] <= agent._targets_seen[1]
    assert filled(clip_target=False)._target_bounds == (-math.inf, math.inf)


def test_lap_sets_the_priorities_of_what_was_sampled_and_forgets_old_maxima() -> None:
    agent = filled(priority_exponent=1.0, min_priority=0.01)
    assert isinstance(agent.replay, PrioritizedReplay)
    sample = agent.replay.sample(8, agent._sampling)
    agent.update(sample)
    changed = agent.replay.priorities != 1
    assert set(changed.nonzero().squeeze(-1).tolist()) == set(sample.indices.tolist())
    agent.replay.max_priority = 99.0
    for _ in range(4):
        step(agent)
    assert agent.replay.max_priority == agent.replay.priorities.max() < 99


def test_no_gradient_reaches_the_encoder_from_actor_or_critic() -> None:
    agent = filled()
    step(agent)
    step(agent)  # the actor's, too
    rows = agent.replay.sample(8, agent._sampling)
    with torch.no_grad():
        next_z_s = agent.encoder.state(rows.next_obs)
    loss = td7.encoder_loss(agent.encoder.pair(agent.encoder.state(rows.obs), rows.action), next_z_s)
    expected = torch.autograd.grad(loss, list(agent.encoder.parameters()))
    agent.update(rows)
    for parameter, gradient in zip(agent.encoder.parameters(), expected, strict=True):
        torch.testing.assert_close(parameter.grad, gradient)
    for net in (agent.fixed_encoder, agent.target_encoder, agent.target_actor, agent.target_critic):
        assert all(parameter.grad is None for parameter in net.parameters())


# --- other designs of the same agent, one field each


def test_pal_is_the_critics_loss_over_an_even_sample() -> None:
    """Both critics' losses by hand, before the update changes them; nothing is prioritised."""
    agent = filled(lap=False, pal=True, priority_exponent=0.7, min_priority=0.2, target_noise=0.0)
    assert not isinstance(agent.replay, PrioritizedReplay)
    rows = agent.replay.sample(8, agent._sampling)
    _, critic = td7.bind_embeddings(agent.encoder, rows.obs, agent.actor, agent.critic)
    error = (rows.reward - critic(rows.obs, rows.action)).detach()  # the first targets are bare rewards
    size = error.abs()
    losses = torch.where(size <= 0.2, 0.5 * 0.2**0.7 * error**2, 0.2 * size**1.7 / 1.7)
    scale = size.clamp(min=0.2).pow(0.7).mean(1)
    assert agent.update(rows)["critic_loss"] == pytest.approx((losses.mean(1) / scale).sum().item(), rel=1e-5)


def first_encoder_loss(agent: TD7, target: Any) -> tuple[float, float]:
    """What the next update reports, and the squared distance of the head's prediction from `target`."""
    rows = agent.replay.sample(8, agent._sampling)
    with torch.no_grad():
        predicted = agent.encoder.head(agent.encoder.pair(agent.encoder.state(rows.obs), rows.action))
        wanted = target(agent, rows)
    assert predicted.shape == wanted.shape
    return agent.update(rows)["encoder_loss"], (predicted - wanted).square().mean().item()


@pytest.mark.parametrize(
    ("name", "target"),
    [
        ("embedding", lambda agent, rows: agent.encoder.state(rows.next_obs)),
        ("state", lambda agent, rows: rows.next_obs),
        ("reward", lambda agent, rows: rows.reward[:, None]),
    ],
)
def test_what_the_encoder_learns_to_predict(name: Any, target: Any) -> None:
    reported, by_hand = first_encoder_loss(filled(encoder_target=name), target)
    assert reported == pytest.approx(by_hand, rel=1e-5)
    heads = len(list(filled(encoder_target=name).encoder.head.parameters()))
    assert heads == (0 if name == "embedding" else 2)


@pytest.mark.parametrize(("name", "seen"), [("both", {"z_s", "z_sa"}), ("state", {"z_s"}), ("pair", {"z_sa"})])
def test_which_embeddings_the_critics_see(name: Any, seen: set[str]) -> None:
    critic = filled(critic_input=name).critic
    rows, draws = batch(), torch.Generator().manual_seed(0)
    z_s, z_sa, other = (torch.randn(2, 6, generator=draws) for _ in range(3))
    value = critic(rows.obs, rows.action, z_s, z_sa)
    changed = {
        "z_s": critic(rows.obs, rows.action, other, z_sa),
        "z_sa": critic(rows.obs, rows.action, z_s, other),
    }
    assert {each for each, values in changed.items() if not torch.equal(values, value)} == seen


def test_end_to_end_the_critics_gradient_trains_the_encoder_that_they_see() -> None:
    agent = filled(end_to_end=True, target_every=3)
    assert agent.fixed_encoder is agent.encoder
    step(agent)
    rows = agent.replay.sample(8, agent._sampling)
    agent.encoder_optimizer.param_groups[0]["lr"] = 0.0  # so that only the critics' gradient moves it
    before, target = parameters(agent.encoder), parameters(agent.target_encoder)
    agent.update(rows)
    assert not same(parameters(agent.encoder), before)
    assert same(parameters(agent.target_encoder), target)
    step(agent)  # the third update, a copy
    assert same(parameters(agent.target_encoder), parameters(agent.encoder))
    assert agent.actor_optimizer.param_groups[0]["params"] == list(agent.actor.parameters())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"pal": True}, "pal = True needs lap = False"),
        ({"sale": False, "end_to_end": True}, "need sale = True"),
        ({"sale": False, "critic_input": "pair"}, "need sale = True"),
        ({"sale": False, "encoder_target": "state"}, "need sale = True"),
    ],
)
def test_a_design_that_could_do_nothing_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(OutOfRangeError, match=message):
        replace(CONFIG, **changes)


# --- values and assessments


def test_the_value_is_that_of_the_first_critic_seen_through_the_fixed_encoder() -> None:
    agent = filled()
    for _ in range(7):  # the encoder has moved on since the copy
        step(agent)
    obs, action = torch.tensor([[0.2]]), torch.tensor([[0.5]])
    z_s = agent.fixed_encoder.state(obs)
    both = agent.critic(obs, action, z_s, agent.fixed_encoder.pair(z_s, action))
    assert agent.value(obs[0].numpy(), action[0].numpy()) == pytest.approx(both[0].item())


def test_without_the_first_rung_targets_follow_by_tau() -> None:
    agents = [filled(**OFF, tau=tau) for tau in (0.005, 0.5)]
    numbers = [[step(agent) for _ in range(4)] for agent in agents]
    assert numbers[0][:2] == numbers[1][:2]
    assert numbers[0][2] != numbers[1][2]


# --- assessments


def play(agent: TD7, returns: list[float], length: int = 3) -> list[int]:
    """Episodes of given returns; the updates after each."""
    updates = []
    for total in returns:
        before = agent.updates
        for t in range(length):
            over = t == length - 1
            agent.observe(Transition(np.zeros(1), np.zeros(1), total / length, np.zeros(1), over, False))
            metrics = list(agent.learn())
            assert over or not metrics
        updates.append(agent.updates - before)
    return updates


def test_early_on_each_episode_is_an_assessment_and_pays_its_steps() -> None:
    agent = TD7(1, PUSH, replace(CONFIG, learning_starts=9), seed=0)
    assert play(agent, [50.0, 50.0]) == [0, 0]  # random
    assert play(agent, [50.0]) == [0]  # it reaches step 9: nothing assessed, nothing owed for random steps
    assert agent._best == -math.inf
    assert play(agent, [-6.0, -9.0, -3.0]) == [3, 3, 3]
    assert agent._best == -3.0


def test_the_checkpoint_is_the_policy_that_did_best_and_acts_when_nothing_is_explored() -> None:
    agent = TD7(1, PUSH, replace(CONFIG, learning_starts=9), seed=0)
    play(agent, [0.0] * 3)
    kept = parameters(agent.actor, agent.fixed_encoder)
    play(agent, [6.0])  # the best so far: kept, then trained on
    assert same(parameters(agent.checkpoint_actor, agent.checkpoint_encoder), kept)
    play(agent, [3.0, 3.0])
    assert same(parameters(agent.checkpoint_actor, agent.checkpoint_encoder), kept)
    assert not same(parameters(agent.actor), parameters(agent.checkpoint_actor))
    obs = torch.tensor([0.3])
    expected = agent.checkpoint_actor(obs, agent.checkpoint_encoder.state(obs))
    assert agent.act(obs.numpy(), explore=False) == pytest.approx(expected.detach().numpy())


def test_late_assessments_take_the_minimum_of_many_episodes_and_end_early() -> None:
    agent = TD7(1, PUSH, replace(CONFIG, learning_starts=9, late_after=6, assessment_episodes=3), seed=0)
    play(agent, [0.0] * 3)
    assert play(agent, [6.0, 10.0]) == [3, 3]
    assert agent._best == 10.0
    assert play(agent, [12.0]) == [0]  # six updates are done: the first of three episodes
    assert play(agent, [11.0, 15.0]) == [0, 9]
    assert agent._best == 9.9  # of the three the smallest, 11, times 0.9, at the switch after it


def test_a_hopeless_assessment_ends_at_its_first_bad_episode() -> None:
    agent = TD7(1, PUSH, replace(CONFIG, learning_starts=9, late_after=3, assessment_episodes=3), seed=0)
    play(agent, [0.0] * 3)
    play(agent, [6.0])
    assert play(agent, [8.0, 2.0, 8.0]) == [0, 6, 0]
    assert agent._episodes == 1


def test_without_checkpoints_every_step_is_an_update_and_the_latest_policy_acts() -> None:
    env = envs.make("Pendulum-v1", max_episode_steps=15)
    agent = TD7(3, PUSH, replace(CONFIG, checkpoints=False), seed=0)
    updates = [m["step"] for m in loop.train(env, agent, 20, 0) if "critic_loss" in m]
    assert updates == list(range(10, 21))
    obs = torch.zeros(3)
    expected = agent.actor(obs, agent.fixed_encoder.state(obs))
    assert agent.act(obs.numpy(), explore=False) == pytest.approx(expected.detach().numpy())


def test_an_interrupted_session_of_updates_is_made_up_for() -> None:
    agent = TD7(1, PUSH, replace(CONFIG, learning_starts=9), seed=0)
    play(agent, [0.0] * 3)
    for t in range(3):
        agent.observe(Transition(np.zeros(1), np.zeros(1), 1.0, np.zeros(1), t == 2, False))
        if t < 2:
            list(agent.learn())
    next(agent.learn())
    assert agent._updates_due == 2
    agent.observe(Transition(np.zeros(1), np.zeros(1), 1.0, np.zeros(1), False, False))
    assert len(list(agent.learn())) == 2
