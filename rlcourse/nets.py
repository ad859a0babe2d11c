"""What several algorithms share unchanged: random generators, perceptrons, policies, target networks."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from gymnasium.spaces import Box, Discrete, Space
from jaxtyping import Float, Int
from torch import Tensor, nn

from rlcourse import inputs


def generators(seed: int, count: int) -> list[torch.Generator]:
    """`count` independent generators from one seed: one for each use, so that uses do not disturb each other.

    The first k are the same however many follow.
    """
    children = np.random.SeedSequence(seed).spawn(count)
    return [torch.Generator().manual_seed(int(child.generate_state(1, np.uint64)[0])) for child in children]


def mlp(
    sizes: Sequence[int], generator: torch.Generator, activation: Callable[[], nn.Module] = nn.ReLU
) -> nn.Sequential:
    r"""Linear layers of `sizes` units, input first, with `activation` between them and none at the end.

    Weights and biases are drawn from $U(-1/\sqrt{n}, 1/\sqrt{n})$ for n inputs, PyTorch's own choice, but from
    `generator`. Shapes: `(*batch, sizes[0])` → `(*batch, sizes[-1])`.
    """
    inputs.check_sizes("sizes of layers", *sizes)
    layers: list[nn.Module] = []
    for before, after in pairwise(sizes):
        # float32 whatever torch's default is, and not yet drawn from anything
        linear = nn.Linear(before, after, device="meta", dtype=torch.float32).to_empty(device="cpu")
        for parameter in linear.parameters():
            nn.init.uniform_(parameter, -(before**-0.5), before**-0.5, generator=generator)
        layers += [linear, activation()]
    return nn.Sequential(*layers[:-1])


@dataclass(frozen=True)
class Categorical:
    """A distribution over A actions for each of B observations, from unnormalised log-probabilities `logits`."""

    logits: Float[Tensor, "*B A"]

    @property
    def mode(self) -> Int[Tensor, "*B"]:
        """The most likely action."""
        return self.logits.argmax(-1)

    def sample(self, generator: torch.Generator) -> Int[Tensor, "*B"]:
        return torch.multinomial(self.logits.softmax(-1), 1, generator=generator).squeeze(-1)

    def log_prob(self, action: Int[Tensor, "*B"]) -> Float[Tensor, "*B"]:
        return self.logits.log_softmax(-1).gather(-1, action[..., None]).squeeze(-1)

    def entropy(self) -> Float[Tensor, "*B"]:
        r"""$-\sum_a p(a) \log p(a)$, in nats; 0 log 0 is 0."""
        log_p = self.logits.log_softmax(-1)
        return -(log_p.exp() * torch.where(log_p == -math.inf, 0.0, log_p)).sum(-1)

    def kl(self, other: "Categorical") -> Float[Tensor, "*B"]:
        r"""$\mathrm{KL}(p \,\|\, q) = \sum_a p(a) (\log p(a) - \log q(a))$ with p this distribution; 0 log 0 is 0."""
        log_p, log_q = self.logits.log_softmax(-1), other.logits.log_softmax(-1)
        p = log_p.exp()
        return (p * torch.where(p == 0, 0.0, log_p - log_q)).sum(-1)


@dataclass(frozen=True)
class Gaussian:
    """Independent normal distributions over A numbers; `log_std` may be the same for every observation, `(A,)`."""

    mean: Float[Tensor, "*B A"]
    log_std: Float[Tensor, " A"] | Float[Tensor, "*B A"]

    @property
    def mode(self) -> Float[Tensor, "*B A"]:
        """The most likely action, brought into [−1, 1]: a sample outside is the environment's to clip."""
        return self.mean.clamp(-1, 1)

    def sample(self, generator: torch.Generator) -> Float[Tensor, "*B A"]:
        return self.mean + self.log_std.exp() * torch.randn(self.mean.shape, generator=generator, dtype=self.mean.dtype)

    def log_prob(self, action: Float[Tensor, "*B A"]) -> Float[Tensor, "*B"]:
        r"""$-\sum_i \frac{(a_i - \mu_i)^2}{2 \sigma_i^2} + \log \sigma_i + \tfrac12 \log 2\pi$."""
        standardised = (action - self.mean) * _precision(self.log_std)
        return -(0.5 * standardised**2 + self.log_std + 0.5 * math.log(2 * math.pi)).sum(-1)

    def entropy(self) -> Float[Tensor, "*B"]:
        r"""$\sum_i \log \sigma_i + \tfrac12 \log 2\pi e$, in nats."""
        return (self.log_std + 0.5 * math.log(2 * math.pi * math.e)).sum(-1).expand(self.mean.shape[:-1])

    def kl(self, other: "Gaussian") -> Float[Tensor, "*B"]:
        r"""$\mathrm{KL}(p \,\|\, q)$ with p this distribution."""
        log_ratio = 2 * (self.log_std - other.log_std)
        distance = ((self.mean - other.mean) * _precision(other.log_std)) ** 2
        # expm1(x) = exp(x) − 1 is exact near 0, and nothing takes the logarithm of a ratio that has become 0
        return 0.5 * (log_ratio.expm1() - log_ratio + distance).sum(-1)


