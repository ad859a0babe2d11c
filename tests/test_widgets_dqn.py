"""Lecture 02's widgets without a browser: what each preset claims, what theory says."""

from itertools import product
from typing import Any

import numpy as np
import pytest

from rlcourse.widgets import deadly_triad, overestimation, replay

pytestmark = pytest.mark.thorough  # minutes together: in `make test`, not in the inner loop

# --- overestimation: one state


def table(**changes: Any) -> overestimation.OneState:
    data = overestimation.compute(**overestimation.PRESETS["noise only"] | changes)
    assert isinstance(data, overestimation.OneState)
    return data


def test_expected_maximum_of_normal_estimates() -> None:
    single = table().bias[0]
    assert single[0] == pytest.approx(1 / np.sqrt(np.pi), abs=1e-9)  # m = 2
    assert single[1] == pytest.approx(3 / (2 * np.sqrt(np.pi)), abs=1e-9)  # m = 3
    assert single[[8, 48]] == pytest.approx([1.5388, 2.2491], abs=1e-4)  # m = 10, 50: tables of order statistics
    assert table(noise=2.0, samples=16).bias[0] == pytest.approx(single / 2)


@pytest.mark.parametrize("gap", [0.0, 0.5])
def test_the_integrals_are_what_sampling_finds(gap: float) -> None:
    data, runs = table(gap=gap, actions=6, critics=3, noise=0.8, samples=4), 200_000
    estimates = 0.4 * np.random.default_rng(1).standard_normal((runs, 3, 6)) - gap * (np.arange(6) > 0)
    selected = estimates[:, 0].argmax(1)
    samples = estimates[:, 0].max(1), estimates[np.arange(runs), 1, selected], estimates.min(1).max(1)
    for expected, sample in zip(data.here, samples, strict=True):
        assert expected == pytest.approx(sample.mean(), abs=4 * sample.std() / np.sqrt(runs))


@pytest.mark.parametrize("estimator", overestimation.ESTIMATORS)
@pytest.mark.parametrize("gap", [0.0, 1.0])
def test_the_drawn_distribution_has_the_stated_mean(estimator: str, gap: float) -> None:
    data = table(estimator=estimator, gap=gap, critics=5)
    assert np.trapezoid(data.density, data.x) == pytest.approx(1, abs=1e-6)
    # np.gradient's error is of second order in the grid's spacing, 0.02.
    assert np.trapezoid(data.x * data.density, data.x) == pytest.approx(data.here[data.setting.chosen], abs=1e-4)


def test_the_bias_grows_with_the_number_of_actions_and_shrinks_with_samples() -> None:
    data = table()
    assert (np.diff(data.bias[0]) > 0).all()
    many, more = table(**overestimation.PRESETS["many actions"]), overestimation.PRESETS["more samples help slowly"]
    assert many.here[0] == pytest.approx(2.249, abs=1e-3)
    # Sixteen times the samples, a quarter of the bias.
    assert table(**more).here[0] == pytest.approx(data.here[0] / 4)


def test_the_double_estimator_never_overestimates() -> None:
    assert (table().bias[1] == 0).all()
    for noise, gap in product((0.5, 1.0, 2.0), (0.1, 1.0, 2.0)):
        assert (table(noise=noise, gap=gap).bias[1] < 0).all()
    preset = table(**overestimation.PRESETS["the double estimator underestimates unequal actions"])
    assert preset.setting.estimator == "double"
    assert preset.here == pytest.approx([0.745, -0.659, -0.082], abs=1e-3)


def test_the_sign_of_the_minimums_bias_depends_on_actions_and_critics() -> None:
    assert table(critics=2).bias[2, 0] == pytest.approx(-0.099, abs=1e-3)  # m = 2
    assert table(critics=2).bias[2, 1] > 0  # m = 3
    grid = np.stack([table(critics=n).bias[2] for n in range(2, 11)])
    assert (np.diff(grid, axis=0) < 0).all()  # more critics, lower
    assert (np.diff(grid, axis=1) > 0).all()  # more actions, higher
    assert (grid[-1] < 0).all()  # ten critics underestimate up to 50 actions
    fewest = [int(overestimation.M[(row > 0).argmax()]) if (row > 0).any() else None for row in grid]
    assert fewest == [3, 5, 11, 21, 40, None, None, None, None]  # actions for an overestimation, by critics
    preset = table(**overestimation.PRESETS["the minimum of ten critics underestimates"])
    assert preset.here[2] == pytest.approx(-0.705, abs=1e-3)


