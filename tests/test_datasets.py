"""Datasets: recorded and read back, hand-made ones of Minari's layout, refusals in words, runs that learn from them."""

import json
import re
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium as gym
import h5py
import minari
import numpy as np
import pytest
import torch
from gymnasium.spaces import Box

from rlcourse import checkpoints, datasets, envs, loop, offline, provenance, runs
from rlcourse.algorithms import AGENTS, config_class, edac, iql, td3, td7
from rlcourse.buffers import PrioritizedReplay, ReplayBuffer, Transition
from rlcourse.curves import curve, load_curve
from rlcourse.operations import cli
from rlcourse.operations.train import command_line

torch.set_num_threads(1)

NAME = "pendulum/medium-v0"
SMALL: dict[str, Any] = {"hidden": (8,), "batch_size": 8, "buffer_size": 200, "learning_starts": 10}
TINY = iql.Config(**SMALL)


@pytest.fixture(autouse=True)
def root(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """Minari's root, empty."""
    folder = tmp_path / "datasets"
    folder.mkdir()
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(folder))
    runs._read.cache_clear()
    yield folder
    runs._read.cache_clear()


def short() -> gym.Env:
    return envs.make("Pendulum-v1", max_episode_steps=15)


def recorded(steps: int = 40) -> datasets.Dataset:
    agent = td3.TD3(3, short().action_space, td3.Config(**SMALL), seed=0)
    return datasets.record(short(), agent, steps, seed=0)


def written(**about: Any) -> datasets.Dataset:
    dataset = recorded()
    datasets.write(NAME, dataset, "Pendulum-v1", "random actions", **about)
    return dataset


# --- recording


def test_what_is_recorded_is_what_happened() -> None:
    found = recorded()
    assert found.episodes.tolist() == [[0, 15], [15, 30], [30, 40]]
    assert np.flatnonzero(found.truncated).tolist() == [14, 29, 39]  # the time limit, and the recording's end
    assert not found.terminated.any()
    inside = [i for i in range(39) if i not in (14, 29)]
    assert np.array_equal(found.next_obs[inside], found.obs[[i + 1 for i in inside]])
    assert found.returns.tolist() == pytest.approx(
        [found.reward[:15].sum(), found.reward[15:30].sum(), found.reward[30:].sum()]
    )


def test_what_a_gaussian_chose_is_stored_as_the_world_was_given_it() -> None:
    step = Transition(np.zeros(3), np.array([1.5, -2.0]), 0.0, np.zeros(3), False, True)
    assert datasets.from_transitions([step]).action.tolist() == [[1.0, -1.0]]


def test_a_memory_that_has_wrapped_around_begins_with_its_oldest_row() -> None:
    # Episodes of 3 and 2 steps, the second terminated, then two more steps; a memory of 5 has lost the first two rows.
    replay = ReplayBuffer(5, (1,), (1,))
    path = [(0, 1), (1, 2), (2, 3), (10, 11), (11, 12), (20, 21), (21, 22)]
    for i, (here, there) in enumerate(path):
        replay.add(Transition([here], [0.0], float(i), [there], i == 4, i == 2))
    found = datasets.from_replay(replay)
    assert found.reward.tolist() == [2, 3, 4, 5, 6]
    assert found.truncated.tolist() == [True, False, False, False, True]
    assert found.terminated.tolist() == [False, False, True, False, False]
    assert found.returns.tolist() == [2, 7, 11]


def test_memories_that_are_no_dataset_are_refused() -> None:
    replay = ReplayBuffer(5, (1,), (1,))
    with pytest.raises(datasets.DatasetError, match="memory is empty"):
        datasets.from_replay(replay)
    replay.add(Transition([0.0], [0.0], 0.0, [0.0], False, False, steps=3))
    with pytest.raises(datasets.DatasetError, match="transitions of several steps"):
        datasets.from_replay(replay)


