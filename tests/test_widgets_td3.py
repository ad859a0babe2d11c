"""Lecture 06's widgets without a browser: what each preset claims and what theory says."""

from typing import Any

import numpy as np
import pytest

from rlcourse.widgets import actor_climb, target_delay

pytestmark = pytest.mark.thorough  # many seconds together: in `make test`, not in the inner loop

ONE, OTHER, SMALLER, SMOOTHED, BOTH = range(5)

# --- the actor on its critic


def climb(preset: str = next(iter(actor_climb.PRESETS)), **changes: Any) -> actor_climb.Climb:
    return actor_climb.compute(**actor_climb.PRESETS[preset] | changes)


def test_the_errors_are_smooth_noise_of_mean_0_and_variance_1_and_the_critics_independent() -> None:
    first, second = actor_climb.errors()
    # 200 draws, neighbours alike: about 2/0.15 · 200 independent numbers each; four standard errors.
    many = 200 * 2 / actor_climb.LENGTH
    assert first.mean() == pytest.approx(0, abs=4 / np.sqrt(many))
    assert first.var() == pytest.approx(1, abs=4 * np.sqrt(2 / many))
    assert (first * second).mean() == pytest.approx(0, abs=4 / np.sqrt(many))
    apart = round(actor_climb.LENGTH / (actor_climb.ACTIONS[1] - actor_climb.ACTIONS[0]))
    alike = (first[:, apart:] * first[:, :-apart]).mean()  # one length apart: exp(−½), the mean of 200 waves' cosines
    assert alike == pytest.approx(np.exp(-0.5), abs=4 * 0.5 / np.sqrt(200))


def test_climbing_follows_the_slope() -> None:
    data = climb(peak=0.0, start=-0.8, steps=30)
    assert (np.diff(data.path) > 0).all()
    # One step by hand: −0.8 is 0.35 left of a hill 0.7 high and 0.28 wide, 1.2 left of one 1 high and 0.3 wide.
    slope = 0.35 / 0.28**2 * 0.7 * np.exp(-((0.35 / 0.28) ** 2) / 2) + 1.2 / 0.3**2 * np.exp(-((1.2 / 0.3) ** 2) / 2)
    # The grid's differences are second order in 1/300, and straight lines join them.
    assert data.path[1] - data.path[0] == pytest.approx(actor_climb.LR * slope, rel=1e-3)


def test_without_errors_the_start_decides_which_hill() -> None:
    left, right = climb("no errors: the nearest top"), climb("no errors: the higher hill")
    assert left.end == pytest.approx(-0.44, abs=0.02)
    assert right.end == pytest.approx(0.38, abs=0.03)
    assert left.true < 0.75 < 0.99 < right.true
    for data in (left, right):
        assert data.bias[[ONE, OTHER, SMALLER]] == pytest.approx(0, abs=1e-4)
        assert data.bias[[SMOOTHED, BOTH], -1].max() < -0.05  # at a top its neighbours are worth less


def test_a_false_narrow_peak_catches_the_actor_and_smoothing_takes_most_of_it_away() -> None:
    data = climb()
    assert data.end == pytest.approx(actor_climb.PEAK, abs=0.01)
    assert data.bias[ONE, -1] == pytest.approx(0.6, abs=0.01)
    assert data.bias[OTHER, -1] == pytest.approx(0, abs=1e-3)
    assert 0 < data.bias[SMOOTHED, -1] < 0.6 / 4
    # A bump of height h and width w keeps h·w/√(w² + σ²) under normal noise: 0.6 · 0.03/√(0.03² + 0.2²) = 0.089. The
    # noise is clipped and has 24 values, 0.02 apart in the middle: not narrow against w, so a rough agreement only.
    gain = data.smoothed - climb(peak=0.0).smoothed
    middle = np.abs(actor_climb.ACTIONS - actor_climb.PEAK).argmin()
    assert gain[middle] == pytest.approx(0.089, rel=0.1)
    by_width = [climb(smoothing=each).bias[SMOOTHED, -1] for each in (0.0, 0.05, 0.1, 0.2)]
    assert by_width == sorted(by_width, reverse=True)
    assert by_width[0] == pytest.approx(0.6, abs=0.01)


