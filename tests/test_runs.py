"""Many seeds: recorded once, continued, in parallel, as curves that know the code behind them."""

import ast
import json
from collections.abc import Iterator
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
import tyro

from rlcourse import checkpoints, curves, envs, files, loop, provenance, runs
from rlcourse.algorithms import AGENTS, actor_critic, dqn, q_iteration, sac, td3
from rlcourse.curves import Curve
from rlcourse.nets import generators
from rlcourse.operations import train as train_command
from rlcourse.runs import Experiment
from tests import tiny

# No two seeds of this one have equal returns, so that equal returns mean something.
POLE = Experiment("tests.tiny:Tiny", "CartPole-v1", 600, tiny.Config(lr=0.02), evaluate_every=200, episodes=3)


def test_a_run_records_every_evaluation_and_where_it_came_from(tmp_path: Path) -> None:
    record = runs.run(POLE, 1, tmp_path)
    assert record.step == [200, 400, 600]
    assert np.shape(record.returns) == (3, 3)
    assert record.config == {"lr": 0.02}
    assert record.seed == 1
    assert record.versions.keys() == {"python", "rlcourse", "gymnasium", "mujoco", "numpy", "torch"}
    stored = next(tmp_path.glob("*/seed-1.json")).read_text()
    assert runs.Run(**json.loads(stored)) == record
    assert str(tmp_path) not in stored
    assert str(Path.home()) not in stored


def test_large_networks_multiply_in_the_fastest_exact_way_and_the_record_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rlcourse.runs._exact_precision", lambda: "medium")
    large = Experiment("td3", "Pendulum-v1", 10, td3.Config(), evaluate_every=10, episodes=1)
    before = torch.get_float32_matmul_precision()
    try:
        assert runs.run(large, 0, tmp_path).machine["products"] == "oneDNN"
        assert torch.get_float32_matmul_precision() == "medium"
        assert "products" not in runs.run(POLE, 0, tmp_path).machine
        assert torch.get_float32_matmul_precision() == "highest"
    finally:
        torch.set_float32_matmul_precision(before)


@pytest.mark.thorough
def test_the_same_by_hand(tmp_path: Path) -> None:
    """A run is the loop, an agent of that seed, and evaluations from seeds that no training starts from."""
    env, agent = POLE.make_agent(2)
    training = loop.evaluated(loop.train(env, agent, 600, 2), envs.make(POLE.env), agent, 200, 3, 1_000_000)
    by_hand = [metrics["evaluation"].tolist() for metrics in training if "evaluation" in metrics]
    assert runs.run(POLE, 2, tmp_path).returns == by_hand


def test_a_finished_run_is_not_run_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record = runs.run(POLE, 0, tmp_path)

    def never(*_: Any) -> Iterator[dict[str, Any]]:
        raise AssertionError("trained again")

    monkeypatch.setattr(loop, "train", never)
    assert runs.run(POLE, 0, tmp_path) == record
    with pytest.raises(AssertionError, match="trained again"):
        runs.run(POLE, 1, tmp_path)


