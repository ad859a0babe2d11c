"""Renew the hashes in recordings whose code has changed in form only: `python -m tests.renew REVISION`.

REVISION is a commit at which the hashes were current. A recording is renewed if the syntax trees of the code that it
reaches are equal, once the names in `RENAMED` and the places in `MOVED` are changed in the old ones. Where the trees
differ, both states of the code run the same experiment in short, beyond the first updates and evaluations
(`tests.rerun`), and the recording is renewed if `RESULTS`, all that recordings are made of, and the weights are the
same bit for bit. All others are named, and stay stale. Metrics that differ beside equal results are named, too. A
recording whose hash is today's already is left alone.
"""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import gymnasium as gym
import numpy as np

from rlcourse.algorithms import AGENTS
from rlcourse.curves import CURVES
from rlcourse.files import write
from rlcourse.provenance import code_hash, digest, reached
from rlcourse.provenance import kind as run_kind
from rlcourse.runs import Experiment
from rlcourse.widgets import recordings

ROOT = Path(__file__).parents[1]

# What has changed since REVISION, old: new; empty the tables afterwards. `tests/test_renew.py` has an example of each.
# Names in definitions, attributes and the fields of a Config, by the module of their definition.
RENAMED: Mapping[str, Mapping[str, str]] = {}
FIELDS: Mapping[str, Mapping[str, str]] = {}  # the fields of an agent's Config, by the agent
MOVED: Mapping[tuple[str, str], tuple[str, str]] = {}  # definitions that stand in another module now: (module, name)

# The largest value of a setting in a short run: so every branch of the code is soon taken.
CAPS = {"target_every": 20, "late_after": 60, "assessment_episodes": 2, "rollout_steps": 128, "epochs": 2}
STEPS = 160  # after learning has begun
RESULTS = ("reward", "episode_return", "evaluation", "truth", "learned")
KEYS = ("evaluation_env", "max_reward", "hindsight", "hindsight_k", "dataset", "standardise")  # taken over as recorded


def renamed(definitions: Mapping[tuple[str, str], str]) -> dict[tuple[str, str], str]:
    """The old definitions under the tables.

    Raises:
        ValueError: a new name stands in the old code already, so that two things would become one.
    """
    result = {}
    for (module, name), text in definitions.items():
        table = {**RENAMED.get(module, {}), **FIELDS.get(module.rsplit(".", 1)[-1], {})}
        for old, new in table.items():
            if f"'{new}'" in text:
                raise ValueError(f"{new} is a name in the old {module} already: it cannot stand for {old}")
            text = text.replace(f"'{old}'", f"'{new}'")
        place = MOVED.get((module, name), (module, table.get(name, name)))
        result[place] = text
    return result


def with_fields(agent: str, config: Mapping[str, Any]) -> dict[str, Any]:
    """A recorded Config under its fields' new names."""
    return {FIELDS.get(agent, {}).get(name, name): value for name, value in config.items()}


def with_options(agent: str, text: str) -> str:
    """A recorded command under its options' new names."""
    for old, new in FIELDS.get(agent, {}).items():
        for start in ("--", "--no-"):
            text = text.replace(f" {start}{old.replace('_', '-')}", f" {start}{new.replace('_', '-')}")
    return text


