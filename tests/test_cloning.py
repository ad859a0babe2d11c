"""Cloning: each equation on numbers worked out by hand, who drives and who labels, and what is learned from it."""

import math
from dataclasses import fields, replace
from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env
from torch import Tensor, nn

from rlcourse import envs, lessons, pictures, workshop
from rlcourse.algorithms import cloning
from rlcourse.algorithms.cloning import Clone, Config, Mixture, MixturePolicy
from rlcourse.buffers import Transition
from rlcourse.loop import evaluate, train
from tests.agents import assert_a_loaded_one_goes_on, assert_refused, assert_the_seed_decides

pytestmark = pytest.mark.thorough  # a minute together: in `make test`, not in the inner loop

torch.set_num_threads(1)  # small networks: a second thread only slows them down
SMALL = Config(hidden=(8,), batch_size=4, round_steps=5, updates=3)


def expert(obs: Any) -> np.ndarray:
    """Answers with half of what it sees."""
    return np.asarray(obs[:1], np.float32) / 2


def mixture(weights: tuple[float, ...], mean: Any, std: Any) -> Mixture:
    return Mixture(torch.tensor(weights).log(), torch.tensor(mean), torch.tensor(std).log())


def clone(config: Config, seed: int = 0) -> Clone:
    return Clone(5, 1, expert, config, seed)


def losses(agent: Any, steps: int, seed: int = 0) -> list[float]:
    """Of the updates in `steps` steps on the road."""
    env = gym.make("rlcourse/Road-v0", max_episode_steps=15)
    return losses_of(train(env, agent, steps, seed))


def losses_of(metrics: Any) -> list[float]:
    return [each["loss"] for each in metrics if "loss" in each]


def weights(agent: Any) -> Tensor:
    return torch.cat([p.detach().flatten() for p in agent.policy.parameters()])


# --- equations


def test_squared_error_sums_over_action_dimensions_and_averages_over_the_batch() -> None:
    prediction, action = torch.tensor([[0.0, 1.0], [2.0, 0.0]]), torch.tensor([[1.0, -1.0], [2.0, 3.0]])
    # Row 0: 1 + 4 = 5.  Row 1: 0 + 9 = 9.  Mean 7.
    assert cloning.squared_error(prediction, action).item() == 7


def test_squared_error_is_a_gaussian_likelihood_of_fixed_variance() -> None:
    # With σ² = ½: −log N(a; μ, ½) = (a − μ)² + ½ log π.
    prediction, action = torch.tensor([[0.3], [-1.0]]), torch.tensor([[0.5], [1.0]])
    gaussian = Mixture(torch.zeros(2, 1), prediction[:, None], torch.full((2, 1, 1), 0.5).log() / 2)
    loss = cloning.actor_loss(gaussian.log_prob(action))
    squared = cloning.squared_error(prediction, action)
    assert loss.item() == pytest.approx(squared.item() + math.log(math.pi) / 2)


def test_actor_loss_is_the_negative_mean_log_likelihood() -> None:
    log_prob = torch.tensor([-1.0, -4.0], requires_grad=True)
    loss = cloning.actor_loss(log_prob)
    loss.backward()
    assert loss.item() == 2.5
    assert log_prob.grad is not None
    assert log_prob.grad.tolist() == [-0.5, -0.5]  # every demonstration pulls its own action up, all equally


