r"""EDAC = SAC with many critics, which are kept different; with `diversity=0` it is SAC-N.

Papers: An et al. (2021), *Uncertainty-based offline reinforcement learning with diversified Q-ensemble* [EDAC], which
also has SAC-N; Haarnoja et al. (2018), *Soft actor-critic algorithms and applications* [SAC]; Haarnoja et al. (2018),
*Soft actor-critic: off-policy maximum entropy deep reinforcement learning with a stochastic actor* [SAC1].

| function | equation |
|---|---|
| `squash` | [SAC1] appendix C, eq. 21 |
| `bellman_target` | [EDAC] eq. 2, with N critics |
| `critic_loss` | [SAC] eq. 5 |
| `similarity` | [EDAC] eq. 4, $J_{ES}$ |
| `actor_loss` | [EDAC] eq. 3 |
| `temperature_loss` | [SAC] eq. 18 |
| `EDAC.update` | [EDAC] algorithm 1 |

Critics agree where there are data and disagree elsewhere: the smallest of N values is low where nobody knows.
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
from rlcourse.config import Count, Discount, Finite, NonNegative, Positive, Probability, Range, check, require
from rlcourse.nets import Gaussian, action_size, generators, mlp, parallel, polyak_update


@dataclass(frozen=True)
class Config:
    gamma: Discount = 0.99  # per step [SAC] table 1
    lr: Positive = 3e-4  # of Adam, for actor, critics and temperature [EDAC] appendix
    batch_size: Count = 256  # transitions per update [EDAC] appendix
    hidden: tuple[Count, ...] = (256, 256)  # units of each hidden layer; the authors: three layers
    buffer_size: Count = 1_000_000  # transitions; offline the dataset takes its place
    learning_starts: Count = 10_000  # steps of random actions before the first update; only online
    tau: Probability = 0.005  # how far the target critics go towards the online ones [SAC] table 1
    critics: Count = 10  # N, the smallest value is used; [EDAC]: 10 or 50, without diversity up to 500
    diversity: NonNegative = 1.0  # η, of the term that keeps critics different [EDAC]: 0, 1 or 5; 0 is SAC-N
    temperature: Positive = 1.0  # price of entropy in units of reward; the first one, if `learn_temperature`
    learn_temperature: bool = True  # hold entropy near `target_entropy` [SAC] section 5
    target_entropy: Finite = -1.0  # per number in an action, in nats [SAC] table 1

    def __post_init__(self) -> None:
        check(self)
        if self.diversity:
            require("edac.Config.critics", self.critics, Range(2))  # a single one is like no other


class Ensemble(nn.Module):
    """N Q-functions, initialised like `Critics`: observations `(B, O)` and actions `(B, A)` → `(N, B)`.

    Each may be asked about actions of its own, `(N, B, A)`, so that one backward pass finds all their slopes.
    """

    def __init__(
        self, obs_size: int, action_size: int, hidden: Sequence[int], generator: torch.Generator, count: int
    ) -> None:
        super().__init__()
        self.layers = parallel([[*mlp([obs_size + action_size, *hidden, 1], generator)] for _ in range(count)])
        self.count = count

    def forward(self, obs: Float[Tensor, "B O"], action: Float[Tensor, "*N B A"]) -> Float[Tensor, "M B"]:
        x = torch.cat([each.expand(self.count, *each.shape[-2:]) for each in (obs, action)], -1)
        for depth, layer in enumerate(self.layers):
            x = layer(x.relu() if depth else x)
        return x.squeeze(-1)

    def slopes(self, obs: Float[Tensor, "B O"], action: Float[Tensor, "B A"]) -> Float[Tensor, "N B A"]:
        r"""$\nabla_a Q_i(s, a)$, through which gradients flow on."""
        own = action.expand(self.count, *action.shape).clone().requires_grad_()
        return torch.autograd.grad(self(obs, own).sum(), own, create_graph=True)[0]


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


def similarity(slopes: Float[Tensor, "N B A"]) -> Float[Tensor, ""]:
    r"""$\frac{1}{B} \sum_j \frac{1}{N-1} \sum_{i \ne k} \cos(g_i, g_k)$ with the slopes $g_i = \nabla_a Q_i(s_j, a_j)$.

    It is N where all critics find the same way up, and 0 where their ways are at right angles. The inner sum is
    $|\sum_i \hat g_i|^2 - \sum_i |\hat g_i|^2$ of the slopes brought to length 1: N terms and not N². A single number
    of action has two directions only, and a cosine of ±1 has no gradient: there EDAC is SAC-N.
    """
    unit = F.normalize(slopes, dim=-1)
    pairs = unit.sum(0).square() - unit.square().sum(0)
    return pairs.sum(-1).mean() / (len(slopes) - 1)


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


class EDAC(Stateful):
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
        initialisation, self._exploration, self._sampling, self._policy = generators(seed, 4)
        sizes = obs_size, self.action_size, config.hidden, initialisation
        self.actor, self.critic = StochasticActor(*sizes), Ensemble(*sizes, config.critics)
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
            return float(self.critic(*(torch.as_tensor(x, dtype=torch.float32)[None] for x in (obs, action)))[0])

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
        if config.diversity:
            alike = similarity(self.critic.slopes(batch.obs, batch.action))
            loss = loss + config.diversity * alike
            metrics |= {"similarity": alike.item()}
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
