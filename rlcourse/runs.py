"""Many seeds of one agent: run, resume, record; curves with bands, and where a run lies among them."""

import ast
import hashlib
import json
import os
import platform
import shlex
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import MISSING, asdict, dataclass, fields
from functools import cache, cached_property, partial
from importlib.metadata import version
from importlib.util import find_spec
from inspect import signature
from itertools import count
from pathlib import Path
from pkgutil import resolve_name
from types import MappingProxyType
from typing import Annotated, Any, Literal, Union

import gymnasium as gym
import joblib
import numpy as np
import torch
import tyro
from filelock import FileLock
from gymnasium.spaces import flatdim
from jaxtyping import Bool, Float, Int
from platformdirs import user_cache_path
from scipy import stats
from tqdm.auto import tqdm

from rlcourse import envs, loop, rendering
from rlcourse.algorithms import her
from rlcourse.config import Count, Positive, Range, check
from rlcourse.nets import matmul_precision

AGENTS = {
    "q_learning": "rlcourse.algorithms.q_iteration:QLearning",
    "dqn": "rlcourse.algorithms.dqn:DQN",
    "reinforce": "rlcourse.algorithms.reinforce:REINFORCE",
    "actor_critic": "rlcourse.algorithms.actor_critic:ActorCritic",
    "ppo": "rlcourse.algorithms.ppo:PPO",
    "ddpg": "rlcourse.algorithms.ddpg:DDPG",
    "double_ac": "rlcourse.algorithms.double_ac:DoubleAC",
    "td3": "rlcourse.algorithms.td3:TD3",
    "sac": "rlcourse.algorithms.sac:SAC",
    "td7": "rlcourse.algorithms.td7:TD7",
}

CURVES = Path(__file__).parents[1] / "assets" / "curves"
_COLUMNS = ("wall_time", "returns", "believed", "truth")  # of a stored curve: a row for each seed
_EVALUATION_SEED = 1_000_000  # far from the seeds that people train with
_PACKAGES = ("rlcourse", "gymnasium", "mujoco", "numpy", "torch")


