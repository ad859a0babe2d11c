"""The widgets of lecture 04 without a browser: what theory says, and what each preset and the text claim."""

from itertools import product
from typing import Any

import numpy as np
import pytest

from rlcourse.algorithms.q_iteration import evaluate_policy
from rlcourse.widgets import batch_td, discount, mc_vs_td

pytestmark = pytest.mark.thorough  # minutes together: in `make test`, not in the inner loop

# --- Monte Carlo against TD


def estimates(preset: str = "in between is best", **changes: Any) -> mc_vs_td.Estimates:
    return mc_vs_td.compute(**mc_vs_td.PRESETS[preset] | changes)


def test_the_walk_without_discount_has_the_values_of_a_fair_game() -> None:
    # A gambler's chance to fall off on the right from state s of 7 is s/8; γ = 0.999999 is as good as none.
    value = evaluate_policy(mc_vs_td.walk(0.0), mc_vs_td.POLICY, gamma=0.999999)
    assert value == pytest.approx(np.arange(1, 8) / 8, abs=1e-4)
    noisy = estimates(noise=2.0).value
    assert noisy == pytest.approx(estimates(noise=0.0).value)  # noise of mean 0 changes no value


def test_bias_is_the_discounted_expected_error_n_steps_later() -> None:
    # P moves one to the left or right with probability ½ each; e = 1 in state 7, n = 2, γ = ½: state 5 comes there by
    # two steps to the right, γ² · ¼ = 1/16; state 7 by left and right again, 1/16; all others not at all.
    data = estimates("an error far away: elsewhere the bias first grows", n=2, gamma=0.5)
    assert data.here[0] == pytest.approx([0, 0, 0, 0, 1 / 16, 0, 1 / 16])
    # e = 1 everywhere, n = 1: whole inside, half at the ends, from where the walk ends half the time.
    one = estimates(n=1, gamma=0.5, error=1.0, where="everywhere")
    assert one.here[0] == pytest.approx([1 / 4, 1 / 2, 1 / 2, 1 / 2, 1 / 2, 1 / 2, 1 / 4])


def test_the_largest_bias_is_at_most_gamma_to_the_n_times_the_largest_error() -> None:
    n = mc_vs_td.N.astype(float)
    for where, gamma, error in product(mc_vs_td.ERRORS, (0.5, 0.9, 0.99), (-1.0, 0.3, 1.0)):
        data = estimates(where=where, gamma=gamma, error=error)
        largest = np.abs(data.bias).max(1)
        # The values are exact to 1e-12 or so.
        assert (largest <= gamma**n * np.abs(data.guess - data.value).max() + 1e-9).all()
        assert data.bound == pytest.approx(gamma**2 * np.abs(error) * np.abs(mc_vs_td.ERRORS[where]).max())
        if where == "everywhere":
            # In every state, though it stays for two states that the walk cannot leave within n steps.
            assert (np.diff(np.abs(data.bias), axis=0) <= 1e-9).all()
            assert (np.diff(largest) < 0).all()


def test_waves_are_forgotten_faster_and_one_place_has_to_be_reached() -> None:
    waves = estimates(gamma=0.99).bias
    assert waves[1] / waves[0] == pytest.approx(0.99 * np.cos(3 * np.pi / 8))
    everywhere = np.abs(estimates(where="everywhere").bias).max(1)
    assert np.abs(waves).max(1)[3] < 0.02 < 0.4 < everywhere[3]
    far = estimates("an error far away: elsewhere the bias first grows").bias
    assert far[0, 4] == far[0, 0] == 0
    assert far[1, 4] > 0.2  # state 5 after two steps
    assert far[:, 0].max() > 0.01  # state 1 in the end
    assert np.abs(far[5:, 0]).argmax() > 0
    assert far[-1] == pytest.approx(0, abs=1e-9)


