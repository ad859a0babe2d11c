"""Autoregressive policy = any distribution of actions, one number after the other, each in bins.

Paper: Kim et al. (2024), *OpenVLA: an open-source vision-language-action model* [VLA].

| function | equation |
|---|---|
| `Autoregressive.log_prob` | [VLA] section 3: in bins, one number of the action after the other |

It learns as any policy with a density does, by `cloning.actor_loss`.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from rlcourse.nets import Categorical, mlp


def bin_of(action: Float[Tensor, "*B"], bins: int) -> Int[Tensor, "*B"]:
    """Which of `bins` equal parts of [−1, 1] it is in, counted from 0; what lies outside belongs to the outermost."""
    return ((action + 1) / 2 * bins).long().clamp(0, bins - 1)


def middle(index: Int[Tensor, "*B"], bins: int) -> Float[Tensor, "*B"]:
    """The middle of such a part."""
    return (2 * index.float() + 1) / bins - 1


@dataclass(frozen=True)
class Autoregressive:
    r"""$\pi(a \mid s) = \prod_i \pi(a_i \mid s, a_1, \ldots, a_{i-1})$, each number of the action one of N bins.

    Attributes:
        logits: the numbers before, in the middles of their bins, `(*B, i)` → those of the next one's bins, `(*B, N)`.
        shape: of the actions, `(*B, A)`.
    """

    logits: Callable[[Tensor], Tensor]
    shape: tuple[int, ...]

    def log_prob(self, action: Float[Tensor, "*B A"]) -> Float[Tensor, " *B"]:
        """The density of actions in [−1, 1]; within a bin, which is 2/N wide, it is the same everywhere."""
        total, before = torch.zeros(self.shape[:-1], dtype=torch.float32), action[..., :0]
        for i in range(self.shape[-1]):
            following = Categorical(self.logits(before))
            bins = following.logits.shape[-1]
            index = bin_of(action[..., i], bins)
            total = total + following.log_prob(index) + math.log(bins / 2)
            before = torch.cat([before, middle(index, bins)[..., None]], -1)
        return total

    def sample(self, generator: torch.Generator) -> Float[Tensor, "*B A"]:
        """One action for each observation of a batch, in the middles of its bins."""
        return self._build(lambda following: following.sample(generator))

    @property
    def mode(self) -> Float[Tensor, "*B A"]:
        """The likeliest first number, with it the likeliest second one, and so on."""
        return self._build(lambda following: following.mode)

    def _build(self, choose: Callable[[Categorical], Tensor]) -> Float[Tensor, "*B A"]:
        action = torch.zeros(*self.shape[:-1], 0, dtype=torch.float32)
        for _ in range(self.shape[-1]):
            following = Categorical(self.logits(action))
            number = middle(choose(following), following.logits.shape[-1])
            action = torch.cat([action, number[..., None]], -1)
        return action


class AutoregressivePolicy(nn.Module):
    """Observations `(*B, O)` → `Autoregressive` actions: a network for each number, which also sees those before."""

    def __init__(
        self, obs_size: int, action_size: int, bins: int, hidden: Sequence[int], generator: torch.Generator
    ) -> None:
        super().__init__()
        self.nets = nn.ModuleList(mlp([obs_size + i, *hidden, bins], generator) for i in range(action_size))

    def forward(self, obs: Float[Tensor, "*B O"]) -> Autoregressive:
        def logits(before: Tensor) -> Tensor:
            return self.nets[before.shape[-1]](torch.cat([obs, before], -1))

        return Autoregressive(logits, (*obs.shape[:-1], len(self.nets)))
