"""Planning against an independent solver, equations against numbers worked out by hand, Q-learning against Q*."""

from collections.abc import Callable
from dataclasses import fields, replace
from itertools import islice, pairwise
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from scipy.optimize import linprog

from rlcourse.algorithms import q_iteration as qi
from rlcourse.buffers import Transition
from rlcourse.envs import GRIDS, GridWorld, TabularEnv, TabularMDP, from_gymnasium, road_and_ditch
from rlcourse.loop import evaluate, train

CORRIDOR = GridWorld("S.G").mdp()  # states 0, 1 and the goal 2; action 1 goes right
SLIPPERY = GridWorld(GRIDS["small"].text, slip=0.2).mdp()


def nth(iterator: Any, n: int) -> Any:
    return next(islice(iterator, n, None))


def linear_programme(mdp: TabularMDP, gamma: float) -> np.ndarray:
    """V*: the smallest V with V(s) ≥ r(s, a) + γ Σ P V(s') for all s, a. Shares no code with the package's solvers."""
    rows, rewards = [], []
    for s in range(mdp.num_states):
        for a in range(mdp.num_actions):
            row = np.zeros(mdp.num_states)
            row[s] -= 1
            for p, following, over in zip(
                mdp.probability[s, a], mdp.next_state[s, a], mdp.terminated[s, a], strict=True
            ):
                row[following] += gamma * p * (not over)
            rows.append(row)
            rewards.append(-(mdp.probability[s, a] @ mdp.reward[s, a]))
    solution = linprog(np.ones(mdp.num_states), A_ub=np.array(rows), b_ub=rewards, bounds=(None, None), method="highs")
    assert solution.success
    return np.asarray(solution.x)


WORLDS: dict[str, Callable[[], TabularMDP]] = {
    **{name: lambda name=name: replace(GRIDS[name], slip=0.2).mdp() for name in GRIDS},  # type: ignore[misc]
    "FrozenLake 8×8": lambda: from_gymnasium(gym.make("FrozenLake8x8-v1")),
    "Taxi": lambda: from_gymnasium(gym.make("Taxi-v4")),
}


@pytest.mark.parametrize("name", WORLDS)
def test_optimal_q_solves_the_linear_programme(name: str) -> None:
    mdp = WORLDS[name]()
    q = qi.optimal_q(mdp, gamma=0.95, tolerance=1e-8)
    # HiGHS is exact to 1e-7 in the constraints; the values here reach 20.
    np.testing.assert_allclose(q.max(-1), linear_programme(mdp, 0.95), atol=1e-5)


@pytest.mark.parametrize("name", WORLDS)
def test_all_roads_lead_to_the_same_values(name: str) -> None:
    mdp = WORLDS[name]()
    q = qi.optimal_q(mdp, gamma=0.9, tolerance=1e-9)
    uniform = np.full(q.shape, 1 / q.shape[1])
    *_, (policy, q_of_policy) = qi.policy_iteration(mdp, uniform, gamma=0.9)
    np.testing.assert_allclose(q_of_policy, q, atol=1e-8)
    np.testing.assert_allclose(nth(qi.value_iteration(mdp, 0.9), 300), q.max(-1), atol=1e-8)  # 0.9^300 ≈ 2e-14
    np.testing.assert_allclose(nth(qi.evaluation_sweeps(mdp, policy, 0.9), 300), q.max(-1), atol=1e-8)
    np.testing.assert_allclose(qi.evaluate_policy(mdp, policy, 0.9), q.max(-1), atol=1e-8)
    assert qi.bellman_residual(mdp, q, 0.9) < 1e-8


def test_tolerance_bounds_the_error() -> None:
    exact = qi.optimal_q(SLIPPERY, gamma=0.95, tolerance=1e-12)
    for tolerance in (1e-1, 1e-3, 1e-6):
        assert np.abs(qi.optimal_q(SLIPPERY, 0.95, tolerance) - exact).max() <= tolerance


def test_backup_by_hand() -> None:
    # From state 1 with V = (2, 3, 50): right enters the goal: 1, and V(goal) must not count.
    # Up runs into the edge and stays: 0 + 0.5·3; left leads to state 0: 0 + 0.5·2.
    q = qi.backup(CORRIDOR, np.array([2.0, 3.0, 50.0]), gamma=0.5)
    assert q[1].tolist() == [1.5, 1.0, 1.5, 1.0]


