"""Lecture 07's widgets without a browser: what each preset claims and what theory says."""

import math
from itertools import product
from typing import Any

import numpy as np
import pytest
from scipy import integrate, stats

from rlcourse.widgets import four_goals, squashed_gaussian

pytestmark = pytest.mark.thorough  # minutes together: in `make test`, not in the inner loop

# --- the four-goal world


def goals(preset: str = next(iter(four_goals.PRESETS)), **changes: Any) -> four_goals.Temperature:
    return four_goals.compute(**four_goals.PRESETS[preset] | changes)


def test_modes_on_numbers() -> None:
    assert four_goals.modes(np.array([0.4, 0.1, 0.3, 0.2])).tolist() == [0, 2]
    assert four_goals.modes(np.array([0.1, 0.3, 0.3, 0.3])).tolist() == [1]  # of equal neighbours the first
    assert four_goals.modes(np.array([0.3, 0.1, 0.1, 0.5])).tolist() == [3]  # 0 lies between 0.5 and 0.1
    assert four_goals.modes(np.array([0.2, 0.2, 0.25, 0.35])).tolist() == [3]  # a plateau on the way up is none
    assert four_goals.modes(np.full(4, 0.25)).tolist() == []
    assert four_goals.modes(np.array([0.6, 0.001, 0.009, 0.39, 0.0, 0.0])).tolist() == [0, 3]
    assert four_goals.modes(np.array([0.997, 0.0, 0.003, 0.0])).tolist() == [0]  # too rare to be called one
    # The modes are 0 and 2; the other goes to 0 often enough, 0.2 = 0.4 / 2, and to 2 not: 0.1 < 0.3 / 2.
    first, other = np.array([0.4, 0.1, 0.3, 0.2]), np.array([0.2, 0.5, 0.1, 0.2])
    assert four_goals.cover(first, other).tolist() == [True, False]


def test_the_middle_has_four_modes_towards_four_goals_at_every_useful_temperature() -> None:
    for temperature in four_goals.TEMPERATURES[:9]:
        assert goals(temperature=temperature).modes.tolist() == [0, 4, 8, 12]
    for temperature in (0.5, 1.0):  # where it would rather not arrive: in between
        assert goals(temperature=temperature).modes.tolist() == [2, 6, 10, 14]
    assert goals().counts[:, 0].tolist() == [4] * len(four_goals.TEMPERATURES)


def test_modes_that_a_gaussian_covers() -> None:
    assert goals().counts[:, 1].tolist() == [1, 1, 0, 0, *[4] * 8]
    for index, temperature in enumerate(four_goals.TEMPERATURES):
        data = goals(temperature=temperature, x=4, y=4)
        assert (len(data.modes), data.covered.sum()) == tuple(data.counts[index])
    # It cannot have two tops; where it covers four it is nearly even.
    for temperature in four_goals.TEMPERATURES:
        data = goals(temperature=temperature)
        assert len(four_goals.modes(data.gaussian)) <= 1
        if data.covered.sum() == 4:
            assert data.gaussian.max() < 1.01 / 16


def test_the_presets_of_the_four_goal_world() -> None:
    assert goals().shares == pytest.approx([0.25] * 4, abs=1e-3)
    single = goals("a Gaussian there: one mode, one goal")
    assert (single.covered.sum(), single.covered[0]) == (1, True)
    assert single.shares[0] > 0.99
    assert goals("between two goals: two modes").modes.tolist() == [6, 14]  # towards north and east, from (4, 4)
    assert goals("near a goal: one mode").modes.tolist() == [0]
    assert goals("warmer: detours are paid for").nats > goals().nats + 1
    wide = goals("warmer, a Gaussian: everywhere, no mode covered")
    assert (wide.covered.sum(), len(wide.modes)) == (0, 4)
    assert wide.gaussian.max() < 1.01 / 16
    hot = goals("too hot: it hardly ever arrives")
    assert hot.shares.sum() < 0.02
    assert hot.values[four_goals.WORLD.state(0, 0)] > four_goals.WORLD.REWARD  # more than any goal pays


def test_the_goals_are_reached_equally_often_or_not_at_all() -> None:
    for temperature in four_goals.TEMPERATURES:
        shares = goals(temperature=temperature).shares
        assert shares == pytest.approx([shares.mean()] * 4, abs=1e-4)
        assert shares.sum() > 0.999 if temperature <= 0.3 else shares.sum() < 0.999
    arrived = [goals(temperature=t).shares.sum() for t in four_goals.TEMPERATURES]
    assert arrived == pytest.approx(sorted(arrived, reverse=True), abs=1e-9)


