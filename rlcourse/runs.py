"""Run many seeds of one agent, resume what was interrupted, record the results."""

import hashlib
import json
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from functools import cache, cached_property, lru_cache, partial
from inspect import signature
from itertools import count
from pathlib import Path
from typing import Any, Literal

import gymnasium as gym
import joblib
import numpy as np
import torch
from filelock import FileLock
from jaxtyping import Float
from tqdm.auto import tqdm

from rlcourse import checkpoints, cuda, datasets, envs, files, loop, provenance, snapshots
from rlcourse.algorithms import agent_class, config_class, her
from rlcourse.config import Count, CountOrZero, OutOfRangeError, Positive, Range, check, require
from rlcourse.suited import arguments

EVALUATION_SEED = 1_000_000  # far from the seeds that people train with


def matmul_precision(rows: int, units: int) -> str:
    """The fastest exact setting for `torch.set_float32_matmul_precision`, for `rows` inputs to layers of `units` units.

    With "highest" MKL multiplies, which does not use AVX-512 on AMD's processors.
    With "medium" oneDNN multiplies, which does: on a Zen 5, layers of 256 units then take half the time, and layers of
    64 units a little more, since each call costs more.
    """
    return _exact_precision() if rows * units**2 >= 256 * 128**2 else "highest"


@cache
def _exact_precision() -> str:
    # "medium" permits bfloat16, too. oneDNN uses it only on processors that have units for it (AMX, say): we try it.
    before = torch.get_float32_matmul_precision()
    factor = torch.randn(256, 256, generator=torch.Generator().manual_seed(0), dtype=torch.float32)
    torch.set_float32_matmul_precision("medium")
    error = (factor @ factor - factor.double() @ factor.double()).abs().max()
    torch.set_float32_matmul_precision(before)
    return "medium" if error < 1e-3 else "highest"  # measured: 4e-5 in float32; bfloat16 keeps 8 bits


@lru_cache(maxsize=1)
def _read(name: str, content: str, standardise: bool) -> tuple[datasets.Dataset, Any, Any]:
    """A dataset, `content` being its hash, and if it is standardised the mean and the spread that it had."""
    return _prepared(datasets.read(name), standardise)


def _prepared(data: datasets.Dataset, standardise: bool) -> tuple[datasets.Dataset, Any, Any]:
    return datasets.standardised(data) if standardise else (data, None, None)