def test_backup_is_the_expectation_of_the_target() -> None:
    q = np.random.default_rng(0).normal(size=(12, 4))
    states, actions = np.indices((12, 4))
    batch = Transition(states, actions, SLIPPERY.reward, SLIPPERY.next_state, SLIPPERY.terminated, False)
    mean_target = (SLIPPERY.probability * qi.bellman_target(batch, q.__getitem__, 0.9)).sum(-1)
    np.testing.assert_allclose(qi.backup(SLIPPERY, q.max(-1), 0.9), mean_target, atol=1e-14)


def test_first_sweeps_by_hand() -> None:
    sweeps = qi.q_iteration(CORRIDOR, gamma=0.9)
    assert next(sweeps).tolist() == np.zeros((3, 4)).tolist()
    assert next(sweeps)[:, 1].tolist() == [0, 1, 0]
    assert next(sweeps)[:, 1].tolist() == [0.9, 1, 0]


def test_sweeps_do_not_overwrite_each_other() -> None:
    history = list(islice(qi.q_iteration(SLIPPERY, 0.9), 5))
    assert all(not np.array_equal(a, b) for a, b in pairwise(history))


@pytest.mark.parametrize("gamma", [0.5, 0.9, 0.99])
def test_a_sweep_shrinks_the_distance_to_the_optimum_by_gamma(gamma: float) -> None:
    best = qi.optimal_q(SLIPPERY, gamma, 1e-12)
    errors = [np.abs(q - best).max() for q in islice(qi.q_iteration(SLIPPERY, gamma), 10)]
    for before, after in pairwise(errors):
        assert after <= gamma * before + 1e-12


def test_evaluate_policy_by_hand() -> None:
    # Always left in the corridor never arrives; uniform in state 1 satisfies V = ¼(1 + 0.5·(V + V + V₀)),
    # in state 0 V₀ = ¼·0.5·(3V₀ + V): V₀ = V/5, so V = ¼ + ¼V + V/40 and V = 10/29.
    left = np.tile([0.0, 0, 0, 1], (3, 1))
    assert qi.evaluate_policy(CORRIDOR, left, 0.5).tolist() == [0, 0, 0]
    uniform = np.full((3, 4), 0.25)
    np.testing.assert_allclose(qi.evaluate_policy(CORRIDOR, uniform, 0.5), [2 / 29, 10 / 29, 0], atol=1e-12)


def test_each_policy_is_at_least_as_good_as_the_one_before() -> None:
    worst = np.tile([0.0, 0, 1, 0], (12, 1))
    values = [(policy * q).sum(-1) for policy, q in qi.policy_iteration(SLIPPERY, worst, 0.9)]
    assert len(values) > 2
    for before, after in pairwise(values):
        assert (after >= before - 1e-12).all()


def test_advantage_by_hand() -> None:
    # π = (½, ½) values (1, 3) at 2: advantages −1 and 1.
    assert qi.advantage(np.array([[1.0, 3.0]]), np.array([[0.5, 0.5]])).tolist() == [[-1, 1]]


def test_state_distribution_by_hand() -> None:
    # Right for ever from state 0, γ = ½: state 0 at t = 0, state 1 at t = 1, then it is over: ½·(1, ½, 0).
    right = np.tile([0.0, 1, 0, 0], (3, 1))
    start = np.array([1.0, 0, 0])
    np.testing.assert_allclose(qi.state_distribution(CORRIDOR, right, start, 0.5), [0.5, 0.25, 0], atol=1e-15)
    # Left for ever never arrives: in state 0 all the time.
    left = np.tile([0.0, 0, 0, 1], (3, 1))
    np.testing.assert_allclose(qi.state_distribution(CORRIDOR, left, start, 0.5), [1, 0, 0], atol=1e-15)
    # From state 1: state 1 at t = 0 weighs ½, state 0 ever after ½·(½ + ¼ + …) = ½.
    away = np.array([0.0, 1, 0])
    np.testing.assert_allclose(qi.state_distribution(CORRIDOR, left, away, 0.5), [0.5, 0.5, 0], atol=1e-15)


ROAD = road_and_ditch()  # states road, ditch; actions careful, fast


