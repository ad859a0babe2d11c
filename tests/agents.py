"""What every agent promises, checked in one way for all of them: seeds, saving, interrupts, refusals."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch

from rlcourse import loop

Made = Callable[[int], Any]  # an agent by its seed
Learned = Callable[[Any, int], Any]  # what an agent learns in a training whose environment has that seed
Train = Callable[[Any, int], Any]  # what the training yields over so many steps


def assert_the_seed_decides(made: Made, learned: Learned) -> None:
    """Nothing else, such as a global generator, has a part in what an agent learns."""
    before = torch.get_rng_state(), str(np.random.get_state())  # noqa: NPY002  (it must not be touched)
    runs = [learned(made(seed), 0) for seed in (0, 0, 1)]
    assert runs[0] == runs[1] != runs[2]
    assert torch.equal(torch.get_rng_state(), before[0])
    assert str(np.random.get_state()) == before[1]  # noqa: NPY002


def assert_a_loaded_one_goes_on(saved: Any, made: Made, learned: Learned) -> None:
    """With the state of `saved`, which has learned, another agent learns what `saved` would have learned."""
    state = saved.state_dict()
    expected = learned(saved, 7)
    for seed in (5, 6):  # the second shows that what came out of `state_dict` is a copy that nobody has changed
        loaded = made(seed)
        loaded.load_state_dict(state)
        assert learned(loaded, 7) == expected


def assert_an_interrupt_leaves_it_usable(
    agent: Any, call: int, steps: int, env: gym.Env, train: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After Ctrl-C in one `call` of `update` within `steps`, the agent can be evaluated and trained."""
    genuine, calls = agent.update, iter(range(steps))

    def interrupted(argument: Any) -> Any:
        if next(calls) == call:
            raise KeyboardInterrupt
        return genuine(argument)

    monkeypatch.setattr(agent, "update", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train(agent, steps)
    monkeypatch.undo()
    assert loop.evaluate(env, agent, 2, seed=0).shape == (2,)
    assert train(agent, steps)[-1]["step"] == steps


def refusals(configs: Mapping[Any, Any], refused: Sequence[tuple[dict[str, Any], str]]) -> Any:
    """Parametrises `config, changes, message`: each refused change for each agent that has such settings."""
    cases = [
        pytest.param(config, changes, message, id=f"{kind.__name__}-{changes}")
        for kind, config in configs.items()
        for changes, message in refused
        if all(hasattr(config, name) for name in changes)
    ]
    return pytest.mark.parametrize(("config", "changes", "message"), cases)


def assert_refused(config: Any, changes: dict[str, Any], message: str) -> None:
    """The error names the page, `Config` and then what `message` says."""
    module = type(config).__module__.rsplit(".", 1)[-1]
    with pytest.raises(ValueError, match=rf"{module}\.Config\.{message}"):
        replace(config, **changes)
