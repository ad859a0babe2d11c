r"""IQL = TD3 without a next action: V is fitted to the upper part of the data's Q, and the actor copies what was good.

Papers: Kostrikov, Nair and Levine (2022), *Offline reinforcement learning with implicit Q-learning* [IQL], with its
authors' code [IQL code]; Peng et al. (2019), *Advantage-weighted regression* [AWR].

| function | equation |
|---|---|
| `expectile_loss` | [IQL] eq. 2 and 5, $L_2^\tau$ |
| `bellman_target` | [IQL] eq. 6, its target |
| `critic_loss` | [IQL] eq. 6 |
| `advantage_weight`, `actor_loss` | [IQL] eq. 7; [AWR] eq. 10 |
| `IQL.update` | [IQL] algorithm 1, one step of both of its loops |

No network is ever asked about an action that is not in the data. With `beta=0` all weights are 1, and the actor is a
behaviour clone. We leave out the authors' cosine schedule of the actor's learning rate.
"""

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from gymnasium.spaces import Space
from jaxtyping import Float
from torch import Tensor, nn

from rlcourse.buffers import Batch, ReplayBuffer, Transition
from rlcourse.checkpoints import Stateful
from rlcourse.config import Count, Discount, NonNegative, Positive, Probability, check
from rlcourse.nets import Critics, Gaussian, action_size, generators, mlp, polyak_update


@dataclass(frozen=True)
class Config:
    gamma: Discount = 0.99  # per step [IQL] appendix B
    lr: Positive = 3e-4  # of Adam, for actor, critics and V [IQL] appendix B
    batch_size: Count = 256  # transitions per update [IQL code]
    hidden: tuple[Count, ...] = (256, 256)  # units of each hidden layer [IQL] appendix B
    buffer_size: Count = 1_000_000  # transitions; offline the dataset takes its place
    learning_starts: Count = 10_000  # steps of random actions before the first update; only online
    tau: Probability = 0.005  # how far the target critics go towards the online ones [IQL] appendix B
    critics: Count = 2  # the smallest value is used [IQL] appendix B
    expectile: Probability = 0.7  # τ: 0.5 is the mean, towards 1 the best action in the data [IQL] section 5
    beta: NonNegative = 3.0  # inverse temperature of the weights; 0 is cloning [IQL] section 5
    max_weight: Positive = 100.0  # the largest weight of a transition [IQL code]

    def __post_init__(self) -> None:
        check(self)


class GaussianActor(nn.Module):
    """A random policy: observations `(*B, obs_size)` → a normal distribution with a mean in [−1, 1].

    Its spread is learned and does not depend on the observation.
    """

    def __init__(self, obs_size: int, action_size: int, hidden: Sequence[int], generator: torch.Generator) -> None:
        super().__init__()
        self.net = mlp([obs_size, *hidden, action_size], generator)
        self.log_std = nn.Parameter(torch.zeros(action_size, dtype=torch.float32))

    def forward(self, obs: Float[Tensor, "*B O"]) -> Gaussian:
        return Gaussian(self.net(obs).tanh(), self.log_std.clamp(-5, 2))  # the authors' bounds


ValueFunction = Callable[[Tensor], Tensor]  # observations (B, O) → state values (B, 1)


def expectile_loss(difference: Float[Tensor, " B"], expectile: float) -> Float[Tensor, ""]:
    r"""$\frac{1}{B} \sum_j |\tau - \mathbb{1}(u_j < 0)|\, u_j^2$ with $u = Q - V$.

    Where τ > ½ it costs more to be below a value than above: V rises towards the largest Q in the data.
    """
    weight = torch.where(difference < 0, 1 - expectile, expectile)
    return (weight * difference.square()).mean()


def bellman_target(batch: Batch, value: ValueFunction, gamma: float) -> Float[Tensor, " B"]:
    r"""$y = r + \gamma\,(1 - \text{terminated})\, V(s')$: there is no next action, so none can be unknown.

    Shapes: reward `(B,)` → y `(B,)`.
    """
    return batch.reward + gamma * (1 - batch.terminated) * value(batch.next_obs).squeeze(-1)


