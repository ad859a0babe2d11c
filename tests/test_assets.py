"""What is recorded under `assets/` is what today's code does, and the README there says how each file was made. What
lectures say of the recordings: `test_findings`."""

import json
import re
from pathlib import Path

import pytest

from rlcourse import provenance
from rlcourse.curves import load_curve, recorded_experiment
from rlcourse.operations.train import command_line

ROOT = Path(__file__).parents[1]
ASSETS = ROOT / "assets"
CURVES = sorted((ASSETS / "curves").glob("*.json"))
VIDEOS = sorted((ASSETS / "videos").glob("*"))


def test_no_curve_is_older_than_its_code() -> None:
    assert CURVES
    assert provenance.stale(ASSETS / "curves") == {}


@pytest.mark.parametrize("path", CURVES, ids=lambda path: path.stem)
def test_every_curve_is_listed_with_its_command(path: Path) -> None:
    stored = json.loads(path.read_text())
    readme = (ASSETS / "README.md").read_text()
    assert stored["command"].count(path.name) == 1
    row = next(line for line in readme.splitlines() if line.startswith(f"| `curves/{path.name}` |"))
    assert f"`{stored['command']}`" in row
    assert f", {len(stored['seeds'])} seed" in row
    curve = load_curve(path)
    assert curve.returns.shape == (len(stored["seeds"]), len(curve.step))


@pytest.mark.parametrize("path", CURVES, ids=lambda path: path.stem)
def test_every_curve_tells_its_experiment(path: Path) -> None:
    command = json.loads(path.read_text())["command"]
    seeds = re.findall(r"--seeds (\S+)", command)[0]
    experiment = recorded_experiment(path.stem)
    again = command_line(experiment, seeds, Path("assets/curves") / path.name)
    truths = re.compile(r" --(truths|max-reward) \S+")  # measured beside the run, and not in the first recordings
    assert truths.sub("", again) == truths.sub("", command)


def test_there_are_films() -> None:
    assert VIDEOS


@pytest.mark.parametrize("path", VIDEOS, ids=lambda path: path.stem)
def test_every_film_is_listed_with_the_command_of_its_curve(path: Path) -> None:
    command = json.loads((ASSETS / "curves" / f"{path.stem}.json").read_text())["command"]
    row = next(
        row for row in (ASSETS / "README.md").read_text().splitlines() if row.startswith(f"| `videos/{path.name}`")
    )
    assert f"`{command} --film assets/videos/{path.name}`" in row
