r"""Mixture SAC = SAC + several Gaussians: the actor can want several things at once.

Papers: Haarnoja et al. (2018), *Soft actor-critic algorithms and applications* [SAC]; Haarnoja et al. (2018), *Soft
actor-critic: off-policy maximum entropy deep reinforcement learning with a stochastic actor* [SAC1], whose authors'
first code has a mixture of four for their multi-goal world [SAC1 code].

| function | equation |
|---|---|
| `Mixture.log_prob` | of $u$, before it is squashed: $\log \sum_k w_k\, \mathcal{N}(u; \mu_k, \sigma_k^2)$ |
| `squash` | [SAC1] appendix C, eq. 21, for an action of each part |
| `bellman_target` | [SAC] eq. 2, 3 and 5, with two critics |
| `critic_loss` | [SAC] eq. 5 |
| `actor_loss` | [SAC] eq. 9 |
| `temperature_loss` | [SAC] eq. 18 |
| `MixtureSAC.update` | [SAC] algorithm 1, the gradient step |

Reparameterisation cannot pass through the choice of a part. So there is no choice: `squash` draws one action from
*every* part, and an expectation over π is the parts' average with their weights $w_k$, `Mixture.mean_over_parts`. Its
gradient is exact in $w$ and reparameterised within each part. (The authors' first code used the score function.)
"""

import copy
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812  (everyone's name for it)
from gymnasium.spaces import Space
from jaxtyping import Float
from torch import Tensor, nn

from rlcourse.buffers import Batch, ReplayBuffer, Transition
from rlcourse.checkpoints import Stateful
from rlcourse.config import Count, Discount, Finite, Positive, Probability, check
from rlcourse.nets import Categorical, Critics, Gaussian, action_size, generators, mlp, polyak_update


@dataclass(frozen=True)
class Config:
    gamma: Discount = 0.99  # per step [SAC] table 1
    lr: Positive = 3e-4  # of Adam, for actor, critics and temperature [SAC] table 1
    batch_size: Count = 256  # transitions per update [SAC] table 1
    hidden: tuple[Count, ...] = (256, 256)  # units of each hidden layer [SAC] table 1
    buffer_size: Count = 1_000_000  # transitions [SAC] table 1
    learning_starts: Count = 10_000  # steps of random actions before the first update, the authors' code
    tau: Probability = 0.005  # how far the target critics go towards the online ones [SAC] table 1
    critics: Count = 2  # the smallest value is used [SAC] section 6
    temperature: Positive = 1.0  # price of entropy in units of reward; the first one, if `learn_temperature`
    learn_temperature: bool = True  # hold entropy near `target_entropy` [SAC] section 5
    target_entropy: Finite = -1.0  # per number in an action, in nats [SAC] table 1
    components: Count = 4  # Gaussians in the mixture [SAC1 code]; 1 is SAC

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True)
class Mixture:
    r"""$\sum_k w_k\, \mathcal{N}(\mu_k, \sigma_k^2)$: K normal distributions of A numbers, not yet squashed."""

    logits: Float[Tensor, "*B K"]  # of the weights w
    parts: Gaussian  # (*B, K, A)

    def log_prob(self, u: Float[Tensor, "*B M A"]) -> Float[Tensor, "*B M"]:
        """Of M places for each observation, under all parts together."""
        parts = Gaussian(self.parts.mean.unsqueeze(-3), self.parts.log_std.unsqueeze(-3))
        each = parts.log_prob(u.unsqueeze(-2).expand(*u.shape[:-1], *self.parts.mean.shape[-2:]))  # (*B, M, K)
        return (self.logits.log_softmax(-1).unsqueeze(-2) + each).logsumexp(-1)

    def mean_over_parts(self, each: Float[Tensor, "*B K"]) -> Float[Tensor, "*B"]:
        r"""$\sum_k w_k f_k$."""
        return (self.logits.softmax(-1) * each).sum(-1)


