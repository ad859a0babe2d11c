"""Fifty fresh episodes of each agent that a run of `rlcourse train` left, the seeds in their order: how often it fails.

    python -m tests.fifty_episodes FOLDER assets/recordings/td7_300k_episodes.json

FOLDER holds the results and checkpoints of one experiment; the command prints it as *results*. A curve stores the mean
of each evaluation, and a mean of ten does not say whether one of them failed.
"""

import json
import sys
from pathlib import Path

from rlcourse import envs, files, loop
from rlcourse.operations import dataset

EPISODES, SEED = 50, 2_000_000  # no evaluation of a run has these starts


def main(folder: Path, to: Path) -> None:
    returns = []
    for result in sorted(folder.glob("seed-*.json")):
        _, experiment, agent, _ = dataset.trained_agent(result)
        found = loop.evaluate(envs.make(experiment.env), agent, EPISODES, SEED, experiment.evaluation_limit)
        returns.append([round(float(each), 1) for each in found])
    files.write(to, json.dumps({"first_seed": SEED, "returns": returns}) + "\n")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
