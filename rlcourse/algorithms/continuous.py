r"""Continuous actions: ways to find $\arg\max_a Q(a)$, and the gradient of a policy's value.

Papers: Rubinstein (1999), *The cross-entropy method for combinatorial and continuous optimization* [CEM]; Kalashnikov
et al. (2018), *QT-Opt* [QT], where it maximises a critic; Silver et al. (2014), *Deterministic policy gradient
algorithms* [DPG]; Williams (1992), *Simple statistical gradient-following algorithms* [W]; Kingma and Welling (2014),
*Auto-encoding variational Bayes* [VAE], for reparameterisation.

| function | equation |
|---|---|
| `hill` | a critic whose best action is known |
| `best_of_list` | the maximum over a grid: quantised actions |
| `cross_entropy_method` | [CEM], as in [QT] section 4.2 |
| `climb` | gradient ascent on the action |
| `score_function_gradient` | [W], the stochastic policy gradient of one state |
| `pathwise_gradient` | [VAE] section 2.4; with σ = 0 [DPG] eq. 7 |

All of them look at one state, the contextual bandit's view: the critic is a function of actions alone. Actions are
numbers in [−1, 1], as everywhere in the course.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from rlcourse.config import Range, require

Critic = Callable[[Tensor], Tensor]  # actions (*B, A) → their values (*B,)


def hill(top: Float[Tensor, " A"]) -> Critic:
    r"""$Q(a) = 1 - |a - a^*|^2$, a critic whose best action, `top`, is known."""
    return lambda action: 1 - (action - top).square().sum(-1)


def best_of_list(critic: Critic, size: int, count: int) -> Float[Tensor, " A"]:
    r"""$\arg\max$ of Q over a grid, `count` values for each of `size` numbers: $\text{count}^{\text{size}}$ actions.

    Raises:
        ValueError: more than a million actions, or fewer than two values.
    """
    require("count", count, Range(2))
    if count**size > 1_000_000:
        raise ValueError(f"count = {count}, size = {size}: {count**size:,} actions to list; stay below a million")
    line = torch.linspace(-1, 1, count)
    actions = torch.cartesian_prod(*[line] * size).reshape(-1, size)
    return actions[critic(actions).argmax()]


def cross_entropy_method(
    critic: Critic, size: int, generator: torch.Generator, samples: int = 64, elite: int = 6, rounds: int = 4
) -> Float[Tensor, " A"]:
    r"""Draw actions, keep the best few, fit a Gaussian to them, draw again; the last mean.

    Raises:
        ValueError: an elite of fewer than two, or as large as the sample.
    """
    require("elite", elite, Range(2, samples - 1))
    mean, std = torch.zeros(size), torch.ones(size)
    for _ in range(rounds):
        actions = (mean + std * torch.randn(samples, size, generator=generator)).clamp(-1, 1)
        best = actions[critic(actions).topk(elite).indices]
        mean, std = best.mean(0), best.std(0)
    return mean


def climb(critic: Critic, action: Float[Tensor, "*B A"], lr: float, steps: int) -> Float[Tensor, "*B A"]:
    r"""$a \leftarrow a + \eta\, \nabla_a Q(a)$, kept in [−1, 1]: to the top of the hill that it starts on."""
    for _ in range(steps):
        action = action.detach().requires_grad_()
        (slope,) = torch.autograd.grad(critic(action).sum(), action)
        action = (action + lr * slope).clamp(-1, 1)
    return action.detach()


def score_function_gradient(
    critic: Critic, mean: Float[Tensor, " A"], std: float, normal: Float[Tensor, "N A"], baseline: float = 0.0
) -> Float[Tensor, "N A"]:
    r"""$(Q(a) - b)\, \nabla_\mu \log \mathcal{N}(a; \mu, \sigma^2) = (Q(a) - b)\, \epsilon / \sigma$ for
    $a = \mu + \sigma \epsilon$.

    One estimate of $\nabla_\mu \mathbb{E}[Q(a)]$ per sample; it needs no gradient of Q.

    Raises:
        ValueError: a σ of 0, under which no other action is ever tried.
    """
    require("std", std, Range(0, open_low=True))
    return (critic(mean + std * normal) - baseline)[:, None] * normal / std


def pathwise_gradient(
    critic: Critic, mean: Float[Tensor, " A"], std: float, normal: Float[Tensor, "N A"]
) -> Float[Tensor, "N A"]:
    r"""$\nabla_a Q(a)$ at $a = \mu + \sigma \epsilon$; with σ = 0 the deterministic policy gradient.

    One estimate of the same $\nabla_\mu \mathbb{E}[Q(a)]$ per sample: the mean moves every action along with it.
    """
    action = (mean + std * normal).requires_grad_()
    (slope,) = torch.autograd.grad(critic(action).sum(), action)
    return slope