def test_first_visit_monte_carlo_is_unbiased_within_its_standard_error() -> None:
    for episodes, noise in ((1, 0.0), (20, 0.3), (50, 1.0)):
        data = estimates(n=mc_vs_td.INFINITE, episodes=episodes, noise=noise, error=1.0)
        assert data.here[0] == pytest.approx(0, abs=1e-9)
        seen = ~np.isnan(data.sampled)
        mean, deviation = np.nanmean(data.sampled, axis=0), np.nanstd(data.sampled, axis=0, ddof=1)
        # 21 comparisons with about 50 samples each: beyond 4 standard errors once in several hundred seeds.
        assert (np.abs(mean - data.value) < 4 * deviation / np.sqrt(seen.sum(0))).all()


def test_one_agents_estimates_by_both_methods_are_the_first_set_of_each() -> None:
    both = estimates().both
    for row, n in enumerate((1, mc_vs_td.INFINITE)):
        np.testing.assert_allclose(both[row], estimates(n=n).sampled[0])


@pytest.mark.parametrize("where", mc_vs_td.ERRORS)
@pytest.mark.parametrize("n", [1, 2, 5, mc_vs_td.INFINITE])
def test_the_formulas_are_what_sampling_finds(n: int, where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mc_vs_td, "SETS", 1000)
    monkeypatch.setattr(mc_vs_td, "MOST_EPISODES", 2)
    monkeypatch.setattr(mc_vs_td, "walks", mc_vs_td.walks.__wrapped__)
    data = estimates(n=n, episodes=2, where=where, error=0.7, noise=0.5, gamma=0.95)
    bias, variance = data.here
    seen = (~np.isnan(data.sampled)).sum(0)
    assert seen == pytest.approx(1000 * (1 - (1 - mc_vs_td.visit_probability(mc_vs_td.walk(0.0))) ** 2), abs=50)
    deviation = data.sampled - np.nanmean(data.sampled, axis=0)
    second, fourth = (np.nanmean(deviation**power, axis=0) for power in (2, 4))
    # Four standard errors each: 168 comparisons fail once in a hundred seeds.
    assert (np.abs(np.nanmean(data.sampled, axis=0) - data.value - bias) < 4 * np.sqrt(variance / seen)).all()
    assert (np.abs(second - variance) < 4 * np.sqrt((fourth - second**2) / seen)).all()


def test_visits_and_counts_on_numbers() -> None:
    # From 4 a fair walk falls off on the right, at 8, before it comes to s < 4 with probability (4 − s)/(8 − s).
    expected = [4 / 7, 4 / 6, 4 / 5, 1, 4 / 5, 4 / 6, 4 / 7]
    assert mc_vs_td.visit_probability(mc_vs_td.walk(0.0)) == pytest.approx(expected)
    # Two throws of a fair coin: K = 1 with ½, 2 with ¼; E[1/K | K ≥ 1] = (½ + ⅛)/¾ = 5/6.
    assert mc_vs_td.mean_of_inverse_count(2, np.array([0.5, 1.0])) == pytest.approx([5 / 6, 1 / 2])


def test_the_variance_of_one_step_on_numbers() -> None:
    # n = 1, γ = ½, guess right: from state 4 the target is ±σ + ½V(3) or ½V(5): variance σ² + ((V(5) − V(3))/4)².
    data = estimates(n=1, gamma=0.5, error=0.0, noise=0.3, episodes=1)
    value = data.value
    assert data.here[1][3] == pytest.approx(0.09 + ((value[4] - value[2]) / 4) ** 2)


def test_the_variance_grows_with_n_if_the_guess_is_right() -> None:
    for gamma, noise in product((0.5, 0.9, 0.99), (0.0, 0.3, 1.0)):
        data = estimates(gamma=gamma, noise=noise, error=0.0)
        assert (np.diff(data.variance, axis=0) >= -1e-12).all()
        assert (data.variance[-1] > data.variance[0]).all()
    # A guess in waves makes short targets noisy too.
    assert estimates().variance[0].mean() > 1.5 * estimates(error=0.0).variance[0].mean()


