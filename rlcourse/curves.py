"""Curves over several seeds: store and load them, compute bands and estimates, compare a run with them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import scipy  # whose `stats` takes a second to import: scipy does it when it is first used
from jaxtyping import Bool, Float, Int

from rlcourse import files
from rlcourse.provenance import origin
from rlcourse.runs import Experiment, Run, stored_config

CURVES = Path(__file__).parents[1] / "assets" / "curves"
DECIMALS = 3  # that a stored curve keeps of each number
ENOUGH = 20  # seeds; from this number on `mean_band` trusts the bootstrap
_COLUMNS = ("wall_time", "returns", "believed", "truth", "kept")  # of a stored curve: a row for each seed


@dataclass(frozen=True)
class Estimate:
    """A number and the ends of its 95 % interval."""

    value: float
    low: float
    high: float

    @property
    def resolved(self) -> bool:
        """Whether the sign is known: the interval does not hold zero."""
        return self.low > 0 or self.high < 0

    def __str__(self) -> str:
        return f"{digits(self.value)} ({digits(self.low)} to {digits(self.high)})"


def digits(value: float, sign: str = "") -> str:
    """A number with three significant digits, without an exponent below a million; `sign="+"` shows a plus."""
    return f"{float(f'{value:.3g}'):{sign}g}"


def signed(value: float, places: int = 2) -> str:
    """A number with its sign and a true minus, as −0.50; what rounds to 0 is +0.00."""
    return f"{float(value):+z.{places}f}".replace("-", "−")


def mean_band(seeds: Float[np.ndarray, "N ..."]) -> tuple[Float[np.ndarray, "..."], Float[np.ndarray, "..."]]:
    """Low and high end of the 95 % interval of the mean over seeds. The whole course uses this interval.

    For fewer than `ENOUGH` seeds it is Student's t interval, which allows for a spread that is itself estimated from
    few numbers. From there on it is the percentile bootstrap, which does not assume that the seeds' returns are normal.
    The bootstrap's interval of 20 normal numbers holds their true mean in 93 % of the cases; with five numbers it would
    be 84 %, too few. The interval says how well the mean is known, not where single seeds fall.

    Two settings that were run with the same seeds are compared by the interval of their differences, seed by seed
    (`Curve.gain`). A difference is *resolved* if its interval does not hold zero (`Estimate.resolved`).

    Raises:
        ValueError: a single seed, which tells nothing about spread.
    """
    if len(seeds) < 2:
        raise ValueError(
            f"seeds = {len(seeds)}: an interval of their mean needs at least 2; run more, as --seeds 0:5 does"
        )
    if len(seeds) < ENOUGH:
        half = scipy.stats.t.ppf(0.975, len(seeds) - 1) * scipy.stats.sem(seeds, axis=0)
        return np.asarray(seeds.mean(0) - half), np.asarray(seeds.mean(0) + half)
    interval = scipy.stats.bootstrap(
        (seeds,), np.mean, axis=0, n_resamples=2000, method="percentile", rng=np.random.default_rng(0)
    ).confidence_interval
    return np.asarray(interval.low), np.asarray(interval.high)


def mean_estimate(seeds: Float[np.ndarray, " N"]) -> Estimate:
    """The mean over seeds in its interval, see `mean_band`."""
    low, high = mean_band(seeds)
    return Estimate(float(seeds.mean()), float(low), float(high))


def share_estimate(hits: Bool[np.ndarray, " N"]) -> Estimate:
    """The share that is true, in the exact interval of Clopper and Pearson."""
    test = scipy.stats.binomtest(int(hits.sum()), len(hits))
    interval = test.proportion_ci(0.95, method="exact")
    return Estimate(float(test.statistic), float(interval.low), float(interval.high))


@dataclass(frozen=True)
class Curve:
    """Evaluations of N seeds at the same steps; one seed is a student's own run.

    Attributes:
        step: environment steps, or `unit`s, `(T,)`.
        returns: mean undiscounted return over the episodes of each evaluation, `(N, T)`.
        believed: mean of what the critic believed of its own actions, `(N, T)`; None if the truth was not measured.
        truth: mean of what these actions really returned, `(N, T)`.
        wall_time: how long each seed's whole run took in seconds, evaluations included, `(N,)`; None if not measured.
        kept: metrics by their names, the mean of each between two evaluations; NaN before the first update.
    """

    step: Int[np.ndarray, " T"]
    returns: Float[np.ndarray, "N T"]
    believed: Float[np.ndarray, "N T"] | None = None
    truth: Float[np.ndarray, "N T"] | None = None
    wall_time: Float[np.ndarray, " N"] | None = None
    unit: str = "environment step"  # an update, where agents learn from a dataset
    kept: Mapping[str, Float[np.ndarray, "N T"]] = field(default_factory=dict)

    @property
    def seconds(self) -> Float[np.ndarray, " T"]:
        """About when each evaluation took place: the fastest seed's wall time, spread evenly over the steps.

        The fastest seed is taken because other work on the machine can only have slowed the seeds down.

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
        """What the critic believed minus the truth. Above 0 the critic overestimates.

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

        The differences are paired: seed i minus seed i, up to the last seed that both have.

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
    kept = _by_name(runs[0].keep, [r.kept for r in runs])
    if not runs[0].truths:
        return Curve(np.array(runs[0].step), returns, wall_time=wall_time, kept=kept)
    believed, truth = np.array([np.mean(r.truth, axis=2) for r in runs]).transpose(2, 0, 1)
    return Curve(np.array(runs[0].step), returns, believed, truth, wall_time, kept=kept)


def _by_name(names: Sequence[str], kept: Any) -> dict[str, Float[np.ndarray, "N T"]]:
    """`Run.kept` of all seeds as `Curve.kept`."""
    return {name: np.array(kept, float)[:, :, k] for k, name in enumerate(names)}


def reusable_seeds(path: Path, experiment: Experiment, seeds: Sequence[int], gpu: bool = False) -> dict[int, Any]:
    """The rows of those `seeds` that a stored curve holds, if experiment, code and kind of machine are the same.

    Raises:
        BrokenFileError: the file is not whole.
    """
    data = files.read_json(path) if path.exists() else {}
    precision = "highest" if gpu else experiment.matmul_precision
    here = json.loads(json.dumps(origin(experiment.settings, precision, gpu)))
    if data.get("config") is not None:  # a field that is younger than the curve had no other value than its default
        data["config"] = json.loads(json.dumps(asdict(type(experiment.config)()))) | data["config"]
    if any(data.get(key) != value for key, value in here.items()):
        return {}
    columns = (data.get(key) or [None] * len(data["seeds"]) for key in _COLUMNS)
    rows = dict(zip(data["seeds"], zip(*columns, strict=True), strict=True))
    return {seed: rows[seed] for seed in seeds if seed in rows}


def save_curve(path: Path, runs: Sequence[Run], command: str, held: Mapping[int, Any] = MappingProxyType({})) -> None:
    """Store the curve with the command that makes it, the code that made it and where it ran.

    Args:
        held: seeds that the file holds already and that shall be kept, see `reusable_seeds`.
    """
    rows = dict(held)
    for r in runs:
        of_seed = curve([r])
        columns = (of_seed.returns, of_seed.believed, of_seed.truth)
        rows[r.seed] = (
            r.wall_time,
            *(None if column is None else column[0].round(DECIMALS).tolist() for column in columns),
            [[x if x is None else round(x, DECIMALS) for x in numbers] for numbers in r.kept] if r.keep else None,
        )
    one = asdict(runs[0])
    data = {
        "command": command,
        **{key: one[key] for key in one if key not in ("seed", "cut_off", *_COLUMNS)},
        "seeds": sorted(rows),
    }
    for key, *column in zip(_COLUMNS, *(rows[seed] for seed in sorted(rows)), strict=True):
        data[key] = None if None in column else column
    files.write(path, json.dumps(data) + "\n")


def load_curve(path: Path) -> Curve:
    """Read what `save_curve` stored.

    Raises:
        BrokenFileError: the file is not whole.
    """
    data = files.read_json(path)
    believed, truth = (None if data[key] is None else np.array(data[key], float) for key in ("believed", "truth"))
    wall_time = np.array(data["wall_time"], float)
    unit = "update" if data.get("dataset") else Curve.unit
    kept = _by_name(data.get("keep", ()), data.get("kept"))
    return Curve(np.array(data["step"]), np.array(data["returns"], float), believed, truth, wall_time, unit, kept)


def reference(name: str) -> Curve:
    """A recorded curve from `assets/curves`, by its name without the ending."""
    return load_curve(CURVES / f"{name}.json")


def recorded_experiment(name: str) -> Experiment:
    """The experiment that `reference(name)` recorded. The first recordings do not say how the truth was measured."""
    path = CURVES / f"{name}.json"
    if not path.exists():
        raise FileNotFoundError(f"there is no recording {name!r}: take a name from {CURVES}, such as 02_cartpole_dqn")
    data = files.read_json(path)
    settings = {field.name: data[field.name] for field in fields(Experiment) if field.name in data}
    # The first recordings do not say how often they were evaluated.
    settings |= {"config": stored_config(data["agent"], data["config"]), "evaluate_every": data["step"][0]}
    settings["keep"] = tuple(data.get("keep", ()))  # JSON has no tuples
    return Experiment(**settings)


@dataclass(frozen=True)
class Comparison:
    """Where a run lies among reference seeds, at the steps that both have reached.

    Attributes:
        among: whether its average is not below those of all reference seeds.
        words: this and more in sentences.
    """

    among: bool
    words: str


def _at(share: float) -> str:
    return {1.0: "at every evaluation", 0.0: "at no evaluation"}.get(share, f"at {share:.0%} of its evaluations")


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
    slack = 0.5 * 10**-DECIMALS  # stored numbers are rounded: the lowest seed, run again, is not below itself
    better_than = int((own.mean() > seeds.mean(1) + slack).sum())
    among = bool(own.mean() >= seeds.mean(1).min() - slack)
    inside = float(((seeds.min(0) - slack <= own) & (own <= seeds.max(0) + slack)).mean())
    low, high = (end[common][-1] for end in reference.band)
    last = seeds[:, -1]
    digits = 0 if max(abs(last.max()), abs(last.min())) >= 20 else 1  # small scores would all be rounded to one
    words = (
        f"After {step[-1]} steps this run scores {own[-1]:.{digits}f}. The {len(seeds)} reference seeds score "
        f"{last.mean():.{digits}f} on average (95 % band of the mean {low:.{digits}f} to {high:.{digits}f}), from "
        f"{last.min():.{digits}f} to {last.max():.{digits}f}. Averaged over the curve it beats {better_than} of "
        f"the {len(seeds)}. It lies between the worst and the best of them {_at(inside)}."
    )
    return Comparison(among, words)
