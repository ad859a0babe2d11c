r"""TD3 = DDPG + three cures for a critic too optimistic: the smaller of two, an actor that waits, smoothed targets.

Papers: Fujimoto et al. (2018), *Addressing function approximation error in actor-critic methods* [TD3], with its
authors' code [TD3 code]; Lillicrap et al. (2016), *Continuous control with deep reinforcement learning* [DDPG]; Silver
et al. (2014), *Deterministic policy gradient algorithms* [DPG].

| function | equation |
|---|---|
| `bellman_target` | [TD3] algorithm 1, y |
| `smoothing_noise` | [TD3] eq. 15, $\epsilon$ |
| `critic_loss` | [TD3] algorithm 1, the critics' update |
| `actor_loss` | [TD3] algorithm 1, the actor's update; [DPG] eq. 9 |
| `TD3.update` | [TD3] algorithm 1, the inner loop's second half |

Each cure is one switch: `critics=1`, `policy_every=1`, `target_noise=0` switch them off.
"""

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from gymnasium.spaces import Space
from jaxtyping import Float
from torch import Tensor

from rlcourse.buffers import Batch, ReplayBuffer, Transition
from rlcourse.checkpoints import Stateful
from rlcourse.config import Count, Discount, NonNegative, Positive, Probability, check
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
    critics: Count = 2  # the smallest value is used; 1 is DDPG's
    policy_every: Count = 2  # critic updates per update of the actor and the targets [TD3] section 6.1
    target_noise: NonNegative = 0.2  # standard deviation of the noise on the target's action [TD3] section 6.1
    noise_clip: NonNegative = 0.5  # largest size of that noise [TD3] section 6.1

    def __post_init__(self) -> None:
        check(self)


PolicyFunction = Callable[[Tensor], Tensor]  # observations (B, O) → actions (B, A)
QFunction = Callable[[Tensor, Tensor], Tensor]  # observations (B, O), actions (B, A) → action values (N, B) or (B,)


def bellman_target(
    batch: Batch, target_actor: PolicyFunction, target_critic: QFunction, gamma: float, noise: Float[Tensor, "B A"]
) -> Float[Tensor, " B"]:
    r"""$y = r + \gamma\,(1 - \text{terminated}) \min_i Q'_i(s', \mathrm{clip}(\mu'(s') + \epsilon, -1, 1))$.

    Shapes: reward `(B,)` → y `(B,)`.
    """
    next_action = (target_actor(batch.next_obs) + noise).clamp(-1, 1)
    next_q = target_critic(batch.next_obs, next_action).amin(0)  # (N, B) → (B,)
    return batch.reward + gamma * (1 - batch.terminated) * next_q


def smoothing_noise(normal: Float[Tensor, "B A"], scale: float, clip: float) -> Float[Tensor, "B A"]:
    r"""$\epsilon = \mathrm{clip}(\sigma z, -c, c)$ for standard normal z."""
    return (scale * normal).clamp(-clip, clip)


def critic_loss(q: Float[Tensor, "N B"], target: Float[Tensor, " B"]) -> Float[Tensor, ""]:
    r"""$\sum_i \frac{1}{B} \sum_j (y_j - Q_i(s_j, a_j))^2$: all critics are fitted to the same target."""
    return (target - q).square().mean(-1).sum()


def actor_loss(batch: Batch, actor: PolicyFunction, critic: QFunction) -> Float[Tensor, ""]:
    r"""$-\frac{1}{B} \sum_j Q(s_j, \mu(s_j))$."""
    return -critic(batch.obs, actor(batch.obs)).mean()


class TD3(Stateful):
    """A `loop.Agent` for continuous actions and vector observations.

    Attributes:
        actor, target_actor: observations `(*B, obs_size)` → actions.
        critic, target_critic: observations and actions → `(N, B)`.
    """

    def __init__(
        self, obs_size: int, action_space: Space, config: Config, seed: int, replay: ReplayBuffer | None = None
    ) -> None:
        self.config, self.action_size = config, action_size(action_space)
        initialisation, self._exploration, self._sampling, self._smoothing = generators(seed, 4)
        sizes = obs_size, self.action_size, config.hidden, initialisation
        self.actor, self.critic = Actor(*sizes), Critics(*sizes, config.critics)
        self.target_actor = copy.deepcopy(self.actor).requires_grad_(False)
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
            action = self.actor(torch.as_tensor(obs, dtype=torch.float32))
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
        normal = torch.randn(batch.action.shape, generator=self._smoothing, dtype=torch.float32)
        noise = smoothing_noise(normal, config.target_noise, config.noise_clip)
        with torch.no_grad():
            target = bellman_target(batch, self.target_actor, self.target_critic, config.gamma, noise)
        q = self.critic(batch.obs, batch.action)
        loss = critic_loss(q, target)
        self.critic_optimizer.zero_grad()
        loss.backward()
        self.critic_optimizer.step()
        self.updates += 1
        metrics = {"critic_loss": loss.item(), "q": q.mean().item()}
        if self.updates % config.policy_every:
            return metrics

        policy_loss = actor_loss(batch, self.actor, self.critic.first)
        self.actor_optimizer.zero_grad()
        policy_loss.backward(inputs=list(self.actor.parameters()))  # no gradient is stored for the critic
        self.actor_optimizer.step()
        polyak_update(self.target_actor, self.actor, config.tau)
        polyak_update(self.target_critic, self.critic, config.tau)
        return metrics | {"actor_loss": policy_loss.item()}