def test_a_buffer_holds_what_its_policies_did_where_they_were() -> None:
    # γ = ½. Careful for ever stays on the road: d = (1, 0). Fast for ever: d = ½ρ + ½dP, so d(ditch) = 0.05·d(road) +
    # 0.45·d(ditch), 0.55·d(ditch) = 0.05·d(road): d = (11, 1)/12. Half of each.
    careful, fast = (np.tile(np.eye(2)[a], (2, 1)) for a in (0, 1))
    pairs = qi.buffer_pairs(ROAD, [careful, fast], ROAD.start, 0.5)
    np.testing.assert_allclose(pairs, [[1 / 2, 11 / 24], [0, 1 / 24]], atol=1e-15)


PAIRS = np.array([[1.0, 3.0], [2.0, 2.0]])


def test_v_fitted_to_a_buffer_is_the_value_of_the_buffers_mixture() -> None:
    # β = (¼, ¾), (½, ½); γ = ½: V_r = ¾ + ½(0.925 V_r + 0.075 V_d), V_d = −½ + ½(0.3 V_r + 0.7 V_d).
    np.testing.assert_allclose(qi.fit_v(ROAD, PAIRS, 0.5), [15 / 11, -5 / 11], atol=1e-11)
    mixture = PAIRS / PAIRS.sum(1, keepdims=True)
    np.testing.assert_allclose(qi.fit_v(ROAD, PAIRS, 0.9), qi.evaluate_policy(ROAD, mixture, 0.9), atol=1e-10)
    # A state that the buffer does not hold keeps 0, also as a successor: V_r = 1 + ½ · 0.9 V_r.
    only_fast = np.array([[0.0, 1.0], [0.0, 0.0]])
    np.testing.assert_allclose(qi.fit_v(ROAD, only_fast, 0.5), [1 / 0.55, 0], atol=1e-11)


def test_v_is_what_regression_on_a_sampled_buffer_finds() -> None:
    rng, gamma = np.random.default_rng(0), 0.5
    pair = rng.choice(4, 40_000, p=PAIRS.ravel() / PAIRS.sum())
    s, a = pair // 2, pair % 2
    following = (rng.random(s.size) < ROAD.probability[s, a, 1]).astype(int)
    values = np.zeros(2)
    for _ in range(60):
        target = ROAD.reward[s, a, 0] + gamma * values[following]
        values = np.bincount(s, target) / np.bincount(s)
    # Targets spread by about 1, 20 000 per state: errors of about 1/√20000/(1 − γ) = 0.014; four of them.
    np.testing.assert_allclose(values, qi.fit_v(ROAD, PAIRS, gamma), atol=0.057)


def test_q_with_a_fresh_action_is_the_policys_own_however_the_buffer_is_filled() -> None:
    policy = np.array([[0.2, 0.8], [1.0, 0.0]])
    truth = qi.backup(ROAD, qi.evaluate_policy(ROAD, policy, 0.9), 0.9)
    for pairs in (PAIRS, np.array([[1.0, 99.0], [0.01, 5.0]])):
        np.testing.assert_allclose(qi.fit_q(ROAD, pairs, policy, 0.9), truth, atol=1e-10)


def test_q_is_wrong_where_the_buffer_does_not_hold_what_the_policy_does() -> None:
    # Only fast driving is held; the policy is careful in the ditch, which nobody tried: Q(ditch, careful) stays 0.
    # γ = ½: Q(road, fast) = 1 + ½ · 0.9 Q(road, fast); Q(ditch, fast) = −1 + ½ · 0.1 Q(road, fast).
    pairs, policy = np.array([[0.0, 1.0], [0.0, 1.0]]), np.array([[0.0, 1.0], [1.0, 0.0]])
    q = qi.fit_q(ROAD, pairs, policy, 0.5)
    np.testing.assert_allclose(q, [[0, 1 / 0.55], [0, -1 + 0.05 / 0.55]], atol=1e-11)
    truth = qi.backup(ROAD, qi.evaluate_policy(ROAD, policy, 0.5), 0.5)
    assert np.abs(q - truth)[1, 0] > 0.3


def test_expected_advantage_by_hand() -> None:
    # States ¼ and ¾; in the first A = −1, 1 under π = ½, ½: 0; in the second A = 2, −2 under π = ¾, ¼: 1.
    states, policy = np.array([0.25, 0.75]), np.array([[0.5, 0.5], [0.75, 0.25]])
    assert qi.expected_advantage(states, policy, np.array([[-1.0, 1], [2, -2]])) == 0.75


