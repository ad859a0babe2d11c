r"""Cloning = supervised learning of an expert's actions, from the states the expert visits or from one's own.

Papers: Pomerleau (1989), *ALVINN: an autonomous land vehicle in a neural network* [BC]; Bishop (1994), *Mixture density
networks* [MDN]; Ross, Gordon and Bagnell (2011), *A reduction of imitation learning and structured prediction to
no-regret online learning* [DAgger].

| function | equation |
|---|---|
| `squared_error` | regression, the likelihood of a Gaussian whose variance is fixed |
| `actor_loss` | maximum likelihood, for any policy with a density |
| `Mixture.log_prob` | [MDN] section 3, a mixture of Gaussian kernels; here each action has a width of its own |
| `Clone.act` | [DAgger] algorithm 3.1, the mixed policy with $\beta_1 = 1$, then $\beta_i = 0$ |
| `Demonstrations.batches` | [DAgger] algorithm 3.1, the loop's second half |

*Behaviour cloning* is offline: the expert acts all the time. *DAgger* is online: after a first round the clone acts,
and the expert only says what it would have done. All rounds have equal numbers of labels.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from rlcourse.buffers import Transition
from rlcourse.checkpoints import Stateful
from rlcourse.config import Count, CountOrZero, Positive, check
from rlcourse.nets import generators, mlp


@dataclass(frozen=True)
class Config:
    # Tuned on rlcourse/Road-v0: the course's own.
    lr: Positive = 1e-3  # of Adam
    batch_size: Count = 64  # pairs of observation and action per update
    hidden: tuple[Count, ...] = (32, 32)  # units of each hidden layer
    components: CountOrZero = 0  # of a mixture [MDN]; 0 is one action, by squared error
    dagger: bool = False  # after the first round the clone acts and the expert corrects [DAgger]
    round_steps: Count = 200  # labels per round: environment steps in which the expert acts or is asked
    updates: Count = 200  # gradient steps after each round, on all rounds' data

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True)
class Mixture:
    r"""$\pi(a \mid s) = \sum_k w_k\, \mathcal{N}(a; \mu_k, \sigma_k^2)$, with K components, A independent actions."""

    logits: Float[Tensor, "*B K"]  # of the weights w
    mean: Float[Tensor, "*B K A"]
    log_std: Float[Tensor, "*B K A"]

    def log_prob(self, action: Float[Tensor, "*B A"]) -> Float[Tensor, " *B"]:
        std = self.log_std.exp().clamp(min=torch.finfo(self.log_std.dtype).tiny)  # 0 / 0 would be NaN
        standardised = (action[..., None, :] - self.mean) / std
        normal = -0.5 * standardised**2 - self.log_std - 0.5 * math.log(2 * math.pi)
        return (self.logits.log_softmax(-1) + normal.sum(-1)).logsumexp(-1)

    def sample(self, generator: torch.Generator) -> Float[Tensor, "*B A"]:
        """One action for each observation of a batch."""
        weights = self.logits.softmax(-1)
        chosen = torch.multinomial(weights.flatten(0, -2), 1, generator=generator).reshape(weights.shape[:-1])
        mean, std = self._component(self.mean, chosen), self._component(self.log_std, chosen).exp()
        return mean + std * torch.randn(mean.shape, generator=generator, dtype=mean.dtype)

    @property
    def mode(self) -> Float[Tensor, "*B A"]:
        """The mean of the heaviest component: the mode itself where components do not overlap."""
        return self._component(self.mean, self.logits.argmax(-1))

    def noised(self, share: float) -> "Mixture":
        r"""The distribution of `noised` actions: each component nearer to 0, and wider."""
        variance = share * (2 * self.log_std).exp() + 1 - share
        return Mixture(self.logits, share**0.5 * self.mean, variance.log() / 2)

    def score(self, action: Float[Tensor, "*B A"]) -> Float[Tensor, "*B A"]:
        r"""$\nabla_a \log \pi(a \mid s)$: the way to where actions are likelier."""
        with torch.enable_grad():
            action = action.detach().requires_grad_()
            return torch.autograd.grad(self.log_prob(action).sum(), action)[0]

    @staticmethod
    def _component(each: Tensor, chosen: Tensor) -> Tensor:
        return each.gather(-2, chosen[..., None, None].expand(*chosen.shape, 1, each.shape[-1])).squeeze(-2)


class MixturePolicy(nn.Module):
    """Observations `(*B, O)` → a `Mixture` of actions."""

    LEAST_LOG_STD = -3.0  # if the demonstrator never varies, the density would grow without bound

    def __init__(
        self, obs_size: int, action_size: int, components: int, hidden: Sequence[int], generator: torch.Generator
    ) -> None:
        super().__init__()
        self.shape = components, 1 + 2 * action_size
        self.net = mlp([obs_size, *hidden, math.prod(self.shape)], generator)

    def forward(self, obs: Float[Tensor, "*B O"]) -> Mixture:
        logits, rest = self.net(obs).unflatten(-1, self.shape).tensor_split([1], -1)
        mean, log_std = rest.chunk(2, -1)
        return Mixture(logits.squeeze(-1), mean, log_std.clamp(min=self.LEAST_LOG_STD))


def squared_error(prediction: Float[Tensor, "B A"], action: Float[Tensor, "B A"]) -> Float[Tensor, ""]:
    r"""$\frac{1}{B} \sum_j \|\mu_\theta(s_j) - a_j\|^2$, smallest at the *mean* of the demonstrated actions."""
    return ((prediction - action) ** 2).sum(-1).mean()


def actor_loss(log_prob: Float[Tensor, " B"]) -> Float[Tensor, ""]:
    r"""$-\frac{1}{B} \sum_j \log \pi_\theta(a_j \mid s_j)$: make what the demonstrators did more likely."""
    return -log_prob.mean()


class Demonstrations(Stateful):
    """What the expert has shown or said, to be learned in rounds; its length is the number of labels."""

    def __init__(self) -> None:
        self._obs: list[np.ndarray] = []
        self._action: list[np.ndarray] = []
        self._learned = 0  # labels that there were when a round last ended

    def __len__(self) -> int:
        return len(self._obs)

    def add(self, obs: np.ndarray, action: np.ndarray) -> None:
        self._obs.append(obs)
        self._action.append(action)

    def tensors(self) -> tuple[Float[Tensor, "N O"], Float[Tensor, "N A"]]:
        """All observations so far, and what the expert does there."""
        obs, action = (torch.as_tensor(np.stack(each), dtype=torch.float32) for each in (self._obs, self._action))
        return obs, action

    def batches(
        self, round_steps: int, updates: int, batch_size: int, generator: torch.Generator
    ) -> Iterator[tuple[Float[Tensor, "B O"], Float[Tensor, "B A"]]]:
        """After every `round_steps` labels `updates` batches, from all rounds."""
        if len(self) - self._learned < round_steps:
            return
        self._learned = len(self)
        obs, action = self.tensors()
        for _ in range(updates):
            rows = torch.randint(len(obs), (batch_size,), generator=generator)
            yield obs[rows], action[rows]


class Clone(Stateful):
    """An agent that learns a box of actions in [−1, 1] from what an expert would do.

    Args:
        obs_size: numbers in an observation.
        action_size: numbers in an action.
        expert: observation → action.

    Attributes:
        policy: observations `(*B, obs_size)` → actions `(*B, action_size)`, or a `Mixture` of them.
        steps: transitions observed.
    """

    def __init__(
        self, obs_size: int, action_size: int, expert: Callable[[Any], np.ndarray], config: Config, seed: int
    ) -> None:
        self.config, self.expert = config, expert
        initialisation, self._sampling = generators(seed, 2)
        if config.components:
            sizes = obs_size, action_size, config.components, config.hidden
            self.policy: nn.Module = MixturePolicy(*sizes, initialisation)
        else:
            self.policy = mlp([obs_size, *config.hidden, action_size], initialisation)
        self.optimizer = torch.optim.Adam(self.policy.parameters(), lr=config.lr, fused=True)
        self.demonstrations = Demonstrations()
        self.steps = 0

    @property
    def _expert_acts(self) -> bool:
        return not self.config.dagger or len(self.demonstrations) < self.config.round_steps

    def act(self, obs: Any, explore: bool = True) -> np.ndarray:
        """While exploring: whoever drives now."""
        if explore and self._expert_acts:
            return self.expert(obs)
        with torch.inference_mode():
            output = self.policy(torch.as_tensor(obs, dtype=torch.float32))
            return (output.mode if self.config.components else output).clamp(-1, 1).numpy()

    def observe(self, transition: Transition) -> None:
        """Keep what the expert did; in DAgger also what it would have done."""
        self.steps += 1
        action = transition.action if self._expert_acts else self.expert(transition.obs)
        self.demonstrations.add(transition.obs, action)

    def learn(self) -> Iterator[dict[str, float]]:
        config = self.config
        for batch in self.demonstrations.batches(config.round_steps, config.updates, config.batch_size, self._sampling):
            yield self.update(*batch)

    def update(self, obs: Float[Tensor, "B O"], action: Float[Tensor, "B A"]) -> dict[str, float]:
        output = self.policy(obs)
        loss = actor_loss(output.log_prob(action)) if self.config.components else squared_error(output, action)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return {"loss": loss.item()}
