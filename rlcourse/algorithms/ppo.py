r"""PPO = actor-critic + GAE + many steps on each rollout, by a loss that gains nothing far from the policy that acted.

Papers: Schulman et al. (2017), *Proximal policy optimization algorithms* [PPO]; Schulman et al. (2016), *Generalized
advantage estimation* [GAE]; Andrychowicz et al. (2021), *What matters in on-policy reinforcement learning?* [WM];
Schulman (2020), *Approximating KL divergence* [KL].

| function | equation |
|---|---|
| `returns.gae` | [GAE] eq. 16, [PPO] eq. 11 |
| `ratio` | [PPO] section 3, $r_t(\theta)$ |
| `actor_loss` | [PPO] eq. 7 |
| `kl` | [PPO] eq. 8, the penalty; estimated as $k_3$ in [KL] |
| `critic_loss` | [PPO] eq. 9, $L^{VF}$ |
| `orthogonal_` | [WM] section 3.2, initial policy |
| `RunningNorm` | [WM] section 3.3, observation normalisation |
| `PPO.learn`, `PPO.update` | [PPO] algorithm 1 |
"""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any

import torch
from gymnasium.spaces import Space
from jaxtyping import Float, Int
from torch import Tensor, nn

from rlcourse.buffers import Rollout, Transition
from rlcourse.checkpoints import Stateful
from rlcourse.config import Count, Discount, NonNegative, Positive, Probability, Range, Threshold, check, require
from rlcourse.nets import Policy, generators, mlp
from rlcourse.returns import gae


@dataclass(frozen=True)
class Config:
    gamma: Discount = 0.99  # per step [PPO] table 3
    lr: Positive = 3e-4  # of Adam, for actor and critic [PPO] table 3
    hidden: tuple[Count, ...] = (64, 64)  # units of each hidden layer, in actor and critic [PPO] section 6.1
    num_envs: Count = 1  # environments side by side
    rollout_steps: Count = 2048  # steps in each of them per rollout [PPO] table 3
    gae_lambda: Probability = 0.95  # [PPO] table 3
    epochs: Count = 10  # times each rollout is gone through [PPO] table 3
    batch_size: Count = 64  # steps per minibatch [PPO] table 3
    clip: Threshold = 0.2  # ε: from which change of the ratio on there is no more to gain [PPO] table 1; inf: none
    kl_coefficient: NonNegative = 0.0  # β of the KL penalty, the paper's alternative to clipping
    entropy_coefficient: NonNegative = 0.0  # [PPO] section 6.1: no entropy bonus
    max_grad_norm: Threshold = 0.5  # inf: no clipping
    normalize_advantage: bool = True  # to mean 0 and spread 1 over each rollout
    normalize_obs: bool = True  # to mean 0 and spread 1 over all that was seen [WM]
    orthogonal: bool = True  # orthogonal initial weights, those of the policy's last layer small [WM]

    def __post_init__(self) -> None:
        check(self)
        require("ppo.Config.batch_size", self.batch_size, Range(1, self.num_envs * self.rollout_steps))


class RunningNorm(nn.Module):
    """Standardises observations with the mean and variance of all that `update` was shown."""

    count: Tensor
    mean: Tensor
    variance: Tensor

    def __init__(self, obs_size: int) -> None:
        super().__init__()
        self.register_buffer("count", torch.zeros((), dtype=torch.float32))
        self.register_buffer("mean", torch.zeros(obs_size, dtype=torch.float32))
        self.register_buffer("variance", torch.ones(obs_size, dtype=torch.float32))

    def forward(self, obs: Float[Tensor, "*B O"]) -> Float[Tensor, "*B O"]:
        return ((obs - self.mean) / (self.variance + 1e-8).sqrt()).clamp(-10, 10)

    def update(self, obs: Float[Tensor, "B O"]) -> None:
        share = len(obs) / (self.count + len(obs))
        difference = obs.mean(0) - self.mean
        self.variance += share * (obs.var(0, correction=0) - self.variance + (1 - share) * difference**2)
        self.mean += share * difference
        self.count += len(obs)