@dataclass(frozen=True)
class Experiment:
    """What is run, up to the seed: equal experiments share their files, and one code.

    Attributes:
        agent: a key of `AGENTS`, or `module:Class` of an agent made as `Class(obs_size, action_size, config, seed)`;
            sizes are numbers of states and actions where those are discrete.
        env: a gymnasium id.
        steps: environment steps to train for.
        config: the agent's `Config`.
        evaluate_every: environment steps between evaluations.
        episodes: of each evaluation.
        evaluation_env: a gymnasium id, where it differs from `env` (noise that is for training only, say).
        truths: states at which each evaluation sets the critic against the truth, see `ground_truth`.
        max_reward: a bound on |r| in `evaluation_env`; tells how far the truth must look ahead.
        hindsight: where an off-policy agent's replay takes new goals from, a `her.Strategy`; empty: no new goals.
        hindsight_k: how many transitions are relabelled for each that is not.
    """

    agent: str
    env: str
    steps: Count
    config: Any
    evaluate_every: Count = 2_000
    episodes: Count = 10
    evaluation_env: str = ""
    truths: Annotated[int, Range(0, open_high=True)] = 0
    max_reward: Positive = 1.0
    hindsight: her.Strategy | Literal[""] = ""
    hindsight_k: int = her.Config.k

    def __post_init__(self) -> None:
        check(self)

    def make_agent(
        self, seed: int, kind: Any = None, hindsight_replay: type[her.HindsightReplay] = her.HindsightReplay
    ) -> tuple[Any, loop.Agent]:
        """The environment and a fresh agent for it: `num_envs` of them side by side if its Config says so.

        Args:
            kind: a class to use instead of the one that `agent` names.
            hindsight_replay: the same for hindsight's memory.

        Raises:
            ValueError: truths for an agent without Q; hindsight for one without replay or with priorities, or in an
                environment without goals.
        """
        env = envs.make(self.env)
        kind = resolve_name(AGENTS.get(self.agent, self.agent)) if kind is None else kind
        takes = signature(kind).parameters
        action = env.action_space if "action_space" in takes else flatdim(env.action_space)
        value = getattr(kind, "value", None)
        if self.truths and (value is None or "action" not in signature(value).parameters):
            raise ValueError(f"agent = {self.agent!r} has no Q(s, a) to set against the truth: leave out truths")
        memory = {}
        if self.hindsight:
            if "replay" not in takes:
                raise ValueError(f"agent = {self.agent!r} has no replay to relabel: take dqn, ddpg, td3 or sac")
            if getattr(self.config, "priority_exponent", 0):
                raise ValueError("hindsight samples uniformly: set priority_exponent to 0")
            config = her.Config(self.hindsight, self.hindsight_k)
            memory["replay"] = hindsight_replay(env, self.config.buffer_size, config)
        agent = kind(flatdim(env.observation_space), action, self.config, seed, **memory)
        return envs.make_vector(self.env, self.config.num_envs) if self.vector else env, agent

    def train(
        self,
        env: Any,
        agent: loop.Agent,
        evaluation_env: gym.Env,
        seed: int | None,
        start: int = 0,
        running: dict[str, Any] | None = None,
    ) -> Iterator[dict[str, Any]]:
        """The training loop that suits the agent, evaluated as the experiment says.

        The arguments after `evaluation_env`, and what comes out, are those of `loop.train` and `loop.train_vector`.
        """
        if self.vector:
            training = loop.train_vector(env, agent, self.steps, seed, start, running)
        else:
            training = loop.train(env, agent, self.steps, seed, start)
        return loop.evaluated(training, evaluation_env, agent, self.evaluate_every, self.episodes, _EVALUATION_SEED)

    def make_evaluation_env(self) -> gym.Env:
        """What the agent is evaluated in."""
        return envs.make(self.evaluation_env or self.env)

    @property
    def settings(self) -> dict[str, Any]:
        """Every field; without hindsight those that experiments had before there was any, so files stay theirs."""
        return {name: value for name, value in asdict(self).items() if self.hindsight or "hindsight" not in name}

    @property
    def vector(self) -> bool:
        """Whether the agent learns in `loop.train_vector`."""
        return hasattr(self.config, "num_envs")

    @property
    def matmul_precision(self) -> str:
        """What multiplies the matrices of this experiment fastest, see `nets.matmul_precision`."""
        units = max(getattr(self.config, "hidden", ()), default=0)
        return matmul_precision(getattr(self.config, "batch_size", 0), units)

    def files(self, out: Path, seed: int) -> tuple[Path, Path]:
        """The result and the checkpoint of one seed; other settings or other code have other files."""
        key = json.dumps([self.settings, code_hash(self.agent, bool(self.hindsight))], sort_keys=True)
        name = f"{self.agent}-{self.env}-{hashlib.sha256(key.encode()).hexdigest()[:12]}"
        folder = out / name.replace("/", "-").replace(":", "-")
        return folder / f"seed-{seed}.json", folder / f"seed-{seed}.pt"


@dataclass(frozen=True)
class Run:
    """The record of one finished seed; `step` `(T,)`, `returns` `(T, episodes)`, `truth` `(T, 2, truths)`."""

    agent: str
    env: str
    steps: int
    config: dict[str, Any]
    evaluate_every: int
    episodes: int
    evaluation_env: str
    truths: int
    max_reward: float
    seed: int
    step: list[int]
    returns: list[list[float]]
    truth: list[list[list[float]]]  # what the critic believed, and the Monte-Carlo return
    wall_time: float  # seconds, evaluations included, over all the times it was resumed
    code: str
    versions: dict[str, str]
    machine: dict[str, str]
    hindsight: str = ""
    hindsight_k: int = her.Config.k


