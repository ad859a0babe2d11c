"""The widgets of lecture 03 without a browser: what each preset claims, and what theory says."""

from itertools import product
from typing import Any

import numpy as np
import pytest

from rlcourse import lessons
from rlcourse.algorithms.q_iteration import boltzmann
from rlcourse.algorithms.reinforce import baseline, trajectory_returns
from rlcourse.envs import TabularMDP, two_floors
from rlcourse.widgets import gradient_variance, importance_weights
from rlcourse.widgets.gradient_variance import (
    Episodes,
    Variance,
    exact_gradient,
    expected_return,
    finite_differences,
    roll_out,
    score_function,
)
from rlcourse.widgets.importance_weights import Weights, effective_sample_size, mean_square, per_step_limit, ratios

pytestmark = pytest.mark.thorough  # minutes together: in `make test`, not in the inner loop

# --- the world, its exact return and gradient

UNEVEN = np.array([[0.2, -0.4], [0.0, 1.0]])  # logits


def every_episode(mdp: TabularMDP, policy: np.ndarray, horizon: int) -> tuple[Episodes, np.ndarray]:
    """All that can happen in `horizon` steps with two actions and two outcomes, and how probable each is."""
    states: list[Any] = []
    actions: list[Any] = []
    rewards: list[Any] = []
    chances = []
    for choices in product(range(2), repeat=2 * horizon):
        state, chance, path = 0, 1.0, []
        for action, outcome in zip(choices[::2], choices[1::2], strict=True):
            chance *= policy[state, action] * mdp.probability[state, action, outcome]
            path.append((state, action, mdp.reward[state, action, outcome]))
            state = int(mdp.next_state[state, action, outcome])
        if chance > 0:
            s, a, r = zip(*path, strict=True)
            for column, values in ((states, s), (actions, a), (rewards, r)):
                column.append(values)
            chances.append(chance)
    return Episodes(np.array(states).T, np.array(actions).T, np.array(rewards).T), np.array(chances)


def test_two_floors() -> None:
    mdp = two_floors(offset=2.0)
    # Down is certain; up works half the time from below, and holds 9 times in 10 above. 1 for being up, plus 2.
    assert mdp.expected_reward == pytest.approx(np.array([[2, 2.5], [2, 2.9]]))
    assert mdp.start.tolist() == [1, 0]
    assert not mdp.terminated.any()


def test_the_return_worked_out_by_hand() -> None:
    # Both actions equally likely: up with probability ¼ after one step; then ¾·¼ + ¼·0.45 = 0.3.
    assert expected_return(two_floors(), np.zeros((2, 2)), 1) == pytest.approx(0.25)
    assert expected_return(two_floors(), np.zeros((2, 2)), 2) == pytest.approx(0.55)
    # A constant adds T times itself.
    assert expected_return(two_floors(5.0), np.zeros((2, 2)), 2) == pytest.approx(10.55)


def test_the_gradient_worked_out_by_hand() -> None:
    # One step: J = ½·π(up), and dπ/dθ(up) = π(1 − π) = ¼; the logit of down moves it the other way.
    assert exact_gradient(two_floors(), np.zeros((2, 2)), 1) == pytest.approx(np.array([[-1 / 8, 1 / 8], [0, 0]]))
    # Two steps: J = p + (1 − p)·p + p·q with p = ½π(up, below) and q = 0.9·π(up, above): dJ/dp = 2 − 2p + q = 1.95,
    # dp/dθ = 1/8; dJ/dq = p = ¼, dq/dθ = 0.9/4.
    below, above = 1.95 / 8, 0.9 / 16
    exact = exact_gradient(two_floors(), np.zeros((2, 2)), 2)
    assert exact == pytest.approx(np.array([[-below, below], [-above, above]]))


@pytest.mark.parametrize("horizon", [1, 3, 20])
def test_the_gradient_is_that_of_the_return(horizon: int) -> None:
    mdp = two_floors(1.0)
    differences = finite_differences(mdp, UNEVEN, horizon)
    # Central differences of step 10⁻⁴: an error of about 10⁻⁸ times third derivatives of J, which is at most 40.
    assert differences == pytest.approx(exact_gradient(mdp, UNEVEN, horizon), abs=1e-6)
    assert np.abs(differences).max() > 0.05


