r"""Double actor-critic = DDPG + Double Q-learning: one network chooses the next action, another says what it is worth.

Papers: Fujimoto et al. (2018), *Addressing function approximation error in actor-critic methods* [TD3], whose section
4 measures both variants before it proposes its own; van Hasselt (2010), *Double Q-learning*; Lillicrap et al. (2016),
*Continuous control with deep reinforcement learning* [DDPG]; Silver et al. (2014), *Deterministic policy gradient
algorithms* [DPG].

| variant | who chooses the next action | who judges it |
|---|---|---|
| DDQN-AC, `pairs=1` | the online actor | the target critic |
| DQ-AC, `pairs=2` | each online actor | the target critic of the other pair |

| function | equation |
|---|---|
| `bellman_target` | [TD3] section 4.2, the two targets that it compares with its own |
| `critic_loss` | [DDPG] algorithm 1, L |
| `actor_loss` | [DPG] eq. 9 as a loss |
| `DoubleAC.update` | [DDPG] algorithm 1, the inner loop's second half, once for each pair |
"""

import copy
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Annotated, Any

import torch
from gymnasium.spaces import Space
from jaxtyping import Float
from torch import Tensor, nn

from rlcourse.buffers import Batch, ReplayBuffer, Transition
from rlcourse.checkpoints import Stateful
from rlcourse.config import Count, Discount, NonNegative, Positive, Probability, Range, check
from rlcourse.nets import Actor, Critics, action_size, generators, polyak_update


@dataclass(frozen=True)
class Config:
    gamma: Discount = 0.99  # per step [DDPG] section 7
    lr: Positive = 3e-4  # of Adam, for actor and critic [TD3 code]; [DDPG]: 1e-4 and 1e-3
    batch_size: Count = 256  # transitions per update [TD3 code]; [DDPG]: 64
    hidden: tuple[Count, ...] = (256, 256)  # units of each hidden layer [TD3 code]; [DDPG]: 400 and 300
    buffer_size: Count = 1_000_000  # transitions [DDPG] section 7
    learning_starts: Count = 25_000  # steps of random actions before the first update [TD3 code]
    tau: Probability = 0.005  # how far the target networks go towards the online ones [TD3 code]; [DDPG]: 0.001
    exploration_noise: NonNegative = 0.1  # standard deviation [TD3] section 6.1
    pairs: Annotated[int, Range(1, 2)] = 1  # of an actor and its critic: 1 is DDQN-AC, 2 is DQ-AC [TD3] section 4

    def __post_init__(self) -> None:
        check(self)


PolicyFunction = Callable[[Tensor], Tensor]  # observations (B, O) → actions (B, A)
QFunction = Callable[[Tensor, Tensor], Tensor]  # observations (B, O), actions (B, A) → action values (N, B)


def bellman_target(
    batch: Batch, actors: Iterable[PolicyFunction], target_critic: QFunction, gamma: float
) -> Float[Tensor, "N B"]:
    r"""$y_i = r + \gamma\,(1 - \text{terminated})\, Q'_{i+1}(s', \mu_i(s'))$, where the last is followed by the first.

    With one pair that is its own target critic, with two that of the other. Shapes: reward `(B,)` → y `(N, B)`.
    """
    next_q = [target_critic(batch.next_obs, actor(batch.next_obs)).roll(-1, 0)[i] for i, actor in enumerate(actors)]
    return batch.reward + gamma * (1 - batch.terminated) * torch.stack(next_q)


def critic_loss(q: Float[Tensor, "N B"], target: Float[Tensor, "N B"]) -> Float[Tensor, ""]:
    r"""$\sum_i \frac{1}{B} \sum_j (y_{ij} - Q_i(s_j, a_j))^2$: each critic is fitted to its own target."""
    return (target - q).square().mean(-1).sum()


def actor_loss(batch: Batch, actors: Iterable[PolicyFunction], critic: QFunction) -> Float[Tensor, ""]:
    r"""$-\sum_i \frac{1}{B} \sum_j Q_i(s_j, \mu_i(s_j))$: each actor climbs its own critic."""
    q = [critic(batch.obs, actor(batch.obs))[i] for i, actor in enumerate(actors)]
    return -torch.stack(q).mean(-1).sum()


class DoubleAC(Stateful):
    """A `loop.Agent` for continuous actions and vector observations.

    Attributes:
        actors: one or two, observations `(*B, obs_size)` → actions; the first acts.
        critic, target_critic: observations and actions → `(N, B)`.
    """

    def __init__(
        self, obs_size: int, action_space: Space, config: Config, seed: int, replay: ReplayBuffer | None = None
    ) -> None:
        self.config, self.action_size = config, action_size(action_space)
        initialisation, self._exploration, self._sampling = generators(seed, 3)
        sizes = obs_size, self.action_size, config.hidden, initialisation
        self.actors = nn.ModuleList(Actor(*sizes) for _ in range(config.pairs))
        self.critic = Critics(*sizes, config.pairs)
        self.target_critic = copy.deepcopy(self.critic).requires_grad_(False)
        self.actor_optimizer = torch.optim.Adam(self.actors.parameters(), lr=config.lr, fused=True)
        self.critic_optimizer = torch.optim.Adam(self.critic.parameters(), lr=config.lr, fused=True)
        self.replay = ReplayBuffer(config.buffer_size, (obs_size,), (self.action_size,)) if replay is None else replay
        self.steps = self.updates = 0

    def act(self, obs: Any, explore: bool = True) -> Any:
        config = self.config
        if explore and self.steps < config.learning_starts:
            return torch.empty(self.action_size).uniform_(-1, 1, generator=self._exploration).numpy()
        with torch.inference_mode():
            action = self.actors[0](torch.as_tensor(obs, dtype=torch.float32))
        if explore:
            normal = torch.randn(self.action_size, generator=self._exploration)
            action = (action + config.exploration_noise * normal).clamp(-1, 1)
        return action.numpy()

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
        with torch.no_grad():
            target = bellman_target(batch, self.actors, self.target_critic, config.gamma)
        q = self.critic(batch.obs, batch.action)
        loss = critic_loss(q, target)
        self.critic_optimizer.zero_grad()
        loss.backward()
        self.critic_optimizer.step()
        self.updates += 1
        metrics = {"critic_loss": loss.item(), "q": q.mean().item()}

        policy_loss = actor_loss(batch, self.actors, self.critic)
        self.actor_optimizer.zero_grad()
        policy_loss.backward(inputs=list(self.actors.parameters()))  # no gradient is stored for the critic
        self.actor_optimizer.step()
        polyak_update(self.target_critic, self.critic, config.tau)
        return metrics | {"actor_loss": policy_loss.item()}
