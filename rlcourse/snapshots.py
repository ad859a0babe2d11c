"""Saved states of environments, and from them the ground truth for a critic."""

import copy
import random
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, is_dataclass
from enum import Enum
from itertools import combinations
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any

import gymnasium as gym
import numpy as np


@dataclass(frozen=True)
class Snapshot:
    """The state of an environment in mid-episode, made by `snapshot`; good for any number of `restore`s."""

    # For each wrapper from the outside in, then the environment: type, state, and the names of all attributes.
    layers: tuple[tuple[type, dict[str, Any], frozenset[str]], ...]
    data: Any  # MuJoCo's own state, or None


# What a deep copy restores exactly, and holders of such things.
_VALUES = (
    *(int, float, complex, str, bytes, Enum, np.generic, type(None)),
    *(np.random.Generator, np.random.RandomState, random.Random),
)
_HOLDERS = (list, tuple, set, frozenset, deque)
# What stays the same while a world goes on: by type, and by the module that the type is from.
_FIXED = (gym.Env, type, ModuleType, FunctionType, np.ufunc)
_FIXED_MODULES = (
    *("mujoco._structs", "pygame", "gymnasium.envs.registration", "gymnasium.envs.mujoco.mujoco_rendering"),
    "gymnasium_robotics.utils.mujoco_utils",
)


def snapshot(env: gym.Env) -> Snapshot:
    """Remember exactly where `env` is: physics, random generator, elapsed steps.

    Covered is what a layer keeps in its attributes as numbers, strings, arrays, tensors, random generators, and lists,
    tuples, sets, dictionaries and deques of these; and MuJoCo's own state, `data`. So classic control, toy text,
    MuJoCo, Fetch and the course's own worlds are restored exactly, under wrappers like `TimeLimit` or
    `FrameStackObservation`. Taken to stay the same, and not covered: models, windows, functions, frozen dataclasses.

    Raises:
        ValueError: an attribute holds something else, or an array that shares its memory with another or with MuJoCo;
            the message names it.
    """
    # MuJoCo's state is larger than positions and velocities (set_state is inexact on Ant); deepcopy misses it silently.
    layers = _layers(env)
    states = [_state(layer) for layer in layers]
    _refuse_shared_memory(layers, states)
    # One deep copy of all: what two attributes hold together, they hold together afterwards.
    names = [frozenset(vars(layer)) for layer in layers]
    data = getattr(env.unwrapped, "data", None)
    return Snapshot(
        tuple(zip(map(type, layers), copy.deepcopy(states), names, strict=True)),
        copy.copy(data) if _is_simulation(data) else None,
    )


def _state(layer: gym.Env) -> dict[str, Any]:
    """The attributes that may change while the world goes on."""
    state = {
        name: value
        for name, value in vars(layer).items()
        if not (_is_fixed(value) or (name == "data" and _is_simulation(value)))
    }
    for name, value in state.items():
        for part in _parts(value):
            if not (isinstance(part, (*_VALUES, np.ndarray, gym.Space)) or _is_fixed(part) or _is_tensor(part)):
                raise ValueError(
                    f"{type(layer).__name__}.{name} holds a {type(part).__module__}.{type(part).__qualname__}: a saved "
                    "state covers numbers, strings, arrays, tensors, random generators, and lists, tuples, sets, "
                    "dictionaries and deques of these; keep the world's state in such attributes"
                )
    return state


def _parts(value: Any) -> Iterator[Any]:
    """What a value is made of, holders opened."""
    if isinstance(value, Mapping):
        for each in (*value.keys(), *value.values()):
            yield from _parts(each)
    elif isinstance(value, _HOLDERS):
        for each in value:
            yield from _parts(each)
    elif isinstance(value, np.ndarray) and value.dtype.hasobject:
        for each in value.flat:
            yield from _parts(each)
    else:
        yield value


def _is_fixed(value: Any) -> bool:
    if isinstance(value, gym.Space):  # some worlds draw from theirs
        inside = (part for each in vars(value).values() for part in _parts(each) if isinstance(part, gym.Space))
        idle: bool = vars(value)["_np_random"] is None
        return idle and all(map(_is_fixed, inside))
    if isinstance(value, MethodType | BuiltinFunctionType):  # of an object, or of a module
        return _is_fixed(value.__self__)
    kind = type(value)
    frozen = is_dataclass(kind) and kind.__dataclass_params__.frozen  # type: ignore[attr-defined]
    of_module = kind.__module__.startswith(_FIXED_MODULES) and not _is_simulation(value)
    return isinstance(value, _FIXED) or frozen or of_module