@dataclass(frozen=True)
class Experiment:
    """All that determines a run except its seed and the code. Equal experiments share their files.

    Attributes:
        agent: a key of `AGENTS`, or `module:Class` of an agent made as `Class(obs_size, action_size, config, seed)`;
            for discrete spaces the sizes are the numbers of states and of actions.
        env: a gymnasium id.
        steps: environment steps to train for.
        config: the agent's `Config`; None for a class that is made as `Class(observation_space, action_space, seed)`.
        evaluate_every: environment steps between evaluations; at most `steps`, so that there is one.
        episodes: of each evaluation.
        evaluation_env: a gymnasium id, where it differs from `env` (noise that is for training only, say).
        truths: how many states each evaluation compares the critic with the truth at, see `ground_truth`.
        max_reward: a bound on |r| in `evaluation_env`; from it follows how many steps the truth has to sum up.
        hindsight: a `her.Strategy`, by which an off-policy agent's replay chooses new goals; empty means no new goals.
        hindsight_k: how many transitions get a new goal for each one that keeps its own.
        evaluation_limit: steps after which an evaluation's episode is cut off, in a world without a time limit.
        dataset: what to learn from instead of `env`, see `datasets.folder`; then a step is an update.
        standardise: whether the observations are given mean 0 and spread 1 in the dataset.
        keep: metrics of the updates, such as SAC's entropy, whose means between evaluations are stored.
    """

    agent: str
    env: str
    steps: Count
    config: Any
    evaluate_every: Count = 2_000
    episodes: Count = 10
    evaluation_env: str = ""
    truths: CountOrZero = 0
    max_reward: Positive = 1.0
    hindsight: her.Strategy | Literal[""] = ""
    hindsight_k: CountOrZero = her.Config.k
    evaluation_limit: Count = loop.EVALUATION_LIMIT
    dataset: str = ""
    standardise: bool = False
    keep: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check(self)
        object.__setattr__(self, "evaluate_every", min(self.evaluate_every, self.steps))  # the dataclass is frozen
        if self.standardise and not self.dataset:
            raise OutOfRangeError("runs.Experiment.standardise = True: without a dataset there is nothing to measure")

    def make_agent(
        self,
        seed: int,
        kind: Any = None,
        hindsight_replay: type[her.HindsightReplay] = her.HindsightReplay,
        data: datasets.Dataset | None = None,
    ) -> tuple[Any, loop.Agent]:
        """Make the environment and a fresh agent for it; if the Config has `num_envs`, that many environments.

        Args:
            kind: a class to use instead of the one that `agent` names.
            hindsight_replay: a class to use instead for hindsight's memory.
            data: a dataset in memory to use instead of the files of `dataset`.

        Raises:
            ValueError: an agent that does not suit the environment; truths for an agent without Q; hindsight for one
                without replay or with priorities, or in an environment without goals; a dataset for an agent without
                replay or with checkpoints, or one that is missing, broken or of another world.
        """
        env = envs.make(self.env)
        kind = agent_class(self.agent) if kind is None else kind
        if self.config is None:
            return env, kind(env.observation_space, env.action_space, seed)
        told = arguments(self.agent, env)
        value = getattr(kind, "value", None)
        if self.truths and (value is None or "action" not in signature(value).parameters):
            raise ValueError(f"agent = {self.agent!r} has no Q(s, a) to set against the truth: leave out truths")
        memory = {}
        if self.hindsight:
            if "replay" not in signature(kind).parameters:
                raise ValueError(f"agent = {self.agent!r} has no replay to relabel: take dqn, ddpg, td3 or sac")
            if self.dataset:
                raise ValueError(f"hindsight = {self.hindsight!r}: a dataset keeps its goals; leave out hindsight")
            if getattr(self.config, "lap", getattr(self.config, "priority_exponent", 0)):
                raise ValueError("hindsight samples uniformly: set priority_exponent to 0, or lap to False")
            config = her.Config(self.hindsight, self.hindsight_k)
            memory["replay"] = hindsight_replay(env, self.config.buffer_size, config)
        if self.dataset and "replay" not in signature(kind).parameters:
            raise ValueError(f"agent = {self.agent!r} learns from no dataset: take iql, cql, edac, td7, td3 or sac")
        if self.dataset and getattr(self.config, "checkpoints", False):
            raise ValueError("checkpoints = True: there is no world to assess policies in: switch off checkpoints")
        agent = kind(*told, self.config, seed, **memory)
        if self.dataset:
            name, learned_from = self.dataset if data is None else "of your own", self._learned_from(data)[0]
            datasets.refuse_mismatch(name, learned_from, env)
            agent.replay = learned_from.memory(type(agent.replay))
        return envs.make_vector(self.env, self.config.num_envs) if self.vector else env, agent

    def train(
        self,
        env: Any,
        agent: loop.Agent,
        evaluation_env: gym.Env,
        seed: int | None,
        start: int = 0,
        env_state: dict[str, Any] | None = None,
    ) -> Iterator[dict[str, Any]]:
        """Run the training loop that suits the agent, and evaluate as the experiment says.

        The arguments after `evaluation_env`, and what comes out, are those of `loop.train` and `loop.train_vector`.
        With a dataset what comes out is that of `loop.train_offline`, and `env_state` is that of its generator.
        """
        if self.dataset:
            return self._train_offline(agent, evaluation_env, seed, start, env_state)
        if self.vector:
            training = loop.train_vector(env, agent, self.steps, seed, start, env_state)
        else:
            training = loop.train(env, agent, self.steps, seed, start)
        every, episodes, limit = self.evaluate_every, self.episodes, self.evaluation_limit
        return loop.evaluated(training, evaluation_env, agent, every, episodes, EVALUATION_SEED, limit)

    def _train_offline(
        self, agent: Any, evaluation_env: gym.Env, seed: int | None, start: int, env_state: dict[str, Any] | None
    ) -> Iterator[dict[str, Any]]:
        batches = torch.Generator()
        if env_state is None:
            batches.manual_seed(seed or 0)
        else:
            batches.set_state(env_state["batches"])
        for metrics in loop.train_offline(agent, self.steps, batches, start):
            if metrics["step"] % self.evaluate_every == 0:
                returns = loop.evaluate(evaluation_env, agent, self.episodes, EVALUATION_SEED, self.evaluation_limit)
                metrics |= {"evaluation": returns, "env_state": {"batches": batches.get_state()}}
            yield metrics

    def _learned_from(self, data: datasets.Dataset | None) -> tuple[datasets.Dataset, Any, Any]:
        """The dataset, `data` or that of the files, and what `_read` says of it."""
        if data is None:
            return _read(self.dataset, self.dataset_hash, self.standardise)
        return _prepared(data, self.standardise)

    def make_evaluation_env(self, data: datasets.Dataset | None = None, **options: Any) -> gym.Env:
        """Make the environment in which the agent is evaluated; `options` are gymnasium's, `data` as for the agent.

        Raises:
            ValueError: an agent trained in `env` cannot act in it.
        """
        env = envs.make(self.evaluation_env or self.env, **options)
        if self.standardise:
            _, mean, spread = self._learned_from(data)
            env = envs.standardised(env, mean, spread)
        if self.evaluation_env and arguments(self.agent, env) != arguments(self.agent, envs.make(self.env)):
            raise ValueError(
                f"evaluation_env = {self.evaluation_env!r} has observation_space = {env.observation_space} and "
                f"action_space = {env.action_space}: they must be those of env = {self.env!r}"
            )
        return env

    @property
    def settings(self) -> dict[str, Any]:
        """All fields, except unused ones that were added later: so the older files keep their names."""
        unused = set() if self.hindsight else {"hindsight", "hindsight_k"}
        if self.evaluation_limit == loop.EVALUATION_LIMIT:
            unused.add("evaluation_limit")
        if not self.dataset:
            unused |= {"dataset", "standardise"}
        if not self.keep:
            unused.add("keep")
        content = {"dataset_hash": self.dataset_hash} if self.dataset else {}
        return {name: value for name, value in asdict(self).items() if name not in unused} | content

    @cached_property
    def dataset_hash(self) -> str:
        """Of the files of the dataset; a dataset that is not there has one, too."""
        return datasets.digest(self.dataset) if self.dataset else ""

    @property
    def vector(self) -> bool:
        """Whether the agent learns in `loop.train_vector`."""
        return hasattr(self.config, "num_envs")

    @property
    def matmul_precision(self) -> str:
        """The setting that multiplies this experiment's matrices fastest, see the function `matmul_precision`."""
        units = max(getattr(self.config, "hidden", ()), default=0)
        return matmul_precision(getattr(self.config, "batch_size", 0), units)

    def files(self, out: Path, seed: int) -> tuple[Path, Path]:
        """The paths of one seed's result and checkpoint; other settings or other code lead to other paths."""
        key = json.dumps([self.settings, provenance.code_hash(*provenance.kind(self.settings))], sort_keys=True)
        name = f"{self.agent}-{self.env}-{hashlib.sha256(key.encode()).hexdigest()[:12]}"
        folder = out / name.replace("/", "-").replace(":", "-")
        return folder / f"seed-{seed}.json", folder / f"seed-{seed}.pt"


