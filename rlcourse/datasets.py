"""Datasets to learn from without a world, in Minari's format (minari.farama.org); the package `minari` is an extra.

What lies on the disk are the world's own numbers, as anybody's: its actions within its own bounds. Here actions are
numbers in [−1, 1], as agents know them (`envs.make`).
"""

import hashlib
import os
import shutil
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium.spaces import Box
from jaxtyping import Bool, Float, Int

from rlcourse import loop
from rlcourse.buffers import ReplayBuffer, Transition, standardise


class DatasetError(ValueError):
    """A dataset that is not there, or that nothing can be learned from; the message names it, and what helps."""


@dataclass(frozen=True)
class Dataset:
    """N transitions of successive episodes.

    Attributes:
        obs: `(N, O)`.
        action: `(N, A)`, in [−1, 1].
        reward: `(N,)`.
        next_obs: `(N, O)`.
        terminated: `(N,)`, where the world ended an episode.
        truncated: `(N,)`, where an episode was cut, by a time limit or because the recording ended.
        about: what the dataset says of itself, Minari's metadata.
    """

    obs: Float[np.ndarray, "N O"]
    action: Float[np.ndarray, "N A"]
    reward: Float[np.ndarray, " N"]
    next_obs: Float[np.ndarray, "N O"]
    terminated: Bool[np.ndarray, " N"]
    truncated: Bool[np.ndarray, " N"]
    about: Mapping[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.reward)

    @property
    def episodes(self) -> Int[np.ndarray, "E 2"]:
        """The first row of each episode, and the row after its last."""
        ends = np.flatnonzero(self.terminated | self.truncated) + 1
        return np.stack([np.concatenate([[0], ends[:-1]]), ends], -1).astype(int)

    @property
    def returns(self) -> Float[np.ndarray, " E"]:
        """Undiscounted, of each episode."""
        return np.array([self.reward[first:end].sum() for first, end in self.episodes])

    def score(self, returns: Float[np.ndarray, "*N"]) -> Float[np.ndarray, "*N"]:
        """Returns as scores: 0 is the dataset's random policy, 100 its expert.

        Raises:
            DatasetError: it has no such references.
        """
        low, high = self.about.get("ref_min_score"), self.about.get("ref_max_score")
        if low is None or high is None or low == high:
            raise DatasetError(f"{self.about.get('dataset_id', 'it')} has no references: make it with --expert")
        return 100 * (returns - low) / (high - low)

    def memory(self, kind: type[ReplayBuffer] = ReplayBuffer) -> ReplayBuffer:
        """All transitions in a memory of this kind; a prioritised one draws them all equally often at first."""
        replay = kind(len(self), self.obs.shape[1:], self.action.shape[1:])
        state, rows = replay.state_dict(), {name: getattr(self, name) for name in state_fields(replay)}
        state["fields"] = {name: torch.as_tensor(row, dtype=torch.float32) for name, row in rows.items()}
        state["fields"]["steps"] = torch.ones(len(self))
        if "priorities" in state:
            state["priorities"] = torch.ones(len(self))
        replay.load_state_dict(state)
        return replay


def state_fields(replay: ReplayBuffer) -> list[str]:
    """The fields of a memory's rows that a dataset has, too."""
    return [name for name in replay.state_dict()["fields"] if name != "steps"]


def from_transitions(transitions: list[Transition]) -> Dataset:
    """Successive transitions; what is under way at their end counts as truncated there."""
    columns: dict[str, Any] = {
        name: np.array([getattr(each, name) for each in transitions], dtype)
        for name, dtype in (
            *((name, np.float32) for name in ("obs", "action", "reward", "next_obs")),
            *((name, bool) for name in ("terminated", "truncated")),
        )
    }
    columns["truncated"][-1] |= not columns["terminated"][-1]
    columns["action"] = columns["action"].clip(-1, 1)  # what the world was given: a Gaussian reaches beyond
    return Dataset(**columns)


def _acting(act: Callable[..., Any], observe: Callable[[Transition], Any] = lambda _: None) -> Any:
    """For the loops an agent that learns nothing."""
    return SimpleNamespace(act=act, observe=observe, learn=lambda: iter(()))


def record(env: gym.Env, agent: Any, steps: int, seed: int) -> Dataset:
    """What the agent does as it is, exploring; it learns nothing from it."""
    transitions: list[Transition] = []
    for _ in loop.train(env, _acting(agent.act, transitions.append), steps, seed):
        pass
    return from_transitions(transitions)


