r"""Off-policy actor-critic = actor-critic + a replay buffer: Q in place of V, and fresh actions wherever π is meant.

Papers: Degris, White and Sutton (2012), *Off-policy actor-critic*; Williams (1992), *Simple statistical
gradient-following algorithms* [W], the score function; Kool, van Hoof and Welling (2019), *Buy 4 REINFORCE samples, get
a baseline for free!* [K]; Haarnoja et al. (2018), *Soft actor-critic algorithms and applications* [SAC]. Lecture 6
calls the changes of the actor-critic the three repairs.

| function | equation |
|---|---|
| `squash` | [SAC] appendix C, but the action is a number: only its probability has a gradient |
| `bellman_target` | repairs 1 and 2: Q, and a fresh $a' \sim \pi(\cdot \mid s')$ |
| `critic_loss` | [SAC] eq. 5 |
| `actor_loss` | repair 3: [W] with a fresh $a \sim \pi(\cdot \mid s)$ and Q; with `baseline=True` [K] |
| `OffPolicyAC.update` | the actor-critic's update of lecture 4 after these repairs |

Against SAC: the score function in place of reparameterisation, and no entropy. Against DDPG: a random policy, which
needs no noise to explore, and no target actor.
"""

import copy
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import torch
import torch.nn.functional as F  # noqa: N812  (everyone's name for it)
from gymnasium.spaces import Space
from jaxtyping import Float
from torch import Tensor, nn

from rlcourse.buffers import Batch, ReplayBuffer, Transition
from rlcourse.checkpoints import Stateful
from rlcourse.config import Count, Discount, Positive, Probability, Range, check, require
from rlcourse.nets import Critics, Gaussian, action_size, generators, mlp, polyak_update


@dataclass(frozen=True)
class Config:
    gamma: Discount = 0.99  # per step [SAC] table 1
    lr: Positive = 3e-4  # of Adam, for actor and critics [SAC] table 1
    batch_size: Count = 256  # transitions per update [SAC] table 1
    hidden: tuple[Count, ...] = (256, 256)  # units of each hidden layer [SAC] table 1
    buffer_size: Count = 1_000_000  # transitions [SAC] table 1
    learning_starts: Count = 10_000  # steps of random actions before the first update, as in SAC
    tau: Probability = 0.005  # how far the target critics go towards the online ones [SAC] table 1; 1: no target
    critics: Count = 1  # the smallest value is used; [SAC]: 2
    samples: Count = 1  # fresh actions in each state for the actor's gradient
    baseline: bool = False  # compare each of these actions with the others [K]
    least_log_std: Annotated[float, Range(-20, 2)] = -20.0  # of the policy before it is squashed; -20 as in SAC

    def __post_init__(self) -> None:
        check(self)
        if self.baseline:
            require("off_policy_ac.Config.samples", self.samples, Range(2))  # a single one has no others


class StochasticActor(nn.Module):
    """A random policy: observations `(*B, obs_size)` → a normal distribution, to be squashed into [−1, 1]."""

    def __init__(
        self, obs_size: int, action_size: int, hidden: Sequence[int], generator: torch.Generator, least_log_std: float
    ) -> None:
        super().__init__()
        self.net, self.least_log_std = mlp([obs_size, *hidden, 2 * action_size], generator), least_log_std

    def forward(self, obs: Float[Tensor, "*B O"]) -> Gaussian:
        mean, log_std = self.net(obs).chunk(2, -1)
        return Gaussian(mean, log_std.clamp(self.least_log_std, 2))  # at most as in SAC


def squash(policy: Gaussian, normal: Float[Tensor, "*B A"]) -> tuple[Float[Tensor, "*B A"], Float[Tensor, "*B"]]:
    r"""An action and its log-probability: $a = \tanh u$, $u = \mu + \sigma z$, with standard normal z.

    $$\log \pi(a | s) = \log \mathcal{N}(u; \mu, \sigma^2) - \sum_i \log(1 - \tanh^2 u_i)$$

    The action is a number. The gradient goes through the probability only: this is the score $\nabla \log \pi(a | s)$.
    """
    u = (policy.mean + policy.log_std.exp() * normal).detach()
    # log(1 − tanh² u) = 2 (log 2 − u − log(1 + exp(−2u))), which does not round to log 0
    correction = 2 * (math.log(2) - u - F.softplus(-2 * u))
    return u.tanh(), policy.log_prob(u) - correction.sum(-1)