def test_lower_bound_on_numbers() -> None:
    # Tight: m − 1 errors of +1, one of −(m − 1). For m = 5 the mean square is (4 + 16)/5 = 4 and √(4/4) = 1.
    for errors in ([1.0, -1.0], [1.0, 1.0, 1.0, 1.0, -4.0], [1.0] * 49 + [-49.0]):
        square, m = np.array([np.mean(np.square(errors))]), np.array([len(errors)])
        assert overestimation.lower_bound(square, m)[0] == pytest.approx(max(errors))
    # With the sum of squares for C, as on the slides, the same errors would contradict it.
    assert overestimation.lower_bound(np.array([20.0]), np.array([5]))[0] > 1


def test_the_bound_is_obeyed_by_every_draw_and_falls_while_the_maximum_grows() -> None:
    data = table()
    assert data.bound is not None
    assert data.centred.shape == (overestimation.CENTRED_DRAWS, 49)
    # Two errors of a draw may lie close together; centring keeps as many digits fewer.
    assert (data.centred >= data.bound - 1e-9).all()
    assert data.centred[:, 0] == pytest.approx(data.bound[0])  # two errors that sum to 0: nothing left to chance
    assert (data.centred[:, 1].min() - data.bound[1]) < 2e-3  # three: some draw comes close
    assert (np.diff(data.bound) < 0).all()
    assert data.centred[:, -1].mean() > 2 > data.centred[:, 1].mean()
    # Skewed errors too, and without centring it would be violated.
    rng = np.random.default_rng(2)
    skewed = overestimation.largest_centred(-rng.exponential(size=(10_000, 50)))
    assert (skewed >= 1 / np.sqrt(overestimation.M - 1) - 1e-9).all()
    assert (rng.standard_normal((10_000, 3)).max(1) < 1 / np.sqrt(2)).any()


def test_largest_centred_on_numbers() -> None:
    # Two: ±0.5 → ±1. Three: 3, 2, −2 less their mean 1: 2, 1, −3, mean square 14/3.
    found = overestimation.largest_centred(np.array([[3.0, 2.0, -2.0]]))
    assert found == pytest.approx(np.array([[1, 2 / np.sqrt(14 / 3)]]))


def test_no_bound_where_its_conditions_fail() -> None:
    assert table(gap=0.1).bound is table(gap=0.1, noise=0.0).bound is None
    assert "does not apply" in overestimation.describe(table(gap=0.1))
    assert "0.333" in overestimation.describe(table())


def test_a_table_without_noise_is_right() -> None:
    for gap in (0.0, 1.0):
        assert (table(noise=0.0, gap=gap).bias == 0).all()


# --- overestimation: along the states


def fitted(preset: str, **changes: Any) -> overestimation.AlongStates:
    data = overestimation.compute(**overestimation.PRESETS[preset] | changes)
    assert isinstance(data, overestimation.AlongStates)
    return data


ROWS = ["zero noise: sin, degree 6", "zero noise: bump, degree 6", "zero noise: bump, degree 9"]


def test_the_papers_averages() -> None:
    # van Hasselt, Guez & Silver (2016), figure 2, printed with two digits.
    single_and_double = [(0.61, -0.02), (0.47, 0.02), (3.35, -0.02)]
    for preset, expected in zip(ROWS, single_and_double, strict=True):
        assert fitted(preset).here[:2] == pytest.approx(expected, abs=0.005)


def test_without_noise_the_maximum_is_too_high_almost_everywhere() -> None:
    shares = [(fitted(preset).bias[0] > 0).mean() for preset in ROWS]
    assert shares == pytest.approx([0.851, 0.876, 0.992], abs=0.005)
    for preset in ROWS:
        data = fitted(preset)
        assert data.setting.noise == 0
        np.testing.assert_array_equal(data.samples, overestimation.TARGETS[data.setting.target](data.points))
        np.testing.assert_allclose(data.maximum - data.value, data.bias[0], atol=1e-12)


