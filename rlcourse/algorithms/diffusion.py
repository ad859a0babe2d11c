r"""Diffusion policy = any distribution of actions, made from noise in small steps.

Papers: Ho, Jain and Abbeel (2020), *Denoising diffusion probabilistic models* [DDPM]; Nichol and Dhariwal (2021),
*Improved denoising diffusion probabilistic models* [COS]; Chi et al. (2023), *Diffusion policy: visuomotor policy
learning via action diffusion* [DP].

| function | equation |
|---|---|
| `kept` | [COS] eq. 17: the share of an action that is left after t steps |
| `noised` | [DDPM] eq. 4: all steps to noise at once |
| `denoised` | [DDPM] eqs. 6 and 7: one step back |
| `Diffusion.path` | [DDPM] algorithm 2 |

It learns by `cloning.squared_error` between its guess at the action and the action, at a random step.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from rlcourse.nets import mlp


def kept(steps: int) -> Float[Tensor, " steps_and_one"]:
    r"""$\bar\alpha_0, \ldots, \bar\alpha_T$: the share of an action's variance left after t of T steps to noise."""
    angle = (torch.arange(steps + 1) / steps + 0.008) / 1.008 * math.pi / 2
    share = angle.cos() ** 2
    step = (share[1:] / share[:-1]).clamp(min=1e-3)  # the last step keeps a thousandth, so that nothing divides by 0
    return torch.cat([torch.ones(1), step]).cumprod(0).float()


def noised(
    action: Float[Tensor, "*B A"], noise: Float[Tensor, "*B A"], share: Float[Tensor, " *B"]
) -> Float[Tensor, "*B A"]:
    r"""$x_t = \sqrt{\bar\alpha_t}\, a + \sqrt{1 - \bar\alpha_t}\, \varepsilon$: all t steps to noise at once."""
    share = share[..., None]
    return share.sqrt() * action + (1 - share).sqrt() * noise


def denoised(
    x: Float[Tensor, "*B A"], guess: Float[Tensor, "*B A"], now: float, before: float, fresh: Float[Tensor, "*B A"]
) -> Float[Tensor, "*B A"]:
    r"""A step back, to $x_{t-1}$, as it would be if the action were `guess`, $\hat a$: its mean there, and its spread.

    $$x_{t-1} = \frac{\sqrt{\bar\alpha_{t-1}}\, \beta_t}{1 - \bar\alpha_t}\, \hat a
    + \frac{\sqrt{1 - \beta_t}\, (1 - \bar\alpha_{t-1})}{1 - \bar\alpha_t}\, x_t
    + \sqrt{\frac{1 - \bar\alpha_{t-1}}{1 - \bar\alpha_t}\, \beta_t}\; z.$$

    Args:
        now, before: $\bar\alpha_t$ and $\bar\alpha_{t-1}$; $\beta_t = 1 - \bar\alpha_t / \bar\alpha_{t-1}$.
        fresh: z, standard normal; the last step, to $\bar\alpha_0 = 1$, takes none of it.
    """
    beta = 1 - now / before
    mean = (before**0.5 * beta * guess + (1 - beta) ** 0.5 * (1 - before) * x) / (1 - now)
    return mean + ((1 - before) / (1 - now) * beta) ** 0.5 * fresh


@dataclass(frozen=True)
class Diffusion:
    r"""Actions made from noise, in T steps; there is no density to ask for.

    Attributes:
        guess: noised actions `(*B, A)` and the share $\bar\alpha$ `(*B,)` that is left of them → the actions' mean.
        kept: $\bar\alpha_0, \ldots, \bar\alpha_T$.
        shape: of the actions, `(*B, A)`.
    """

    guess: Callable[[Tensor, Tensor], Tensor]
    kept: Float[Tensor, " steps_and_one"]
    shape: tuple[int, ...]

    def path(self, fresh: Float[Tensor, "steps_and_one *B A"]) -> Float[Tensor, "steps_and_one *B A"]:
        """From noise to actions, [DDPM] algorithm 2: `fresh` is the first one, and what each step adds."""
        x, share = fresh[0], self.kept.tolist()
        places = [x]
        for z, now, before in zip(fresh[1:], share[:0:-1], share[-2::-1], strict=True):
            guess = self.guess(x, torch.full(self.shape[:-1], now, dtype=x.dtype)).clamp(-1, 1)
            x = denoised(x, guess, now, before, z)
            places.append(x)
        return torch.stack(places)

    def sample(self, generator: torch.Generator) -> Float[Tensor, "*B A"]:
        """One action for each observation of a batch."""
        return self.path(torch.randn(len(self.kept), *self.shape, generator=generator, dtype=torch.float32))[-1]


class DiffusionPolicy(nn.Module):
    """Observations `(*B, O)` → `Diffusion` of actions.

    The network guesses the action and learns by the action's error. [DDPM] and [DP] take the noise's error: the same
    with other weights, the largest where little noise is left. In `TwoWays`, after 2,000 updates (20 steps, 2 seeds of
    20 walks), 75 % of the walks came to ten goals with the first and 5 % with the second.
    """

    def __init__(
        self, obs_size: int, action_size: int, steps: int, hidden: Sequence[int], generator: torch.Generator
    ) -> None:
        super().__init__()
        self.kept, self.action_size = kept(steps), action_size
        self.net = mlp([obs_size + action_size + 2, *hidden, action_size], generator)

    def forward(self, obs: Float[Tensor, "*B O"]) -> Diffusion:
        def guess(x: Tensor, share: Tensor) -> Tensor:
            return self.net(torch.cat([obs, x, torch.stack([share.sqrt(), (1 - share).sqrt()], -1)], -1))

        return Diffusion(guess, self.kept, (*obs.shape[:-1], self.action_size))