class MixtureActor(nn.Module):
    """A random policy: observations `(*B, obs_size)` → a mixture of normal distributions."""

    def __init__(
        self, obs_size: int, action_size: int, hidden: Sequence[int], generator: torch.Generator, components: int
    ) -> None:
        super().__init__()
        self.shape = components, 1 + 2 * action_size
        self.net = mlp([obs_size, *hidden, math.prod(self.shape)], generator)

    def forward(self, obs: Float[Tensor, "*B O"]) -> Mixture:
        logits, rest = self.net(obs).unflatten(-1, self.shape).tensor_split([1], -1)
        mean, log_std = rest.chunk(2, -1)
        return Mixture(logits.squeeze(-1), Gaussian(mean, log_std.clamp(-20, 2)))  # the authors' bounds


def squash(policy: Mixture, normal: Float[Tensor, "*B K A"]) -> tuple[Float[Tensor, "*B K A"], Float[Tensor, "*B K"]]:
    r"""An action of each part, and its log-probability under all: $a_k = \tanh u_k$, $u_k = \mu_k + \sigma_k z_k$.

    $$\log \pi(a_k | s) = \log \sum_j w_j\, \mathcal{N}(u_k; \mu_j, \sigma_j^2) - \sum_i \log(1 - \tanh^2 u_{k,i})$$

    The gradient goes through both: the reparameterisation trick.
    """
    u = policy.parts.mean + policy.parts.log_std.exp() * normal
    # log(1 − tanh² u) = 2 (log 2 − u − log(1 + exp(−2u))), which does not round to log 0
    correction = 2 * (math.log(2) - u - F.softplus(-2 * u))
    return u.tanh(), policy.log_prob(u) - correction.sum(-1)


PolicyFunction = Callable[[Tensor], Mixture]  # observations (B, O) → distributions
QFunction = Callable[[Tensor, Tensor], Tensor]  # observations (B, O), actions (B, A) → action values (N, B)


def of_each(critic: QFunction, obs: Float[Tensor, "B O"], action: Float[Tensor, "B K A"]) -> Float[Tensor, "B K"]:
    r"""$\min_i Q_i$ of several actions for each observation."""
    obs = obs.unsqueeze(1).expand(-1, action.shape[1], -1)
    return critic(obs.flatten(0, 1), action.flatten(0, 1)).amin(0).unflatten(0, action.shape[:2])


def bellman_target(
    batch: Batch, actor: PolicyFunction, target_critic: QFunction, gamma: float, temperature: float, normal: Tensor
) -> Float[Tensor, " B"]:
    r"""$y = r + \gamma\,(1 - \text{terminated}) \sum_k w_k (\min_i Q'_i(s', a'_k) - \alpha \log \pi(a'_k | s'))$.

    Shapes: reward `(B,)`, normal `(B, K, A)` → y `(B,)`.
    """
    policy = actor(batch.next_obs)
    next_action, log_prob = squash(policy, normal)
    next_q = of_each(target_critic, batch.next_obs, next_action) - temperature * log_prob  # (B, K)
    return batch.reward + gamma * (1 - batch.terminated) * policy.mean_over_parts(next_q)


def critic_loss(q: Float[Tensor, "N B"], target: Float[Tensor, " B"]) -> Float[Tensor, ""]:
    r"""$\sum_i \frac{1}{B} \sum_j (y_j - Q_i(s_j, a_j))^2$: all critics are fitted to the same target."""
    return (target - q).square().mean(-1).sum()


def actor_loss(
    batch: Batch, actor: PolicyFunction, critic: QFunction, temperature: float, normal: Tensor
) -> tuple[Float[Tensor, ""], Float[Tensor, " B"]]:
    r"""$\frac{1}{B} \sum_j \sum_k w_k (\alpha \log \pi(a_{jk} | s_j) - \min_i Q_i(s_j, a_{jk}))$; and $\log \pi$."""
    policy = actor(batch.obs)
    action, log_prob = squash(policy, normal)
    loss = policy.mean_over_parts(temperature * log_prob - of_each(critic, batch.obs, action)).mean()
    return loss, policy.mean_over_parts(log_prob)


def temperature_loss(
    log_temperature: Float[Tensor, ""], log_prob: Float[Tensor, " B"], target_entropy: float
) -> Float[Tensor, ""]:
    r"""$-\frac{1}{B} \sum_j \log \alpha\, (\log \pi(a_j | s_j) + \bar{\mathcal{H}})$: too little entropy raises α.

    Like the authors' code we take log α where the paper has α: it stays positive, and its steps are relative ones.
    """
    return -(log_temperature * (log_prob.detach() + target_entropy)).mean()


