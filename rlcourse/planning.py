r"""What planning in a table needs, with entropy and without: one look ahead, and a policy's linear equations.

Sutton and Barto (2018), *Reinforcement Learning: An Introduction*, sections 3.5 and 4.1.
"""

from collections.abc import Iterator
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float
from scipy import sparse

from rlcourse.config import Range, require

Table = Float[np.ndarray, "S A"]  # Q, an advantage, or the probabilities π(a|s) of a policy
Values = Float[np.ndarray, " S"]


@runtime_checkable  # the tests check every annotation while they run
class Model(Protocol):
    """What planning must know of the world; `envs.TabularMDP` has it."""

    @property
    def expected_reward(self) -> Table: ...

    @property
    def transition(self) -> sparse.csr_array: ...


def backup(model: Model, values: Values, gamma: float) -> Table:
    r"""One look ahead: what each action is worth if `values` are what the next states are worth.

    $$Q(s, a) = r(s, a) + \gamma \sum_{s'} P(s' \mid s, a)\, V(s')$$

    where $P$ counts only those outcomes after which the episode goes on.
    """
    num_states, num_actions = model.expected_reward.shape
    return model.expected_reward + gamma * (model.transition @ values).reshape(num_actions, num_states).T


def policy_system(model: Model, policy: Table, gamma: float) -> sparse.csc_array:
    r"""The matrix $I - \gamma P^\pi$ of a policy's Bellman equation.

    Raises:
        ValueError: gamma outside [0, 1); a policy whose rows are no distributions, named by state.
    """
    require("gamma", gamma, Range(0, 1, open_high=True))
    wrong = (policy < 0).any(-1) | ~np.isclose(policy.sum(-1), 1)
    if wrong.any():
        raise ValueError(f"policy[{wrong.argmax()}] = {policy[wrong.argmax()]}: probabilities must be ≥ 0 and sum to 1")
    num_states, num_actions = policy.shape
    # Row s of the average takes rows (a, s) of the transition matrix, weighted by π(a|s).
    average = sparse.hstack([sparse.diags_array(policy[:, a]) for a in range(num_actions)], format="csr")
    return sparse.csc_array(sparse.eye_array(num_states, format="csc") - gamma * (average @ model.transition))


def contracted(sweeps: Iterator[Table], gamma: float, tolerance: float) -> Table:
    r"""Sweep until Q is surely within `tolerance` of what the sweeps tend to.

    A sweep contracts errors by γ, so $\|Q_{k+1} - Q^*\|_\infty \le \frac{\gamma}{1-\gamma} \|Q_{k+1} - Q_k\|_\infty$.

    Raises:
        ValueError: gamma outside [0, 1), where the bound fails; tolerance not positive.
    """
    require("gamma", gamma, Range(0, 1, open_high=True))
    require("tolerance", tolerance, Range(0, open_low=True))
    q = next(sweeps)
    for following in sweeps:
        change, q = np.abs(following - q).max(), following
        if gamma * change <= tolerance * (1 - gamma):
            break
    return q
