"""The command `rlcourse dataset`: record what a trained agent does, or what its memory holds; say what a dataset is."""

import json
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import gymnasium as gym
import numpy as np
import tyro
from gymnasium.spaces import Box

from rlcourse import checkpoints, datasets, envs, files, loop, runs


def command() -> Any:
    """The type from which tyro makes the subcommands of `rlcourse dataset`."""
    return (
        Annotated[Any, tyro.conf.subcommand("make", constructor=make, prefix_name=False)]
        | Annotated[Any, tyro.conf.subcommand("show", constructor=show, prefix_name=False)]
    )


def make(
    name: tyro.conf.Positional[str],
    run: Path,
    source: Literal["policy", "replay"] = "policy",
    steps: int = 100_000,
    seed: int = 0,
    expert: Path | None = None,
    episodes: int = 50,
) -> None:
    """Record a dataset in Minari's format, from a run of `rlcourse train`.

    Its seeds, the budget of its agent and its references stand in its metadata.

    Args:
        name: Its id, as in pendulum/medium-v0. It is stored below Minari's root, MINARI_DATASETS_PATH.
        run: The result of one seed, seed-0.json in the folder that train names; its checkpoint lies beside it.
        source: What the agent does as it is, exploring (policy), or what its memory holds (replay).
        steps: Environment steps to record; of a memory, all that it holds.
        seed: Of the world while it is recorded.
        expert: The result of another run, whose agent is the score of 100; a random policy is the score of 0.
        episodes: Episodes that measure each of these two scores.
    """
    try:
        record, experiment, agent, trained = trained_agent(run)
        world = envs.make(experiment.env)
        if not isinstance(world.action_space, Box):
            raise ValueError(f"{experiment.env}: a dataset holds actions that are numbers; take a run of td3, say")
        if source == "replay":
            if not hasattr(agent, "replay"):
                raise ValueError(f"agent = {experiment.agent!r} has no memory: take --source policy")
            dataset = datasets.from_replay(agent.replay)
            what = f"the memory of {experiment.agent} after {trained} steps of training: all that it met"
        else:
            dataset = datasets.record(world, agent, steps, seed)
            what = f"{experiment.agent} after {trained} steps of training, exploring"
        about: dict[str, Any] = {"trained_steps": trained, "training_seed": record.seed}
        about |= {"recording_seed": seed} if source == "policy" else {}
        if expert is not None:
            about |= _references(experiment.env, expert, episodes)
            what += (
                f". Scores: 0 is a random policy, {about['ref_min_score']:.1f}, and 100 is {about['expert']}, "
                f"{about['ref_max_score']:.1f}, means of {episodes} episodes from seed {runs.EVALUATION_SEED} on"
            )
        path = datasets.write(name, dataset, experiment.env, what, algorithm_name=experiment.agent, **about)
    except (ValueError, OSError, gym.error.Error) as error:
        sys.exit(f"rlcourse dataset: {error}")
    print(f"{path}\n{summary(datasets.read(name))}")


def show(name: tyro.conf.Positional[str], keep: Path | None = None) -> None:
    """Say what a dataset holds, and whether an agent could learn from it.

    Args:
        name: Its id below Minari's root, or its folder.
        keep: Write its metadata, and its hash, to this file, too: for a dataset that is too large to be kept itself.
    """
    try:
        dataset = datasets.read(name)
        if keep is not None:
            said = files.read_json(datasets.folder(name) / "metadata.json")
            files.write(keep, json.dumps(said | {"dataset_hash": datasets.digest(name)}) + "\n")
    except (datasets.DatasetError, OSError) as error:
        sys.exit(f"rlcourse dataset: {error}")
    print(summary(dataset))


def summary(dataset: datasets.Dataset) -> str:
    """In words."""
    returns = dataset.returns
    ended = f"{dataset.terminated.sum()} of them terminated"
    lines = [
        f"{len(dataset)} transitions, {len(returns)} episodes, {ended}",
        f"observations of {dataset.obs.shape[1]} numbers, actions of {dataset.action.shape[1]}",
        f"returns from {returns.min():.1f} to {returns.max():.1f}, mean {returns.mean():.1f}",
    ]
    if dataset.about.get("ref_max_score") is not None:
        lines.append(f"score {dataset.score(returns).mean():.1f} on average")
    if dataset.about.get("description"):
        lines.append(str(dataset.about["description"]))
    return "\n".join(lines)


def trained_agent(result: Path) -> tuple[runs.Run, runs.Experiment, Any, int]:
    """A finished run, its experiment, its agent as it was at the end, and after how many steps that was.

    Raises:
        ValueError: the result or the checkpoint beside it is missing or broken, or of another state of the code; or the
            agent learned from a dataset itself.
    """
    if not result.is_file():
        raise ValueError(f"{result} is not there: give a seed-….json in the folder that `rlcourse train` names")
    record = runs.read(result)
    if record.config is None:
        raise ValueError(f"{result}: an agent from a file of one's own cannot be recorded")
    if record.dataset:
        raise ValueError(f"{result}: its agent learned from {record.dataset}: take one that learned in a world")
    try:
        config = runs.stored_config(record.agent, record.config)
    except TypeError as error:
        raise ValueError(f"{result} is of another state of the code: {error}") from error
    known = ("evaluation_env", "hindsight", "hindsight_k")
    experiment = runs.Experiment(
        record.agent, record.env, record.steps, config, **{key: getattr(record, key) for key in known}
    )
    env, agent = experiment.make_agent(record.seed)
    checkpoint = result.with_suffix(".pt")
    if not checkpoint.exists():
        raise ValueError(f"{checkpoint} is not there: the agent's checkpoint lies beside its result")
    return record, experiment, agent, int(checkpoints.resume(checkpoint, env, agent)["step"])


def _references(env_id: str, expert: Path, episodes: int) -> dict[str, Any]:
    _, experiment, agent, trained = trained_agent(expert)
    if experiment.env != env_id:
        raise ValueError(f"{expert} is a run of {experiment.env}, not of {env_id}: no expert there")
    env = envs.make(env_id)
    low = datasets.random_returns(env, episodes, runs.EVALUATION_SEED)
    high = loop.evaluate(env, agent, episodes, runs.EVALUATION_SEED)
    return {
        "ref_min_score": float(np.mean(low)),
        "ref_max_score": float(np.mean(high)),
        "num_episodes_average_score": episodes,
        "expert": f"{experiment.agent} after {trained} steps of training",
    }