def test_the_score_function_of_one_episode_by_hand() -> None:
    # Below, up (weight 2); above, down (weight 3); below, down (weight 5). With both actions equally likely every step
    # gives ±½ of its weight: below 2·½ − 5·½ for up, above −3·½.
    one = Episodes(np.array([[0], [1], [0]]), np.array([[1], [0], [0]]), np.zeros((3, 1)))
    weight = np.array([[2.0], [3.0], [5.0]])
    up = score_function(one, weight, np.full((2, 2), 0.5))[0, :, 1]
    assert up.tolist() == [-1.5, -1.5]
    # π(up | below) = 0.8: 2·(1 − 0.8) − 5·0.8.
    uneven = np.array([[0.2, 0.8], [0.5, 0.5]])
    assert score_function(one, weight, uneven)[0] == pytest.approx(np.array([[3.6, -3.6], [1.5, -1.5]]))


@pytest.mark.parametrize("causality", [False, True])
def test_averaged_over_all_that_can_happen_the_score_function_gives_the_gradient(causality: bool) -> None:
    """Exact unbiasedness, without sampling: over all 4³ ways that three steps can go."""
    mdp, policy = two_floors(0.5), boltzmann(UNEVEN, 1.0)
    episodes, chance = every_episode(mdp, policy, 3)
    assert chance.sum() == pytest.approx(1)
    returns = trajectory_returns(episodes.reward, 1.0, causality)
    for constant in (0.0, 7.0):  # a baseline that depends on nothing changes nothing
        estimates = score_function(episodes, returns - constant, policy)
        assert np.tensordot(chance, estimates, 1) == pytest.approx(exact_gradient(mdp, UNEVEN, 3))


@pytest.mark.parametrize("causality", [False, True])
@pytest.mark.parametrize(("kind", "factor"), [("none", 1), ("mean", 1 / 2), ("leave_one_out", 1)])
def test_the_batch_mean_shrinks_the_gradient_by_exactly_one_minus_one_over_n(
    causality: bool, kind: Any, factor: float
) -> None:
    """Again without sampling: every pair of two-step episodes, so N = 2."""
    mdp, policy = two_floors(), boltzmann(UNEVEN, 1.0)
    episodes, chance = every_episode(mdp, policy, 2)
    pairs = np.array(list(product(range(len(chance)), repeat=2))).ravel()
    both = Episodes(episodes.state[:, pairs], episodes.action[:, pairs], episodes.reward[:, pairs])
    returns = trajectory_returns(both.reward, 1.0, causality)
    batches = returns.reshape(-1, 2)
    advantage = (batches - baseline(batches, kind)).reshape(returns.shape)
    estimates = score_function(both, advantage, policy).reshape(-1, 2, 2, 2).mean(1)
    expected = np.tensordot(np.outer(chance, chance).ravel(), estimates, 1)
    assert expected == pytest.approx(factor * exact_gradient(mdp, UNEVEN, 2))


def test_episodes_are_drawn_as_the_world_and_the_policy_say() -> None:
    mdp, policy = two_floors(), boltzmann(UNEVEN, 1.0)
    drawn = roll_out(mdp, policy, 10, 20_000, seed=0)
    below = drawn.state == 0
    up = drawn.action == 1
    arrived = drawn.reward == 1
    # Four standard errors of a share of at least 50 000 steps, √(¼/50 000) = 0.0022.
    assert up[below].mean() == pytest.approx(policy[0, 1], abs=0.009)
    assert up[~below].mean() == pytest.approx(policy[1, 1], abs=0.009)
    assert arrived[below & up].mean() == pytest.approx(0.5, abs=0.009)
    assert arrived[~below & up].mean() == pytest.approx(0.9, abs=0.009)
    assert not arrived[~up].any()
    assert (drawn.state[1:] == drawn.reward[:-1]).all()
    short = roll_out(mdp, policy, 4, 20_000, seed=0)
    assert (short.action == drawn.action[:4]).all()


