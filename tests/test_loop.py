"""Training, evaluation, and runs that survive whatever kills them."""

import errno
import io
import multiprocessing
import random
import signal
import time
from collections import deque
from dataclasses import fields, is_dataclass, replace
from functools import partial
from inspect import signature
from pathlib import Path
from typing import Any

import gymnasium as gym
import mujoco  # type: ignore[import-untyped]
import numpy as np
import pytest
import torch
from gymnasium.spaces import flatdim

from rlcourse import checkpoints, envs, files, loop, probes, runs
from rlcourse.algorithms import (
    AGENTS,
    actor_critic,
    agent_class,
    config_class,
    ddpg,
    double_ac,
    dqn,
    her,
    off_policy_ac,
    ppo,
    q_iteration,
    rainbow,
    reinforce,
    sac,
    td3,
    td7,
)
from rlcourse.buffers import NStep, Rollout
from tests import tiny
from tests.tiny import Config as TinyConfig
from tests.tiny import Tiny

torch.set_num_threads(1)  # as in every run: the results of two threads differ


def q_learner(seed: int = 0) -> q_iteration.QLearning:
    return q_iteration.QLearning(16, 4, q_iteration.Config(), seed)


def takes_count(kind: type[Any]) -> bool:
    """Whether an agent is told the number of actions, not their space."""
    return "num_actions" in signature(kind).parameters


def same(a: Any, b: Any) -> bool:
    """Bit for bit: nested dicts, dataclasses, memories, sequences; tensors, numbers, generators, MuJoCo states."""
    if is_dataclass(a) or isinstance(a, NStep | Rollout):
        return same(vars(a), vars(b))
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple | deque):
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


@pytest.mark.parametrize(
    "env_id",
    ["tests.tiny:ShortCartPole-v1", pytest.param("tests.tiny:ShortCheetah-v5", marks=pytest.mark.thorough)],
)
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


# --- a world's word, and what becomes of it