@pytest.mark.parametrize(
    ("weights", "mean", "std", "action", "density"),
    [
        # One component, σ = 2, one σ away: 0.241971/2.
        ((1.0,), [[0.0]], [[2.0]], [2.0], 0.1209854),
        # ½ N(1; −1, 1) + ½ N(1; 1, 1) = ½·0.0539910 + ½·0.3989423.
        ((0.5, 0.5), [[-1.0], [1.0]], [[1.0], [1.0]], [1.0], 0.2264666),
        # ¾ N(0; 0, 1) + ¼ N(0; 1, ½) = ¾·0.3989423 + ¼·2·0.0539910.
        ((0.75, 0.25), [[0.0], [1.0]], [[1.0], [0.5]], [0.0], 0.3262022),
        # Two independent actions: N(1; 0, 1) · N(0; 0, 1) = 0.2419707·0.3989423.
        ((1.0,), [[0.0, 0.0]], [[1.0, 1.0]], [1.0, 0.0], 0.0965324),
    ],
)
def test_density_of_a_mixture(weights: Any, mean: Any, std: Any, action: Any, density: float) -> None:
    log_prob = mixture(weights, mean, std).log_prob(torch.tensor(action))
    assert log_prob.exp().item() == pytest.approx(density, abs=1e-6)


def test_far_from_every_component_the_log_likelihood_is_still_finite() -> None:
    # Both densities underflow in 32 bits: −½·100² − log √(2π), the weights add up to 1.
    log_prob = mixture((0.5, 0.5), [[0.0], [0.0]], [[1.0], [1.0]]).log_prob(torch.tensor([100.0]))
    assert log_prob.item() == pytest.approx(-5000.9189)


def test_the_log_likelihood_of_a_component_without_width() -> None:
    """At its mean −log σ − ½ log 2π with log σ = −200, and beside it nothing: the other component decides."""
    log_std = torch.tensor([[-200.0], [0.0]], requires_grad=True)
    narrow = Mixture(torch.zeros(2), torch.tensor([[0.0], [1.0]]), log_std)
    at_the_mean, beside = narrow.log_prob(torch.tensor([[0.0], [1.0]]))
    assert at_the_mean.item() == pytest.approx(200 - 0.9189385 - math.log(2))
    assert beside.item() == pytest.approx(-0.9189385 - math.log(2))
    at_the_mean.backward()
    assert log_std.grad is not None
    assert log_std.grad.tolist() == [[-1.0], [0.0]]


def test_samples_come_from_the_components_as_weighted() -> None:
    many = Mixture(
        torch.tensor([0.75, 0.25]).log().expand(4000, 2),
        torch.tensor([[-1.0, 5.0], [1.0, 7.0]]).expand(4000, 2, 2),
        torch.tensor([[0.1, 0.2], [0.3, 0.4]]).log().expand(4000, 2, 2),
    )
    first, second = many.sample(torch.Generator().manual_seed(0)).T
    right = first > 0  # ten and three standard deviations separate the components
    # Four standard errors of each estimate: √(¾·¼/4000) = 0.0068, σ/√n and about σ/√(2n) with n = 3000 and 1000.
    assert right.float().mean().item() == pytest.approx(0.25, abs=0.028)
    for side, means, stds in ((~right, (-1, 5), (0.1, 0.2)), (right, (1, 7), (0.3, 0.4))):
        n = int(side.sum())
        for values, mean, std in zip((first[side], second[side]), means, stds, strict=True):
            assert values.mean().item() == pytest.approx(mean, abs=4 * std / math.sqrt(n))
            assert values.std().item() == pytest.approx(std, abs=4 * std / math.sqrt(2 * n))


def test_the_mode_is_the_heaviest_components_mean() -> None:
    both = Mixture(
        torch.tensor([[0.0, 1.0], [1.0, 0.0]]),
        torch.tensor([[-1.0, 5.0], [1.0, 7.0]]).expand(2, 2, 2),
        torch.zeros(2, 2, 2),
    )
    assert both.mode.tolist() == [[1, 7], [-1, 5]]