@pytest.mark.thorough
def test_an_interrupted_run_continues(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Interrupted between a checkpoint and the record of it; the second time it starts where the first was saved."""
    starts: list[int] = []
    genuine = loop.train

    def interrupted(*arguments: Any) -> Iterator[dict[str, Any]]:
        starts.append(arguments[-1])
        for metrics in genuine(*arguments):
            if len(starts) == 1 and metrics["step"] > 450:
                raise KeyboardInterrupt
            yield metrics

    monkeypatch.setattr(loop, "train", interrupted)
    with pytest.raises(KeyboardInterrupt):
        runs.run(POLE, 0, tmp_path / "a", save_every=0.0)
    continued = runs.run(POLE, 0, tmp_path / "a")
    monkeypatch.undo()
    assert starts[0] == 0
    assert 400 < starts[1] <= 450
    assert continued.returns == runs.run(POLE, 0, tmp_path / "b").returns
    worlds = [POLE.make_agent(0) for _ in "ab"]
    for name, world in zip("ab", worlds, strict=True):
        checkpoints.resume(POLE.files(tmp_path / name, 0)[1], *world)
    assert worlds[0][0].reset()[0].tolist() == worlds[1][0].reset()[0].tolist()


def test_metrics_to_keep_are_means_between_evaluations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of each update, also where the run was interrupted, and through a stored curve; nothing before the first one."""
    small = sac.Config(hidden=(4,), batch_size=8, learning_starts=50, buffer_size=100)
    experiment = Experiment("sac", "tests.tiny:ShortCheetah-v5", 120, small, evaluate_every=40, episodes=1)
    experiment = replace(experiment, keep=("entropy", "q"))
    seen, genuine, stop = [], loop.train, 90

    def interrupted(*arguments: Any) -> Iterator[dict[str, Any]]:
        for metrics in genuine(*arguments):
            if metrics["step"] > stop:
                raise KeyboardInterrupt
            if "entropy" in metrics:
                seen.append([metrics["step"], metrics["entropy"], metrics["q"]])
            yield metrics

    monkeypatch.setattr(loop, "train", interrupted)
    with pytest.raises(KeyboardInterrupt):
        runs.run(experiment, 0, tmp_path, save_every=0.0)
    stop = 1_000
    record = runs.run(experiment, 0, tmp_path)
    rows = np.array(list({row[0]: row for row in seen}.values()))  # what was lost is seen twice
    assert rows[:, 0].tolist() == list(range(50, 121))
    means = [rows[(low < rows[:, 0]) & (rows[:, 0] <= low + 40), 1:].mean(0).tolist() for low in (40, 80)]
    assert record.kept == [[None, None], *(pytest.approx(mean) for mean in means)]
    curves.save_curve(tmp_path / "curve.json", [record], "keep")
    kept = curves.load_curve(tmp_path / "curve.json").kept
    assert np.isnan(kept["q"][0, 0])
    assert kept["entropy"][0, 1:] == pytest.approx([mean[0] for mean in means], abs=1e-3)
    assert kept.keys() == {"entropy", "q"}


def test_a_metric_that_no_update_has_cannot_be_kept(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="keep = 'entropi': no update of Tiny had such a metric"):
        runs.run(replace(POLE, keep=("entropi",)), 0, tmp_path)


def test_checkpoints_are_rare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a clock that advances a second at every look, every 60th episode end or so."""
    saves: list[int] = []
    seconds = iter(range(10**6))
    monkeypatch.setattr("time.monotonic", lambda: float(next(seconds)))
    monkeypatch.setattr(checkpoints, "save", lambda path, env, agent, step, **_: saves.append(step))
    runs.run(Experiment("q_learning", "FrozenLake-v1", 2000, q_iteration.Config(epsilon=1.0)), 0, tmp_path)
    assert 2 <= len(saves) <= 6  # about 2000 / 7.7 episodes
    assert saves[-1] == 2000


def test_other_settings_have_other_files(tmp_path: Path) -> None:
    other = [
        Experiment("tests.tiny:TinyBox", "CartPole-v1", 600, POLE.config, 200, 3),
        Experiment("tests.tiny:Tiny", "CartPole-v0", 600, POLE.config, 200, 3),
        Experiment("tests.tiny:Tiny", "CartPole-v1", 601, POLE.config, 200, 3),
        Experiment("tests.tiny:Tiny", "CartPole-v1", 600, tiny.Config(lr=0.03), 200, 3),
        Experiment("tests.tiny:Tiny", "CartPole-v1", 600, POLE.config, 100, 3),
        Experiment("tests.tiny:Tiny", "CartPole-v1", 600, POLE.config, 200, 4),
    ]
    assert len({experiment.files(tmp_path, 0) for experiment in [POLE, *other]}) == 7


@pytest.mark.parametrize(("field", "value"), [("steps", 0), ("evaluate_every", 0), ("episodes", 0)])
def test_nonsense_is_refused_by_name(field: str, value: int) -> None:
    with pytest.raises(ValueError, match=rf"runs\.Experiment\.{field} = 0 is out of range: it must be in \[1, inf\)"):
        Experiment(**{**vars(POLE), field: value})


@pytest.mark.thorough
def test_seeds_in_parallel_are_the_seeds_alone(tmp_path: Path) -> None:
    together = runs.run_all(POLE, range(3), tmp_path / "together")
    assert [record.seed for record in together] == [0, 1, 2]
    assert together[0].returns != together[1].returns != together[2].returns
    for record in together:
        assert record.returns == runs.run(POLE, record.seed, tmp_path / "alone").returns


@pytest.mark.thorough
def test_on_a_dask_cluster(tmp_path: Path) -> None:
    """A real cluster of two worker processes on loopback, each of which does some of the seeds."""
    import distributed

    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, host="127.0.0.1", dashboard_address=None, local_directory=tmp_path
    ) as cluster:
        seeds = range(4)
        records = runs.run_all(POLE, seeds, tmp_path / "dask", "dask", cluster.scheduler_address)
        with distributed.Client(cluster) as client:
            logs = client.run(lambda dask_worker: dask_worker.state.executed_count)
    assert [record.seed for record in records] == list(seeds)
    assert all(count > 0 for count in logs.values()), f"a worker did nothing: {logs}"
    for record in records:
        assert record.returns == runs.run(POLE, record.seed, tmp_path / "alone").returns


@pytest.mark.thorough
def test_the_curve_is_the_mean_over_episodes_of_each_seed(tmp_path: Path) -> None:
    records = [runs.run(POLE, seed, tmp_path) for seed in range(2)]
    of_seeds = curves.curve(records)
    np.testing.assert_array_equal(of_seeds.step, [200, 400, 600])
    np.testing.assert_allclose(of_seeds.returns, [np.mean(record.returns, axis=1) for record in records])
    np.testing.assert_allclose(of_seeds.mean, of_seeds.returns.mean(0))
    shorter = runs.run(Experiment("tests.tiny:Tiny", "CartPole-v1", 400, POLE.config, 200, 3), 0, tmp_path)
    for wrong in ([records[0], shorter], []):
        with pytest.raises(ValueError, match="not evaluated at the same steps"):
            curves.curve(wrong)


def test_the_band_covers_the_true_mean_about_as_often_as_it_says() -> None:
    """200 curves' worth of 20 normal seeds with mean 0. A percentile bootstrap of 20 covers 93 %: 186 ± 4 of 200."""
    returns = np.random.default_rng(0).normal(size=(20, 200))
    low, high = Curve(np.arange(200), returns).band
    covered = int(((low < 0) & (high > 0)).sum())
    assert 172 <= covered <= 198  # ± 3.5 standard deviations
    np.testing.assert_allclose((high - low).mean(), 2 * 1.96 / np.sqrt(20), rtol=0.1)  # the normal interval's width


def test_one_seed_has_no_band() -> None:
    alone = Curve(np.arange(2), np.zeros((1, 2)))
    for needs_two in (lambda: alone.band, lambda: alone.gain(alone), lambda: curves.compare_to_reference(alone, alone)):
        with pytest.raises(ValueError, match=r"seeds = 1: an interval of their mean needs at least 2"):
            needs_two()


@pytest.mark.parametrize("few", [3, 5, 10, 19])
def test_the_band_of_few_seeds_covers_the_true_mean_as_often_as_it_says(few: int) -> None:
    """4000 curves' worth of normal seeds with mean 0: Student's interval is exact, 3800 ± 14; no bootstrap would do."""
    returns = np.random.default_rng(few).normal(size=(few, 4000))
    low, high = Curve(np.arange(4000), returns).band
    assert abs(int(((low < 0) & (high > 0)).sum()) - 3800) <= 3.5 * 14


def test_an_interval_of_three_seeds_by_hand() -> None:
    """1, 2, 6: mean 3, standard deviation √7, t(2 degrees of freedom) = 4.3027: 3 ± 4.3027 · √(7/3) = 3 ± 6.5724."""
    estimate = curves.mean_estimate(np.array([1.0, 2.0, 6.0]))
    assert (estimate.low, estimate.high) == pytest.approx((-3.5724, 9.5724), abs=1e-4)
    assert not estimate.resolved
    assert curves.Estimate(-2, -3, -1).resolved
    assert curves.Estimate(2, 1, 3).resolved
    with pytest.raises(ValueError, match="seeds = 1: an interval of their mean needs at least 2"):
        curves.mean_estimate(np.array([1.0]))


def test_from_twenty_seeds_on_the_band_is_the_bootstraps() -> None:
    """19 zeros and a 1: no resample has a mean below 0, where Student's interval reaches; with 18 zeros it does."""
    seeds = np.eye(1, curves.ENOUGH)[0]
    assert curves.mean_estimate(seeds).low == 0
    assert curves.mean_estimate(seeds[:-1]).low < 0


def test_a_band_of_equal_seeds_is_their_value() -> None:
    low, high = Curve(np.arange(2), np.full((5, 2), 500.0)).band
    np.testing.assert_array_equal([low, high], np.full((2, 2), 500.0))


@pytest.mark.thorough
def test_curves_are_stored_with_their_origin_and_named_when_stale(tmp_path: Path) -> None:
    records = [runs.run(POLE, seed, tmp_path / "runs") for seed in range(2)]
    path = tmp_path / "curves" / "lake.json"
    curves.save_curve(path, records, "make it")
    np.testing.assert_allclose(curves.load_curve(path).returns, curves.curve(records).returns, atol=5e-4)  # 3 decimals
    np.testing.assert_array_equal(curves.load_curve(path).seconds, curves.curve(records).seconds)
    data = json.loads(path.read_text())
    assert data["seeds"] == [0, 1]
    assert provenance.stale(path.parent) == {}
    path.write_text(json.dumps({**data, "code": "of long ago"}))
    assert provenance.stale(path.parent) == {"lake.json": "make it"}


@pytest.mark.thorough
def test_a_curve_grows_by_the_seeds_it_lacks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "pole.json"
    records = [runs.run(POLE, seed, tmp_path / "runs") for seed in range(3)]
    assert curves.reusable_seeds(path, POLE, range(3)) == {}
    curves.save_curve(path, records[:2], "two")
    held = curves.reusable_seeds(path, POLE, [1, 2])
    assert list(held) == [1]
    curves.save_curve(path, records[2:], "the last two", held)
    whole = tmp_path / "whole.json"
    curves.save_curve(whole, records[1:], "the last two")
    assert path.read_text() == whole.read_text()
    # A setting that an older curve lacks stood at its default.
    older = json.loads(path.read_text())
    del older["config"]["lr"]
    before_lr = tmp_path / "older.json"
    before_lr.write_text(json.dumps(older))
    assert list(curves.reusable_seeds(before_lr, replace(POLE, config=tiny.Config()), range(3))) == [1, 2]
    assert curves.reusable_seeds(before_lr, POLE, range(3)) == {}
    # Numbers of other settings, other code, another processor or a GPU are not mixed in.
    monkeypatch.setattr("torch.cuda.get_device_name", lambda: "a GPU")
    assert curves.reusable_seeds(path, POLE, range(3), gpu=True) == {}
    on_gpu = json.loads(path.read_text())
    on_gpu["machine"] = {**{k: v for k, v in on_gpu["machine"].items() if k != "products"}, "gpu": "a GPU"}
    path.with_name("gpu.json").write_text(json.dumps(on_gpu))
    assert list(curves.reusable_seeds(path.with_name("gpu.json"), POLE, range(3), gpu=True)) == [1, 2]
    assert curves.reusable_seeds(path, replace(POLE, episodes=POLE.episodes + 1), range(3)) == {}
    monkeypatch.setattr(provenance, "code_hash", lambda *kind: "of tomorrow")
    assert curves.reusable_seeds(path, POLE, range(3)) == {}


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An agent in two files, outside the package: its own, and one beside it that it does not use."""
    monkeypatch.syspath_prepend(tmp_path)
    provenance._parse.cache_clear()
    provenance.code_hash.cache_clear()
    return tmp_path / "hashed.py"


AGENT = '''
"""A page."""
from rlcourse import returns
from rlcourse.config import Range
RATE = 0.5
def helper(x):
    """Doc."""
    return x * RATE  # why
def unused():
    return 0
class Agent:
    def act(self):
        return helper(returns.discounted_returns)
'''


@pytest.mark.parametrize(
    ("old", "new", "matters"),
    [
        ("RATE = 0.5", "RATE = 0.6", True),
        ("x * RATE", "x + RATE", True),
        ("helper(returns", "helper(+returns", True),
        ("returns.discounted_returns", "returns.another", True),
        ("  # why", "  # because", False),
        ('"""Doc."""', '"""Document."""', False),
        ("return 0", "return 1", False),
        ("x * RATE", "(x  *  RATE)", False),
    ],
)
def test_only_code_that_a_run_reaches_makes_it_stale(package: Path, old: str, new: str, matters: bool) -> None:
    package.write_text(AGENT)
    before = provenance.code_hash("hashed:Agent")
    assert old in AGENT
    package.write_text(AGENT.replace(old, new))
    provenance._parse.cache_clear()
    provenance.code_hash.cache_clear()
    assert (provenance.code_hash("hashed:Agent") != before) == matters


def test_the_hash_is_of_the_syntax_alone_so_that_every_python_agrees() -> None:
    """In 3.12 functions got a field more, and `ast.unparse` other quotes in formatted strings."""
    tree = ast.parse("""def f(x): return f"{x['a']}", 0, False, None, ''""").body[0]
    name, key = "Name(id='x', ctx=Load())", "Constant(value='a')"
    formatted = f"FormattedValue(value=Subscript(value={name}, slice={key}, ctx=Load()), conversion=-1)"
    constants = "Constant(value=0), Constant(value=False), Constant(), Constant(value='')"
    assert provenance._canonical(tree) == (
        "FunctionDef(name='f', args=arguments(args=[arg(arg='x')]), body=[Return(value=Tuple(elts="
        f"[JoinedStr(values=[{formatted}]), {constants}], ctx=Load()))])"
    )


def test_other_code_has_other_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = POLE.files(tmp_path, 0)
    monkeypatch.setattr(provenance, "code_hash", lambda *kind: "of tomorrow")
    assert POLE.files(tmp_path, 0) != before


def test_the_hash_reaches_the_loop_and_other_modules(package: Path) -> None:
    package.write_text(AGENT)
    assert "rlcourse.returns" in {module for module, _ in provenance.reached("hashed:Agent")}
    modules = {module for module, _ in provenance.reached("q_learning")}
    assert {"rlcourse.loop", "rlcourse.envs", "rlcourse.buffers", "rlcourse.algorithms.q_iteration"} <= modules


def test_estimates_have_three_digits_and_no_exponents() -> None:
    assert str(curves.Estimate(-1054.0, -123_456.0, 0.01234)) == "-1050 (-123000 to 0.0123)"


def test_seconds_are_the_fastest_seeds_spread_over_the_steps() -> None:
    # 40 s and 50 s for 400 steps: 0.1 s a step, and something else to do.
    curve = Curve(np.array([100, 200, 400]), np.zeros((2, 3)), wall_time=np.array([40.0, 50.0]))
    assert curve.seconds == pytest.approx([10, 20, 40])
    with pytest.raises(ValueError, match="the wall time was not measured"):
        _ = Curve(np.array([1]), np.zeros((1, 1))).seconds


REFERENCE = Curve(np.array([100, 200, 300]), np.array([[0.0, 10.0, 20.0], [0.0, 20.0, 40.0], [3.0, 30.0, 60.0]]))


def test_compare_to_reference() -> None:
    """Own returns at 100, 200, 300 are 1, 15, 70: mean 28.7 against 10, 20, 31; at 300 above all seeds."""
    own = Curve(np.array([100, 300]), np.array([[1.0, 70.0]]))
    found = curves.compare_to_reference(own, REFERENCE)
    assert "After 300 steps this run scores 70" in found.words
    assert "The 3 reference seeds score 40 on average" in found.words
    assert "from 20 to 60" in found.words
    # At 200 it is interpolated to 35.5, above the highest seed, 30.
    assert "beats 3 of the 3. It lies between the worst and the best of them at 33% of its evaluations." in found.words


@pytest.mark.parametrize(("value", "among"), [(10.0, True), (9.9, False), (99.0, True)])
def test_a_run_is_among_the_seeds_if_it_is_not_worse_than_the_worst(value: float, among: bool) -> None:
    """Whose average is 10; the best one's is 31."""
    assert curves.compare_to_reference(Curve(np.array([100, 300]), np.full((1, 2), value)), REFERENCE).among is among


@pytest.mark.parametrize("seed", [0, 2])
@pytest.mark.parametrize("rounded_away", [-0.0004, 0.0004])
def test_a_seed_run_again_is_where_it_was_although_recordings_are_rounded(seed: int, rounded_away: float) -> None:
    again = Curve(REFERENCE.step, REFERENCE.returns[[seed]] + rounded_away)
    found = curves.compare_to_reference(again, REFERENCE)
    assert found.among
    assert f"it beats {seed} of the 3. It lies between the worst and the best of them at every" in found.words


def test_compare_uses_only_common_steps() -> None:
    own = Curve(np.array([150, 250]), np.array([[15.0, 15.0]]))
    found = curves.compare_to_reference(own, REFERENCE)
    assert "After 200 steps this run scores 15." in found.words
    assert "it beats 1 of the 3. It lies between the worst and the best of them at every" in found.words
    with pytest.raises(ValueError, match="evaluated at steps 10 to 20, the reference at 100 to 300"):
        curves.compare_to_reference(Curve(np.array([10, 20]), np.zeros((1, 2))), REFERENCE)


def train(words: str) -> None:
    tyro.cli(train_command.command(), args=words.split(), prog="rlcourse train")


@pytest.mark.thorough
def test_the_command_trains_records_and_stores_a_curve(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    line = "q_learning --env FrozenLake-v1 --steps 400 --seeds 0:2 --curve curves/lake.json --evaluate-every 200"
    line += " --keep td_error"
    train(f"{line} --gamma 0.95 --out {tmp_path}")
    assert "seed 1:" in capsys.readouterr().out
    stored = json.loads((tmp_path / "curves/lake.json").read_text())
    assert stored["command"] == f"rlcourse train {line} --gamma 0.95"
    assert stored["config"]["gamma"] == 0.95
    assert np.shape(stored["returns"]) == (2, 2)
    assert np.shape(stored["kept"]) == (2, 2, 1)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--env Nope-v1 --steps 10", "Environment `Nope` doesn't exist"),
        ("--env FrozenLake-v1 --steps 10 --seeds 5:5", "seeds = '5:5': give one seed, or first:last"),
        ("--env FrozenLake-v1 --steps 10 --seeds x", "seeds = 'x': give one seed, or first:last"),
        ("--env FrozenLake-v1 --steps 10 --seeds=-1", "seeds = '-1': give one seed, or first:last"),
        ("--env FrozenLake-v1 --steps 10 --seeds=-2:2", "seeds = '-2:2': give one seed, or first:last"),
        ("--env FrozenLake-v1 --steps 0", "runs.Experiment.steps = 0 is out of range"),
    ],
)
def test_the_command_says_what_is_wrong(words: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as stopped:
        train(f"q_learning {words} --out {tmp_path}")
    assert message in str(stopped.value)


# --- what goes wrong while seeds run


LAKE = Experiment("q_learning", "FrozenLake-v1", 150, q_iteration.Config(), episodes=2)


def half(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def test_fewer_steps_than_between_evaluations_are_evaluated_at_the_end(tmp_path: Path) -> None:
    assert runs.run(LAKE, 0, tmp_path).step == [150]


@pytest.mark.thorough
def test_a_broken_result_is_made_again_from_the_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record = runs.run(POLE, 0, tmp_path)
    result = POLE.files(tmp_path, 0)[0]
    half(result)
    monkeypatch.setattr(tiny.Tiny, "learn", None)  # nothing is left to learn
    with pytest.warns(UserWarning, match=r"seed-0\.json is broken: .* It is set aside as seed-0\.json\.broken"):
        again = runs.run(POLE, 0, tmp_path)
    assert again.returns == record.returns
    assert runs.read(result) == again
    result.write_text("{}")  # whole, but nothing of what it should be
    with pytest.raises(files.BrokenFileError, match=r"seed-0\.json is broken"):
        runs.read(result)


@pytest.mark.thorough
def test_a_broken_checkpoint_means_from_the_start(tmp_path: Path) -> None:
    record = runs.run(POLE, 0, tmp_path)
    result, checkpoint = POLE.files(tmp_path, 0)
    result.unlink()
    half(checkpoint)
    with pytest.warns(UserWarning, match=r"seed-0\.pt is no whole checkpoint.* set aside as seed-0\.pt\.broken"):
        again = runs.run(POLE, 0, tmp_path)
    assert again.returns == record.returns
    assert checkpoints.resume(checkpoint, *POLE.make_agent(0))["step"] == 600


def here(experiment: Experiment, seeds: range, out: Path, *_: Any) -> list[runs.Run]:
    return [runs.run(experiment, seed, out) for seed in seeds]


def test_a_broken_curve_is_set_aside_by_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train_command, "run_all", here)
    path = tmp_path / "lake.json"
    words = f"q_learning --env FrozenLake-v1 --steps 150 --out {tmp_path} --curve {path}"
    train(words)
    whole = path.read_text()
    half(path)
    with pytest.raises(files.BrokenFileError, match=r"lake\.json is broken"):
        curves.load_curve(path)
    with pytest.warns(UserWarning, match=r"set aside as lake\.json\.broken"):
        train(words)
    assert path.read_text() == whole


def test_the_command_films_no_broken_checkpoint_and_then_trains_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(train_command, "run_all", here)
    monkeypatch.setattr(train_command, "_renderer", lambda: "osmesa")
    monkeypatch.setenv("MUJOCO_GL", "osmesa")  # to be put back afterwards
    filmed: list[Path] = []
    monkeypatch.setattr("rlcourse.rendering.film", lambda *arguments: filmed.append(arguments[-1]))
    words = f"q_learning --env FrozenLake-v1 --steps 150 --episodes 2 --out {tmp_path} --film {tmp_path / 'lake.mp4'}"
    runs.run(LAKE, 0, tmp_path)
    half(LAKE.files(tmp_path, 0)[1])
    with pytest.warns(UserWarning, match="set aside"), pytest.raises(SystemExit, match="trains seed 0 again"):
        train(words)
    train(words)
    assert len(filmed) == 1


@pytest.fixture
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("joblib.cpu_count", lambda: 1)


@pytest.mark.usefixtures("in_this_process")
def test_a_seed_that_fails_does_not_stop_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    genuine, ran = runs.run, list[int]()

    def failing(experiment: Experiment, seed: int, *rest: Any, **options: Any) -> runs.Run:
        if seed == 1 and not ran.count(1):
            ran.append(seed)
            raise ZeroDivisionError("gone wrong")
        if not experiment.files(tmp_path, seed)[0].exists():
            ran.append(seed)
        return genuine(experiment, seed, *rest, **options)

    monkeypatch.setattr(runs, "run", failing)
    curve = tmp_path / "lake.json"
    words = f"q_learning --env FrozenLake-v1 --steps 150 --episodes 2 --seeds 0:3 --out {tmp_path} --curve {curve}"
    with pytest.raises(SystemExit) as stopped:
        train(words)
    message = str(stopped.value)  # a text: exit status 1
    log = LAKE.files(tmp_path, 1)[0].with_suffix(".traceback.txt")
    assert f"seed 1 failed: ZeroDivisionError: gone wrong (traceback: {log})" in message
    assert "The same command retries only what failed." in message
    assert "in failing" in log.read_text()
    printed = capsys.readouterr().out
    assert "seed 0: " in printed
    assert "seed 2: " in printed
    assert ran == [1, 0, 2] or ran == [0, 1, 2]
    assert not curve.exists()
    train(words)
    assert sorted(ran) == [0, 1, 1, 2]
    assert not log.exists()
    assert json.loads(curve.read_text())["seeds"] == [0, 1, 2]


@pytest.mark.usefixtures("in_this_process")
def test_a_full_disk_has_no_room_for_a_traceback(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, *_: Any) -> None:
        raise OSError(28, "the disk is full", str(path))

    monkeypatch.setattr(files, "write", full)
    with pytest.raises(runs.SeedsFailedError, match=r"seed 0 failed: OSError: .*seed-0\.json.* \(no traceback: .*full"):
        runs.run_all(LAKE, [0], tmp_path)


def test_negative_seeds_are_refused(tmp_path: Path) -> None:
    for wrong in (lambda: runs.run(LAKE, -1, tmp_path), lambda: runs.run_all(LAKE, [0, -1], tmp_path)):
        with pytest.raises(ValueError, match=r"seed = -1 is out of range: it must be in \[0, inf\)"):
            wrong()
    assert not list(tmp_path.iterdir())


def test_a_process_that_was_killed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(*_: Any) -> None:
        raise BrokenProcessPool("A child process terminated abruptly")

    monkeypatch.setattr(train_command, "run_all", killed)
    with pytest.raises(SystemExit, match="a process was killed, for want of memory or from outside"):
        train(f"q_learning --env FrozenLake-v1 --steps 10 --out {tmp_path}")


class Keeper(gym.Env[np.ndarray, int]):
    """Keeps something that no saved state covers."""

    def __init__(self) -> None:
        self.observation_space = gym.spaces.Box(0, 1, (1,))
        self.action_space = gym.spaces.Discrete(2)  # type: ignore[assignment]
        self.thing = object()

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, Any]:
        super().reset(seed=seed)
        return np.zeros(1, np.float32), {}

    def step(self, action: int) -> Any:
        raise AssertionError("trained")


