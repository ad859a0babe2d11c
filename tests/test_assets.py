"""What is recorded under `assets/` is what today's code does, and the README there says how each file was made. What
lectures say of the recordings: `test_findings`."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from rlcourse import datasets, provenance
from rlcourse.curves import load_curve, recorded_experiment
from rlcourse.operations.train import command_line

ROOT = Path(__file__).parents[1]
ASSETS = ROOT / "assets"
CURVES = sorted((ASSETS / "curves").glob("*.json"))
VIDEOS = sorted((ASSETS / "videos").glob("*"))
DATASETS = sorted((ASSETS / "datasets").glob("*/*-v*/"))
KEPT = sorted((ASSETS / "datasets").glob("*/*-v*.json"))  # of datasets that are too large: what they say of themselves


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


OFFLINE = [path for path in CURVES if json.loads(path.read_text()).get("dataset")]


def of_other_data(stored: dict[str, Any], kept_in: Path = ASSETS / "datasets") -> str:
    """What is wrong with the dataset that a curve names: it must lie in the repository, or all that is kept of it."""
    name = "/".join(Path(stored["dataset"]).parts[-2:])
    kept = kept_in / f"{name}.json"
    if stored["dataset"] == f"assets/datasets/{name}":
        known = datasets.digest(str(ROOT / stored["dataset"]))
    elif not kept.exists():
        return f"rlcourse dataset show {stored['dataset']} --keep assets/datasets/{name}.json"
    else:
        said = json.loads(kept.read_text())
        known = said["dataset_hash"]
        if "expert" not in said or not said["ref_min_score"] < said["ref_max_score"]:
            return f"{name} has no expert that is better than chance: make it with --expert"
        if said["dataset_id"] != name:
            return f"what is kept of {name} is of {said['dataset_id']}"
    return "" if known == stored["dataset_hash"] else f"the curve is of another {name}: record it anew"


@pytest.mark.parametrize("path", OFFLINE, ids=lambda path: path.stem)
def test_what_was_learned_from_data_was_learned_from_these(path: Path) -> None:
    assert of_other_data(json.loads(path.read_text())) == ""


def test_a_curve_of_other_data_is_found(tmp_path: Path) -> None:
    curve = {"dataset": "artifacts/datasets/hopper/medium-v0", "dataset_hash": "1"}
    assert of_other_data(curve, tmp_path).endswith(" --keep assets/datasets/hopper/medium-v0.json")
    kept = tmp_path / "hopper" / "medium-v0.json"
    kept.parent.mkdir()
    said = {"dataset_id": "hopper/medium-v0", "dataset_hash": "1", "ref_min_score": 2.0, "ref_max_score": 3.0}
    for says, complaint in (
        (said | {"expert": "td3"}, ""),
        (said, "make it with --expert"),
        (said | {"expert": "td3", "ref_max_score": 2.0}, "make it with --expert"),
        (said | {"expert": "td3", "dataset_id": "hopper/expert-v0"}, "is of hopper/expert-v0"),
        (said | {"expert": "td3", "dataset_hash": "2"}, "of another hopper/medium-v0"),
    ):
        kept.write_text(json.dumps(says))
        found = of_other_data(curve, tmp_path)
        assert complaint in found
        assert bool(complaint) == bool(found)
    assert "of another" in of_other_data(curve | {"dataset": "assets/datasets/pendulum/medium-v0"})


@pytest.mark.parametrize("path", KEPT, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_what_is_kept_of_a_dataset_is_listed_with_the_command_that_makes_it(path: Path) -> None:
    name = path.relative_to(ASSETS / "datasets").as_posix()
    row = next(
        row for row in (ASSETS / "README.md").read_text().splitlines() if row.startswith(f"| `datasets/{name}` |")
    )
    assert f"`rlcourse dataset make {name.removesuffix('.json')} " in row


@pytest.mark.parametrize("path", DATASETS, ids=lambda path: path.name)
def test_every_dataset_is_whole_and_listed_with_the_command_that_makes_it(path: Path) -> None:
    found, name = datasets.read(str(path)), path.relative_to(ASSETS / "datasets").as_posix()
    readme = (ASSETS / "README.md").read_text()
    row = next(line for line in readme.splitlines() if line.startswith(f"| `datasets/{name}` |"))
    assert f"`rlcourse dataset make {name} " in row
    assert f"{len(found):,} steps".replace(",", " ") in row
    assert f"--steps {found.about['trained_steps']} " in readme
    assert found.score(found.returns).mean() < 110
    assert f"score {found.score(found.returns).mean():.0f}" in row


def test_there_are_films() -> None:
    assert VIDEOS


@pytest.mark.parametrize("path", VIDEOS, ids=lambda path: path.stem)
def test_every_film_is_listed_with_the_command_of_its_curve(path: Path) -> None:
    command = json.loads((ASSETS / "curves" / f"{path.stem}.json").read_text())["command"]
    row = next(
        row for row in (ASSETS / "README.md").read_text().splitlines() if row.startswith(f"| `videos/{path.name}`")
    )
    assert f"`{command} --film assets/videos/{path.name}`" in row