def test_the_network_has_a_mixture_for_every_observation() -> None:
    policy = MixturePolicy(5, 2, 3, (8,), torch.Generator().manual_seed(0))
    output = policy(torch.randn(4, 5, generator=torch.Generator().manual_seed(1)))
    assert output.logits.shape == (4, 3)
    assert output.mean.shape == output.log_std.shape == (4, 3, 2)
    assert output.log_prob(torch.zeros(4, 2)).shape == (4,)
    assert policy(torch.zeros(5)).mode.shape == (2,)
    nn.init.constant_(list(policy.parameters())[-1], -9.0)
    narrow = policy(torch.zeros(5))
    assert narrow.log_std.tolist() == [[-3.0, -3.0]] * 3
    assert narrow.mean.max() < -8  # the floor is for the width only


# --- who drives, who labels, when it learns


@pytest.mark.parametrize("dagger", [False, True])
def test_the_clone_drives_after_the_first_round_in_dagger_only(dagger: bool) -> None:
    agent, obs = clone(replace(SMALL, dagger=dagger)), np.full(5, 0.6, np.float32)
    own = agent.act(obs, explore=False)
    assert own[0] != pytest.approx(0.3)  # not yet trained
    for step in range(8):
        drives = own if dagger and step >= 5 else expert(obs)
        assert agent.act(obs).tolist() == drives.tolist()
        agent.observe(Transition(obs, agent.act(obs), 1.0, obs, False, False))
    # Whoever drove, what is learned is what the expert does.
    assert agent.demonstrations.tensors()[1].numpy() == pytest.approx(np.full((8, 1), 0.3))
    assert agent.act(obs, explore=False).tolist() == own.tolist()


def test_a_demonstrator_of_many_moods_is_not_asked_twice() -> None:
    agent = Clone(1, 1, envs.TwoDrivers(np.random.default_rng(0)), SMALL, seed=0)
    for _ in range(4):
        action = agent.act(np.zeros(1))
        agent.observe(Transition(np.zeros(1), action, 1.0, np.zeros(1), True, False))
        assert agent.demonstrations._action[-1] is action


def test_the_clones_actions_stay_in_the_box() -> None:
    agent = clone(SMALL)
    nn.init.constant_(list(agent.policy.parameters())[-1], 9.0)
    assert agent.act(np.zeros(5), explore=False).tolist() == [1]


def test_learning_happens_after_each_round_on_all_data_so_far() -> None:
    agent = clone(replace(SMALL, batch_size=64))
    batches: list[Tensor] = []
    update = agent.update

    def spy(obs: Tensor, action: Tensor) -> dict[str, float]:
        batches.append(obs)
        return update(obs, action)

    agent.update = spy  # type: ignore[method-assign]
    for step in range(1, 11):
        agent.observe(Transition(np.full(5, step, np.float32), np.zeros(1), 1.0, np.zeros(5), False, False))
        assert len(list(agent.learn())) == (3 if step % 5 == 0 else 0)
    # 192 draws: each of 10 transitions is missed with probability 0.9^192, about 2·10⁻⁹.
    assert {int(obs) for batch in batches[:3] for obs in batch[:, 0]} == set(range(1, 6))
    assert {int(obs) for batch in batches[3:] for obs in batch[:, 0]} == set(range(1, 11))


# --- learning


@pytest.mark.usefixtures("unchecked")
def test_squared_error_goes_between_two_drivers_and_a_mixture_follows_one() -> None:
    """A single Gaussian puts its mean into the tree too, and nearly half of its samples."""
    passed = {}
    env, trees = envs.make("rlcourse/TreeAhead-v0"), torch.linspace(-0.4, 0.4, 50)[:, None]
    hits = {}
    for components in (0, 1, 2):
        config = Config(components=components, round_steps=500, updates=500, lr=3e-3)
        agent = Clone(1, 1, envs.TwoDrivers(np.random.default_rng(0)), config, seed=0)
        list(train(env, agent, 500, seed=0))
        passed[components] = evaluate(env, agent, 100, seed=1000).mean()
        if components:
            with torch.inference_mode():
                output: Mixture = agent.policy(trees.repeat(40, 1))
            samples = output.sample(torch.Generator().manual_seed(0))
            hits[components] = ((samples - trees.repeat(40, 1)).abs() <= envs.TreeAhead.CLEAR).float().mean().item()
        else:
            middle = agent.policy(trees)
            assert middle.squeeze().tolist() == pytest.approx(trees.squeeze().tolist(), abs=0.15)
    assert passed == {0: 0, 1: 0, 2: 1}  # in each of ten seeds tried
    # N(0, ½² + 0.05²): P(|z| ≤ 0.3/0.5025) = 0.449; fitted, and four standard errors of 2000 samples are 0.044.
    assert hits[1] == pytest.approx(0.449, abs=0.1)
    assert hits[2] < 0.02


