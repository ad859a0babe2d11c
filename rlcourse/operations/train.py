"""The command `rlcourse train` has one subcommand for each agent, whose `Config` fields are its options.

An agent from a student's own file, such as `my_dqn.py:MyDQN`, is a subcommand under that name.
"""

import os
import shlex
import sys
from collections.abc import Callable
from concurrent.futures.process import BrokenProcessPool
from dataclasses import MISSING, fields
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, Union

import gymnasium as gym
import numpy as np
import tyro
from platformdirs import user_cache_path

from rlcourse import checkpoints, files, rendering
from rlcourse.algorithms import AGENTS, config_class, her
from rlcourse.curves import compare_to_reference, curve, recorded_experiment, reference, reusable_seeds, save_curve
from rlcourse.runs import EVALUATION_SEED, Experiment, SeedsFailedError, run_all


def command() -> Any:
    """The type from which tyro makes the subcommands of `rlcourse train`."""
    subcommand = partial(tyro.conf.subcommand, prefix_name=False)
    course = [subcommand(name, constructor=_course(name), description=_idea(name)) for name in AGENTS]
    own = [subcommand(each, constructor=_own(each)) for each in sys.argv[2:3] if ".py" in each]
    return Union[tuple(Annotated[Any, each] for each in course + own)]  # noqa: UP007  (built at run time)


def _idea(agent: str) -> str:
    """The agent in a sentence, the first of its page."""
    return str(sys.modules[config_class(agent).__module__].__doc__).partition("\n")[0]


