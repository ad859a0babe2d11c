"""The pictures of broken runs without a browser: what they say, and what each case of the demo claims."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest

from rlcourse.widgets import broken_runs, diagnosis
from rlcourse.widgets.broken_runs import HEALTHY, RECORDED
from rlcourse.widgets.diagnosis import BROKEN, CASES, LETTERS, NO_VOTE, PRESETS, Diagnosis
from rlcourse.widgets.scene import Scene, View
from rlcourse.widgets.still import WRAP

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


@pytest.mark.thorough
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
    hidden_scene = scene_of(name, vote=case.answer)
    assert case.because not in hidden_scene.caption
    assert "✔" not in hidden_scene.headline
    assert [view.title for view in all_views(hidden_scene)] == list(shown(name).runs)
    widths = [[mark["width"] for mark in view.marks if mark["kind"] == "line"] for view in all_views(hidden_scene)]
    assert all(each == widths[0] for each in widths)


def scene_of(preset: str, **changes: Any) -> Scene:
    return diagnosis.scene(shown(preset, **changes))


def all_views(scene: Scene) -> list[View]:
    return [*scene.main, *scene.others]


def test_a_wrong_vote_is_named_and_the_right_cause_too() -> None:
    case = CASES["1: a cliff"]
    right = f": {case.causes[0]} (measured return "
    assert scene_of("1: a cliff", vote="c", reveal=True).headline.startswith(f"a, not c{right}")
    assert scene_of("1: a cliff", vote="a", reveal=True).headline.startswith(f"✔ a{right}")
    assert scene_of("1: a cliff", reveal=True).headline.startswith(f"a{right}")
    assert scene_of("1: a cliff", vote="c").headline.startswith(f"The room says c: {case.causes[2]}. At step 20000: ")


@pytest.mark.thorough
@pytest.mark.parametrize("name", CASES)
def test_what_gives_it_away_comes_first_when_it_is_revealed(name: str) -> None:
    case, scene = CASES[name], scene_of(name, reveal=True)
    first, *rest = all_views(scene)
    assert first.title == f"the giveaway: {case.telltale}"
    assert {view.title for view in rest} == set(shown(name).runs) - {case.telltale}
    assert scene.caption.startswith(case.because)
    compared = [mark["label"] for mark in first.marks if mark["kind"] == "line" and mark["dash"]]
    assert compared == ([case.mark[1]] if case.mark else [])
    for letter in LETTERS:
        assert len(scene_of(name, reveal=True, vote=letter).headline) <= WRAP  # else it lies on the picture on paper


def test_the_five_seeds_of_the_lake_end_on_one_number() -> None:
    assert "return always 0.51, healthy 0.25 to 0.56" in scene_of("2: a frozen lake").headline


@pytest.mark.parametrize("name", CASES)
def test_the_causes_are_listed_once_and_are_those_of_the_case(name: str) -> None:
    panel = diagnosis.widget()
    panel.controls["vote"].value = "c"
    panel.controls["case"].value = name
    causes = [f"{letter}: {cause}" for letter, cause in zip(LETTERS, CASES[name].causes, strict=True)]
    assert [label for label, _ in panel.controls["vote"].options] == [NO_VOTE, *causes]
    assert panel.controls["vote"].value == ("c" if name == "1: a cliff" else NO_VOTE)
    assert not any(cause in str(panel.picture.scene) for cause in CASES[name].causes if name != "1: a cliff")


def test_a_part_of_the_run_is_its_beginning() -> None:
    whole, part = shown("1: a cliff"), shown("1: a cliff", shown=20)
    assert (whole.points, part.points) == (20, 4)
    view = scene_of("1: a cliff", shown=20).main[0]
    lines = [mark for mark in view.marks if mark["kind"] == "line" and not mark["label"]]
    assert len(lines) == 10
    for line, seeds in zip(lines[5:], whole.runs["measured return"][1], strict=True):
        np.testing.assert_array_equal(line["y"], seeds[:4])
        np.testing.assert_array_equal(line["x"], whole.at[:4])
    assert (view.x, view.y) == (scene_of("1: a cliff").main[0].x, scene_of("1: a cliff").main[0].y)
    assert (view.x.low, view.x.high) == (0, 20_000)
    assert "At step 4000: measured return " in diagnosis.describe(part)


def test_a_hand_on_the_end_of_the_curves_shows_less() -> None:
    panel = diagnosis.widget()
    panel.picture.moved = {"along_x": "shown", "along_y": "", "x": 42.0, "y": 0.0}
    assert panel.controls["shown"].value == 40
    held = [mark for mark in panel.picture.scene["main"][0]["marks"] if mark["kind"] == "handle"]
    assert [mark["x"] for mark in held] == [8000]
    assert held[0]["stops"][4] == [8000, 40]
