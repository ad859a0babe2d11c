"""Two small experiments for those who begin: what a memory is good for, and what a model is.

Sutton and Barto (2018), *Reinforcement Learning: An Introduction*, sections 8.2 (Dyna) and 17.3 (states from
observations).
"""

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Box, flatdim
from gymnasium.wrappers import FlattenObservation, FrameStackObservation, TransformObservation
from jaxtyping import Float, Int

from rlcourse.planning import Table


def without_velocities(env: gym.Env, remembered: int) -> gym.Env:
    """CartPole that shows where cart and pole are, not how they move: the last `remembered` of these observations."""
    seen = TransformObservation(env, lambda obs: obs[[0, 2]], Box(-np.inf, np.inf, (2,)))
    return FlattenObservation(FrameStackObservation(seen, remembered))


def balanced(env: gym.Env, weights: Float[np.ndarray, " numbers"], seed: int) -> int:
    """Steps of one episode of the policy that pushes right where weights · observation is above 0."""
    obs, over, steps = env.reset(seed=seed)[0], False, 0
    while not over:
        obs, _, terminated, truncated, _ = env.step(int(weights @ obs > 0))
        over, steps = terminated or truncated, steps + 1
    return steps


def policy_search(env: gym.Env, rounds: int, seed: int) -> Float[np.ndarray, " numbers"]:
    """Weights found by the cross-entropy method: sixteen draws a round, the next round around the best four."""
    rng = np.random.default_rng(seed)
    assert env.observation_space.shape is not None
    mean, spread = np.zeros(env.observation_space.shape), np.ones(env.observation_space.shape)
    for _ in range(rounds):
        draws = mean + spread * rng.normal(size=(16, *mean.shape))
        steps = [balanced(env, weights, seed=int(rng.integers(2**31))) for weights in draws]
        best = draws[np.argsort(steps)[-4:]]
        mean, spread = best.mean(0), best.std(0) + 0.05
    return mean


def dyna(env: gym.Env, planned: int, episodes: int, seed: int) -> tuple[Table, Int[np.ndarray, " episodes"]]:
    """Q-learning that makes `planned` more updates after each step, from a model: what it has seen happen before.

    Dyna-Q, for a world in which the same action always has the same outcome. Returns Q and the length of each episode.
    """
    rng, model = np.random.default_rng(seed), {}
    q = np.zeros((flatdim(env.observation_space), flatdim(env.action_space)))
    lengths = np.zeros(episodes, int)
    for episode in range(episodes):
        state, over = env.reset(seed=seed + episode)[0], False
        while not over:
            best = np.flatnonzero(q[state] == q[state].max())
            action = rng.choice(best) if rng.random() > 0.1 else rng.integers(q.shape[1])
            next_state, reward, terminated, truncated, _ = env.step(action)
            model[state, action] = float(reward), next_state, terminated
            past = list(model)
            for s, a in [(state, action), *(past[k] for k in rng.integers(len(past), size=planned))]:
                r, after, ends = model[s, a]
                q[s, a] += 0.5 * (r + 0.95 * (1 - ends) * q[after].max() - q[s, a])
            state, over, lengths[episode] = next_state, terminated or truncated, lengths[episode] + 1
    return q, lengths
