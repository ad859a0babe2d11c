"""What all agents with a replay for continuous actions have in common: settings, seeds, saving, refusals.

`SMALL` has a line for each.
"""

import math
from dataclasses import fields, replace
from functools import cache, partial
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Discrete, Space

from rlcourse import envs, loop
from rlcourse.algorithms import (
    cql,
    ddpg,
    double_ac,
    edac,
    iql,
    mixture_sac,
    off_policy_ac,
    sac,
    soft_q_learning,
    td3,
    td7,
)
from rlcourse.buffers import Batch, PrioritizedReplay, Transition
from tests.agents import (
    assert_a_loaded_one_goes_on,
    assert_an_interrupt_leaves_it_usable,
    assert_refused,
    assert_the_seed_decides,
    refusals,
)

torch.set_num_threads(1)

SIZES: dict[str, Any] = {"hidden": (8,), "batch_size": 8, "buffer_size": 200, "learning_starts": 10}
# Updates at every step; assessments are tested in test_td7.
TD7_CONFIG = td7.Config(**SIZES, lr=1e-2, embedding=6, target_every=5, checkpoints=False)
SMALL: dict[Any, Any] = {
    ddpg.DDPG: ddpg.Config(**SIZES, lr=1e-2),
    double_ac.DoubleAC: double_ac.Config(**SIZES, lr=1e-2),
    td3.TD3: td3.Config(**SIZES, lr=1e-2),
    off_policy_ac.OffPolicyAC: off_policy_ac.Config(**SIZES, lr=1e-2, samples=2),
    sac.SAC: sac.Config(**SIZES, lr=1e-2),
    mixture_sac.MixtureSAC: mixture_sac.Config(**SIZES, lr=1e-2),
    soft_q_learning.SoftQLearning: soft_q_learning.Config(**SIZES, lr=1e-2),
    td7.TD7: TD7_CONFIG,
    iql.IQL: iql.Config(**SIZES, lr=1e-2),
    cql.CQL: cql.Config(**SIZES, lr=1e-2),
    edac.EDAC: edac.Config(**SIZES, lr=1e-2, critics=3),
}
AGENTS = pytest.mark.parametrize("kind", SMALL, ids=lambda kind: kind.__name__)
PUSH = Box(-1.0, 1.0, (1,))


def train(agent: Any, steps: int, seed: int = 0) -> list[dict[str, Any]]:
    """What the training on Pendulum, with a time limit of 15, yields."""
    return list(loop.train(envs.make("Pendulum-v1", max_episode_steps=15), agent, steps, seed))


def make(kind: Any, seed: int = 0, **changes: Any) -> Any:
    return kind(3, PUSH, replace(SMALL[kind], **changes), seed)


def batch(**changes: Any) -> Batch:
    """Two rows: reward 1 and going on, reward 2 and terminated; observations and actions of one number."""
    columns = {
        "obs": torch.tensor([[0.5], [-0.5]]),
        "action": torch.tensor([[0.25], [0.75]]),
        "reward": torch.tensor([1.0, 2.0]),
        "next_obs": torch.tensor([[0.25], [4.0]]),
        "terminated": torch.tensor([0.0, 1.0]),
        "steps": torch.ones(2),
        "probability": torch.full((2,), 0.5),
        "indices": torch.tensor([0, 1]),
    }
    return Batch(**columns | changes)


