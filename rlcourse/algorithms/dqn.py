r"""Deep Q-network = Q-learning + a network for the table + a replay buffer + a target network; and Rainbow's parts.

Papers: Mnih et al. (2015), *Human-level control through deep reinforcement learning* [DQN]; van Hasselt et al. (2016),
*Deep reinforcement learning with double Q-learning* [DDQN]; Wang et al. (2016), *Dueling network architectures* [DN];
Schaul et al. (2016), *Prioritized experience replay* [PER]; Hessel et al. (2018), *Rainbow* [R]; Lillicrap et al.
(2016), *Continuous control with deep reinforcement learning* [DDPG], for Polyak averaging.

| function | equation |
|---|---|
| `bellman_target` | [DQN] algorithm 1, $y_j$ |
| `double_bellman_target` | [DDQN] eq. 4, with the target network as evaluator |
| `dueling` | [DN] eq. 9 |
| `buffers.n_step` | [R] section 3, multi-step learning |
| `critic_loss` | [DQN] algorithm 1, its error clipped as in "Training details" |
| `priority`, `buffers.PrioritizedReplay` | [PER] eq. 1 and section 3.3 |
| `importance_weight` | [PER] section 3.4 |
| `DQN.update` | [DQN] algorithm 1, the inner loop's second half |

Two older algorithms are special cases. *Fitted Q-iteration* calls `update` again and again on one fixed batch, with
`target_every` gradient steps per regression. *Online Q-iteration* is `ONLINE`: it learns from the latest transition
only, towards a target that moves with every step.
"""

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812  (everyone's name for it)
from jaxtyping import Float
from torch import Tensor, nn

from rlcourse.buffers import Batch, NStep, PrioritizedReplay, ReplayBuffer, Transition
from rlcourse.checkpoints import Stateful
from rlcourse.config import Count, Discount, Positive, Probability, Range, Threshold, check, require
from rlcourse.nets import generators, mlp, polyak_update


@dataclass(frozen=True)
class Config:
    # Tuned on CartPole-v1 where no source is named. Of the changes from the papers n_step matters most there.
    gamma: Discount = 0.99  # per step [DQN] table 1
    lr: Positive = 1e-3  # of Adam
    batch_size: Count = 128  # transitions per update
    hidden: tuple[Count, ...] = (128, 128)  # units of each hidden layer
    buffer_size: Count = 100_000  # transitions
    learning_starts: Count = 1_000  # transitions collected before the first update
    train_every: Count = 1  # environment steps between learning; [DQN] table 1: 4
    updates: Count = 1  # gradient steps each time
    target_every: Count = 1  # updates between changes of the target network; [DQN] table 1: 10 000
    tau: Probability = 0.02  # how far it goes towards the online network; 1 copies [DQN], 0.001 [DDPG]
    epsilon_start: Probability = 1.0  # probability of a random action at the start [DQN] table 1
    epsilon_end: Probability = 0.1  # and in the end [DQN] table 1
    epsilon_steps: Count = 5_000  # environment steps from one to the other, linearly
    huber_threshold: Threshold = 1.0  # |TD error| up to which the loss is quadratic [DQN]; inf: squared error
    max_grad_norm: Threshold = 10.0  # [DN] section 4.2; inf: no clipping
    double: bool = False  # the online network selects the next action, the target network evaluates it [DDQN]
    dueling: bool = False  # value and advantage streams [DN]
    n_step: Count = 5  # rewards before bootstrapping; 1 [DQN], 3 [R] table 1
    priority_exponent: Probability = 0.0  # 0 is uniform replay; [PER] table 3: 0.6
    importance_start: Probability = 0.4  # β in the beginning [PER] table 3
    importance_steps: Count = 50_000  # updates until β = 1

    def __post_init__(self) -> None:
        check(self)
        if self.dueling:  # its two streams stand on the last hidden layer
            require("dqn.Config.hidden: number of layers", len(self.hidden), Range(1))


ONLINE = Config(batch_size=1, buffer_size=1, learning_starts=1, target_every=1, tau=1.0, n_step=1)


class DuelingNet(nn.Module):
    """Two heads on one body: what the state is worth, and how much better each action is than the average one."""

    def __init__(self, obs_size: int, num_actions: int, hidden: Sequence[int], generator: torch.Generator) -> None:
        super().__init__()
        self.body = nn.Sequential(mlp([obs_size, *hidden], generator), nn.ReLU())
        self.value = mlp([hidden[-1], 1], generator)
        self.advantage = mlp([hidden[-1], num_actions], generator)

    def forward(self, obs: Float[Tensor, "*B O"]) -> Float[Tensor, "*B A"]:
        features = self.body(obs)
        return dueling(self.value(features), self.advantage(features))


def dueling(value: Float[Tensor, "*B 1"], advantage: Float[Tensor, "*B A"]) -> Float[Tensor, "*B A"]:
    r"""$Q(s, a) = V(s) + A(s, a) - \frac{1}{|\mathcal{A}|} \sum_{a'} A(s, a')$; without the mean V is not defined."""
    return value + advantage - advantage.mean(-1, keepdim=True)


QFunction = Callable[[Tensor], Tensor]  # observations (B, O) → action values (B, A)


def bellman_target(batch: Batch, q: QFunction, gamma: float | Tensor) -> Float[Tensor, " B"]:
    r"""$y = r + \gamma\,(1 - \text{terminated}) \max_{a'} Q'(s', a')$, with the target network Q'.

    Shapes: reward `(B,)`, `q(next_obs)` `(B, A)` → y `(B,)`. For n-step transitions pass γ to the power of their
    `steps`, `(B,)`.
    """
    next_q = q(batch.next_obs).amax(-1)
    return batch.reward + gamma * (1 - batch.terminated) * next_q


def double_bellman_target(
    batch: Batch, q: QFunction, target_q: QFunction, gamma: float | Tensor
) -> Float[Tensor, " B"]:
    r"""$y = r + \gamma\,(1 - \text{terminated})\, Q'(s', \arg\max_{a'} Q(s', a'))$: Q selects, Q' evaluates.

    Shapes as in `bellman_target`.
    """
    next_action = q(batch.next_obs).argmax(-1, keepdim=True)
    next_q = target_q(batch.next_obs).gather(-1, next_action).squeeze(-1)
    return batch.reward + gamma * (1 - batch.terminated) * next_q


def critic_loss(
    q: Float[Tensor, " B"], target: Float[Tensor, " B"], weight: Float[Tensor, " B"], threshold: float
) -> Float[Tensor, ""]:
    r"""$\frac{1}{B} \sum_j w_j H(y_j - Q(s_j, a_j))$ with Huber's H, whose slope never exceeds the threshold κ.

    $$H(\delta) = \begin{cases} \delta^2 / 2 & |\delta| \le \kappa \\
                                \kappa\,(|\delta| - \kappa / 2) & \text{else} \end{cases}$$
    """
    return (weight * F.huber_loss(q, target, reduction="none", delta=threshold)).mean()


def priority(td_error: Float[Tensor, " B"], exponent: float) -> Float[Tensor, " B"]:
    r"""$p = (|\delta| + 10^{-6})^{\alpha}$: large errors are replayed more often, and every p is above 0."""
    return (td_error.abs() + 1e-6) ** exponent


def importance_weight(probability: Float[Tensor, " B"], exponent: float) -> Float[Tensor, " B"]:
    r"""$w_j = (N\, P(j))^{-\beta} / \max_i w_i$, the maximum over the batch; all 1 where P is uniform.

    N cancels. β = 1 undoes the bias of sampling by priority.
    """
    return (probability / probability.min()) ** -exponent


class DQN(Stateful):
    """A `loop.Agent` for discrete actions and vector observations.

    Attributes:
        q: the online network, `(*B, obs_size)` → `(*B, num_actions)`.
        target_q: the target network.
    """

    def __init__(
        self, obs_size: int, num_actions: int, config: Config, seed: int, replay: ReplayBuffer | None = None
    ) -> None:
        self.config, self.num_actions = config, num_actions
        initialisation, self._exploration, self._sampling = generators(seed, 3)
        if config.dueling:
            self.q: nn.Module = DuelingNet(obs_size, num_actions, config.hidden, initialisation)
        else:
            self.q = mlp([obs_size, *config.hidden, num_actions], initialisation)
        self.target_q: nn.Module = copy.deepcopy(self.q).requires_grad_(False)
        self.optimizer = torch.optim.Adam(self.q.parameters(), lr=config.lr, fused=True)
        memory = PrioritizedReplay if config.priority_exponent > 0 else ReplayBuffer
        self.replay = memory(config.buffer_size, (obs_size,)) if replay is None else replay
        self._n_step = NStep(config.n_step, config.gamma)
        self.steps = self.updates = 0

    def act(self, obs: Any, explore: bool = True) -> int:
        if explore and torch.rand((), generator=self._exploration) < self.epsilon:
            return int(torch.randint(self.num_actions, (), generator=self._exploration))
        with torch.inference_mode():
            return int(self.q(torch.as_tensor(obs, dtype=torch.float32)).argmax())

    def value(self, obs: Any, action: int) -> float:
        """The critic's estimate of Q(s, a)."""
        with torch.inference_mode():
            return float(self.q(torch.as_tensor(obs, dtype=torch.float32))[action])

    @property
    def epsilon(self) -> float:
        """The probability of a random action, falling linearly."""
        return _anneal(self.config.epsilon_start, self.config.epsilon_end, self.steps / self.config.epsilon_steps)

    def observe(self, transition: Transition) -> None:
        self.steps += 1
        for long_transition in self._n_step(transition):
            self.replay.add(long_transition)

    def drop_episode(self) -> None:
        for long_transition in self._n_step.drop_episode():
            self.replay.add(long_transition)

    def learn(self) -> Iterator[dict[str, float]]:
        if len(self.replay) < self.config.learning_starts or self.steps % self.config.train_every:
            return
        for _ in range(self.config.updates):
            yield self.update(self.replay.sample(self.config.batch_size, self._sampling))

    def update(self, batch: Batch) -> dict[str, float]:
        config = self.config
        gamma = config.gamma**batch.steps
        with torch.no_grad():
            if config.double:
                target = double_bellman_target(batch, self.q, self.target_q, gamma)
            else:
                target = bellman_target(batch, self.target_q, gamma)
        importance_exponent = _anneal(config.importance_start, 1.0, self.updates / config.importance_steps)
        weight = importance_weight(batch.probability, importance_exponent)

        q = self.q(batch.obs).gather(-1, batch.action[:, None]).squeeze(-1)
        loss = critic_loss(q, target, weight, config.huber_threshold)
        self.optimizer.zero_grad()
        loss.backward()
        grad_norm = nn.utils.clip_grad_norm_(self.q.parameters(), config.max_grad_norm)
        self.optimizer.step()

        self.updates += 1
        if self.updates % config.target_every == 0:
            polyak_update(self.target_q, self.q, config.tau)
        if isinstance(self.replay, PrioritizedReplay):
            td_error = target - q.detach()
            self.replay.update_priorities(batch.indices, priority(td_error, config.priority_exponent))
        return {"loss": loss.item(), "q": q.mean().item(), "grad_norm": grad_norm.item()}


def _anneal(start: float, end: float, progress: float) -> float:
    return start + (end - start) * min(progress, 1.0)
