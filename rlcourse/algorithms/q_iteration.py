r"""Tabular Q-iteration and Q-learning: the Bellman optimality equation, solved with the model, then from experience.

Papers: Bellman (1957), *Dynamic Programming*; Howard (1960), *Dynamic Programming and Markov Processes*; Watkins and
Dayan (1992), *Q-learning* [WD]; Sutton and Barto (2018), *Reinforcement Learning: An Introduction* [SB]; Kakade and
Langford (2002), *Approximately optimal approximate reinforcement learning* [KL].

| function | equation |
|---|---|
| `planning.backup` | [SB] 3.14 and 4.6, the step from V to Q |
| `evaluate_policy`, `evaluation_sweeps` | [SB] 4.4, solved at once, and 4.5, swept |
| `value_iteration`, `q_iteration` | [SB] 4.10 and 4.2 |
| `policy_iteration` | [SB] section 4.3 |
| `buffer_pairs`, `fit_v`, `fit_q` | what regression on old data ends at: lecture 6 |
| `state_distribution`, `expected_advantage` | [KL] section 2, and what their lemma 6.1 is made of |
| `boltzmann`, `epsilon_greedy` | [SB] 13.2 with preferences Q/T, and section 2.2 |
| `bellman_target`, `QLearning.update` | [SB] 6.8, [WD] eq. 1 |

A ValueError names a γ outside of [0, 1) where a limit is asked for, and a policy whose rows are no distributions.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from jaxtyping import Float, Int
from scipy import sparse

from rlcourse import inputs
from rlcourse.buffers import Transition
from rlcourse.checkpoints import Stateful
from rlcourse.config import Discount, Finite, NonNegative, Probability, Range, check, require
from rlcourse.planning import Model, Values, contracted, policy_system
from rlcourse.planning import Table as Table  # part of this page, like `backup`
from rlcourse.planning import backup as backup


@dataclass(frozen=True)
class Config:
    gamma: Discount = 0.9  # per step; 0.9 as in the tutorial's small grid
    lr: Annotated[float, Range(0, 1, open_low=True)] = 0.1  # step size of the first visit
    lr_power: Probability = 0.0  # step size lr / visits^lr_power; 0 is constant, above ½ converges [WD]
    epsilon: Probability = 0.1  # probability of a uniformly random action
    temperature: NonNegative = 0.0  # of Boltzmann exploration, in units of return; 0 is greedy
    initial_value: Finite = 0.0  # of every Q(s, a); above the largest return it is optimistic

    def __post_init__(self) -> None:
        check(self)


def value_iteration(model: Model, gamma: float) -> Iterator[Values]:
    r"""Yield $V_0 = 0, V_1, V_2, \ldots$ without end, each a full synchronous sweep.

    $$V_{k+1}(s) = \max_a \Big[ r(s, a) + \gamma \sum_{s'} P(s' \mid s, a)\, V_k(s') \Big]$$
    """
    values = np.zeros(model.expected_reward.shape[0])
    while True:
        yield values
        values = backup(model, values, gamma).max(-1)


def q_iteration(model: Model, gamma: float) -> Iterator[Table]:
    r"""Yield $Q_0 = 0, Q_1, Q_2, \ldots$ without end, each a full synchronous sweep.

    $$Q_{k+1}(s, a) = r(s, a) + \gamma \sum_{s'} P(s' \mid s, a) \max_{a'} Q_k(s', a')$$
    """
    q = np.zeros(model.expected_reward.shape)
    while True:
        yield q
        q = backup(model, q.max(-1), gamma)


def bellman_residual(model: Model, q: Table, gamma: float) -> float:
    r"""How far Q is from solving its equation, $\max_{s,a} |(\mathcal{T}Q)(s,a) - Q(s,a)|$; 0 only for $Q^*$."""
    return float(np.abs(backup(model, q.max(-1), gamma) - q).max())


def optimal_q(model: Model, gamma: float, tolerance: float = 1e-8) -> Table:
    r"""Sweep until Q is surely within `tolerance` of $Q^*$ everywhere."""
    return contracted(q_iteration(model, gamma), gamma, tolerance)


def greedy(q: Table) -> Table:
    r"""The policy that takes $\arg\max_a Q(s, a)$ with probability 1; of equals the first."""
    return np.eye(q.shape[1])[q.argmax(-1)]


def evaluation_sweeps(model: Model, policy: Table, gamma: float) -> Iterator[Values]:
    r"""Yield $V_0 = 0, V_1, \ldots \to V^\pi$ without end, each a full synchronous sweep.

    $$V_{k+1}(s) = \sum_a \pi(a \mid s) \Big[ r(s, a) + \gamma \sum_{s'} P(s' \mid s, a)\, V_k(s') \Big]$$
    """
    values = np.zeros(policy.shape[0])
    while True:
        yield values
        values = (policy * backup(model, values, gamma)).sum(-1)


def evaluate_policy(model: Model, policy: Table, gamma: float) -> Values:
    r"""$V^\pi$ exactly: for a fixed policy the Bellman equation is linear, $(I - \gamma P^\pi)\, V^\pi = r^\pi$."""
    return np.asarray(
        sparse.linalg.spsolve(policy_system(model, policy, gamma), (policy * model.expected_reward).sum(-1))
    )


def advantage(q: Table, policy: Table) -> Table:
    r"""$A^\pi(s, a) = Q^\pi(s, a) - \sum_{a'} \pi(a' \mid s)\, Q^\pi(s, a')$: how much better than following π."""
    return q - (policy * q).sum(-1, keepdims=True)


def state_distribution(model: Model, policy: Table, start: Values, gamma: float) -> Values:
    r"""Where π spends its discounted time, $d^\pi(s) = (1 - \gamma) \sum_{t \ge 0} \gamma^t P(s_t = s)$.

    Exactly: $(I - \gamma P^\pi)^\top d^\pi = (1 - \gamma)\, \rho$, with ρ the distribution `start` of the first state.
    It sums to 1 where no episode ends, else to less: whoever has arrived is in no state.
    """
    return np.asarray(
        sparse.linalg.spsolve(sparse.csc_array(policy_system(model, policy, gamma).T), (1 - gamma) * start)
    )


def expected_advantage(states: Values, policy: Table, advantage: Table) -> float:
    r"""$\mathbb{E}_{s \sim d,\, a \sim \pi}[A(s, a)] = \sum_s d(s) \sum_a \pi(a \mid s)\, A(s, a)$."""
    return float(states @ (policy * advantage).sum(-1))


def buffer_pairs(model: Model, policies: Sequence[Table], start: Values, gamma: float) -> Table:
    r"""What N policies leave in a buffer: $n(s, a) = \frac{1}{N} \sum_i d^{\pi_i}(s)\, \pi_i(a \mid s)$."""
    return np.mean([state_distribution(model, p, start, gamma)[:, None] * p for p in policies], axis=0)


def fit_v(model: Model, pairs: Table, gamma: float) -> Values:
    r"""Where regression of $V(s)$ on $y = r + \gamma V(s')$ ends, over a buffer that holds `pairs`.

    $$V(s) = \sum_a \beta(a \mid s) \Big[ r(s, a) + \gamma \sum_{s'} P(s' \mid s, a)\, V(s') \Big], \qquad
    \beta(a \mid s) = \frac{n(s, a)}{\sum_{a'} n(s, a')}$$

    States that the buffer does not hold keep the value 0.
    """
    require("gamma", gamma, Range(0, 1, open_high=True))
    visits = pairs.sum(-1, keepdims=True)
    share = np.divide(pairs, visits, out=np.zeros_like(pairs), where=visits > 0)
    return _repeated(lambda values: (share * backup(model, values, gamma)).sum(-1), np.zeros(len(pairs)))


def fit_q(model: Model, pairs: Table, policy: Table, gamma: float) -> Table:
    r"""Where regression of $Q(s, a)$ on $y = r + \gamma\, Q(s', a')$ ends, with a fresh $a' \sim \pi(\cdot \mid s')$.

    How often the buffer holds a pair does not matter, but pairs that it does not hold keep the value 0.
    """
    require("gamma", gamma, Range(0, 1, open_high=True))
    return _repeated(
        lambda q: np.where(pairs > 0, backup(model, (policy * q).sum(-1), gamma), 0.0), np.zeros_like(pairs)
    )


def _repeated(regression: Callable[[np.ndarray], np.ndarray], values: np.ndarray) -> np.ndarray:
    while np.abs((following := regression(values)) - values).max() > 1e-12:
        values = following
    return following


def policy_iteration(model: Model, policy: Table, gamma: float) -> Iterator[tuple[Table, Table]]:
    r"""Yield $(\pi_0, Q^{\pi_0}), (\pi_1, Q^{\pi_1}), \ldots$ until no state can be improved any more.

    $$\pi_{k+1}(s) = \arg\max_a Q^{\pi_k}(s, a)$$
    """
    while True:
        q = backup(model, evaluate_policy(model, policy, gamma), gamma)
        yield policy, q
        # Change only what gets better by more than rounding: otherwise equal actions could swap for ever.
        better = advantage(q, policy).max(-1, keepdims=True) > 1e-10
        if not better.any():
            return
        policy = np.where(better, greedy(q), policy)


def boltzmann(q: Float[np.ndarray, "*batch A"], temperature: float | np.ndarray) -> Float[np.ndarray, "*batch A"]:
    r"""$\pi(a \mid s) \propto \exp(Q(s, a) / T)$; its limit T = 0 is greedy and shares ties equally.

    A temperature per row broadcasts: shape `(*batch, 1)`.
    """
    gap = q - q.max(-1, keepdims=True)  # ≤ 0, so that exp cannot overflow
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):  # 0/0 belongs to T = 0 and is replaced
        weight = np.where(np.equal(gap, 0), 1.0, np.exp(gap / temperature))
    return weight / weight.sum(-1, keepdims=True)


def epsilon_greedy(policy: Float[np.ndarray, "*batch A"], epsilon: float | np.ndarray) -> Float[np.ndarray, "*batch A"]:
    r"""$(1 - \varepsilon)\,\pi(a \mid s) + \varepsilon / |A|$: the random action is uniform over *all* actions."""
    return (1 - epsilon) * policy + epsilon / policy.shape[-1]


def sample(
    policy: Float[np.ndarray, "*batch A"], uniform: float | np.ndarray
) -> Int[np.ndarray, "*batch"] | np.integer:
    """The action whose share of [0, 1) holds `uniform`, a number drawn evenly from there; shape `(*batch,)`."""
    return (np.asarray(uniform)[..., None] >= policy.cumsum(-1)[..., :-1]).sum(-1)


def bellman_target(batch: Transition, q: Callable[[Any], np.ndarray], gamma: float) -> Any:
    r"""$y = r + \gamma\,(1 - \text{terminated}) \max_{a'} Q(s', a')$: the backup with one sample for its expectation.

    Shapes: reward `(B,)`, `q(next_obs)` `(B, A)` → y `(B,)`; one transition needs no batch axis.
    """
    return batch.reward + gamma * (1 - batch.terminated) * q(batch.next_obs).max(-1)


class QLearning(Stateful):
    """Watkins' Q-learning: after every step, move Q(s, a) a little towards the target.

    Attributes:
        q: the table, `(S, A)`.
        visits: how often each entry was updated, `(S, A)`.
    """

    def __init__(self, num_states: int, num_actions: int, config: Config, seed: int) -> None:
        inputs.check_sizes("size of the table", num_states, num_actions)
        self.config = config
        self.q = np.full((num_states, num_actions), config.initial_value)
        self.visits = np.zeros((num_states, num_actions), int)
        self._exploration = np.random.default_rng(seed)

    def act(self, obs: int | np.integer, explore: bool = True) -> int:
        if not explore:
            return int(self.q[obs].argmax())
        policy = epsilon_greedy(boltzmann(self.q[obs], self.config.temperature), self.config.epsilon)
        return int(sample(policy, self._exploration.random()))

    def observe(self, transition: Transition) -> None:
        self._latest = transition

    def learn(self) -> Iterator[dict[str, float]]:
        yield self.update(self._latest)

    def update(self, batch: Transition) -> dict[str, float]:
        entry = batch.obs, batch.action
        self.visits[entry] += 1
        step_size = self.config.lr / self.visits[entry] ** self.config.lr_power
        td_error = bellman_target(batch, self.q.__getitem__, self.config.gamma) - self.q[entry]
        self.q[entry] += step_size * td_error
        return {"td_error": float(td_error)}
