r"""Compatible features: when a critic that is wrong gives exactly the right policy gradient.

Paper: Sutton, McAllester, Singh and Mansour (2000), *Policy gradient methods for reinforcement learning with function
approximation* [S].

| function | equation |
|---|---|
| `softmax_policy` | [S] section 2, a policy whose parameters all states share |
| `scores` | $\psi(s, a) = \nabla_\theta \log \pi_\theta(a \mid s)$ |
| `policy_gradient` | [S] eq. 2, theorem 1 |
| `fit` | [S] eq. 3, solved at once |

With $f_w(s, a) = w^\top \psi(s, a)$ fitted to $Q^\pi$ under $d^\pi$ and π, the errors $Q^\pi - f_w$ are orthogonal to
every component of ψ. The gradient is the average of $\psi\, Q^\pi$. So it does not change if f stands in place of Q:
[S], theorem 2.
"""

import numpy as np
from jaxtyping import Float
from scipy import special

Table = Float[np.ndarray, "S A"]
Features = Float[np.ndarray, "S A K"]


def softmax_policy(features: Features, theta: Float[np.ndarray, " K"]) -> Table:
    r"""$\pi_\theta(a \mid s) \propto \exp(\theta^\top \phi(s, a))$."""
    return np.asarray(special.softmax(features @ theta, axis=-1))


def scores(policy: Table, features: Features) -> Features:
    r"""$\nabla_\theta \log \pi_\theta(a \mid s) = \phi(s, a) - \sum_b \pi_\theta(b \mid s)\, \phi(s, b)$."""
    return features - (policy[..., None] * features).sum(1, keepdims=True)


def policy_gradient(
    states: Float[np.ndarray, " S"], policy: Table, features: Features, q: Table, gamma: float
) -> Float[np.ndarray, " K"]:
    r"""$\frac{1}{1 - \gamma} \sum_s d^\pi(s) \sum_a \pi(a \mid s)\, \psi(s, a)\, Q(s, a)$, with `states` $= d^\pi$."""
    pairs = states[:, None] * policy
    return np.einsum("sa,sak,sa->k", pairs, scores(policy, features), q) / (1 - gamma)


def fit(states: Float[np.ndarray, " S"], policy: Table, inputs: Features, q: Table) -> Table:
    r"""The critic $f_w = w^\top x(s, a)$ with the smallest $\sum_s d^\pi(s) \sum_a \pi(a \mid s)\, (Q - f_w)^2$."""
    root = np.sqrt(states[:, None] * policy).ravel()
    x = inputs.reshape(len(root), -1)
    w = np.linalg.lstsq(root[:, None] * x, root * q.ravel(), rcond=None)[0]
    return (x @ w).reshape(q.shape)
