r"""What rewards and values say an observation, or an action, is worth: returns, n-step targets, generalised advantages.

Papers: Sutton & Barto (2018), *Reinforcement learning* [SB]; Schulman et al. (2016), *High-dimensional continuous
control using generalized advantage estimation* [GAE].

Arrays are `(T,)`, or `(T, N)` for N environments side by side; row t is step t. `next_value` is the value of the
observation that really followed, at an episode's end the last one, not the next episode's first. What comes after
step t counts as

- nothing, if the step `terminated`: the world is over;
- `next_value`, if it was `truncated`, or if it is the last row: the world goes on, only our record of it does not;
- what the next row says, else.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Real, Shaped

from rlcourse import inputs

PerStep = Real[Any, "T *N"] | Sequence | float  # a number is the same at every step
Flags = Shaped[Any, "T *N"] | Sequence  # booleans, or 0 and 1 of any type
Result = Float[np.ndarray, "T *N"]


def discounted_returns(rewards: PerStep, gamma: float) -> Result:
    r"""The return from every step of one whole episode, $G_t = r_t + \gamma G_{t+1}$ ([SB] eq. 3.9)."""
    rewards = np.asarray(rewards)
    return _accumulate(rewards, np.zeros(rewards.shape, bool), gamma)


def monte_carlo_targets(
    reward: PerStep, next_value: PerStep, terminated: Flags, truncated: Flags, gamma: float
) -> Result:
    r"""$G_t = r_t + \gamma G_{t+1}$ for rows that hold many episodes; a value stands in where the record is cut."""
    reward, next_value, over = _record(reward, next_value, terminated, truncated)
    return _accumulate(reward + gamma * np.where(over, next_value, 0.0), over, gamma)


def n_step_targets(
    reward: PerStep, next_value: PerStep, terminated: Flags, truncated: Flags, gamma: float, n: int
) -> Result:
    r"""$G_{t:t+n} = r_t + \gamma r_{t+1} + \dots + \gamma^{n-1} r_{t+n-1} + \gamma^n V(s_{t+n})$ ([SB] eq. 7.1).

    n = 1 is the TD target; from n = T on it equals `monte_carlo_targets`. Where an episode or the record ends earlier,
    it spans the steps that there are.
    """
    if n < 1:
        raise ValueError(f"n = {n} is out of range: it must be in [1, inf)")
    reward, next_value, over = _record(reward, next_value, terminated, truncated)
    one_step = reward + gamma * next_value
    target = one_step
    for _ in range(min(n, len(reward)) - 1):  # from k steps to k + 1: one more reward in front
        target = np.concatenate([np.where(over[:-1], one_step[:-1], reward[:-1] + gamma * target[1:]), one_step[-1:]])
    return target


def gae(
    reward: PerStep,
    value: PerStep,
    next_value: PerStep,
    terminated: Flags,
    truncated: Flags,
    gamma: float,
    gae_lambda: float,
) -> Result:
    r"""$\hat A_t = \delta_t + \gamma \lambda \hat A_{t+1}$ with $\delta_t = r_t + \gamma V(s_{t+1}) - V(s_t)$.

    [GAE] eq. 16; V counts as 0 after termination.
    λ = 0 is the TD error, λ = 1 the Monte-Carlo target minus V. $\hat A_t + V(s_t)$ is the λ-return, a target for V.
    """
    reward, next_value, over = _record(reward, next_value, terminated, truncated)
    return _accumulate(reward + gamma * next_value - _checked("value", value, reward), over, gamma * gae_lambda)


def _record(
    reward: PerStep, next_value: PerStep, terminated: Flags, truncated: Flags
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rewards, values of what follows (0 after a termination), and where the next row is not what followed.

    Raises:
        ValueError: flags that are neither true nor false; not one number and one flag per step.
    """
    reward = np.asarray(reward)
    terminated, truncated = _checked("terminated", terminated, reward), _checked("truncated", truncated, reward)
    for name, flag in (("terminated", terminated), ("truncated", truncated)):
        inputs.check_flags(name, flag)
    over = np.logical_or(terminated, truncated)
    over[-1:] = True
    # Replaced, not multiplied by 0: what a network says of a terminal state may be infinite.
    return reward, np.where(terminated, 0.0, _checked("next_value", next_value, reward).astype(float)), over


def _checked(name: str, values: Any, reward: np.ndarray) -> np.ndarray:
    array = np.asarray(values)
    if array.shape not in ((), reward.shape):  # (T, 1) against (T,) would broadcast to (T, T)
        raise ValueError(f"{name} has shape {array.shape}, reward has {reward.shape}: give one for each step")
    return np.broadcast_to(array, reward.shape)


def _accumulate(x: np.ndarray, over: np.ndarray, factor: float) -> np.ndarray:
    """$y_t = x_t + factor · y_{t+1}$, and $y_t = x_t$ where `over`."""
    y = np.array(x, np.float64)
    for t in reversed(range(len(y) - 1)):
        y[t] += factor * ~over[t] * y[t + 1]
    return y
