"""Lecture 05's widgets without a browser: what each preset claims and what theory says."""

import json
from itertools import product
from typing import Any

import numpy as np
import pytest
from scipy.stats import norm

from rlcourse import returns
from rlcourse.curves import CURVES, Curve
from rlcourse.widgets import gae, ppo_clip, seed_lottery

pytestmark = pytest.mark.thorough  # minutes together: in `make test`, not in the inner loop

# --- the clip

WITH_MIN, WITHOUT_MIN, UNCLIPPED = ppo_clip.OBJECTIVES


def clip(preset: str = next(iter(ppo_clip.PRESETS)), **changes: Any) -> ppo_clip.Clip:
    return ppo_clip.compute(**ppo_clip.PRESETS[preset] | changes)


@pytest.mark.parametrize("epsilon", [0.1, 0.2, 0.5])
@pytest.mark.parametrize("advantage", [-2.0, -0.1, 0.1, 2.0])
def test_ppos_gradient_is_zero_where_it_should_be_and_nowhere_else(advantage: float, epsilon: float) -> None:
    data, r = clip(advantage=advantage, clip=epsilon), ppo_clip.RATIOS
    assert np.abs(np.subtract.outer(r, [1 - epsilon, 1 + epsilon])).min() > 1e-4  # no ratio at a corner
    far_enough = r > 1 + epsilon if advantage > 0 else r < 1 - epsilon
    with_min, without_min, unclipped = data.gradients
    np.testing.assert_array_equal(with_min == 0, far_enough)
    np.testing.assert_array_equal(without_min == 0, (r > 1 + epsilon) | (r < 1 - epsilon))
    # ∂r/∂log π · ∂log π/∂r is r · 1/r: one rounding each.
    assert unclipped == pytest.approx(advantage, rel=1e-12)
    assert with_min[~far_enough] == pytest.approx(advantage, rel=1e-12)


def test_objectives_on_numbers() -> None:
    # ε = 0.2. A = 2: r = 1.5 → min(3, 1.2·2); r = 0.5 → min(1, 0.8·2). A = −2: r = 1.5 → min(−3, −2.4);
    # r = 0.5 → min(−1, −1.6). In between nothing is clipped: r = 1.1 → ±2.2.
    ratio, advantage = np.array([1.5, 0.5, 1.1, 1.5, 0.5, 1.1]), np.array([2.0, 2, 2, -2, -2, -2])
    expected = {
        WITH_MIN: ([2.4, 1.0, 2.2, -3.0, -1.6, -2.2], [0, 2, 2, -2, 0, -2]),
        WITHOUT_MIN: ([2.4, 1.6, 2.2, -2.4, -1.6, -2.2], [0, 0, 2, 0, 0, -2]),
        UNCLIPPED: ([3.0, 1.0, 2.2, -3.0, -1.0, -2.2], [2, 2, 2, -2, -2, -2]),
    }
    for objective, (values, gradients) in expected.items():
        found, gradient = ppo_clip.objective_and_gradient(objective, ratio, advantage, 0.2)
        assert found == pytest.approx(values)
        assert gradient == pytest.approx(gradients)


def test_the_presets_of_the_clip() -> None:
    slopes = [clip(preset).slope for preset in ppo_clip.PRESETS]
    assert slopes[:6] == pytest.approx([0, 0, 1, 0, -1, 1])
    assert [clip(preset).value for preset in ppo_clip.PRESETS][:6] == pytest.approx([1.2, -0.8, 0.55, 0.8, -2.85, 2.85])


def test_the_minimum_is_a_lower_bound_on_both_others() -> None:
    for advantage in (-1.0, 1.0):
        with_min, without_min, unclipped = clip(advantage=advantage).objectives
        assert with_min == pytest.approx(np.minimum(without_min, unclipped))
        inside = np.abs(ppo_clip.RATIOS - 1) < 0.2
        assert with_min[inside] == pytest.approx(unclipped[inside])