def run(experiment: Experiment, seed: int, out: Path, position: int = 0, save_every: float = 60.0) -> Run:
    """Train one seed, or go on with it, or return its record if it is finished.

    The checkpoint, kept at the end as the trained agent (`loop.resume` opens it), is written at the first episode end
    after `save_every` seconds. Sets torch to one thread, since results differ between one and two, and to the
    experiment's `matmul_precision`.
    """
    result, checkpoint = experiment.files(out, seed)
    result.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(result.with_suffix(".lock")):  # the same command started twice: the second waits for the first
        if result.exists():
            return read(result)
        torch.set_num_threads(1)
        torch.set_float32_matmul_precision(experiment.matmul_precision)
        env, agent = experiment.make_agent(seed)
        evaluation_env = experiment.make_evaluation_env()
        resumed = checkpoint.exists()
        state: dict[str, Any] = {"step": 0, "evaluations": [], "wall_time": 0.0}
        if resumed:
            state = loop.resume(checkpoint, env, agent)
        start, evaluations = state["step"], state["evaluations"]
        began = saved = time.monotonic()

        def save(step: int, **extra: Any) -> float:
            wall_time = float(state["wall_time"] + time.monotonic() - began)
            loop.save(checkpoint, env, agent, step, evaluations=evaluations, wall_time=wall_time, **extra)
            return wall_time

        begin = None if resumed else seed
        training = experiment.train(env, agent, evaluation_env, begin, start, state.get("running"))
        moment = "running" if experiment.vector else "episode_return"  # at which it can be saved
        # disable=None: no bar where nobody watches.
        with tqdm(
            total=experiment.steps, initial=start, desc=f"seed {seed}", unit=" steps", position=position, disable=None
        ) as bar:
            for metrics in training:
                bar.update("reward" in metrics)
                if "evaluation" in metrics:
                    truth = ground_truth(evaluation_env, agent, experiment) if experiment.truths else np.zeros((2, 0))
                    evaluations.append((metrics["step"], metrics["evaluation"].tolist(), truth.tolist()))
                    bar.set_postfix(evaluation=f"{metrics['evaluation'].mean():.1f}")
                if moment in metrics and time.monotonic() - saved >= save_every:
                    save(metrics["step"], **{moment: metrics[moment]} if experiment.vector else {})
                    saved = time.monotonic()
        wall_time = save(experiment.steps)
        record = Run(
            **_origin(experiment),
            seed=seed,
            step=[step for step, _, _ in evaluations],
            returns=[returns for _, returns, _ in evaluations],
            truth=[truth for _, _, truth in evaluations],
            wall_time=round(wall_time, 1),
        )
        _write(result, asdict(record))
        return read(result)


def ground_truth(env: gym.Env, agent: Any, experiment: Experiment, every: int = 20) -> Float[np.ndarray, "2 truths"]:
    """What the critic believes of its own greedy actions, `agent.value(obs, action)`, and what they really return.

    At every `every`-th step of the greedy policy's way; the truth is `envs.monte_carlo_return`, the time limit removed,
    to one hundredth of the largest possible return.
    """
    gamma = agent.config.gamma
    bound = experiment.max_reward / (1 - gamma)
    pairs: list[tuple[float, float]] = []
    seeds = count(_EVALUATION_SEED)
    obs, step, over = None, 0, True
    while len(pairs) < experiment.truths:
        if over:
            obs, _ = env.reset(seed=next(seeds))
        action = agent.act(obs, explore=False)
        if step % every == 0:
            snap = envs.snapshot(env)
            policy = partial(agent.act, explore=False)
            truth = envs.monte_carlo_return(env, snap, action, policy, gamma, experiment.max_reward, 0.01 * bound)
            pairs.append((agent.value(obs, action), truth))
            envs.restore(env, snap)
        obs, _, terminated, truncated, _ = env.step(action)
        step, over = step + 1, terminated or truncated
    return np.array(pairs).T


def read(result: Path) -> Run:
    """The record in a `seed-….json`."""
    return Run(**json.loads(result.read_text()))