@dataclass(frozen=True)
class Run:
    """The record of one finished seed; `step` `(T,)`, `returns` `(T, episodes)`, `truth` `(T, 2, truths)`.

    `cut_off` has a pair for each evaluation in which `evaluation_limit` ended episodes: the step, and their number.
    `kept` has the means of what `keep` names for each evaluation, None before the first update.
    """

    agent: str
    env: str
    steps: int
    config: dict[str, Any] | None
    evaluate_every: int
    episodes: int
    evaluation_env: str
    truths: int
    max_reward: float
    seed: int
    step: list[int]
    returns: list[list[float]]
    truth: list[list[list[float]]]  # what the critic believed, and the Monte-Carlo return
    wall_time: float  # seconds, evaluations included; of a resumed run the sum over all its parts
    code: str
    versions: dict[str, str]
    machine: dict[str, str]
    hindsight: str = ""
    hindsight_k: int = her.Config.k
    evaluation_limit: int = loop.EVALUATION_LIMIT
    cut_off: list[list[int]] = field(default_factory=list)
    dataset: str = ""
    standardise: bool = False
    dataset_hash: str = ""  # of its files
    keep: Sequence[str] = ()
    kept: list[list[float | None]] = field(default_factory=list)


class SeedsFailedError(RuntimeError):
    """Some seeds of `run_all` raised an error; the message names each, and the file with its traceback.

    Attributes:
        finished: the records of the other seeds.
    """

    def __init__(self, finished: list[Run], failed: Mapping[int, str]) -> None:
        self.finished = finished
        super().__init__("\n".join(f"seed {seed} failed: {what}" for seed, what in failed.items()))


