r"""Soft Q-learning = soft Q-iteration with a network, for continuous actions: sums over actions become samples.

Paper: Haarnoja et al. (2017), *Reinforcement learning with deep energy-based policies* [SQL], with its authors' code
[SQL code].

| function | equation |
|---|---|
| `soft_value` | [SQL] eq. 10, the actions drawn evenly |
| `bellman_target`, `critic_loss` | [SQL] eq. 11 |
| `improve` | [SQL] theorem 1, among a few actions |
| `SoftQLearning.update` | [SQL] algorithm 1, the update of θ |

We leave out the paper's actor: a network that learns to draw from softmax(Q/α) (by Stein's variational gradient, its
section 3.3). Instead `act` draws many actions evenly and chooses one of them by softmax(Q/α). This is affordable where
an action has few numbers: for A numbers, the share of good actions falls exponentially with A.
"""

import copy
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from gymnasium.spaces import Space
from jaxtyping import Float
from torch import Tensor

from rlcourse import inputs
from rlcourse.buffers import Batch, ReplayBuffer, Transition
from rlcourse.checkpoints import Stateful
from rlcourse.config import Count, Discount, Positive, Probability, check
from rlcourse.nets import Categorical, Critics, action_size, generators, polyak_update


@dataclass(frozen=True)
class Config:
    gamma: Discount = 0.99  # per step [SQL code]
    lr: Positive = 3e-4  # of Adam [SQL code], in its multi-goal world
    batch_size: Count = 64  # transitions per update [SQL code]
    hidden: tuple[Count, ...] = (128, 128)  # units of each hidden layer [SQL code], in its multi-goal world
    buffer_size: Count = 1_000_000  # transitions [SQL code]
    learning_starts: Count = 100  # steps of random actions before the first update [SQL code]
    tau: Probability = 0.005  # how far the target critics go towards the online ones; [SQL code] copies now and then
    critics: Count = 1  # the smallest value is used; more than one is SAC's
    temperature: Positive = 1.0  # price of entropy in units of reward; [SQL code] scales rewards by 1/α instead
    value_samples: Count = 16  # actions that V(s) is estimated from [SQL code]
    candidates: Count = 128  # actions that `act` chooses from, instead of an actor

    def __post_init__(self) -> None:
        check(self)


QFunction = Callable[[Tensor, Tensor], Tensor]  # observations (B, O), actions (B, A) → action values (N, B)


def soft_value(q: Float[Tensor, "M B"], temperature: float, action_size: int) -> Float[Tensor, " B"]:
    r"""$V(s) = \alpha \log \int e^{Q(s, a) / \alpha}\, da$, from M actions drawn evenly in $[-1, 1]^A$.

    $$V(s) \approx \alpha \log \frac{1}{M} \sum_{m=1}^M \frac{e^{Q(s, a_m) / \alpha}}{2^{-A}}$$

    The sum divides by the density of the draws, $2^{-A}$: this is importance sampling.
    """
    log_mean = (q / temperature).logsumexp(0) - math.log(len(q))
    return temperature * (log_mean + action_size * math.log(2))


def improve(q: Float[Tensor, "*B M"], temperature: float) -> Categorical:
    r"""$\pi(a_m | s) \propto e^{Q(s, a_m) / \alpha}$, over M actions drawn evenly: for many of them softmax(Q/α)."""
    return Categorical(q / temperature)


def bellman_target(
    batch: Batch, target_critic: QFunction, gamma: float, temperature: float, actions: Float[Tensor, "M B A"]
) -> Float[Tensor, " B"]:
    r"""$y = r + \gamma\,(1 - \text{terminated})\, V'(s')$, `soft_value` of $\min_i Q'_i$.

    Shapes: reward `(B,)`, actions `(M, B, A)` → y `(B,)`.
    """
    next_obs = batch.next_obs.expand(len(actions), -1, -1)
    q = target_critic(next_obs.flatten(0, 1), actions.flatten(0, 1)).amin(0)  # (N, MB) → (MB,)
    next_q = soft_value(q.unflatten(0, actions.shape[:2]), temperature, actions.shape[-1])
    return batch.reward + gamma * (1 - batch.terminated) * next_q


def critic_loss(q: Float[Tensor, "N B"], target: Float[Tensor, " B"]) -> Float[Tensor, ""]:
    r"""$\sum_i \frac{1}{B} \sum_j (y_j - Q_i(s_j, a_j))^2$: all critics are fitted to the same target."""
    return (target - q).square().mean(-1).sum()


class SoftQLearning(Stateful):
    """A `loop.Agent` for continuous actions and vector observations.

    Attributes:
        critic, target_critic: observations and actions → `(N, B)`.
    """

    def __init__(
        self, obs_size: int, action_space: Space, config: Config, seed: int, replay: ReplayBuffer | None = None
    ) -> None:
        inputs.check_sizes("numbers of an observation", obs_size)
        self.config, self.action_size = config, action_size(action_space)
        initialisation, self._exploration, self._sampling, self._policy = generators(seed, 4)
        self.critic = Critics(obs_size, self.action_size, config.hidden, initialisation, config.critics)
        self.target_critic = copy.deepcopy(self.critic).requires_grad_(False)
        self.critic_optimizer = torch.optim.Adam(self.critic.parameters(), lr=config.lr, fused=True)
        self.replay = ReplayBuffer(config.buffer_size, (obs_size,), (self.action_size,)) if replay is None else replay
        self.steps = self.updates = 0

    def act(self, obs: Any, explore: bool = True) -> Any:
        config = self.config
        if explore and self.steps < config.learning_starts:
            return torch.empty(self.action_size).uniform_(-1, 1, generator=self._exploration).numpy()
        # Without exploration the candidates are always the same, so that nothing is random.
        generator = self._exploration if explore else torch.Generator().manual_seed(0)
        with torch.inference_mode():
            actions = _uniform((config.candidates, self.action_size), generator)
            obs = torch.as_tensor(obs, dtype=torch.float32).expand(config.candidates, -1)
            policy = improve(self.critic(obs, actions).amin(0), config.temperature)
            return actions[policy.sample(generator) if explore else policy.mode].numpy()

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
        actions = _uniform((config.value_samples, *batch.action.shape), self._policy)
        with torch.no_grad():
            target = bellman_target(batch, self.target_critic, config.gamma, config.temperature, actions)
        q = self.critic(batch.obs, batch.action)
        loss = critic_loss(q, target)
        self.critic_optimizer.zero_grad()
        loss.backward()
        self.critic_optimizer.step()
        self.updates += 1
        polyak_update(self.target_critic, self.critic, config.tau)
        return {"critic_loss": loss.item(), "q": q.mean().item()}


def _uniform(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Numbers drawn evenly from [−1, 1]."""
    return torch.empty(shape, dtype=torch.float32).uniform_(-1, 1, generator=generator)
