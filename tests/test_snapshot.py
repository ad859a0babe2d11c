"""Saved states are exact, and the ground truth built on them agrees with closed forms."""

import random
from collections import defaultdict, deque
from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.spaces import Box

from rlcourse import envs, planning, probes, snapshots
from rlcourse.algorithms import q_iteration

IDS = [
    *("CartPole-v1", "Pendulum-v1", "Acrobot-v1", "MountainCar-v0"),
    *("FrozenLake-v1", "CliffWalking-v1", "Taxi-v4", "Blackjack-v1"),
    *("HalfCheetah-v5", "Hopper-v5", "Walker2d-v5", "Ant-v5", "InvertedDoublePendulum-v5", "Humanoid-v5"),
    "rlcourse/Road-v0",
    "rlcourse/TwoWays-v0",
    "rlcourse/MultiGoal-v0",
]


def tabular() -> gym.Env:
    return gym.wrappers.TimeLimit(envs.TabularEnv(envs.GridWorld("S..\n.P.\n..G", slip=0.2).mdp()), 30)


def actions(env: gym.Env, count: int) -> list[Any]:
    rng = np.random.default_rng(0)
    if isinstance(env.action_space, Box):  # gentle, so that walkers do not fall at once
        size = env.action_space.shape
        return list((0.3 * rng.uniform(-1, 1, (count, *size))).astype(np.float32))
    return [int(a) for a in rng.integers(int(gym.spaces.flatdim(env.action_space)), size=count)]


def roll(env: gym.Env, plan: list[Any]) -> list[Any]:
    """What happens under `plan`, over episode ends: they reset, which tests the random generator too."""
    seen = []
    for action in plan:
        obs, reward, terminated, truncated, _ = env.step(action)
        if terminated or truncated:
            obs, _ = env.reset()
        seen.append((np.array(obs).tobytes(), float(reward), terminated, truncated))
    return seen


@pytest.mark.parametrize("name", [*IDS, "tabular", "probe"])
def test_200_further_steps_are_identical(name: str) -> None:
    def make() -> gym.Env:
        if name == "probe":
            return gym.wrappers.TimeLimit(probes.ObservationMatters(), 5)
        return tabular() if name == "tabular" else envs.make(name)

    env = make()
    env.reset(seed=1)
    plan = actions(env, 207)
    roll(env, plan[:7])
    snap = snapshots.snapshot(env)
    first = roll(env, plan[7:])
    snapshots.restore(env, snap)
    assert roll(env, plan[7:]) == first
    other = make()  # a fresh environment, and the same snapshot a second time
    other.reset(seed=2)
    snapshots.restore(other, snap)
    assert roll(other, plan[7:]) == first
    other.reset(seed=3)
    assert roll(other, plan[7:]) != first  # a comparison that can fail


class Magpie(gym.Env[np.ndarray, int]):
    """Keeps its state in whatever it finds; what it observes depends on all of it."""

    def __init__(self, **more: Any) -> None:
        self.observation_space = gym.spaces.Box(-np.inf, np.inf, (10,))
        self.action_space = gym.spaces.Discrete(2)  # type: ignore[assignment]
        vars(self).update(more)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, Any]:
        super().reset(seed=seed)
        self.text, self.seen, self.latest = "", {0}, deque([0.0], 5)
        self.counts: dict[int, list[int]] = defaultdict(list)
        self.same = self.counts  # one dictionary by two names
        self.tensor = torch.zeros(2)
        self.chance = random.Random(int(self.np_random.integers(99)))
        self.old_chance = np.random.RandomState(int(self.np_random.integers(99)))
        self.data = [0]  # the name of MuJoCo's state
        self.action_space.seed(int(self.np_random.integers(99)))
        return self._obs(), {}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, Any]:
        draw = self.chance.randrange(9) + int(self.old_chance.randint(9)) + int(self.action_space.sample())
        self.text += "ab"[action]
        self.seen.add(draw)
        self.latest.append(float(draw))
        self.same[draw % 3].append(action)
        self.tensor += torch.tensor([action, draw])
        self.data[0] += draw
        if len(self.text) == 20:
            self.late = 1  # there only from now on
        return self._obs(), float(draw), len(self.text) == 30, False, {}

    def _obs(self) -> np.ndarray:
        numbers = [self.text.count("a"), len(self.seen), sum(self.latest), len(self.latest), *self.tensor.tolist()]
        numbers += [sum(map(len, self.counts.values())), self.data[0], getattr(self, "late", 0), sum(self.counts[1])]
        return np.array(numbers, np.float32)


def framed() -> gym.Env:
    return gym.wrappers.RecordEpisodeStatistics(gym.wrappers.FrameStackObservation(envs.make("CartPole-v1"), 3))


@pytest.mark.parametrize("make", [Magpie, framed])
def test_every_kind_of_attribute_is_restored(make: Any) -> None:
    """200 further steps, with episodes that end, from the same environment and from another one."""
    env, other = make(), make()
    env.reset(seed=1)
    plan = actions(env, 207)
    roll(env, plan[:7])
    snap = snapshots.snapshot(env)
    first = roll(env, plan[7:])
    snapshots.restore(env, snap)
    assert roll(env, plan[7:]) == first
    other.reset(seed=2)
    snapshots.restore(other, snap)
    assert roll(other, plan[7:]) == first