def run_all(
    experiment: Experiment,
    seeds: Sequence[int],
    out: Path,
    backend: Literal["loky", "dask"] = "loky",
    scheduler: str | None = None,
) -> list[Run]:
    """`run` for each seed, one process per core, or on a Dask cluster.

    Args:
        out: a folder; with a cluster one that all its machines share.
        scheduler: the address of the cluster's scheduler; None starts a cluster on this machine.
    """
    n_jobs = min(joblib.cpu_count(), len(seeds))  # of loky; a cluster has its own size
    client: Any = nullcontext()
    if backend == "dask":
        from dask.distributed import Client

        client = Client(scheduler)
    with client, joblib.parallel_config(backend=backend, n_jobs=n_jobs):
        return list(
            joblib.Parallel()(
                joblib.delayed(run)(experiment, seed, out.absolute(), position) for position, seed in enumerate(seeds)
            )
        )


def _origin(experiment: Experiment) -> dict[str, Any]:
    """What a run's numbers depend on, but for the seed; nothing that tells whose machine it is."""
    return {
        **experiment.settings,
        "code": code_hash(experiment.agent, bool(experiment.hindsight)),
        "versions": {"python": platform.python_version(), **{name: version(name) for name in _PACKAGES}},
        "machine": {
            "system": platform.system(),
            "processor": f"{platform.machine()} {torch.backends.cpu.get_cpu_capability()}",
            "cores": str(os.cpu_count()),
            # Unsaid where it is PyTorch's own, as before there was a choice: such recordings stay of this machine.
            **({} if experiment.matmul_precision == "highest" else {"products": "oneDNN"}),
        },
    }


def _write(path: Path, data: dict[str, Any]) -> None:
    partial = path.with_name(path.name + ".partial")
    partial.write_text(json.dumps(data) + "\n")
    partial.replace(path)


def code_hash(agent: str, hindsight: bool = False) -> str:
    """A hash of every definition that a run of `agent`, with hindsight or without, can reach in its package.

    Comments, docstrings and layout do not count, nor what stands beside in the same files: a curve is stale only if
    the code behind it changed.
    """
    module, name = AGENTS.get(agent, agent).split(":")
    todo = {(module, name), ("rlcourse.loop", "train"), ("rlcourse.loop", "evaluated"), ("rlcourse.envs", "make")}
    if "num_envs" in ast.unparse(_parse(module)[0].get("Config", ast.Pass())):
        todo |= {("rlcourse.loop", "train_vector"), ("rlcourse.envs", "make_vector")}
    if hindsight:
        todo.add(("rlcourse.algorithms.her", "HindsightReplay"))
    found: dict[tuple[str, str], str] = {}
    while todo:
        here = todo.pop()
        definitions, imported = _parse(here[0])
        if here in found or here[1] not in definitions:
            continue
        found[here] = _canonical(definitions[here[1]])
        for node in ast.walk(definitions[here[1]]):
            if isinstance(node, ast.Name):
                todo.add(imported.get(node.id, (here[0], node.id)))
            elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in imported:
                todo.add((".".join(imported[node.value.id]), node.attr))  # `nets.mlp` after `from rlcourse import nets`
    text = "\n".join(f"{key}: {found[key]}" for key in sorted(found))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _canonical(node: Any) -> str:
    """A syntax tree as text that is the same under every Python: newer ones have more fields, and unparse otherwise."""
    if isinstance(node, ast.AST):
        filled = [(name, value) for name, value in ast.iter_fields(node) if value not in (None, [])]
        return f"{type(node).__name__}({', '.join(f'{name}={_canonical(value)}' for name, value in filled)})"
    return f"[{', '.join(map(_canonical, node))}]" if isinstance(node, list) else repr(node)


@cache
def _parse(module: str) -> tuple[dict[str, ast.stmt], dict[str, tuple[str, str]]]:
    """A module's top-level definitions, without docstrings, and what it imports from the course's own package."""
    try:
        spec = find_spec(module)
    except ModuleNotFoundError:  # an attribute of something that is no module
        spec = None
    if spec is None or spec.origin is None:
        return {}, {}
    tree = ast.parse(Path(spec.origin).read_text(encoding="utf-8"))
    definitions: dict[str, ast.stmt] = {}
    imported: dict[str, tuple[str, str]] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and ast.get_docstring(node) is not None:
            node.body = node.body[1:] or [ast.Pass()]
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "rlcourse":
            imported |= {alias.asname or alias.name: (node.module, alias.name) for alias in node.names}
    for statement in tree.body:
        if isinstance(statement, ast.FunctionDef | ast.ClassDef):
            definitions[statement.name] = statement
        elif isinstance(statement, ast.Assign | ast.AnnAssign):
            targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
            definitions |= {target.id: statement for target in targets if isinstance(target, ast.Name)}
    return definitions, imported