class Reusing(gym.Env[Any, Any]):
    """Counts its steps in one array, which it hands out again and again, and halves its actions where they lie.

    Pays 1 a step in its first episode, 100 in later ones. Episodes are cut after `length` steps, or end there.
    """

    def __init__(self, length: int = 3, ends: bool = False, discrete: bool = False, goals: bool = False) -> None:
        self.length, self.ends, self.goals = length, ends, goals
        self.observation_space = gym.spaces.Box(0, 100, (1,))
        self.action_space = gym.spaces.Discrete(2) if discrete else gym.spaces.Box(-1, 1, (1,))
        self.place = np.zeros(1, np.float32)
        self.pay = 0.01

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.place[:] = 0
        self.pay *= 100
        return {"observation": self.place} if self.goals else self.place, {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        if isinstance(self.action_space, gym.spaces.Box):
            action *= 0.5
        self.place += 1
        over = bool(self.place[0] == self.length)
        obs = {"observation": self.place} if self.goals else self.place
        return obs, self.pay, over and self.ends, over and not self.ends, {}


gym.register(
    "Reusing-v0", "tests.test_loop:Reusing", disable_env_checker=True
)  # gymnasium's checker warns of such worlds


class Steady(Recorder):
    """Acts with ½, once or for each of many observations."""

    def act(self, obs: Any, explore: bool = True) -> Any:
        return np.full(1 if isinstance(obs, dict) else obs.shape, 0.5, np.float32)


@pytest.mark.parametrize("goals", [False, True])
def test_a_world_that_reuses_its_arrays_is_remembered_as_it_was(goals: bool) -> None:
    agent = Steady()
    list(loop.train(Reusing(goals=goals), agent, 5, seed=0))

    def place(obs: Any) -> float:
        return float(obs["observation"][0] if goals else obs[0])

    steps = [(place(t.obs), t.action.tolist(), place(t.next_obs)) for t in agent.transitions]
    assert steps == [(0, [0.5], 1), (1, [0.5], 2), (2, [0.5], 3), (0, [0.5], 1), (1, [0.5], 2)]


def test_worlds_side_by_side_that_reuse_their_arrays_too() -> None:
    agent = Steady()
    list(loop.train_vector(envs.make_vector("Reusing-v0", 2), agent, 10, seed=0))
    assert [t.obs.ravel().tolist() for t in agent.transitions] == [[0, 0], [1, 1], [2, 2], [0, 0], [1, 1]]
    assert [t.next_obs.ravel().tolist() for t in agent.transitions] == [[1, 1], [2, 2], [3, 3], [1, 1], [2, 2]]
    assert [t.action.ravel().tolist() for t in agent.transitions] == 5 * [[0.5, 0.5]]


def test_worlds_side_by_side_that_reuse_their_arrays_are_refused_where_nobody_copies() -> None:
    """The last observation is 3; the next episode has begun in the same array, which says 0."""
    mode = gym.vector.AutoresetMode.SAME_STEP
    worlds = gym.vector.SyncVectorEnv([Reusing, partial(Reusing, 50)], autoreset_mode=mode)
    agent = Steady()
    with pytest.raises(ValueError, match=r"the same array again and again, .*: make it with envs\.make_vector"):
        list(loop.train_vector(worlds, agent, 10, seed=0))
    assert len(agent.transitions) == 2  # nothing wrong is observed


@pytest.mark.parametrize("name", ["dqn", "rainbow", "reinforce", "actor_critic", "ppo"])
def test_the_error_of_an_agent_made_for_other_observations_names_the_space(name: str) -> None:
    world, kind, config = envs.make("CartPole-v1"), agent_class(name), config_class(name)()
    actions = 2 if takes_count(kind) else world.action_space
    agent = kind(3, actions, config, 0)  # CartPole shows four numbers
    if hasattr(config, "num_envs"):
        training = loop.train_vector(envs.make_vector("CartPole-v1", config.num_envs), agent, 10, 0)
    else:
        training = loop.evaluated(iter([{"reward": 0.0, "step": 1}]), world, agent, 1, 1, 0)
    with pytest.raises(RuntimeError) as error:
        next(training)
    (note,) = error.value.__notes__
    space = world.observation_space
    assert note.startswith(
        f"{kind.__name__} was to act on an observation of observation_space = {space}: the agent must"
    )


def test_each_loop_refuses_the_other_ones_agents_and_worlds() -> None:
    space = gym.spaces.Discrete(2)
    many = ppo.PPO(4, space, ppo.Config(num_envs=2), 0)
    with pytest.raises(
        ValueError, match=r"PPO in .* cannot learn in this loop: .* train_vector for those with num_envs"
    ):
        next(loop.train(envs.make("CartPole-v1"), many, 10, 0))
    with pytest.raises(ValueError, match=r"make it with envs\.make_vector, or with autoreset_mode=.*SAME_STEP"):
        next(loop.train_vector(gym.make_vec("CartPole-v1", 2), many, 10, 0))
    with pytest.raises(
        ValueError, match=r"DQN in .* cannot learn in this loop: train is for agents of one environment"
    ):
        next(loop.train_vector(envs.make_vector("CartPole-v1", 2), dqn.DQN(4, 2, dqn.Config(), 0), 10, 0))


# --- an episode that is given up


def stopped(training: Any, step: int) -> None:
    """A student's stop button: the loop is left where it stands."""
    next(metrics for metrics in training if metrics["step"] == step and "reward" in metrics)


def test_no_window_of_steps_takes_the_next_episodes_reward() -> None:
    """γ = ½, n = 3: of two steps that paid 1 remain 1 + ½ over two steps and 1 over one; then 100 + 50 + 25."""
    env, agent = Reusing(50, discrete=True), dqn.DQN(1, 2, dqn.Config(gamma=0.5, n_step=3), 0)
    stopped(loop.train(env, agent, 10, 0), 2)
    list(loop.train(env, agent, 3, None))
    kept = agent.replay.gather(torch.arange(len(agent.replay)))
    assert kept.reward.tolist() == [1.5, 1, 175]
    assert kept.steps.tolist() == [2, 1, 3]
    assert kept.obs.ravel().tolist() == [0, 1, 0]
    assert kept.next_obs.ravel().tolist() == [2, 2, 3]
    assert kept.terminated.tolist() == [0, 0, 0]


def test_reinforce_sees_whole_episodes_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """16 steps, then 7 of an episode that is given up, then 16: an update with 32 steps that end at 16 and 32."""
    config = reinforce.Config(batch_size=2)
    env, agent = Reusing(16, ends=True, discrete=True), reinforce.REINFORCE(1, gym.spaces.Discrete(2), config, 0)
    seen: list[Any] = []

    def update(rollout: Any) -> dict[str, float]:
        seen.append(rollout)
        return {}

    monkeypatch.setattr(agent, "update", update)
    stopped(loop.train(env, agent, 100, 0), 23)
    list(loop.train(env, agent, 16, None))
    assert [rollout.reward.tolist() for rollout in seen] == [16 * [1.0] + 16 * [10000.0]]
    assert np.flatnonzero(seen[0].terminated).tolist() == [15, 31]


@pytest.mark.parametrize("page", [actor_critic, ppo])
def test_a_rollout_is_cut_where_its_episodes_were_given_up(page: Any) -> None:
    env, config = envs.make_vector("Reusing-v0", 2), page.Config(num_envs=2, rollout_steps=50)
    agent = agent_class(page.__name__.rpartition(".")[2])(1, env.single_action_space, config, 0)
    stopped(loop.train_vector(env, agent, 100, 0), 10)  # after five rounds: episodes of 3 and of 2 steps
    list(loop.train_vector(env, agent, 4, None))
    rollout = agent.rollout.take()
    assert rollout.obs[:, 0, 0].tolist() == [0, 1, 2, 0, 1, 0, 1]
    assert rollout.next_obs[:, 0, 0].tolist() == [1, 2, 3, 1, 2, 1, 2]
    assert rollout.truncated.T.tolist() == 2 * [[False, False, True, False, True, False, False]]
    assert not rollout.terminated.any()


def test_noise_that_remembers_forgets_an_episode_that_was_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    config = ddpg.Config(batch_size=1, learning_starts=1, buffer_size=9, hidden=(4,), reversion=0.15)
    env, agent = Reusing(50), ddpg.DDPG(1, gym.spaces.Box(-1, 1, (1,)), config, 0)
    seen: list[float] = []
    genuine = agent.act

    def act(obs: Any) -> Any:
        seen.append(float(agent._noise[0]))
        return genuine(obs)

    monkeypatch.setattr(agent, "act", act)
    stopped(loop.train(env, agent, 9, 0), 3)
    stopped(loop.train(env, agent, 9, None), 2)
    assert [noise == 0 for noise in seen] == [True, True, False, True, False]  # the first action is drawn at random
    assert agent._noise[0] != 0


def test_td7_assesses_a_policy_by_whole_episodes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three steps that pay 1 are given up; the next episode's 16 steps pay 100 each, and 19 steps were collected."""
    config = td7.Config(batch_size=1, learning_starts=1, buffer_size=99, hidden=(4, 4), embedding=4)
    env, agent = Reusing(16), td7.TD7(1, gym.spaces.Box(-1, 1, (1,)), config, 0)
    seen: list[Any] = []
    monkeypatch.setattr(agent, "_assess", lambda: seen.append((agent._return, agent._collected)))
    stopped(loop.train(env, agent, 9, 0), 3)
    list(loop.train(env, agent, 16, None))
    assert seen == [(1600, 19)]


MORE: dict[str, dict[str, Any]] = {"ddpg": {"reversion": 0.15}, "td7": {"embedding": 4}}
SMALL: dict[str, Any] = {"hidden": (4, 4), "batch_size": 2, "buffer_size": 99, "learning_starts": 2}


@pytest.mark.parametrize("name", [name for name in AGENTS if name != "q_learning"])
def test_between_episodes_there_is_nothing_to_drop(name: str) -> None:
    make = config_class(name)
    off_policy = "buffer_size" in {field.name for field in fields(make)}
    config: Any = make(**SMALL, **MORE.get(name, {})) if off_policy else make()
    counts = takes_count(agent_class(name))
    agent = agent_class(name)(1, 2 if counts else gym.spaces.Box(-1, 1, (1,)), config, 0)
    if hasattr(config, "num_envs"):
        stopped(loop.train_vector(envs.make_vector("Reusing-v0", 2), agent, 20, 0), 6)
    else:
        stopped(loop.train(Reusing(discrete=counts), agent, 20, 0), 6)
    before = agent.state_dict()
    getattr(agent, "drop_episode", lambda: None)()
    assert same(agent.state_dict(), before)


def test_the_loop_tells_a_memory_with_hindsight() -> None:
    env = envs.make("rlcourse/BitFlip5-v0")
    replay = her.HindsightReplay(env, 50, her.Config())
    agent = dqn.DQN(flatdim(env.observation_space), 5, dqn.Config(n_step=1), 0, replay)
    stopped(loop.train(env, agent, 9, 0), 3)
    episodes_end = len(replay)
    training = loop.train(env, agent, 9, None)
    next(training)
    assert episodes_end < 3 == len(replay)


def test_evaluations_end_and_say_so() -> None:
    """With a table of zeros it walks up for ever, each step costs 1, and the world has no time limit."""
    env, agent = gym.make("CliffWalking-v1"), q_iteration.QLearning(48, 4, q_iteration.Config(), 0)
    with pytest.warns(UserWarning, match="2 of the 2 evaluation episodes did not end by themselves: cut off after 50 "):
        returns = loop.evaluate(env, agent, 2, 0, limit=50)
    assert returns.tolist() == [-50, -50]
    training = iter([{"step": 1, "reward": 0.0}, {"step": 2, "reward": 0.0}])
    with pytest.warns(UserWarning, match="2 of the 2"):
        first, second = loop.evaluated(training, env, agent, 2, 2, 0, limit=50)
    assert "cut_off" not in first
    assert second["cut_off"] == 2


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


@pytest.mark.thorough
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


@pytest.mark.parametrize("covered", [True, False])
def test_a_single_world_is_saved_whole_where_that_can_be_done(covered: bool, tmp_path: Path) -> None:
    """What `Reusing` pays grows a hundredfold with each episode: 1, 100, 10 000. Its generator does not know that."""
    env, other = Reusing(), Reusing()
    if not covered:
        env.thing = object()  # type: ignore[attr-defined]
    agent = Steady()
    list(loop.train(env, agent, 3, seed=0))
    checkpoints.save(tmp_path / "run.pt", env, agent, 3)
    expected = env.np_random.random(3).tolist()
    checkpoints.resume(tmp_path / "run.pt", other, agent)
    assert other.np_random.random(3).tolist() == expected
    list(loop.train(other, agent, 4, None, start=3))
    assert agent.transitions[-1].reward == (10_000 if covered else 1)


def test_a_save_that_fails_keeps_the_one_before(tmp_path: Path) -> None:
    env, agent = gym.make("FrozenLake-v1"), q_learner()
    path = tmp_path / "run.pt"
    checkpoints.save(path, env, agent, 1)
    before = path.read_bytes()
    with pytest.raises(Exception, match="pickle"):
        checkpoints.save(path, env, agent, 2, impossible=lambda: None)
    assert path.read_bytes() == before


@pytest.mark.parametrize("torch_writes", [False, True])
def test_a_full_disk_is_named_with_the_file(
    torch_writes: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Full(io.FileIO):
        def write(self, data: Any) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    path = tmp_path / "run.pt"
    path.write_text("before")
    monkeypatch.setattr(Path, "open", lambda path, mode: Full(path, mode))
    write = partial(checkpoints.save, env=gym.make("FrozenLake-v1"), agent=q_learner(), step=1)
    with pytest.raises(OSError, match=r"the disk is full: make room, then run the same again.*run\.pt"):
        write(path) if torch_writes else files.write(path, "text")
    monkeypatch.undo()
    assert [each.read_text() for each in tmp_path.iterdir()] == ["before"]


@pytest.mark.parametrize("content", ["half", b"", b"rubbish"])
def test_a_broken_checkpoint_is_named_and_touches_nothing(content: bytes | str, tmp_path: Path) -> None:
    env, agent, path = gym.make("FrozenLake-v1"), q_learner(), tmp_path / "run.pt"
    checkpoints.save(path, env, agent, 1)
    path.write_bytes(path.read_bytes()[:300] if content == "half" else bytes(content))  # type: ignore[arg-type]
    before = agent.state_dict()
    with pytest.raises(files.BrokenFileError, match=r"run\.pt is no whole checkpoint"):
        checkpoints.resume(path, env, agent)
    assert same(agent.state_dict(), before)


def test_a_checkpoint_goes_on_only_as_it_was_made(tmp_path: Path) -> None:
    def pole(page: Any = dqn, worlds: int = 1, **changes: Any) -> tuple[Any, Any]:
        if page is dqn:
            return envs.make("CartPole-v1"), dqn.DQN(4, 2, dqn.Config(**{"hidden": (8,), **changes}), 0)
        env = envs.make_vector("CartPole-v1", worlds)
        config = page.Config(num_envs=4)
        return env, agent_class(page.__name__.rpartition(".")[2])(4, gym.spaces.Discrete(2), config, 0)

    one, many = tmp_path / "one.pt", tmp_path / "many.pt"
    checkpoints.save(one, *pole(), 1)
    vector, agent = pole(ppo, 4)
    vector.reset(seed=0)
    checkpoints.save(many, vector, agent, 1, env_state={})
    cases = [
        (one, pole(lr=0.5), r"one\.pt goes on only as it was made, with lr = 0\.001 \(here 0\.5\)$"),
        (one, pole(hidden=(8, 8)), r"hidden = \(8,\) \(here \(8, 8\)\)$"),
        (many, pole(ppo, 2), r"environments = 4 \(here 2\)$"),
        (many, pole(actor_critic, 4), r"agent = 'PPO' \(here 'ActorCritic'\)"),
        (one, (envs.make("Acrobot-v1"), pole()[1]), r"environment = 'CartPoleEnv' \(here 'AcrobotEnv'\)"),
    ]
    for path, (env, other), message in cases:
        before = other.state_dict()
        with pytest.raises(ValueError, match=message):
            checkpoints.resume(path, env, other)
        assert same(other.state_dict(), before)
    assert checkpoints.resume(one, *pole()) == {"step": 1}


SMALL_BATCHES: dict[str, Any] = {"hidden": (16,), "batch_size": 16, "buffer_size": 150, "learning_starts": 50}
SMALL_DQN = dqn.Config(**SMALL_BATCHES, n_step=3)

# Every agent joins by a line: agent, its Config, environment, steps (some seconds of training, many short episodes). In
# `make test` it is a fifth of these steps, in which memories go round twice, too, and TD7 comes to its late phase.
KILLED = [
    ("dqn", SMALL_DQN, "tests.tiny:ShortCartPole-v1", 3_000),
    ("rainbow", rainbow.Config(**SMALL_BATCHES), "tests.tiny:ShortCartPole-v1", 3_000),
    ("tests.tiny:TinyBox", TinyConfig(), "tests.tiny:ShortCheetah-v5", 4_000),
    ("reinforce", reinforce.Config(batch_size=4), "tests.tiny:ShortCartPole-v1", 12_000),
    ("actor_critic", actor_critic.Config(num_envs=4), "tests.tiny:ShortCartPole-v1", 20_000),
    ("ddpg", ddpg.Config(**SMALL_BATCHES, reversion=0.15), "tests.tiny:ShortCheetah-v5", 2_000),
    ("double_ac", double_ac.Config(**SMALL_BATCHES, pairs=2), "tests.tiny:ShortCheetah-v5", 2_000),
    ("td3", td3.Config(**SMALL_BATCHES), "tests.tiny:ShortCheetah-v5", 2_000),
    ("off_policy_ac", off_policy_ac.Config(**SMALL_BATCHES), "tests.tiny:ShortCheetah-v5", 2_000),
    ("sac", sac.Config(**SMALL_BATCHES), "tests.tiny:ShortCheetah-v5", 2_000),
    (
        "td7",
        td7.Config(**SMALL_BATCHES, embedding=8, target_every=50, late_after=150, assessment_episodes=3),
        "tests.tiny:ShortCheetah-v5",
        2_000,
    ),
    ("dqn", replace(SMALL_DQN, n_step=1), "rlcourse/BitFlip20-v0", 3_000),  # with hindsight
    ("ppo", ppo.Config(num_envs=2, rollout_steps=50, epochs=2), "tests.tiny:ShortCheetah-v5", 6_000),
]


@pytest.mark.thorough
@pytest.mark.parametrize("kills", [3, pytest.param(10, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    ("agent", "config", "env", "steps"), KILLED, ids=lambda value: value if isinstance(value, str) else ""
)
def test_killed_and_resumed_again_and_again_is_bit_for_bit_the_same(
    agent: str, config: Any, env: str, steps: int, kills: int, tmp_path: Path
) -> None:
    steps = steps if kills == 10 else steps // 5
    experiment = runs.Experiment(agent, env, steps, config, evaluate_every=steps // 5, episodes=1)
    if "BitFlip" in env:
        experiment = replace(experiment, hindsight="future")
    context = multiprocessing.get_context("forkserver")  # imports once, so that each process starts in milliseconds
    context.set_forkserver_preload(["__main__", "tests.tiny", "torch._dynamo", "gymnasium.envs.mujoco.half_cheetah_v5"])
    saved = context.Value("q", lock=False)  # the step of the running process's last checkpoint

    def start(out: Path, finishes: bool = True) -> Any:
        saved.value = 0
        process = context.Process(target=tiny.work, args=(saved, experiment, out, finishes))
        process.start()
        return process

    undisturbed = start(tmp_path / "whole")
    undisturbed.join()
    assert undisturbed.exitcode == 0
    assert saved.value == steps
    whole_result, whole = experiment.files(tmp_path / "whole", 0)
    result, checkpoint = experiment.files(tmp_path / "killed", 0)

    chance = random.Random(0)
    for kill in range(1, kills + 1):  # spread over the run by its progress: its speed depends on what else is done here
        process = start(tmp_path / "killed", finishes=False)
        while saved.value < steps * kill / (1.4 * kills) and process.is_alive():
            time.sleep(0.005)
        process.join(chance.uniform(0, 0.03))  # some steps, updates and saves later
        process.kill()
        process.join()
        assert process.exitcode == -signal.SIGKILL
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
