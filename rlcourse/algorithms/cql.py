r"""CQL = SAC whose critics are pushed down at all actions and up at those of the data.

Papers: Kumar et al. (2020), *Conservative Q-learning for offline reinforcement learning* [CQL], with its authors' code
[CQL code]; Haarnoja et al. (2018), *Soft actor-critic algorithms and applications* [SAC]; Haarnoja et al. (2018), *Soft
actor-critic: off-policy maximum entropy deep reinforcement learning with a stochastic actor* [SAC1].

| function | equation |
|---|---|
| `squash` | [SAC1] appendix C, eq. 21 |
| `bellman_target` | [SAC] eq. 2, 3 and 5, with two critics |
| `critic_loss` | [SAC] eq. 5 |
| `soft_maximum` | [CQL] appendix F, log Σ exp Q by importance sampling |
| `conservative_loss` | [CQL] eq. 4, the factor of α |
| `actor_loss` | [SAC] eq. 9 |
| `temperature_loss` | [SAC] eq. 18 |
| `CQL.update` | [CQL] algorithm 1 |

The simplest continuous form: CQL(H) with a fixed α, called `conservatism` here. With `conservatism=0` it is SAC. Unlike
the authors' code we draw no third set of actions, from the policy at the next state, and keep SAC's entropy in the
target.
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
from rlcourse.config import Count, Discount, Finite, NonNegative, Positive, Probability, check
from rlcourse.nets import Critics, Gaussian, action_size, generators, mlp, polyak_update


@dataclass(frozen=True)
class Config:
    gamma: Discount = 0.99  # per step [SAC] table 1
    lr: Positive = 3e-4  # of Adam, for actor, critics and temperature; [CQL]: 3e-5 to 1e-4 for the actor
    batch_size: Count = 256  # transitions per update [CQL code]
    hidden: tuple[Count, ...] = (256, 256)  # units of each hidden layer [SAC] table 1; [CQL code]: three layers
    buffer_size: Count = 1_000_000  # transitions; offline the dataset takes its place
    learning_starts: Count = 10_000  # steps of random actions before the first update; only online
    tau: Probability = 0.005  # how far the target critics go towards the online ones [SAC] table 1
    critics: Count = 2  # the smallest value is used [SAC] section 6
    conservatism: NonNegative = 5.0  # α, of the conservative term; 0 is SAC [CQL code]
    sampled_actions: Count = 10  # per state, from each of the two distributions [CQL] appendix F
    temperature: Positive = 1.0  # price of entropy in units of reward; the first one, if `learn_temperature`
    learn_temperature: bool = True  # hold entropy near `target_entropy` [SAC] section 5
    target_entropy: Finite = -1.0  # per number in an action, in nats [SAC] table 1

    def __post_init__(self) -> None:
        check(self)


class StochasticActor(nn.Module):
    """A random policy: observations `(*B, obs_size)` → a normal distribution, to be squashed into [−1, 1]."""

    def __init__(self, obs_size: int, action_size: int, hidden: Sequence[int], generator: torch.Generator) -> None:
        super().__init__()
        self.net = mlp([obs_size, *hidden, 2 * action_size], generator)

    def forward(self, obs: Float[Tensor, "*B O"]) -> Gaussian:
        mean, log_std = self.net(obs).chunk(2, -1)
        return Gaussian(mean, log_std.clamp(-20, 2))  # the authors' bounds


def squash(policy: Gaussian, normal: Float[Tensor, "*B A"]) -> tuple[Float[Tensor, "*B A"], Float[Tensor, "*B"]]:
    r"""An action and its log-probability: $a = \tanh u$, $u = \mu + \sigma z$, with standard normal z.

    $$\log \pi(a | s) = \log \mathcal{N}(u; \mu, \sigma^2) - \sum_i \log(1 - \tanh^2 u_i)$$

    The gradient goes through both: the reparameterisation trick.
    """
    u = policy.mean + policy.log_std.exp() * normal
    # log(1 − tanh² u) = 2 (log 2 − u − log(1 + exp(−2u))), which does not round to log 0
    correction = 2 * (math.log(2) - u - F.softplus(-2 * u))
    return u.tanh(), policy.log_prob(u) - correction.sum(-1)


PolicyFunction = Callable[[Tensor], Gaussian]  # observations (B, O) → distributions
QFunction = Callable[[Tensor, Tensor], Tensor]  # observations (B, O), actions (B, A) → action values (N, B)


def bellman_target(
    batch: Batch, actor: PolicyFunction, target_critic: QFunction, gamma: float, temperature: float, normal: Tensor
) -> Float[Tensor, " B"]:
    r"""$y = r + \gamma\,(1 - \text{terminated}) (\min_i Q'_i(s', a') - \alpha \log \pi(a' | s'))$, $a' \sim \pi$.

    Shapes: reward `(B,)`, normal `(B, A)` → y `(B,)`.
    """
    next_action, log_prob = squash(actor(batch.next_obs), normal)
    next_q = target_critic(batch.next_obs, next_action).amin(0) - temperature * log_prob  # (N, B) → (B,)
    return batch.reward + gamma * (1 - batch.terminated) * next_q


def critic_loss(q: Float[Tensor, "N B"], target: Float[Tensor, " B"]) -> Float[Tensor, ""]:
    r"""$\sum_i \frac{1}{B} \sum_j (y_j - Q_i(s_j, a_j))^2$: all critics are fitted to the same target."""
    return (target - q).square().mean(-1).sum()


def soft_maximum(q: Float[Tensor, "N B K"], log_density: Float[Tensor, "B K"]) -> Float[Tensor, "N B"]:
    r"""$\log \frac{1}{K} \sum_k e^{Q(s, a_k) - \log p(a_k)}$ with $a_k \sim p$, for $\log \int e^{Q(s, a)} da$."""
    return (q - log_density).logsumexp(-1) - math.log(q.shape[-1])


def conservative_loss(
    batch: Batch,
    actor: PolicyFunction,
    critic: QFunction,
    uniform: Float[Tensor, "K B A"],
    normal: Float[Tensor, "K B A"],
) -> Float[Tensor, ""]:
    r"""$\sum_i \frac{1}{B} \sum_j \log \int e^{Q_i(s_j, a)} da - Q_i(s_j, a_j)$: all actions down, the data's up.

    Half of the actions that the integral is estimated from are `uniform` in [−1, 1], with density $2^{-A}$, half come
    from the actor, which gets no gradient.
    """
    with torch.no_grad():
        drawn, log_prob = squash(actor(batch.obs), normal)
    action = torch.cat([uniform, drawn])  # (2K, B, A)
    log_density = torch.cat([torch.full_like(log_prob, -math.log(2) * action.shape[-1]), log_prob])
    obs = batch.obs.expand(len(action), -1, -1)
    q = critic(obs.flatten(0, 1), action.flatten(0, 1)).unflatten(-1, action.shape[:2])  # (N, 2K, B)
    return (soft_maximum(q.mT, log_density.T) - critic(batch.obs, batch.action)).mean(-1).sum()


def actor_loss(
    batch: Batch, actor: PolicyFunction, critic: QFunction, temperature: float, normal: Tensor
) -> tuple[Float[Tensor, ""], Float[Tensor, " B"]]:
    r"""$\frac{1}{B} \sum_j \alpha \log \pi(a_j | s_j) - \min_i Q_i(s_j, a_j)$ with $a_j \sim \pi$; and $\log \pi$."""
    action, log_prob = squash(actor(batch.obs), normal)
    return (temperature * log_prob - critic(batch.obs, action).amin(0)).mean(), log_prob


def temperature_loss(
    log_temperature: Float[Tensor, ""], log_prob: Float[Tensor, " B"], target_entropy: float
) -> Float[Tensor, ""]:
    r"""$-\frac{1}{B} \sum_j \log \alpha\, (\log \pi(a_j | s_j) + \bar{\mathcal{H}})$: too little entropy raises α.

    Like the authors' code we take log α where the paper has α: it stays positive, and its steps are relative ones.
    """
    return -(log_temperature * (log_prob.detach() + target_entropy)).mean()


class CQL(Stateful):
    """A `loop.Agent` for continuous actions and vector observations, meant for `loop.train_offline`.

    Attributes:
        actor: observations `(*B, obs_size)` → normal distributions.
        critic, target_critic: observations and actions → `(N, B)`.
        log_temperature: log α.
    """

    def __init__(
        self, obs_size: int, action_space: Space, config: Config, seed: int, replay: ReplayBuffer | None = None
    ) -> None:
        self.config, self.action_size = config, action_size(action_space)
        initialisation, self._exploration, self._sampling, self._policy, self._conservative = generators(seed, 5)
        sizes = obs_size, self.action_size, config.hidden, initialisation
        self.actor, self.critic = StochasticActor(*sizes), Critics(*sizes, config.critics)
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
            if not explore:
                return policy.mean.tanh().numpy()
            return policy.sample(self._exploration).tanh().numpy()

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
        normal, next_normal = torch.randn(2, *batch.action.shape, generator=self._policy, dtype=torch.float32)
        with torch.no_grad():
            target = bellman_target(batch, self.actor, self.target_critic, config.gamma, temperature, next_normal)
        q = self.critic(batch.obs, batch.action)
        loss = critic_loss(q, target)
        metrics = {"critic_loss": loss.item(), "q": q.mean().item()}
        if config.conservatism:
            shape = config.sampled_actions, *batch.action.shape
            uniform = torch.empty(shape, dtype=torch.float32).uniform_(-1, 1, generator=self._conservative)
            drawn = torch.randn(shape, generator=self._conservative, dtype=torch.float32)
            gap = conservative_loss(batch, self.actor, self.critic, uniform, drawn)
            loss = loss + config.conservatism * gap
            metrics |= {"conservative_loss": gap.item()}
        self.critic_optimizer.zero_grad()
        loss.backward()
        self.critic_optimizer.step()
        self.updates += 1

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
