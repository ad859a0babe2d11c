"""Imitation: a clone with other policies, and an expert who takes over; what it shares with `Clone`: test_cloning."""

from dataclasses import asdict, fields, replace
from functools import partial
from types import SimpleNamespace
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch

from rlcourse import envs, lessons, pictures
from rlcourse.algorithms import cloning, diffusion, imitation
from rlcourse.algorithms.imitation import Config, Imitation
from rlcourse.buffers import Transition
from rlcourse.loop import evaluate, train
from rlcourse.two_ways import left_of
from tests.agents import assert_a_loaded_one_goes_on, assert_refused, assert_the_seed_decides
from tests.test_cloning import expert, losses, sleeps, weights

pytestmark = pytest.mark.thorough  # a minute together: in `make test`, not in the inner loop

torch.set_num_threads(1)  # small networks: a second thread only slows them down
SMALL = Config(hidden=(8,), batch_size=4, round_steps=5, updates=3)


def clone(config: Config, seed: int = 0) -> Imitation:
    return Imitation(5, 1, expert, config, seed)


# --- as a clone, and as one of another class


@pytest.mark.parametrize("choice", [{}, {"components": 2}, {"dagger": True}, {"components": 2, "dagger": True}])
def test_with_a_clones_settings_it_is_the_clone(choice: dict[str, Any]) -> None:
    """Bit for bit, so that what test_cloning says of the one holds for the other."""
    config = cloning.Config(hidden=(8,), batch_size=4, round_steps=5, updates=3, **choice)
    one, other = cloning.Clone(5, 1, expert, config, 0), clone(Config(**asdict(config)))
    assert losses(one, 40) == losses(other, 40)
    assert torch.equal(weights(one), weights(other))
    obs = np.linspace(-1, 1, 5, dtype=np.float32)
    for explore in (True, False):
        assert one.act(obs, explore).tolist() == other.act(obs, explore).tolist()
    for mine, its in zip(one.demonstrations.tensors(), other.demonstrations.tensors(), strict=True):
        assert torch.equal(mine, its)


def test_a_diffusion_learns_the_squared_error_of_noised_actions() -> None:
    """The loss of an update against one by hand, with the same draws."""
    agent = clone(replace(SMALL, noise_steps=4))
    obs, action = torch.randn(6, 5, generator=torch.Generator().manual_seed(0)), torch.full((6, 1), 0.5)
    draws = torch.Generator()
    draws.set_state(agent._noise.get_state())
    share = diffusion.kept(4)[torch.randint(1, 5, (6,), generator=draws)]
    noise = torch.randn(6, 1, generator=draws)
    assert share.max() < 1  # an action that is whole need not be guessed
    x = share.sqrt()[:, None] * action + (1 - share).sqrt()[:, None] * noise
    net: Any = agent.policy.net
    guess = net(torch.cat([obs, x, share.sqrt()[:, None], (1 - share).sqrt()[:, None]], 1))
    assert agent.update(obs, action)["loss"] == pytest.approx(((guess - action) ** 2).mean().item())


# --- interventions


def test_disagreement_is_a_distance_between_actions() -> None:
    # Row 0: two networks say (0, 0) and (0.6, 0.8): half the distance of 1, whichever it is. Row 1: they agree.
    actions = torch.tensor([[[0.0, 0.0], [0.3, 0.3]], [[0.6, 0.8], [0.3, 0.3]]])
    assert imitation.disagreement(actions).tolist() == pytest.approx([0.5, 0])


def intervened(gate: Any, **changes: Any) -> Imitation:
    return Imitation(5, 1, expert, replace(SMALL, stretch=3, **changes), 0, gate)


def drive(agent: Imitation, places: list[float], ends: tuple[int, ...] = ()) -> list[str]:
    """Who acts in each step; all five numbers observed are the place, and the episode is over after step in `ends`."""
    who = []
    for step, place in enumerate(places):
        obs = np.full(5, place, np.float32)
        action = agent.act(obs)
        assert agent.act(obs).tolist() == action.tolist()  # to be asked twice changes nothing
        who.append("expert" if action.tolist() == expert(obs).tolist() else "clone")
        agent.observe(Transition(obs, action, 1.0, obs, step in ends, False))
    return who


