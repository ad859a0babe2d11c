"""Soft Q-iteration: numbers by hand, both lemmas and the theorem on random worlds, a Gaussian's fit, gradients."""

from dataclasses import replace
from itertools import pairwise, product

import numpy as np
import pytest
from scipy import optimize, stats

from rlcourse.algorithms import q_iteration, soft_q_iteration
from rlcourse.envs import GRIDS, FourGoals, TabularMDP, two_floors
from rlcourse.widgets import four_goals

WORLD = FourGoals()
MDP = WORLD.mdp()


def random_world(seed: int, states: int = 12, actions: int = 4) -> TabularMDP:
    """Every action leads to one of three states; some end the episode there."""
    rng = np.random.default_rng(seed)
    shape = states, actions, 3
    start = np.full(states, 1 / states)
    chances = rng.dirichlet(np.ones(3), shape[:2])
    return TabularMDP(rng.integers(0, states, shape), chances, rng.normal(size=shape), rng.random(shape) < 0.1, start)


def random_policy(seed: int, model: TabularMDP) -> np.ndarray:
    return np.random.default_rng(seed).dirichlet(np.ones(model.num_actions), model.num_states)


# --- the equations


def test_soft_values_by_hand() -> None:
    # Q = (1, 3), π = (1/4, 3/4), α = 2: 1/4 + 9/4 = 2.5, and 2·(log 4 / 4 + 3/4·log(4/3)) = 1.1247
    q, policy = np.array([[1.0, 3.0]]), np.array([[0.25, 0.75]])
    assert soft_q_iteration.entropy(policy) == pytest.approx(np.log(4) / 4 + 0.75 * np.log(4 / 3))
    assert soft_q_iteration.soft_value(q, policy, 2.0) == pytest.approx(2.5 + 1.1247, abs=1e-4)
    assert soft_q_iteration.entropy(np.array([[0.0, 1.0]])) == 0  # 0 log 0 is 0
    # α log(e^½ + e^{3/2}) = 2·log(1.6487 + 4.4817) = 3.6265; softmax(½, 3/2) = (1, e)/(1 + e)
    assert soft_q_iteration.soft_maximum(q, 2.0) == pytest.approx(3.6265, abs=1e-4)
    assert soft_q_iteration.improve(q, 2.0)[0] == pytest.approx([1 / (1 + np.e), np.e / (1 + np.e)])


def test_the_soft_bellman_operator_by_hand() -> None:
    # Two floors: state 0 down, 1 up; going up from 0 succeeds with ½, from 1 with 0.9, ending upstairs pays 1.
    # Q = 0 and a coin everywhere: V = α log 2, so TQ = r + γ α log 2 with r = (0, ½) and (0, 0.9).
    model, coin = two_floors(), np.full((2, 2), 0.5)
    found = soft_q_iteration.soft_bellman(model, np.zeros((2, 2)), coin, 0.9, 0.2)
    assert found == pytest.approx(np.array([[0, 0.5], [0, 0.9]]) + 0.9 * 0.2 * np.log(2))
    # Nothing but entropy to earn: a coin for ever is worth α log 2 / (1 − γ), and a step's own entropy is not in its Q.
    nothing = TabularMDP(model.next_state, model.probability, 0 * model.reward, model.terminated, model.start)
    q = soft_q_iteration.evaluate_policy(nothing, coin, 0.9, 0.2)
    assert q == pytest.approx(0.9 * 0.2 * np.log(2) / 0.1)


def test_an_episode_that_has_ended_earns_no_entropy() -> None:
    grid = GRIDS["small"]
    model, width = grid.mdp(), grid.shape[1]
    beside_goal = 0 * width + 2  # one step to the right lies the goal, which pays 1
    for q in (
        soft_q_iteration.optimal_soft_q(model, 0.9, 0.5),
        soft_q_iteration.evaluate_policy(model, np.full((12, 4), 0.25), 0.9, 0.5),
    ):
        assert q[beside_goal, 1] == pytest.approx(1)


def test_soft_and_hard_maximum() -> None:
    q = 100 * np.random.default_rng(0).normal(size=(50, 5))
    for temperature in (1e-3, 0.1, 1.0, 10.0, 1e4):
        gap = soft_q_iteration.soft_maximum(q, temperature) - q.max(-1)
        assert (gap >= 0).all()
        # of equal actions exactly α log 5; the sum of 5 exponentials rounds at 1e-15 of 1e4
        assert (gap <= temperature * np.log(5) + 1e-9).all()
        policy = soft_q_iteration.improve(q, temperature)
        assert policy == pytest.approx(q_iteration.boltzmann(q, temperature))
        # What the best policy attains is the soft maximum, and random ones stay below.
        assert soft_q_iteration.soft_value(q, policy, temperature) == pytest.approx(q.max(-1) + gap)
        for seed in range(5):
            other = np.random.default_rng(seed).dirichlet(np.ones(5), 50)
            assert (soft_q_iteration.soft_value(q, other, temperature) < q.max(-1) + gap).all()
    assert soft_q_iteration.soft_maximum(np.array([[1e6, 0.0]]), 1e-6) == pytest.approx(1e6)  # no overflow