# --- gradient variance


def variance(preset: str | None = None, **changes: Any) -> Variance:
    values = gradient_variance.PRESETS[preset or next(iter(gradient_variance.PRESETS))]
    return gradient_variance.compute(**values | changes)


def standard_errors(data: Variance, expected: float) -> np.ndarray:
    """How many standard errors the six means are from `expected` times the gradient, in its direction."""
    error = data.along.std(1, ddof=1) / np.sqrt(data.along.shape[1])
    return np.abs(data.along.mean(1) - expected) / error


@pytest.mark.parametrize("episodes", gradient_variance.EPISODES)
@pytest.mark.parametrize("horizon", [2, 10, 20])
def test_unbiased_estimates_lie_within_their_standard_error_and_the_batch_mean_at_its_factor(
    episodes: int, horizon: int
) -> None:
    data = variance(episodes=episodes, horizon=horizon)
    # Seeded; four standard errors would be missed by chance once in 16 000.
    assert (standard_errors(data, 1.0)[[0, 2, 3, 5]] < 4).all()
    assert (standard_errors(data, 1 - 1 / episodes)[[1, 4]] < 4).all()
    if episodes <= 4:
        assert (standard_errors(data, 1.0)[[1, 4]] > 6).all()


@pytest.mark.parametrize("causality", [0, 3])
def test_leaving_one_out_is_the_batch_mean_rescaled(causality: int) -> None:
    data = variance(episodes=4)
    assert data.estimates[causality + 2] == pytest.approx(data.estimates[causality + 1] * 4 / 3)
    assert data.wrong_way[causality + 2] == data.wrong_way[causality + 1]
    assert data.variance[causality + 2] == pytest.approx(data.variance[causality + 1] * 16 / 9)


def test_causality_and_baselines_reduce_the_variance() -> None:
    plain, mean, loo, causal, causal_mean, causal_loo = variance("causality and a baseline").variance
    assert plain > 2 * causal > 2 * causal_loo
    assert plain > 3 * loo
    assert plain > 6 * causal_loo
    assert mean < loo
    assert causal_mean < causal_loo
    wrong = variance("causality and a baseline").wrong_way
    assert wrong[0] > 0.15
    assert wrong[5] < 0.01


def test_without_a_baseline_the_relative_variance_grows_with_the_horizon() -> None:
    relative = np.array([(data := variance(horizon=T)).variance / (data.exact @ data.exact) for T in (2, 5, 10, 20)])
    assert (np.diff(relative[:, [0, 3]], axis=0) > 0).all()
    assert relative[-1, 0] > 8 * relative[0, 0]
    assert relative[-1, 5] == pytest.approx(relative[0, 5], rel=0.3)  # with causality and a baseline: hardly


def test_more_episodes_help_slowly() -> None:
    # Four times the episodes, a quarter of the variance; four relative standard errors of a variance from 256 and
    # 64 estimates with heavier tails than a normal distribution's: about 4·√(3/64).
    few, many = variance(episodes=16).variance, variance(episodes=64).variance
    assert many[0] / few[0] == pytest.approx(1 / 4, rel=0.87)
    assert many[0] < few[0]


def test_a_constant_reward_changes_the_variance_only_without_a_baseline() -> None:
    base, five = variance(), variance("five more for every step: nothing changes, says J")
    assert five.exact == pytest.approx(base.exact)
    with_baseline = [1, 2, 4, 5]
    assert five.estimates[with_baseline] == pytest.approx(base.estimates[with_baseline])
    assert five.variance[0] > 100 * base.variance[0]
    assert five.wrong_way[0] == pytest.approx(0.5, abs=0.09)  # four standard errors of a share of 512
    assert variance("five more, with a baseline").wrong_way[2] < 0.05


