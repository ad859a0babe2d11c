"""The learners of lecture 10 that never act: each name of the papers, and which page and which settings it is here."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from rlcourse.algorithms import cql, edac, iql, sac, td7
from rlcourse.runs import Experiment

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