PolicyFunction = Callable[[Tensor], Gaussian]  # observations (B, O) → distributions
QFunction = Callable[[Tensor, Tensor], Tensor]  # observations (B, O), actions (B, A) → action values (N, B)


def bellman_target(
    batch: Batch, actor: PolicyFunction, target_critic: QFunction, gamma: float, normal: Tensor
) -> Float[Tensor, " B"]:
    r"""$y = r + \gamma\,(1 - \text{terminated}) \min_i Q'_i(s', a')$, $a' \sim \pi$.

    Shapes: reward `(B,)`, normal `(B, A)` → y `(B,)`.
    """
    next_action, _ = squash(actor(batch.next_obs), normal)
    next_q = target_critic(batch.next_obs, next_action).amin(0)  # (N, B) → (B,)
    return batch.reward + gamma * (1 - batch.terminated) * next_q


def critic_loss(q: Float[Tensor, "N B"], target: Float[Tensor, " B"]) -> Float[Tensor, ""]:
    r"""$\sum_i \frac{1}{B} \sum_j (y_j - Q_i(s_j, a_j))^2$: all critics are fitted to the same target."""
    return (target - q).square().mean(-1).sum()


def actor_loss(
    batch: Batch, actor: PolicyFunction, critic: QFunction, normal: Float[Tensor, "K B A"], baseline: bool
) -> tuple[Float[Tensor, ""], Float[Tensor, "K B"]]:
    r"""$-\frac{1}{KB} \sum_{jk} \log \pi(a_{jk}|s_j) (\min_i Q_i(s_j, a_{jk}) - b_{jk})$, $a_{jk} \sim \pi$.

    Also the $\log \pi(a_{jk}|s_j)$. Q is a number, its slope is not asked for. $b_{jk}$ is 0, or the mean Q of the
    state's other K − 1 actions.
    """
    action, log_prob = squash(actor(batch.obs), normal)
    samples = len(action)
    with torch.no_grad():
        q = critic(batch.obs.repeat(samples, 1), action.flatten(0, 1)).amin(0).view_as(log_prob)
        others = (q.sum(0) - q) / (samples - 1) if baseline else 0.0
    return -(log_prob * (q - others)).mean(), log_prob


class OffPolicyAC(Stateful):
    """A `loop.Agent` for continuous actions and vector observations.

    Attributes:
        actor: observations `(*B, obs_size)` → normal distributions.
        critic, target_critic: observations and actions → `(N, B)`.
    """

    def __init__(
        self, obs_size: int, action_space: Space, config: Config, seed: int, replay: ReplayBuffer | None = None
    ) -> None:
        self.config, self.action_size = config, action_size(action_space)
        initialisation, self._exploration, self._sampling, self._policy = generators(seed, 4)
        sizes = obs_size, self.action_size, config.hidden, initialisation
        self.actor, self.critic = StochasticActor(*sizes, config.least_log_std), Critics(*sizes, config.critics)
        self.target_critic = copy.deepcopy(self.critic).requires_grad_(False)
        self.actor_optimizer = torch.optim.Adam(self.actor.parameters(), lr=config.lr, fused=True)
        self.critic_optimizer = torch.optim.Adam(self.critic.parameters(), lr=config.lr, fused=True)
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
        normal = torch.randn(config.samples + 1, *batch.action.shape, generator=self._policy, dtype=torch.float32)
        with torch.no_grad():
            target = bellman_target(batch, self.actor, self.target_critic, config.gamma, normal[0])
        q = self.critic(batch.obs, batch.action)
        loss = critic_loss(q, target)
        self.critic_optimizer.zero_grad()
        loss.backward()
        self.critic_optimizer.step()
        self.updates += 1
        metrics = {"critic_loss": loss.item(), "q": q.mean().item()}

        policy_loss, log_prob = actor_loss(batch, self.actor, self.critic, normal[1:], config.baseline)
        self.actor_optimizer.zero_grad()
        policy_loss.backward()
        self.actor_optimizer.step()
        polyak_update(self.target_critic, self.critic, config.tau)
        return metrics | {"actor_loss": policy_loss.item(), "entropy": -log_prob.mean().item()}