def orthogonal_(net: nn.Module, last: float, generator: torch.Generator) -> None:
    """Make each layer's weights orthogonal, scaled by √2, those of the last layer by `last`; biases 0."""
    layers = [layer for layer in net.modules() if isinstance(layer, nn.Linear)]
    for layer in layers:
        nn.init.orthogonal_(layer.weight, last if layer is layers[-1] else 2**0.5, generator)
        nn.init.zeros_(layer.bias)


@dataclass(frozen=True)
class Samples:
    """B steps of a rollout with all that an update needs to know of them."""

    obs: Float[Tensor, "B O"]  # normalised
    action: Int[Tensor, " B"] | Float[Tensor, "B A"]
    old_log_prob: Float[Tensor, " B"]  # under the policy that chose the actions
    advantage: Float[Tensor, " B"]
    target: Float[Tensor, " B"]  # for the critic

    def __getitem__(self, indices: Int[Tensor, " M"]) -> "Samples":
        return Samples(**{field.name: getattr(self, field.name).index_select(0, indices) for field in fields(self)})


def ratio(log_prob: Float[Tensor, " B"], old_log_prob: Float[Tensor, " B"]) -> Float[Tensor, " B"]:
    r"""$r(\theta) = \pi_\theta(a | s) / \pi_{old}(a | s)$: how much likelier the action is now; at most $e^{60}$."""
    return (log_prob - old_log_prob).clamp(max=60).exp()  # infinity times an advantage of 0 would be NaN


def actor_loss(
    log_prob: Float[Tensor, " B"], old_log_prob: Float[Tensor, " B"], advantage: Float[Tensor, " B"], clip: float
) -> Float[Tensor, ""]:
    r"""$-\frac{1}{B} \sum_j \min(r_j \hat A_j,\; \mathrm{clip}(r_j, 1 - \epsilon, 1 + \epsilon)\, \hat A_j)$.

    The minimum gives up the gain beyond the clip, but never hides a loss.
    """
    r = ratio(log_prob, old_log_prob)
    return -torch.minimum(r * advantage, r.clamp(1 - clip, 1 + clip) * advantage).mean()


def kl(log_prob: Float[Tensor, " B"], old_log_prob: Float[Tensor, " B"]) -> Float[Tensor, ""]:
    r"""$\mathrm{KL}(\pi_{old} \| \pi_\theta)$ from the old policy's samples: $\frac{1}{B} \sum_j r_j - 1 - \log r_j$.

    The mean of $-\log r$ alone would do, but this one is never negative, and near the old policy it varies less.
    """
    log_ratio = log_prob - old_log_prob
    return (log_ratio.expm1() - log_ratio).mean()  # expm1(x) = exp(x) − 1, exact near 0


def critic_loss(value: Float[Tensor, " B"], target: Float[Tensor, " B"]) -> Float[Tensor, ""]:
    r"""$\frac{1}{2B} \sum_j (y_j - V(s_j))^2$; the target is a constant, as in DQN."""
    return 0.5 * (target - value).square().mean()