CHANGES: dict[str, Any] = {
    "gamma": 0.5,
    "lr": 1e-3,
    "batch_size": 9,
    "hidden": (9,),
    "buffer_size": 20,
    "learning_starts": 12,
    "tau": 0.5,
    "exploration_noise": 0.7,
    "reversion": 0.2,
    "pairs": 2,
    "critics": 4,
    "policy_every": 3,
    "target_noise": 0.7,
    "noise_clip": 0.01,
    "temperature": 0.1,
    "learn_temperature": False,
    "target_entropy": 0.5,
    "value_network": True,
    "components": 2,
    "value_samples": 3,
    "candidates": 3,
    "appendix_changes": False,
    "target_every": 3,
    "lap": False,
    "priority_exponent": 1.0,
    "pal": True,
    "min_priority": 0.1,
    "sale": False,
    "embedding": 5,
    "normed": False,
    "encoder_target": "state",
    "critic_input": "state",
    "end_to_end": True,
    "clip_target": False,
    "checkpoints": True,
    "copying": 0.1,
    "expectile": 0.9,
    "beta": 1.0,
    "max_weight": 0.9,
    "conservatism": 1.0,
    "sampled_actions": 3,
    "samples": 3,
    "baseline": True,
    "least_log_std": 1.5,
}
# What matters only where other switches stand otherwise; test_td7 tries it.
ELSEWHERE: set[tuple[Any, str]] = {
    (td7.TD7, name) for name in ("tau", "assessment_episodes", "late_after", "reset_weight")
}
ELSEWHERE.add((edac.EDAC, "diversity"))  # and here, where actions are more than one number; test_edac does
FIELDS = [
    (kind, field.name)
    for kind, config in SMALL.items()
    for field in fields(config)
    if (kind, field.name) not in ELSEWHERE
]


@pytest.mark.thorough
@pytest.mark.parametrize(("kind", "name"), FIELDS, ids=lambda value: getattr(value, "__name__", value))
def test_every_setting_changes_what_is_learned(kind: Any, name: str) -> None:
    rungs = {"appendix_changes": ("lap", "sale", "clip_target"), "pal": ("lap",)}.get(name, ())
    assert learned(kind, rungs) != learned(kind, rungs, name)


@cache
def learned(kind: Any, without: tuple[str, ...], *changed: str) -> list[dict[str, Any]]:
    """With these settings changed. What all compare with, no change, is learned once for each kind."""
    return train(make(kind, **dict.fromkeys(without, False), **{name: CHANGES[name] for name in changed}), 40)


def test_every_field_of_the_configs_is_tried() -> None:
    assert CHANGES.keys() == {name for _, name in FIELDS}


@AGENTS
def test_the_seed_decides(kind: Any) -> None:
    assert_the_seed_decides(partial(make, kind), lambda agent, seed: train(agent, 40, seed))


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("kind", "switch", "first"),
    [
        (double_ac.DoubleAC, {"pairs": 2}, 10),  # the second critic asks the first
        (td3.TD3, {"critics": 1}, 10),  # in the first update, of steps 10, the target is another
        (td3.TD3, {"policy_every": 1}, 10),  # the actor moves in the first update, not in the second
        (td3.TD3, {"target_noise": 0.0}, 10),
        (off_policy_ac.OffPolicyAC, {"baseline": True}, 10),  # other weights
        (sac.SAC, {"learn_temperature": False}, 11),  # α of the first update is the same
        (mixture_sac.MixtureSAC, {"learn_temperature": False}, 11),
        (soft_q_learning.SoftQLearning, {"value_samples": 3}, 10),
        (td7.TD7, {"lap": False}, 10),  # another loss
        (td7.TD7, {"clip_target": False}, 10),  # the first bounds are 0 and 0
        (td7.TD7, {"copying": 0.1}, 11),  # the first actor's update is the second
        (iql.IQL, {"beta": 0.0}, 10),  # other weights
        (cql.CQL, {"conservatism": 0.0}, 10),
    ],
)
def test_a_switch_changes_nothing_before_the_first_update_it_affects(kind: Any, switch: Any, first: int) -> None:
    one, other = train(make(kind), 30), train(make(kind, **switch), 30)
    affected = next(i for i, (a, b) in enumerate(zip(one, other, strict=True)) if a != b)
    assert one[affected]["step"] == first


@pytest.mark.thorough
@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        (ddpg.DDPG, {"reversion": 0.2}),
        (double_ac.DoubleAC, {"pairs": 2}),
        (td3.TD3, {}),
        (off_policy_ac.OffPolicyAC, {"baseline": True}),
        (sac.SAC, {}),
        (sac.SAC, {"value_network": True}),
        (mixture_sac.MixtureSAC, {}),
        (soft_q_learning.SoftQLearning, {}),
        (td7.TD7, {}),
        (td7.TD7, {"checkpoints": True}),
        (iql.IQL, {}),
        (cql.CQL, {}),
        (edac.EDAC, {}),
    ],
)
def test_a_loaded_agent_goes_on_like_the_saved_one(kind: Any, changes: Any) -> None:
    saved = make(kind, **changes)
    train(saved, 37)  # an odd number of updates, in the middle of an episode
    assert_a_loaded_one_goes_on(saved, partial(make, kind, **changes), lambda agent, seed: train(agent, 25, seed))