# --- the lemmas and the theorem


@pytest.mark.parametrize("seed", range(5))
def test_lemma_1_soft_policy_evaluation_contracts_and_arrives(seed: int) -> None:
    model, temperature = random_world(seed), 0.3
    policy = random_policy(seed, model)
    exact = soft_q_iteration.evaluate_policy(model, policy, 0.9, temperature)
    assert soft_q_iteration.soft_bellman(model, exact, policy, 0.9, temperature) == pytest.approx(exact)
    q = 10 * np.random.default_rng(seed).normal(size=exact.shape)
    first = np.abs(q - exact).max()
    for k in range(1, 61):
        before, q = q, soft_q_iteration.soft_bellman(model, q, policy, 0.9, temperature)
        after = soft_q_iteration.soft_bellman(model, q, policy, 0.9, temperature)
        assert np.abs(after - q).max() <= 0.9 * np.abs(q - before).max() + 1e-12
        assert np.abs(q - exact).max() <= 0.9**k * first + 1e-12


@pytest.mark.parametrize("temperature", [0.01, 0.3, 5.0])
@pytest.mark.parametrize("seed", range(5))
def test_lemma_2_soft_policy_improvement_lowers_no_q(seed: int, temperature: float) -> None:
    model = random_world(seed)
    steps = soft_q_iteration.soft_policy_iteration(model, random_policy(seed, model), 0.9, temperature)
    gains = [after - before for (_, before), (_, after) in pairwise(next(steps) for _ in range(8))]
    assert gains[0].max() > 1e-3  # else there was nothing to see
    for gain in gains:
        assert gain.min() > -1e-9  # what spsolve rounds


def test_a_policy_that_is_not_the_softmax_can_lower_q() -> None:
    """The check above can fail: greedy improvement raises the return and lowers the soft Q."""
    model = random_world(0)
    q = soft_q_iteration.evaluate_policy(model, random_policy(0, model), 0.9, 5.0)
    assert (soft_q_iteration.evaluate_policy(model, q_iteration.greedy(q), 0.9, 5.0) - q).min() < -1


@pytest.mark.parametrize("temperature", [0.05, 1.0])
@pytest.mark.parametrize("seed", range(3))
def test_theorem_1_both_iterations_meet(seed: int, temperature: float) -> None:
    model = random_world(seed)
    optimal = soft_q_iteration.optimal_soft_q(model, 0.9, temperature, 1e-10)
    steps = soft_q_iteration.soft_policy_iteration(model, random_policy(seed, model), 0.9, temperature)
    policy, q = [next(steps) for _ in range(20)][-1]
    assert q == pytest.approx(optimal, abs=1e-8)
    assert policy == pytest.approx(soft_q_iteration.improve(optimal, temperature), abs=1e-6)
    for other in range(5):  # no policy does better
        beaten = soft_q_iteration.evaluate_policy(model, random_policy(other, model), 0.9, temperature)
        assert (beaten < optimal).all()


def test_a_cold_soft_q_is_the_hard_one() -> None:
    model = GRIDS["small"].mdp()
    hard = q_iteration.optimal_q(model, 0.9)
    gaps = [np.abs(soft_q_iteration.optimal_soft_q(model, 0.9, t) - hard).max() for t in (1e-1, 1e-2, 1e-3)]
    assert gaps == sorted(gaps, reverse=True)
    # Each step may earn α log 4 more: together at most α log 4 · γ/(1 − γ).
    assert gaps[-1] <= 1e-3 * np.log(4) * 9


def test_nonsense_is_refused() -> None:
    with pytest.raises(ValueError, match=r"gamma = 1.0 is out of range: it must be in \[0, 1\)"):
        soft_q_iteration.optimal_soft_q(MDP, 1.0, 1.0)
    with pytest.raises(ValueError, match=r"gamma = 1\.0"):
        soft_q_iteration.evaluate_policy(two_floors(), np.full((2, 2), 0.5), 1.0, 1.0)
    with pytest.raises(ValueError, match=r"temperature = 0\.0"):
        soft_q_iteration.optimal_soft_q(MDP, 0.9, 0.0)
    with pytest.raises(ValueError, match=r"tolerance = 0\.0"):
        soft_q_iteration.optimal_soft_q(MDP, 0.9, 1.0, 0.0)


# --- the four-goal world


