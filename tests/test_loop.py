"""Training, evaluation, and runs that survive whatever kills them."""

import multiprocessing
import random
import signal
import time
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch

from rlcourse import envs, loop, runs
from rlcourse.algorithms import dqn, q_iteration
from tests import tiny
from tests.tiny import Config as TinyConfig
from tests.tiny import Tiny

torch.set_num_threads(1)  # as in every run: the results of two threads differ


def q_learner(seed: int = 0) -> q_iteration.QLearning:
    return q_iteration.QLearning(16, 4, q_iteration.Config(), seed)


def same(a: Any, b: Any) -> bool:
    """Bit for bit: nested dicts, dataclasses and sequences of tensors, arrays and numbers."""
    if is_dataclass(a):
        return same(vars(a), vars(b))
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    return np.array_equal(a, b)


def test_what_train_yields() -> None:
    env = gym.wrappers.TimeLimit(envs.TabularEnv(envs.GridWorld("S.G", step_cost=-1.0).mdp()), 2)
    agent = q_iteration.QLearning(3, 4, q_iteration.Config(), seed=0)
    seen = list(loop.train(env, agent, 4, seed=0))
    assert [list(metrics) for metrics in seen] == 2 * [
        ["step", "td_error"],
        ["step", "reward"],
        ["step", "td_error"],
        ["step", "reward", "episode_return", "episode_length"],
    ]
    assert [metrics["step"] for metrics in seen] == [1, 1, 2, 2, 3, 3, 4, 4]
    assert seen[3]["episode_length"] == 2
    assert seen[3]["episode_return"] == seen[1]["reward"] + seen[3]["reward"]


class Recorder:
    """Takes action 1 and writes down what it is handed."""

    def __init__(self) -> None:
        self.transitions: list[Any] = []
        self.explored: list[bool] = []

    def act(self, obs: Any, explore: bool = True) -> int:
        self.explored.append(explore)
        return 1

    def observe(self, transition: Any) -> None:
        self.transitions.append(transition)

    def learn(self) -> Any:
        yield from ()

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None: ...


def test_the_last_transition_ends_where_the_episode_did() -> None:
    agent = Recorder()
    list(loop.train(gym.wrappers.TimeLimit(envs.Discounting(), 5), agent, 4, seed=0))
    assert [(t.obs[0], t.next_obs[0], t.terminated, t.truncated) for t in agent.transitions] == 2 * [
        (0.0, 1.0, False, False),
        (1.0, 1.0, True, False),
    ]


def test_evaluation_neither_explores_nor_learns_and_counts_truncated_episodes() -> None:
    agent = Recorder()
    returns = loop.evaluate(gym.wrappers.TimeLimit(envs.TruncationIsNotTermination(), 5), agent, 3, seed=0)
    np.testing.assert_array_equal(returns, [2.0, 2.0, 2.0])
    assert agent.explored == [False] * 6
    assert agent.transitions == []


def test_evaluation_episodes_have_their_own_seeds() -> None:
    """Which of −1 and 1 an episode pays is decided by its seed alone, whatever came before."""
    env, agent = envs.ObservationMatters(), Recorder()
    alone = [loop.evaluate(env, agent, 1, seed=s)[0] for s in range(5, 15)]
    np.testing.assert_array_equal(loop.evaluate(env, agent, 10, seed=5), alone)
    assert set(alone) == {-1.0, 1.0}


def test_evaluated_adds_evaluations_after_whole_steps_and_changes_nothing_else() -> None:
    def run(every: int) -> tuple[list[Any], Any]:
        env, other, agent = gym.make("FrozenLake-v1"), gym.make("FrozenLake-v1"), q_learner()
        return list(loop.evaluated(loop.train(env, agent, 300, 0), other, agent, every, 2, seed=7)), agent

    with_evaluation, agent = run(100)
    evaluated = [metrics for metrics in with_evaluation if "evaluation" in metrics]
    assert [metrics["step"] for metrics in evaluated] == [100, 200, 300]
    assert all("reward" in metrics and metrics["evaluation"].shape == (2,) for metrics in evaluated)
    without, twin = run(1000)
    assert [{k: v for k, v in m.items() if k != "evaluation"} for m in with_evaluation] == without
    assert same(agent.state_dict(), twin.state_dict())


