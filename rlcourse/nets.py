"""What several algorithms share unchanged: random generators, multilayer perceptrons, target networks."""

from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
import torch
from torch import nn


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
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(sizes):
        linear = nn.Linear(inputs, outputs, device="meta").to_empty(device="cpu")  # not yet drawn from anything
        for parameter in linear.parameters():
            nn.init.uniform_(parameter, -(inputs**-0.5), inputs**-0.5, generator=generator)
        layers += [linear, activation()]
    return nn.Sequential(*layers[:-1])


@torch.no_grad()
def polyak_update(target: nn.Module, online: nn.Module, tau: float) -> None:
    r"""$\theta' \leftarrow (1 - \tau)\, \theta' + \tau\, \theta$; with τ = 1 a copy."""
    torch._foreach_lerp_(list(target.parameters()), list(online.parameters()), tau)