def test_two_episodes_halve_the_gradient() -> None:
    data = variance("two episodes: the batch mean halves the gradient")
    assert data.chosen == 1
    assert data.along.mean(1)[[1, 4]] == pytest.approx(0.5, abs=0.08)


def test_in_one_step_there_is_no_past_to_forget() -> None:
    data = variance("one step: no past to forget")
    assert data.estimates[3:] == pytest.approx(data.estimates[:3])


def test_the_chosen_estimator_is_the_one_named() -> None:
    chosen = [
        variance(causality=causality, baseline=name).chosen
        for causality in (False, True)
        for name in gradient_variance.BASELINES
    ]
    assert chosen == [0, 1, 2, 3, 4, 5]
    assert gradient_variance.NAMES[5] == "causality, leave one out"


def test_numbers_on_the_bars_have_no_exponent() -> None:
    assert [gradient_variance.two_digits(number) for number in (914.6, 10.04, 1.041, 0.45, 0.00516)] == [
        "910",
        "10",
        "1.0",
        "0.45",
        "0.0052",
    ]


def test_what_the_lecture_says_about_the_recorded_seeds() -> None:
    neither, both = (lessons.reference(f"03_{name}").returns for name in ("plain", "cartpole_reinforce"))
    assert (neither[:, -1] < 300).sum() == 4
    assert (both[:, -1] > 490).all()
    assert len(neither) == len(both) == 5
    highest_so_far = np.maximum.accumulate(neither, axis=1)
    assert (neither < highest_so_far / 2).any(1).all()


# --- importance weights


def weights(preset: str | None = None, **changes: Any) -> Weights:
    values = importance_weights.PRESETS[preset or next(iter(importance_weights.PRESETS))]
    return importance_weights.compute(**values | changes)


OLD, NEW = boltzmann(np.zeros((2, 2)), 1.0), boltzmann(UNEVEN, 1.0)


def test_ratios_by_hand() -> None:
    one = Episodes(np.array([[0], [1]]), np.array([[1], [0]]), np.zeros((2, 1)))
    old, new = np.array([[0.5, 0.5], [0.8, 0.2]]), np.array([[0.1, 0.9], [0.2, 0.8]])
    assert ratios(one, old, new).ravel() == pytest.approx([1.8, 0.25])


def test_effective_sample_size_by_hand() -> None:
    # (1 + 1 + 2)²/(1 + 1 + 4) = 16/6; equal weights count fully, a single one alone.
    sizes = effective_sample_size(np.array([[1.0, 1.0, 2.0], [0.3, 0.3, 0.3], [0.0, 5.0, 0.0]]))
    assert sizes == pytest.approx([16 / 6, 3, 1])


def test_what_weights_are_expected_to_be() -> None:
    """Over all that can happen in three steps: E[w] = 1, E[w²] and both estimates as stated, without sampling."""
    mdp = two_floors()
    episodes, chance = every_episode(mdp, OLD, 3)
    ratio = ratios(episodes, OLD, NEW)
    product_ = ratio.cumprod(0)
    assert product_ @ chance == pytest.approx([1, 1, 1])
    assert product_**2 @ chance == pytest.approx(mean_square(mdp, OLD, NEW, 3))
    whole = product_[-1] * episodes.reward.sum(0)
    assert whole @ chance == pytest.approx(expected_return(mdp, UNEVEN, 3))
    single = (ratio * episodes.reward).sum(0)
    assert single @ chance == pytest.approx(per_step_limit(mdp, OLD, NEW, 3))
    assert single @ chance != pytest.approx(expected_return(mdp, UNEVEN, 3), rel=0.01)


@pytest.mark.parametrize("preset", importance_weights.PRESETS)
def test_both_estimates_tend_to_what_is_stated(preset: str) -> None:
    data = weights(preset)
    # Four standard errors; heavy tails make that of the estimate per episode far too small, so it is left out here.
    error = data.estimates[1].std(ddof=1) / np.sqrt(data.estimates.shape[1])
    assert data.estimates[1].mean() == pytest.approx(data.per_step, abs=4 * error)
    assert data.effective[1] == pytest.approx(data.limit[1], abs=0.03)
    assert data.kl == pytest.approx(importance_kl(data.drift))