NUMBERS = np.arange(6.0)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"thing": object()}, r"Magpie\.thing holds a builtins\.object: a saved state covers numbers, strings"),
        ({"deep": {"a": [(object(),)]}}, r"Magpie\.deep holds a builtins\.object"),
        ({"objects": np.array([object()])}, r"Magpie\.objects holds a builtins\.object"),
        ({"counter": iter([1, 2])}, r"Magpie\.counter holds a builtins\.list_iterator"),
        ({"later": partial(max, 1)}, r"Magpie\.later holds a functools\.partial"),
        ({"call": deque([1]).append}, r"Magpie\.call holds"),
        ({"whole": NUMBERS, "part": NUMBERS[2:]}, r"Magpie\.whole and Magpie\.part share memory"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_what_is_not_covered_is_refused_by_name(more: dict[str, Any], message: str) -> None:
    env = Magpie(**more)
    env.reset(seed=0)
    with pytest.raises(ValueError, match=message):
        snapshots.snapshot(env)


def test_a_view_of_a_simulations_memory_is_refused() -> None:
    env: Any = envs.make("Hopper-v5")
    env.reset(seed=0)
    env.unwrapped.place = env.unwrapped.data.qpos
    with pytest.raises(ValueError, match=r"HopperEnv\.place is a view of a simulation's own memory"):
        snapshots.snapshot(env)


def test_arrays_beside_each_other_share_nothing() -> None:
    env = Magpie(left=NUMBERS[::2], right=NUMBERS[1::2])
    env.reset(seed=0)
    snapshots.snapshot(env)


@pytest.mark.parametrize("limit", [8, 100])
def test_restore_after_the_episode_ended(limit: int) -> None:
    """TimeLimit counts the steps so far, CartPole those beyond its end, and pays nothing for them: both are state."""
    env = gym.make("CartPole-v1", max_episode_steps=limit)
    env.reset(seed=0)
    env.step(1)
    snap = snapshots.snapshot(env)
    episodes: list[list[Any]] = []
    for _ in range(2):
        snapshots.restore(env, snap)
        episodes.append([env.step(0)[1:4]])
        while not (episodes[-1][-1][1] or episodes[-1][-1][2]):
            episodes[-1].append(env.step(0)[1:4])
    assert episodes[0] == episodes[1]
    assert episodes[0][-1] == (1.0, limit == 100, limit == 8)


def test_pictures_show_the_restored_state() -> None:
    env = envs.make("Hopper-v5")
    env.reset(seed=0)
    snapshots.restore(env, snapshots.snapshot(env))
    world: Any = env.unwrapped
    assert world.mujoco_renderer.data is world.data


def test_restore_refuses_another_environment() -> None:
    env, other = envs.make("CartPole-v1"), envs.make("Acrobot-v1")
    env.reset(seed=0)
    with pytest.raises(ValueError, match=r"the snapshot was taken of TimeLimit in .* CartPoleEnv"):
        snapshots.restore(other, snapshots.snapshot(env))


@pytest.mark.parametrize("env_id", ["Pendulum-v1", "HalfCheetah-v5"])
def test_make_rescales_actions(env_id: str) -> None:
    env = envs.make(env_id)
    assert isinstance(env.action_space, Box)
    assert (env.action_space.low == -1).all()
    assert (env.action_space.high == 1).all()
    inner: Any = env.unwrapped
    env.reset(seed=0)
    env.step(np.ones(env.action_space.shape, np.float32))
    torque = inner.last_u if env_id == "Pendulum-v1" else inner.data.ctrl
    np.testing.assert_array_equal(torque, inner.action_space.high)


def saved(env: gym.Env) -> tuple[gym.Env, snapshots.Snapshot]:
    env.reset(seed=0)
    return env, snapshots.snapshot(env)


def test_ground_truth_of_an_endless_task() -> None:
    """Reward 1 for ever is worth 1 / (1 − γ) = 10, although each episode is cut after two steps."""
    env, snap = saved(probes.TruncationIsNotTermination())
    value = snapshots.monte_carlo_return(env, snap, 0, lambda obs: 0, 0.9, max_reward=1.0, tolerance=1e-3)
    assert 10 - 1e-3 <= value < 10


def test_ground_truth_of_a_slippery_grid() -> None:
    """The mean over fresh chance is Q of the policy, solved exactly; without `rng` chance repeats itself."""
    mdp = envs.GridWorld("...G\n.#.P\nS...", slip=0.2).mdp()
    gamma, up = 0.9, envs.ACTIONS.index("up")
    best = q_iteration.greedy(q_iteration.optimal_q(mdp, gamma))
    exact = planning.backup(mdp, q_iteration.evaluate_policy(mdp, best, gamma), gamma)
    env, snap = saved(envs.TabularEnv(mdp))
    rng, start = np.random.default_rng(0), 8

    def sample(rng: np.random.Generator | None) -> float:
        return snapshots.monte_carlo_return(env, snap, up, lambda s: int(best[s].argmax()), gamma, 1.0, 1e-3, rng=rng)

    returns = np.array([sample(rng) for _ in range(2000)])
    assert abs(returns.mean() - exact[start, up]) < 4 * returns.std() / np.sqrt(2000)  # 4 standard errors
    assert sample(None) == sample(None)


@pytest.mark.parametrize(
    ("gamma", "max_reward", "tolerance"), [(1.0, 1.0, 0.1), (-0.1, 1.0, 0.1), (0.9, 1.0, 0.0), (0.9, 0.5, 0.1)]
)
def test_ground_truth_refuses_nonsense(gamma: float, max_reward: float, tolerance: float) -> None:
    env, snap = saved(probes.ConstantReward())
    with pytest.raises(ValueError, match=r"gamma = .* must be in|no bound on"):
        snapshots.monte_carlo_return(env, snap, 0, lambda obs: 0, gamma, max_reward, tolerance)