gym.register("Keeper-v0", "tests.test_runs:Keeper")


def test_a_world_that_cannot_be_saved_is_refused_before_it_is_trained_in(tmp_path: Path) -> None:
    for experiment in (
        Experiment("actor_critic", "Keeper-v0", 100, actor_critic.Config()),
        Experiment("dqn", "Keeper-v0", 100, dqn.Config(), truths=1),
    ):
        with pytest.raises(ValueError, match=r"Keeper\.thing holds a builtins\.object"):
            runs.run(experiment, 0, tmp_path)


def test_evaluations_without_an_end_are_cut_off_and_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Optimistic zeros against steps that cost 1: 20 steps along the cliff do not teach a way to the goal."""
    monkeypatch.setattr(train_command, "run_all", here)
    words = "q_learning --env CliffWalking-v1 --steps 20 --evaluate-every 10 --episodes 2 --evaluation-limit 30"
    with pytest.warns(UserWarning, match="2 of the 2 evaluation episodes did not end by themselves: cut off after 30"):
        train(f"{words} --out {tmp_path}")
    assert "seed 0: 4 evaluation episodes did not end and were cut off at --evaluation-limit 30, first at step 10" in (
        capsys.readouterr().out
    )
    record = runs.read(next(tmp_path.glob("*/seed-0.json")))
    assert record.cut_off == [[10, 2], [20, 2]]
    assert record.evaluation_limit == 30


def test_the_usual_limit_is_no_setting_so_that_recordings_stay_what_they_are() -> None:
    assert "evaluation_limit" not in LAKE.settings
    assert replace(LAKE, evaluation_limit=30).settings["evaluation_limit"] == 30


def test_stopping_the_command_says_how_to_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(train_command, "run_all", interrupted)
    with pytest.raises(SystemExit, match="The same command goes on"):
        train(f"q_learning --env FrozenLake-v1 --steps 10 --out {tmp_path}")


@pytest.mark.parametrize("agent", AGENTS)
def test_every_config_field_is_an_option(agent: str, capsys: pytest.CaptureFixture[str]) -> None:
    from dataclasses import fields
    from pkgutil import resolve_name

    with pytest.raises(SystemExit):
        train(f"{agent} --help")
    shown = capsys.readouterr().out
    config = resolve_name(AGENTS[agent].split(":")[0] + ":Config")
    assert all(f"--{field.name.replace('_', '-')}" in shown for field in fields(config))


def test_the_truth_beside_the_critic(tmp_path: Path) -> None:
    """An agent that believes 3 of everything and always pushes left; what that returns is rolled out by hand."""

    class Pusher:
        config = q_iteration.Config(gamma=0.9)

        def act(self, obs: Any, explore: bool = True) -> int:
            return 0

        def value(self, obs: Any, action: int) -> float:
            return 3.0

    env = envs.make("CartPole-v1")
    experiment = runs.Experiment("dqn", "CartPole-v1", 1, None, truths=2, max_reward=1.0)
    believed, truth = runs.ground_truth(env, Pusher(), experiment, every=4)
    assert believed.tolist() == [3, 3]
    env.reset(seed=1_000_000)
    length, over = 0, False
    while not over:
        over, length = env.step(0)[2], length + 1
    # 1 for every step until it falls, from the first state and from the fifth; the truth stops at 1 % of the bound 10.
    expected = [(1 - 0.9**steps) / 0.1 for steps in (length, length - 4)]
    np.testing.assert_allclose(truth, expected, atol=0.1)
    assert length > 4


@pytest.mark.parametrize(
    ("agent", "world"), [("q_learning", "FrozenLake-v1"), ("reinforce", "CartPole-v1"), ("ppo", "CartPole-v1")]
)
def test_what_has_no_q_has_no_truth(agent: str, world: str) -> None:
    config = resolve_name(AGENTS[agent].split(":")[0]).Config()
    with pytest.raises(ValueError, match=f"agent = '{agent}' has no Q.*leave out truths"):
        runs.Experiment(agent, world, 1, config, truths=2).make_agent(0)


@pytest.mark.parametrize("copies", [5, 10, 20])
def test_redundant_actions_do_the_same_and_noise_has_mean_zero(copies: int) -> None:
    env = envs.make(f"rlcourse/CartPole{2 * copies}Actions-v0")
    noisy = envs.make(f"rlcourse/CartPole{2 * copies}ActionsNoisy-v0")
    assert env.action_space == noisy.action_space == gym.spaces.Discrete(2 * copies)
    after = []
    for action in (1, 2 * copies - 1, 0):
        env.reset(seed=0)
        after.append(env.step(action)[0].tolist())
    assert after[0] == after[1] != after[2]
    noisy.reset(seed=0)
    rewards = []
    for _ in range(2000):
        _, reward, terminated, truncated, _ = noisy.step(noisy.action_space.sample())
        rewards.append(float(reward))
        if terminated or truncated:
            noisy.reset()
    assert np.mean(rewards) == pytest.approx(1, abs=4 / np.sqrt(2000))
    assert np.std(rewards) == pytest.approx(1, abs=0.1)


# --- numbers with their intervals


def test_a_success_is_a_last_evaluation_that_reaches_the_goal() -> None:
    """2 of 3 seeds; Clopper and Pearson's ends for 3 of 3 are (0.05 / 2)^(1/3) = 0.2924 and 1."""
    returns = np.array([[500.0, 474.9], [0.0, 475.0], [0.0, 500.0]])
    rate = Curve(np.arange(2), returns).success_rate(475)
    assert rate.value == pytest.approx(2 / 3)
    everyone = Curve(np.arange(2), returns[1:].repeat(3, 0)[:3]).success_rate(475)
    assert (everyone.value, everyone.high) == (1, 1)
    assert everyone.low == pytest.approx(0.2924, abs=5e-5)
    assert str(everyone) == "1 (0.292 to 1)"