def _precision(log_std: Tensor) -> Tensor:
    """1/σ, at most the largest number there is: infinity times a distance of 0 would be NaN."""
    return (-log_std).exp().clamp(max=torch.finfo(log_std.dtype).max)


Distribution = Categorical | Gaussian


class Policy(nn.Module):
    """A network that gives a distribution over actions for each observation.

    Args:
        action_space: `Discrete` (a `Categorical` over its actions), or a `Box` of A numbers in [−1, 1] (a `Gaussian`,
            whose spread is learned, from 1 on, and does not depend on the observation).

    Raises:
        ValueError: another kind of action space.
    """

    def __init__(
        self,
        obs_size: int,
        action_space: Space,
        hidden: Sequence[int],
        generator: torch.Generator,
        activation: Callable[[], nn.Module] = nn.Tanh,
    ) -> None:
        super().__init__()
        if isinstance(action_space, Discrete):
            if action_space.start != 0:
                raise ValueError(f"action_space = {action_space}: it must count from 0, as envs.make lets it")
            self.net = mlp([obs_size, *hidden, int(action_space.n)], generator, activation)
            self.log_std = None
        else:
            size = action_size(action_space)
            self.net = mlp([obs_size, *hidden, size], generator, activation)
            self.log_std = nn.Parameter(torch.zeros(size, dtype=torch.float32))

    def forward(self, obs: Float[Tensor, "*B O"]) -> Distribution:
        return Categorical(self.net(obs)) if self.log_std is None else Gaussian(self.net(obs), self.log_std)


def action_size(action_space: Space) -> int:
    """How many numbers in [−1, 1] an action is.

    Raises:
        ValueError: actions are discrete, or bounded otherwise, or not at all.
    """
    if isinstance(action_space, Box) and len(action_space.shape) == 1:
        low, high = action_space.low, action_space.high
        if np.all(low == -1) and np.all(high == 1):
            return int(action_space.shape[0])
    raise ValueError(
        f"action_space = {action_space}: it must be a Box from -1 to 1 with one axis; envs.make rescales bounded "
        "actions, for discrete ones use DQN or PPO"
    )


class Actor(nn.Module):
    """A deterministic policy: observations `(*B, obs_size)` → actions `(*B, action_size)` in [−1, 1]."""

    def __init__(self, obs_size: int, action_size: int, hidden: Sequence[int], generator: torch.Generator) -> None:
        super().__init__()
        self.net = mlp([obs_size, *hidden, action_size], generator)

    def forward(self, obs: Float[Tensor, "*B O"]) -> Float[Tensor, "*B A"]:
        return self.net(obs).tanh()


class Parallel(nn.Module):
    """N linear layers side by side, each for its own rows: `(M, B, in)` → `(M, B, out)`, by the first M of them."""

    def __init__(self, layers: Sequence[nn.Linear]) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.stack([layer.weight.detach().T for layer in layers]))
        self.bias = nn.Parameter(torch.stack([layer.bias.detach()[None] for layer in layers]))

    def forward(self, x: Float[Tensor, "M B I"]) -> Float[Tensor, "M B J"]:
        return torch.baddbmm(self.bias[: len(x)], x, self.weight[: len(x)])


def parallel(nets: Sequence[Sequence[nn.Module]]) -> nn.ModuleList:
    """The linear layers of equal networks, those at the same depth as one `Parallel`."""
    return nn.ModuleList(Parallel(same) for same in zip(*nets, strict=True) if isinstance(same[0], nn.Linear))


class Critics(nn.Module):
    """N Q-functions with weights of their own, computed together, which takes hardly longer than one by one.

    Observations `(B, obs_size)` and actions `(B, action_size)` → `(N, B)`. Initialised like `mlp`.
    """

    def __init__(
        self, obs_size: int, action_size: int, hidden: Sequence[int], generator: torch.Generator, count: int
    ) -> None:
        super().__init__()
        # One whole network is drawn after the other: the first is the same however many follow.
        self.layers = parallel([[*mlp([obs_size + action_size, *hidden, 1], generator)] for _ in range(count)])
        self.count = count

    def forward(self, obs: Float[Tensor, "B O"], action: Float[Tensor, "B A"]) -> Float[Tensor, "N B"]:
        return self._first(self.count, obs, action)

    def first(self, obs: Float[Tensor, "B O"], action: Float[Tensor, "B A"]) -> Float[Tensor, " B"]:
        """The first network's values; the others are not computed."""
        return self._first(1, obs, action).squeeze(0)

    def _first(self, count: int, obs: Tensor, action: Tensor) -> Tensor:
        x = torch.cat([obs, action], -1).expand(count, -1, -1)
        for depth, layer in enumerate(self.layers):
            x = layer(x.relu() if depth else x)
        return x.squeeze(-1)


@torch.no_grad()
def polyak_update(target: nn.Module, online: nn.Module, tau: float) -> None:
    r"""$\theta' \leftarrow (1 - \tau)\, \theta' + \tau\, \theta$; with τ = 1 a copy."""
    torch._foreach_lerp_(list(target.parameters()), list(online.parameters()), tau)
