"""What is recorded under `assets/` is what today's code does, and the README there says how each file was made."""

import json
from pathlib import Path

import pytest

from rlcourse import runs

ASSETS = Path(__file__).parents[1] / "assets"
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