def test_entropy_grows_with_the_temperature() -> None:
    nats = [goals(temperature=t).nats for t in four_goals.TEMPERATURES]
    assert (np.diff(nats[:9]) > 0).all()
    assert nats[-1] == pytest.approx(np.log(16), abs=1e-3)
    assert goals().nats == pytest.approx(stats.entropy(goals().softmax))


@pytest.mark.parametrize("policy", four_goals.POLICIES)
@pytest.mark.parametrize("temperature", [0.05, 0.2])
def test_sampled_walks_arrive_as_often_as_computed(policy: str, temperature: float) -> None:
    exact = goals(policy=policy, temperature=temperature).shares
    sampled = four_goals.reached(policy, temperature, 2000)
    assert [*sampled] == ["east", "north", "west", "south"]
    for estimate, share in zip(sampled.values(), exact, strict=True):
        # 16 intervals of 95 %, and the seed is fixed: where this one fell outside, it would be by chance.
        assert estimate.low - 1e-3 <= share <= estimate.high + 1e-3


def test_walks_begin_at_the_start_and_arrive_in_time() -> None:
    data = goals("between two goals: two modes")
    assert (four_goals.WORLD.places[data.paths[0]] == (4, 4)).all()
    assert data.shares[:2] == pytest.approx([0.5, 0.5], abs=0.01)  # the two that are near
    arrived = [goals("between two goals: two modes", steps=steps).shares.sum() for steps in four_goals.MOMENTS]
    assert arrived[0] == 0
    assert (np.diff(arrived) >= 0).all()
    assert goals(steps=3).paths.shape == (4, four_goals.PATHS)


@pytest.mark.parametrize("preset", four_goals.PRESETS)
def test_the_room_shows_what_the_walks_did(preset: str) -> None:
    (view,) = four_goals.scene(goals(preset)).main
    (grip,) = (mark for mark in view.marks if mark["kind"] == "handle")
    assert (grip["along_x"], grip["along_y"]) == ("x", "y")
    (ends,) = (mark for mark in view.marks if mark["kind"] == "dots")
    trails = next(mark for mark in view.marks if mark["kind"] == "line" and mark["width"] == 1)
    assert np.isnan(trails["x"]).sum() == len(ends["x"]) - 1
    assert len(trails["x"]) <= four_goals.POINTS + four_goals.PATHS


def test_walks_take_steps_of_the_world_and_stop_at_goals() -> None:
    states = four_goals.walk(four_goals.solution(0.2)[1][0], four_goals.WORLD.state(0, 0), 50, np.random.default_rng(0))
    assert (states[0] == four_goals.WORLD.state(0, 0)).all()
    places = four_goals.WORLD.places[states]
    assert np.abs(np.diff(places, axis=0)).max() <= 2  # a step of 2, and a draw among the places around its end
    arrived = np.isin(states, four_goals.WORLD.goals)
    assert (states[1:] == states[:-1])[arrived[:-1]].all()
    step = four_goals.motion(four_goals.MDP, four_goals.solution(0.2)[1][0])
    assert step.sum(0) == pytest.approx(1)


def test_the_gaussian_is_the_closest_of_its_family() -> None:
    q, (softmax, gaussian) = four_goals.solution(0.1)
    distance = four_goals.reverse_kl(four_goals.FAMILY, q, 0.1)
    for state in (0, 100, four_goals.WORLD.state(0, 0)):
        assert stats.entropy(gaussian[state], softmax[state]) == pytest.approx(distance[state].min(), abs=1e-6)
    wide = four_goals.gaussians(np.zeros(1), np.array([4.0]), 16)
    assert wide == pytest.approx(1 / 16, rel=1e-2)  # "everywhere" is in the family


def test_a_goal_is_no_place_to_choose() -> None:
    with pytest.raises(ValueError, match=r"x = 8, y = 0 is a goal: the episode has ended there, choose another place"):
        goals(x=8)


# --- the squashed Gaussian

CORRECTED, RAW = squashed_gaussian.LOG_PROBS


def squashed(preset: str = next(iter(squashed_gaussian.PRESETS)), **changes: Any) -> squashed_gaussian.Squashed:
    return squashed_gaussian.compute(**squashed_gaussian.PRESETS[preset] | changes)


def density(action: float, mean: float, std: float, log_prob: str) -> float:
    u = math.atanh(action)
    normal = math.exp(-0.5 * ((u - mean) / std) ** 2) / (std * math.sqrt(2 * math.pi))
    return normal / (1 - action**2 if log_prob == CORRECTED else 1)