def short(data: Mapping[str, Any]) -> dict[str, Any]:
    """The job of `tests.rerun` that stands for a recording, under the names that it was recorded with."""
    config = {name: min(value, CAPS[name]) if name in CAPS else value for name, value in data["config"].items()}
    begin = 0
    if "learning_starts" in config and not data.get("dataset"):  # which is all in memory before the first step
        begin = config["learning_starts"] = min(config["learning_starts"], config["batch_size"] + 100)
        config["buffer_size"] = min(config["buffer_size"], begin + STEPS - 40)  # so that old rows are overwritten
    steps = begin + (STEPS if begin else 5 * STEPS)
    settings = {key: data[key] for key in KEYS if key in data}
    settings |= {"agent": AGENTS[data["agent"]], "env": data["env"], "steps": steps, "evaluate_every": steps // 2}
    # The first recordings do not tell how the truth was measured, but they hold it.
    settings |= {"episodes": 2, "truths": 3 if data.get("truth") else 0}
    settings.setdefault("max_reward", 1000.0)  # of them neither: this one holds in every world
    return {"settings": settings, "config": config}


def kind(env: str) -> str:
    """What stands for all worlds made by the same code: a function or class of the course, or gymnasium's package."""
    entry = str(gym.spec(env).entry_point)
    return entry if entry.startswith("rlcourse") else entry.rsplit(".", 1)[0]


def results(package: Path, jobs: Mapping[str, Any], folder: Path) -> dict[str, dict[str, str]]:
    """What `tests.rerun` finds with the package in the folder `package`."""
    (folder / "jobs.json").write_text(json.dumps(jobs))
    files = ROOT / "tests" / "rerun.py", folder / "jobs.json", folder / "results.json"
    words = [sys.executable, *map(str, files)]
    environment = os.environ | {"PYTHONPATH": str(package), "OMP_NUM_THREADS": "1"}
    subprocess.run(words, check=True, env=environment, cwd=folder)
    return json.loads((folder / "results.json").read_text())


def current(path: Path) -> bool:
    """Whether a curve's hash is that of today's code."""
    if not path.exists():
        return False
    data = json.loads(path.read_text())
    return bool(data["code"] == code_hash(*run_kind(data)))


def main(revision: str) -> int:
    with TemporaryDirectory() as name:
        folder = Path(name)
        archive = subprocess.run(["git", "archive", revision, "rlcourse", "assets"], check=True, cwd=ROOT, stdout=-1)
        subprocess.run(["tar", "-x", "-C", folder], input=archive.stdout, check=True)
        everything = {path.name: json.loads(path.read_text()) for path in (folder / "assets/curves").glob("*.json")}
        recorded = {name: data for name, data in everything.items() if not current(CURVES / name)}
        with np.load(folder / recordings.PATH.relative_to(ROOT)) as file:
            inside = {"agent": "td7", "env": recordings.ENV, "code": str(file["code"])}
        own = asdict(Experiment("td7", recordings.ENV, 1, recordings.CONFIG))["config"]
        old_names = {new: old for old, new in FIELDS.get("td7", {}).items()}
        known = {field for data in everything.values() if data["agent"] == "td7" for field in data["config"]}
        recorded |= {
            f"{recordings.PATH.name}, normed = {normed}": inside
            | {
                "config": {name: own[key] for key in own if (name := old_names.get(key, key)) in known}
                | {"normed": normed}
            }
            for normed in (True, False)
            if inside["code"] != code_hash("td7")
        }
        same: set[str] = set()
        differ: dict[str, str] = {}
        jobs: dict[str, Any] = {}
        of: dict[str, Any] = {}
        for key, data in recorded.items():
            where = run_kind(data)
            old = reached(*where, root=folder)
            if digest(old) != data["code"]:
                differ[key] = f"it was stale at {revision} already"
            elif renamed(old) == reached(*where):
                same.add(key)
            elif data.get("dataset") and not (folder / data["dataset"]).exists():
                differ[key] = "a short run needs its dataset: record it anew"
            else:
                job = short(data)
                of[key] = json.dumps([kind(data["env"]), {**job["settings"], "env": ""}, job["config"]], sort_keys=True)
                jobs.setdefault(of[key], job)
        numbers = {text: str(number) for number, text in enumerate(jobs)}
        old_jobs = {numbers[text]: job for text, job in jobs.items()}
        page = {AGENTS[agent]: agent for agent in AGENTS}
        new_jobs = {
            number: {**job, "config": with_fields(page[job["settings"]["agent"]], job["config"])}
            for number, job in old_jobs.items()
        }
        print(f"{len(same)} have the same syntax tree; {len(jobs)} short runs decide on {len(of)} others")
        before = results(folder, old_jobs, folder) if jobs else {}
        after = results(ROOT, new_jobs, folder) if jobs else {}
        for key, text in of.items():
            old_run, new_run = before[numbers[text]], after[numbers[text]]
            unlike = [metric for metric, found in old_run.items() if new_run.get(metric) != found]
            if "error" in old_run or "error" in new_run or {*RESULTS} & {*unlike}:
                differ[key] = f"{', '.join(unlike)} {old_run.get('error', '')} {new_run.get('error', '')}".strip()
                continue
            same.add(key)
            if unlike:
                print(f"{key}: only what is logged beside the results differs: {', '.join(unlike)}")
    for path in CURVES.glob("*.json"):
        data = json.loads(path.read_text())
        data["config"], data["command"] = (
            with_fields(data["agent"], data["config"]),
            with_options(data["agent"], data["command"]),
        )
        if path.name in same:
            data["code"] = code_hash(*run_kind(data))
        write(path, json.dumps(data) + "\n")
    if {key for key in recorded if key.startswith(recordings.PATH.name)} <= same:
        with np.load(recordings.PATH) as file:
            arrays = {key: file[key] for key in file.files}
        if str(arrays["code"]) != code_hash("td7"):
            np.savez_compressed(recordings.PATH, **arrays | {"code": np.array(code_hash("td7"))})
    for key, why in differ.items():
        print(f"not renewed: {key}: {why}")
    print(f"{len(same)} of {len(recorded)} renewed")
    return bool(differ)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