def run(
    experiment: Experiment, seed: int, out: Path, position: int = 0, save_every: float = 60.0, gpu: bool = False
) -> Run:
    """Train one seed, or go on with it, or return its record if it is finished.

    The checkpoint is written at the first episode end after `save_every` seconds, and kept at the end as the trained
    agent (`checkpoints.resume` opens it). Torch is set to one thread, since results differ between one and two, and to
    the experiment's `matmul_precision`. A result or a checkpoint that is broken is set aside, with a warning. With
    `gpu` the agent learns there (`cuda.move`): the numbers differ by rounding only, so the files are the same.

    Raises:
        ValueError: a negative seed; a world whose state is needed in mid-episode and cannot be saved; at the end, a
            metric to keep that no update had; and what `Experiment.make_agent` refuses.
    """
    require("seed", seed, Range(0, open_high=True))
    result, checkpoint = experiment.files(out, seed)
    result.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(result.with_suffix(".lock")):  # the same command started twice: the second waits for the first
        if result.exists():
            try:
                return read(result)
            except files.BrokenFileError as error:
                files.set_aside(result, error)
        torch.set_num_threads(1)
        precision = "highest" if gpu else experiment.matmul_precision  # any other is inexact there
        torch.set_float32_matmul_precision(precision)
        env, agent = experiment.make_agent(seed)
        evaluation_env = experiment.make_evaluation_env()
        _check_snapshots(experiment)
        state: dict[str, Any] = {"step": 0, "evaluations": [], "cut_off": [], "wall_time": 0.0, "kept": []}
        state["since"] = {name: [] for name in experiment.keep}  # what to keep of the updates since the last evaluation
        resumed = checkpoint.exists()
        if resumed:
            try:
                state = checkpoints.resume(checkpoint, env, agent)
            except files.BrokenFileError as error:
                files.set_aside(checkpoint, error)
                resumed = False
        if gpu:
            cuda.move(agent)
        start, evaluations, cut_off = state["step"], state["evaluations"], state["cut_off"]
        kept, since = state["kept"], state["since"]
        began = saved = time.monotonic()

        def save(step: int, **extra: Any) -> float:
            wall_time = float(state["wall_time"] + time.monotonic() - began)
            extra |= {"evaluations": evaluations, "cut_off": cut_off, "wall_time": wall_time}
            extra |= {"kept": kept, "since": since}
            if hasattr(agent, "state_dict"):  # an agent from a student's own file need not have one
                checkpoints.save(checkpoint, env, agent, step, **extra)
            return wall_time

        begin = None if resumed else seed
        training = experiment.train(env, agent, evaluation_env, begin, start, state.get("env_state"))
        loops = experiment.vector or bool(experiment.dataset)
        moment = "env_state" if loops else "episode_return"  # the run can be saved when this is yielded
        # disable=None shows no bar where the output is not a terminal.
        with tqdm(
            total=experiment.steps, initial=start, desc=f"seed {seed}", unit=" steps", position=position, disable=None
        ) as bar:
            for metrics in training:
                bar.update("reward" in metrics or bool(experiment.dataset))
                for name in since.keys() & metrics.keys():
                    since[name].append(metrics[name])
                if "evaluation" in metrics:
                    truth = ground_truth(evaluation_env, agent, experiment) if experiment.truths else np.zeros((2, 0))
                    evaluations.append((metrics["step"], metrics["evaluation"].tolist(), truth.tolist()))
                    kept.append([float(np.mean(rows)) if rows else None for rows in since.values()])
                    since = {name: [] for name in since}
                    bar.set_postfix(evaluation=f"{metrics['evaluation'].mean():.1f}")
                if "cut_off" in metrics:
                    cut_off.append([metrics["step"], metrics["cut_off"]])
                if moment in metrics and time.monotonic() - saved >= save_every:
                    save(metrics["step"], **{moment: metrics[moment]} if loops else {})
                    saved = time.monotonic()
        for name, numbers in zip(experiment.keep, zip(*kept, strict=True), strict=False):
            if set(numbers) == {None}:
                raise ValueError(f"keep = {name!r}: no update of {type(agent).__name__} had such a metric")
        wall_time = save(experiment.steps)
        record = Run(
            **provenance.origin(experiment.settings, precision, gpu),
            seed=seed,
            step=[step for step, _, _ in evaluations],
            returns=[returns for _, returns, _ in evaluations],
            truth=[truth for _, _, truth in evaluations],
            wall_time=round(wall_time, 1),
            cut_off=cut_off,
            kept=kept,
        )
        files.write(result, json.dumps(asdict(record)) + "\n")
        return read(result)


def _check_snapshots(experiment: Experiment) -> None:
    """Refuse a world whose state cannot be saved in mid-episode now, and not after the first minute of training."""
    worlds = [envs.make(experiment.env)] if experiment.vector else []
    worlds += [experiment.make_evaluation_env()] if experiment.truths else []
    for world in worlds:
        world.reset(seed=EVALUATION_SEED)
        snapshots.snapshot(world)


