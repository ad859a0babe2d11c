"""The learners of lecture 10 that never act: each name of the papers, and which page and which settings it is here."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from rlcourse import datasets
from rlcourse.algorithms import cql, edac, iql, sac, td7
from rlcourse.curves import Curve
from rlcourse.runs import Experiment, ground_truth

_TD3 = td7.Config(appendix_changes=False, lap=False, sale=False, clip_target=False, checkpoints=False)
LEARNERS: Mapping[str, Any] = {
    "cloning": iql.Config(beta=0.0),
    "TD3": _TD3,
    "TD3+BC": replace(_TD3, copying=0.4),  # its α is 2.5
    "TD7": td7.Config(checkpoints=False, copying=0.1),  # checkpoints need a world to be assessed in
    "TD7, no clip": td7.Config(checkpoints=False, copying=0.1, clip_target=False),
    "IQL": iql.Config(),
    "CQL": cql.Config(),
    "SAC": sac.Config(),
    "SAC-N": edac.Config(diversity=0.0),
    "EDAC": edac.Config(),
}


def experiment(
    learner: str, env: str, dataset: str, updates: int, settings: Mapping[str, Any], **how: Any
) -> Experiment:
    """One of `LEARNERS` on a dataset.

    Args:
        settings: to change in its Config, where it has them.
        how: more of `Experiment`, `truths` and `max_reward` for a value trace, say.
    """
    config = LEARNERS[learner]
    known = {name: value for name, value in settings.items() if hasattr(config, name)}
    page = type(config).__module__.rsplit(".", 1)[-1]
    return Experiment(page, env, updates, replace(config, **known), dataset=dataset, **how)


def learn(
    learner: str, env: str, dataset: datasets.Dataset, updates: int, settings: Mapping[str, Any], seed: int, **how: Any
) -> tuple[Any, Curve]:
    """The trained agent of one of `LEARNERS`, and its value trace; of a dataset in memory, with standardised numbers.

    Args:
        settings, how: as in `experiment`; `truths` and `max_reward` have to be among the latter.
    """
    job = experiment(learner, env, "of your own", updates, settings, standardise=True, **how)
    made, agent = job.make_agent(seed, data=dataset)
    world = job.make_evaluation_env(dataset)
    steps, returns, values = [], [], []
    for metrics in job.train(made, agent, world, seed):
        if "evaluation" in metrics:
            steps.append(metrics["step"])
            returns.append(metrics["evaluation"].mean())
            values.append(ground_truth(world, agent, job).mean(1))
    believed, truth = np.array(values).T[:, None]
    return agent, Curve(np.array(steps), np.array([returns]), believed, truth)