@pytest.mark.parametrize(("mean", "std"), [*product((0.0, 1.5), (0.1, 0.5, 1.0))])
@pytest.mark.parametrize("log_prob", squashed_gaussian.LOG_PROBS)
def test_density_and_area_are_what_integration_finds(mean: float, std: float, log_prob: str) -> None:
    data = squashed(mean=mean, std=std, log_prob=log_prob)
    inside = np.abs(data.action) < 0.999
    expected = [density(a, mean, std, log_prob) for a in data.action[inside]]
    np.testing.assert_allclose(data.density[inside], expected, rtol=1e-8, atol=1e-12)
    edge = 1 - 1e-12
    area, _ = integrate.quad(density, -edge, edge, (mean, std, log_prob), limit=200, points=[math.tanh(mean)])
    assert data.area == pytest.approx(area, abs=1e-4)


def test_with_the_correction_the_area_is_one_and_without_it_shrinks_outwards() -> None:
    for mean, std in product((-2.0, 0.0, 1.0), (0.1, 1.0, 3.0)):
        assert squashed(mean=mean, std=std).area == pytest.approx(1, abs=1e-12)
    by_spread = [squashed(std=std, log_prob=RAW).area for std in (0.1, 0.5, 1.0, 2.0, 3.0)]
    assert by_spread == sorted(by_spread, reverse=True)
    assert by_spread[0] == pytest.approx(1 - 0.1**2, abs=1e-3)  # E[1 − tanh² u] ≈ 1 − σ²
    by_mean = [squashed(mean=mean, log_prob=RAW).area for mean in (0.0, 1.0, 2.0)]
    assert by_mean == sorted(by_mean, reverse=True)
    data = squashed(std=1.0, log_prob=RAW)
    # E[1 − a²] of 2000 samples, four standard errors
    spread = (data.samples**2).std() / np.sqrt(squashed_gaussian.SAMPLES)
    assert data.area == pytest.approx(1 - (data.samples**2).mean(), abs=4 * spread)


def test_what_is_no_density_is_not_called_one() -> None:
    for std in (0.05, 2.0):
        assert "so it is no density" in squashed_gaussian.scene(squashed(std=std, log_prob=RAW)).headline
        assert "area 1.00;" in squashed_gaussian.scene(squashed(std=std)).headline
    assert "area 1.000" not in squashed_gaussian.scene(squashed(std=0.05, log_prob=RAW)).headline


def test_tops_divide_where_the_variance_passes_one_half() -> None:
    for std, tops in ((0.1, 1), (0.5, 1), (0.7, 1), (0.72, 2), (0.9, 2), (2.0, 2)):
        assert len(squashed(std=std).tops) == tops
    assert squashed("wide: two tops, at the ends").tops == pytest.approx([-1, 1], abs=1e-3)
    assert squashed("against an end").tops == pytest.approx([0.96], abs=0.01)


@pytest.mark.parametrize(("mean", "std"), [(0.0, 0.1), (0.0, 0.9), (1.0, 0.5)])
def test_entropies_are_what_integration_finds(mean: float, std: float) -> None:
    true, believed = (float(each[0]) for each in squashed_gaussian.entropies(mean, np.array([std])))

    def surprise(action: float) -> float:
        p = density(action, mean, std, CORRECTED)
        return 0.0 if p == 0 else -p * math.log(p)

    expected, _ = integrate.quad(surprise, -1 + 1e-12, 1 - 1e-12, limit=200, points=[math.tanh(mean)])
    assert true == pytest.approx(expected, abs=1e-4)
    assert believed == pytest.approx(float(stats.norm(mean, std).entropy()), abs=1e-6)


def test_true_entropy_has_a_top_and_the_believed_one_has_none() -> None:
    data = squashed(log_prob=RAW)
    best = squashed_gaussian.SPREADS[data.entropy.argmax()]
    assert best == pytest.approx(0.87, abs=0.06)
    assert data.entropy.max() < math.log(2)
    assert squashed("σ = 0.9: nearly even").own[0] > math.log(2) - 0.02
    assert (np.diff(data.believed) > 0).all()
    assert (data.believed > data.entropy).all()
    wide = squashed("wide, without correction: it believes in much entropy")
    assert wide.own == pytest.approx((0, 2.11), abs=0.01)
    assert squashed("wide: two tops, at the ends").own[0] == squashed("wide: two tops, at the ends").own[1]
    assert squashed("−1 nat, SAC's default target").own[0] == pytest.approx(-1, abs=0.01)


def test_the_share_outside_is_that_of_the_samples() -> None:
    for mean, std in ((0.0, 0.9), (1.5, 0.5), (0.0, 2.0)):
        data = squashed(mean=mean, std=std)
        found = (np.abs(data.samples) > squashed_gaussian.EDGE).mean()
        assert found == pytest.approx(data.outside, abs=4 * np.sqrt(0.25 / squashed_gaussian.SAMPLES))
    assert squashed("wide: two tops, at the ends").outside == pytest.approx(0.46, abs=0.005)