def ground_truth(env: gym.Env, agent: Any, experiment: Experiment, every: int = 20) -> Float[np.ndarray, "2 truths"]:
    """What the critic believes the greedy actions return, `agent.value(obs, action)`, and what they really return.

    The greedy policy walks through episodes, and the two numbers are taken at every `every`-th step. The true one is
    `snapshots.monte_carlo_return`, without a time limit and exact to one hundredth of the largest possible return.
    """
    gamma = agent.config.gamma
    bound = experiment.max_reward / (1 - gamma)
    pairs: list[tuple[float, float]] = []
    seeds = count(EVALUATION_SEED)
    obs, step, over = None, 0, True
    while len(pairs) < experiment.truths:
        if over:
            obs, _ = env.reset(seed=next(seeds))
        action = agent.act(obs, explore=False)
        if step % every == 0:
            snap = snapshots.snapshot(env)
            policy = partial(agent.act, explore=False)
            truth = snapshots.monte_carlo_return(env, snap, action, policy, gamma, experiment.max_reward, 0.01 * bound)
            pairs.append((agent.value(obs, action), truth))
            snapshots.restore(env, snap)
        obs, _, terminated, truncated, _ = env.step(action)
        step, over = step + 1, terminated or truncated
    return np.array(pairs).T


def stored_config(agent: str, stored: Mapping[str, Any]) -> Any:
    """An agent's `Config` from what JSON made of it, which has no tuples."""
    values = {key: tuple(value) if isinstance(value, list) else value for key, value in stored.items()}
    return config_class(agent)(**values)


def read(result: Path) -> Run:
    """The record in a `seed-….json`.

    Raises:
        BrokenFileError: the file is not whole.
    """
    record = files.read_json(result)
    try:
        return Run(**record)
    except TypeError as error:
        raise files.BrokenFileError(f"{result} is broken: {error}") from error


def run_all(
    experiment: Experiment,
    seeds: Sequence[int],
    out: Path,
    backend: Literal["loky", "dask"] = "loky",
    scheduler: str | None = None,
    gpu: bool = False,
) -> list[Run]:
    """Call `run` for each seed, in one process per core or on a Dask cluster.

    Args:
        out: a folder; all machines of a cluster must share it.
        scheduler: the address of the cluster's scheduler; None starts a cluster on this machine.
        gpu: let agents learn on the GPU of the machine they run on.

    Raises:
        SeedsFailedError: some seeds raised an error; the others have finished. Called again, it retries only those.
        ValueError: what `run` refuses, before any seed begins; or Dask is asked for and not installed.
    """
    for seed in seeds:
        require("seed", seed, Range(0, open_high=True))
    experiment.make_agent(seeds[0])  # what cannot run is refused here, once, and not by every seed
    experiment.make_evaluation_env()
    n_jobs = min(joblib.cpu_count(), len(seeds))  # for loky; a cluster decides by itself
    client: Any = nullcontext()
    if backend == "dask":
        try:
            from dask.distributed import Client
        except ImportError:
            remedy = "pip install -c constraints.txt -e '.[cluster]'"
            raise ValueError(f"backend = 'dask' needs Dask, which is not installed: {remedy}") from None
        client = Client(scheduler)
    with client, joblib.parallel_config(backend=backend, n_jobs=n_jobs):
        tasks = (
            joblib.delayed(_attempt)(experiment, seed, out.absolute(), position, gpu)
            for position, seed in enumerate(seeds)
        )
        outcomes = dict(zip(seeds, joblib.Parallel()(tasks), strict=True))
    finished = [outcome for outcome in outcomes.values() if isinstance(outcome, Run)]
    failed = {seed: outcome for seed, outcome in outcomes.items() if isinstance(outcome, str)}
    if failed:
        raise SeedsFailedError(finished, failed)
    return finished


def _attempt(experiment: Experiment, seed: int, out: Path, position: int, gpu: bool) -> Run | str:
    """The seed's record, or what went wrong; the traceback is then in a file beside its checkpoint."""
    log = experiment.files(out, seed)[0].with_suffix(".traceback.txt")
    try:
        record = run(experiment, seed, out, position, gpu=gpu)
    except Exception as error:  # whatever it is, the other seeds go on
        what = f"{type(error).__name__}: {error}"
        try:
            files.write(log, traceback.format_exc())
        except OSError as unwritten:
            return f"{what} (no traceback: {unwritten})"
        return f"{what} (traceback: {log})"
    log.unlink(missing_ok=True)
    return record