@pytest.mark.usefixtures("unchecked")
def test_small_errors_compound_unless_the_expert_corrects_them() -> None:
    """Three rounds of 200 labels for either; the clone of demonstrations alone fits them better and drives worse."""
    env, driven, loss = envs.make("rlcourse/Road-v0"), [], []
    for dagger in (False, True):
        last, lengths = [], []
        for seed in range(5):
            agent = Clone(5, 1, envs.road_expert, Config(dagger=dagger), seed)
            last += losses_of(train(env, agent, 600, seed))[-50:]
            lengths.append(evaluate(env, agent, 4, seed=1000))
        driven.append(np.stack(lengths))
        loss.append(np.mean(last))
    assert (driven[1] == 400).all()
    # 8 of 10 seeds tried leave the road, some soon and some late: no number of steps is typical.
    assert (driven[0].mean(1) < 350).sum() >= 3
    assert driven[0].min() < 100
    assert loss[0] < 0.5 * loss[1]


@pytest.mark.usefixtures("unchecked")
def test_an_expert_who_wobbles_shows_how_to_come_back() -> None:
    """Noise in what the expert does, not in what it is asked for: Laskey et al. (2017), DART."""
    env, driven = envs.make("rlcourse/Road-v0"), []
    for seed in range(5):
        rng = np.random.default_rng(seed)

        def wobbly(obs: np.ndarray, rng: np.random.Generator = rng) -> np.ndarray:
            return envs.road_expert(obs) + rng.normal(0, 0.1, 1).astype(np.float32)

        agent = Clone(5, 1, wobbly, Config(), seed)
        list(train(env, agent, 600, seed))
        driven.append(evaluate(env, agent, 10, seed=1000).min())
    assert driven == [400] * 5


# --- the worlds


@pytest.mark.parametrize("name", ["Road", "TreeAhead", "TwoWays"])
def test_worlds_are_proper_environments(name: str) -> None:
    env: Any = gym.make(f"rlcourse/{name}-v0").unwrapped
    check_env(env, skip_render_check=True)
    env.action_space.seed(0)
    for seed in range(300):
        obs, _ = env.reset(seed=seed)
        steps, terminated = 0, False
        while not terminated:
            assert env.observation_space.contains(obs)
            obs, _, terminated, _, _ = env.step(
                np.sign(env.action_space.sample()) if seed % 2 else env.action_space.high
            )
            steps += 1
        assert env.observation_space.contains(obs)
        assert steps < 400


def test_a_step_on_the_road() -> None:
    road = envs.Road()
    road.reset(seed=0)
    road.frequency, road.phase = np.full(3, 0.5), np.full(3, np.pi / 2)  # bends with 0.675 cos(s/2)
    # Straight on, where the road bends by 0.675 per unit: after 0.2 units it has turned away by 0.135 rad, and the
    # car is 0.2·sin(−0.135) from the line.
    obs, reward, terminated, truncated, info = road.step(np.zeros(1, np.float32))
    assert obs.tolist() == pytest.approx(
        [-0.2 * math.sin(0.135), -0.135, 0.675 * math.cos(0.1), 0.675 * math.cos(0.25), 0.675 * math.cos(0.4)]
    )
    assert (reward, terminated, truncated) == (1.0, False, False)
    assert info == pytest.approx({"distance": 0.2, "offset": -0.2 * math.sin(0.135)})
    # On the outside of a bend the line goes by more slowly: 0.2·cos(ψ)/(1 − e·κ) with e < 0.
    _, _, _, _, further = road.step(np.zeros(1, np.float32))
    assert further["distance"] - 0.2 == pytest.approx(
        0.2 * math.cos(0.135) / (1 + 0.2 * math.sin(0.135) * 0.675 * math.cos(0.1))
    )