def test_degree_9_comes_closer_to_the_bumps_samples_and_further_from_the_rest() -> None:
    missed, swing = [], []
    for preset in ROWS[1:]:
        data = fitted(preset)
        at_points = np.interp(data.points, overestimation.STATES, data.estimates[0])
        missed.append(np.abs(at_points - data.samples).max())
        swing.append(np.abs(data.estimates - data.value).max())
    assert missed == pytest.approx([0.72, 0.20], abs=0.01)
    assert swing == pytest.approx([1.5, 60.2], rel=0.1)


def test_the_papers_choice_of_states() -> None:
    data = fitted(ROWS[0])
    assert data.points.tolist() == [-6, -3, -2, -1, 0, 1, 2, 3, 4, 5, 6]
    assert (overestimation.missing(11, 10) == [(i, i + 1) for i in range(1, 11)]).all()
    many = overestimation.missing(11, 50)
    assert len({tuple(pair) for pair in many.tolist()}) == 50
    for samples, actions in product((7, 11, 40), (2, 10, 50)):
        pairs = overestimation.missing(samples, actions)
        assert pairs.shape == (actions, 2)
        assert pairs.min() >= 1
        assert pairs.max() <= samples
        assert (pairs[:, 0] < pairs[:, 1]).all()


def test_double_is_only_as_good_as_its_second_set() -> None:
    # What the module's docstring warns of: with the neighbour's choice of states instead.
    data = fitted("zero noise: bump, degree 9")
    states, selected = np.arange(overestimation.STATES.size), data.estimates.argmax(0)
    width = np.ptp(overestimation.STATES)
    found = {}
    for shift in (1, 5):
        double = np.roll(data.estimates, -shift, axis=0)[selected, states] - data.value
        found[shift] = np.trapezoid(double, overestimation.STATES) / width
    assert found[5] == pytest.approx(data.here[1])
    assert found[1] == pytest.approx(-6.96, abs=0.01)
    assert fitted("zero noise: bump, degree 9, double").setting.estimator == "double"


def test_a_polynomial_that_can_represent_the_value_has_no_bias_without_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(overestimation.TARGETS, "sin s", lambda s: 0.1 * s**3 - s)
    assert np.abs(fitted(ROWS[0]).bias).max() < 1e-9


def test_noise_gap_and_critics_move_the_fitted_biases() -> None:
    quiet, noisy = fitted(ROWS[0]), fitted(ROWS[0], noise=1.0)
    assert noisy.here[0] > quiet.here[0] + 0.3
    assert np.abs(noisy.samples - quiet.samples).max() > 0.1
    by_critics = [fitted(ROWS[0], noise=1.0, critics=n, estimator="min of N").here[2] for n in (2, 5, 10)]
    assert by_critics == sorted(by_critics, reverse=True)
    assert by_critics[-1] < -0.3
    assert fitted(ROWS[0], gap=2.0).here[0] < quiet.here[0]


def test_too_few_samples_are_refused_by_name_and_the_panel_avoids_them() -> None:
    with pytest.raises(ValueError, match="samples = 6: a polynomial of degree 6 needs at least 7"):
        fitted(ROWS[0], samples=6)
    panel = overestimation.widget("noise only")
    panel.controls["function"].value = "polynomial, degree 9"
    assert panel.controls["samples"].value == 10
    assert panel._message.value == ""
    assert "10 samples each" in panel.picture.alt


# --- deadly triad


def triad(**changes: Any) -> deadly_triad.Triad:
    return deadly_triad.compute(**deadly_triad.PRESETS["all three: it grows"] | changes)


@pytest.mark.parametrize("lr", [0.01, 0.1, 0.25])
@pytest.mark.parametrize("method", deadly_triad.METHODS)
@pytest.mark.parametrize(("updated", "threshold"), [("state 1 only", 1 / 2), ("both equally", 5 / 6)])
def test_with_all_three_it_diverges_exactly_above_the_threshold(
    updated: str, threshold: float, method: str, lr: float
) -> None:
    for gamma in np.linspace(0, 1, 101):
        factor = triad(updated=updated, method=method, gamma=float(gamma), lr=lr).factor
        assert (factor > 1 + 1e-12) == (gamma > threshold + 1e-12)
    for gamma, sign in ((threshold - 1e-3, -1), (threshold + 1e-3, 1)):
        data = triad(updated=updated, method=method, gamma=gamma, lr=lr)
        assert (np.sign(np.diff(np.abs(data.values), axis=0)) == sign).all()
    assert triad(updated=updated, method=method).threshold == pytest.approx(threshold)


