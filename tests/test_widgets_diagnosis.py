"""The pictures of broken runs without a browser: what they say, and what each case of the demo claims."""

import numpy as np
import pytest

from rlcourse.widgets import broken_runs
from rlcourse.widgets.broken_runs import HEALTHY, RECORDED

NAMES = sorted(path.stem for path in RECORDED.glob("*.json"))


@pytest.mark.parametrize("name", NAMES)
def test_a_recording_is_whole(name: str) -> None:
    recording = broken_runs.load(name)
    healthy = next(iter(recording.runs))
    assert healthy == HEALTHY
    assert len(recording.runs) > 1
    assert len(recording.at) > 4
    assert (np.diff(recording.at) > 0).all()
    for quantities in recording.runs.values():
        assert list(quantities) == list(recording.runs[HEALTHY])
        for seeds in quantities.values():
            assert seeds.shape == (len(recording.runs[HEALTHY][next(iter(quantities))]), len(recording.at))
            assert len(seeds) >= 3
            assert np.isfinite(seeds).all()


def test_a_picture_says_its_numbers() -> None:
    still = broken_runs.show("hw01")
    recording = broken_runs.load("hw01")
    assert still.alt.startswith("5 seeds of each run, means at the first and the last point. healthy: greedy return ")
    ends = {name: runs["largest value"].mean(0)[-1] for name, runs in recording.runs.items()}
    assert f"largest value {recording.runs['A']['largest value'].mean(0)[0]:.3g} → {ends['A']:.3g}" in still.alt
    shown = [ax.get_title(loc="right") for ax in still.figure.axes]
    assert [title for title in shown if title] == [
        broken_runs.short(seeds[:, -1].mean())
        for row in zip(*(quantities.values() for quantities in recording.runs.values()), strict=True)
        for seeds in row
    ]
    grey, own = still.figure.axes[1].lines[:5], still.figure.axes[1].lines[5:]
    for lines, run in ((grey, HEALTHY), (own, "A")):
        found = np.array([line.get_ydata() for line in lines])
        np.testing.assert_array_equal(found, recording.runs[run]["greedy return"])


def test_numbers_are_short() -> None:
    assert [broken_runs.short(x) for x in (-18.333, 0.000218, 98.44, -0.0)] == ["−18.3", "0.000218", "98.4", "−0"]


def test_an_unknown_recording_names_those_there_are() -> None:
    with pytest.raises(FileNotFoundError, match=r"nothing is recorded under 'hw99': choose one of .*hw01"):
        broken_runs.load("hw99")