@AGENTS
def test_the_beginning_is_random_and_without_updates(kind: Any) -> None:
    agent = make(kind, learning_starts=500, buffer_size=500)
    seen = train(agent, 499)
    assert all("critic_loss" not in metrics for metrics in seen)
    actions = agent.replay.gather(torch.arange(499)).action
    # Uniform on [−1, 1]: mean 0, spread 1/√3 = 0.577, each within 4 standard errors of 0.577/√499 = 0.026.
    assert actions.mean().item() == pytest.approx(0, abs=0.104)
    assert actions.std().item() == pytest.approx(0.577, abs=0.06)
    assert "critic_loss" in train(agent, 1)[0]


@AGENTS
def test_actions_lie_in_the_box_and_only_exploration_is_random(kind: Any) -> None:
    agent = make(kind)
    train(agent, 12)
    explored = np.array([agent.act(np.full(3, 9.0)) for _ in range(200)])
    assert explored.shape == (200, 1)
    assert np.abs(explored).max() <= 1
    assert len(np.unique(explored)) > 5
    assert len({float(agent.act(np.zeros(3), explore=False)[0]) for _ in range(50)}) == 1


@pytest.mark.parametrize("kind", [kind for kind in SMALL if kind is not td7.TD7], ids=lambda kind: kind.__name__)
def test_the_value_is_that_of_the_first_critic(kind: Any) -> None:
    agent = make(kind)
    obs, action = np.array([0.1, 0.2, 0.3]), np.array([0.5])
    both = agent.critic(torch.tensor([[0.1, 0.2, 0.3]]), torch.tensor([[0.5]]))
    assert agent.value(obs, action) == pytest.approx(both[0].item())


@AGENTS
def test_an_injected_memory_is_used(kind: Any) -> None:
    memory = PrioritizedReplay(50, (3,), (1,))
    agent = kind(3, PUSH, SMALL[kind], 0, replay=memory)
    train(agent, 5)
    assert agent.replay is memory
    assert len(memory) == 5


@AGENTS
def test_no_gradient_reaches_targets(kind: Any) -> None:
    agent = make(kind)
    train(agent, 20)
    targets = [net for name, net in vars(agent).items() if "target" in name and isinstance(net, torch.nn.Module)]
    assert targets
    assert all(parameter.grad is None for net in targets for parameter in net.parameters())
    assert all(parameter.grad is not None for parameter in agent.critic.parameters())


@AGENTS
@pytest.mark.parametrize(
    "space", [Discrete(3), Box(-2.0, 2.0, (1,)), Box(-np.inf, np.inf, (2,)), Box(-1.0, 1.0, (2, 2))], ids=str
)
def test_other_actions_are_refused(kind: Any, space: Space) -> None:
    with pytest.raises(ValueError, match=r"action_space = .* it must be a Box from -1 to 1 with one axis; envs.make"):
        kind(3, space, SMALL[kind], seed=0)