@dataclass(frozen=True)
class Estimate:
    """A number and the ends of its 95 % interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{digits(self.value)} ({digits(self.low)} to {digits(self.high)})"


def digits(value: float, sign: str = "") -> str:
    """Three significant digits, without an exponent below a million; `sign="+"` shows a plus."""
    return f"{float(f'{value:.3g}'):{sign}g}"


def mean_band(seeds: Float[np.ndarray, "N ..."]) -> tuple[Float[np.ndarray, "..."], Float[np.ndarray, "..."]]:
    """Low and high end of the 95 % bootstrap interval of the mean over seeds; needs two seeds.

    It says how well the mean is known, not where single seeds fall. With few seeds it is too narrow: a mean of 20
    normal numbers lies inside in 93 % of the cases, one of 10 in 91 %, one of 5 in 84 %.
    """
    interval = stats.bootstrap(
        (seeds,), np.mean, axis=0, n_resamples=2000, method="percentile", rng=np.random.default_rng(0)
    ).confidence_interval
    return np.asarray(interval.low), np.asarray(interval.high)


def mean_estimate(seeds: Float[np.ndarray, " N"]) -> Estimate:
    """The mean over seeds in its interval, see `mean_band`."""
    low, high = mean_band(seeds)
    return Estimate(float(seeds.mean()), float(low), float(high))


def share_estimate(hits: Bool[np.ndarray, " N"]) -> Estimate:
    """The share that is true, in the exact interval of Clopper and Pearson."""
    test = stats.binomtest(int(hits.sum()), len(hits))
    interval = test.proportion_ci(0.95, method="exact")
    return Estimate(float(test.statistic), float(interval.low), float(interval.high))


@dataclass(frozen=True)
class Curve:
    """Evaluations of N seeds at the same steps; one seed is a student's own run.

    Attributes:
        step: environment steps, `(T,)`.
        returns: mean undiscounted return over the episodes of each evaluation, `(N, T)`.
        believed: mean of what the critic believed of its own actions, `(N, T)`; None if the truth was not measured.
        truth: mean of what these actions really returned, `(N, T)`.
        wall_time: of each seed's whole run in seconds, evaluations included, `(N,)`; None if nobody measured it.
    """

    step: Int[np.ndarray, " T"]
    returns: Float[np.ndarray, "N T"]
    believed: Float[np.ndarray, "N T"] | None = None
    truth: Float[np.ndarray, "N T"] | None = None
    wall_time: Float[np.ndarray, " N"] | None = None

    @property
    def seconds(self) -> Float[np.ndarray, " T"]:
        """About when each evaluation came: the fastest seed's wall time, spread evenly over the steps.

        Whatever else the machine did made the others slower, not faster.

        Raises:
            ValueError: the wall time was not measured.
        """
        if self.wall_time is None:
            raise ValueError("the wall time was not measured: load a recorded curve")
        return self.wall_time.min() * self.step / self.step[-1]

    @property
    def mean(self) -> Float[np.ndarray, " T"]:
        return np.asarray(self.returns.mean(0))

    @cached_property
    def band(self) -> tuple[Float[np.ndarray, " T"], Float[np.ndarray, " T"]]:
        """Low and high end of the mean over seeds, see `mean_band`."""
        return mean_band(self.returns)

    @property
    def bias(self) -> Float[np.ndarray, "N T"]:
        """What the critic believed less the truth: above 0 it overestimates.

        Raises:
            ValueError: the truth was not measured.
        """
        if self.believed is None or self.truth is None:
            raise ValueError("the truth was not measured: record the curve with --truths 20, say")
        return self.believed - self.truth

    def success_rate(self, goal: float) -> Estimate:
        """The share of seeds whose last evaluation reaches `goal`, see `share_estimate`."""
        return share_estimate(self.returns[:, -1] >= goal)

    def gains(self, base: "Curve") -> Float[np.ndarray, " shared"]:
        """How much more each seed returns than `base`, averaged over all evaluations: the area between the two curves.

        Paired: seed i less seed i, up to the last that both have.

        Raises:
            ValueError: the two were not evaluated at the same steps.
        """
        if self.step.tolist() != base.step.tolist():
            raise ValueError("the two curves were not evaluated at the same steps: there is no area between them")
        shared = min(len(self.returns), len(base.returns))
        return np.asarray((self.returns[:shared] - base.returns[:shared]).mean(1))

    def gain(self, base: "Curve") -> Estimate:
        """The mean of `gains` in its interval."""
        return mean_estimate(self.gains(base))


def curve(runs: Sequence[Run]) -> Curve:
    """The curve of several seeds of one experiment.

    Raises:
        ValueError: the runs were evaluated at different steps, or there are none.
    """
    if len({tuple(r.step) for r in runs}) != 1:
        raise ValueError("the runs were not evaluated at the same steps: they are not seeds of one experiment")
    returns = np.array([np.mean(r.returns, axis=1) for r in runs])
    wall_time = np.array([r.wall_time for r in runs])
    if not runs[0].truths:
        return Curve(np.array(runs[0].step), returns, wall_time=wall_time)
    believed, truth = np.array([np.mean(r.truth, axis=2) for r in runs]).transpose(2, 0, 1)
    return Curve(np.array(runs[0].step), returns, believed, truth, wall_time)


def recorded(path: Path, experiment: Experiment, seeds: Sequence[int]) -> dict[int, Any]:
    """Those of `seeds` that a stored curve holds, if it comes from this experiment, code and kind of machine."""
    data = json.loads(path.read_text()) if path.exists() else {}
    origin = json.loads(json.dumps(_origin(experiment)))
    if any(data.get(key) != value for key, value in origin.items()):
        return {}
    columns = (data[key] or [None] * len(data["seeds"]) for key in _COLUMNS)
    rows = dict(zip(data["seeds"], zip(*columns, strict=True), strict=True))
    return {seed: rows[seed] for seed in seeds if seed in rows}


def save_curve(path: Path, runs: Sequence[Run], command: str, held: Mapping[int, Any] = MappingProxyType({})) -> None:
    """Store the curve with the command that makes it, the code that made it and where it ran.

    Args:
        held: seeds to keep of those that the file holds already, see `recorded`.
    """
    rows = dict(held)
    for r in runs:
        of_seed = curve([r])
        columns = (of_seed.returns, of_seed.believed, of_seed.truth)
        rows[r.seed] = r.wall_time, *(None if column is None else column[0].round(3).tolist() for column in columns)
    one = asdict(runs[0])
    data = {
        "command": command,
        **{key: one[key] for key in one if key not in ("seed", *_COLUMNS)},
        "seeds": sorted(rows),
    }
    for key, *column in zip(_COLUMNS, *(rows[seed] for seed in sorted(rows)), strict=True):
        data[key] = None if None in column else column
    path.parent.mkdir(parents=True, exist_ok=True)
    _write(path, data)


def load_curve(path: Path) -> Curve:
    """Read what `save_curve` stored."""
    data = json.loads(path.read_text())
    believed, truth = (None if data[key] is None else np.array(data[key], float) for key in ("believed", "truth"))
    wall_time = np.array(data["wall_time"], float)
    return Curve(np.array(data["step"]), np.array(data["returns"], float), believed, truth, wall_time)


def reference(name: str) -> Curve:
    """A recorded curve from `assets/curves`, by its name without the ending."""
    return load_curve(CURVES / f"{name}.json")


def recorded_experiment(name: str) -> Experiment:
    """What `reference(name)` is a recording of; the first ones do not tell what was measured of the critic's truth."""
    data = json.loads((CURVES / f"{name}.json").read_text())
    # JSON has no tuples, and the first recordings do not tell how often they were evaluated.
    config = {key: tuple(value) if isinstance(value, list) else value for key, value in data["config"].items()}
    settings = {field.name: data[field.name] for field in fields(Experiment) if field.name in data}
    settings |= {"config": _config_type(data["agent"])(**config), "evaluate_every": data["step"][0]}
    return Experiment(**settings)