def test_in_a_batch_the_samples_without_gradient_are_those_that_moved_far_enough() -> None:
    for spread, epsilon in product((0.0, 0.3, 1.0), (0.1, 0.5)):
        data = clip(spread=spread, clip=epsilon)
        good, r = data.advantages > 0, data.ratios
        np.testing.assert_array_equal(data.blocked, (good & (r > 1 + epsilon)) | (~good & (r < 1 - epsilon)))
        assert data.mean[0] <= data.mean[1]
        without = clip(spread=spread, clip=epsilon, objective=WITHOUT_MIN)
        np.testing.assert_array_equal(without.blocked, np.abs(r - 1) > epsilon)
        assert not clip(spread=spread, clip=epsilon, objective=UNCLIPPED).blocked.any()


def test_the_further_the_policy_the_fewer_samples_have_a_gradient() -> None:
    shares = [clip(spread=spread).blocked.mean() for spread in (0.0, 0.1, 0.3, 1.0)]
    assert shares == pytest.approx([0, 0.03, 0.27, 0.44], abs=0.02)
    # Ratios of probabilities are 1 on average under the old policy; four standard errors.
    data = clip(spread=0.5)
    assert data.ratios.mean() == pytest.approx(1, abs=4 * data.ratios.std() / np.sqrt(ppo_clip.SAMPLES))


def test_clipping_bounds_no_ratio() -> None:
    assert clip("a policy far from the old one").ratios.max() > 10


# --- generalised advantage estimation


def estimate(preset: str = next(iter(gae.PRESETS)), **changes: Any) -> gae.Gae:
    return gae.compute(**gae.PRESETS[preset] | changes)


def test_weights_on_numbers_and_their_sum() -> None:
    # λ = 1/2, T = 4: 1/2, 1/4, 1/8, and what remains, 1/8.
    assert gae.weights(0.5, 4) == pytest.approx([0.5, 0.25, 0.125, 0.125])
    assert gae.weights(0.0, 3).tolist() == [1, 0, 0]
    assert gae.weights(1.0, 3).tolist() == [0, 0, 1]
    assert gae.weights(0.3, 1).tolist() == [1]
    for gae_lambda, steps in product((0.0, 0.7, 0.95, 1.0), (2, 50)):
        weights = gae.weights(gae_lambda, steps)
        assert weights.sum() == pytest.approx(1)
        assert (weights >= 0).all()
    assert gae.weights(0.95, 5)[-1] == pytest.approx(0.8145, abs=1e-4)  # the preset's "most of the mass"


@pytest.mark.parametrize("gae_lambda", [0.0, 0.6, 1.0])
def test_gae_is_the_weighted_sum_of_n_step_advantages(gae_lambda: float) -> None:
    steps, gamma = 6, 0.9
    states, reward = gae.rollouts(steps, noise=1.0)
    critic = np.random.default_rng(1).standard_normal(gae.STATES)[states]
    discount = gamma ** np.arange(steps)
    by_n = np.stack(
        [discount[:n] @ reward[:n] + gamma**n * critic[n] - critic[0] for n in range(1, steps + 1)]
    )  # Â_n of the first state, one row per n
    ends = np.zeros(reward.shape, bool)
    found = returns.gae(reward, critic[:-1], critic[1:], ends, ends, gamma, gae_lambda)
    # The recursion and the sum round differently; the terms are of the order of 1.
    np.testing.assert_allclose(found[0], gae.weights(gae_lambda, steps) @ by_n, atol=1e-12)


def test_lambda_0_is_the_td_error_and_lambda_1_monte_carlo() -> None:
    value, _, _ = gae.exact(0.95)
    states, reward = gae.rollouts(30, 0.5)
    for gae_lambda, after in ((0.0, 1), (1.0, 30)):
        data = estimate(gae_lambda=gae_lambda)
        returned = 0.95 ** np.arange(after) @ reward[:after] + 0.95**after * 0.5 * value[states[after]]
        np.testing.assert_allclose(data.estimates.ravel(), returned, atol=1e-12)