def test_the_four_goal_world_by_hand() -> None:
    middle, east = WORLD.state(0, 0), WORLD.goals[0]
    assert (MDP.num_states, MDP.num_actions) == (441, 16)
    assert WORLD.places[middle].tolist() == [0, 0]
    assert WORLD.places[WORLD.goals].tolist() == [[8, 0], [0, 8], [-8, 0], [0, -8]]
    assert MDP.start[middle] == 1
    # East from (6, 0): the goal, for certain. From (7, 0) the step goes past it, to (9, 0).
    before = WORLD.state(6, 0)
    lands = MDP.probability[before, 0] > 0
    assert MDP.next_state[before, 0][lands].tolist() == [east]
    assert (MDP.reward[before, 0][lands].tolist(), MDP.terminated[before, 0][lands].tolist()) == ([10], [True])
    assert MDP.expected_reward[WORLD.state(7, 0), 0] == 0
    # North-east, √2 along each axis: columns 1 and 2 with shares 0.586 and 0.414, rows the same.
    low = 2 - np.sqrt(2)
    expected = {(1, 1): low**2, (2, 1): low * (1 - low), (1, 2): low * (1 - low), (2, 2): (1 - low) ** 2}
    for k in range(4):
        x, y = WORLD.places[MDP.next_state[middle, 2, k]]
        assert MDP.probability[middle, 2, k] == pytest.approx(expected[x, y])
    with pytest.raises(ValueError, match=r"x = 11, y = 0 is outside: both must be in \[-10, 10\]"):
        WORLD.state(11, 0)


def test_steps_end_on_average_where_they_should_and_stay_in_the_room() -> None:
    lands = (MDP.probability[..., None] * WORLD.places[MDP.next_state]).sum(2)
    moves = 2 * np.stack([np.cos(WORLD.angles), np.sin(WORLD.angles)], -1)
    aimed = np.clip(WORLD.places[:, None] + moves, -10, 10)
    going_on = np.setdiff1d(np.arange(MDP.num_states), WORLD.goals)
    np.testing.assert_allclose(lands[going_on], aimed[going_on], atol=1e-11)
    assert MDP.terminated[WORLD.goals].all()  # nothing is earned there
    assert (MDP.expected_reward[WORLD.goals] == 0).all()


def test_the_four_goal_world_looks_the_same_from_all_sides() -> None:
    q = soft_q_iteration.optimal_soft_q(MDP, 0.9, 0.1)
    x, y = WORLD.places.T
    turned = np.array([WORLD.state(-b, a) for a, b in zip(x, y, strict=True)])  # by a quarter, counter-clockwise
    mirrored = np.array([WORLD.state(a, -b) for a, b in zip(x, y, strict=True)])
    np.testing.assert_allclose(q, np.roll(q[turned], -4, axis=1), atol=1e-7)
    np.testing.assert_allclose(q, q[mirrored][:, -np.arange(16)], atol=1e-7)


def test_a_wall_stops_the_greedy_policy_and_not_the_softmax() -> None:
    """Lecture 7's table: after learning a wall of 2 × 9 places stands before the eastern goal, and nobody relearns."""
    wall = [WORLD.state(x, y) for x in (5, 6) for y in range(-4, 5)]
    stopped = np.where(np.isin(MDP.next_state, wall), np.arange(MDP.num_states)[:, None, None], MDP.next_state)
    greedy = q_iteration.greedy(q_iteration.optimal_q(MDP, 0.9))
    narrow = four_goals.solution(0.05)[1]
    for policy, before, after in (
        (greedy, [1, 0, 0, 0], [0, 0, 0, 0]),
        (narrow[0], [0.25, 0.25, 0.25, 0.25], [0, 0.25, 0.25, 0.25]),
        (narrow[1], [1, 0, 0, 0], [0, 0, 0, 0]),  # the Gaussian
    ):
        np.testing.assert_allclose(four_goals.arrivals(policy, WORLD.state(0, 0), four_goals.STEPS), before, atol=2e-3)
        np.testing.assert_allclose(arrivals_in(replace(MDP, next_state=stopped), policy), after, atol=2e-3)
    warm = four_goals.solution(0.3)[1][0]
    assert arrivals_in(replace(MDP, next_state=stopped), warm).sum() > 0.99


def arrivals_in(world: TabularMDP, policy: np.ndarray) -> np.ndarray:
    step, place = four_goals.motion(world, policy), world.start
    for _ in range(four_goals.STEPS):
        place = step @ place
    return np.asarray(place[WORLD.goals])


# --- a Gaussian in place of the softmax