def test_an_intervention_is_a_stretch_of_full_control_and_only_its_steps_are_labels() -> None:
    agent = intervened(lambda obs: obs[0] > 0.8)
    first, places = [0.6] * 5, [0.6, 0.9, 0.6, 0.6, 0.6, 0.9, 0.9, 0.9, 0.9, 0.6]
    assert drive(agent, first) == ["expert"] * 5
    own, taken = ["clone"], ["expert"] * 3
    assert drive(agent, places) == own + taken + own + taken + ["expert", "expert"]  # 0.9 once more: it begins again
    labelled = [*first, 0.9, 0.6, 0.6, 0.9, 0.9, 0.9, 0.9, 0.6]
    assert agent.labels == len(labelled) == 13
    assert agent.steps == 15
    obs, action = agent.demonstrations.tensors()
    assert obs[:, 0].tolist() == pytest.approx(labelled)
    assert action[:, 0].tolist() == pytest.approx([place / 2 for place in labelled])


def test_an_intervention_ends_with_the_episode() -> None:
    agent = intervened(lambda obs: obs[0] > 0.8)
    drive(agent, [0.6] * 5)
    assert drive(agent, [0.9, 0.6, 0.6], ends=(0,)) == ["expert", "clone", "clone"]
    assert drive(agent, [0.9]) == ["expert"]
    agent.drop_episode()
    assert drive(agent, [0.6]) == ["clone"]


def test_nobody_watches_the_clone_in_an_evaluation() -> None:
    watched: list[Any] = []

    def always(obs: Any) -> bool:
        watched.append(obs)
        return True

    agent, obs = intervened(always), np.full(5, 0.6, np.float32)
    drive(agent, [0.6] * 5)
    assert agent.act(obs, explore=False).tolist() != expert(obs).tolist()
    assert watched == []
    assert agent.act(obs).tolist() == expert(obs).tolist()
    assert len(watched) == 1


def test_without_a_gate_the_clone_calls_where_its_networks_disagree() -> None:
    agent = intervened(None, members=3, threshold=0.2)
    drive(agent, [0.6] * 5)
    obs = np.full((7, 5), np.linspace(-1, 1, 7)[:, None], np.float32)
    with torch.inference_mode():
        said = np.stack([net(torch.as_tensor(obs)).numpy() for net in agent.members])
    assert agent.doubt(obs) == pytest.approx(said.std(0)[:, 0], abs=1e-6)
    doubt = float(agent.doubt(obs[0]))
    for threshold, who in ((0.9 * doubt, "expert"), (1.1 * doubt, "clone")):
        calling = intervened(None, members=3, threshold=threshold)
        drive(calling, [0.6] * 5)
        assert drive(calling, [float(obs[0, 0])]) == [who]
    with pytest.raises(ValueError, match=r"stretch = \d+: a gate, or members = 5, must say when the expert takes over"):
        intervened(None)


def test_a_round_is_counted_in_labels() -> None:
    """Five labels a round: what the clone drives in between adds nothing to learn from."""
    agent = intervened(lambda obs: obs[0] > 0.8)
    learned = []
    for step, place in enumerate([0.6] * 7 + [0.9] + [0.6] * 8 + [0.9, 0.9, 0.9]):
        drive(agent, [place])
        learned += [step] if list(agent.learn()) else []
    # The first five; three of the next stretch; and of the second one the second step.
    assert learned == [4, 17]


def test_every_member_learns_and_the_first_one_acts() -> None:
    agent, alone = clone(replace(SMALL, members=3)), clone(SMALL)
    before = [parameter.clone() for parameter in agent.members.parameters()]
    obs = np.full(5, 0.6, np.float32)
    assert agent.act(obs, explore=False).tolist() == alone.act(obs, explore=False).tolist()
    assert losses(agent, 5) != losses(alone, 5)  # the mean over the members
    assert torch.equal(weights(agent), weights(alone))
    assert not any(torch.equal(old, new) for old, new in zip(before, agent.members.parameters(), strict=True))
    assert agent.doubt(obs) > 0


def test_an_evaluation_does_not_disturb_a_clone_that_samples() -> None:
    config = replace(SMALL, noise_steps=3, dagger=True)
    undisturbed, evaluated, env = clone(config), clone(config), gym.make("rlcourse/Road-v0", max_episode_steps=15)
    expected = [losses(undisturbed, 12), losses(undisturbed, 12, seed=1)]
    assert losses(evaluated, 12) == expected[0]
    evaluate(env, evaluated, 2, seed=5)
    assert losses(evaluated, 12, seed=1) == expected[1]


# --- learning


@pytest.mark.usefixtures("unchecked")
def test_expressive_policies_walk_round_trees_and_squared_error_walks_into_them() -> None:
    env, came = envs.make("rlcourse/TwoWays-v0", max_episode_steps=15), {}
    for name, choice in (
        ("one", {}),
        ("mixture", {"components": 2}),
        ("bins", {"bins": 21}),
        ("noise", {"noise_steps": 10}),
    ):
        config = Config(round_steps=800, updates=1000, hidden=(64, 64), batch_size=128, **choice)  # type: ignore[arg-type]
        agent = Imitation(2, 2, envs.TwoWalkers(np.random.default_rng(0)), config, seed=0)
        list(train(env, agent, 800, seed=0))
        came[name] = (evaluate(env, agent, 20, seed=1000) >= 1).mean()
    # After 2,000 updates, ten seeds of 50 walks: 0.22 to 0.76 with squared error, the others 0.92 and more.
    assert came.pop("one") < 0.75
    assert min(came.values()) >= 0.9


