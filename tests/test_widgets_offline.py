"""What lecture 10 says about the pictures of its widget on offline learning: extrapolation."""

from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from rlcourse.widgets import extrapolation
from rlcourse.widgets.extrapolation import ACTIONS, CURES, DRAWS, PRESETS

ONE, MIN, CONSERVATIVE, CLIPPED, COPYING = range(len(CURES))


def looked(preset: str = next(iter(PRESETS)), **changes: Any) -> extrapolation.Extrapolation:
    return extrapolation.compute(**PRESETS[preset] | changes)


def left(data: extrapolation.Extrapolation) -> list[int]:
    """In how many draws each actor leaves the data."""
    return [int(count) for count in data.outside.sum(1)]


def test_one_critic_is_climbed_out_of_the_data_in_half_of_the_draws_and_a_minimum_of_ten_is_not() -> None:
    data = looked()
    counts = left(data)
    assert counts[ONE] >= 50
    assert counts[MIN] <= 1
    assert counts[CONSERVATIVE] <= counts[ONE] / 2
    assert counts[COPYING] <= counts[ONE] / 4
    assert data.believed[ONE].mean() > 3 * data.true[ONE].mean()
    # Paired over draws: every cure but clipping ends at better actions.
    for cure in (MIN, CONSERVATIVE, COPYING):
        gain = data.true[cure] - data.true[ONE]
        assert gain.mean() > 3 * gain.std(ddof=1) / np.sqrt(DRAWS)


def test_clipping_caps_the_height_and_not_the_place() -> None:
    data = looked("clipping: the height, not the place")
    np.testing.assert_array_equal(data.end[CLIPPED], data.end[ONE])
    assert data.believed[CLIPPED].max() <= 1  # no reward is larger
    assert data.believed[ONE].max() > 3


def test_more_critics_leave_the_data_less_often_and_believe_less() -> None:
    several = [looked(critics=critics) for critics in (1, 2, 3, 5, 10, 20)]
    assert left(several[0])[MIN] == left(several[0])[ONE]
    for few, many in pairwise(several):
        assert left(many)[MIN] <= left(few)[MIN]
        assert (many.believed[MIN] <= few.believed[MIN] + 1e-9).all()  # the largest minimum of more is never larger
    # Once nothing is left to win, more critics only believe less: the minimum underestimates near data, too.
    assert several[-1].believed[MIN].mean() < several[-1].true[MIN].mean()


@pytest.mark.parametrize("cure", [CONSERVATIVE, COPYING])
def test_a_strength_of_0_is_one_critic_and_more_leaves_less_often(cure: int) -> None:
    weak, middle, strong = (looked(strength=strength) for strength in (0.0, 2.0, 5.0))
    np.testing.assert_array_equal(weak.end[cure], weak.end[ONE])
    assert left(weak)[cure] > left(middle)[cure] > left(strong)[cure]
    assert weak.believed[cure].mean() > middle.believed[cure].mean() > strong.believed[cure].mean()


def test_who_copies_ends_nearer_to_the_mean_of_the_data() -> None:
    far = [np.abs(data.end[COPYING] + 0.1).mean() for data in (looked(strength=s) for s in (0.0, 1.0, 5.0))]
    assert far[0] > far[1] > far[2]  # −0.1 is the middle of [−0.7, 0.5]


def test_a_minimum_does_not_take_the_best_action_if_nobody_tried_it() -> None:
    whole, gap = looked("the minimum of ten stays"), looked("the best action is in a gap")
    inside = (gap.end[MIN] > extrapolation.EDGE + 0.1) & (gap.end[MIN] < extrapolation.EDGE + gap.gap - 0.1)
    assert inside.sum() <= 10
    assert gap.true[MIN].mean() < whole.true[MIN].mean() - 0.2


def test_noise_in_the_rewards_is_no_disagreement() -> None:
    quiet, loud = looked("the minimum of ten stays"), looked("noise in the rewards is no disagreement")
    np.testing.assert_allclose(loud.spread, quiet.spread, rtol=1e-9)  # the same data for all critics
    assert quiet.spread[1] > 10 * quiet.spread[0]
    assert np.abs(loud.believed[MIN] - loud.true[MIN]).mean() > 2 * np.abs(quiet.believed[MIN] - quiet.true[MIN]).mean()


def test_the_fit_is_the_one_that_the_text_says() -> None:
    """By setting the gradient to 0 in the space of weights: in `compute` the sums run over the data."""
    data = looked(critics=3, gap=0.3, noise=0.2, cure="conservative", strength=2.0)
    begin = extrapolation.drawn()[2][data.draw - 1, :3]
    tried, grid = extrapolation.features(data.action), extrapolation.features(ACTIONS)
    ridge = extrapolation.RIDGE
    normal = tried.T @ tried + ridge * np.eye(tried.shape[1])
    right = tried.T @ data.reward + ridge * begin
    np.testing.assert_allclose(data.values, np.linalg.solve(normal, right.T).T @ grid.T, rtol=1e-6, atol=1e-9)
    push = 5 * 2.0 * ridge * (grid.mean(0) - tried.mean(0))  # half the gradient of 10αρ (E_u Q − E_j Q)
    np.testing.assert_allclose(data.climbed, np.linalg.solve(normal, right[0] - push) @ grid.T, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("gap", [0.0, 0.3, 0.6])
def test_no_action_lies_in_the_gap(gap: float) -> None:
    for draw in (1, 50, DRAWS):
        action = looked(gap=gap, draw=draw).action
        assert ((action >= extrapolation.LOW) & (action <= extrapolation.HIGH)).all()
        assert not ((action > extrapolation.EDGE) & (action < extrapolation.EDGE + gap)).any()


def test_what_the_widget_says_is_in_its_data() -> None:
    data = looked()
    sentence = extrapolation.scene(data).headline
    assert f"leaves the data in {left(data)[ONE]} of 100 draws" in sentence
    assert (
        f"at {data.of(data.end):.2f}: believed {data.of(data.believed):.2f}, true {data.of(data.true):.2f}" in sentence
    )
    assert extrapolation.scene(looked(critics=1)).caption == ""  # a single one does not differ
    ends, worths = extrapolation.scene(data).others
    assert [list(mark["x"]) for mark in ends.marks] == data.end.tolist()
    assert [mark["high"].tolist() for mark in worths.marks] == [
        data.believed.mean(1).tolist(),
        data.true.mean(1).tolist(),
    ]
