"""The ladder: every agent of the course climbs it, and a broken one does not. `workshop.ladder.RECIPES` says how."""

from importlib import import_module
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium.spaces import Discrete
from gymnasium.utils.env_checker import check_env

from rlcourse import probes, snapshots
from rlcourse.algorithms import actor_critic, dqn, iql, q_iteration
from rlcourse.probes import ConstantReward, ObservationMatters, TruncationIsNotTermination
from rlcourse.workshop import ladder
from rlcourse.workshop.ladder import GAMMA, GOAL_RUNGS, RECIPES, RUNGS, TOLERANCE, Rung
from tests.broken_agents import HARDEST, HINDSIGHT, QUICK, Broken

pytestmark = pytest.mark.thorough  # minutes together: in `make test`, not in the inner loop

torch.set_num_threads(1)  # small networks: a second thread only slows them down

CLIMBERS = [
    (page, continuous)
    for page, recipe in RECIPES.items()
    for continuous, steps in ((False, recipe.discrete), (True, recipe.continuous))
    if steps
]
TRUTH = [(rung, obs, action, value) for rung in RUNGS for (obs, action), value in rung.truth(GAMMA).items()]


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("whole", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["hardest", "whole"])
@pytest.mark.parametrize(("page", "continuous"), CLIMBERS, ids=str)
def test_every_agent_climbs_the_ladder(
    page: str, continuous: bool, whole: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    rungs = GOAL_RUNGS if page == "her" else RUNGS if whole or page in QUICK else HARDEST
    if page != "her":
        monkeypatch.setattr(ladder, "RUNGS", rungs)
    found = ladder.of_page(import_module(f"rlcourse.algorithms.{page}"), continuous)
    assert found.first is None, found
    looked_at = [finding.rung.world for finding in found.findings if finding.rows]
    has_no_values = page == "reinforce"
    assert looked_at == [rung.world for rung in rungs if rung.best or not has_no_values]


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("broken", HINDSIGHT, ids=lambda broken: broken.mistake)
def test_broken_hindsight_is_found(broken: Broken) -> None:
    assert broken.climb() == broken.found_by


@pytest.mark.parametrize("rung", GOAL_RUNGS, ids=lambda rung: rung.world.__name__)
def test_the_stated_values_of_goals_are_true(rung: Rung) -> None:
    """The action counted, and after it the best one: a step for each wrong bit, or one away and one back."""
    env: Any = rung.world()
    for ((bits, goal), action), value in rung.truth(GAMMA).items():
        env.reset(seed=0)
        env._bits, env._goal = (np.array([*place], np.int8) for place in (bits, goal))
        truth, discount, terminated = 0.0, 1.0, False
        flipped = (action + 1) // 2
        while not terminated:
            obs, reward, terminated, _, _ = env.step(flipped)
            truth, discount = truth + discount * reward, discount * GAMMA
            wrong = obs["achieved_goal"] != obs["desired_goal"]
            flipped = int(wrong.argmax())
        assert value == pytest.approx(truth)


@pytest.mark.usefixtures("unchecked")
def test_five_step_targets_hold_where_values_do_not_depend_on_the_policy() -> None:
    """Where they do, an exploring action stands between 0 and 1: off-policy without a correction, a known bias."""
    found = ladder.of_page(dqn, n_step=5)
    assert [finding.rung.world for finding in found.findings if not finding.ok] == [probes.NextActionMatters]


@pytest.mark.parametrize("continuous", [False, True])
@pytest.mark.parametrize("probe", probes.PROBES, ids=lambda probe: probe.__name__)
def test_probes_are_proper_environments(probe: type[probes.Probe], continuous: bool) -> None:
    check_env(probe(continuous), skip_render_check=True)


@pytest.mark.parametrize(("rung", "obs", "action", "value"), TRUTH)
@pytest.mark.parametrize("continuous", [False, True])
def test_the_stated_values_are_true(rung: Rung, obs: float, action: int, value: float, continuous: bool) -> None:
    """The action counted, and after it the best one."""
    world: Any = rung.world
    env = world(continuous)

    def coded(choice: int) -> Any:
        return np.array([choice], np.float32) if continuous else (choice + 1) // 2

    for seed in range(20):  # until it starts where we want it, or gets there
        start = env.reset(seed=seed)[0][0]
        two_steps = rung.world not in (ConstantReward, ObservationMatters, probes.ActionMatters)
        if start == obs or (two_steps and env.step(coded(1))[0][0] == obs):
            break
    snap = snapshots.snapshot(env)
    found = snapshots.monte_carlo_return(
        env, snap, coded(action), lambda _: coded(1), GAMMA, max_reward=1.0, tolerance=1e-6
    )
    assert found == pytest.approx(value, abs=1e-5)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(("expectile", "holds"), [(0.999, True), (0.5, False)])
def test_offline_a_mean_over_the_data_is_not_the_best_action(expectile: float, holds: bool) -> None:
    """Of random actions the mean pays 0, so that Q(0) = 0 instead of γ: what V is fitted to decides."""
    config = iql.Config(**{**RECIPES["iql"].config, "expectile": expectile})

    def agent(env: Any) -> ladder.Offline:
        return ladder.Offline(ladder.make(iql.IQL, env, config, 0), steps=300, updates=700)

    rungs = tuple(rung for rung in RUNGS if rung.world is probes.NextActionMatters)
    found = ladder.climb(agent, 300, GAMMA, continuous=True, rungs=rungs)
    assert (found.first is None) == holds, found
    if not holds:
        assert found.findings[0].rows[0][1] == pytest.approx(0.0, abs=0.15)


def test_offline_the_agent_never_acts() -> None:
    learner = ladder.make(iql.IQL, probes.ActionMatters(True), iql.Config(**RECIPES["iql"].config), 0)
    learner.act = None
    for _ in ladder.training(lambda: probes.ActionMatters(True), ladder.Offline(learner, 300, 2), 300):
        pass
    actions = learner.replay.gather(torch.arange(300)).action
    assert learner.updates == 2
    # uniform on [−1, 1]: mean 0 and spread 0.577, within 4 standard errors of 0.033
    assert actions.mean().item() == pytest.approx(0, abs=0.133)
    assert actions.std().item() == pytest.approx(0.577, abs=0.06)


def test_a_limit_taken_for_an_end_is_found_out() -> None:
    """The ladder can fail: an agent that takes truncation for termination believes Q(1) = 1, the truth is 2."""

    class Mistaken(q_iteration.QLearning):
        def observe(self, transition: Any) -> None:
            cut = transition.terminated or transition.truncated
            super().observe(type(transition)(**{**vars(transition), "terminated": cut}))

    config = q_iteration.Config(gamma=GAMMA, lr=0.2, epsilon=0.5)
    found = ladder.climb(lambda env: Mistaken(3, 2, config, seed=0), 300, GAMMA, tabular=True)
    assert found.first is not None
    assert found.first.rung.world is TruncationIsNotTermination
    assert "time limit" in found.verdict
    (_, believed, truth, _) = found.first.rows[1]
    assert truth == 2
    assert believed == pytest.approx(1.0, abs=0.1)


@pytest.mark.usefixtures("unchecked")
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

    recipe = RECIPES["actor_critic"]
    config = actor_critic.Config(**recipe.config)
    learner = Mistaken(1, Discrete(2), config, seed=0)
    world = TruncationIsNotTermination
    for _ in ladder.training(world, learner, recipe.discrete):
        pass
    assert abs(learner.value(np.array([1.0])) - 2.0) > 3 * TOLERANCE