def test_what_the_presets_claim() -> None:
    data = {preset: estimates(preset) for preset in mc_vs_td.PRESETS}
    middle = data["in between is best"]
    assert middle.n == middle.best == 2
    assert middle.mse[1] < 0.75 * min(middle.mse[0], middle.mse[-1])
    td, mc = data["TD: the most bias, the least variance"], data["Monte Carlo: no bias, the most variance"]
    assert (td.bias**2).mean(1).argmax() == td.variance.mean(1).argmin() == 0
    assert mc.variance.mean(1).argmax() == len(mc_vs_td.N) - 1
    assert np.abs(mc.here[0]).max() < 1e-9
    perfect = data["a perfect guess: n = 1 is best"]
    assert perfect.n == perfect.best == 1
    assert np.abs(perfect.bias).max() < 1e-9
    everywhere = data["a guess that is wrong everywhere: longer is better"]
    assert everywhere.best == 24
    assert everywhere.mse[-1] < 0.4 * everywhere.mse[0]
    noisy = data["the same with much noise: n = 1 is best"]
    assert noisy.n == noisy.best == 1
    half = data["half the episodes: twice the variance"]
    assert half.variance[1].mean() == pytest.approx(2 * middle.variance[1].mean(), rel=0.05)
    np.testing.assert_array_equal(half.bias, middle.bias)


# --- the batch examples


def batch(preset: str, **changes: Any) -> batch_td.Batch:
    return batch_td.compute(**batch_td.PRESETS[preset] | changes)


def test_a_widget_that_begins_with_what_is_refused_says_so_and_goes_on() -> None:
    panel = batch_td.widget(first=0, second=0, third=0)
    bundle, _ = panel._repr_mimebundle_()
    assert "image/png" not in bundle
    assert panel._message.value
    panel.controls["first"].value = 1
    assert not panel._message.value
    assert panel.still.png


def test_eight_episodes_by_hand() -> None:
    data = batch("eight episodes: two answers for A")
    assert data.answers.tolist() == [[0, 0.75], [0.75, 0.75]]
    assert data.chain.tolist() == [[0, 1, 0, 0], [0, 0, 0.25, 0.75]]
    # Nine visits: A's error is 0 or ¾; B's 6·¼² + 2·¾² = 1.5 for both: 1.5/9 and (1.5 + 0.5625)/9.
    assert data.squared_error == pytest.approx([1.5 / 9, 2.0625 / 9])


def test_two_trajectories_by_hand() -> None:
    data = batch("two trajectories: two answers for left and right")
    assert data.states == ["left", "middle", "right"]
    assert data.answers.tolist() == [[1, 0, -1], [0, 0, 0]]
    assert data.squared_error == pytest.approx([2 / 4, 4 / 4])
    four = batch("four trajectories: one answer")
    assert four.answers.tolist() == [[0, 0, 0], [0, 0, 0]]


def test_sweeps_by_hand() -> None:
    data = batch("eight episodes: two answers for A")
    # Step size 0.2. B: 0.2·0.75 = 0.15, then 0.15 + 0.2·0.6 = 0.27. A by TD: 0, then 0.2·0.15 = 0.03.
    assert data.values[0, :3] == pytest.approx(np.array([[0, 0], [0, 0.15], [0, 0.27]]))
    assert data.values[1, :3] == pytest.approx(np.array([[0, 0], [0, 0.15], [0.03, 0.27]]))
    third = batch("eight episodes, three sweeps: TD learns B first, then A")
    assert third.values[1, third.sweep, 1] > 4 * third.values[1, third.sweep, 0] > 0