def from_replay(replay: ReplayBuffer) -> Dataset:
    """What a memory holds, the oldest first.

    A memory does not say where an episode was truncated: we take it that one was wherever the next row does not begin
    where the last one ended.

    Raises:
        DatasetError: it holds nothing, or transitions of several steps.
    """
    state = replay.state_dict()
    rows = {name: column.numpy() for name, column in state["fields"].items()}
    if not len(replay):
        raise DatasetError("the agent's memory is empty: train it for longer")
    if (rows["steps"] != 1).any():
        raise DatasetError("the agent's memory holds transitions of several steps: set n_step to 1")
    if len(replay) == replay.capacity:
        rows = {name: np.roll(column, -state["position"], 0) for name, column in rows.items()}
    rows["terminated"] = rows["terminated"].astype(bool)
    goes_on = (rows["next_obs"][:-1] == rows["obs"][1:]).all(-1)
    cut = np.append(~goes_on, True) & ~rows["terminated"]
    return Dataset(**{name: rows[name] for name in state_fields(replay)}, truncated=cut)


def random_returns(env: gym.Env, episodes: int, seed: int) -> Float[np.ndarray, " episodes"]:
    """Of uniformly random actions, the lower reference of a score."""
    rng, low, high = np.random.default_rng(seed), env.action_space.low, env.action_space.high  # type: ignore[attr-defined]
    agent = _acting(lambda obs, explore: rng.uniform(low, high).astype(np.float32))
    return loop.evaluate(env, agent, episodes, seed)


# --- on the disk


def _minari() -> ModuleType:
    try:
        import minari
    except ImportError as error:
        raise DatasetError(f"datasets need the package minari ({error}): pip install 'minari[hdf5]'") from error
    return minari


def folder(name: str) -> Path:
    """Where a dataset lies: `name` is a folder, or an id such as pendulum/medium-v0 below Minari's own root.

    That root is `MINARI_DATASETS_PATH`, or `~/.minari/datasets`.
    """
    if Path(name).is_dir():
        path = Path(name)
    else:
        root = os.environ.get("MINARI_DATASETS_PATH", str(Path.home() / ".minari" / "datasets"))
        path = Path(root).expanduser() / name
    return path / "data" if (path / "data").is_dir() else path


def digest(name: str) -> str:
    """A hash of a dataset's files: two datasets of one name are two."""
    total = hashlib.sha256()
    for path in sorted(folder(name).rglob("*")):
        if path.is_file():
            with path.open("rb") as file:
                total.update(path.name.encode() + hashlib.file_digest(file, "sha256").digest())
    return total.hexdigest()[:16]


@contextmanager
def _in_words(name: str) -> Iterator[None]:
    """Whatever Minari, HDF5 or JSON raise of a file is said as one kind of error."""
    try:
        yield
    except DatasetError:
        raise
    except Exception as error:
        raise DatasetError(f"dataset {name} is broken: {type(error).__name__}: {error}") from error


def read(name: str) -> Dataset:
    """A dataset of anybody's, in Minari's format.

    Raises:
        DatasetError: it is not there, broken, or empty; its actions are not a bounded vector, its observations not a
            vector; or it holds what cannot be: NaN, actions out of bounds, rows that are missing.
    """
    minari, path = _minari(), folder(name)
    if not (path / "metadata.json").exists():
        raise DatasetError(
            f"dataset {name} is not there, at {path}: make it (rlcourse dataset make), or with a network download it "
            "(minari download)"
        )
    with _in_words(name):
        found = minari.MinariDataset(path)
        seen, done, about = found.observation_space, found.action_space, found.storage.metadata
        if not (isinstance(done, Box) and done.is_bounded() and len(done.shape) == 1):
            raise DatasetError(
                f"dataset {name} has action_space = {done}: the agents that learn from datasets take a vector with "
                "bounds on all sides"
            )
        if not (isinstance(seen, Box) and len(seen.shape) == 1):
            raise DatasetError(f"dataset {name} has observation_space = {seen}: the agents take one vector")
        if not found.total_episodes or not found.total_steps:
            raise DatasetError(f"dataset {name} is empty")
        parts = [_episode(f"dataset {name}, episode {each.id}", each, seen, done) for each in found]
    columns = {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}
    return Dataset(**columns, about=about)