def test_with_one_of_the_three_missing_nothing_diverges() -> None:
    gammas, rates = np.linspace(0, 1, 21), (0.01, 0.25)
    checked = 0
    for bootstrap, approximate, updated in product((True, False), (True, False), deadly_triad.UPDATED):
        if bootstrap and approximate and updated != "on-policy: state 2":
            continue
        for method, gamma, lr in product(deadly_triad.METHODS, gammas, rates):
            data = triad(
                bootstrap=bootstrap, approximate=approximate, updated=updated, method=method, gamma=float(gamma), lr=lr
            )
            assert data.factor <= 1 + 1e-12
            assert np.abs(data.values).max() <= 2 + 1e-12  # never above the largest value at the start
            assert data.threshold is None
            checked += 1
    assert checked == 10 * 2 * 21 * 2


def test_steps_on_numbers() -> None:
    # State 1 only, γ = 0.9, α = 0.1: w = 1, target 0.9·2 = 1.8, w ← 1 + 0.1·(1.8 − 1) = 1.08.
    assert triad().values[:2] == pytest.approx(np.array([[1, 2], [1.08, 2.16]]))
    # Both equally, fitted, γ = 0.9: targets 1.8 and 1.8, least squares (1·1.8 + 2·1.8)/(1 + 4) = 1.08.
    fit = triad(updated="both equally", method="batch: fitted iteration")
    assert fit.values[1] == pytest.approx([1.08, 2.16])
    # On-policy, α = 0.1: error 1.8 − 2 = −0.2, feature 2: 1 − 0.1·2·0.2 = 0.96.
    assert triad(updated="on-policy: state 2").values[1] == pytest.approx([0.96, 1.92])
    # Both equally, online: 1 + 0.1·(0.5·0.8 − 0.5·2·0.2) = 1.02.
    assert triad(updated="both equally").values[1, 0] == pytest.approx(1.02)
    # A table, both equally, online: V(1) = 1 + 0.1·0.5·(1.8 − 1) = 1.04, V(2) = 2 + 0.1·0.5·(1.8 − 2) = 1.99.
    assert triad(approximate=False, updated="both equally").values[1] == pytest.approx([1.04, 1.99])
    # A table, fitted, state 1 only: V(1) = 1.8, V(2) stays. Without bootstrapping both targets are 0.
    one = triad(approximate=False, method="batch: fitted iteration")
    assert one.values[[1, 100]] == pytest.approx(np.array([[1.8, 2], [1.8, 2]]))
    none = triad(approximate=False, bootstrap=False, updated="both equally", method="batch: fitted iteration")
    assert none.values[1] == pytest.approx([0, 0])


def test_sampled_transitions_have_the_expected_update_as_their_mean() -> None:
    w, gamma, lr = 1.0, 0.9, 0.1
    x, following = np.array([1.0, 2.0]), 2.0
    each = w + lr * (gamma * following * w - x * w) * x
    for updated, p in deadly_triad.UPDATED.items():
        assert triad(updated=updated).values[1, 0] == pytest.approx(p * each[0] + (1 - p) * each[1])


def test_the_formula_on_the_picture_is_the_factor() -> None:
    for bootstrap, updated, method, gamma in product(
        (True, False), deadly_triad.UPDATED, deadly_triad.METHODS, (0.3, 0.9)
    ):
        data = triad(bootstrap=bootstrap, updated=updated, method=method, gamma=gamma)
        parts = data.formula.split(" = ")
        assert float(parts[-1]) == pytest.approx(data.factor, abs=5e-4)
        if len(parts) == 3:  # the numbers put in
            value = eval(parts[1].replace("·", "*").replace("−", "-"))
            assert value == pytest.approx(data.factor, abs=5e-4)
        assert data.factor == pytest.approx(data.values[1, 0])  # the weight begins at 1