def test_without_smoothing_the_smoothed_targets_are_the_plain_ones() -> None:
    data = climb("noise and peak: both cures", smoothing=0.0)
    assert data.bias[SMOOTHED] == pytest.approx(data.bias[ONE])
    assert data.bias[BOTH] == pytest.approx(data.bias[SMALLER])


def test_smoothing_noise_is_centred_and_clipped() -> None:
    noise = actor_climb.smoothing_noise(0.2)
    assert noise.mean() == pytest.approx(0, abs=1e-12)
    assert np.abs(noise).max() <= 0.5
    assert noise.std() == pytest.approx(0.2, rel=0.05)  # 24 quantiles lose a little of the tails


@pytest.mark.parametrize("seed", range(3))
def test_noise_biases_the_critic_that_is_climbed_and_not_the_other(monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    monkeypatch.setattr(actor_climb, "SEED", seed)
    actor_climb.errors.cache_clear()
    try:
        for noise in (0.1, 0.3):
            data = climb("noise: one critic is too high", noise=noise)
            start, end, error = data.bias[:, 0], data.bias[:, -1], data.error
            assert start[ONE] == pytest.approx(0, abs=4 * error[ONE, 0])
            assert start[SMALLER] == pytest.approx(-noise / np.sqrt(np.pi), abs=4 * error[SMALLER, 0])
            assert end[ONE] > 5 * error[ONE, -1]
            assert end[OTHER] == pytest.approx(0, abs=4 * error[OTHER, -1])
            assert end[SMALLER] < end[OTHER] + 1e-12
            assert end[SMALLER] < end[ONE] - 5 * error[SMALLER, -1]
            assert np.corrcoef(data.at, data.bias[ONE])[0, 1] > 0.5  # it grows on the way
    finally:
        monkeypatch.undo()
        actor_climb.errors.cache_clear()


def test_more_noise_more_bias_and_both_cures_do_not_overestimate() -> None:
    by_noise = [climb("noise: one critic is too high", noise=each).bias[ONE, -1] for each in (0.0, 0.1, 0.3, 0.6, 1.0)]
    assert by_noise == sorted(by_noise)
    data = climb("noise and peak: both cures")
    assert data.bias[ONE, -1] > 0.4
    assert -0.2 < data.bias[BOTH, -1] < 0


def test_what_is_said_of_the_end_is_what_the_critics_say_there() -> None:
    data = climb("noise and peak: both cures")
    one, other = (np.interp(data.end, actor_climb.ACTIONS, critic) for critic in data.critics)
    assert data.values[:3] == pytest.approx([one, other, min(one, other)])
    assert data.values[SMOOTHED] == pytest.approx(np.interp(data.end, actor_climb.ACTIONS, data.smoothed), abs=1e-2)
    assert data.values[BOTH] < data.values[SMOOTHED]


# --- slow targets and a delayed actor


def study(preset: str = next(iter(target_delay.PRESETS)), **changes: Any) -> target_delay.Study:
    return target_delay.compute(**target_delay.PRESETS[preset] | changes)


def test_the_features_are_scaled_alike() -> None:
    square = (target_delay.FEATURES**2).mean(0)
    assert square == pytest.approx(np.ones(target_delay.DEGREE + 1), rel=0.01)


def test_the_first_update_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(target_delay, "BATCH", 1)
    # One sample at a = 0: features 1, 0, −√5/2, 0, √9·3/8, 0; reward 1 − ¼ = ¾; everything starts at 0.
    places = np.full((target_delay.UPDATES, target_delay.RUNS, 1), 1000)
    monkeypatch.setattr(target_delay, "batches", lambda: (places, np.zeros(places.shape)))
    believed, action = target_delay.learn(np.ones(1), np.zeros(1), delay=1, gamma=0.5, noise=1.0)
    assert (action == -0.5).all()
    # After it Q(−½) = 0.25 · ¾ · φ(0)·φ(−½): P₂(−½) = −1/8, P₄(−½) = −37/128, times 5 and 9.
    product = 1 + 5 * (-1 / 2) * (-1 / 8) + 9 * (3 / 8) * (-37 / 128)
    assert believed[0, 0, 0] == pytest.approx(0.25 * 0.75 * product)


def test_a_fixed_policy_is_valued_rightly_whatever_tau() -> None:
    for tau in (1.0, 0.3, 0.1):
        data = study(policy="fixed", tau=tau)
        assert (data.action == target_delay.START).all()
        believed, true = data.ends
        assert true == 0  # 1 − 1² is nothing
        # Runs wander over some 20 updates: 8 runs of 200 give about 80 independent values.
        spread = data.believed[-target_delay.LAST :].std()
        assert believed == pytest.approx(0, abs=4 * spread / np.sqrt(80))


def test_a_learning_policy_is_overrated_and_restless_if_the_target_is_fast() -> None:
    fast, fixed, slow = (
        study(),
        study("the same with a fixed policy: nearly right"),
        study("τ = 0.1: calmer and nearer"),
    )
    gaps = [believed - true for believed, true in (fast.ends, fixed.ends, slow.ends)]
    assert gaps[0] > 2 * gaps[2] > 0
    assert gaps[0] > 5 * abs(gaps[1])
    assert fast.here > 1.5 * slow.here
    assert fast.here > 1.3 * fixed.here
    assert (fast.restless[0] > fast.restless[1]).all()  # for every τ the learning policy's is the larger


def test_the_two_dots_stand_at_the_chosen_update() -> None:
    data = study(update=250)
    assert data.now == (data.believed[249].mean(), data.true[249].mean())
    np.testing.assert_array_equal(data.believed, study().believed)
    (view,) = target_delay.scene(data).main
    held = [mark for mark in view.marks if mark["kind"] == "dots"]
    assert [(mark["x"], mark["y"]) for mark in held] == [([250.0], [data.now[1]]), ([250.0], [data.now[0]])]


def test_a_slow_target_is_slow() -> None:
    data = study("τ = 0.01: far too slow")
    believed, true = data.ends
    assert believed < true / 2
    assert data.believed[-1].mean() > data.believed[200].mean()  # and on its way


def test_a_delay_alone_lowers_bias_and_restlessness() -> None:
    fast, delayed = study(), study("only a delay, d = 4")
    gaps = [believed - true for believed, true in (fast.ends, delayed.ends)]
    assert gaps[1] < 0.7 * gaps[0]
    assert delayed.here < 0.7 * fast.here
    moved = (np.diff(delayed.action, axis=0) != 0).any(1)
    assert not moved[np.arange(2, target_delay.UPDATES + 1) % 4 != 0].any()


def test_without_noise_there_is_nothing_to_cure() -> None:
    data = study("no noise: nothing to cure")
    assert data.ends == pytest.approx((10, 10), abs=0.01)
    assert data.here < 0.01


def test_the_claims_do_not_hang_on_the_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    for seed in range(1, 4):
        monkeypatch.setattr(target_delay, "SEED", seed)
        target_delay.batches.cache_clear()
        target_delay.learned.cache_clear()
        fast, slow, delayed = study(), study(tau=0.1), study(delay=4)
        gaps = [believed - true for believed, true in (fast.ends, slow.ends, delayed.ends)]
        assert gaps[0] > 1.3 * max(gaps[1:])
        assert fast.here > 1.2 * slow.here
    target_delay.batches.cache_clear()
    target_delay.learned.cache_clear()


def test_restlessness_leaves_a_straight_line_out() -> None:
    line = np.linspace(3, 9, 50)
    assert target_delay.restlessness(line) == pytest.approx(0, abs=1e-12)
    wave = np.tile([1.0, -1.0], 25)
    assert target_delay.restlessness(line + wave) == pytest.approx(1, abs=0.01)
