"""Imitation: each equation on numbers worked out by hand, who drives and who labels, and what is learned from it."""

import math
from dataclasses import fields, replace
from types import SimpleNamespace
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env
from torch import Tensor, nn

from rlcourse import envs, lessons, pictures, workshop
from rlcourse.algorithms import diffusion, imitation
from rlcourse.algorithms.imitation import Config, Imitation, Mixture, MixturePolicy
from rlcourse.buffers import Transition
from rlcourse.loop import evaluate, train
from rlcourse.two_ways import left_of

pytestmark = pytest.mark.thorough  # minutes together: in `make test`, not in the inner loop

torch.set_num_threads(1)  # small networks: a second thread only slows them down
SMALL = Config(hidden=(8,), batch_size=4, round_steps=5, updates=3)


def expert(obs: Any) -> np.ndarray:
    """Answers with half of what it sees."""
    return np.asarray(obs[:1], np.float32) / 2


def mixture(weights: tuple[float, ...], mean: Any, std: Any) -> Mixture:
    return Mixture(torch.tensor(weights).log(), torch.tensor(mean), torch.tensor(std).log())


def clone(config: Config, seed: int = 0) -> Imitation:
    return Imitation(5, 1, expert, config, seed)


def losses(agent: Imitation, steps: int, seed: int = 0) -> list[float]:
    """Of the updates in `steps` steps on the road."""
    env = gym.make("rlcourse/Road-v0", max_episode_steps=15)
    return [metrics["loss"] for metrics in train(env, agent, steps, seed) if "loss" in metrics]


def weights(agent: Imitation) -> Tensor:
    return torch.cat([p.detach().flatten() for p in agent.policy.parameters()])


# --- equations


def test_squared_error_sums_over_action_dimensions_and_averages_over_the_batch() -> None:
    prediction, action = torch.tensor([[0.0, 1.0], [2.0, 0.0]]), torch.tensor([[1.0, -1.0], [2.0, 3.0]])
    # Row 0: 1 + 4 = 5.  Row 1: 0 + 9 = 9.  Mean 7.
    assert imitation.squared_error(prediction, action).item() == 7


def test_squared_error_is_a_gaussian_likelihood_of_fixed_variance() -> None:
    # With σ² = ½: −log N(a; μ, ½) = (a − μ)² + ½ log π.
    prediction, action = torch.tensor([[0.3], [-1.0]]), torch.tensor([[0.5], [1.0]])
    gaussian = Mixture(torch.zeros(2, 1), prediction[:, None], torch.full((2, 1, 1), 0.5).log() / 2)
    loss = imitation.actor_loss(gaussian.log_prob(action))
    squared = imitation.squared_error(prediction, action)
    assert loss.item() == pytest.approx(squared.item() + math.log(math.pi) / 2)


def test_actor_loss_is_the_negative_mean_log_likelihood() -> None:
    log_prob = torch.tensor([-1.0, -4.0], requires_grad=True)
    loss = imitation.actor_loss(log_prob)
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
    assert agent.demonstrations[1].numpy() == pytest.approx(np.full((8, 1), 0.3))
    assert agent.act(obs, explore=False).tolist() == own.tolist()


def test_a_demonstrator_of_many_moods_is_not_asked_twice() -> None:
    agent = Imitation(1, 1, envs.TwoDrivers(np.random.default_rng(0)), SMALL, seed=0)
    for _ in range(4):
        action = agent.act(np.zeros(1))
        agent.observe(Transition(np.zeros(1), action, 1.0, np.zeros(1), True, False))
        assert agent._action[-1] is action


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
    obs, action = agent.demonstrations
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
    with pytest.raises(ValueError, match="a gate must say when the expert takes over, or members = 5"):
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
def test_squared_error_goes_between_two_drivers_and_a_mixture_follows_one() -> None:
    """A single Gaussian puts its mean into the tree too, and nearly half of its samples."""
    passed = {}
    env, trees = envs.make("rlcourse/TreeAhead-v0"), torch.linspace(-0.4, 0.4, 50)[:, None]
    hits = {}
    for components in (0, 1, 2):
        config = Config(components=components, round_steps=500, updates=500, lr=3e-3)
        agent = Imitation(1, 1, envs.TwoDrivers(np.random.default_rng(0)), config, seed=0)
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
            agent = Imitation(5, 1, envs.road_expert, Config(dagger=dagger), seed)
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