def test_factors_of_all_discounts_go_through_the_chosen_one() -> None:
    for approximate, gamma in product((True, False), (0.25, 0.5, 0.9)):
        data = triad(approximate=approximate, gamma=gamma)
        assert np.interp(gamma, deadly_triad.GAMMAS, data.factors) == pytest.approx(data.factor)


def test_the_words_say_which_way() -> None:
    expected = {
        "all three: it grows": "grows by 8 % per step",
        "all three, but γ just below 1/2": "shrinks by 0.2 % per step",
        "fitted iteration, γ above 5/6": "grows by 8 % per step",
        "fitted iteration, γ below 5/6": "shrinks by 4 % per step",
        "without bootstrapping": "shrinks by 10 % per step",
        "without approximation": "V(2) is never updated and stays 2",
        "on-policy": "shrinks by 4 % per step",
    }
    assert set(expected) == set(deadly_triad.PRESETS)
    for preset, words in expected.items():
        data = deadly_triad.compute(**deadly_triad.PRESETS[preset])
        assert words in deadly_triad.in_words(data)
        assert words in deadly_triad.describe(data)
    assert deadly_triad.in_words(triad(gamma=0.5)) == "w stays as it is"
    zero = triad(bootstrap=False, method="batch: fitted iteration")
    assert deadly_triad.in_words(zero) == "w is 0 after one step"


def test_without_bootstrapping_only_what_is_updated_goes_to_its_return() -> None:
    data = triad(bootstrap=False, approximate=False, updated="state 1 only")
    assert deadly_triad.in_words(data) == "V(2) is never updated and stays 2; V(1) goes to its return, 0"


def test_the_on_policy_weights_are_the_stationary_distribution() -> None:
    (p_on_policy,) = [p for name, p in deadly_triad.UPDATED.items() if "on-policy" in name]
    d = np.array([p_on_policy, 1 - p_on_policy])
    np.testing.assert_array_equal(d @ deadly_triad.FOLLOWING, d)
    for p in deadly_triad.UPDATED.values():
        other = np.array([p, 1 - p])
        assert (p == p_on_policy) == np.array_equal(other @ deadly_triad.FOLLOWING, other)


# --- replay

SLOW, TEN, QUICK, SMALL = replay.PRESETS


@pytest.fixture(scope="module")
def outcomes() -> dict[str, replay.Replay]:
    return {preset: replay.compute(**values) for preset, values in replay.PRESETS.items()}