def stale(folder: Path) -> dict[str, str]:
    """The curves in `folder` whose code has changed since, each with the command that makes it anew."""
    stored = {path.name: json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))}
    return {
        name: data["command"]
        for name, data in stored.items()
        if data["code"] != code_hash(data["agent"], bool(data.get("hindsight")))
    }


@dataclass(frozen=True)
class Comparison:
    """Where a run lies among reference seeds.

    Attributes:
        step: the last step that both have reached.
        value: the run's return there.
        better_than: the number of reference seeds whose average over the common steps is below the run's.
        inside: the share of common steps at which the run lies between the lowest and the highest seed.
        words: all that in sentences.
    """

    step: int
    value: float
    better_than: int
    inside: float
    words: str


def compare_to_reference(run: Curve, reference: Curve) -> Comparison:
    """Compare a run with the seeds of a reference, at the reference's steps that the run covers.

    One run is compared with single seeds, not with the band: the band is about their mean.

    Raises:
        ValueError: the two have no step in common.
    """
    common = (run.step[0] <= reference.step) & (reference.step <= run.step[-1])
    if not common.any():
        raise ValueError(
            f"the run was evaluated at steps {run.step[0]} to {run.step[-1]}, "
            f"the reference at {reference.step[0]} to {reference.step[-1]}: nothing to compare"
        )
    step, seeds = reference.step[common], reference.returns[:, common]
    own = np.interp(step, run.step, run.mean)
    better_than = int((own.mean() > seeds.mean(1)).sum())
    inside = float(((seeds.min(0) <= own) & (own <= seeds.max(0))).mean())
    low, high = (end[common][-1] for end in reference.band)
    words = (
        f"After {step[-1]} steps this run scores {own[-1]:.0f}. The {len(seeds)} reference seeds score "
        f"{seeds[:, -1].mean():.0f} on average (95 % band of the mean {low:.0f} to {high:.0f}), from "
        f"{seeds[:, -1].min():.0f} to {seeds[:, -1].max():.0f}. Averaged over the curve it beats {better_than} of "
        f"the {len(seeds)}, and for {inside:.0%} of it it lies among them."
    )
    return Comparison(int(step[-1]), float(own[-1]), better_than, inside, words)