def test_the_gain_is_the_mean_difference_of_the_seeds_that_both_have() -> None:
    """Seed 0 gains (1 + 3) / 2 = 2, seed 1 gains (4 + 4) / 2 = 4; t of one degree of freedom is 12.706 = tan(0.475π),
    and the mean's standard error 1. Unpaired, the interval would be a thousand wide."""
    base = Curve(np.array([1, 2]), np.array([[0.0, 0.0], [1000.0, 2000.0], [7.0, 7.0]]))
    own = Curve(np.array([1, 2]), np.array([[1.0, 3.0], [1004.0, 2004.0]]))
    gain = own.gain(base)
    assert (gain.value, gain.low, gain.high) == pytest.approx((3, 3 - 12.7062, 3 + 12.7062), abs=1e-4)
    assert base.gain(own).high == pytest.approx(-gain.low)
    with pytest.raises(ValueError, match="not evaluated at the same steps"):
        own.gain(Curve(np.array([1, 3]), own.returns))


def test_bias_is_positive_where_the_critic_believes_too_much() -> None:
    measured = Curve(np.arange(1), np.zeros((2, 1)), np.array([[5.0], [1.0]]), np.array([[3.0], [2.0]]))
    np.testing.assert_array_equal(measured.bias, [[2.0], [-1.0]])
    with pytest.raises(ValueError, match="the truth was not measured"):
        _ = Curve(np.arange(1), np.zeros((2, 1))).bias


