"""The broken runs of each homework: every one shows what it is broken by, and the broken code gives them again."""

import ast
import importlib
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from rlcourse.grading import homework
from rlcourse.widgets import broken_runs
from rlcourse.widgets.diagnosis import CASES, LETTERS
from tests.grading.mutants import INSTRUCTOR, NAMES

# The quantity that gives each run away, and on which side of all healthy seeds all of its seeds end.
GUNS: Mapping[str, Mapping[str, tuple[str, str]]] = {
    "hw01": {
        "A": ("largest value", "above"),
        "B": ("smallest value", "below"),
        "C": ("smallest value", "above"),
        "D": ("TD error", "above"),
    },
    "hw02": {
        "A": ("mean value", "below"),
        "B": ("value before fall", "above"),
        "C": ("spread of values", "below"),
        "D": ("mean value", "below"),
    },
    "hw03": {
        "A": ("gradient norm", "below"),
        "B": ("batch return", "below"),
        "C": ("entropy", "below"),
        "D": ("true value", "below"),
        "E": ("gradient norm", "above"),
    },
    "hw04": {
        "A": ("critic's value", "above"),
        "B": ("critic's value", "below"),
        "C": ("critic's value", "below"),
        "D": ("true value", "below"),
        "E": ("entropy", "below"),
    },
    "hw05": {
        "A": ("largest ratio", "below"),
        "B": ("spread of value", "below"),
        "C": ("last target", "above"),
        "D": ("episode return", "below"),
        "E": ("value", "below"),
    },
    "hw06": {
        "A": ("believed", "above"),
        "B": ("critic loss", "below"),
        "C": ("return", "below"),
        "D": ("critic loss", "above"),
    },
    "hw07": {
        "A": ("temperature", "above"),
        "B": ("entropy", "below"),
        "C": ("action size", "below"),
        "D": ("entropy", "above"),
    },
    "hw08": {
        "A": ("relabelled paid", "below"),
        "B": ("relabelled paid", "below"),
        "C": ("success", "below"),
        "D": ("believed", "below"),
    },
    "hw09": {
        "A": ("drawn error", "below"),
        "B": ("spread", "below"),
        "C": ("believed", "above"),
        "D": ("checkpoint", "below"),
    },
    "hw10": {
        "A": ("towards", "below"),
        "B": ("value", "above"),
        "C": ("return", "below"),
        "D": ("weight", "above"),
    },
}
HOMEWORK = pytest.mark.parametrize("name", NAMES)


def apart(seeds: np.ndarray, healthy: np.ndarray, side: str) -> bool:
    """Whether all of the last values lie on one side of all healthy ones."""
    ends, sound = seeds[..., -1], healthy[..., -1]
    return bool(ends.min() > sound.max() if side == "above" else ends.max() < sound.min())


@HOMEWORK
def test_every_broken_run_differs_from_the_healthy_one_in_every_seed(name: str) -> None:
    runs = broken_runs.load(name).runs
    for run, (quantity, side) in GUNS[name].items():
        assert apart(runs[run][quantity], runs[broken_runs.HEALTHY][quantity], side), run


@HOMEWORK
def test_the_homework_shows_its_runs_and_asks_for_the_cause_of_each(name: str) -> None:
    cells = {cell.id: cell for cell in homework.load(INSTRUCTOR / f"{name}.ipynb").cells}
    assert homework.role(cells["q5-runs"]) == "show"
    assert f'broken_runs.show("{name}")' in cells["q5-runs"].source
    recording = broken_runs.load(name)
    assert [*recording.runs] == [broken_runs.HEALTHY, *GUNS[name]]
    assert f'fromkeys("{"".join(GUNS[name])}", CAUSES)' in cells["q5-check"].source
    names: dict[str, Any] = {}
    exec(cells["q5-causes"].source + "\n" + cells["q5-answer"].source, names)
    assert set(names["diagnosis"]) == set(GUNS[name])
    assert set(names["diagnosis"].values()) < set(names["CAUSES"])
    for quantity in recording.runs[broken_runs.HEALTHY]:
        assert quantity.split()[-1].lower() in cells["q5"].source.lower(), quantity


@pytest.mark.timeout(1800)
@pytest.mark.slow
@pytest.mark.parametrize("name", [*NAMES, *(case.recording for case in CASES.values())])
def test_the_broken_code_gives_the_recorded_runs_again(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first quarter of the first seed of each run, number by number."""
    monkeypatch.syspath_prepend(str(INSTRUCTOR))
    recorder = importlib.import_module("recorder")
    studies = importlib.import_module(f"{name}_runs" if name in NAMES else "demo_runs").STUDIES
    (study,) = (each for each in studies if each.name == name)
    recording = broken_runs.load(name)
    stored = json.loads((broken_runs.RECORDED / f"{name}.json").read_text(encoding="utf-8"))
    assert (stored["xlabel"], stored["at"]) == (study.xlabel, list(study.at))
    assert list(study.runs) == list(recording.runs)
    if stored["processor"] != recorder.PROCESSOR:
        pytest.skip(f"recorded on {stored['processor']}: elsewhere, what a network learns is not bit for bit the same")
    points = max(2, len(study.at) // 4)
    for run, quantities in recording.runs.items():
        found = study.measured(run, study.seeds[0], points)
        assert found == {quantity: seeds[0, :points].tolist() for quantity, seeds in quantities.items()}, run


def test_the_demo_has_no_answer_of_a_homework() -> None:
    for name in NAMES:
        cells = {cell.id: cell for cell in homework.load(INSTRUCTOR / f"{name}.ipynb").cells}
        names: dict[str, Any] = {}
        exec(cells["q5-answer"].source, names)
        for case in CASES.values():
            assert case.causes[LETTERS.index(case.answer)] not in names["diagnosis"].values()
            assert case.recording != name


def test_no_recording_says_what_is_broken() -> None:
    for name in NAMES:
        cells = {cell.id: cell for cell in homework.load(INSTRUCTOR / f"{name}.ipynb").cells}
        causes = ast.literal_eval(cells["q5-causes"].source.removeprefix("CAUSES = "))
        recorded = json.loads((broken_runs.RECORDED / f"{name}.json").read_text(encoding="utf-8"))
        text = json.dumps(recorded, ensure_ascii=False)  # in the file "−" is escaped
        assert not any(cause in text for cause in causes if cause != broken_runs.HEALTHY)