@pytest.mark.usefixtures("unchecked")
def test_of_fifty_labels_those_of_interventions_teach_most() -> None:
    road = envs.make("rlcourse/Road-v0")
    for seed in range(2):
        clones = {
            "cloning": Imitation(5, 1, envs.road_expert, Config(round_steps=25), seed),
            "watched": Imitation(
                5, 1, envs.road_expert, Config(round_steps=25, stretch=10), seed, lambda obs: abs(obs[0]) > 0.5
            ),
        }
        driven = {}
        for name, agent in clones.items():
            for metrics in train(road, agent, 1000, seed):
                if "reward" in metrics and agent.labels == 50:
                    break
                assert metrics.get("episode_length", 400) == 400  # the expert takes over in time
            driven[name] = evaluate(road, agent, 5, seed=1000)
        assert driven["watched"].min() == 400  # in each of ten seeds tried
        assert driven["cloning"].mean() < 350


# --- the world of two ways


def test_a_step_between_two_goals() -> None:
    world = envs.TwoWays()
    world.reset(seed=0)
    east = np.array([1.0, 0.0])

    def step(tree: Any, action: Any) -> tuple[Any, float, bool, bool, Any]:
        world._tree = np.array(tree)
        return world.step(np.array(action))

    obs, reward, terminated, truncated, _ = step((1.0, 0.2), (0.5, -1.0))
    assert obs.tolist() == pytest.approx([0.8, 0.6])  # 0.4 · (0.5, −1)
    assert (reward, terminated, truncated) == (0.0, False, False)
    assert step((1.0, 1.0), (9.0, 0.0))[0].tolist() == pytest.approx([0.6, 1.0])  # the longest step to the east
    for tree, ends in (
        ((0.7, 0.0), True),  # 0.3 from its middle
        ((0.2, 0.41), False),  # past it
        ((0.2, 0.34), True),  # through its edge, although the step begins and ends outside
        ((-0.2, -0.39), False),  # away from it: nearest where the step began, 0.44 away
        ((-1.5, 0.0), True),  # lost, 1.9 away
    ):
        assert step(tree, east)[2] == ends
    # The goal is `AHEAD` of the tree, which then is behind; the next tree is 1 ahead, and a little aside.
    ahead = envs.TwoWays.AHEAD
    obs, reward, terminated, _, _ = step(-ahead + (0.5, 0.0), east)
    assert (reward, terminated) == (1.0, False)
    assert obs @ ahead == pytest.approx(1)
    assert 0 < abs(obs @ left_of(ahead)) <= 0.2
    assert step(-ahead + (0.61, 0.0), east)[1] == 0  # 0.21 from the goal


def test_two_walkers_both_arrive_and_each_keeps_to_a_side() -> None:
    env, walkers = envs.make("rlcourse/TwoWays-v0"), envs.TwoWalkers(np.random.default_rng(0))
    sides, passed = [], []
    for seed in range(20):
        obs, _ = env.reset(seed=seed)
        over, here = False, []
        passed.append(0.0)
        while not over:
            action = walkers(obs)
            here.append(-walkers.side * float(obs @ left_of(envs.TwoWays.AHEAD)))  # on its own side of the tree
            obs, reward, terminated, over, _ = env.step(action)
            assert not terminated
            passed[-1] += float(reward)
            if reward:
                sides.append(walkers.side)
                assert max(here) > 0.5
                assert here[0] >= -0.2
                here = []
    assert min(passed) >= 14
    # Four standard errors of about 300 coins: 4 · ½/√300 = 0.115.
    assert np.mean(np.array(sides) > 0) == pytest.approx(0.5, abs=0.115)


# --- pictures


def test_the_picture_of_walks_says_who_arrives() -> None:
    straight = clone_of(lambda obs: envs.TwoWays.AHEAD)
    walkers = {"two": envs.TwoWalkers(np.random.default_rng(0)), "straight": straight}
    picture = lessons.plot_walks(walkers, 5, seed=0)
    assert picture.alt.endswith("how many arrive. two: 5 of 5; straight: 0 of 5.")


def clone_of(policy: Any) -> Any:
    return SimpleNamespace(act=lambda obs, explore: policy(obs))