def test_the_exact_values_solve_bellmans_equation() -> None:
    value, q, transition = gae.exact(0.9)
    assert value == pytest.approx(q.mean(1))  # both actions are equally likely
    assert transition.sum(1) == pytest.approx(1)
    # From the last state: right stays and pays 1, left goes one back for nothing.
    assert q[-1] == pytest.approx([0.9 * value[-2], 1 + 0.9 * value[-1]])
    assert q[0] == pytest.approx([0.9 * value[0], 0.9 * value[1]])
    assert value.min() > 0


def test_the_computed_bias_is_what_the_rollouts_show(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gae, "ROLLOUTS", 4000)
    for gae_lambda in (0.0, 0.5, 1.0):
        data = estimate(gae_lambda=gae_lambda, steps=8)
        mean, spread = data.estimates.mean(0), data.estimates.std(0, ddof=1)
        # 18 pairs, three λ: beyond 4.5 standard errors with probability 4·10⁻⁴, and the seed is fixed.
        assert np.abs(mean - data.target - data.own_bias).max() < 4.5 * spread.max() / np.sqrt(4000)
        assert np.abs(data.own_bias).max() > 20 * spread.max() / np.sqrt(4000)  # else this would show nothing


def test_bias_falls_with_lambda_and_an_exact_critic_has_none() -> None:
    for error, gamma, steps in product((0.2, 1.0), (0.5, 0.95, 0.99), (2, 30)):
        size = np.abs(estimate(error=error, gamma=gamma, steps=steps).bias)
        assert (np.diff(size, axis=0) < 1e-12).all()
        value, _, _ = gae.exact(gamma)
        assert size[0, 0, 0] == pytest.approx(gamma * error * value[0])
    assert (estimate(error=0.0).bias == 0).all()
    # A constant error c: Σ w_n γ^n c, by hand for λ = 1/2, γ = 1/2, T = 2: (1/2·1/2 + 1/2·1/4)·c = 3/8·c.
    assert gae.expected_bias(np.full(gae.STATES, 8.0), 0.5, 2, np.array([0.5])) == pytest.approx(3.0)
    # A rollout's cut leaves some bias even at λ = 1; less of it the longer the rollout.
    cut = [np.abs(estimate(gae_lambda=1.0, steps=steps).own_bias).max() for steps in (5, 30, 50)]
    assert cut == sorted(cut, reverse=True)
    assert cut[-1] > 0


def test_variance_grows_with_lambda() -> None:
    for error, noise in product((0.0, 0.5, 1.0), (0.0, 1.0)):
        variance = estimate(error=error, noise=noise).curves[1]
        assert (np.diff(variance) > 0).all()
        assert variance[-1] > 3 * variance[0]


def test_which_lambda_is_best_depends_on_critic_noise_and_averaging() -> None:
    assert estimate("an exact critic: λ = 0 is best").best == 0
    assert estimate("an exact critic: λ = 0 is best", samples=100).best == 0
    assert estimate("an untrained critic, ten averaged: λ = 1 is best").best == 1
    one, hundred = estimate("one estimate: a small λ is best"), estimate("a hundred averaged: a large λ is best")
    assert one.best == pytest.approx(0.45)
    assert hundred.best == 1
    assert estimate(error=1.0).best == pytest.approx(0.95)  # "rises from 0.45 to 0.95"
    assert {estimate(error=error, samples=10).best for error in (0.5, 1.0)} == {1}  # "1 from 10 estimates on"
    untrained = estimate(error=1.0).curves
    assert ((untrained[0] > untrained[1]) == (gae.LAMBDAS < 0.925)).all()  # "for λ up to 0.9 the bias is the larger"
    by_samples = [estimate(samples=n).best for n in gae.SAMPLES]
    assert by_samples == sorted(by_samples)
    by_error = [estimate(error=error).best for error in (0.0, 0.25, 0.5, 0.75, 1.0)]
    assert by_error == sorted(by_error)
    by_noise = [estimate(noise=noise).best for noise in (0.0, 0.5, 1.0, 2.0)]
    assert by_noise == sorted(by_noise, reverse=True)