def test_without_replay_a_slow_walk_is_learned_and_forgotten(outcomes: dict[str, replay.Replay]) -> None:
    data = outcomes[SLOW]
    was = data.visit_error[: replay.BINS // 4].mean()
    assert was < 0.05  # when there, it was known
    assert data.old[0] > 6 * was
    assert data.old[1] < 0.06
    assert data.rmse[0].min() > 4 * data.rmse[1].max()  # in every run


def test_the_newest_states_are_what_replay_knows_least_on_a_slow_walk(outcomes: dict[str, replay.Replay]) -> None:
    error = outcomes[SLOW].error
    assert error[1].argmax() == replay.STATES.size - 1
    assert error[0, -1] < 0.1 < error[1, -1]


def test_half_a_walk_knows_nothing_of_the_other_half(outcomes: dict[str, replay.Replay]) -> None:
    half = replay.compute(**replay.PRESETS[SLOW] | {"steps": replay.STEPS // 2})
    unseen = np.isnan(half.visit_error)
    assert not unseen[: replay.BINS // 2].any()
    assert unseen[replay.BINS // 2 + 1 :].all()
    assert half.batches.max() < half.steps
    assert 3 * half.error[1, replay.STATES < 0.4].mean() < half.error[1, replay.STATES > 0.7].mean()
    early = replay.compute(**replay.PRESETS[SLOW] | {"steps": replay.EVERY})  # the shortest has begun only
    assert 0 < early.at_visit < 1
    assert outcomes[SLOW].steps == replay.STEPS


def test_more_walks_forget_less_and_quick_ones_hardly(outcomes: dict[str, replay.Replay]) -> None:
    by_walks = [replay.compute(walks, 1000, 16).rmse[0].mean() for walks in (1, 10, 100)]
    assert by_walks[0] > 2 * by_walks[1] > 4 * by_walks[2]
    ten, quick = outcomes[TEN].rmse, outcomes[QUICK].rmse
    assert ten[0].min() > 4 * ten[1].max()
    # Four standard errors of the difference of two means.
    error = np.sqrt((quick.var(axis=1, ddof=1) / replay.RUNS).sum())
    assert abs(quick[0].mean() - quick[1].mean()) < max(4 * error, 0.003)


def test_a_small_buffer_forgets_too(outcomes: dict[str, replay.Replay]) -> None:
    small, large = outcomes[SMALL], outcomes[SLOW]
    assert small.rmse[1].min() > 3 * large.rmse[1].max()
    assert small.correlation[1] == pytest.approx(0.88, abs=0.01)


def test_a_buffer_that_holds_a_walk_is_large_enough() -> None:
    by_buffer = [replay.compute(5, buffer, 16).rmse[1].mean() for buffer in (32, 64, 125, 250, 1000)]
    assert by_buffer == pytest.approx([0.21, 0.12, 0.06, 0.04, 0.04], abs=0.01)


def test_a_larger_batch_in_a_row_is_less_correlated_but_not_enough() -> None:
    small, large = (replay.compute(10, 1000, batch) for batch in (2, 32))
    assert [small.correlation[0], large.correlation[0]] == pytest.approx([0.94, 0.45], abs=0.01)
    assert small.rmse[0].mean() > 3 * large.rmse[0].mean() > 6 * large.rmse[1].mean()


def test_correlation_of_batches(outcomes: dict[str, replay.Replay]) -> None:
    consecutive = {preset: data.correlation[0] for preset, data in outcomes.items()}
    assert consecutive[SLOW] > 0.95
    assert 0.6 < consecutive[TEN] < 0.8
    assert abs(consecutive[QUICK]) < 0.1
    for preset in (SLOW, TEN, QUICK):
        # Two different ones of all T steps: exactly −1/(T − 1), because their deviations sum to 0.
        assert outcomes[preset].correlation[1] == pytest.approx(-1 / (replay.STEPS - 1))


def test_correlation_is_that_of_pairs() -> None:
    states = np.random.default_rng(3).random((2, 8)).cumsum(1)
    d = states - states.mean(1, keepdims=True)
    pairs = [
        (d[r, start + i] * d[r, start + j])
        for r, start, i, j in product(range(2), range(6), range(3), range(3))
        if i != j
    ]
    assert replay.correlation(states, 3) == pytest.approx(np.mean(pairs) / (d**2).mean())


def test_batches_are_the_newest_or_drawn_from_the_buffer() -> None:
    data = replay.compute(walks=5, buffer=64, batch=32)
    assert data.batches[0].tolist() == list(range(999, 967, -1))
    assert data.batches[1].min() >= 1000 - 64
    assert data.batches[1].max() < 1000
    assert len(set(replay.compute(5, 1000, 32).batches[1].tolist())) > 25
    with pytest.raises(ValueError, match="batch = 64: more than the buffer of 32"):
        replay.compute(walks=5, buffer=32, batch=64)


def test_walks_go_from_one_end_to_the_other() -> None:
    for walks in replay.WALKS:
        path = replay.walk(walks, np.random.default_rng(0))
        assert path.shape == (replay.RUNS, replay.STEPS)
        jumps = (np.diff(path, axis=1) < -0.5).sum(1)
        assert (jumps == walks - 1).all()
        assert np.sort(path, axis=1)[:, [5, -6]] == pytest.approx(np.tile([0, 1], (replay.RUNS, 1)), abs=0.05)
    for preset in replay.PRESETS.values():
        assert not np.isnan(replay.compute(**preset).visit_error).any()


# --- controls


def test_what_a_setting_makes_idle_is_greyed_out() -> None:
    panel = overestimation.widget("noise only")
    assert panel.controls["target"].disabled
    panel.controls["function"].value = "polynomial, degree 6"
    assert not panel.controls["target"].disabled
    panel = deadly_triad.widget()
    assert not panel.controls["lr"].disabled
    panel.controls["method"].value = deadly_triad.METHODS[1]
    assert panel.controls["lr"].disabled