# --- how matrices are multiplied


def test_large_products_are_float32s_however_they_are_made() -> None:
    assert runs.matmul_precision(128, 64) == runs.matmul_precision(1_000, 64) == "highest"
    before, (one, other) = torch.get_float32_matmul_precision(), torch.randn(2, 300, 300, generator=generators(0, 1)[0])
    torch.set_float32_matmul_precision(runs.matmul_precision(256, 256))
    error = (one @ other - one.double() @ other.double()).abs().max()
    torch.set_float32_matmul_precision(before)
    # √300 sums of size 1 with a relative error of 2⁻²⁴ each are off by about 1e-6 · a few; bfloat16's 2⁻⁹ by 0.1
    assert error < 1e-3


def test_a_processor_that_rounds_to_bfloat16_is_not_let_to(monkeypatch: pytest.MonkeyPatch) -> None:
    def rounded(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        exact = one.dtype == torch.float64 or torch.get_float32_matmul_precision() == "highest"
        return torch.matmul(one, other) if exact else torch.matmul(one.bfloat16(), other.bfloat16()).float()

    before = torch.get_float32_matmul_precision()
    monkeypatch.setattr(torch.Tensor, "__matmul__", rounded)
    assert runs._exact_precision.__wrapped__() == "highest"
    assert torch.get_float32_matmul_precision() == before