def test_without_a_future_no_lambda_is_best() -> None:
    data = gae.compute(**gae.PRESETS["a half-trained critic, λ = 0.95"] | {"gamma": 0.0})
    assert "the same for every λ" in gae.describe(data)
    assert "smallest" not in gae.describe(data)
    (word,) = (mark for view in gae.scene(data).main for mark in view.marks if mark["kind"] == "text")
    assert word["words"] == [""]


def test_the_best_lambda_does_not_hang_on_the_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    for seed in range(1, 6):
        monkeypatch.setattr(gae, "SEED", seed)
        assert estimate("one estimate: a small λ is best").best < 0.6
        assert estimate("a hundred averaged: a large λ is best").best > 0.9
        assert estimate("an untrained critic, ten averaged: λ = 1 is best").best == 1
        assert estimate("an exact critic: λ = 0 is best").best == 0


def test_the_chosen_lambda_lies_on_the_curves() -> None:
    for index, gae_lambda in ((0, 0.0), (13, 0.65), (20, 1.0)):
        data = estimate(gae_lambda=gae_lambda, samples=3)
        assert data.here == pytest.approx(data.curves[:, index])
        assert data.own_bias == pytest.approx(data.bias[index])
    quarter = estimate(samples=100).curves
    assert quarter[1] == pytest.approx(estimate(samples=1).curves[1] / 100)
    assert quarter[0] == pytest.approx(estimate(samples=1).curves[0])


def test_rollouts_begin_everywhere_with_both_actions() -> None:
    states, reward = gae.rollouts(10, noise=0.0)
    begin = states[:2].reshape(2, gae.ROLLOUTS, gae.STATES, 2)
    assert (begin[0] == np.arange(gae.STATES)[:, None]).all()
    assert (begin[1, :, 4] == [3, 5]).all()
    assert (begin[1, :, 0, 0] == 0).all()  # against the end it stays
    assert (begin[1, :, -1, 1] == gae.STATES - 1).all()
    np.testing.assert_array_equal(reward, states[1:] == gae.STATES - 1)
    assert (np.abs(np.diff(states, axis=0)) <= 1).all()
    # A longer rollout begins like a shorter one.
    for longer, shorter in zip(gae.rollouts(10, 1.0), gae.rollouts(5, 1.0), strict=True):
        np.testing.assert_array_equal(shorter, longer[: len(shorter)])


# --- the seed lottery


def lottery(preset: str = "3 seeds: a lottery", **changes: Any) -> seed_lottery.Lottery:
    return seed_lottery.compute(**seed_lottery.PRESETS[preset] | changes)


def test_shares_of_wrong_winners_are_those_of_all_draws() -> None:
    gains = np.random.default_rng(1).normal(0.3, 1, 8)
    shares = seed_lottery.wrong_shares(gains)
    for n in (1, 2, 3, 5):
        every = np.array([np.mean(drawn) for drawn in product(gains, repeat=n)])
        exact = float((np.sign(every) != np.sign(gains.mean())).mean())
        # Four standard errors of a share that is counted over DRAWS draws.
        assert shares[n - 1] == pytest.approx(exact, abs=4 * np.sqrt(0.25 / seed_lottery.DRAWS))
    assert shares[0] > 0.1


def test_draws_are_fresh_and_all_seeds_as_likely() -> None:
    drawn = seed_lottery.draws(30)
    often = np.bincount(drawn.ravel(), minlength=30)
    # Each of 30 seeds has probability 1/30, whatever came before; five standard errors.
    assert np.abs(often / drawn.size - 1 / 30).max() < 5 * np.sqrt(1 / 30 / drawn.size)
    again = (drawn[:, 0] == drawn[:, -1]).mean()
    assert again == pytest.approx(1 / 30, abs=5 * np.sqrt(1 / 30 / len(drawn)))


