"""What the three on-policy agents have in common: settings, seeds, saving, interrupts; a line each in `AGENTS`."""

import math
from dataclasses import fields, replace
from functools import cache, partial
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Discrete, MultiDiscrete

from rlcourse import envs, loop
from rlcourse.algorithms import actor_critic, ppo, reinforce
from rlcourse.buffers import Transition
from tests import tiny  # noqa: F401  (registers ShortCartPole-v1 and ShortCheetah-v5)
from tests.agents import (
    assert_a_loaded_one_goes_on,
    assert_an_interrupt_leaves_it_usable,
    assert_refused,
    assert_the_seed_decides,
    refusals,
)

torch.set_num_threads(1)

SMALL: dict[Any, Any] = {
    reinforce.REINFORCE: reinforce.Config(hidden=(8,), batch_size=3),
    actor_critic.ActorCritic: actor_critic.Config(hidden=(8,), num_envs=2, rollout_steps=16, n_step=4),
    ppo.PPO: ppo.Config(hidden=(8,), num_envs=2, rollout_steps=20, epochs=2, batch_size=8, lr=1e-2),
}
AGENTS = pytest.mark.parametrize("kind", SMALL, ids=lambda kind: kind.__name__)


def train(agent: Any, steps: int, seed: int = 0, env: str = "tests.tiny:ShortCartPole-v1") -> list[dict[str, Any]]:
    """What the training yields, but for where the environments stand."""
    if isinstance(agent, reinforce.REINFORCE):
        training = loop.train(envs.make(env), agent, steps, seed)
    else:
        training = loop.train_vector(envs.make_vector(env, agent.config.num_envs), agent, steps, seed)
    return [metrics for metrics in training if "env_state" not in metrics]


def make(kind: Any, seed: int = 0, **changes: Any) -> Any:
    return kind(4, Discrete(2), replace(SMALL[kind], **changes), seed)


# A change of every field, from the small Config above with `BASE` on top, so that each can show.
BASE: dict[str, Any] = {"max_grad_norm": 0.3}
CHANGES: dict[str, Any] = {
    "gamma": 0.5,
    "lr": 3e-3,
    "hidden": (9,),
    "batch_size": 4,
    "causality": False,
    "baseline": "mean",
    "num_envs": 3,
    "rollout_steps": 18,
    "n_step": 5,
    "entropy_coefficient": 0.5,
    "max_grad_norm": 0.1,
    "gae_lambda": 0.5,
    "epochs": 3,
    "clip": 0.001,
    "kl_coefficient": 1.0,
    "normalize_advantage": False,
    "normalize_obs": False,
    "orthogonal": False,
}
FIELDS = [(kind, field.name) for kind, config in SMALL.items() for field in fields(config)]


@pytest.mark.thorough
@pytest.mark.parametrize(("kind", "name"), FIELDS, ids=lambda value: getattr(value, "__name__", value))
def test_every_setting_changes_what_is_learned(kind: Any, name: str) -> None:
    assert learned(kind) != learned(kind, name)


@cache
def learned(kind: Any, *changed: str) -> list[dict[str, Any]]:
    """With these settings changed. What all compare with, no change, is learned once for each kind."""
    base = {key: value for key, value in BASE.items() if hasattr(SMALL[kind], key)}
    return train(make(kind, **base | {name: CHANGES[name] for name in changed}), 250)


@AGENTS
def test_the_seed_decides(kind: Any) -> None:
    assert_the_seed_decides(partial(make, kind), lambda agent, seed: train(agent, 120, seed))


@AGENTS
def test_a_loaded_agent_goes_on_like_the_saved_one(kind: Any) -> None:
    saved = make(kind)
    train(saved, 131 if kind is reinforce.REINFORCE else 250)  # in the middle of a rollout
    assert len(saved.rollout) > 0
    assert_a_loaded_one_goes_on(saved, partial(make, kind), lambda agent, seed: train(agent, 120, seed))


