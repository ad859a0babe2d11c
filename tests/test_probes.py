"""The ladder: worlds whose true values are known, in the order in which to look for the bug.

An agent joins by `LEARNERS` in the test of its page: how to make it, how long it trains, what it thinks Q or V is.
"""

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.spaces import Discrete
from gymnasium.utils.env_checker import check_env

from rlcourse import envs, loop, snapshots
from rlcourse.algorithms import actor_critic, q_iteration
from rlcourse.envs import ActionMatters, ConstantReward, Discounting, ObservationMatters, TruncationIsNotTermination
from tests.probes import GAMMA, Learner, value
from tests.test_actor_critic import PROBE_CONFIG as AC_CONFIG

pytestmark = pytest.mark.thorough  # minutes together: in `make test`, not in the inner loop

torch.set_num_threads(1)  # small networks: a second thread only slows them down

# World, observation, action (−1 or 1), and the true Q(s, a), as in the docstrings of `envs`.
TRUTH: list[tuple[type[envs.Probe], float, int, float]] = [
    (ConstantReward, 0.0, 1, 1.0),
    (ObservationMatters, -1.0, 1, -1.0),
    (ObservationMatters, 1.0, 1, 1.0),
    (Discounting, 0.0, 1, GAMMA),
    (Discounting, 1.0, 1, 1.0),
    (ActionMatters, 0.0, -1, -1.0),
    (ActionMatters, 0.0, 1, 1.0),
    (TruncationIsNotTermination, 0.0, 1, 1 / (1 - GAMMA)),
    (TruncationIsNotTermination, 1.0, 1, 1 / (1 - GAMMA)),
]

LEARNERS: dict[str, Learner] = {}
for path in sorted(Path(__file__).parent.glob("test_*.py")):
    if "\nLEARNERS = {" in path.read_text(encoding="utf-8"):  # `test_complete` says which page's test lacks them
        LEARNERS |= import_module(f"tests.{path.stem}").LEARNERS


def train(env: Callable[[], gym.Env], agent: Any, learner: Learner) -> None:
    if learner.num_envs:
        mode = gym.vector.AutoresetMode.SAME_STEP
        worlds = gym.vector.SyncVectorEnv([env] * learner.num_envs, autoreset_mode=mode)
        training = loop.train_vector(worlds, agent, learner.steps, seed=0)
    else:
        training = loop.train(env(), agent, learner.steps, seed=0)
    for _ in training:
        pass


def world(probe: type[envs.Probe], learner: Learner) -> gym.Env:
    env: gym.Env = probe(learner.continuous)
    if learner.continuous:
        env = gym.wrappers.ClipAction(env)
    if learner.tabular:  # −1, 0, 1 → states 0, 1, 2
        env = gym.wrappers.TransformObservation(env, lambda obs: int(obs[0]) + 1, Discrete(3))
    return env


@pytest.mark.parametrize("probe", envs.PROBES, ids=lambda probe: probe.__name__)
@pytest.mark.parametrize("name", [name for name, learner in LEARNERS.items() if learner.q or learner.v])
def test_ladder(name: str, probe: type[envs.Probe]) -> None:
    learner = LEARNERS[name]
    agent = learner.make()
    train(lambda: world(probe, learner), agent, learner)
    truth = [(obs, action, value) for which, obs, action, value in TRUTH if which is probe]
    if learner.q is not None:
        believed = [learner.q(agent, obs, action) for obs, action, _ in truth]
        np.testing.assert_allclose(believed, [value for *_, value in truth], atol=learner.tolerance)
    else:  # of the best action, which its policy has found: all that these worlds have to learn
        best = {obs: max(v for o, _, v in truth if o == obs) for obs, *_ in truth}
        assert learner.v is not None
        believed = [learner.v(agent, obs) for obs in best]
        np.testing.assert_allclose(believed, list(best.values()), atol=learner.tolerance)


@pytest.mark.parametrize("name", LEARNERS)
def test_the_policy_follows_the_values(name: str) -> None:
    learner = LEARNERS[name]
    agent = learner.make()
    train(lambda: world(ActionMatters, learner), agent, learner)
    assert loop.evaluate(world(ActionMatters, learner), agent, 1, seed=9)[0] > 0.9


@pytest.mark.parametrize("continuous", [False, True])
@pytest.mark.parametrize("probe", envs.PROBES, ids=lambda probe: probe.__name__)
def test_probes_are_proper_environments(probe: type[envs.Probe], continuous: bool) -> None:
    check_env(probe(continuous), skip_render_check=True)


@pytest.mark.parametrize(("probe", "obs", "action", "value"), TRUTH)
@pytest.mark.parametrize("continuous", [False, True])
def test_the_stated_values_are_true(
    probe: type[envs.Probe], obs: float, action: int, value: float, continuous: bool
) -> None:
    env = probe(continuous)
    coded: Any = np.array([action], np.float32) if continuous else (action + 1) // 2
    for seed in range(20):  # until it starts where we want it, or gets there
        start = env.reset(seed=seed)[0][0]
        if start == obs or (probe in (Discounting, TruncationIsNotTermination) and env.step(coded)[0][0] == obs):
            break
    snap = snapshots.snapshot(env)
    found = snapshots.monte_carlo_return(env, snap, coded, lambda _: coded, GAMMA, max_reward=1.0, tolerance=1e-6)
    assert found == pytest.approx(value, abs=1e-5)


def test_a_limit_taken_for_an_end_is_found_out() -> None:
    """The ladder can fail: an agent that takes truncation for termination believes Q(1) = 1, the truth is 2."""

    class Mistaken(q_iteration.QLearning):
        def observe(self, transition: Any) -> None:
            cut = transition.terminated or transition.truncated
            super().observe(type(transition)(**{**vars(transition), "terminated": cut}))

    learner = LEARNERS["q_learning"]
    agent = Mistaken(3, 2, q_iteration.Config(gamma=GAMMA, lr=0.2), seed=0)
    train(lambda: world(TruncationIsNotTermination, learner), agent, learner)
    assert learner.q is not None
    assert learner.q(agent, 1.0, -1) == pytest.approx(1.0, abs=0.1)


@pytest.mark.parametrize("mistake", ["the limit is an end", "the next episode's first observation", "no value"])
def test_side_by_side_too_every_mistake_at_a_limit_is_found_out(mistake: str) -> None:
    """Truth 2 in both places. Taken for an end: V(1) = 1. The next start or nothing instead of what followed: not 2."""

    class Mistaken(actor_critic.ActorCritic):
        def observe(self, transition: Any) -> None:
            changes = {
                "the limit is an end": {"terminated": transition.terminated | transition.truncated},
                "the next episode's first observation": {
                    "next_obs": np.where(transition.truncated[:, None], -1.0, transition.next_obs)
                },
                "no value": {"next_obs": transition.next_obs + 100.0},  # where the critic knows nothing
            }
            super().observe(type(transition)(**vars(transition) | changes[mistake]))

    learner = LEARNERS["actor_critic"]
    agent = Mistaken(1, Discrete(2), AC_CONFIG, seed=0)
    train(lambda: world(TruncationIsNotTermination, learner), agent, learner)
    assert abs(value(agent, 1.0) - 2.0) > 3 * learner.tolerance
