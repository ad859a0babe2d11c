"""Training, evaluation, and runs that survive whatever kills them."""

import multiprocessing
import random
import signal
import time
from dataclasses import is_dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium as gym
import mujoco  # type: ignore[import-untyped]
import numpy as np
import pytest
import torch
from gymnasium.spaces import flatdim

from rlcourse import checkpoints, envs, loop, probes, runs
from rlcourse.algorithms import actor_critic, ddpg, double_ac, dqn, ppo, q_iteration, reinforce, sac, td3, td7
from tests import tiny
from tests.tiny import Config as TinyConfig
from tests.tiny import Tiny

torch.set_num_threads(1)  # as in every run: the results of two threads differ


def q_learner(seed: int = 0) -> q_iteration.QLearning:
    return q_iteration.QLearning(16, 4, q_iteration.Config(), seed)


def same(a: Any, b: Any) -> bool:
    """Bit for bit: nested dicts, dataclasses and sequences of tensors, arrays, numbers, generators, MuJoCo states."""
    if is_dataclass(a):
        return same(vars(a), vars(b))
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, np.random.Generator):
        return same(a.bit_generator.state, b.bit_generator.state)
    if isinstance(a, mujoco.MjData):
        return all(np.array_equal(getattr(a, name), getattr(b, name)) for name in ("time", "qpos", "qvel", "qacc"))
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
    list(loop.train(gym.wrappers.TimeLimit(probes.Discounting(), 5), agent, 4, seed=0))
    assert [(t.obs[0], t.next_obs[0], t.terminated, t.truncated) for t in agent.transitions] == 2 * [
        (0.0, 1.0, False, False),
        (1.0, 1.0, True, False),
    ]


class VectorRecorder(Recorder):
    """The same for environments side by side; learns once after every second round."""

    def act(self, obs: Any, explore: bool = True) -> Any:
        return np.ones(len(obs), int)

    def learn(self) -> Any:
        if len(self.transitions) % 2 == 0:
            yield {"loss": 0.0}


def side_by_side(*lengths: int) -> gym.vector.SyncVectorEnv:
    """Worlds that pay 1 for ever, seen as 0 and then 1, cut after 2 steps or after what `lengths` say."""

    def world(length: int) -> gym.Env:
        return gym.wrappers.TimeLimit(probes.Discounting() if length == 0 else probes.TruncationIsNotTermination(), 5)

    mode = gym.vector.AutoresetMode.SAME_STEP
    return gym.vector.SyncVectorEnv([partial(world, length) for length in lengths], autoreset_mode=mode)


def test_the_vector_loop_hands_over_what_really_followed() -> None:
    """Both worlds go 0 → 1 → end; the observation at the end is 1, and 0 is the next episode's."""
    agent = VectorRecorder()
    list(loop.train_vector(side_by_side(0, 2), agent, 8, seed=0))
    assert len(agent.transitions) == 4
    for t, transition in enumerate(agent.transitions):
        at_the_end = t % 2 == 1
        assert transition.obs[:, 0].tolist() == [at_the_end, at_the_end]
        assert transition.next_obs[:, 0].tolist() == [1, 1]
        assert transition.terminated.tolist() == [at_the_end, False]
        assert transition.truncated.tolist() == [False, at_the_end]
        assert transition.reward.tolist() == [at_the_end, 1]


def test_what_the_vector_loop_yields() -> None:
    seen = list(loop.train_vector(side_by_side(0, 2), VectorRecorder(), 7, seed=0))  # the last round is completed
    step, end = ["step", "reward"], ["step", "reward", "episode_return", "episode_length"]
    rounds = [step, step, ["step", "loss"], end, end, ["step", "env_state"]]
    assert [list(metrics) for metrics in seen] == 2 * rounds
    assert [m["step"] for m in seen] == [1, 2, 4, 3, 4, 4, 5, 6, 8, 7, 8, 8]
    assert [(m["episode_return"], m["episode_length"]) for m in seen if "episode_return" in m] == 2 * [(1, 2), (2, 2)]


def test_environments_side_by_side_have_their_own_seeds() -> None:
    starts = envs.make_vector("CartPole-v1", 3).reset(seed=7)[0]
    alone = [envs.make("CartPole-v1").reset(seed=seed)[0] for seed in (7, 8, 9)]
    np.testing.assert_array_equal(starts, alone)


def test_actions_side_by_side_are_rescaled_and_clipped() -> None:
    """Pendulum's torque is −2 to 2; an action of 3 is 1, and 1 is the torque 2."""
    world: Any = envs.make_vector("Pendulum-v1", 2)
    world.reset(seed=0)
    world.step(np.array([[3.0], [0.25]], np.float32))
    assert [float(one.unwrapped.last_u) for one in world.envs] == [2.0, 0.5]