@pytest.mark.parametrize("name", WORLDS)
def test_performance_difference_lemma(name: str) -> None:
    mdp, gamma, rng = WORLDS[name](), 0.9, np.random.default_rng(1)
    shape = mdp.num_states, mdp.num_actions
    for _ in range(3):
        pi, mu = (rng.dirichlet(np.ones(shape[1]), size=shape[0]) for _ in range(2))
        d_pi, d_mu = (qi.state_distribution(mdp, policy, mdp.start, gamma) for policy in (pi, mu))
        value_pi, value_mu = (qi.evaluate_policy(mdp, policy, gamma) for policy in (pi, mu))
        a_pi, a_mu = (
            qi.advantage(qi.backup(mdp, value, gamma), policy) for value, policy in ((value_pi, pi), (value_mu, mu))
        )
        gap = mdp.start @ value_pi - mdp.start @ value_mu
        assert qi.expected_advantage(d_pi, pi, a_mu) / (1 - gamma) == pytest.approx(gap, abs=1e-10)
        assert -qi.expected_advantage(d_mu, mu, a_pi) / (1 - gamma) == pytest.approx(gap, abs=1e-10)
        # States of μ instead: wrong, by at most 2γ ε / (1 − γ)² · E_{d^μ}[TV] (Achiam et al. 2017, corollary 1).
        surrogate = qi.expected_advantage(d_mu, pi, a_mu) / (1 - gamma)
        largest = np.abs((pi * a_mu).sum(-1)).max()
        bound = 2 * gamma * largest / (1 - gamma) ** 2 * (d_mu @ np.abs(pi - mu).sum(-1) / 2)
        assert 1e-6 < abs(surrogate - gap) <= bound


def test_the_surrogate_is_exact_to_first_order_and_can_promise_what_is_not_there() -> None:
    # Lecture 04's example: from a good policy towards one that only ever goes down.
    mdp, gamma = GRIDS["two goals"].mdp(), 0.95
    mu = qi.boltzmann(qi.optimal_q(mdp, gamma), 0.1)
    down = np.tile([0.0, 0, 1, 0], (mdp.num_states, 1))
    value = qi.evaluate_policy(mdp, mu, gamma)
    a_mu = qi.advantage(qi.backup(mdp, value, gamma), mu)
    d_mu = qi.state_distribution(mdp, mu, mdp.start, gamma)

    def true_and_promised(share: float) -> tuple[float, float]:
        pi = (1 - share) * mu + share * down
        gap = mdp.start @ (qi.evaluate_policy(mdp, pi, gamma) - value)
        return float(gap), qi.expected_advantage(d_mu, pi, a_mu) / (1 - gamma)

    small, half_as_small = (np.subtract(*true_and_promised(share)) for share in (0.02, 0.01))
    assert small / half_as_small == pytest.approx(4, rel=0.05)  # second order
    assert true_and_promised(0.1) == pytest.approx((0.025, 0.034), abs=1e-3)
    assert true_and_promised(1.0) == pytest.approx((-0.303, 0.340), abs=1e-3)


@pytest.mark.parametrize(
    "solve", [qi.optimal_q, lambda mdp, gamma: qi.evaluate_policy(mdp, np.full((3, 4), 0.25), gamma)]
)
@pytest.mark.parametrize("gamma", [-0.1, 1.0, float("nan")])
def test_discounts_without_a_solution_are_refused(solve: Callable[..., Any], gamma: float) -> None:
    with pytest.raises(ValueError, match=rf"gamma = {gamma} is out of range: it must be in \[0, 1\)"):
        solve(CORRIDOR, gamma)


def test_a_policy_that_is_no_distribution_is_refused() -> None:
    policy = np.full((3, 4), 0.25)
    policy[1] = 0.3
    with pytest.raises(ValueError, match=r"policy\[1\] = .* must be ≥ 0 and sum to 1"):
        qi.evaluate_policy(CORRIDOR, policy, 0.9)


def test_boltzmann_by_hand() -> None:
    # exp(0) : exp(ln 3) = 1 : 3, whatever is added to both values.
    np.testing.assert_allclose(qi.boltzmann(np.array([7.0, 7 + 2 * np.log(3)]), 2.0), [0.25, 0.75])
    assert qi.boltzmann(np.array([1.0, 2.0, 2.0]), 0.0).tolist() == [0, 0.5, 0.5]
    assert qi.boltzmann(np.array([0.0, 1e6]), 1e-3).tolist() == [0, 1]  # no overflow
    both = qi.boltzmann(np.array([[0.0, 1.0], [0.0, np.log(3)]]), np.array([[0.0], [1.0]]))
    np.testing.assert_allclose(both, np.array([[0, 1], [0.25, 0.75]]))


