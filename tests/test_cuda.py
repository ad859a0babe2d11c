"""Learning on a GPU: without one, what surrounds the graph is checked, with Python's calls in the graph's place."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium.spaces import Box

from rlcourse import cuda, runs
from rlcourse.algorithms import agent_class, config_class
from rlcourse.buffers import Transition
from rlcourse.loop import train_offline

# While a graph is recorded, numbers that pages read are tensors.
pytestmark = pytest.mark.usefixtures("unchecked")

OBS, ACTIONS = 3, Box(-1, 1, (2,))
SMALL: dict[str, Any] = {"hidden": (16, 16), "batch_size": 8, "buffer_size": 500, "learning_starts": 20}
TD7: dict[str, Any] = {"embedding": 8, "target_every": 10}


def agent(name: str, **changes: Any) -> Any:
    return agent_class(name)(OBS, ACTIONS, config_class(name)(**SMALL | changes), 0)


def learns(agent: Any, steps: int) -> list[Any]:
    """Losses and actions of an agent that learns in a world of noise, with episodes of 13 steps."""
    rng, seen = np.random.default_rng(0), []
    obs = rng.normal(size=OBS)
    for step in range(steps):
        action, following = agent.act(obs), rng.normal(size=OBS)
        agent.observe(Transition(obs, action, float(rng.normal()), following, step % 13 == 12, False))
        seen += [action.tolist(), *agent.learn()]
        obs = following
    return seen


CASES: list[tuple[str, dict[str, Any]]] = [
    ("td3", {}),
    ("sac", {}),
    ("sac", {"value_network": True}),
    ("sac", {"learn_temperature": False}),
    ("td7", TD7),
    ("td7", TD7 | {"checkpoints": False, "end_to_end": True}),
    ("td7", TD7 | {"lap": False, "pal": True}),
    ("td7", TD7 | {"clip_target": False}),
    ("iql", {}),
    ("td7", dict.fromkeys(("appendix_changes", "lap", "sale", "clip_target", "checkpoints"), False)),
]


@pytest.mark.parametrize(
    ("name", "changes"), [CASES[0], *(pytest.param(*case, marks=pytest.mark.thorough) for case in CASES[1:])]
)
def test_the_twin_learns_what_the_agent_would_have_learned(name: str, changes: dict[str, Any]) -> None:
    plain, moved = agent(name, **changes), agent(name, **changes)
    cuda.move(moved, "cpu")
    assert learns(plain, 150) == learns(moved, 150)
    ours, theirs = plain.state_dict(), moved.state_dict()
    assert ours.keys() == theirs.keys()
    for key in ours:
        assert _flat(ours[key]) == _flat(theirs[key]), key


def test_who_learns_from_a_dataset_or_is_stopped_acts_with_what_was_learned() -> None:
    """The loop then calls `update`, not `learn`, or leaves `learn` in the middle."""
    plain, moved = agent("iql"), agent("iql")
    cuda.move(moved, "cpu")
    obs, acted = np.ones(OBS), []
    for each in (plain, moved):
        learns(each, 50)
        before = each.act(obs, explore=False)
        for _ in train_offline(each, 20, 0):
            pass
        after = each.act(obs, explore=False)
        each.observe(Transition(obs, after, 1.0, obs, False, False))
        stopped = each.learn()
        next(stopped)
        stopped.close()
        acted.append([before.tolist(), after.tolist(), each.act(obs, explore=False).tolist()])
    assert acted[0] == acted[1]
    assert len({str(action) for action in acted[1]}) == 3


@pytest.mark.thorough
def test_a_checkpoint_goes_on_without_a_gpu() -> None:
    plain, moved, resumed = (agent("td7", **TD7) for _ in range(3))
    cuda.move(moved, "cpu")
    learns(moved, 100)
    resumed.load_state_dict(moved.state_dict())
    learns(plain, 100)
    assert learns(plain, 60) == learns(resumed, 60)
    obs, action = np.ones(OBS), np.zeros(2)
    learns(moved, 60)
    assert moved.value(obs, action) == plain.value(obs, action)


def _flat(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return value.tolist()
    if isinstance(value, dict):
        return {key: _flat(each) for key, each in value.items()}
    return [_flat(each) for each in value] if isinstance(value, list | tuple) else value


@pytest.mark.parametrize("refused", [lambda: cuda.move(agent("td3")), lambda: cuda.move(object(), "cpu")])
def test_refused_in_words(refused: Callable[[], None]) -> None:
    with pytest.raises(ValueError, match="GPU"):
        refused()


def test_the_command_hands_the_agents_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    moved: list[str] = []
    monkeypatch.setattr(cuda, "move", lambda agent: moved.append(type(agent).__name__))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "a GPU")
    config = config_class("td3")(**SMALL)
    record = runs.run(runs.Experiment("td3", "Pendulum-v1", 30, config, episodes=1), 0, tmp_path, gpu=True)
    assert moved == ["TD3"]
    assert record.machine["gpu"] == "a GPU"
    assert "products" not in record.machine  # float32 as it is
