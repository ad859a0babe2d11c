"""The diffusion widget without a browser: what its text and its presets claim."""

import json
from typing import Any

import numpy as np
import pytest
import torch

from rlcourse.widgets import diffusion
from rlcourse.widgets.scene import payload

pytestmark = pytest.mark.thorough


def flow(preset: str = next(iter(diffusion.PRESETS)), **changes: Any) -> diffusion.Flow:
    return diffusion.compute(**diffusion.PRESETS[preset] | changes)


def test_one_step_leads_to_the_mean_of_the_demonstrations() -> None:
    for share in (0.5, 0.1):
        data = flow("one step: the mean", share=share)
        mean = (1 - share) * data.modes[0] + share * data.modes[1]
        # A thousandth of the variance is left in the noise, and so is a hint which of the two it was.
        assert data.path[-1].mean(0) == pytest.approx(mean, abs=0.02)
        assert data.path[-1].std(0).max() < 0.05


def test_with_more_steps_fewer_samples_go_astray() -> None:
    astray = dict(zip(diffusion.STEPS, flow().astray, strict=True))
    assert astray[1] == 1
    assert astray[3] == pytest.approx(0.5, abs=0.1)  # "half still between"
    assert astray[20] <= 0.03
    assert astray[100] <= 0.03
    assert flow("a hundred steps").steps == 100


def test_the_samples_end_as_often_with_each_as_the_demonstrators_act() -> None:
    for share in (0.1, 0.5, 0.9):
        data = flow("a hundred steps", share=share)
        # Four standard errors of 200 samples, and the sampler's own error.
        assert data.second.mean() == pytest.approx(share, abs=4 * np.sqrt(share * (1 - share) / 200) + 0.02)
        for mode, side in zip(data.modes, (~data.second, data.second), strict=True):
            assert data.path[-1][side].mean(0) == pytest.approx(mode, abs=0.06)


def test_samples_start_in_noise_undecided_and_end_decided() -> None:
    start, end = flow("the start: noise"), flow("the end: one of two")
    assert start.step == 0
    assert start.path[0].std(0) == pytest.approx([1, 1], abs=0.2)  # four standard errors of a spread
    decided = end.decided
    assert decided[0] < 0.8
    assert (np.diff(decided) >= 0).all()
    assert decided[-1] == 1
    # Demonstrators that are near each other are told apart only when little noise is left.
    near = flow("near each other: decided late").decided
    assert near[12] < decided[12] - 0.1


def test_fewer_steps_start_in_the_same_noise() -> None:
    assert (flow(steps=5).path[0] == flow(steps=50).path[0]).all()


def test_the_arrows_point_to_the_only_demonstrator_and_vanish_at_the_end() -> None:
    data = flow(done=95, x=diffusion.FIRST[0], y=diffusion.FIRST[1])
    to_it = data.modes[0] - data.grid
    far = np.linalg.norm(to_it, axis=1) > 0.5
    cosine = (data.way * to_it).sum(1) / np.linalg.norm(data.way, axis=1) / np.linalg.norm(to_it, axis=1)
    assert cosine[far].min() > 0.98
    assert not flow("the end: one of two").way.any()


def test_the_best_guess_at_a_single_known_action_is_that_action() -> None:
    target = diffusion.mixture(0.5, *diffusion.FIRST, 1e-4)
    x = torch.tensor([[0.7, -1.2]], dtype=torch.float64)
    assert diffusion.exact(target, x, 0.3).numpy() == pytest.approx(np.array([diffusion.FIRST]), abs=1e-4)


def test_a_network_guesses_nearly_as_the_formula_says_and_sends_more_samples_astray() -> None:
    exact, learned = flow("the end: one of two"), flow("a network guesses")
    assert (exact.guess, learned.guess) == ("exact", "network")
    assert (exact.path[0] == learned.path[0]).all()  # the same noise
    # Where samples are half-way; it has seen 2,000 actions, of a distribution with the spread 0.6 along x.
    setting = exact.share, *exact.modes[1], exact.spread
    x = torch.as_tensor(exact.path[10])
    left = torch.full(x.shape[:1], float(exact.left[10]), dtype=torch.float64)
    guesses = [diffusion.guesser(name, *map(float, setting))(x, left).numpy() for name in diffusion.GUESSES]
    assert np.sqrt(((guesses[0] - guesses[1]) ** 2).sum(1).mean()) < 0.15
    many = slice(diffusion.STEPS.index(5), None)
    assert (learned.astray[many] > exact.astray[many]).all()
    assert learned.astray[diffusion.STEPS.index(20)] == pytest.approx(0.06, abs=0.04)


@pytest.mark.parametrize("preset", diffusion.PRESETS)
def test_the_picture_shows_the_samples_and_is_small(preset: str) -> None:
    data = flow(preset)
    scene = diffusion.scene(data)
    (view,) = scene.main
    (cloud,) = (mark for mark in view.marks if mark["kind"] == "dots")
    assert np.array_equal(np.stack([cloud["x"], cloud["y"]], 1), data.path[data.step])
    astray = np.array([color == "grey" for color in cloud["color"]])
    assert astray.mean() == data.astray[diffusion.STEPS.index(data.steps)]
    assert [color == "blue" for color in cloud["color"]] == (data.second & ~astray).tolist()
    (grip,) = (mark for mark in view.marks if mark["kind"] == "handle")
    assert (grip["along_x"], grip["along_y"]) == ("x", "y")
    assert len(json.dumps(payload(scene), separators=(",", ":"))) <= 20_000


def test_demonstrators_at_one_place_are_not_told_apart() -> None:
    same = flow("the end: one of two", x=diffusion.FIRST[0], y=diffusion.FIRST[1])
    for said in (diffusion.scene(same).headline, diffusion.describe(same)):
        assert "both demonstrate the same" in said
        assert "side" not in said