@pytest.mark.parametrize("where", ["env", "agent"])
def test_an_interrupt_leaves_a_usable_agent(where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    env, agent = gym.make("FrozenLake-v1"), q_learner()
    owner, name = (env.unwrapped, "step") if where == "env" else (agent, "update")
    genuine, calls = getattr(owner, name), iter(range(100))

    def interrupted(argument: Any) -> Any:
        if next(calls) == 50:
            raise KeyboardInterrupt
        return genuine(argument)

    monkeypatch.setattr(owner, name, interrupted)
    with pytest.raises(KeyboardInterrupt):
        list(loop.train(env, agent, 1000, seed=0))
    monkeypatch.undo()
    assert loop.evaluate(gym.make("FrozenLake-v1"), agent, 2, seed=0).shape == (2,)
    assert list(loop.train(env, agent, 10, seed=None))[-1]["step"] == 10


def test_resume_is_exact_from_every_episode_end(tmp_path: Path) -> None:
    def fresh() -> tuple[gym.Env, Tiny]:
        env = envs.make("CartPole-v1")
        return env, Tiny(4, 2, TinyConfig(), seed=3)

    env, agent = fresh()
    whole, saves = [], []
    for metrics in loop.train(env, agent, 300, seed=0):
        whole.append(metrics)
        if "episode_return" in metrics:
            saves.append((tmp_path / str(metrics["step"]), len(whole)))
            loop.save(saves[-1][0], env, agent, metrics["step"], note="kept")
    assert len(saves) > 5
    for path, position in saves:
        other_env, other = fresh()
        state = loop.resume(path, other_env, other)
        assert state == {"step": int(path.name), "note": "kept"}
        assert list(loop.train(other_env, other, 300, None, start=state["step"])) == whole[position:]
        assert same(other.state_dict(), agent.state_dict())


def test_a_save_that_fails_keeps_the_one_before(tmp_path: Path) -> None:
    env, agent = gym.make("FrozenLake-v1"), q_learner()
    path = tmp_path / "run.pt"
    loop.save(path, env, agent, 1)
    before = path.read_bytes()
    with pytest.raises(Exception, match="pickle"):
        loop.save(path, env, agent, 2, impossible=lambda: None)
    assert path.read_bytes() == before


SMALL_DQN = dqn.Config(hidden=(16,), batch_size=16, buffer_size=500, learning_starts=50, n_step=3)

# Every agent joins by a line: agent, its Config, environment, steps (some seconds of training, many short episodes).
KILLED = [
    ("dqn", SMALL_DQN, "tests.tiny:ShortCartPole-v1", 3_000),
    ("tests.tiny:TinyBox", TinyConfig(), "tests.tiny:ShortCheetah-v5", 4_000),
]


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("agent", "config", "env", "steps"), KILLED, ids=lambda value: value if isinstance(value, str) else ""
)
def test_killed_ten_times_and_resumed_is_bit_for_bit_the_same(
    agent: str, config: Any, env: str, steps: int, tmp_path: Path
) -> None:
    experiment = runs.Experiment(agent, env, steps, config, evaluate_every=steps // 5, episodes=1)
    context = multiprocessing.get_context("forkserver")  # imports once, so that each process starts in milliseconds
    context.set_forkserver_preload(
        ["__main__", "rlcourse.runs", "torch._dynamo", "gymnasium.envs.mujoco.half_cheetah_v5"]
    )

    def start(out: Path) -> Any:
        awake = context.Event()
        process = context.Process(target=tiny.work, args=(awake, experiment, out))
        process.start()
        assert awake.wait(60)
        return process

    undisturbed = start(tmp_path / "whole")
    undisturbed.join()
    assert undisturbed.exitcode == 0
    whole_result, whole = experiment.files(tmp_path / "whole", 0)
    result, checkpoint = experiment.files(tmp_path / "killed", 0)

    def saved_step() -> int:
        return int(torch.load(checkpoint, weights_only=False)["step"]) if checkpoint.exists() else 0

    chance = random.Random(0)
    for kill in range(1, 11):  # spread over the run by its progress: its speed depends on what else the machine does
        process = start(tmp_path / "killed")
        while saved_step() < steps * kill / 14 and process.is_alive():
            time.sleep(0.005)
        process.join(chance.uniform(0, 0.03))  # some steps, updates and saves later
        process.kill()
        process.join()
        assert process.exitcode == -signal.SIGKILL, "it was finished before it was killed"
    final = start(tmp_path / "killed")
    final.join()
    assert final.exitcode == 0

    states = [torch.load(path, weights_only=False) for path in (whole, checkpoint)]
    for state in states:
        del state["wall_time"]
    assert same(*states)
    records = [runs.read(path) for path in (whole_result, result)]
    assert len(records[0].step) == 5
    assert records[0].returns == records[1].returns
