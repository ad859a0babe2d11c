r"""REINFORCE = raise the log-probability of every action taken, in proportion to what came of it.

Papers: Williams (1992), *Simple statistical gradient-following algorithms* [W]; Sutton & Barto (2018), *Reinforcement
learning*, chapter 13 [SB]; Greensmith et al. (2004), *Variance reduction techniques for gradient estimates* [G]; Kool
et al. (2019), *Buy 4 REINFORCE samples, get a baseline for free!* [K], for the leave-one-out baseline.

| function | equation |
|---|---|
| `trajectory_returns` | [SB] section 13.3: $G_0$ for every step, or with causality $G_t$ |
| `baseline` | [SB] section 13.4; leave-one-out: [K] |
| `actor_loss` | [W] theorem 1 as a loss whose gradient is the estimate |
| `REINFORCE.update` | [SB] section 13.3, box, for a batch of episodes |

We leave out the factor $\gamma^t$ with which the gradient of the discounted return weighs late steps, as nearly
everybody does: the policy should act well at step 400 too.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from gymnasium.spaces import Space
from jaxtyping import Float
from torch import Tensor

from rlcourse.buffers import Rollout, Transition
from rlcourse.checkpoints import Stateful
from rlcourse.config import Count, Discount, Positive, Range, check, require
from rlcourse.nets import Policy, generators
from rlcourse.returns import discounted_returns

Baseline = Literal["none", "mean", "leave_one_out"]


@dataclass(frozen=True)
class Config:
    # Tuned on CartPole-v1.
    gamma: Discount = 0.99  # per step
    lr: Positive = 1e-2  # of Adam
    hidden: tuple[Count, ...] = (64,)  # units of each hidden layer
    batch_size: Count = 8  # whole episodes per update
    causality: bool = True  # an action is credited only with the rewards that follow it
    baseline: Baseline = "leave_one_out"  # what an episode's returns are compared with

    def __post_init__(self) -> None:
        check(self)
        if self.baseline == "leave_one_out":
            require("reinforce.Config.batch_size (others are averaged)", self.batch_size, Range(2))


def trajectory_returns(reward: Float[np.ndarray, "T E"], gamma: float, causality: bool) -> Float[np.ndarray, "T E"]:
    r"""What each step of E episodes is credited with: $G_0$ of its episode, or with causality only $G_t$.

    Shapes: reward `(T, E)`, 0 after an episode's end → `(T, E)`.
    """
    to_go = discounted_returns(reward, gamma)
    return to_go if causality else np.broadcast_to(to_go[0], to_go.shape)


def baseline(returns: Float[np.ndarray, "T E"], kind: Baseline) -> Float[np.ndarray, "T E"]:
    r"""What to expect at step t: nothing, the mean over all E episodes, or over all but the episode itself.

    The last depends on none of the episode's own actions, so the estimate stays unbiased. The mean contains the
    episode's own return, which shrinks the gradient by the factor $1 - 1/E$.

    Raises:
        ValueError: a single episode, which has no others.
    """
    if kind == "none":
        return np.zeros_like(returns)
    episodes = returns.shape[1]
    total = returns.sum(1, keepdims=True)
    if kind == "mean":
        return np.broadcast_to(total / episodes, returns.shape)
    require("reinforce.baseline: number of episodes", episodes, Range(2))
    return (total - returns) / (episodes - 1)


def actor_loss(log_prob: Float[Tensor, " B"], advantage: Float[Tensor, " B"], episodes: int) -> Float[Tensor, ""]:
    r"""$-\frac{1}{E} \sum_j \log \pi(a_j | s_j)\, \hat A_j$ over all B steps of E episodes; $\hat A$ is a constant."""
    log_prob = torch.where(advantage == 0, 0.0, log_prob)  # infinity times an advantage of 0 would be NaN
    return -(log_prob * advantage).sum() / episodes


class REINFORCE(Stateful):
    """A `loop.Agent` for discrete or continuous actions and vector observations.

    Attributes:
        policy: observations `(*B, obs_size)` → a distribution over actions.
    """

    def __init__(self, obs_size: int, action_space: Space, config: Config, seed: int) -> None:
        self.config = config
        initialisation, self._exploration = generators(seed, 2)
        self.policy = Policy(obs_size, action_space, config.hidden, initialisation)
        self.optimizer = torch.optim.Adam(self.policy.parameters(), lr=config.lr, fused=True)
        self.rollout = Rollout()
        self.episodes = self.updates = 0

    def act(self, obs: Any, explore: bool = True) -> Any:
        with torch.inference_mode():
            distribution = self.policy(torch.as_tensor(obs, dtype=torch.float32))
            return (distribution.sample(self._exploration) if explore else distribution.mode).numpy()

    def observe(self, transition: Transition) -> None:
        self.rollout.add(transition)
        self.episodes += bool(transition.terminated or transition.truncated)

    def drop_episode(self) -> None:
        self.rollout.drop_episode()

    def learn(self) -> Iterator[dict[str, float]]:
        if self.episodes < self.config.batch_size:
            return
        self.episodes = 0
        yield self.update(self.rollout.take())

    def update(self, rollout: Transition) -> dict[str, float]:
        config = self.config
        reward, taken = _by_episode(rollout)
        returns = trajectory_returns(reward, config.gamma, config.causality)
        advantage = torch.as_tensor((returns - baseline(returns, config.baseline)).T[taken.T], dtype=torch.float32)

        policy = self.policy(torch.as_tensor(rollout.obs, dtype=torch.float32))
        log_prob = policy.log_prob(torch.as_tensor(rollout.action))
        loss = actor_loss(log_prob, advantage, reward.shape[1])
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()

        self.updates += 1
        return {"actor_loss": loss.item(), "entropy": policy.entropy().mean().item()}


def _by_episode(rollout: Transition) -> tuple[Float[np.ndarray, "T E"], np.ndarray]:
    """The rewards of episodes that follow each other, `(B,)`, side by side; and which of the places are taken."""
    ends = np.flatnonzero(rollout.terminated | rollout.truncated) + 1
    lengths = np.diff(ends, prepend=0)
    taken = np.arange(lengths.max())[:, None] < lengths
    reward = np.zeros(taken.shape)
    reward.T[taken.T] = rollout.reward
    return reward, taken
