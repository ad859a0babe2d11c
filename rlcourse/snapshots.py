"""Saved states of environments, and from them the ground truth for a critic."""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np


@dataclass(frozen=True)
class Snapshot:
    """The state of an environment in mid-episode, made by `snapshot`; good for any number of `restore`s.

    Attributes:
        layers: for each wrapper from the outside in, then the environment, its type and the state it holds.
        data: MuJoCo's own state, or None.
    """

    layers: tuple[tuple[type, dict[str, Any]], ...]
    data: Any


_STATE = (int, float, tuple, list, np.generic, np.ndarray, np.random.Generator, type(None))


def snapshot(env: gym.Env) -> Snapshot:
    """Remember exactly where `env` is: physics, random generator, elapsed steps.

    Exact for classic control, toy text, MuJoCo and the course's own environments, under wrappers whose state is
    numbers, lists or arrays (`TimeLimit`, `OrderEnforcing`). Not for wrappers that keep other objects, like frames.
    """
    # Models, spaces, renderers and tables are no state: what changes during an episode is plain values. MuJoCo's
    # state is larger than positions and velocities (set_state is inexact on Ant), and deepcopy misses it silently.
    layers = tuple(
        (type(layer), {k: copy.deepcopy(v) for k, v in vars(layer).items() if isinstance(v, _STATE)})
        for layer in _layers(env)
    )
    return Snapshot(layers, copy.copy(getattr(env.unwrapped, "data", None)))


def restore(env: gym.Env, snap: Snapshot) -> None:
    """Put `env` back to where `snap` was taken, there or in another environment made the same way.

    Raises:
        ValueError: the environment is another one than the snapshot's, or is wrapped differently.
    """
    layers = _layers(env)
    if [type(layer) for layer in layers] != [kind for kind, _ in snap.layers]:
        names = " in ".join(kind.__name__ for kind, _ in snap.layers)
        raise ValueError(f"{env} cannot be restored: the snapshot was taken of {names}")
    for layer, (_, state) in zip(layers, snap.layers, strict=True):
        vars(layer).update(copy.deepcopy(state))
    if snap.data is not None:
        world: Any = env.unwrapped
        world.data = copy.copy(snap.data)
        for view in (world.mujoco_renderer, *world.mujoco_renderer._viewers.values()):
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