@pytest.mark.parametrize("kind", [ReplayBuffer, PrioritizedReplay])
def test_a_dataset_becomes_a_memory(kind: type[ReplayBuffer]) -> None:
    dataset = recorded()
    replay = dataset.memory(kind)
    rows = replay.gather(torch.arange(40))
    for name in ("obs", "action", "reward", "next_obs", "terminated"):
        assert np.array_equal(getattr(rows, name).numpy(), getattr(dataset, name)), name
    assert rows.steps.tolist() == [1.0] * 40
    assert rows.probability.tolist() == pytest.approx([1 / 40] * 40)
    assert len(replay.sample(8, torch.Generator().manual_seed(0)).reward) == 8
    again = datasets.from_replay(replay)
    assert np.array_equal(again.truncated, dataset.truncated)


def test_scores_by_hand() -> None:
    dataset = replace(recorded(), about={"ref_min_score": -100.0, "ref_max_score": 100.0})
    assert dataset.score(np.array([-100.0, 0.0, 100.0, 200.0])).tolist() == [0, 50, 100, 150]
    with pytest.raises(datasets.DatasetError, match="no references: make it with --expert"):
        recorded().score(np.zeros(1))


def test_the_random_reference_is_random_and_repeats() -> None:
    class Paying(gym.Env[np.ndarray, np.ndarray]):
        observation_space, action_space = Box(-1.0, 1.0, (1,)), Box(-1.0, 1.0, (1,))

        def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
            return np.zeros(1, np.float32), {}

        def step(self, action: np.ndarray) -> Any:
            return np.zeros(1, np.float32), float(action[0]), True, False, {}

    found = datasets.random_returns(Paying(), 500, seed=0)
    # uniform on [−1, 1]: mean 0 and spread 0.577, within 4 standard errors of 0.026
    assert found.mean() == pytest.approx(0, abs=0.104)
    assert found.std() == pytest.approx(0.577, abs=0.06)
    assert np.array_equal(found, datasets.random_returns(Paying(), 500, seed=0))


# --- on the disk


def test_what_is_written_is_read_back_and_minari_reads_it_too(root: Path) -> None:
    dataset = written(algorithm_name="td3", ref_min_score=-120.0, ref_max_score=-20.0, trained_steps=7)
    found = datasets.read(NAME)
    for name in ("obs", "action", "reward", "next_obs", "terminated", "truncated"):
        assert np.array_equal(getattr(found, name), getattr(dataset, name)), name
    assert found.about["trained_steps"] == 7
    theirs = minari.load_dataset(NAME)
    assert (theirs.total_episodes, theirs.total_steps) == (3, 40)
    # Pendulum takes torques from −2 to 2, agents from −1 to 1
    np.testing.assert_allclose(np.concatenate([each.actions for each in theirs]), 2 * dataset.action)
    assert theirs.recover_environment().spec.id == "Pendulum-v1"
    scores = minari.get_normalized_score(theirs, found.returns)
    np.testing.assert_allclose(found.score(found.returns), 100 * scores)
    kept = [each["return"] for each in theirs.storage.get_episode_metadata(range(3))]
    assert kept == pytest.approx(dataset.returns.tolist())
    assert datasets.read(str(root / NAME)).reward.tolist() == found.reward.tolist()  # by its folder


def test_a_dataset_that_is_there_is_not_overwritten(root: Path) -> None:
    written()
    before = datasets.digest(NAME)
    with pytest.raises(datasets.DatasetError, match=f"dataset {NAME} is there already, at .*: take another name"):
        written()
    assert datasets.digest(NAME) == before
    with pytest.raises(datasets.DatasetError, match=r"dataset no name: Malformed dataset ID"):
        datasets.write("no name", recorded(), "Pendulum-v1", "…")
    assert not (root / "no name").exists()


def test_a_dataset_that_is_made_again_is_the_same(root: Path) -> None:
    written()
    before = datasets.digest(NAME)
    datasets.folder(NAME).parent.rename(root / "before")
    written()
    assert datasets.digest(NAME) == before


