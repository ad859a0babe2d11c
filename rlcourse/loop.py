"""The training loop and the evaluation that every single-environment agent shares."""

from collections.abc import Iterator
from typing import Any, Protocol, runtime_checkable

import gymnasium as gym
import numpy as np
from jaxtyping import Float

from rlcourse.buffers import Transition


@runtime_checkable  # the tests check every annotation while they run
class Agent(Protocol):
    """What the loop asks of an agent; the agent itself decides when to learn."""

    def act(self, obs: Any, explore: bool = True) -> Any: ...

    def observe(self, transition: Transition) -> None: ...

    def learn(self) -> Iterator[dict[str, float]]: ...


def train(env: gym.Env, agent: Agent, steps: int, seed: int) -> Iterator[dict[str, float]]:
    """Act, step, hand over the transition, let the agent learn; `steps` times.

    Yields:
        The metrics of every update, and of every finished episode its `episode_return` (undiscounted) and
        `episode_length`; each with `step`, the number of environment steps so far.
    """
    obs, _ = env.reset(seed=seed)
    episode_return, episode_length = 0.0, 0
    for step in range(1, steps + 1):
        action = agent.act(obs)
        next_obs, reward, terminated, truncated, _ = env.step(action)
        agent.observe(Transition(obs, action, reward, next_obs, terminated, truncated))
        for metrics in agent.learn():
            yield {"step": step, **metrics}
        obs, episode_return, episode_length = next_obs, episode_return + float(reward), episode_length + 1
        if terminated or truncated:
            yield {"step": step, "episode_return": episode_return, "episode_length": episode_length}
            obs, _ = env.reset()
            episode_return, episode_length = 0.0, 0


def evaluate(env: gym.Env, agent: Agent, episodes: int, seed: int) -> Float[np.ndarray, " episodes"]:
    """The undiscounted return of each of `episodes` episodes without exploration; use an environment of its own."""
    returns = np.zeros(episodes)
    for episode in range(episodes):
        obs, _ = env.reset(seed=seed + episode)
        over = False
        while not over:
            obs, reward, terminated, truncated, _ = env.step(agent.act(obs, explore=False))
            returns[episode] += float(reward)
            over = terminated or truncated
    return returns
