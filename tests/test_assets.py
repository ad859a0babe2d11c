"""What is recorded under `assets/` is what today's code does, the README there says how each file was made, and what
the lectures say of the recordings is what they hold."""

import json
from pathlib import Path

import nbformat
import numpy as np
import pytest
from scipy import stats

from rlcourse import runs
from rlcourse.lessons import reference

ROOT = Path(__file__).parents[1]
ASSETS = ROOT / "assets"
CURVES = sorted((ASSETS / "curves").glob("*.json"))


def test_no_curve_is_older_than_its_code() -> None:
    assert CURVES
    assert runs.stale(ASSETS / "curves") == {}


@pytest.mark.parametrize("path", CURVES, ids=lambda path: path.stem)
def test_every_curve_is_listed_with_its_command(path: Path) -> None:
    stored = json.loads(path.read_text())
    readme = (ASSETS / "README.md").read_text()
    assert stored["command"] in readme
    assert stored["command"].count(path.name) == 1
    assert f"{len(stored['seeds'])} seeds" in readme
    curve = runs.load_curve(path)
    assert curve.returns.shape == (len(stored["seeds"]), len(curve.step))


# --- what lecture 2 says; the sentences are built from the recordings, so that new ones bring new sentences


def prose(lecture: str) -> str:
    """All that a notebook's markdown says, on one line."""
    notebook = nbformat.read(ROOT / "notebooks" / f"{lecture}.ipynb", as_version=4)
    return " ".join(" ".join(cell.source.split()) for cell in notebook.cells if cell.cell_type == "markdown")


def test_lecture_2_on_the_parts_that_dqn_needs() -> None:
    text = prose("02_dqn")
    names = "cartpole_dqn", "no_target", "no_replay", "neither"
    full, no_target, no_replay, neither = (reference(f"02_{name}") for name in names)
    rates = [curve.success_rate(475) for curve in (full, no_target, no_replay, neither)]
    assert (rates[0].value, len(full.returns)) == (1, 20)
    assert "All 20 seeds with everything do" in text
    solved = [round(10 * rate.value) for rate in rates[1:]]
    assert (
        f"{solved[0]} of 10 succeed without a target network, {solved[1]} of 10 without replay, {solved[2]} of 10 with "
        "neither. The first two intervals overlap" in text
    )
    assert rates[1].high > rates[2].low
    assert "That each of them matters is (Fisher's exact test against the 20 seeds: p < 0.01)" in text
    for without in solved[:2]:
        assert stats.fisher_exact(np.array([[20, 0], [without, 10 - without]])).pvalue < 0.01

    halfway = no_replay.step.tolist().index(12_500)
    stood = no_replay.returns[:, halfway] >= 475
    lost = (stood & (no_replay.returns[:, -1] < 475)).sum()
    with_replay = (full.returns[:, halfway] >= 475).sum()
    assert (
        f"after 12 500 steps {stood.sum()} of 10 stood at 475 or more ({with_replay} of 20 with replay), and {lost} of "
        "them lost it again" in text
    )
    assert stood.mean() > with_replay / 20


def signed(estimate: runs.Estimate) -> str:
    return f"{estimate.value:+.0f} ({estimate.low:+.0f} to {estimate.high:+.0f})"


def test_lecture_2_on_overestimation_and_double() -> None:
    text = prose("02_dqn")
    plain, double = reference("02_one_step"), reference("02_double")
    assert plain.believed is not None
    assert plain.truth is not None
    ends = [runs.mean_estimate(curve.bias[:, -1]) for curve in (plain, double)]
    change = runs.mean_estimate(double.bias[:, -1] - plain.bias[:, -1])
    believed, true = plain.believed[:, -1].mean(), plain.truth[:, -1].mean()
    assert (
        f"The plain critic ends with a bias of {signed(ends[0])}: it believes in {believed:.0f} where the truth is "
        f"{true:.0f}." in text
    )
    assert believed > 100  # soft divergence
    assert min(end.low for end in ends) > 0
    assert f"Double ends at {signed(ends[1])}. Seed by seed it changes the bias by {signed(change)}" in text
    assert "not resolved, so a null result" in text
    assert change.low < 0 < change.high

    noisy = [reference(f"02_noisy_{name}") for name in ("plain", "double")]
    bias = np.array([curve.bias[:, -1] for curve in noisy])
    highest = max(curve.returns[:, -1].max() for curve in noisy)
    lower = (bias[1] < bias[0]).sum()
    assert (
        f"each of the ten critics ends at least {np.floor(bias.min()):.0f} too high, the worst {bias.max():.0f}, and "
        f"no last evaluation passes {np.ceil(highest):.0f}. Double has the lower bias in {lower} of 5 "
        "seeds." in text
    )
    assert bias.shape == (2, 5)


def test_lecture_2_on_the_parts_of_rainbow() -> None:
    text = prose("02_dqn")
    plain, double, five_step = (reference(f"02_{name}") for name in ("one_step", "double", "cartpole_dqn"))
    solved = [round(10 * curve.success_rate(475).value) for curve in (plain, double)]
    assert (
        f"5-step targets gain {signed(five_step.gain(plain))}, and all 20 seeds succeed in the end; with one step "
        f"{solved[0]} of 10 do." in text
    )
    assert five_step.success_rate(475).value == 1
    gain = double.gain(plain)
    assert f"Double gains {signed(gain)}, and {solved[1]} of 10 succeed: a null result" in text
    assert gain.low < 0 < gain.high