def test_leaving_the_road_or_turning_round_ends_it() -> None:
    road = envs.Road()
    for place, heading, ends in ((0.99, 0.0, False), (0.99, 0.3, True), (-0.99, -0.3, True), (0.0, 1.6, True)):
        road.reset(seed=0)
        road._offset, road._heading, road.frequency = place, heading, np.full(3, 1e-9)
        road.phase = np.zeros(3)  # a straight road
        assert road.step(np.zeros(1))[2] == ends


def test_the_expert_stays_within_a_hair_of_the_line() -> None:
    env = envs.make("rlcourse/Road-v0")
    for seed in range(20):
        obs, _ = env.reset(seed=seed)
        steps, truncated, widest = 0, False, 0.0
        while not truncated:
            obs, _, terminated, truncated, _ = env.step(envs.road_expert(obs))
            assert not terminated
            steps, widest = steps + 1, max(widest, abs(float(obs[0])))
        assert steps == 400
        assert widest < 0.001
    # And from the edge it comes back: half a width off and heading outwards.
    road = envs.Road()
    obs, _ = road.reset(seed=3)
    road._offset, road._heading = 0.5, 0.3
    for _ in range(60):
        obs, _, terminated, _, _ = road.step(envs.road_expert(road._obs()))
        assert not terminated
    assert abs(float(obs[0])) < 0.01


def test_the_map_is_where_the_car_goes() -> None:
    """The path that the steering alone gives, in the plane, against the one by distance and offset."""
    road = envs.Road()
    obs, _ = road.reset(seed=1)
    heading, places, infos = 0.0, [(0.0, 0.0)], []
    for step in range(60):
        action = np.clip(envs.road_expert(obs) + 0.3 * math.sin(step / 8), -1, 1)
        obs, _, terminated, _, info = road.step(action)
        assert not terminated
        heading += road.SPEED * float(action[0])
        x, y = places[-1]
        places.append((x + road.SPEED * math.cos(heading), y + road.SPEED * math.sin(heading)))
        infos.append((info["distance"], info["offset"]))
    path = np.stack(pictures.on_map(road, *np.array(infos).T), 1)
    # Steps of 0.2 on bends up to 0.675: each is wrong by about 0.2²·0.675/2, partly cancelling.
    assert np.abs(path - np.array(places[1:])).max() < 0.3
    assert np.ptp(path[:, 0]) > 8


def test_two_drivers_take_turns_by_chance() -> None:
    drivers = envs.TwoDrivers(np.random.default_rng(0))
    where = np.array([drivers(np.array([0.2], np.float32))[0] - 0.2 for _ in range(2000)])
    left = where > 0
    # Four standard errors: ½/√2000 = 0.011 and 0.05/√1000 = 0.0016.
    assert left.mean() == pytest.approx(0.5, abs=0.045)
    assert [where[left].mean(), where[~left].mean()] == pytest.approx([0.5, -0.5], abs=0.0064)
    assert where[left].std() == pytest.approx(0.05, abs=0.005)


def test_a_tree_is_passed_on_either_side_or_hit() -> None:
    world = envs.TreeAhead()
    world.reset(seed=0)
    world._tree = np.array([0.1], np.float32)
    for place, passed in ((0.1, 0), (0.39, 0), (0.41, 1), (-0.19, 0), (-0.21, 1)):
        assert world.step(np.array([place]))[1:4] == (passed, True, False)