def _course(agent: str) -> Callable[..., None]:
    config_type = config_class(agent)

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
        evaluation_limit: int = Experiment.evaluation_limit,
        dataset: str = Experiment.dataset,
        standardise: bool = Experiment.standardise,
        keep: tuple[str, ...] = Experiment.keep,
        out: Path = user_cache_path("rlcourse") / "runs",  # noqa: B008  (a constant)
        curve: Path | None = None,
        compare: str = "",
        film: Path | None = None,
        backend: Literal["loky", "dask"] = "loky",
        scheduler: str | None = None,
        cuda: bool = False,
    ) -> None:
        """Train over several seeds. Interrupted? The same command goes on; what is finished is not run again.

        Args:
            env: A gymnasium id.
            steps: Environment steps per seed; with a dataset, updates.
            config: The algorithm's own options.
            seeds: One seed, or first:last, the last one excluded.
            evaluate_every: Environment steps between evaluations.
            episodes: Episodes of each evaluation.
            evaluation_env: A gymnasium id to evaluate in, where it differs.
            truths: States at which each evaluation compares the critic with the true return.
            max_reward: A bound on |r|, needed with truths.
            hindsight: Where replay takes new goals from, in a world that has goals.
            hindsight_k: How many transitions are relabelled for each that is not.
            evaluation_limit: Steps after which an evaluation's episode is cut off.
            dataset: Learn from this dataset in Minari's format, an id or a folder, and never act in the world.
            standardise: Give the dataset's observations mean 0 and spread 1.
            keep: Metrics of the updates, such as entropy, to store with the curve.
            out: Folder for results and checkpoints; on a cluster one that all machines share.
            curve: Also store the curve over the seeds in this file.
            compare: Say where each seed lies among those of this recording, as in 02_cartpole_dqn.
            film: Also store a film of the first seed's trained agent in this file, an MP4.
            backend: Where seeds run in parallel: on this machine's cores (loky) or on a Dask cluster.
            scheduler: Address of the Dask cluster; without it a local one is started.
            cuda: Let the agents learn on a GPU; the numbers differ by rounding.
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
                evaluation_limit,
                dataset,
                standardise,
                keep,
            )
        except ValueError as error:
            sys.exit(f"rlcourse train: {error}")
        _execute(experiment, seeds, out, curve, compare, film, backend, scheduler, cuda)

    return train


def _own(spec: str) -> Callable[..., None]:
    def train(
        env: str,
        steps: int,
        seeds: str = "0:1",
        evaluate_every: int = Experiment.evaluate_every,
        episodes: int = Experiment.episodes,
        evaluation_env: str = Experiment.evaluation_env,
        out: Path = user_cache_path("rlcourse") / "runs",  # noqa: B008  (a constant)
        curve: Path | None = None,
        compare: str = "",
    ) -> None:
        """Train an agent from your own file over several seeds, all in parallel.

        Args:
            env: A gymnasium id.
            steps: Environment steps per seed.
            seeds: One seed, or first:last, the last one excluded.
            evaluate_every: Environment steps between evaluations; with --compare as often as the recording was.
            episodes: Episodes of each evaluation.
            evaluation_env: A gymnasium id to evaluate in, where it differs.
            out: Folder for results and checkpoints.
            curve: Also store the curve over the seeds in this file.
            compare: Say where each seed lies among those of this recording, as in 02_cartpole_dqn.
        """
        from rlcourse.workshop import own  # late: it loads what notebooks need

        file = Path(spec.rpartition(":")[0])
        try:
            kind = own.load(spec)
            if compare:
                evaluate_every = recorded_experiment(compare).evaluate_every
            agent = f"{kind.__module__}:{kind.__name__}"
            experiment = Experiment(agent, env, steps, None, evaluate_every, episodes, evaluation_env)
            own.rehearse(kind, experiment.make_evaluation_env())
        except (own.OwnAgentError, FileNotFoundError) as error:
            sys.exit(f"rlcourse train: {error}")
        except Exception as error:  # a student's agent can raise anything
            sys.exit(f"rlcourse train: {own.words(error, file)}")
        print(*own.without(kind), sep="\n")
        try:
            _execute(experiment, seeds, out, curve, compare)
        except Exception as error:
            sys.exit(f"rlcourse train: {own.words(error, file)}")

    return train


def _execute(
    experiment: Experiment,
    seeds: str,
    out: Path,
    curve_file: Path | None,
    compare: str,
    film: Path | None = None,
    backend: Literal["loky", "dask"] = "loky",
    scheduler: str | None = None,
    gpu: bool = False,
) -> None:
    failed = ""
    try:
        if compare:
            _refuse_incomparable(experiment, compare)
        if film:
            os.environ["MUJOCO_GL"] = _renderer()  # before MuJoCo is imported: it binds a backend for good
            _refuse_film(experiment, film)
        wanted = seeds_of(seeds)
        held = _held(curve_file, experiment, wanted, gpu) if curve_file else {}
        todo = [seed for seed in wanted if seed not in held or (film and seed == wanted[0])]
        runs = run_all(experiment, todo, out, backend, scheduler, gpu) if todo else []
    except KeyboardInterrupt:
        sys.exit("\nrlcourse train: stopped. The same command goes on from the last checkpoint.")
    except BrokenProcessPool:
        sys.exit(
            "rlcourse train: a process was killed, for want of memory or from outside. The same command goes on "
            "from the last checkpoints; so does one with fewer seeds, which needs less memory."
        )
    except SeedsFailedError as error:
        runs, failed = error.finished, str(error)
    except (ValueError, OSError, gym.error.Error) as error:
        sys.exit(f"rlcourse train: {error}")
    for record in runs:
        unit = "updates" if record.dataset else "steps"
        print(f"seed {record.seed}: {np.mean(record.returns[-1]):.1f} after {record.step[-1]} {unit}")
        if record.cut_off:
            number = sum(number for _, number in record.cut_off)
            print(
                f"seed {record.seed}: {number} evaluation episodes did not end and were cut off at "
                f"--evaluation-limit {record.evaluation_limit}, first at step {record.cut_off[0][0]}"
            )
        if compare:
            print(compare_to_reference(curve([record]), reference(compare)).words)
    if held:
        print(f"{curve_file} holds already: seeds {', '.join(map(str, held))}")
    if runs:
        print(f"results: {experiment.files(out, runs[0].seed)[0].parent}")
    if failed:
        missing = f"\n{curve_file} is stored once all seeds have finished." if curve_file else ""
        sys.exit(f"rlcourse train: {failed}\nThe same command retries only what failed.{missing}")
    if curve_file and runs:
        save_curve(curve_file, runs, command_line(experiment, seeds, curve_file), held)
    if film:
        world, trained = experiment.make_agent(runs[0].seed)
        result, checkpoint = experiment.files(out, runs[0].seed)
        try:
            checkpoints.resume(checkpoint, world, trained)
        except files.BrokenFileError as error:
            result.unlink()  # else the seed would count as finished
            files.set_aside(checkpoint, error)
            sys.exit(f"rlcourse train: no film: {error}. The same command trains seed {runs[0].seed} again.")
        stage = experiment.make_evaluation_env(render_mode="rgb_array")
        rendering.film(stage, trained, EVALUATION_SEED, film)


def _refuse_incomparable(experiment: Experiment, name: str) -> None:
    """Raise a ValueError if no evaluation of the recording can be compared with the run."""
    recorded = recorded_experiment(name)
    if recorded.env != experiment.env:
        raise ValueError(f"{name} is a recording of {recorded.env}, not of {experiment.env}")
    if experiment.steps < recorded.evaluate_every:
        first = recorded.evaluate_every
        raise ValueError(f"--steps {experiment.steps}: {name} begins at step {first}; train at least until then")


def _refuse_film(experiment: Experiment, film: Path) -> None:
    """Raise a ValueError if the film could not be made at the end."""
    if film.suffix != ".mp4":
        raise ValueError(f"--film {film}: its name must end in .mp4")
    world = experiment.make_evaluation_env()
    if "rgb_array" not in world.metadata["render_modes"]:
        raise ValueError(f"--film {film}: {experiment.env} cannot be drawn; leave out --film")


def _held(curve: Path, experiment: Experiment, seeds: range, gpu: bool) -> dict[int, Any]:
    try:
        return reusable_seeds(curve, experiment, seeds, gpu)
    except files.BrokenFileError as error:
        files.set_aside(curve, error)
        return {}


def _renderer() -> str:
    backend = rendering.find_backend()
    if backend is None:
        raise ValueError("no OpenGL backend draws here: `rlcourse doctor` says what to install; or leave out --film")
    return backend


def seeds_of(text: str) -> range:
    """The seeds that 3, or 0:5 without its last, names; a ValueError for anything else."""
    first, colon, last = text.partition(":")
    try:
        seeds = range(int(first), int(last) if colon else int(first) + 1)
    except ValueError:
        seeds = range(0)
    if not seeds or seeds[0] < 0:
        raise ValueError(f"seeds = {text!r}: give one seed, or first:last with the last excluded, as in 0:5; from 0 on")
    return seeds


def command_line(experiment: Experiment, seeds: str, curve: Path) -> str:
    """The command that makes a curve. It names options that differ from the defaults, and no folder of this machine."""
    path = curve.name if curve.is_absolute() else curve.as_posix()
    agent = experiment.agent if experiment.config else experiment.agent.replace(":", ".py:")  # of one's own
    words = ["rlcourse", "train", agent, "--env", experiment.env, "--steps", str(experiment.steps)]
    words += ["--seeds", seeds, "--curve", path]
    changed = {
        f: getattr(config, f.name) for config in (experiment, experiment.config) if config for f in fields(config)
    }
    for field, value in changed.items():
        if field.default is MISSING or value == field.default:
            continue
        flag = field.name.replace("_", "-")
        if isinstance(value, bool):
            words.append(f"--{flag}" if value else f"--no-{flag}")
        else:
            words += [f"--{flag}", *map(str, value if isinstance(value, tuple) else (value,))]
    return shlex.join(words)
