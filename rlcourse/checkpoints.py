"""Checkpoints: an agent's state, and a run's, from which training goes on as if it had never been interrupted."""

import copy
from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from pathlib import Path
from types import FunctionType, MethodType
from typing import Any

import gymnasium as gym
import torch
from torch import Tensor, nn

from rlcourse import files, snapshots


class Stateful:
    """What can be saved, because all its attributes are networks, optimisers, memories, random generators or values.

    Its `config` and functions do not belong to the state: they are given when it is made.
    """

    def state_dict(self) -> dict[str, Any]:
        """Copies of all that the next steps depend on."""
        return {
            name: _copy(value) for name, value in vars(self).items() if name != "config" and not _is_function(value)
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Put back what `state_dict` returned. The state shares nothing with the agent: it can be put back again."""
        for name, saved in state.items():
            value = getattr(self, name, None)
            if isinstance(value, torch.Generator):
                value.set_state(saved)
            elif hasattr(value, "load_state_dict"):
                value.load_state_dict(copy.deepcopy(saved) if isinstance(value, torch.optim.Optimizer) else saved)  # type: ignore[union-attr]
            elif isinstance(value, Tensor):
                value.data.copy_(saved)  # in place, because an optimiser may hold it
            else:
                setattr(self, name, copy.deepcopy(saved))


def _is_function(value: Any) -> bool:
    return isinstance(value, FunctionType | MethodType)


def _copy(value: Any) -> Any:
    if isinstance(value, torch.Generator):
        return value.get_state()
    if isinstance(value, nn.Module | torch.optim.Optimizer):
        return copy.deepcopy(value.state_dict())
    if hasattr(value, "state_dict"):  # a replay buffer: it copies itself, and only the part that is filled
        return value.state_dict()
    return copy.deepcopy(value.detach() if isinstance(value, Tensor) else value)


def save(path: Path, env: gym.Env | gym.vector.SyncVectorEnv, agent: Any, step: int, **extra: Any) -> None:
    """Write all that `resume` needs to go on as if nothing had happened.

    Call it between episodes (see `loop.train`). With environments side by side call it after the agent has learned, and
    hand on `env_state` (see `loop.train_vector`): there each is in mid-episode, so `snapshots.snapshot` must cover it.
    A single environment that it does not cover is saved as its random generator alone: all that matters between
    episodes, unless one episode changes the next. The file appears whole or not at all, whatever kills the process.

    Raises:
        ValueError: one of the environments side by side is not covered.
        OSError: the file cannot be written.
    """
    if isinstance(env, gym.vector.SyncVectorEnv):
        world: Any = [snapshots.snapshot(one) for one in env.envs]
    else:
        try:
            world = snapshots.snapshot(env)
        except ValueError:
            world = env.unwrapped.np_random.bit_generator.state
    state = {"step": step, "made": _made(env, agent), "env": world, "agent": agent.state_dict(), **extra}
    with files.replacing(path) as file:
        torch.save(state, file)


def resume(path: Path, env: gym.Env | gym.vector.SyncVectorEnv, agent: Any) -> dict[str, Any]:
    """Put back what `save` wrote and return it: `step`, for `train(..., seed=None, start=step)`, and the extras.

    Bit for bit the run that was never interrupted, given an agent and an environment made as for that run, on the
    same processor. Open only files that you wrote: like any pickle, a foreign one can run code.

    Raises:
        BrokenFileError: the file is not whole; neither agent nor environment is touched.
        ValueError: agent or environment are made in another way than those that were saved; nor are they then.
    """
    try:
        state: dict[str, Any] = torch.load(path, weights_only=False)
        there, world, learned = (state.pop(key) for key in ("made", "env", "agent"))
    except (FileNotFoundError, PermissionError, MemoryError):  # which say nothing about what is in the file
        raise
    except Exception as error:  # torch may raise any exception
        raise files.BrokenFileError(f"{path} is no whole checkpoint: {error or type(error).__name__}") from error
    here = _made(env, agent)
    if here != there:
        other = [
            f"{key} = {there.get(key)!r} (here {here.get(key)!r})"
            for key in there | here
            if there.get(key) != here.get(key)
        ]
        raise ValueError(f"{path} goes on only as it was made, with {', '.join(other)}")
    agent.load_state_dict(learned)
    if isinstance(env, gym.vector.SyncVectorEnv):
        for one, snap in zip(env.envs, world, strict=True):
            snapshots.restore(one, snap)
    elif isinstance(world, snapshots.Snapshot):
        snapshots.restore(env, world)
    else:
        env.unwrapped.np_random.bit_generator.state = world
    return state


def _made(env: gym.Env | gym.vector.SyncVectorEnv, agent: Any) -> dict[str, Any]:
    """What must be the same where a checkpoint is opened: kinds, sizes, and every field of the agent's Config."""
    one, number = (env.envs[0], env.num_envs) if isinstance(env, gym.vector.SyncVectorEnv) else (env, 1)
    replay, config = getattr(agent, "replay", None), getattr(agent, "config", None)
    return {
        "agent": type(agent).__qualname__,
        "replay": type(replay).__qualname__,
        "environment": type(one.unwrapped).__qualname__,
        "environments": number,
        "observation_space": str(one.observation_space),
        "action_space": str(one.action_space),
        **(asdict(config) if is_dataclass(config) and not isinstance(config, type) else {}),
    }