def test_epsilon_greedy_by_hand() -> None:
    # The random action is uniform over all four, the greedy one included: 0.8 + 0.2/4.
    np.testing.assert_allclose(qi.epsilon_greedy(np.array([0.0, 1, 0, 0]), 0.2), [0.05, 0.85, 0.05, 0.05])


def test_sample_turns_shares_into_actions() -> None:
    policy = np.array([0.25, 0.0, 0.75])
    assert [int(qi.sample(policy, u)) for u in (0.0, 0.2499, 0.25, 0.9999)] == [0, 0, 2, 2]
    # Shares that sum to slightly less than 1 must not invent an action.
    assert int(qi.sample(np.array([0.5, 0.5 - 1e-12]), 1 - 1e-16)) == 1


def test_target_by_hand() -> None:
    q = np.array([[0.0, 0.0], [2.0, 5.0]])
    batch = Transition(
        np.array([0, 0]), np.array([0, 1]), np.array([1.0, 1.0]), np.array([1, 1]), np.array([False, True]), None
    )
    assert qi.bellman_target(batch, q.__getitem__, 0.9).tolist() == [1 + 0.9 * 5, 1]


def test_update_by_hand_with_a_decaying_step_size() -> None:
    agent = qi.QLearning(2, 2, qi.Config(gamma=0.5, lr=0.8, lr_power=1.0, initial_value=2.0), seed=0)
    step = Transition(0, 1, 3.0, 1, False, False)
    # y = 3 + 0.5·2 = 4; first step size 0.8: 2 + 0.8·2 = 3.6; second 0.4: 3.6 + 0.4·0.4 = 3.76.
    assert agent.update(step) == {"td_error": 2.0}
    assert agent.q[0, 1] == pytest.approx(3.6)
    agent.update(step)
    assert agent.q[0, 1] == pytest.approx(3.76)
    assert agent.q[0, 0] == agent.q[1, 0] == 2.0
    # Truncated is not terminated: the target still looks ahead.
    assert agent.update(replace(step, action=0, truncated=True))["td_error"] == pytest.approx(3 + 0.5 * 2 - 2)
    assert agent.update(replace(step, obs=1, terminated=True))["td_error"] == pytest.approx(3 - 2)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    "change",
    [{"gamma": 0.5}, {"lr": 0.5}, {"lr_power": 0.8}, {"epsilon": 0.9}, {"temperature": 1.0}, {"initial_value": 1.0}],
)
def test_every_config_field_reaches_the_code(change: dict[str, float]) -> None:
    def learned(config: qi.Config) -> np.ndarray:
        agent = qi.QLearning(12, 4, config, seed=0)
        list(train(TabularEnv(SLIPPERY), agent, 300, seed=0))
        return agent.q

    assert not np.array_equal(learned(qi.Config()), learned(qi.Config(**change)))
    np.testing.assert_array_equal(learned(qi.Config(**change)), learned(qi.Config(**change)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"gamma": 1.0}, r"q_iteration.Config.gamma = 1.0 is out of range: it must be in \[0, 1\)"),
        ({"lr": 0.0}, r"lr = 0.0 is out of range: it must be in \(0, 1\]"),
        ({"epsilon": 1.1}, r"epsilon = 1.1 .* \[0, 1\]"),
        ({"temperature": -1.0}, r"temperature = -1.0 .* \[0, inf\)"),
        ({"lr_power": float("nan")}, "lr_power = nan"),
    ],
)
def test_nonsense_is_refused_by_name(change: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        qi.Config(**change)


def test_state_dict_continues_the_same_run() -> None:
    agent = qi.QLearning(12, 4, qi.Config(epsilon=0.5), seed=0)
    list(train(TabularEnv(SLIPPERY), agent, 200, seed=0))
    twin = qi.QLearning(12, 4, qi.Config(epsilon=0.5), seed=99)
    twin.load_state_dict(agent.state_dict())
    for one in (agent, twin):
        list(train(TabularEnv(SLIPPERY), one, 200, seed=1))
    np.testing.assert_array_equal(agent.q, twin.q)
    np.testing.assert_array_equal(agent.visits, twin.visits)


@pytest.mark.thorough
@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 5))])
def test_q_learning_approaches_the_optimum(seed: int) -> None:
    config = qi.Config(lr=1.0, lr_power=0.7, epsilon=1.0)
    agent = qi.QLearning(12, 4, config, seed)
    list(train(gym.wrappers.TimeLimit(TabularEnv(SLIPPERY), 30), agent, 20_000, seed))
    # The worst of 20 recorded seeds is off by 0.18 somewhere; the values span −1 to 1.
    assert np.abs(agent.q - qi.optimal_q(SLIPPERY, 0.9)).max() < 0.25