def test_half_a_dataset_is_none(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("minari.dataset._storages.hdf5_storage.HDF5Storage.update_episodes", interrupted)
    with pytest.raises(KeyboardInterrupt):
        written()
    assert not (root / NAME).exists()


SPEC = (
    '{"id": "Pendulum-v1", "entry_point": "gymnasium.envs.classic_control.pendulum:PendulumEnv", '
    '"reward_threshold": null, "nondeterministic": false, "max_episode_steps": 200, "order_enforce": true, '
    '"disable_env_checker": false, "kwargs": {}, "additional_wrappers": [], "vector_entry_point": null}'
)


def box(low: Any, high: Any, dtype: str = "float32") -> dict[str, Any]:
    return {"type": "Box", "dtype": dtype, "shape": [len(low)], "low": low, "high": high}


def by_hand(root: Path, **changes: Any) -> str:
    """A dataset of the public layout, written without Minari: two episodes of two steps and one."""
    metadata: dict[str, Any] = {
        "total_episodes": 2,
        "total_steps": 3,
        "data_format": "hdf5",
        "observation_space": box([-1.0, -1.0, -8.0], [1.0, 1.0, 8.0]),
        "action_space": box([-2.0], [2.0]),
        "env_spec": SPEC,
        "dataset_id": "hand/made-v0",
        "minari_version": "0.5.0",
    } | changes.pop("metadata", {})
    for key in ("observation_space", "action_space"):
        metadata[key] = json.dumps(metadata[key])
    episodes: list[dict[str, Any]] = [
        {
            "observations": np.arange(9.0).reshape(3, 3) / 9,
            "actions": np.array([[-2.0], [1.0]], np.float32),
            "rewards": np.array([1.0, 2.0]),
            "terminations": np.array([False, True]),
            "truncations": np.array([False, False]),
        },
        {
            "observations": np.zeros((2, 3)),
            "actions": np.array([[0.5]], np.float32),
            "rewards": np.array([3.0]),
            "terminations": np.array([False]),
            "truncations": np.array([False]),
        },
    ]
    episodes[0] |= changes
    folder = root / "hand/made-v0/data"
    folder.mkdir(parents=True)
    (folder / "metadata.json").write_text(json.dumps(metadata))
    with h5py.File(folder / "main_data.hdf5", "w") as file:
        for number, episode in enumerate(episodes):
            group = file.create_group(f"episode_{number}")
            group.attrs.update({"id": number, "total_steps": len(episode["rewards"]), "seed": number})
            for key, values in episode.items():
                group.create_dataset(key, data=values)
            group.create_group("infos")
    return "hand/made-v0"


def test_a_hand_made_dataset_is_read(root: Path) -> None:
    found = datasets.read(by_hand(root))
    assert found.action.tolist() == [[-1.0], [0.5], [0.25]]
    assert found.reward.tolist() == [1, 2, 3]
    assert found.terminated.tolist() == [False, True, False]
    assert found.truncated.tolist() == [False, False, True]  # where the recording ended
    np.testing.assert_allclose(9 * found.obs, np.array([[0, 1, 2], [3, 4, 5], [0, 0, 0]]), rtol=1e-6)
    np.testing.assert_allclose(9 * found.next_obs, np.array([[3, 4, 5], [6, 7, 8], [0, 0, 0]]), rtol=1e-6)
    assert found.returns.tolist() == [3, 3]
    datasets.refuse_mismatch("hand/made-v0", found, envs.make("Pendulum-v1"))


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"metadata": {"total_episodes": 0, "total_steps": 0}}, "is empty"),
    (
        {"metadata": {"action_space": {"type": "Discrete", "dtype": "int64", "start": 0, "n": 2}}},
        r"has action_space = Discrete\(2\): the agents that learn from datasets take a vector with bounds",
    ),
    ({"metadata": {"action_space": box([-float("inf")], [float("inf")])}}, "has action_space = .* with bounds"),
    (
        {"metadata": {"observation_space": {"type": "Dict", "subspaces": {"a": box([0.0], [1.0])}}}},
        "has observation_space = Dict.*: the agents take one vector",
    ),
    ({"metadata": {"minari_version": "9.9.9"}}, "is broken: ValueError: .*does not support"),
    ({"metadata": {"total_episodes": 3}}, "is broken: KeyError"),
    (
        {"observations": np.zeros((2, 3))},
        r"episode 0: observations have shape \(2, 3\), for 2 rewards it must be \(3, 3\)",
    ),
    ({"observations": np.zeros((3, 2))}, r"observations have shape \(3, 2\), for 2 rewards it must be \(3, 3\)"),
    ({"actions": np.zeros((1, 1))}, r"actions have shape \(1, 1\), for 2 rewards it must be \(2, 1\)"),
    ({"terminations": np.zeros(3, bool)}, r"terminations have shape \(3,\)"),
    ({"truncations": np.zeros(3, bool)}, r"truncations have shape \(3,\)"),
    ({"observations": np.full((3, 3), np.nan)}, "observations are not all finite"),
    ({"rewards": np.array([1.0, np.inf])}, "rewards are not all finite"),
    ({"actions": np.array([[0.0], [2.5]])}, r"actions lie outside Box\(-2.0, 2.0, \(1,\), float32\)"),
]


