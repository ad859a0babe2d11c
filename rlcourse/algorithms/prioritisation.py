r"""What prioritised sampling does to a loss: the loss that has the same expected gradient under uniform sampling.

Papers: Fujimoto et al. (2020), *An equivalence between loss functions and non-uniform sampling in experience replay*
[LAP]; Schaul et al. (2016), *Prioritized experience replay* [PER].

| function | equation |
|---|---|
| `pal` | [LAP] eq. 11, the uniform twin of `td7.huber` under `td7.priority` |
| `per` | [LAP] theorem 3, the uniform twin of a power of the error under [PER] |

Both take the TD errors of a *whole* buffer: the constants in front depend on all of them.
"""

import torch
from jaxtyping import Float
from torch import Tensor


def pal(error: Float[Tensor, " B"], exponent: float, floor: float) -> Float[Tensor, " B"]:
    r"""The loss whose mean over *uniform* samples has LAP's expected gradient ([LAP] eq. 11, with any threshold κ).

    $\frac12 \kappa^\alpha \delta^2 / \lambda$ where $|\delta| \le \kappa$,
    $\frac{\kappa}{1 + \alpha} |\delta|^{1 + \alpha} / \lambda$ beyond, with
    $\lambda = \frac{1}{N} \sum_j \max(|\delta_j|, \kappa)^\alpha$, a constant to the gradient.
    """
    size = error.abs()
    scale = size.detach().clamp(min=floor).pow(exponent).mean()
    tail = floor * size.pow(1 + exponent) / (1 + exponent)
    return torch.where(size <= floor, 0.5 * floor**exponent * error.square(), tail) / scale


def per(error: Float[Tensor, " B"], power: float, exponent: float, correction: float) -> Float[Tensor, " B"]:
    r"""The loss whose mean over *uniform* samples has the expected gradient of $\frac{1}{\tau} |\delta|^\tau$ under PER
    ([LAP] theorem 3): $\frac{\eta N}{p} |\delta|^p$ with $p = \tau + \alpha - \alpha\beta$.

    Exact for fresh priorities $|\delta|^\alpha$ and weights $(P_{\min} / P)^\beta$;
    $\eta = \min_j |\delta_j|^{\alpha\beta} / \sum_j |\delta_j|^\alpha$ is a constant to the gradient.
    """
    size, p = error.abs(), power + exponent - exponent * correction
    constant = size.detach()
    eta = constant.min().pow(exponent * correction) / constant.pow(exponent).sum().clamp(min=1e-30)
    return eta * len(error) / p * size.pow(p)