def command() -> Any:
    """The type behind `rlcourse train`: one subcommand per agent, whose `Config` fields are its options (tyro)."""
    subcommands = [
        Annotated[Any, tyro.conf.subcommand(name, constructor=_subcommand(name), prefix_name=False)] for name in AGENTS
    ]
    return Union[tuple(subcommands)]  # noqa: UP007  (built at run time)


def _config_type(agent: str) -> type[Any]:
    module = AGENTS.get(agent, agent).split(":")[0]
    return resolve_name(f"{module}:Config")


def _subcommand(agent: str) -> Callable[..., None]:
    config_type = _config_type(agent)

    def train(
        env: str,
        steps: int,
        config: Annotated[Any, tyro.conf.arg(name="", constructor=config_type)],
        seeds: str = "0:1",
        evaluate_every: int = Experiment.evaluate_every,
        episodes: int = Experiment.episodes,
        evaluation_env: str = Experiment.evaluation_env,
        truths: int = Experiment.truths,
        max_reward: float = Experiment.max_reward,
        hindsight: her.Strategy | Literal[""] = Experiment.hindsight,
        hindsight_k: int = Experiment.hindsight_k,
        out: Path = user_cache_path("rlcourse") / "runs",  # noqa: B008  (a constant)
        curve: Path | None = None,
        film: Path | None = None,
        backend: Literal["loky", "dask"] = "loky",
        scheduler: str | None = None,
    ) -> None:
        """Train over several seeds. Interrupted? The same command goes on; what is finished is not run again.

        Args:
            env: A gymnasium id.
            steps: Environment steps per seed.
            config: The algorithm's own options.
            seeds: One seed, or first:last, the last one excluded.
            evaluate_every: Environment steps between evaluations.
            episodes: Episodes of each evaluation.
            evaluation_env: A gymnasium id to evaluate in, where it differs.
            truths: States at which each evaluation compares the critic with the true return.
            max_reward: A bound on |r|, for that.
            hindsight: Where replay takes new goals from, in a world that has goals.
            hindsight_k: How many transitions are relabelled for each that is not.
            out: Folder for results and checkpoints; on a cluster one that all machines share.
            curve: Also store the curve over the seeds in this file.
            film: Also store a film of the first seed's trained agent in this file, an MP4.
            backend: Where seeds run in parallel: on this machine's cores (loky) or on a Dask cluster.
            scheduler: Address of the Dask cluster; without it a local one is started.
        """
        try:
            experiment = Experiment(
                agent,
                env,
                steps,
                config,
                evaluate_every,
                episodes,
                evaluation_env,
                truths,
                max_reward,
                hindsight,
                hindsight_k,
            )
            if film:
                os.environ["MUJOCO_GL"] = _renderer()  # before MuJoCo is imported: it binds a backend for good
            wanted = _seeds(seeds)
            held = recorded(curve, experiment, wanted) if curve else {}
            todo = [seed for seed in wanted if seed not in held or (film and seed == wanted[0])]
            runs = run_all(experiment, todo, out, backend, scheduler) if todo else []
        except KeyboardInterrupt:
            sys.exit("\nrlcourse train: stopped. The same command goes on from the last checkpoint.")
        except (ValueError, gym.error.Error) as error:
            sys.exit(f"rlcourse train: {error}")
        for record in runs:
            print(f"seed {record.seed}: {np.mean(record.returns[-1]):.1f} after {record.step[-1]} steps")
        if held:
            print(f"{curve} holds already: seeds {', '.join(map(str, held))}")
        if runs:
            print(f"results: {experiment.files(out, runs[0].seed)[0].parent}")
        if curve and runs:
            save_curve(curve, runs, command_line(experiment, seeds, curve), held)
        if film:
            world, trained = experiment.make_agent(runs[0].seed)
            loop.resume(experiment.files(out, runs[0].seed)[1], world, trained)
            stage = envs.make(experiment.evaluation_env or experiment.env, render_mode="rgb_array")
            rendering.film(stage, trained, _EVALUATION_SEED, film)

    return train


