"""The pictures of broken runs without a browser: what they say, and what each case of the demo claims."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from rlcourse.widgets import broken_runs, diagnosis
from rlcourse.widgets.broken_runs import HEALTHY, RECORDED
from rlcourse.widgets.diagnosis import BROKEN, CASES, LETTERS, NO_VOTE, PRESETS, Diagnosis

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
    assert [broken_runs.short(x) for x in (-18.333, 0.000218, 98.44, 1862.4)] == ["−18.3", "0.000218", "98.4", "1860"]


def test_an_unknown_recording_names_those_there_are() -> None:
    with pytest.raises(FileNotFoundError, match=r"nothing is recorded under 'hw99': choose one of .*hw01"):
        broken_runs.load("hw99")


# --- the demo

Runs = Mapping[str, np.ndarray]


def ends(runs: Runs, quantity: str) -> np.ndarray:
    return runs[quantity][:, -1]


# What each case says when it is revealed, of the broken runs and of the healthy ones.
CLAIMS: dict[str, Callable[[Runs, Runs], list[bool]]] = {
    "1: a cliff": lambda broken, healthy: [
        bool((healthy["measured return"][:, 3:] == -13).all()),
        ends(broken, "measured return").max() < -13,
        np.allclose(ends(broken, "value of start"), ends(healthy, "value of start"), rtol=1e-3),
        abs(broken["measured return"][:, 5:].mean() - broken["training return"][:, 5:].mean()) < 5,
    ],
    "2: a frozen lake": lambda broken, healthy: [
        *(bool((np.ptp(seeds, axis=0) == 0).all()) for seeds in broken.values()),
        *(bool((np.ptp(seeds, axis=0) > 0).any()) for seeds in healthy.values()),
    ],
    "3: a line": lambda broken, healthy: [
        broken["spread of actions"][:, 0].max() < 0.15,
        healthy["spread of actions"][:, 0].min() > 0.5,
        abs(ends(broken, "return").mean() - ends(healthy, "return").mean()) < 0.5,
    ],
    "4: the price of entropy": lambda broken, healthy: [
        bool((broken["entropy"] > 0.6).all()),
        bool((np.diff(broken["temperature"], axis=1) > 0).all()),
        ends(broken, "temperature").min() > 100,
        ends(healthy, "temperature").max() < 1,
        np.allclose(ends(healthy, "entropy"), -1, atol=0.2),
    ],
    "5: bits": lambda broken, healthy: [
        bool((broken["goals in memory"] == 1 / 16).all()),
        bool((healthy["goals in memory"][:, 1:] == 1).all()),
        ends(broken, "training success").min() > 0.9,
        ends(broken, "success on new goals").max() < 0.5,
        bool((np.ptp(broken["success on new goals"], axis=1) == 0).all()),
        bool((np.abs(broken["value"]) < 0.1).all()),
    ],
}


def shown(preset: str, **changes: Any) -> Diagnosis:
    return diagnosis.compute(**PRESETS[preset] | changes)


@pytest.mark.parametrize("name", CASES)
def test_the_data_show_what_a_case_says(name: str) -> None:
    runs = broken_runs.load(CASES[name].recording).runs
    assert list(runs) == [HEALTHY, BROKEN]
    claims = CLAIMS[name](runs[BROKEN], runs[HEALTHY])
    assert claims
    assert all(claims), claims


@pytest.mark.parametrize("name", CASES)
def test_a_case_can_be_voted_on(name: str) -> None:
    case = CASES[name]
    assert len(set(case.causes)) == len(LETTERS)
    assert case.answer in LETTERS
    assert case.telltale in shown(name).runs
    assert case.because
    assert len(case.about) < 110  # one line of the picture


def test_answers_are_spread_over_the_letters() -> None:
    answers = [case.answer for case in CASES.values()]
    assert max(answers.count(letter) for letter in LETTERS) <= 2


@pytest.mark.parametrize("name", CASES)
def test_nothing_is_given_away_before_it_is_revealed(name: str) -> None:
    case = CASES[name]
    for vote in (NO_VOTE, case.answer):
        hidden = diagnosis.describe(shown(name, vote=vote))
        assert case.because not in hidden
        assert "The cause is" not in hidden
    revealed = diagnosis.describe(shown(name, reveal=True))
    assert revealed.endswith(f"The cause is {case.answer}, and {case.telltale} shows it. {case.because}")
    texts = {text.get_text(): text for text in diagnosis.widget(name).still.figure.texts}
    assert not any("✔" in text or text.startswith(case.because[:20]) for text in texts)
    causes = [f"{letter}  {cause}" for letter, cause in zip(LETTERS, case.causes, strict=True)]
    assert len({(texts[each].get_color(), texts[each].get_fontweight()) for each in causes}) == 1


def test_a_wrong_vote_is_marked_and_the_right_cause_too() -> None:
    figure = diagnosis.widget(vote="c", reveal=True).still.figure
    assert [text.get_text() for text in figure.texts if text.get_text() in ("✔", "✘", "▸")] == ["✔", "✘"]
    marked = [ax.get_title() for ax in figure.axes if ax.patch.get_facecolor()[2] < 1]
    assert [title.split(":")[0] for title in marked] == [CASES["1: a cliff"].telltale]


@pytest.mark.thorough
@pytest.mark.parametrize("name", CASES)
def test_no_text_is_cut_off(name: str) -> None:
    case = CASES[name]
    for vote in LETTERS:
        figure = diagnosis.widget(name, reveal=True, vote=vote).still.figure
        FigureCanvasAgg(figure).draw()
        boxes = [text.get_window_extent() for text in figure.texts]
        assert min(box.x0 for box in boxes) >= 0
        assert min(box.y0 for box in boxes) >= 0
        assert max(box.x1 for box in boxes) <= figure.bbox.width
        assert any(case.because[:20] in text.get_text() for text in figure.texts)


def test_a_part_of_the_run_is_its_beginning() -> None:
    whole, part = shown("1: a cliff"), shown("1: a cliff", shown=20)
    assert (whole.points, part.points) == (20, 4)
    figure = diagnosis.widget(shown=20).still.figure
    lines = figure.axes[0].lines
    assert len(lines) == 10
    for line, seeds in zip(lines[5:], whole.runs["measured return"][1], strict=True):
        np.testing.assert_array_equal(line.get_ydata(), seeds[:4])
    assert figure.axes[0].get_ylim() == diagnosis.widget().still.figure.axes[0].get_ylim()
    assert figure.axes[0].get_xlim() == (0, 20_000)
    assert "At step 4000: measured return " in diagnosis.describe(part)