CHANGES = {"gamma": 0.5, "lr": 0.5, "lr_power": 0.7, "epsilon": 0.9, "temperature": 1.0, "initial_value": 1.0}


def test_every_field_of_the_config_is_tried() -> None:
    assert CHANGES.keys() == {field.name for field in fields(qi.Config)}


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("name", CHANGES)
def test_every_setting_changes_what_is_learned(name: str) -> None:
    def learned(config: qi.Config) -> np.ndarray:
        agent = qi.QLearning(12, 4, config, seed=0)
        list(train(gym.wrappers.TimeLimit(TabularEnv(SLIPPERY), 30), agent, 1_000, seed=0))
        return agent.q

    assert (learned(qi.Config()) != learned(replace(qi.Config(), **{name: CHANGES[name]}))).any()


@pytest.mark.thorough
@pytest.mark.usefixtures("unchecked")
def test_q_learning_drives_a_taxi() -> None:
    agent = qi.QLearning(500, 6, qi.Config(gamma=0.95, lr=0.5), seed=0)
    list(train(gym.make("Taxi-v4"), agent, 100_000, seed=0))
    assert evaluate(gym.make("Taxi-v4"), agent, episodes=100, seed=10_000).mean() >= 7


@pytest.mark.slow
@pytest.mark.usefixtures("unchecked")
def test_q_learning_drives_a_taxi_on_19_of_20_seeds() -> None:
    arrived = 0
    for seed in range(20):
        agent = qi.QLearning(500, 6, qi.Config(gamma=0.95, lr=0.5), seed)
        list(train(gym.make("Taxi-v4"), agent, 100_000, seed))
        arrived += bool(evaluate(gym.make("Taxi-v4"), agent, episodes=100, seed=10_000).mean() >= 7)
    assert arrived >= 19


@pytest.mark.parametrize(
    ("temperature", "expected"),
    [
        (0.0, [0, 0.5, 0.5]),
        (1e-320, [0, 0.5, 0.5]),  # gap / T is beyond float64
        (1e300, [1 / 3, 1 / 3, 1 / 3]),
        (np.inf, [1 / 3, 1 / 3, 1 / 3]),
    ],
)
def test_boltzmann_at_the_ends_of_its_range(temperature: float, expected: list[float]) -> None:
    np.testing.assert_allclose(qi.boltzmann(np.array([-1e3, 2.0, 2.0]), temperature), expected)


def test_fitting_needs_a_discount() -> None:
    model, pairs = GRIDS["small"].mdp(), np.ones((12, 4))
    with pytest.raises(ValueError, match=r"^gamma = 1.0 is out of range: it must be in \[0, 1\)$"):
        qi.fit_v(model, pairs, 1.0)
    with pytest.raises(ValueError, match=r"^gamma = 1.0 is out of range: it must be in \[0, 1\)$"):
        qi.fit_q(model, pairs, pairs / 4, 1.0)


def test_a_whole_first_value_makes_no_table_of_whole_numbers() -> None:
    """Towards y = 2 from 1 with a step size of ½: 1.5. A table of integers would stay at 1."""
    agent = qi.QLearning(1, 1, qi.Config(initial_value=1, lr=0.5), seed=0)
    agent.update(Transition(0, 0, 2.0, 0, True, False))
    assert agent.q.tolist() == [[1.5]]


def test_lecture_4_on_the_corner_that_the_surrogate_hardly_sees() -> None:
    gamma, world = 0.95, GRIDS["two goals"].mdp()
    mu = qi.boltzmann(qi.optimal_q(world, gamma), temperature=0.1)
    down = np.tile([0.0, 0.0, 1.0, 0.0], (world.num_states, 1))
    d_mu, d_down = (qi.state_distribution(world, policy, world.start, gamma) for policy in (mu, down))
    corner = d_down.argmax()
    assert (round(100 * d_down[corner]), round(100 * d_mu[corner])) == (81, 2)
    assert d_mu.sum() < 1  # "after an episode's end it is in none"