@AGENTS
def test_continuous_actions(kind: Any) -> None:
    agent = kind(17, Box(-1.0, 1.0, (6,)), SMALL[kind], seed=0)
    seen = train(agent, 200, env="tests.tiny:ShortCheetah-v5")
    assert agent.updates > 0
    assert all(math.isfinite(value) for metrics in seen for value in metrics.values())
    far = agent.act(np.full(17, 1e3), explore=False)
    assert far.shape == (6,)
    assert np.abs(far).max() <= 1


@AGENTS
def test_other_actions_are_refused(kind: Any) -> None:
    with pytest.raises(ValueError, match="action_space = MultiDiscrete"):
        kind(4, MultiDiscrete([2, 2]), SMALL[kind], seed=0)


@AGENTS
@pytest.mark.parametrize("field", ["obs", "reward", "next_obs"])
def test_what_is_not_finite_is_refused_where_it_enters(kind: Any, field: str) -> None:
    agent = make(kind)
    good: dict[str, Any] = {"obs": np.zeros(4), "reward": 1.0, "next_obs": np.zeros(4)}
    with pytest.raises(ValueError, match=f"{field} = .*nan.* is not finite"):
        agent.observe(Transition(action=0, terminated=False, truncated=False, **good | {field: good[field] * np.nan}))
    assert len(agent.rollout) == 0


@AGENTS
def test_only_exploration_is_random(kind: Any) -> None:
    agent = make(kind)
    assert {int(agent.act(np.zeros(4))) for _ in range(50)} == {0, 1}
    assert len({int(agent.act(np.zeros(4), explore=False)) for _ in range(50)}) == 1


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"gamma": 1.0}, r"gamma = 1.0 is out of range: it must be in \[0, 1\)"),
    ({"lr": 0.0}, "lr = 0.0"),
    ({"hidden": (8, 0)}, "hidden = 0"),
    ({"batch_size": 0}, "batch_size.* = 0"),
    ({"baseline": "leave_one_out", "batch_size": 1}, "batch_size .* = 1"),
    ({"num_envs": 0}, "num_envs = 0"),
    ({"rollout_steps": 0}, "rollout_steps = 0"),
    ({"n_step": 0}, "n_step = 0"),
    ({"n_step": 17}, r"n_step = 17 is out of range: it must be in \[1, 16\]"),
    ({"entropy_coefficient": -0.1}, "entropy_coefficient = -0.1"),
    ({"max_grad_norm": 0.0}, "max_grad_norm = 0.0"),
    ({"gae_lambda": 1.1}, "gae_lambda = 1.1"),
    ({"epochs": 0}, "epochs = 0"),
    ({"clip": 0.0}, "clip = 0.0"),
    ({"kl_coefficient": math.nan}, "kl_coefficient = nan"),
    ({"batch_size": 41, "num_envs": 2}, r"batch_size = 41 is out of range: it must be in \[1, 40\]"),
]


@refusals(SMALL, REFUSED)
def test_nonsense_is_refused_by_name(config: Any, changes: dict[str, Any], message: str) -> None:
    assert_refused(config, changes, message)


def test_a_baseline_of_no_known_kind_is_refused_by_name() -> None:
    config = reinforce.Config()
    object.__setattr__(config, "baseline", "median")  # past the type checker, which only tests have
    with pytest.raises(ValueError, match=r"reinforce\.Config\.baseline = 'median': it must be one of \('none', "):
        config.__post_init__()


def test_every_numeric_field_has_a_value_that_is_refused() -> None:
    switches = {"causality", "normalize_advantage", "normalize_obs", "orthogonal"}
    assert {name for changes, _ in REFUSED for name in changes} | switches == {name for _, name in FIELDS}
    assert CHANGES.keys() == {name for _, name in FIELDS}


@AGENTS
def test_an_interrupt_leaves_a_usable_agent(kind: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    env = envs.make("tests.tiny:ShortCartPole-v1")
    assert_an_interrupt_leaves_it_usable(make(kind), 1, 1_000, env, train, monkeypatch)