def test_wrapped_gaussians_by_hand() -> None:
    # Four directions, σ = 1, μ = 0: densities at 0, ±π/2, π, each with the turns that matter.
    weights = [sum(np.exp(-((a + 2 * np.pi * k) ** 2) / 2) for k in (-1, 0, 1)) for a in (0, np.pi / 2, np.pi)]
    expected = np.array([weights[0], weights[1], weights[2], weights[1]])
    found = four_goals.gaussians(np.array([0.0, np.pi]), np.array([1.0, 100.0]), 4)
    assert found[0] == pytest.approx(expected / expected.sum())
    assert found[2] == pytest.approx(np.roll(found[0], 2))  # the means run slower than the spreads
    assert found[1] == pytest.approx([0.25] * 4, abs=1e-2)
    np.testing.assert_allclose(found.sum(-1), 1)
    narrow = four_goals.gaussians(np.array([np.pi / 2]), np.array([0.01]), 4)
    assert narrow[0] == pytest.approx([0, 1, 0, 0])


def test_reverse_kl_is_scipys() -> None:
    rng = np.random.default_rng(0)
    family, q = rng.dirichlet(np.ones(6), 7), rng.normal(size=(5, 6))
    found = four_goals.reverse_kl(family, q, 0.4)
    target = soft_q_iteration.improve(q, 0.4)
    for state, member in product(range(5), range(7)):
        assert found[state, member] == pytest.approx(stats.entropy(family[member], target[state]))
    # By hand: a coin against (1/4, 3/4) is ½ log 2 + ½ log ⅔ = ½ log 4/3.
    odd = np.log([[0.25, 0.75]])
    assert four_goals.reverse_kl(np.array([[0.5, 0.5]]), odd, 1.0) == pytest.approx(0.5 * np.log(4 / 3))


def test_of_equally_close_members_the_first_is_taken() -> None:
    q = np.array([[1.0, 0.0, 1.0, 0.0]])
    family = four_goals.gaussians(np.array([0.0, np.pi]), np.array([0.3]), 4)
    assert four_goals.closest(family, q, 0.1).tolist() == [0]
    assert four_goals.closest(family[::-1], q, 0.1).tolist() == [0]
    assert four_goals.closest(family, q + np.array([0, 0, 1e-3, 0]), 0.1).tolist() == [1]
    assert four_goals.closest(family, q + np.array([0, 0, 1e-12, 0]), 0.1).tolist() == [0]  # rounding


def test_lemma_2_holds_for_gaussians_too() -> None:
    """The family need not hold the softmax: a member that is no farther away than the last lowers no soft Q."""
    family = four_goals.gaussians(2 * np.pi * np.arange(32) / 32, np.geomspace(0.1, 4, 12), 16)
    policy = family[np.random.default_rng(0).integers(0, len(family), MDP.num_states)]
    before = soft_q_iteration.evaluate_policy(MDP, policy, 0.9, 0.1)
    for _ in range(5):
        policy = family[four_goals.closest(family, before, 0.1)]
        after = soft_q_iteration.evaluate_policy(MDP, policy, 0.9, 0.1)
        assert (after - before).min() > -1e-8  # ties are taken within 1e-9 nats · α / (1 − γ)
        before = after
    assert (before <= soft_q_iteration.optimal_soft_q(MDP, 0.9, 0.1) + 1e-7).all()


@pytest.mark.thorough
def test_the_gaussian_on_a_grid_is_the_best_that_an_optimiser_finds() -> None:
    q = soft_q_iteration.optimal_soft_q(MDP, 0.9, 0.1)[[WORLD.state(4, 4), WORLD.state(2, -1)]]
    means, spreads = 2 * np.pi * np.arange(64) / 64, np.geomspace(0.1, 4, 40)
    family = four_goals.gaussians(means, spreads, 16)
    best = four_goals.reverse_kl(family, q, 0.1).min(-1)
    for state in range(2):

        def distance(x: np.ndarray, state: int = state) -> float:
            member = four_goals.gaussians(x[:1], np.exp(x[1:]), 16)
            return float(four_goals.reverse_kl(member, q[state : state + 1], 0.1)[0, 0])

        starts = product(np.arange(0, 2 * np.pi, np.pi / 4), (-1.5, 0.0, 1.0))
        found = min(optimize.minimize(distance, start, method="Nelder-Mead").fun for start in starts)
        # The grid's steps, 5.6° and 10 %, cost little beside the nats that one mode less or more costs.
        assert found - 1e-9 <= best[state] <= found + 0.02


@pytest.mark.parametrize("temperature", [0.0, -1.0])
def test_a_temperature_of_0_is_refused(temperature: float) -> None:
    for function in (soft_q_iteration.soft_maximum, soft_q_iteration.improve):
        with pytest.raises(
            ValueError, match=rf"^temperature = {temperature} is out of range: it must be in \(0, inf\]$"
        ):
            function(np.zeros((1, 2)), temperature)