def test_as_many_seeds_as_recorded_are_no_oracle() -> None:
    """Fresh ones err, as the normal approximation says: P(Z > |mean| √n / spread)."""
    for rival in ("raw advantages", "raw observations"):
        data = lottery(rival=rival)
        for n in (20, 30):
            z = abs(data.every.mean()) * np.sqrt(n) / data.every.std()
            assert data.wrong[n - 1] == pytest.approx(norm.sf(z), abs=0.015)
    assert lottery().wrong[29] > 0.25


@pytest.mark.parametrize("rival", seed_lottery.RIVALS)
def test_a_draw_is_judged_as_the_lectures_judge(rival: str) -> None:
    base, other = seed_lottery.pair(rival)
    data = lottery(rival=rival, n=5, draw=7)
    seeds = seed_lottery.draws(len(data.every))[6, :5]
    one, two = (Curve(base.step, returns[seeds]) for returns in (base.returns, other.returns))
    np.testing.assert_array_equal(data.base, one.returns)
    np.testing.assert_array_equal(data.other, two.returns)
    gain = one.gain(two)
    assert (data.gains[-1], data.low[-1], data.high[-1]) == pytest.approx((gain.value, gain.low, gain.high))
    assert data.truth == base.gain(other)


def test_earlier_draws_stay_as_they_were() -> None:
    np.testing.assert_array_equal(lottery(draw=5).gains, lottery(draw=20).gains[:5])


def test_what_a_student_should_have_seen_in_the_lottery() -> None:
    winners = np.sign(lottery(n=3, draw=20).gains)
    assert (winners[1:] != winners[:-1]).sum() == 12
    wrong = {rival: lottery(rival=rival).wrong for rival in seed_lottery.RIVALS}
    assert not wrong["λ = 0"].any()
    assert wrong["raw advantages"][2] == pytest.approx(0.2, abs=0.03)
    assert 1 + int((wrong["raw advantages"] < 1 / 20).argmax()) == 13  # seeds
    assert (wrong["raw observations"][:15] > 0.25).all()


def test_rivals_were_recorded_with_the_same_seeds() -> None:
    files = (f"05_lottery_{seed_lottery.BASE}", *seed_lottery.RIVALS.values())
    seeds = [json.loads((CURVES / f"{name}.json").read_text())["seeds"] for name in files]
    assert seeds == [[*range(count)] for count in (30, 20, 30, 30)]


def test_a_small_difference_is_a_lottery_with_three_seeds_and_with_ten() -> None:
    three, ten = lottery(), lottery("10 seeds: the lottery goes on")
    assert three.truth.low < 0 < three.truth.high  # not even thirty seeds tell
    assert three.wrong[2] > 0.35
    assert ten.wrong[9] > 0.25
    for data in (three, ten):
        assert 0 < data.ahead < len(data.gains)
    assert ten.resolved.any()  # some ten seeds are certain of what thirty do not know
    assert max(three.missed, ten.missed) <= 3  # about one interval in twenty misses; more than three would be bad luck


def test_a_real_difference_needs_more_than_three_seeds() -> None:
    three = lottery("a real difference, 3 seeds: the wrong winner at times")
    ten = lottery("a real difference, 10 seeds: seldom the wrong one")
    assert three.truth.low > 0
    assert 0.02 < three.wrong[2] < 0.25
    assert three.ahead < len(three.gains)
    assert ten.wrong[9] < 0.1
    assert three.ahead < ten.ahead


def test_a_large_difference_needs_three() -> None:
    data = lottery("a large difference: 3 seeds are enough")
    assert (data.wrong == 0).all()
    assert data.resolved.all()
    assert data.ahead == len(data.gains)


def test_the_lottery_says_its_numbers() -> None:
    data = lottery()
    text = seed_lottery.describe(data)
    assert seed_lottery.winner(data) in text
    assert f"ahead in {data.ahead} of 20 draws" in text
    assert f"{100 * data.wrong[2]:.1f} % name another winner" in text