class MixtureSAC(Stateful):
    """A `loop.Agent` for continuous actions and vector observations.

    Attributes:
        actor: observations `(*B, obs_size)` → mixtures of normal distributions.
        critic, target_critic: observations and actions → `(N, B)`.
        log_temperature: log α.
    """

    def __init__(
        self, obs_size: int, action_space: Space, config: Config, seed: int, replay: ReplayBuffer | None = None
    ) -> None:
        self.config, self.action_size = config, action_size(action_space)
        initialisation, self._exploration, self._sampling, self._policy = generators(seed, 4)
        sizes = obs_size, self.action_size, config.hidden, initialisation
        self.actor, self.critic = MixtureActor(*sizes, config.components), Critics(*sizes, config.critics)
        self.target_critic = copy.deepcopy(self.critic).requires_grad_(False)
        self.actor_optimizer = torch.optim.Adam(self.actor.parameters(), lr=config.lr, fused=True)
        self.critic_optimizer = torch.optim.Adam(self.critic.parameters(), lr=config.lr, fused=True)
        self.log_temperature = torch.tensor(math.log(config.temperature), requires_grad=True)
        self.temperature_optimizer = torch.optim.Adam([self.log_temperature], lr=config.lr, fused=True)
        self.replay = ReplayBuffer(config.buffer_size, (obs_size,), (self.action_size,)) if replay is None else replay
        self.steps = self.updates = 0

    def act(self, obs: Any, explore: bool = True) -> Any:
        config = self.config
        if explore and self.steps < config.learning_starts:
            return torch.empty(self.action_size).uniform_(-1, 1, generator=self._exploration).numpy()
        with torch.inference_mode():
            policy = self.actor(torch.as_tensor(obs, dtype=torch.float32))
            part = Categorical(policy.logits)
            if not explore:
                return policy.parts.mean[part.mode].tanh().numpy()
            return policy.parts.sample(self._exploration)[part.sample(self._exploration)].tanh().numpy()

    def value(self, obs: Any, action: Any) -> float:
        """The first critic's estimate of Q(s, a)."""
        with torch.inference_mode():
            return float(self.critic.first(*(torch.as_tensor(x, dtype=torch.float32)[None] for x in (obs, action))))

    def observe(self, transition: Transition) -> None:
        self.steps += 1
        self.replay.add(transition)

    def learn(self) -> Iterator[dict[str, float]]:
        if self.steps < self.config.learning_starts:
            return
        yield self.update(self.replay.sample(self.config.batch_size, self._sampling))

    def update(self, batch: Batch) -> dict[str, float]:
        config = self.config
        temperature = self.log_temperature.exp().item()
        shape = 2, len(batch.action), config.components, self.action_size
        normal, next_normal = torch.randn(shape, generator=self._policy, dtype=torch.float32)
        with torch.no_grad():
            target = bellman_target(batch, self.actor, self.target_critic, config.gamma, temperature, next_normal)
        q = self.critic(batch.obs, batch.action)
        loss = critic_loss(q, target)
        self.critic_optimizer.zero_grad()
        loss.backward()
        self.critic_optimizer.step()
        self.updates += 1
        metrics = {"critic_loss": loss.item(), "q": q.mean().item()}

        policy_loss, log_prob = actor_loss(batch, self.actor, self.critic, temperature, normal)
        self.actor_optimizer.zero_grad()
        policy_loss.backward(inputs=list(self.actor.parameters()))  # no gradient is stored for the critic
        self.actor_optimizer.step()
        if config.learn_temperature:
            self.temperature_optimizer.zero_grad()
            temperature_loss(self.log_temperature, log_prob, config.target_entropy * self.action_size).backward()
            self.temperature_optimizer.step()
        polyak_update(self.target_critic, self.critic, config.tau)
        entropy = -log_prob.mean().item()
        return metrics | {"actor_loss": policy_loss.item(), "entropy": entropy, "temperature": temperature}