def _episode(where: str, episode: Any, seen: Box, done: Box) -> dict[str, np.ndarray]:
    """The rows of one of Minari's episodes, which has one observation more than steps."""
    obs, action, reward = (np.asarray(getattr(episode, key)) for key in ("observations", "actions", "rewards"))
    terminated, truncated = (np.asarray(getattr(episode, key), bool) for key in ("terminations", "truncations"))
    steps = len(reward)
    shapes = {
        "observations": (obs.shape, (steps + 1, *seen.shape)),
        "actions": (action.shape, (steps, *done.shape)),
        "terminations": (terminated.shape, (steps,)),
        "truncations": (truncated.shape, (steps,)),
    }
    for key, (shape, wanted) in shapes.items():
        if shape != wanted:
            raise DatasetError(f"{where}: {key} have shape {shape}, for {steps} rewards it must be {wanted}")
    for key, values in (("observations", obs), ("actions", action), ("rewards", reward)):
        if not np.isfinite(values.astype(np.float32)).all():
            raise DatasetError(f"{where}: {key} are not all finite")
    middle, reach = _middle_and_reach(done)
    action = ((action - middle) / reach).astype(np.float32)
    if np.abs(action).max() > 1 + 1e-4:  # rounding; what is beyond was not done in this world
        raise DatasetError(f"{where}: actions lie outside {done}")
    over = terminated | truncated
    truncated[-1] |= not over[-1]  # the recording ended
    return {
        "obs": obs[:-1].astype(np.float32),
        "action": action.clip(-1, 1),
        "reward": reward.astype(np.float32),
        "next_obs": obs[1:].astype(np.float32),
        "terminated": terminated,
        "truncated": truncated & ~terminated,
    }


def _middle_and_reach(space: Box) -> tuple[np.ndarray, np.ndarray]:
    return (space.high + space.low) / 2, (space.high - space.low) / 2


def refuse_mismatch(name: str, dataset: Dataset, env: gym.Env) -> None:
    """Raise a DatasetError unless an agent that learns from the dataset can act in `env`, as `envs.make` makes it."""
    spec, made_in = env.spec, dataset.about.get("env_spec")
    with _in_words(name):
        recorded = gym.envs.registration.EnvSpec.from_json(made_in) if made_in else None
    if spec and recorded and recorded.name != spec.name:
        raise DatasetError(f"dataset {name} is of {recorded.id}, not of {spec.id}")
    here = {"observation_space": env.observation_space.shape, "action_space": env.action_space.shape}
    there = {"observation_space": dataset.obs.shape[1:], "action_space": dataset.action.shape[1:]}
    for key, shape in here.items():
        if there[key] != shape:
            raise DatasetError(f"dataset {name} has an {key} of shape {there[key]}, {spec and spec.id} one of {shape}")
    own, theirs = env.unwrapped.action_space, dataset.about.get("action_space")
    if theirs is not None and own != theirs and not np.allclose((own.low, own.high), (theirs.low, theirs.high)):  # type: ignore[attr-defined]
        raise DatasetError(f"dataset {name} has action_space = {theirs}, {spec and spec.id} has {own}")


def write(name: str, dataset: Dataset, env_id: str, description: str, **about: Any) -> Path:
    """Store a dataset below Minari's root, for this course and everybody else; returns its folder.

    Args:
        description: in words where the data come from.
        about: more metadata, numbers and text. Minari knows of `ref_min_score` and `ref_max_score`, the references of
            scores, `num_episodes_average_score`, from how many episodes, and `algorithm_name`, who acted.

    Raises:
        DatasetError: Minari refuses the name, or there is one of this name already.
    """
    minari = _minari()
    spec, world = gym.spec(env_id), gym.make(env_id)
    middle, reach = _middle_and_reach(world.action_space)  # type: ignore[arg-type]
    dtype = world.observation_space.dtype
    episodes = [
        minari.data_collector.EpisodeBuffer(
            id=number,
            observations=np.concatenate([dataset.obs[first:end], dataset.next_obs[end - 1 : end]]).astype(dtype),
            actions=(dataset.action[first:end] * reach + middle).astype(world.action_space.dtype),
            rewards=dataset.reward[first:end].astype(np.float64),
            terminations=dataset.terminated[first:end],
            truncations=dataset.truncated[first:end],
        )
        for number, (first, end) in enumerate(dataset.episodes)
    ]
    names = ("algorithm_name", "ref_min_score", "ref_max_score", "num_episodes_average_score")
    known = {key: about.pop(key) for key in names if key in about}
    path = folder(name)
    if path.exists():
        raise DatasetError(f"dataset {name} is there already, at {path}: take another name, or delete it")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # that nobody's name and address are stored
            made = minari.create_dataset_from_buffers(
                name, episodes, spec, eval_env=spec, description=description, data_format="hdf5", **known
            )
        made.storage.update_metadata(about)
        made.storage.update_episode_metadata([{"return": float(each)} for each in dataset.returns])
    except BaseException as error:
        shutil.rmtree(path, ignore_errors=True)  # half a dataset is none
        if isinstance(error, ValueError):
            raise DatasetError(f"dataset {name}: {error}") from error
        raise
    return folder(name)


def standardised(dataset: Dataset) -> tuple[Dataset, np.ndarray, np.ndarray]:
    """The dataset with observations of mean 0 and spread 1, and what these were, see `buffers.standardise`."""
    replay = dataset.memory()
    mean, spread = standardise(replay)
    rows = replay.state_dict()["fields"]
    return replace(dataset, **{key: rows[key].numpy() for key in ("obs", "next_obs")}), mean, spread
