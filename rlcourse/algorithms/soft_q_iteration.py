r"""Soft Q-iteration = Q-iteration + entropy: V is paid α for each nat of randomness, and softmax(Q/α) is its policy.

Papers: Haarnoja et al. (2017), *Reinforcement learning with deep energy-based policies* [SQL]; Haarnoja et al. (2018),
*Soft actor-critic: off-policy maximum entropy deep reinforcement learning with a stochastic actor* [SAC1], which leaves
α in the scale of the rewards.

| function | equation |
|---|---|
| `entropy`, `soft_value` | [SAC1] eq. 3 |
| `backup`, `soft_bellman` | [SAC1] eq. 2, the step from V to Q, and lemma 1's operator |
| `evaluate_policy` | [SAC1] lemma 1, its fixed point solved for at once |
| `soft_maximum`, `improve` | [SQL] theorem 1, [SAC1] lemma 2 |
| `soft_q_iteration` | [SQL] theorem 3 |
| `soft_policy_iteration` | [SAC1] theorem 1 |
| `gaussians`, `reverse_kl`, `closest` | [SAC1] eq. 4 for a family of policies that is not all of them |
"""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float, Int
from scipy import sparse, special

from rlcourse.config import Range, require
from rlcourse.planning import Model, Table, Values, backup, contracted, policy_system


def entropy(policy: Float[np.ndarray, "*S A"]) -> Float[np.ndarray, "*S"]:
    r"""$\mathcal{H}(\pi(\cdot \mid s)) = -\sum_a \pi(a \mid s) \log \pi(a \mid s)$, in nats; 0 log 0 is 0."""
    return special.entr(policy).sum(-1)


def soft_value(q: Table, policy: Table, temperature: float) -> Values:
    r"""$V(s) = \mathbb{E}_{a \sim \pi}[Q(s, a) - \alpha \log \pi(a \mid s)]$."""
    return (policy * q).sum(-1) + temperature * entropy(policy)


def soft_bellman(model: Model, q: Table, policy: Table, gamma: float, temperature: float) -> Table:
    r"""One sweep of soft policy evaluation, from any Q.

    $$(\mathcal{T}^\pi Q)(s, a) = r(s, a) + \gamma\, \mathbb{E}_{s', a'}[Q(s', a') - \alpha \log \pi(a' \mid s')]$$
    """
    return backup(model, soft_value(q, policy, temperature), gamma)


def evaluate_policy(model: Model, policy: Table, gamma: float, temperature: float) -> Table:
    r"""The soft $Q^\pi$ exactly: $(I - \gamma P^\pi)\, V^\pi = r^\pi + \alpha \mathcal{H}(\pi)$, then one backup.

    Raises:
        ValueError: gamma outside [0, 1); a policy whose rows are no distributions, named by state.
    """
    reward = soft_value(model.expected_reward, policy, temperature)
    values = sparse.linalg.spsolve(policy_system(model, policy, gamma), reward)
    return backup(model, np.asarray(values), gamma)


def soft_maximum(q: Float[np.ndarray, "*S A"], temperature: float) -> Float[np.ndarray, "*S"]:
    r"""$V(s) = \alpha \log \sum_a \exp(Q(s, a) / \alpha)$: what `soft_value` is at its best policy.

    From $\max_a Q$, its limit for α → 0, to $\max_a Q + \alpha \log |\mathcal{A}|$, where all actions are equal.
    """
    top = q.max(-1, keepdims=True)  # so that exp cannot overflow
    return top.squeeze(-1) + temperature * np.log(np.exp((q - top) / temperature).sum(-1))


def improve(q: Float[np.ndarray, "*S A"], temperature: float) -> Float[np.ndarray, "*S A"]:
    r"""$\pi(a \mid s) = \exp\big((Q(s, a) - V(s)) / \alpha\big)$, softmax of Q/α: it has the highest soft value."""
    return special.softmax(q / temperature, axis=-1)


def soft_q_iteration(model: Model, gamma: float, temperature: float) -> Iterator[Table]:
    r"""Yield $Q_0 = 0, Q_1, Q_2, \ldots$ without end: Q-iteration, with `soft_maximum` for its maximum.

    $$Q_{k+1}(s, a) = r(s, a) + \gamma \sum_{s'} P(s' \mid s, a)\; \alpha \log \sum_{a'} \exp(Q_k(s', a') / \alpha)$$
    """
    q = np.zeros(model.expected_reward.shape)
    while True:
        yield q
        q = backup(model, soft_maximum(q, temperature), gamma)


def optimal_soft_q(model: Model, gamma: float, temperature: float, tolerance: float = 1e-8) -> Table:
    r"""Sweep until Q is surely within `tolerance` of the soft $Q^*$ everywhere; like the hard sweep it contracts by γ.

    Raises:
        ValueError: gamma outside [0, 1), where the bound fails; temperature or tolerance not positive.
    """
    require("temperature", temperature, Range(0, open_low=True))
    return contracted(soft_q_iteration(model, gamma, temperature), gamma, tolerance)


def soft_policy_iteration(
    model: Model, policy: Table, gamma: float, temperature: float
) -> Iterator[tuple[Table, Table]]:
    r"""Yield $(\pi_0, Q^{\pi_0}), (\pi_1, Q^{\pi_1}), \ldots$ without end; $\pi_{k+1}$ is `improve` of $Q^{\pi_k}$."""
    while True:
        q = evaluate_policy(model, policy, gamma, temperature)
        yield policy, q
        policy = improve(q, temperature)


# --- when the policy cannot be softmax(Q/α): a Gaussian


def gaussians(
    mean: Float[np.ndarray, " M"], std: Float[np.ndarray, " D"], directions: int
) -> Float[np.ndarray, "M*D A"]:
    r"""Normal distributions of an angle, wrapped round the circle, for A `directions` at equal distances.

    Rows run through the means (radians), and for each through the standard deviations. A direction's probability is in
    proportion to its density $\sum_k \exp\big(-(\vartheta - \mu + 2 \pi k)^2 / 2 \sigma^2\big)$, and all sum to 1.
    """
    angle = 2 * np.pi * np.arange(directions) / directions
    turns = 2 * np.pi * np.arange(-3, 4)  # beyond, less than e⁻⁸ for a spread of up to 4
    distance = (angle - mean[:, None])[:, None, :, None] + turns
    return special.softmax(
        special.logsumexp(-0.5 * (distance / std[:, None, None]) ** 2, axis=-1).reshape(-1, directions), axis=-1
    )


def reverse_kl(
    family: Float[np.ndarray, "F A"], q: Float[np.ndarray, "S A"], temperature: float
) -> Float[np.ndarray, "S F"]:
    r"""How far each π of a family is from softmax(Q/α), $\mathrm{KL}(\pi \,\|\, e^{Q(s, \cdot)/\alpha} / Z(s))$.

    It is $\mathbb{E}_{a \sim \pi}[\log \pi(a) - Q(s, a)/\alpha] + \log Z(s)$. Who minimises needs no Z.
    """
    return (soft_maximum(q, temperature)[:, None] - q @ family.T) / temperature - entropy(family)


def closest(family: Float[np.ndarray, "F A"], q: Float[np.ndarray, "S A"], temperature: float) -> Int[np.ndarray, " S"]:
    """The member with the smallest `reverse_kl` in each state; of equals the first."""
    distance = reverse_kl(family, q, temperature)
    # Of members that differ by a symmetry alone, rounding would pick one at random.
    return (distance <= distance.min(-1, keepdims=True) + 1e-9).argmax(-1)