@AGENTS
@pytest.mark.parametrize("field", ["obs", "reward", "next_obs"])
def test_what_is_not_finite_is_refused_where_it_enters(kind: Any, field: str) -> None:
    agent = make(kind)
    good: dict[str, Any] = {"obs": np.zeros(3), "reward": 1.0, "next_obs": np.zeros(3)}
    with pytest.raises(ValueError, match=rf"{field} = .*nan.* is not finite"):
        agent.observe(
            Transition(action=np.zeros(1), terminated=False, truncated=False, **good | {field: good[field] * np.nan})
        )
    assert len(agent.replay) == 0


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"gamma": 1.0}, r"gamma = 1.0 is out of range: it must be in \[0, 1\)"),
    ({"lr": math.nan}, "lr = nan"),
    ({"batch_size": 0}, "batch_size = 0"),
    ({"batch_size": 201}, r"batch_size = 201 is out of range: it must be in \[1, 200\]"),
    ({"hidden": (8, 0)}, "hidden = 0"),
    ({"buffer_size": 0}, "buffer_size = 0"),
    ({"learning_starts": 7}, r"learning_starts = 7 is out of range: it must be in \[8, 200\]"),
    ({"tau": 1.1}, "tau = 1.1"),
    ({"exploration_noise": -0.1}, "exploration_noise = -0.1"),
    ({"reversion": -0.1}, "reversion = -0.1"),
    ({"pairs": 3}, r"pairs = 3 is out of range: it must be in \[1, 2\]"),
    ({"critics": 0}, "critics = 0"),
    ({"policy_every": 0}, "policy_every = 0"),
    ({"target_noise": -1.0}, "target_noise = -1.0"),
    ({"noise_clip": -1.0}, "noise_clip = -1.0"),
    ({"temperature": 0.0}, "temperature = 0.0"),
    ({"target_entropy": math.nan}, "target_entropy = nan"),
    ({"components": 0}, "components = 0"),
    ({"value_samples": 0}, "value_samples = 0"),
    ({"candidates": 0}, "candidates = 0"),
    ({"target_every": 0}, "target_every = 0"),
    ({"priority_exponent": 1.5}, "priority_exponent = 1.5"),
    ({"min_priority": 0.0}, "min_priority = 0.0"),
    ({"embedding": 0}, "embedding = 0"),
    ({"assessment_episodes": 0}, "assessment_episodes = 0"),
    ({"late_after": 0}, "late_after = 0"),
    ({"reset_weight": 1.5}, "reset_weight = 1.5"),
    ({"copying": -0.1}, "copying = -0.1"),
    ({"expectile": 1.1}, "expectile = 1.1"),
    ({"beta": -1.0}, "beta = -1.0"),
    ({"max_weight": 0.0}, "max_weight = 0.0"),
    ({"conservatism": -1.0}, "conservatism = -1.0"),
    ({"sampled_actions": 0}, "sampled_actions = 0"),
    ({"least_log_std": 3.0}, r"least_log_std = 3.0 is out of range: it must be in \[-20, 2\]"),
    ({"samples": 0}, "samples = 0"),
    ({"samples": 1, "baseline": True}, r"samples = 1 is out of range: it must be in \[2, inf\]"),
    ({"diversity": -1.0}, "diversity = -1.0"),
]


@refusals(SMALL, REFUSED)
def test_nonsense_is_refused_by_name(config: Any, changes: dict[str, Any], message: str) -> None:
    assert_refused(config, changes, message)


def test_every_numeric_field_has_a_value_that_is_refused() -> None:
    names = {field.name for config in SMALL.values() for field in fields(config)}
    switches = {
        name for name in names for config in SMALL.values() if isinstance(getattr(config, name, None), bool | str)
    }
    assert {name for changes, _ in REFUSED for name in changes} | switches == names


@AGENTS
def test_an_interrupt_leaves_a_usable_agent(kind: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    env = envs.make("Pendulum-v1", max_episode_steps=5)
    assert_an_interrupt_leaves_it_usable(make(kind), 5, 20, env, train, monkeypatch)


# Pendulum in the lecture's size; measured thresholds, of the final policy, fresh evaluation seeds.
PENDULUM: dict[str, Any] = {"hidden": (64, 64), "lr": 1e-3, "learning_starts": 1_000, "buffer_size": 20_000}


@pytest.mark.slow
@pytest.mark.timeout(3600)
@AGENTS
def test_pendulum_is_held_up_by_at_least_four_of_five_seeds(kind: Any) -> None:
    needs = {off_policy_ac.OffPolicyAC: {"samples": 16, "baseline": True, "least_log_std": -2.0}}  # see lecture 7
    config = replace(SMALL[kind], **PENDULUM, batch_size=128, **needs.get(kind, {}))
    scores = []
    for seed in range(5):
        agent = kind(3, PUSH, config, seed)
        for _ in loop.train(envs.make("Pendulum-v1"), agent, 15_000, seed):
            pass
        scores.append(loop.evaluate(envs.make("Pendulum-v1"), agent, 20, seed=1_000_000).mean())
    assert sum(score >= -200 for score in scores) >= 4, scores
