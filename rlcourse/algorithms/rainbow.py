r"""Rainbow = DQN with all its switches on + distributional values (C51) + noisy networks, which explore instead of ε.

Papers: Hessel et al. (2018), *Rainbow* [R]; Bellemare et al. (2017), *A distributional perspective on reinforcement
learning* [C51]; Fortunato et al. (2018), *Noisy networks for exploration* [NN]; and those of `dqn`.

| function | equation |
|---|---|
| `project` | [C51] eq. 7, computed as in algorithm 1 |
| `distributional_target` | [C51] algorithm 1, $\hat{\mathcal{T}} z_j$; with n steps [R], *The integrated agent* |
| `divergence` | [C51] algorithm 1's loss, up to a constant; also the priority [R], *The integrated agent* |
| `NoisyLinear` | [NN] eqs. 9 to 11 |
| `QNet.logits` | the dueling network of distributions [R], *The integrated agent* |
| `Rainbow.update` | [DQN] algorithm 1, the inner loop's second half |

The other functions are DQN's. With all six switches off and DQN's settings every number is DQN's.
"""

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812  (everyone's name for it)
from jaxtyping import Float
from torch import Tensor, nn

from rlcourse import inputs
from rlcourse.buffers import Batch, NStep, PrioritizedReplay, ReplayBuffer, Transition
from rlcourse.checkpoints import Stateful
from rlcourse.config import Count, Discount, Finite, Positive, Probability, Range, Threshold, check, require
from rlcourse.nets import generators, mlp, polyak_update


@dataclass(frozen=True)
class Config:
    # The six switches are on. Where no source is named the value is that of `dqn`, whose target is now copied.
    gamma: Discount = 0.99  # per step [DQN] table 1
    lr: Positive = 1e-3  # of Adam
    batch_size: Count = 128  # transitions per update
    hidden: tuple[Count, ...] = (128, 128)  # units of each hidden layer
    buffer_size: Count = 100_000  # transitions
    learning_starts: Count = 1_000  # transitions collected before the first update
    train_every: Count = 1  # environment steps between learning; [DQN] table 1: 4
    updates: Count = 1  # gradient steps each time
    target_every: Count = 100  # updates between changes of the target network; [DQN] table 1: 10 000
    tau: Probability = 1.0  # how far it goes towards the online network; 1 copies [DQN], 0.001 [DDPG]
    epsilon_start: Probability = 1.0  # probability of a random action at the start [DQN] table 1
    epsilon_end: Probability = 0.1  # and in the end [DQN] table 1
    epsilon_steps: Count = 5_000  # environment steps from one to the other, linearly
    huber_threshold: Threshold = 1.0  # |TD error| up to which the loss is quadratic [DQN]; not for distributions
    max_grad_norm: Threshold = 10.0  # [DN] section 4.2; inf: no clipping
    double: bool = True  # the online network selects the next action, the target network evaluates it [DDQN]
    dueling: bool = True  # value and advantage streams [DN]
    n_step: Count = 3  # rewards before bootstrapping; 1 [DQN], 3 [R] table 1
    priority_exponent: Probability = 0.5  # [R] table 1; 0 is uniform replay
    importance_start: Probability = 0.4  # β in the beginning [R] table 1
    importance_steps: Count = 50_000  # updates until β = 1
    distributional: bool = True  # learn the distribution of returns, not only its mean [C51]
    atoms: Count = 51  # returns that a distribution is made of [C51] section 5
    v_min: Finite = 0.0  # the lowest of them; with a reward of 1 for each step returns lie in [0, 1/(1 − γ)]
    v_max: Finite = 100.0  # the highest
    noisy: bool = True  # explore by noise on the weights, no longer by ε [NN]
    sigma: Positive = 0.5  # its initial size σ₀ [NN] section 3, [R] table 1

    def __post_init__(self) -> None:
        check(self)
        require("rainbow.Config.hidden: number of layers", len(self.hidden), Range(1))
        require("rainbow.Config.atoms", self.atoms, Range(2))
        require("rainbow.Config.v_max", self.v_max, Range(self.v_min, open_low=True))


class NoisyLinear(nn.Module):
    r"""$y = (\mu^w + \sigma^w \odot \varepsilon^w)\,x + \mu^b + \sigma^b \odot \varepsilon^b$; μ and σ are learned.

    The noise is *factorised*: one number for each input i and each output j, instead of one for each weight.

    $$\varepsilon^w_{ji} = f(\varepsilon_j)\,f(\varepsilon_i), \qquad \varepsilon^b_j = f(\varepsilon_j), \qquad
      f(x) = \operatorname{sgn}(x) \sqrt{|x|}, \qquad \varepsilon_i, \varepsilon_j \sim \mathcal{N}(0, 1)$$
    """

    def __init__(self, linear: nn.Linear, sigma: float) -> None:
        super().__init__()
        self.weight, self.bias = linear.weight, linear.bias  # μ begins as an ordinary layer
        spread = sigma * linear.in_features**-0.5
        self.weight_sigma = nn.Parameter(torch.full_like(linear.weight, spread))
        self.bias_sigma = nn.Parameter(torch.full_like(linear.bias, spread))
        self.draw(None)

    def draw(self, generator: torch.Generator | None) -> None:
        """Take new noise, which stays until the next draw; with None there is none, and the layer is its mean."""
        self.noise: tuple[Tensor, ...] = ()
        if generator is not None:
            outputs, inputs = self.weight.shape
            noise = torch.randn(inputs + outputs, generator=generator, dtype=torch.float32)
            self.noise = (noise.sign() * noise.abs().sqrt()).split((inputs, outputs))

    def forward(self, x: Float[Tensor, "*B I"]) -> Float[Tensor, "*B J"]:
        if not self.noise:
            return F.linear(x, self.weight, self.bias)
        noise_in, noise_out = self.noise
        weight = self.weight + self.weight_sigma * torch.outer(noise_out, noise_in)
        return F.linear(x, weight, self.bias + self.bias_sigma * noise_out)


class QNet(nn.Module):
    """Action values, `(*B, obs_size)` → `(*B, num_actions)`: means of distributions over the K `atoms`, if it has them.

    The switches `dueling`, `distributional` and `noisy` decide what it is made of. Without the last two it is DQN's.
    """

    def __init__(self, obs_size: int, num_actions: int, config: Config, generator: torch.Generator) -> None:
        super().__init__()
        inputs.check_sizes("number of actions", num_actions)

        def layers(*sizes: int) -> nn.Sequential:
            made = mlp(sizes, generator)
            for place, layer in enumerate(made):
                if config.noisy and isinstance(layer, nn.Linear):
                    made[place] = NoisyLinear(layer, config.sigma)
            return made

        self.num_actions, self.distributional = num_actions, config.distributional
        outputs = config.atoms if config.distributional else 1
        self.body = nn.Sequential(layers(obs_size, *config.hidden), nn.ReLU())
        self.value = layers(config.hidden[-1], outputs) if config.dueling else None
        self.advantage = layers(config.hidden[-1], num_actions * outputs)
        self.atoms = torch.linspace(config.v_min, config.v_max, config.atoms, dtype=torch.float32)
        self._noisy = [layer for layer in self.modules() if isinstance(layer, NoisyLinear)]

    def forward(self, obs: Float[Tensor, "*B O"]) -> Float[Tensor, "*B A"]:
        logits = self.logits(obs)
        return expectation(logits, self.atoms) if self.distributional else logits.squeeze(-1)

    def logits(self, obs: Float[Tensor, "*B O"]) -> Float[Tensor, "*B A K"]:
        """Of each action's distribution; without distributions K is 1, and these are the values."""
        features = self.body(obs)
        advantage = self.advantage(features).unflatten(-1, (self.num_actions, -1))
        return advantage if self.value is None else dueling(self.value(features).unsqueeze(-2), advantage)

    def draw(self, generator: torch.Generator | None) -> None:
        """New noise in all layers, see `NoisyLinear`."""
        for layer in self._noisy:
            layer.draw(generator)


def dueling(value: Float[Tensor, "*B 1 K"], advantage: Float[Tensor, "*B A K"]) -> Float[Tensor, "*B A K"]:
    r"""$V(s) + A(s, a) - \frac{1}{|\mathcal{A}|} \sum_{a'} A(s, a')$, of a value or of the logit of each atom."""
    return value + advantage - advantage.mean(-2, keepdim=True)


QFunction = Callable[[Tensor], Tensor]  # observations (B, O) → action values (B, A), or logits (B, A, K)


def expectation(logits: Float[Tensor, "*B K"], atoms: Float[Tensor, " K"]) -> Float[Tensor, "*B"]:
    r"""$Q = \sum_i z_i\, p_i$, the mean of a distribution that has probability $p_i$ at the atom $z_i$."""
    return logits.softmax(-1) @ atoms


def project(
    returns: Float[Tensor, "B K"], probability: Float[Tensor, "B K"], atoms: Float[Tensor, " K"]
) -> Float[Tensor, "B K"]:
    r"""Move the probability of `returns`, which lie anywhere, to `atoms`, which lie Δz apart.

    $$p_i \leftarrow \sum_j \Big[1 - \frac{|[\hat{z}_j]_{z_1}^{z_K} - z_i|}{\Delta z}\Big]_0^1\, \hat{p}_j$$

    $[x]_a^b$ is x clipped to [a, b]. Two atoms share the probability of a return between them, so that its mean stays.
    What lies below the first atom goes to the first, what lies above the last to the last, and the mean changes.
    """
    place = ((returns - atoms[0]) / (atoms[1] - atoms[0])).clamp(0, len(atoms) - 1)  # 0 the first atom, 1 the second …
    below = place.floor().clamp(max=len(atoms) - 2)  # algorithm 1 loses what lies on an atom: there both shares are 0
    share, index = place - below, below.long()
    projected = torch.zeros_like(probability).scatter_add(-1, index, (1 - share) * probability)
    return projected.scatter_add(-1, index + 1, share * probability)


def distributional_target(
    batch: Batch, q: QFunction, target_logits: QFunction, atoms: Float[Tensor, " K"], gamma: float | Tensor
) -> Float[Tensor, "B K"]:
    r"""The distribution of $r + \gamma\,(1 - \text{terminated})\, Z'(s', \arg\max_{a'} Q(s', a'))$, on the atoms.

    Z' is the random return whose distribution the target network knows. Shapes as in `double_bellman_target`.
    """
    next_action = q(batch.next_obs).argmax(-1)
    probability = target_logits(batch.next_obs)[torch.arange(len(next_action)), next_action].softmax(-1)
    discount = gamma * (1 - batch.terminated)
    return project(batch.reward[:, None] + discount[:, None] * atoms, probability, atoms)


def double_bellman_target(
    batch: Batch, q: QFunction, target_q: QFunction, gamma: float | Tensor
) -> Float[Tensor, " B"]:
    r"""$y = r + \gamma\,(1 - \text{terminated})\, Q'(s', \arg\max_{a'} Q(s', a'))$: Q selects, Q' evaluates.

    Shapes: reward `(B,)`, `q(next_obs)` `(B, A)` → y `(B,)`. For n-step transitions pass γ to the power of their
    `steps`, `(B,)`. Where Q is Q' this is DQN's target.
    """
    next_action = q(batch.next_obs).argmax(-1, keepdim=True)
    next_q = target_q(batch.next_obs).gather(-1, next_action).squeeze(-1)
    return batch.reward + gamma * (1 - batch.terminated) * next_q


def critic_loss(
    q: Float[Tensor, " B"], target: Float[Tensor, " B"], weight: Float[Tensor, " B"], threshold: float
) -> Float[Tensor, ""]:
    r"""$\frac{1}{B} \sum_j w_j H(y_j - Q(s_j, a_j))$ with Huber's H, whose slope never exceeds the threshold κ."""
    return (weight * F.huber_loss(q, target, reduction="none", delta=threshold)).mean()


def divergence(target: Float[Tensor, "B K"], logits: Float[Tensor, "B K"]) -> Float[Tensor, " B"]:
    r"""$\mathrm{KL}(m \,\|\, p) = \sum_i m_i (\log m_i - \log p_i)$ of the target m; 0 log 0 is 0.

    Its gradient is that of the cross-entropy $-\sum_i m_i \log p_i$: m does not learn.
    """
    return F.kl_div(logits.log_softmax(-1), target, reduction="none").sum(-1)


def priority(error: Float[Tensor, " B"], exponent: float) -> Float[Tensor, " B"]:
    r"""$p = (|\delta| + 10^{-6})^{\alpha}$, where δ is the TD error or the divergence; every p is above 0."""
    return (error.abs() + 1e-6) ** exponent


def importance_weight(probability: Float[Tensor, " B"], exponent: float) -> Float[Tensor, " B"]:
    r"""$w_j = (N\, P(j))^{-\beta} / \max_i w_i$, the maximum over the batch; all 1 where P is uniform."""
    return (probability / probability.min()) ** -exponent


class Rainbow(Stateful):
    """A `loop.Agent` for discrete actions and vector observations.

    Attributes:
        q: the online network, `(*B, obs_size)` → `(*B, num_actions)`.
        target_q: the target network.
    """

    def __init__(
        self, obs_size: int, num_actions: int, config: Config, seed: int, replay: ReplayBuffer | None = None
    ) -> None:
        self.config, self.num_actions = config, num_actions
        initialisation, self._exploration, self._sampling, self._noise = generators(seed, 4)
        self.q = QNet(obs_size, num_actions, config, initialisation)
        self.target_q = copy.deepcopy(self.q).requires_grad_(False)
        self.optimizer = torch.optim.Adam(self.q.parameters(), lr=config.lr, fused=True)
        memory = PrioritizedReplay if config.priority_exponent > 0 else ReplayBuffer
        self.replay = memory(config.buffer_size, (obs_size,)) if replay is None else replay
        self._n_step = NStep(config.n_step, config.gamma)
        self.steps = self.updates = 0

    def act(self, obs: Any, explore: bool = True) -> int:
        self.q.draw(self._exploration if explore else None)  # evaluated without noise, our choice
        if explore and torch.rand((), generator=self._exploration) < self.epsilon:
            return int(torch.randint(self.num_actions, (), generator=self._exploration))
        with torch.inference_mode():
            return int(self.q(torch.as_tensor(obs, dtype=torch.float32)).argmax())

    def value(self, obs: Any, action: int) -> float:
        """The critic's estimate of Q(s, a)."""
        self.q.draw(None)
        with torch.inference_mode():
            return float(self.q(torch.as_tensor(obs, dtype=torch.float32))[action])

    @property
    def epsilon(self) -> float:
        """The probability of a random action, falling linearly; 0 with noise ([NN] section 3, [R] table 1)."""
        if self.config.noisy:
            return 0.0
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
        selector = self.q if config.double else self.target_q
        with torch.no_grad():
            self.q.draw(self._noise)
            self.target_q.draw(self._noise)
            if config.distributional:
                target = distributional_target(batch, selector, self.target_q.logits, self.q.atoms, gamma)
            else:
                target = double_bellman_target(batch, selector, self.target_q, gamma)
        importance_exponent = _anneal(config.importance_start, 1.0, self.updates / config.importance_steps)
        weight = importance_weight(batch.probability, importance_exponent)

        self.q.draw(self._noise)  # the estimate's noise is not that of the selection [NN] appendix C.1
        if config.distributional:
            logits = self.q.logits(batch.obs)[torch.arange(len(batch.action)), batch.action]
            error = divergence(target, logits)
            loss = (weight * error).mean()
            q = expectation(logits.detach(), self.q.atoms)
        else:
            q = self.q(batch.obs).gather(-1, batch.action[:, None]).squeeze(-1)
            error = target - q
            loss = critic_loss(q, target, weight, config.huber_threshold)
        self.optimizer.zero_grad()
        loss.backward()
        grad_norm = nn.utils.clip_grad_norm_(self.q.parameters(), config.max_grad_norm)
        self.optimizer.step()

        self.updates += 1
        if self.updates % config.target_every == 0:
            polyak_update(self.target_q, self.q, config.tau)
        if isinstance(self.replay, PrioritizedReplay):
            self.replay.update_priorities(batch.indices, priority(error.detach(), config.priority_exponent))
        return {"loss": loss.item(), "q": q.mean().item(), "grad_norm": grad_norm.item()}


def _anneal(start: float, end: float, progress: float) -> float:
    return start + (end - start) * min(progress, 1.0)