@pytest.mark.parametrize("env_id", ["tests.tiny:ShortCartPole-v1", "tests.tiny:ShortCheetah-v5"])
def test_resume_is_exact_after_every_rollout(env_id: str, tmp_path: Path) -> None:
    def fresh() -> tuple[Any, Any]:
        env = envs.make_vector(env_id, 3)
        config = actor_critic.Config(num_envs=3, rollout_steps=20, n_step=5)
        size = flatdim(env.single_observation_space)
        return env, actor_critic.ActorCritic(size, env.single_action_space, config, seed=3)

    def without_arrays(seen: list[Any]) -> list[Any]:
        return [metrics for metrics in seen if "env_state" not in metrics]

    env, agent = fresh()
    whole, saves = [], []
    for metrics in loop.train_vector(env, agent, 600, seed=0):
        whole.append(metrics)
        if "env_state" in metrics:
            saves.append((tmp_path / str(metrics["step"]), len(whole)))
            checkpoints.save(saves[-1][0], env, agent, metrics["step"], env_state=metrics["env_state"])
    assert len(saves) == 10
    for path, position in saves[::3]:
        other_env, other = fresh()
        state = checkpoints.resume(path, other_env, other)
        again = list(loop.train_vector(other_env, other, 600, None, state["step"], state["env_state"]))
        assert without_arrays(again) == without_arrays(whole[position:])
        assert same(other.state_dict(), agent.state_dict())


def test_evaluation_neither_explores_nor_learns_and_counts_truncated_episodes() -> None:
    agent = Recorder()
    returns = loop.evaluate(gym.wrappers.TimeLimit(probes.TruncationIsNotTermination(), 5), agent, 3, seed=0)
    np.testing.assert_array_equal(returns, [2.0, 2.0, 2.0])
    assert agent.explored == [False] * 6
    assert agent.transitions == []


def test_evaluation_episodes_have_their_own_seeds() -> None:
    """Which of −1 and 1 an episode pays is decided by its seed alone, whatever came before."""
    env, agent = probes.ObservationMatters(), Recorder()
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
            checkpoints.save(saves[-1][0], env, agent, metrics["step"], note="kept")
    assert len(saves) > 5
    for path, position in saves:
        other_env, other = fresh()
        state = checkpoints.resume(path, other_env, other)
        assert state == {"step": int(path.name), "note": "kept"}
        assert list(loop.train(other_env, other, 300, None, start=state["step"])) == whole[position:]
        assert same(other.state_dict(), agent.state_dict())


def test_a_save_that_fails_keeps_the_one_before(tmp_path: Path) -> None:
    env, agent = gym.make("FrozenLake-v1"), q_learner()
    path = tmp_path / "run.pt"
    checkpoints.save(path, env, agent, 1)
    before = path.read_bytes()
    with pytest.raises(Exception, match="pickle"):
        checkpoints.save(path, env, agent, 2, impossible=lambda: None)
    assert path.read_bytes() == before


SMALL_DQN = dqn.Config(hidden=(16,), batch_size=16, buffer_size=500, learning_starts=50, n_step=3)

SMALL_BATCHES: dict[str, Any] = {"hidden": (16,), "batch_size": 16, "buffer_size": 500, "learning_starts": 50}

# Every agent joins by a line: agent, its Config, environment, steps (some seconds of training, many short episodes).
KILLED = [
    ("dqn", SMALL_DQN, "tests.tiny:ShortCartPole-v1", 3_000),
    ("tests.tiny:TinyBox", TinyConfig(), "tests.tiny:ShortCheetah-v5", 4_000),
    ("reinforce", reinforce.Config(batch_size=4), "tests.tiny:ShortCartPole-v1", 12_000),
    ("actor_critic", actor_critic.Config(num_envs=4), "tests.tiny:ShortCartPole-v1", 20_000),
    ("ddpg", ddpg.Config(**SMALL_BATCHES, reversion=0.15), "tests.tiny:ShortCheetah-v5", 2_000),
    ("double_ac", double_ac.Config(**SMALL_BATCHES, pairs=2), "tests.tiny:ShortCheetah-v5", 2_000),
    ("td3", td3.Config(**SMALL_BATCHES), "tests.tiny:ShortCheetah-v5", 2_000),
    ("sac", sac.Config(**SMALL_BATCHES), "tests.tiny:ShortCheetah-v5", 2_000),
    (
        "td7",
        td7.Config(**SMALL_BATCHES, embedding=8, target_every=50, late_after=500, assessment_episodes=3),
        "tests.tiny:ShortCheetah-v5",
        2_000,
    ),
    ("dqn", replace(SMALL_DQN, n_step=1), "rlcourse/BitFlip20-v0", 3_000),  # with hindsight
    ("ppo", ppo.Config(num_envs=2, rollout_steps=100, epochs=2), "tests.tiny:ShortCheetah-v5", 6_000),
]


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("agent", "config", "env", "steps"), KILLED, ids=lambda value: value if isinstance(value, str) else ""
)
def test_killed_ten_times_and_resumed_is_bit_for_bit_the_same(
    agent: str, config: Any, env: str, steps: int, tmp_path: Path
) -> None:
    experiment = runs.Experiment(agent, env, steps, config, evaluate_every=steps // 5, episodes=1)
    if "BitFlip" in env:
        experiment = replace(experiment, hindsight="future")
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
