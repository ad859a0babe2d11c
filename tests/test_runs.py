"""Many seeds: recorded once, continued, in parallel, as curves that know the code behind them."""

import ast
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
import tyro

from rlcourse import curves, envs, loop, provenance, runs
from rlcourse.algorithms import AGENTS, q_iteration, td3
from rlcourse.curves import Curve
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
    monkeypatch.setattr("rlcourse.nets._exact_precision", lambda: "medium")
    large = Experiment("td3", "Pendulum-v1", 10, td3.Config(), evaluate_every=10, episodes=1)
    before = torch.get_float32_matmul_precision()
    try:
        assert runs.run(large, 0, tmp_path).machine["products"] == "oneDNN"
        assert torch.get_float32_matmul_precision() == "medium"
        assert "products" not in runs.run(POLE, 0, tmp_path).machine
        assert torch.get_float32_matmul_precision() == "highest"
    finally:
        torch.set_float32_matmul_precision(before)


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
    ends = [torch.load(POLE.files(tmp_path / name, 0)[1], weights_only=False)["env"] for name in "ab"]
    assert ends[0] == ends[1]


def test_checkpoints_are_rare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a clock that advances a second at every look, every 60th episode end or so."""
    saves: list[int] = []
    seconds = iter(range(10**6))
    monkeypatch.setattr("time.monotonic", lambda: float(next(seconds)))
    monkeypatch.setattr(loop, "save", lambda path, env, agent, step, **_: saves.append(step))
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


def test_a_band_of_equal_seeds_is_their_value() -> None:
    low, high = Curve(np.arange(2), np.full((5, 2), 500.0)).band
    np.testing.assert_array_equal([low, high], np.full((2, 2), 500.0))


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


def test_a_curve_grows_by_the_seeds_it_lacks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "pole.json"
    records = [runs.run(POLE, seed, tmp_path / "runs") for seed in range(3)]
    assert curves.recorded(path, POLE, range(3)) == {}
    curves.save_curve(path, records[:2], "two")
    held = curves.recorded(path, POLE, [1, 2])
    assert list(held) == [1]
    curves.save_curve(path, records[2:], "the last two", held)
    whole = tmp_path / "whole.json"
    curves.save_curve(whole, records[1:], "the last two")
    assert path.read_text() == whole.read_text()
    # Numbers of other settings, other code or another processor are not mixed in.
    assert curves.recorded(path, replace(POLE, episodes=POLE.episodes + 1), range(3)) == {}
    monkeypatch.setattr(provenance, "code_hash", lambda agent, hindsight: "of tomorrow")
    assert curves.recorded(path, POLE, range(3)) == {}


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An agent in two files, outside the package: its own, and one beside it that it does not use."""
    monkeypatch.syspath_prepend(tmp_path)
    provenance._parse.cache_clear()
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
    monkeypatch.setattr(provenance, "code_hash", lambda agent, hindsight: "of tomorrow")
    assert POLE.files(tmp_path, 0) != before


def test_the_hash_reaches_the_loop_and_other_modules(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package.write_text(AGENT)
    seen: set[str] = set()
    genuine = provenance._parse

    def parse(module: str) -> Any:
        seen.add(module)
        return genuine(module)

    monkeypatch.setattr(provenance, "_parse", parse)
    provenance.code_hash("hashed:Agent")
    assert "rlcourse.returns" in seen
    provenance.code_hash("q_learning")
    assert {"rlcourse.loop", "rlcourse.envs", "rlcourse.buffers", "rlcourse.algorithms.q_iteration"} <= seen


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
    assert (found.step, found.value, found.better_than) == (300, 70.0, 3)
    assert found.inside == pytest.approx(1 / 3)  # at 200 it is interpolated to 35.5, above the highest seed, 30
    assert "After 300 steps this run scores 70" in found.words
    assert "The 3 reference seeds score 40 on average" in found.words
    assert "from 20 to 60" in found.words
    assert "beats 3 of the 3, and for 33%" in found.words


def test_compare_uses_only_common_steps() -> None:
    own = Curve(np.array([150, 250]), np.array([[15.0, 15.0]]))
    found = curves.compare_to_reference(own, REFERENCE)
    assert (found.step, found.value, found.better_than, found.inside) == (200, 15.0, 1, 1.0)
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
    train(f"{line} --gamma 0.95 --out {tmp_path}")
    assert "seed 1:" in capsys.readouterr().out
    stored = json.loads((tmp_path / "curves/lake.json").read_text())
    assert stored["command"] == f"rlcourse train {line} --gamma 0.95"
    assert stored["config"]["gamma"] == 0.95
    assert np.shape(stored["returns"]) == (2, 2)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--env Nope-v1 --steps 10", "Environment `Nope` doesn't exist"),
        ("--env FrozenLake-v1 --steps 10 --seeds 5:5", "seeds = '5:5': give one seed, or first:last"),
        ("--env FrozenLake-v1 --steps 10 --seeds x", "seeds = 'x': give one seed, or first:last"),
        ("--env FrozenLake-v1 --steps 0", "runs.Experiment.steps = 0 is out of range"),
    ],
)
def test_the_command_says_what_is_wrong(words: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as stopped:
        train(f"q_learning {words} --out {tmp_path}")
    assert message in str(stopped.value)


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


@pytest.mark.parametrize("agent", ["q_learning", "reinforce", "ppo"])
def test_what_has_no_q_has_no_truth(agent: str) -> None:
    config = resolve_name(AGENTS[agent].split(":")[0]).Config()
    with pytest.raises(ValueError, match=f"agent = '{agent}' has no Q.*leave out truths"):
        runs.Experiment(agent, "CartPole-v1", 1, config, truths=2).make_agent(0)


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
    """Seed 0 gains (1 + 3) / 2 = 2, seed 1 gains (4 + 4) / 2 = 4; unpaired, the interval would reach far below 2."""
    base = Curve(np.array([1, 2]), np.array([[0.0, 0.0], [1000.0, 2000.0], [7.0, 7.0]]))
    own = Curve(np.array([1, 2]), np.array([[1.0, 3.0], [1004.0, 2004.0]]))
    assert own.gain(base) == curves.Estimate(3, 2, 4)  # a mean of two drawn from {2, 4}: 2, 3, 3 or 4
    assert base.gain(own) == curves.Estimate(-3, -4, -2)
    with pytest.raises(ValueError, match="not evaluated at the same steps"):
        own.gain(Curve(np.array([1, 3]), own.returns))


def test_bias_is_positive_where_the_critic_believes_too_much() -> None:
    measured = Curve(np.arange(1), np.zeros((2, 1)), np.array([[5.0], [1.0]]), np.array([[3.0], [2.0]]))
    np.testing.assert_array_equal(measured.bias, [[2.0], [-1.0]])
    with pytest.raises(ValueError, match="the truth was not measured"):
        _ = Curve(np.arange(1), np.zeros((2, 1))).bias
