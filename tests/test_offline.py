"""Learning from a fixed buffer: collecting it, standardising it, and training without a world."""

import copy
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch

from rlcourse import envs, loop
from rlcourse.algorithms import td7
from rlcourse.buffers import PrioritizedReplay, ReplayBuffer, standardise
from tests.test_off_policy import PUSH, TD7_CONFIG, make, train

LENGTH = 15


def world() -> gym.Env:
    return envs.make("Pendulum-v1", max_episode_steps=LENGTH)


def collected(steps: int = 40) -> tuple[ReplayBuffer, np.ndarray]:
    agent, replay = make(td7.TD7), PrioritizedReplay(50, (3,), (1,))
    return replay, loop.collect(world(), agent, replay, steps, seed=0)


def test_what_is_collected_is_what_happened() -> None:
    replay, returns = collected()
    rows = replay.gather(torch.arange(len(replay)))
    assert len(replay) == 40
    sums = rows.reward[: 2 * LENGTH].reshape(2, LENGTH).sum(1)
    np.testing.assert_allclose(returns, sums, rtol=1e-5)  # float32; the third episode is not finished
    following = [i for i in range(39) if (i + 1) % LENGTH]
    assert torch.equal(rows.next_obs[following], rows.obs[[i + 1 for i in following]])
    assert not torch.equal(rows.next_obs[LENGTH - 1], rows.obs[LENGTH])  # another episode
    assert not rows.terminated.any()  # a time limit


def test_collecting_explores_and_teaches_nothing() -> None:
    agent = make(td7.TD7)
    train(agent, 20)
    before, steps = copy.deepcopy(agent.state_dict()), agent.steps
    replay = ReplayBuffer(50, (3,), (1,))
    loop.collect(world(), agent, replay, 30, seed=0)
    assert agent.steps == steps
    assert torch.equal(agent.actor.net[0].weight, before["actor"]["net.0.weight"])
    rows = replay.gather(torch.arange(30))
    greedy = torch.tensor(np.array([agent.act(obs.numpy(), explore=False) for obs in rows.obs]))
    assert (rows.action - greedy).abs().max() > 0.01


def offline(updates: int = 12, seed: int = 0, **changes: Any) -> tuple[td7.TD7, list[dict[str, Any]]]:
    replay, _ = collected()
    agent = make(td7.TD7, **changes)
    agent.replay = replay
    return agent, list(loop.train_offline(agent, updates, seed))


def test_offline_every_update_is_yielded_and_nothing_is_added() -> None:
    agent, seen = offline()
    assert [metrics["step"] for metrics in seen] == list(range(1, 13))
    assert (agent.updates, agent.steps, len(agent.replay)) == (12, 0, 40)
    assert isinstance(agent.replay, PrioritizedReplay)
    assert (agent.replay.priorities != 1).any()  # as they came in


def test_offline_the_seed_is_that_of_the_batches() -> None:
    runs = [offline(seed=seed)[1] for seed in (0, 0, 1)]
    assert runs[0] == runs[1]
    assert runs[0] != runs[2]


@pytest.mark.thorough
@pytest.mark.usefixtures("unchecked")
def test_copying_pulls_actions_towards_the_data() -> None:
    def distance(copying: float) -> float:
        agent, _ = offline(updates=300, copying=copying)
        rows = agent.replay.gather(torch.arange(len(agent.replay)))
        actions = agent.actor(rows.obs, agent.fixed_encoder.state(rows.obs))
        return (actions - rows.action).square().mean().item()

    assert distance(10.0) < 0.5 * distance(0.0)


def test_standardised_observations_by_hand() -> None:
    replay = ReplayBuffer(4, (2,), (1,))
    state = replay.state_dict()
    state["fields"] = {
        name: torch.zeros(2, *rows.shape[1:], dtype=rows.dtype) for name, rows in state["fields"].items()
    }
    state["fields"]["obs"] = torch.tensor([[1.0, 5.0], [3.0, 5.0]])
    state["fields"]["next_obs"] = torch.tensor([[3.0, 5.0], [5.0, 6.0]])
    replay.load_state_dict(state)
    mean, spread = standardise(replay)
    assert mean.tolist() == [2.0, 5.0]
    assert spread == pytest.approx([1.001, 0.001])
    rows = replay.gather(torch.arange(2))
    torch.testing.assert_close(rows.obs, torch.tensor([[-1 / 1.001, 0.0], [1 / 1.001, 0.0]]))
    torch.testing.assert_close(rows.next_obs, torch.tensor([[1 / 1.001, 0.0], [3 / 1.001, 1000.0]]))


def test_the_standardised_world_is_the_one_that_the_buffer_shows() -> None:
    plain, _ = collected()
    obs = plain.gather(torch.arange(40)).obs
    replay, _ = collected()
    mean, spread = standardise(replay)
    seen = envs.standardised(world(), mean, spread)
    first, _ = seen.reset(seed=0)
    assert first.dtype == np.float32
    assert seen.observation_space.contains(first)
    np.testing.assert_allclose(first, replay.gather(torch.tensor([0])).obs[0], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(first * spread + mean, obs[0], rtol=1e-4, atol=1e-5)
    agent = td7.TD7(3, PUSH, TD7_CONFIG, seed=0)
    assert loop.evaluate(seen, agent, 2, seed=0).shape == (2,)