def test_a_score_that_tells_something() -> None:
    # From the top: needed; needed and not, with equal scores; needed; not. Shares of 3 needed and of 2 not.
    score, needed = np.array([0.2, 0.9, 0.5, 0.1, 0.5]), np.array([True, True, True, False, False])
    false, true = pictures.roc(score, needed)
    assert false.tolist() == pytest.approx([0, 0, 1 / 2, 1 / 2, 1])
    assert true.tolist() == pytest.approx([0, 1 / 3, 2 / 3, 1, 1])
    # The area: half of all pairs with equal scores, and all where the needed one's is higher: (2 + 1.5 + 1)/6.
    assert np.trapezoid(true, false) == pytest.approx(4.5 / 6)
    assert lessons.plot_roc({"it": (score, needed)}).alt.endswith("area under the curve. it: 0.75.")


def test_help_is_needed_before_the_clone_leaves_the_road() -> None:
    road = envs.make("rlcourse/Road-v0")
    asleep = clone_of(lambda obs: np.zeros(1, np.float32))
    score, needed = lessons.watched(road, lambda obs: abs(obs[0]), asleep, 3, seed=0, within=4)
    lengths = np.array([sleeps(road, seed) for seed in range(3)])
    assert len(score) == len(needed) == lengths.sum()
    ends = lengths.cumsum()
    assert np.flatnonzero(needed).tolist() == [end - back for end in ends for back in (4, 3, 2, 1)]
    assert score[0] == 0
    assert score[ends - 1].min() > 0.5  # a step before it leaves
    driver = clone_of(envs.road_expert)
    assert not lessons.watched(road, lambda obs: 0.0, driver, 1, seed=0, within=4)[1].any()  # the time limit is no need


# --- settings, seeds, saving

CHANGES: dict[str, Any] = {
    "lr": 1e-2,
    "batch_size": 5,
    "hidden": (9,),
    "components": 2,
    "bins": 4,
    "noise_steps": 3,
    "dagger": True,
    "stretch": 2,
    "threshold": 9.0,
    "members": 2,
    "round_steps": 6,
    "updates": 4,
}
CALLING = replace(SMALL, stretch=3, members=2, threshold=1e-6)  # nearly always


def test_every_field_of_the_config_is_tried() -> None:
    assert CHANGES.keys() == {field.name for field in fields(Config)}


@pytest.mark.parametrize("name", CHANGES)
def test_every_setting_changes_what_is_learned(name: str) -> None:
    base = CALLING if name in ("stretch", "threshold") else SMALL
    if name == "stretch":  # which changes nothing where the expert is called back at once
        base = replace(base, threshold=0.18)
    one, other = (clone(config) for config in (base, replace(base, **{name: CHANGES[name]})))
    assert losses(one, 40) != losses(other, 40)


def test_the_seed_decides() -> None:
    assert_the_seed_decides(partial(clone, replace(SMALL, components=2)), lambda agent, seed: losses(agent, 20, seed))


@pytest.mark.parametrize(
    "config",
    [
        SMALL,
        replace(SMALL, components=2, dagger=True),
        replace(SMALL, bins=4, dagger=True),
        replace(SMALL, noise_steps=3, dagger=True),
        replace(CALLING, threshold=0.2),
    ],
)
def test_a_loaded_agent_goes_on_like_the_saved_one(config: Config) -> None:
    saved = clone(config)
    losses(saved, 17)  # in the middle of a round
    assert_a_loaded_one_goes_on(
        saved, partial(clone, config), lambda agent, seed: (losses(agent, 20, seed), weights(agent).tolist())
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lr": 0.0}, "lr = 0.0"),
        ({"batch_size": 0}, "batch_size = 0"),
        ({"hidden": (8, 0)}, "hidden = 0"),
        ({"bins": -1}, "bins = -1"),
        ({"noise_steps": -1}, "noise_steps = -1"),
        ({"stretch": -1}, "stretch = -1"),
        ({"threshold": 0.0}, "threshold = 0.0"),
        ({"members": 0}, "members = 0"),
        ({"components": -1}, r"components = -1 is out of range: it must be in \[0, inf\)"),
        ({"round_steps": 0}, "round_steps = 0"),
        ({"updates": 0}, "updates = 0"),
    ],
)
def test_nonsense_is_refused_by_name(changes: dict[str, Any], message: str) -> None:
    assert_refused(SMALL, changes, message)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"components": 2, "noise_steps": 3}, "components = 2 and noise_steps = 3 exclude each other, choose one"),
        ({"bins": 2, "noise_steps": 3}, "bins = 2 and noise_steps = 3 exclude each other"),
        ({"dagger": True, "stretch": 3}, "dagger = True and stretch = 3 exclude each other"),
    ],
)
def test_settings_that_exclude_each_other_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(SMALL, **changes)