def critic_loss(q: Float[Tensor, "N B"], target: Float[Tensor, " B"]) -> Float[Tensor, ""]:
    r"""$\sum_i \frac{1}{B} \sum_j (y_j - Q_i(s_j, a_j))^2$: all critics are fitted to the same target."""
    return (target - q).square().mean(-1).sum()


def advantage_weight(advantage: Float[Tensor, " B"], beta: float, limit: float) -> Float[Tensor, " B"]:
    r"""$\min(e^{\beta A}, \text{limit})$ with $A = Q - V$: how strongly an action of the data is copied."""
    return (beta * advantage).exp().clamp(max=limit)


def actor_loss(log_prob: Float[Tensor, " B"], weight: Float[Tensor, " B"]) -> Float[Tensor, ""]:
    r"""$-\frac{1}{B} \sum_j w_j \log \pi(a_j | s_j)$: cloning, in which better actions count more."""
    return -(weight * log_prob).mean()


class IQL(Stateful):
    """A `loop.Agent` for continuous actions and vector observations, meant for `loop.train_offline`.

    Attributes:
        actor: observations `(*B, obs_size)` → normal distributions.
        critic, target_critic: observations and actions → `(N, B)`.
        value_network: V, observations → `(*B, 1)`.
    """

    def __init__(
        self, obs_size: int, action_space: Space, config: Config, seed: int, replay: ReplayBuffer | None = None
    ) -> None:
        self.config, self.action_size = config, action_size(action_space)
        initialisation, self._exploration, self._sampling = generators(seed, 3)
        sizes = obs_size, self.action_size, config.hidden, initialisation
        self.actor, self.critic = GaussianActor(*sizes), Critics(*sizes, config.critics)
        self.target_critic = copy.deepcopy(self.critic).requires_grad_(False)
        self.value_network = mlp([obs_size, *config.hidden, 1], initialisation)
        self.actor_optimizer = torch.optim.Adam(self.actor.parameters(), lr=config.lr, fused=True)
        self.critic_optimizer = torch.optim.Adam(self.critic.parameters(), lr=config.lr, fused=True)
        self.value_optimizer = torch.optim.Adam(self.value_network.parameters(), lr=config.lr, fused=True)
        self.replay = ReplayBuffer(config.buffer_size, (obs_size,), (self.action_size,)) if replay is None else replay
        self.steps = self.updates = 0

    def act(self, obs: Any, explore: bool = True) -> Any:
        config = self.config
        if explore and self.steps < config.learning_starts:
            return torch.empty(self.action_size).uniform_(-1, 1, generator=self._exploration).numpy()
        with torch.inference_mode():
            policy = self.actor(torch.as_tensor(obs, dtype=torch.float32))
            if not explore:
                return policy.mode.numpy()
            return policy.sample(self._exploration).clamp(-1, 1).numpy()

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
        # V: towards an upper expectile of the target critics' values, at the data's actions.
        with torch.no_grad():
            target_q = self.target_critic(batch.obs, batch.action).amin(0)
        difference = target_q - self.value_network(batch.obs).squeeze(-1)
        value_loss = expectile_loss(difference, config.expectile)
        self.value_optimizer.zero_grad()
        value_loss.backward()
        self.value_optimizer.step()

        with torch.no_grad():
            target = bellman_target(batch, self.value_network, config.gamma)
            advantage = target_q - self.value_network(batch.obs).squeeze(-1)
            weight = advantage_weight(advantage, config.beta, config.max_weight)
        q = self.critic(batch.obs, batch.action)
        loss = critic_loss(q, target)
        self.critic_optimizer.zero_grad()
        loss.backward()
        self.critic_optimizer.step()
        self.updates += 1
        metrics = {"critic_loss": loss.item(), "value_loss": value_loss.item(), "q": q.mean().item()}

        policy_loss = actor_loss(self.actor(batch.obs).log_prob(batch.action), weight)
        self.actor_optimizer.zero_grad()
        policy_loss.backward()
        self.actor_optimizer.step()
        polyak_update(self.target_critic, self.critic, config.tau)
        return metrics | {"actor_loss": policy_loss.item(), "weight": weight.mean().item()}
