"""`torch.set_default_dtype(torch.float64)`, an innocent line in a student's notebook, breaks no page."""

from collections.abc import Iterator
from inspect import signature
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Discrete, Space

from rlcourse.algorithms import AGENTS, agent_class, cloning, config_class, continuous, her, imitation, q_iteration
from rlcourse.buffers import Transition
from rlcourse.envs import make
from rlcourse.nets import Policy, generators

SMALL: dict[str, Any] = {"hidden": (8,), "buffer_size": 40, "learning_starts": 10, "batch_size": 4}
ON_POLICY: dict[str, Any] = {"hidden": (8,), "batch_size": 2}
CHANGES: dict[str, dict[str, Any]] = {
    "dqn": SMALL | {"dueling": True, "priority_exponent": 0.6, "double": True},
    "rainbow": SMALL,
    "reinforce": ON_POLICY,
    "actor_critic": {"hidden": (8,), "num_envs": 2, "rollout_steps": 4, "n_step": 2},
    "ppo": ON_POLICY | {"num_envs": 2, "rollout_steps": 4, "kl_coefficient": 1.0, "entropy_coefficient": 0.1},
    "ddpg": SMALL,
    "double_ac": SMALL | {"pairs": 2},
    "td3": SMALL,
    "off_policy_ac": SMALL | {"samples": 2, "baseline": True},
    "sac": SMALL | {"value_network": True},
    "mixture_sac": SMALL,
    "soft_q_learning": SMALL,
    "td7": SMALL | {"embedding": 4, "target_every": 2, "checkpoints": False},
    "iql": SMALL,
    "cql": SMALL,
    "edac": SMALL | {"critics": 3},
}


@pytest.fixture(autouse=True)
def _float64() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def updates(agent: Any, space: Space, num_envs: int | None) -> list[dict[str, float]]:
    """What 24 steps of random observations make an agent learn; every sixth ends an episode."""
    rng, seen, batch = np.random.default_rng(0), [], () if num_envs is None else (num_envs,)
    for step in range(24):
        obs, next_obs = rng.normal(size=(2, *batch, 3))
        over = step % 6 == 5
        flags = (over, False) if num_envs is None else (np.full(batch, over), np.zeros(batch, bool))
        agent.observe(Transition(obs, agent.act(obs), rng.normal(size=batch)[()], next_obs, *flags))
        seen += list(agent.learn())
        assert space.contains(np.asarray(agent.act(obs[0] if batch else obs, explore=False), space.dtype))
    return seen


@pytest.mark.parametrize("space", [Discrete(2), Box(-1.0, 1.0, (2,))], ids=["discrete", "continuous"])
@pytest.mark.parametrize("name", sorted(set(AGENTS) - {"q_learning"}))
def test_every_agent_acts_and_learns(name: str, space: Space) -> None:
    takes_count = "num_actions" in signature(agent_class(name)).parameters  # not their space
    takes_numbers, takes_choices = not takes_count, takes_count or name in ("reinforce", "actor_critic", "ppo")
    if not (takes_choices if isinstance(space, Discrete) else takes_numbers):
        pytest.skip("not an agent for these actions")
    config = config_class(name)(**CHANGES[name])
    agent = agent_class(name)(3, 2 if takes_count else space, config, 0)
    seen = updates(agent, space, getattr(config, "num_envs", None))
    assert len(seen) >= 2
    assert all(np.isfinite(value) for metrics in seen for value in metrics.values())
    nets = [net for net in vars(agent).values() if isinstance(net, torch.nn.Module)]
    assert {parameter.dtype for net in nets for parameter in net.parameters()} == {torch.float32}


@pytest.mark.parametrize(
    ("page", "kind", "policy"),
    [
        (cloning, "Clone", {}),
        (cloning, "Clone", {"components": 2}),
        (imitation, "Imitation", {"bins": 4}),
        (imitation, "Imitation", {"noise_steps": 3}),
    ],
)
def test_imitation_learns(page: Any, kind: str, policy: dict[str, Any]) -> None:
    config = page.Config(batch_size=4, hidden=(8,), round_steps=6, updates=3, **policy)
    agent = getattr(page, kind)(3, 2, lambda obs: np.tanh(obs[:2]), config, seed=0)
    assert len(updates(agent, Box(-1.0, 1.0, (2,)), None)) == 4 * 3


def test_a_table_and_a_memory_with_hindsight() -> None:
    table = q_iteration.QLearning(2, 2, q_iteration.Config(), seed=0)
    table.observe(Transition(0, table.act(0), 1.0, 1, False, False))
    assert len(list(table.learn())) == 1
    env = make("rlcourse/BitFlip4-v0")
    replay, (obs, _) = her.HindsightReplay(env, 10, her.Config()), env.reset(seed=0)
    for action in (0, 1, 0, 1):
        next_obs, reward, terminated, truncated, _ = env.step(action)
        replay.add(Transition(obs, action, reward, next_obs, terminated, truncated))
        obs = next_obs
    batch = replay.sample(4, generators(0, 1)[0])
    assert {batch.obs.dtype, batch.reward.dtype, batch.terminated.dtype, batch.probability.dtype} == {torch.float32}


def test_maximising_over_actions_and_policies() -> None:
    critic, generator = continuous.hill(torch.tensor([0.5])), generators(0, 1)[0]
    for best in (
        continuous.best_of_list(critic, 1, 5),
        continuous.cross_entropy_method(critic, 1, generator),
        continuous.climb(critic, torch.zeros(1), 0.1, 50),
    ):
        assert best.item() == pytest.approx(0.5, abs=0.1)
    policy = Policy(3, Box(-1.0, 1.0, (2,)), (4,), generator)(torch.zeros(5, 3, dtype=torch.float32))
    assert policy.sample(generator).dtype == policy.log_prob(policy.sample(generator)).dtype == torch.float32