def importance_kl(drift: float) -> float:
    """KL(½, ½ ‖ 1 − p, p) = −½ log 4p(1 − p) with p = 1/(1 + e^−drift)."""
    p = 1 / (1 + np.exp(-drift))
    return float(-0.5 * np.log(4 * p * (1 - p)))


def test_a_small_drift_does_little_harm_in_short_episodes() -> None:
    data = weights("a small drift, short episodes: both will do")
    assert (data.effective[:, -1] > 0.9).all()
    assert data.estimates.mean(1) == pytest.approx([data.new] * 2, rel=0.03)
    assert (data.rmse < 0.12 * data.new).all()


def test_the_effective_sample_size_shrinks_with_drift_and_horizon() -> None:
    data = weights("the same drift, long episodes")
    assert (np.diff(data.limit[0]) < 0).all()
    assert data.effective[0, -1] < 0.8
    assert data.effective[1, -1] > 0.98
    by_drift = np.array([weights(drift=drift, horizon=20).limit[:, -1] for drift in (0.0, 0.2, 0.5, 1.0, 2.0)])
    assert by_drift[0] == pytest.approx([1, 1])
    assert (np.diff(by_drift, axis=0) < 0).all()
    assert by_drift[-1, 0] < 0.001
    assert by_drift[-1, 1] > 0.6


def test_a_few_episodes_get_all_the_weight_and_most_estimates_are_far_too_low() -> None:
    data = weights("a large drift: a few episodes have all the weight")
    assert data.effective[0, -1] < 0.1
    assert data.shares[0, :5].sum() > 0.7
    assert data.shares[1, :5].sum() < 0.2
    assert np.median(data.estimates[0]) < 0.25 * data.new  # unbiased, and yet
    assert data.rmse[0] > 4 * data.rmse[1]
    assert np.sort(data.running[-1])[data.running.shape[1] // 2] < 1e-3  # most weights vanish


def test_per_step_is_precise_and_wrong() -> None:
    data = weights("per step: precise, and wrong")
    spread = data.estimates.std(1, ddof=1)
    assert spread[1] < 0.2 * spread[0]
    assert data.rmse[1] < 0.5 * data.rmse[0]
    assert data.new - data.per_step > 3 * spread[1]
    assert data.per_step > data.old  # it sees what the new actions are worth, not where they lead


def test_for_one_step_the_two_are_one() -> None:
    data = weights("one step: the two are one")
    assert data.estimates[0] == pytest.approx(data.estimates[1])
    assert data.effective[0] == pytest.approx(data.effective[1])
    assert data.per_step == pytest.approx(data.new)


def test_without_drift_all_weights_are_one() -> None:
    data = weights(drift=0.0)
    assert data.running == pytest.approx(1)
    assert data.shares == pytest.approx(1 / data.episodes)
    assert data.new == pytest.approx(data.old)


def test_what_the_lecture_says_about_the_picture() -> None:
    data = weights("per step: precise, and wrong")
    assert np.unique(data.running[0].round(2)).tolist() == [0.54, 1.46]
    assert 256 * data.effective[0, -1] == pytest.approx(21.5, abs=0.5)
    large = weights("a large drift: a few episodes have all the weight")
    assert large.estimates[0].mean() < 0.5 * large.new
    small = weights(drift=0.2, horizon=20)
    assert small.per_step == pytest.approx(small.new, rel=0.03)
    assert weights(drift=0.5, horizon=20).per_step < 0.95 * weights(drift=0.5, horizon=20).new
    assert [small.kl, large.kl] == pytest.approx([0.005, 0.434], abs=0.0005)
    assert weights("the same drift, long episodes").effective[0, -1] == pytest.approx(0.75, abs=0.02)
    twenty = variance(horizon=20).variance
    assert twenty[3] < 0.5 * twenty[0]
    five = variance("five more for every step: nothing changes, says J")
    assert five.variance[0] > 100 * variance().variance[0]