@pytest.mark.parametrize(("changes", "message"), REFUSED, ids=[message[:40] for _, message in REFUSED])
def test_what_cannot_be_learned_from_is_refused_in_words(root: Path, changes: dict[str, Any], message: str) -> None:
    name = by_hand(root, **changes)
    with pytest.raises(datasets.DatasetError, match=rf"dataset {name}.*{message}"):
        datasets.read(name)


@pytest.mark.parametrize("file", ["metadata.json", "main_data.hdf5"])
def test_files_cut_short_are_broken(root: Path, file: str) -> None:
    name = by_hand(root)
    path = datasets.folder(name) / file
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(datasets.DatasetError, match=f"dataset {name} is broken: "):
        datasets.read(name)


def test_what_is_missing_is_said(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(
        datasets.DatasetError, match=rf"dataset {NAME} is not there, at {re.escape(str(root))}.*: make it"
    ):
        datasets.read(NAME)
    monkeypatch.setitem(sys.modules, "minari", None)
    with pytest.raises(datasets.DatasetError, match=r"need the package minari .*: pip install 'minari\[hdf5\]'"):
        datasets.read(NAME)


def test_a_dataset_of_another_world_is_refused(root: Path) -> None:
    found = datasets.read(by_hand(root))
    with pytest.raises(datasets.DatasetError, match="dataset x is of Pendulum-v1, not of InvertedPendulum-v5"):
        datasets.refuse_mismatch("x", found, envs.make("InvertedPendulum-v5"))
    nameless = replace(found, about={key: value for key, value in found.about.items() if key != "env_spec"})
    with pytest.raises(datasets.DatasetError, match=r"x has an observation_space of shape \(3,\), .* one of \(4,\)"):
        datasets.refuse_mismatch("x", nameless, envs.make("InvertedPendulum-v5"))
    other = replace(found, about=dict(found.about) | {"action_space": Box(-1.0, 1.0, (1,))})
    with pytest.raises(datasets.DatasetError, match=r"x has action_space = Box\(-1.0.* Pendulum-v1 has Box\(-2.0"):
        datasets.refuse_mismatch("x", other, envs.make("Pendulum-v1"))
    broken = replace(found, about=dict(found.about) | {"env_spec": "{"})
    with pytest.raises(datasets.DatasetError, match="dataset x is broken"):
        datasets.refuse_mismatch("x", broken, envs.make("Pendulum-v1"))


# --- runs


def made(job: runs.Experiment) -> Any:
    """Its agent with seed 0."""
    return job.make_agent(0)[1]


def experiment(**changes: Any) -> runs.Experiment:
    settings: dict[str, Any] = {"steps": 12, "evaluate_every": 6, "episodes": 1, "dataset": NAME} | changes
    return runs.Experiment(settings.pop("agent", "iql"), "Pendulum-v1", config=settings.pop("config", TINY), **settings)


@pytest.mark.parametrize("standardise", [False, True])
def test_a_run_learns_from_the_dataset_and_never_acts(
    tmp_path: Path, standardise: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = written()
    monkeypatch.setattr(loop, "train", None)  # whoever would act in the world
    job = experiment(standardise=standardise)
    record = runs.run(job, 0, tmp_path)
    assert (record.step, record.dataset, record.standardise) == ([6, 12], NAME, standardise)
    assert record.dataset_hash == datasets.digest(NAME)
    agent = made(job)
    checkpoints.resume(job.files(tmp_path, 0)[1], envs.make("Pendulum-v1"), agent)
    assert (agent.updates, agent.steps, len(agent.replay)) == (12, 0, 40)
    obs = agent.replay.gather(torch.arange(40)).obs
    assert np.array_equal(obs.numpy(), dataset.obs) != standardise
    if standardise:
        assert obs.mean(0).tolist() == pytest.approx([0, 0, 0], abs=1e-5)
    seen, _ = job.make_evaluation_env().reset(seed=0)
    raw, _ = envs.make("Pendulum-v1").reset(seed=0)
    assert np.array_equal(seen, raw) != standardise


@pytest.mark.thorough
def test_the_seed_decides_and_the_data_do(tmp_path: Path) -> None:
    written()
    returns = [
        runs.run(experiment(), seed, tmp_path / folder).returns for seed, folder in ((0, "a"), (0, "b"), (1, "c"))
    ]
    assert returns[0] == returns[1]
    assert returns[0] != returns[2]
    once = experiment().files(tmp_path, 0)
    datasets.folder(NAME).parent.rename(datasets.folder(NAME).parent.with_name("old-v0"))
    datasets.write(NAME, recorded(60), "Pendulum-v1", "more")
    again = experiment()
    assert once != again.files(tmp_path, 0)  # another dataset of this name
    assert runs.run(again, 0, tmp_path).returns != returns[0]


def test_an_interrupted_run_goes_on_bit_for_bit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written()
    whole = runs.run(experiment(), 0, tmp_path / "whole")
    genuine, calls = iql.IQL.update, iter(range(100))

    def update(self: iql.IQL, batch: Any) -> Any:
        if next(calls) == 8:
            raise KeyboardInterrupt
        return genuine(self, batch)

    monkeypatch.setattr(iql.IQL, "update", update)
    with pytest.raises(KeyboardInterrupt):
        runs.run(experiment(), 0, tmp_path / "parts", save_every=0.0)
    made = next(calls)
    assert runs.run(experiment(), 0, tmp_path / "parts", save_every=0.0).returns == whole.returns
    assert next(calls) - made == 1 + 6  # from the first evaluation on


@pytest.mark.parametrize(
    "learner", ["IQL", *(pytest.param(name, marks=pytest.mark.thorough) for name in ("TD3+BC", "TD7"))]
)
def test_what_learns_in_memory_learns_what_a_run_does(tmp_path: Path, learner: str) -> None:
    settings = SMALL | {"embedding": 4, "target_every": 5}
    how: dict[str, Any] = {"evaluate_every": 6, "episodes": 1, "truths": 2, "max_reward": 17.0}
    dataset = written()
    agent, found = offline.learn(learner, "Pendulum-v1", dataset, 12, settings, seed=1, **how)
    assert agent.updates == 12
    job = offline.experiment(learner, "Pendulum-v1", NAME, 12, settings, standardise=True, **how)
    wanted = curve([runs.run(job, 1, tmp_path)])
    assert found.step.tolist() == wanted.step.tolist() == [6, 12]
    for name in ("returns", "believed", "truth"):
        np.testing.assert_array_equal(getattr(found, name), getattr(wanted, name))


@pytest.mark.thorough
def test_value_traces_stand_beside_the_truth(tmp_path: Path) -> None:
    written()
    found = curve(
        [runs.run(experiment(truths=2, max_reward=17.0, standardise=True), seed, tmp_path) for seed in (0, 1)]
    )
    assert found.bias.shape == (2, 2)
    assert np.isfinite(found.bias).all()


def test_what_cannot_learn_from_a_dataset_is_refused(root: Path) -> None:
    written()
    with pytest.raises(ValueError, match=r"agent = 'ppo' learns from no dataset: take iql, cql, edac, td7, td3 or sac"):
        experiment(agent="ppo", config=config_class("ppo")()).make_agent(0)
    with pytest.raises(ValueError, match=r"checkpoints = True: there is no world to assess"):
        experiment(agent="td7", config=td7.Config(**SMALL)).make_agent(0)
    with pytest.raises(ValueError, match=r"standardise = True: without a dataset"):
        experiment(dataset="", standardise=True)
    with pytest.raises(datasets.DatasetError, match="dataset none-v0 is not there"):
        experiment(dataset="none-v0").make_agent(0)


def test_a_prioritised_learner_gets_a_prioritised_memory() -> None:
    written()
    config = td7.Config(**SMALL, embedding=4, checkpoints=False)
    agent = made(experiment(agent="td7", config=config))
    assert isinstance(agent.replay, PrioritizedReplay)
    assert len(list(experiment(agent="td7", config=config).train(None, agent, short(), 0))) == 12


def test_mujoco_with_falls_and_several_numbers_of_action(tmp_path: Path) -> None:
    world, config = envs.make("Hopper-v5"), edac.Config(**SMALL, critics=2)
    dataset = datasets.record(world, edac.EDAC(11, world.action_space, config, seed=0), 60, seed=0)
    assert dataset.terminated.sum() >= 1  # a random hopper falls soon
    datasets.write("hopper/random-v0", dataset, "Hopper-v5", "random")
    found = datasets.read("hopper/random-v0")
    for name in ("obs", "action", "reward", "next_obs", "terminated", "truncated"):
        assert np.array_equal(getattr(found, name), getattr(dataset, name)), name
    how: dict[str, Any] = {"dataset": "hopper/random-v0", "truths": 2, "max_reward": 10.0, "standardise": True}
    record = runs.run(runs.Experiment("edac", "Hopper-v5", 4, config, episodes=1, **how), 0, tmp_path)
    assert np.isfinite(record.truth).all()
    assert np.shape(record.truth) == (1, 2, 2)


def test_runs_without_a_dataset_keep_their_names_and_hash() -> None:
    job = runs.Experiment("td3", "Pendulum-v1", 100, td3.Config())
    assert not {"dataset", "standardise", "dataset_hash"} & job.settings.keys()
    assert ("rlcourse.loop", "train_offline") not in provenance.reached("td3")
    assert ("rlcourse.loop", "train_offline") in provenance.reached("td3", offline=True)


# --- the learners of lecture 10


@pytest.mark.parametrize("learner", offline.LEARNERS)
def test_every_learner_learns_from_a_dataset(learner: str) -> None:
    written()
    job = offline.experiment(learner, "Pendulum-v1", NAME, 3, SMALL | {"embedding": 4, "critics": 2}, standardise=True)
    assert job.agent in AGENTS
    assert job.config.hidden == (8,)
    agent = made(job)
    before = torch.cat([each.flatten() for each in agent.actor.parameters()]).clone()
    assert len(list(job.train(None, agent, short(), 0))) == 3
    assert not torch.equal(before, torch.cat([each.flatten() for each in agent.actor.parameters()]))


# --- commands


def call(monkeypatch: pytest.MonkeyPatch, *args: str) -> int | str | None:
    monkeypatch.setattr(sys, "argv", ["rlcourse", *args])
    try:
        cli.main()
    except SystemExit as stop:
        return stop.code
    return 0


@pytest.fixture
def result(tmp_path: Path) -> Path:
    """A partly trained agent of `rlcourse train`."""
    config = td3.Config(**SMALL)
    job = runs.Experiment("td3", "Pendulum-v1", 60, config, episodes=1)
    runs.run(job, 0, tmp_path / "runs")
    return job.files(tmp_path / "runs", 0)[0]


@pytest.mark.thorough
def test_make_show_and_train(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, result: Path
) -> None:
    words = ["dataset", "make", NAME, "--run", str(result), "--steps", "30", "--seed", "3"]
    assert call(monkeypatch, *words, "--expert", str(result), "--episodes", "2") == 0
    said = capsys.readouterr().out
    assert "30 transitions, 1 episodes, 0 of them terminated" in said
    assert "td3 after 60 steps of training, exploring. Scores: 0 is a random policy" in said
    found = datasets.read(NAME)
    about = {key: found.about[key] for key in ("trained_steps", "training_seed", "recording_seed", "algorithm_name")}
    assert about == {"trained_steps": 60, "training_seed": 0, "recording_seed": 3, "algorithm_name": "td3"}
    assert found.about["num_episodes_average_score"] == 2
    fresh = envs.make("Pendulum-v1")
    expected = datasets.random_returns(fresh, 2, runs.EVALUATION_SEED).mean()
    assert found.about["ref_min_score"] == pytest.approx(expected)

    assert call(monkeypatch, "dataset", "show", NAME, "--keep", str(tmp_path / "kept.json")) == 0
    assert capsys.readouterr().out in said
    kept = json.loads((tmp_path / "kept.json").read_text())
    assert kept["dataset_hash"] == datasets.digest(NAME)
    assert (kept["dataset_id"], kept["ref_min_score"]) == (NAME, found.about["ref_min_score"])

    stored = tmp_path / "curve.json"
    train = ["train", "iql", "--env", "Pendulum-v1", "--steps", "4", "--dataset", NAME, "--standardise"]
    train += ["--batch-size", "8", "--hidden", "8", "--learning-starts", "10", "--buffer-size", "200"]
    assert call(monkeypatch, *train, "--seeds", "0", "--out", str(tmp_path / "out"), "--curve", str(stored)) == 0
    assert "after 4 updates" in capsys.readouterr().out
    assert load_curve(stored).step.tolist() == [4]
    data = json.loads(stored.read_text())
    assert data["dataset_hash"] == datasets.digest(NAME)
    assert f"--dataset {NAME} --standardise" in data["command"]


def test_a_memory_is_made_a_dataset(monkeypatch: pytest.MonkeyPatch, result: Path) -> None:
    assert call(monkeypatch, "dataset", "make", NAME, "--run", str(result), "--source", "replay") == 0
    found = datasets.read(NAME)
    assert len(found) == 60
    assert found.about["description"] == "the memory of td3 after 60 steps of training: all that it met"
    with pytest.raises(datasets.DatasetError, match="no references"):
        found.score(found.returns)


def test_commands_refuse_in_words(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, result: Path) -> None:
    assert "nowhere.json is not there" in str(call(monkeypatch, "dataset", "make", NAME, "--run", "nowhere.json"))
    assert "is not there" in str(call(monkeypatch, "dataset", "show", NAME))
    words = ("train", "iql", "--env", "Pendulum-v1", "--steps", "4", "--dataset", NAME, "--out", str(tmp_path / "out"))
    assert f"dataset {NAME} is not there" in str(call(monkeypatch, *words))
    other = runs.Experiment("td3", "InvertedPendulum-v5", 20, td3.Config(**SMALL), episodes=1)
    runs.run(other, 0, tmp_path / "runs")
    expert = str(other.files(tmp_path / "runs", 0)[0])
    said = call(monkeypatch, "dataset", "make", NAME, "--run", str(result), "--steps", "9", "--expert", expert)
    assert "is a run of InvertedPendulum-v5, not of Pendulum-v1: no expert there" in str(said)
    pole = runs.Experiment("dqn", "CartPole-v1", 20, config_class("dqn")(), episodes=1)
    runs.run(pole, 0, tmp_path / "runs")
    said = call(monkeypatch, "dataset", "make", NAME, "--run", str(pole.files(tmp_path / "runs", 0)[0]))
    assert "CartPole-v1: a dataset holds actions that are numbers; take a run of td3, say" in str(said)
    written()
    offline = experiment()
    runs.run(offline, 0, tmp_path / "runs")
    said = call(monkeypatch, "dataset", "make", "b-v0", "--run", str(offline.files(tmp_path / "runs", 0)[0]))
    assert f"its agent learned from {NAME}: take one that learned in a world" in str(said)
    record = json.loads(result.read_text())
    result.write_text(json.dumps(record | {"config": record["config"] | {"twin": 1}}))
    assert "is of another state of the code: " in str(
        call(monkeypatch, "dataset", "make", "b-v0", "--run", str(result))
    )
    result.write_text(json.dumps(record))
    result.with_suffix(".pt").unlink()
    assert "the agent's checkpoint lies beside its result" in str(
        call(monkeypatch, "dataset", "make", NAME, "--run", str(result))
    )


def test_the_command_line_names_a_dataset(root: Path) -> None:
    written()
    words = command_line(experiment(standardise=True), "0:2", Path("x.json"))
    assert f"--dataset {NAME} --standardise" in words
