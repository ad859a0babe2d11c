r"""Advantage actor-critic = REINFORCE + a critic that says what to expect, and need not wait for an episode's end.

Papers: Sutton & Barto (2018), *Reinforcement learning*, section 13.5 [SB]; Mnih et al. (2016), *Asynchronous methods
for deep reinforcement learning* [A3C], whose synchronous form, many environments side by side, this is.

| function | equation |
|---|---|
| `returns.n_step_targets` | [A3C] section 4, the target for V: Monte Carlo, TD, and all between |
| `actor_loss` | [A3C] section 4, the policy gradient, without its entropy term |
| `critic_loss` | [A3C] algorithm S3, $(R - V(s))^2$ |
| `ActorCritic.update` | [A3C] algorithm S3, the inner loop's second half |
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from gymnasium.spaces import Space
from jaxtyping import Float
from torch import Tensor, nn

from rlcourse.buffers import Rollout, Transition
from rlcourse.checkpoints import Stateful
from rlcourse.config import Count, Discount, NonNegative, Positive, Range, Threshold, check, require
from rlcourse.nets import Policy, generators, mlp
from rlcourse.returns import n_step_targets


@dataclass(frozen=True)
class Config:
    # Tuned on CartPole-v1 where no source is named.
    gamma: Discount = 0.99  # per step [A3C] section 8
    lr: Positive = 2e-3  # of Adam, for actor and critic
    hidden: tuple[Count, ...] = (64, 64)  # units of each hidden layer, in actor and critic
    num_envs: Count = 8  # environments side by side; [A3C] section 5: 16 threads
    rollout_steps: Count = 16  # steps in each of them per update
    n_step: Count = 16  # rewards before bootstrapping; 1 is TD, `rollout_steps` as near to Monte Carlo as data allow
    entropy_coefficient: NonNegative = 0.01  # [A3C] section 8
    max_grad_norm: Threshold = 0.5  # inf: no clipping

    def __post_init__(self) -> None:
        check(self)
        require("actor_critic.Config.n_step", self.n_step, Range(1, self.rollout_steps))


def actor_loss(log_prob: Float[Tensor, "*B"], advantage: Float[Tensor, "*B"]) -> Float[Tensor, ""]:
    r"""$-\frac{1}{B} \sum_j \log \pi(a_j | s_j)\, \hat A_j$ over all B steps; $\hat A$ is a constant."""
    log_prob = torch.where(advantage == 0, 0.0, log_prob)  # infinity times an advantage of 0 would be NaN
    return -(log_prob * advantage).mean()


def critic_loss(value: Float[Tensor, "*B"], target: Float[Tensor, "*B"]) -> Float[Tensor, ""]:
    r"""$\frac{1}{2B} \sum_j (y_j - V(s_j))^2$; the target is a constant, as in DQN."""
    return 0.5 * (target - value).square().mean()


class ActorCritic(Stateful):
    """A `loop.Agent` for discrete or continuous actions and vector observations, in many environments side by side.

    Attributes:
        policy: observations `(*B, obs_size)` → a distribution over actions.
        critic: observations `(*B, obs_size)` → state values `(*B, 1)`.
    """

    def __init__(self, obs_size: int, action_space: Space, config: Config, seed: int) -> None:
        self.config = config
        initialisation, self._exploration = generators(seed, 2)
        self.policy = Policy(obs_size, action_space, config.hidden, initialisation)
        self.critic = mlp([obs_size, *config.hidden, 1], initialisation, nn.Tanh)
        # Actor and critic share no weights, so one optimiser does what two would do.
        self.optimizer = torch.optim.Adam(self.parameters, lr=config.lr, fused=True)
        self.rollout = Rollout()
        self.updates = 0

    @property
    def parameters(self) -> list[nn.Parameter]:
        return [*self.policy.parameters(), *self.critic.parameters()]

    def act(self, obs: Any, explore: bool = True) -> Any:
        with torch.inference_mode():
            distribution = self.policy(torch.as_tensor(obs, dtype=torch.float32))
            return (distribution.sample(self._exploration) if explore else distribution.mode).numpy()

    def value(self, obs: Any) -> Any:
        """The critic's estimate of V(s)."""
        with torch.inference_mode():
            return self.critic(torch.as_tensor(obs, dtype=torch.float32)).squeeze(-1).numpy()

    def observe(self, transition: Transition) -> None:
        self.rollout.add(transition)

    def drop_episode(self) -> None:
        self.rollout.truncate()

    def learn(self) -> Iterator[dict[str, float]]:
        if len(self.rollout) < self.config.rollout_steps:
            return
        yield self.update(self.rollout.take())

    def update(self, rollout: Transition) -> dict[str, float]:
        config = self.config
        ends = rollout.terminated, rollout.truncated
        target = torch.as_tensor(
            n_step_targets(rollout.reward, self.value(rollout.next_obs), *ends, config.gamma, config.n_step),
            dtype=torch.float32,
        )

        obs = torch.as_tensor(rollout.obs, dtype=torch.float32)
        value = self.critic(obs).squeeze(-1)
        advantage = target - value.detach()
        policy = self.policy(obs)
        log_prob, entropy = policy.log_prob(torch.as_tensor(rollout.action)), policy.entropy().mean()
        losses = actor_loss(log_prob, advantage), critic_loss(value, target)
        loss = sum(losses) - config.entropy_coefficient * entropy
        self.optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.parameters, config.max_grad_norm)
        self.optimizer.step()

        self.updates += 1
        return {"actor_loss": losses[0].item(), "critic_loss": losses[1].item(), "entropy": entropy.item()}