class PPO(Stateful):
    """A `loop.Agent` for discrete or continuous actions and vector observations, in one environment or in many.

    Attributes:
        norm: observations `(*B, obs_size)` → normalised ones, which the two networks take.
        policy: `(*B, obs_size)` → a distribution over actions.
        critic: `(*B, obs_size)` → state values `(*B, 1)`.
    """

    def __init__(self, obs_size: int, action_space: Space, config: Config, seed: int) -> None:
        self.config = config
        initialisation, self._exploration, self._sampling = generators(seed, 3)
        self.policy = Policy(obs_size, action_space, config.hidden, initialisation)
        self.norm = RunningNorm(obs_size)
        self.critic = mlp([obs_size, *config.hidden, 1], initialisation, nn.Tanh)
        if config.orthogonal:
            orthogonal_(self.policy, 0.01, initialisation)
            orthogonal_(self.critic, 1.0, initialisation)
        # Actor and critic share no weights, so one optimiser does what two would do.
        self.optimizer = torch.optim.Adam(self.parameters, lr=config.lr, fused=True)
        self.rollout = Rollout()
        self.updates = 0

    @property
    def parameters(self) -> list[nn.Parameter]:
        return [*self.policy.parameters(), *self.critic.parameters()]

    def act(self, obs: Any, explore: bool = True) -> Any:
        with torch.inference_mode():
            distribution = self.policy(self.norm(torch.as_tensor(obs, dtype=torch.float32)))
            return (distribution.sample(self._exploration) if explore else distribution.mode).numpy()

    def value(self, obs: Any) -> Any:
        """The critic's estimate of V(s)."""
        with torch.inference_mode():
            return self.critic(self.norm(torch.as_tensor(obs, dtype=torch.float32))).squeeze(-1).numpy()

    def observe(self, transition: Transition) -> None:
        self.rollout.add(transition)

    def drop_episode(self) -> None:
        self.rollout.truncate()

    def learn(self) -> Iterator[dict[str, float]]:
        config = self.config
        if len(self.rollout) < config.rollout_steps:
            return
        rollout = self.rollout.take()
        samples = self.prepare(rollout)
        for _ in range(config.epochs):
            yield from self.epoch(samples)
        if config.normalize_obs:  # only now: the rollout was collected with the old one
            self.norm.update(torch.as_tensor(rollout.obs, dtype=torch.float32).flatten(0, 1))

    def prepare(self, rollout: Transition) -> Samples:
        """What stays the same during all updates on a rollout `(T, N, ...)`: advantages, targets, old log-probs."""
        config = self.config
        value, next_value = self.value(rollout.obs), self.value(rollout.next_obs)
        ends = rollout.terminated, rollout.truncated
        advantage = gae(rollout.reward, value, next_value, *ends, config.gamma, config.gae_lambda)
        target = advantage + value
        if config.normalize_advantage:
            advantage = (advantage - advantage.mean()) / (advantage.std() + 1e-8)

        action = torch.as_tensor(rollout.action).flatten(0, 1)
        with torch.no_grad():
            obs = self.norm(torch.as_tensor(rollout.obs, dtype=torch.float32)).flatten(0, 1)
            old_log_prob = self.policy(obs).log_prob(action)
        flat = [torch.as_tensor(array, dtype=torch.float32).flatten() for array in (advantage, target)]
        return Samples(obs, action, old_log_prob, *flat)

    def epoch(self, samples: Samples) -> Iterator[dict[str, float]]:
        """One update with each minibatch, all of them together the whole rollout in random order."""
        for indices in torch.randperm(len(samples.obs), generator=self._sampling).split(self.config.batch_size):
            yield self.update(samples[indices])

    def update(self, samples: Samples) -> dict[str, float]:
        config = self.config
        policy = self.policy(samples.obs)
        change = policy.log_prob(samples.action), samples.old_log_prob
        of_actor = actor_loss(*change, samples.advantage, config.clip)
        of_critic = critic_loss(self.critic(samples.obs).squeeze(-1), samples.target)
        with torch.set_grad_enabled(config.kl_coefficient > 0):  # gradients of 0 would take a quarter of the time
            divergence = kl(*change)
        with torch.set_grad_enabled(config.entropy_coefficient > 0):
            entropy = policy.entropy().mean()
        loss = of_actor + of_critic + config.kl_coefficient * divergence - config.entropy_coefficient * entropy
        self.optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.parameters, config.max_grad_norm)
        self.optimizer.step()

        self.updates += 1
        return {
            "actor_loss": of_actor.item(),
            "critic_loss": of_critic.item(),
            "entropy": entropy.item(),
            "kl": divergence.item(),
            "max_ratio": ratio(*change).max().item(),
        }