@pytest.mark.parametrize("example", batch_td.EXAMPLES)
def test_td_converges_to_the_certainty_equivalent_answer_and_monte_carlo_to_the_mean_returns(example: str) -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        counts = dict(zip(batch_td.COUNTS, rng.integers(0, batch_td.MOST + 1, 4).tolist(), strict=True))
        if not any(counts.values()):
            continue
        data = batch_td.compute(example, **counts, sweep=0)
        # (1 − step size)⁶⁰ = 1.5e-6, and some sweeps later for what TD learns second.
        np.testing.assert_allclose(data.values[:, -1], data.answers, atol=1e-4)
        assert data.squared_error[0] <= data.squared_error[1] + 1e-12
        # The last states before the ends: both methods agree.
        last = [data.states.index(names[-1]) for names, _ in batch_td.EXAMPLES[example].kinds]
        np.testing.assert_allclose(data.answers[0, last], data.answers[1, last], atol=1e-12)


def test_a_state_without_visits_has_no_value() -> None:
    data = batch("two trajectories: two answers for left and right", second=0)
    assert np.isnan(data.answers[:, 2]).all()
    assert np.isnan(data.values[:, :, 2]).all()
    assert data.answers[:, :2].tolist() == [[1, 1], [1, 1]]
    assert "V(right) = ?" in batch_td.describe(data)
    with pytest.raises(ValueError, match="no episodes: nothing can be learned"):
        batch("two trajectories: two answers for left and right", first=0, second=0)


# --- the discount


def discounted(preset: str = "γ = 0.9: ten steps", **changes: Any) -> discount.Discounted:
    return discount.compute(**discount.PRESETS[preset] | changes)


@pytest.mark.parametrize("gamma", [0.5, 0.9, 0.995])
def test_values_in_closed_form(gamma: float) -> None:
    steady = discounted(gamma=gamma)
    assert steady.value == pytest.approx(steady.horizon) == pytest.approx(1 / (1 - gamma))
    assert steady.beyond == pytest.approx(steady.weights[round(steady.horizon) :].sum() / steady.weights.sum())
    assert discounted("a late reward, hardly seen", gamma=gamma, delay=7).value == pytest.approx(10 * gamma**7)
    # −(1 − γᵈ)/(1 − γ) + γᵈ/(1 − γ).
    pain = discounted("first pain, then gain: not worth it", gamma=gamma, delay=3)
    assert pain.value == pytest.approx((2 * gamma**3 - 1) / (1 - gamma))


def test_what_lies_beyond_the_horizon_comes_near_one_over_e() -> None:
    shares = [discounted(gamma=gamma).beyond for gamma in (0.5, 0.9, 0.99, 0.995)]
    assert shares == sorted(shares)
    assert shares == pytest.approx([0.25, 0.349, 0.366, 0.367], abs=1e-3)
    assert shares[-1] < 1 / np.e


@pytest.mark.parametrize("stream", discount.STREAMS)
@pytest.mark.parametrize("gamma", [0.5, 0.9, 0.99])
def test_the_mean_sum_until_death_is_the_discounted_value(stream: str, gamma: float) -> None:
    data = discounted(stream=stream, gamma=gamma, delay=5, lives=discount.MOST_LIVES)
    # Nine cases, seeded: beyond 4 standard errors once in a thousand seeds.
    assert abs(data.returns.mean() - data.value) < 4 * data.standard_error
    assert data.lifetimes.min() == 1
    alive = [(data.lifetimes > t).mean() for t in (1, 2, 5)]
    spread = 4 * np.sqrt(0.25 / discount.MOST_LIVES)
    assert alive == pytest.approx([gamma, gamma**2, gamma**5], abs=spread)


def test_what_the_discounts_presets_claim() -> None:
    values = {preset: discounted(preset).value for preset in discount.PRESETS}
    assert values == pytest.approx(
        {
            "γ = 0.9: ten steps": 10,
            "γ = 0.99: a hundred steps": 100,
            "a late reward, hardly seen": 0.052,
            "the same, worth waiting for": 6.05,
            "first pain, then gain: not worth it": -3.026,
            "the same, worth it": 3.949,
        },
        abs=1e-3,
    )
    for preset in discount.PRESETS:
        data = discounted(preset)
        assert abs(data.returns.mean() - data.value) < 2 * data.standard_error  # the picture is no odd one