def _renderer() -> str:
    backend = rendering.find_backend()
    if backend is None:
        raise ValueError("no OpenGL backend draws here: `rlcourse doctor` says what to install; or leave out --film")
    return backend


def _seeds(text: str) -> range:
    first, colon, last = text.partition(":")
    try:
        seeds = range(int(first), int(last) if colon else int(first) + 1)
    except ValueError:
        seeds = range(0)
    if not seeds:
        raise ValueError(f"seeds = {text!r}: give one seed, or first:last with the last excluded, as in 0:5")
    return seeds


def command_line(experiment: Experiment, seeds: str, curve: Path) -> str:
    """The command that makes a curve: what differs from the defaults, no folders of this machine."""
    path = curve.name if curve.is_absolute() else curve.as_posix()
    words = ["rlcourse", "train", experiment.agent, "--env", experiment.env, "--steps", str(experiment.steps)]
    words += ["--seeds", seeds, "--curve", path]
    changed = {f: getattr(config, f.name) for config in (experiment, experiment.config) for f in fields(config)}
    for field, value in changed.items():
        if field.default is MISSING or value == field.default:
            continue
        flag = field.name.replace("_", "-")
        if isinstance(value, bool):
            words.append(f"--{flag}" if value else f"--no-{flag}")
        else:
            words += [f"--{flag}", *map(str, value if isinstance(value, tuple) else (value,))]
    return shlex.join(words)