# --- pictures


def test_the_picture_of_two_drivers_says_how_many_actions_hit_the_tree() -> None:
    """Untrained clones, outputs set by hand: who goes to 0 hits where |tree| ≤ 0.3, in three quarters of all."""
    clones = {
        name: Clone(1, 1, envs.TwoDrivers(np.random.default_rng(0)), replace(SMALL, components=components), 0)
        for name, components in (("straight", 0), ("narrow", 1), ("wide", 1), ("aside", 0))
    }
    of_a_workshop = workshop.assemble(cloning).Clone  # whose mixtures are of a class of their own
    clones["copy"] = of_a_workshop(1, 1, clones["narrow"].expert, replace(SMALL, components=1), 0)
    for name, bias in (
        ("straight", [0.0]),
        ("narrow", [0.0, 0, -9]),
        ("copy", [0.0, 0, -9]),
        ("wide", [0.0, 0, 9]),
        ("aside", [1.0]),
    ):
        *_, weight, last = clones[name].policy.parameters()
        nn.init.zeros_(weight)
        last.data[:] = torch.tensor(bias)
    for clone in clones.values():
        action = clone.act(np.zeros(1))
        clone.observe(Transition(np.zeros(1), action, 1.0, np.zeros(1), True, False))
    picture = lessons.plot_passing({name: clones[name] for name in ("straight", "narrow", "aside", "copy")})
    # The narrow one scatters by e⁻³ = 0.05 only, at both ends alike.
    assert picture.alt.endswith("straight: 75 %; narrow: 75 %; aside: 0 %; copy: 75 %.")
    assert "wide: 0 %" in lessons.plot_passing({"wide": clones["wide"]}).alt  # 0.6/(e⁹·√2π)


def test_the_picture_of_the_road_says_who_stays_on_it() -> None:
    env = envs.make("rlcourse/Road-v0")
    drivers = {"expert": envs.road_expert, "asleep": lambda obs: np.zeros(1, np.float32)}
    picture = lessons.plot_drives(env, drivers, seed=3)
    ends = f"expert stays on it for 400 steps; asleep leaves it after {sleeps(env, seed=3)} steps."
    assert picture.alt == f"A winding road: {ends}"


def sleeps(env: gym.Env, seed: int) -> int:
    """The steps until a driver who does not steer has left the road."""
    env.reset(seed=seed)
    steps, over = 0, False
    while not over:
        _, _, over, _, _ = env.step(np.zeros(1, np.float32))
        steps += 1
    return steps


# --- settings, seeds, saving

CHANGES: dict[str, Any] = {
    "lr": 1e-2,
    "batch_size": 5,
    "hidden": (9,),
    "components": 2,
    "dagger": True,
    "round_steps": 6,
    "updates": 4,
}


def test_every_field_of_the_config_is_tried() -> None:
    assert CHANGES.keys() == {field.name for field in fields(Config)}


@pytest.mark.parametrize("name", CHANGES)
def test_every_setting_changes_what_is_learned(name: str) -> None:
    one, other = (clone(config) for config in (SMALL, replace(SMALL, **{name: CHANGES[name]})))
    assert losses(one, 40) != losses(other, 40)


def test_the_seed_decides() -> None:
    assert_the_seed_decides(partial(clone, replace(SMALL, components=2)), lambda agent, seed: losses(agent, 20, seed))


@pytest.mark.parametrize("config", [SMALL, replace(SMALL, components=2, dagger=True)])
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
        ({"components": -1}, r"components = -1 is out of range: it must be in \[0, inf\)"),
        ({"round_steps": 0}, "round_steps = 0"),
        ({"updates": 0}, "updates = 0"),
    ],
)
def test_nonsense_is_refused_by_name(changes: dict[str, Any], message: str) -> None:
    assert_refused(SMALL, changes, message)
