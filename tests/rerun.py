"""Short runs of recorded experiments, to compare two states of the code bit by bit; see `tests.renew`.

`python tests/rerun.py JOBS RESULTS` runs under either state, found by `PYTHONPATH`: so it imports only what both have.
"""

import hashlib
import json
import sys
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import gymnasium as gym
import numpy as np
import torch

from rlcourse import runs

EPISODE = 60  # steps of an episode at most: TD7 learns at episodes' ends


def rerun(job: dict[str, Any]) -> dict[str, str]:
    """What a short run yields: a hash for each metric's numbers, in order, and one for all networks and tables."""
    settings = dict(job["settings"])
    config = {name: tuple(value) if isinstance(value, list) else value for name, value in job["config"].items()}
    kind = resolve_name(settings["agent"].split(":")[0] + ":Config")
    experiment = runs.Experiment(**settings, config=kind(**config))
    for name in {experiment.env, experiment.evaluation_env} - {""}:
        spec = gym.spec(name)
        spec.max_episode_steps = min(spec.max_episode_steps or EPISODE, EPISODE)
    torch.set_num_threads(1)
    torch.set_float32_matmul_precision(experiment.matmul_precision)
    env, agent = experiment.make_agent(0)
    evaluation_env = experiment.make_evaluation_env()
    hashes: dict[str, Any] = {}
    for metrics in experiment.train(env, agent, evaluation_env, 0):
        for name, value in metrics.items():
            if isinstance(value, int | float | np.ndarray):
                hashes.setdefault(name, hashlib.sha256()).update(np.asarray(value, float).tobytes())
        if "evaluation" in metrics and experiment.truths:
            truth = runs.ground_truth(evaluation_env, agent, experiment, every=3)
            hashes.setdefault("truth", hashlib.sha256()).update(truth.tobytes())
    return {name: found.hexdigest() for name, found in hashes.items()} | {"learned": _learned(agent)}


def _learned(agent: Any) -> str:
    """A hash of all parameters, whatever they are called and in whichever order they come."""
    arrays = [value for value in vars(agent).values() if isinstance(value, np.ndarray)]
    for module in (value for value in vars(agent).values() if isinstance(value, torch.nn.Module)):
        arrays += [tensor.detach().numpy() for tensor in (*module.parameters(), *module.buffers())]
    digests = sorted(hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest() for array in arrays)
    return hashlib.sha256("".join(digests).encode()).hexdigest()


if __name__ == "__main__":
    jobs, results = map(Path, sys.argv[1:])
    found = {}
    for name, job in json.loads(jobs.read_text()).items():
        try:
            found[name] = rerun(job)
        except Exception as error:  # the other jobs still run, and this one is named
            found[name] = {"error": f"{type(error).__name__}: {error}"}
        print(name, flush=True)
    results.write_text(json.dumps(found))
