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

A ValueError names a temperature α that is not above 0, and what `q_iteration` refuses.
"""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float
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
    r"""The soft $Q^\pi$ exactly: $(I - \gamma P^\pi)\, V^\pi = r^\pi + \alpha \mathcal{H}(\pi)$, then one backup."""
    reward = soft_value(model.expected_reward, policy, temperature)
    values = sparse.linalg.spsolve(policy_system(model, policy, gamma), reward)
    return backup(model, np.asarray(values), gamma)


def soft_maximum(q: Float[np.ndarray, "*S A"], temperature: float) -> Float[np.ndarray, "*S"]:
    r"""$V(s) = \alpha \log \sum_a \exp(Q(s, a) / \alpha)$: what `soft_value` is at its best policy.

    From $\max_a Q$, its limit for α → 0, to $\max_a Q + \alpha \log |\mathcal{A}|$, where all actions are equal.
    """
    require("temperature", temperature, Range(0, open_low=True))
    top = q.max(-1, keepdims=True)  # so that exp cannot overflow
    return top.squeeze(-1) + temperature * np.log(np.exp((q - top) / temperature).sum(-1))


def improve(q: Float[np.ndarray, "*S A"], temperature: float) -> Float[np.ndarray, "*S A"]:
    r"""$\pi(a \mid s) = \exp\big((Q(s, a) - V(s)) / \alpha\big)$, softmax of Q/α: it has the highest soft value."""
    require("temperature", temperature, Range(0, open_low=True))
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
    r"""Sweep until Q is surely within `tolerance` of the soft $Q^*$ everywhere; like the hard sweep, it contracts."""
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