def _is_simulation(value: Any) -> bool:
    return type(value).__name__ == "MjData"


def _is_tensor(value: Any) -> bool:
    return type(value).__module__ == "torch" and type(value).__name__ == "Tensor"  # without importing torch


def _refuse_shared_memory(layers: list[gym.Env], states: list[dict[str, Any]]) -> None:
    """A deep copy would part two views of one array, or a view of MuJoCo's memory from its simulation."""
    arrays = {
        id(part): (f"{type(layer).__name__}.{name}", part)
        for layer, state in zip(layers, states, strict=True)
        for name, value in state.items()
        for part in _parts(value)
        if isinstance(part, np.ndarray)
    }
    for name, array in arrays.values():
        owner: Any = array
        while isinstance(owner, np.ndarray):
            owner = owner.base
        if type(owner).__name__ == "PyCapsule":
            raise ValueError(f"{name} is a view of a simulation's own memory: let the world keep a copy")
    for (name, array), (other, view) in combinations(arrays.values(), 2):
        if np.may_share_memory(array, view) and np.shares_memory(array, view):
            raise ValueError(f"{name} and {other} share memory: let the world keep copies, or one of them only")


def restore(env: gym.Env, snap: Snapshot) -> None:
    """Put `env` back to where `snap` was taken, there or in another environment made the same way.

    Raises:
        ValueError: the environment is another one than the snapshot's, or is wrapped differently.
    """
    layers = _layers(env)
    if [type(layer) for layer in layers] != [kind for kind, _, _ in snap.layers]:
        kinds = " in ".join(kind.__name__ for kind, _, _ in snap.layers)
        raise ValueError(f"{env} cannot be restored: the snapshot was taken of {kinds}")
    states = copy.deepcopy([state for _, state, _ in snap.layers])
    for layer, state, (_, _, known) in zip(layers, states, snap.layers, strict=True):
        for name in [name for name in vars(layer) if name not in known]:  # it came later
            delattr(layer, name)
        vars(layer).update(state)
    if snap.data is not None:
        world: Any = env.unwrapped
        world.data = copy.copy(snap.data)
        if renderer := getattr(world, "mujoco_renderer", None):
            for view in (renderer, *renderer._viewers.values()):
                view.data = world.data  # else pictures would go on showing the old one


def _layers(env: gym.Env) -> list[gym.Env]:
    layers = [env]
    while isinstance(layers[-1], gym.Wrapper):
        layers.append(layers[-1].env)
    return layers


def monte_carlo_return(
    env: gym.Env,
    snap: Snapshot,
    action: Any,
    policy: Callable[[Any], Any],
    gamma: float,
    max_reward: float,
    tolerance: float = 0.01,
    rng: np.random.Generator | None = None,
) -> float:
    r"""Ground truth for a critic: $\sum_t \gamma^t r_t$ from the saved state if `action` comes first, then `policy`.

    One sample of $Q^\pi(s, a)$; if world and policy are deterministic, the value itself. The world's time limit is
    removed, because a critic that bootstraps through truncation values the endless task; the sum stops when what can
    still come, $\gamma^t r_{\max} / (1 - \gamma)$, is below `tolerance`. `env` is left where the sum stopped.

    Args:
        policy: observation → action, as in `lambda obs: agent.act(obs, explore=False)`.
        max_reward: a bound on |r|.
        rng: the world's chance from here on; None repeats what followed the snapshot.

    Raises:
        ValueError: gamma outside [0, 1), tolerance not positive, a reward above `max_reward`.
    """
    if not (0 <= gamma < 1 and tolerance > 0):
        raise ValueError(f"gamma = {gamma}, tolerance = {tolerance}: they must be in [0, 1) and above 0")
    restore(env, snap)
    if rng is not None:
        env.unwrapped.np_random = rng
    total, discount, terminated = 0.0, 1.0, False
    while not terminated and discount * max_reward / (1 - gamma) >= tolerance:
        obs, reward, terminated, _, _ = env.step(action)
        if abs(float(reward)) > max_reward:
            raise ValueError(f"the world paid {float(reward):g}: max_reward = {max_reward:g} is no bound on |r|")
        total, discount = total + discount * float(reward), discount * gamma
        action = None if terminated else policy(obs)
    return total
