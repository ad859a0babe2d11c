"""Who arrives with and without a wall: how it is counted, by hand, and what is stored."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rlcourse import goals_reached
from rlcourse.algorithms import sac
from rlcourse.curves import CURVES, save_curve
from rlcourse.multi_goal import MultiGoal
from rlcourse.runs import Experiment, run


@dataclass
class Straight:
    """Walks straight to the goals in turn, and never looks; one episode of six steps each."""

    goals: tuple[int, ...]
    steps: int = 0

    def act(self, obs: Any, explore: bool = True) -> np.ndarray:
        assert explore
        if not obs.any() and self.steps:  # a new episode
            self.goals = (*self.goals[1:], self.goals[0])
        self.steps += 1
        return MultiGoal.GOALS[self.goals[0]]

    def observe(self, transition: Any) -> None:
        raise AssertionError("it would learn")

    def learn(self) -> Iterator[dict[str, float]]:
        raise AssertionError("it would learn")


def test_arrivals_are_counted_by_goal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(goals_reached, "EPISODES", 8)
    agent: Any = Straight((0, 1, 1, 3))
    assert goals_reached.walks(agent).tolist() == [2, 4, 0, 2]
    assert goals_reached.walks(agent, blocked=1).tolist() == [2, 0, 0, 2]  # the others stand before the wall


def test_shares_are_of_all_goals() -> None:
    arrivals = goals_reached.Arrivals(np.array([[100, 50, 0, 50]]), np.array([[0, 50, 0, 50]]))
    assert arrivals.shares.tolist() == [[1.0], [0.5]]


def test_a_recording_is_made_from_a_curves_agents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = sac.Config(hidden=(4,), batch_size=4, buffer_size=99, learning_starts=10)
    experiment = Experiment("sac", goals_reached.ENV, 60, config, evaluate_every=60, episodes=1)
    monkeypatch.setattr("rlcourse.curves.CURVES", tmp_path)
    save_curve(tmp_path / "own.json", [run(experiment, seed, tmp_path / "runs") for seed in (0, 1)], "command")
    monkeypatch.setattr(goals_reached, "EPISODES", 3)
    monkeypatch.setattr(goals_reached, "CURVES", {"own": "own"})
    monkeypatch.setattr(goals_reached, "PATH", tmp_path / "goals.json")
    monkeypatch.setattr("sys.argv", ["goals_reached", str(tmp_path / "runs")])
    goals_reached.main()
    found = goals_reached.load()["own"]
    assert found.open.shape == found.walled.shape == (2, 4)
    before = (tmp_path / "goals.json").read_text()
    goals_reached.main()
    assert (tmp_path / "goals.json").read_text() == before


def test_what_is_stored_is_of_the_curves_seeds_and_code() -> None:
    stored = json.loads(goals_reached.PATH.read_text())
    assert stored["episodes"] == goals_reached.EPISODES
    assert f"`{stored['command']}`" in (CURVES.parent / "README.md").read_text()
    assert stored["agents"].keys() == goals_reached.CURVES.keys()
    for name, each in stored["agents"].items():
        curve = json.loads((CURVES / f"{goals_reached.CURVES[name]}.json").read_text())
        assert (each["code"], each["seeds"]) == (curve["code"], curve["seeds"]), "run python -m rlcourse.goals_reached"
        assert len(each["open"]) == len(each["walled"]) == len(curve["seeds"])
        assert max(map(sum, each["open"] + each["walled"])) <= stored["episodes"]