def losses_of(metrics: Any) -> list[float]:
    return [each["loss"] for each in metrics if "loss" in each]


@pytest.mark.usefixtures("unchecked")
def test_an_expert_who_wobbles_shows_how_to_come_back() -> None:
    """Noise in what the expert does, not in what it is asked for: Laskey et al. (2017), DART."""
    env, driven = envs.make("rlcourse/Road-v0"), []
    for seed in range(5):
        rng = np.random.default_rng(seed)

        def wobbly(obs: np.ndarray, rng: np.random.Generator = rng) -> np.ndarray:
            return envs.road_expert(obs) + rng.normal(0, 0.1, 1).astype(np.float32)

        agent = Imitation(5, 1, wobbly, Config(), seed)
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


def test_the_picture_of_two_drivers_says_how_many_actions_hit_the_tree() -> None:
    """Untrained clones, outputs set by hand: who goes to 0 hits where |tree| ≤ 0.3, in three quarters of all."""
    clones = {
        name: Imitation(1, 1, envs.TwoDrivers(np.random.default_rng(0)), replace(SMALL, components=components), 0)
        for name, components in (("straight", 0), ("narrow", 1), ("wide", 1), ("aside", 0))
    }
    of_a_workshop = workshop.assemble(imitation).Imitation  # whose mixtures are of a class of their own
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


def test_same_seed_same_numbers_and_another_seed_others() -> None:
    before = torch.get_rng_state(), str(np.random.get_state())  # noqa: NPY002  (it must not be touched)
    runs = [losses(clone(replace(SMALL, components=2), seed), 20) for seed in (0, 0, 1)]
    assert runs[0] == runs[1] != runs[2]
    assert torch.equal(torch.get_rng_state(), before[0])
    assert str(np.random.get_state()) == before[1]  # noqa: NPY002


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
    saved, loaded, again = (clone(config, seed) for seed in (0, 5, 6))
    losses(saved, 17)  # in the middle of a round
    state = saved.state_dict()
    expected = losses(saved, 20, seed=7)
    for other in (loaded, again):  # the second shows that what came out of `state_dict` is a copy
        other.load_state_dict(state)
        assert losses(other, 20, seed=7) == expected
        assert torch.equal(weights(other), weights(saved))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lr": 0.0}, "imitation.Config.lr = 0.0"),
        ({"batch_size": 0}, "imitation.Config.batch_size = 0"),
        ({"hidden": (8, 0)}, "imitation.Config.hidden = 0"),
        ({"bins": -1}, "imitation.Config.bins = -1"),
        ({"noise_steps": -1}, "imitation.Config.noise_steps = -1"),
        ({"stretch": -1}, "imitation.Config.stretch = -1"),
        ({"threshold": 0.0}, "imitation.Config.threshold = 0.0"),
        ({"members": 0}, "imitation.Config.members = 0"),
        ({"components": 2, "noise_steps": 3}, "components = 2 and noise_steps = 3 exclude each other, choose one"),
        ({"bins": 2, "noise_steps": 3}, "bins = 2 and noise_steps = 3 exclude each other"),
        ({"dagger": True, "stretch": 3}, "dagger = True and stretch = 3 exclude each other"),
        ({"components": -1}, r"imitation.Config.components = -1 is out of range: it must be in \[0, inf\)"),
        ({"round_steps": 0}, "imitation.Config.round_steps = 0"),
        ({"updates": 0}, "imitation.Config.updates = 0"),
    ],
)
def test_nonsense_is_refused_by_name(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(SMALL, **changes)
