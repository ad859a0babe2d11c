"""Rainbow: distributions and noise on numbers worked out by hand; without them it is DQN, number for number."""

import math
from collections.abc import Callable
from dataclasses import fields, replace
from functools import cache, partial
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from rlcourse.algorithms import dqn, rainbow
from rlcourse.algorithms.rainbow import Config, NoisyLinear, Rainbow
from rlcourse.buffers import Batch, PrioritizedReplay, Transition
from rlcourse.loop import train
from rlcourse.nets import generators, mlp
from tests.agents import assert_a_loaded_one_goes_on, assert_refused, assert_the_seed_decides

SIZES: dict[str, Any] = {"hidden": (8,), "batch_size": 4, "buffer_size": 64, "learning_starts": 4, "epsilon_steps": 20}
SMALL = Config(**SIZES, atoms=11, v_max=10.0, target_every=3)
OFF: dict[str, Any] = {
    "double": False,
    "dueling": False,
    "n_step": 1,
    "priority_exponent": 0.0,
    "distributional": False,
    "noisy": False,
}
ATOMS = torch.tensor([0.0, 2.0, 4.0])


def batch(**changes: Any) -> Batch:
    """Two rows: reward 1 and going on, reward 2 and terminated; one step each, drawn uniformly."""
    columns = {
        "obs": torch.zeros(2, 1),
        "action": torch.tensor([0, 1]),
        "reward": torch.tensor([1.0, 2.0]),
        "next_obs": torch.tensor([[3.0], [4.0]]),
        "terminated": torch.tensor([0.0, 1.0]),
        "steps": torch.ones(2),
        "probability": torch.full((2,), 0.5),
        "indices": torch.tensor([0, 1]),
    }
    return Batch(**columns | changes)


def prefers(action: int) -> Callable[[Tensor], Tensor]:
    return lambda obs: torch.eye(2)[action].expand(len(obs), 2)


def target_logits(obs: Tensor) -> Tensor:
    """Returns 0, 2, 4 have the probabilities 0.2, 0.3, 0.5 after action 0, and 0.5, 0.5, 0 after action 1."""
    return torch.tensor([[0.2, 0.3, 0.5], [0.5, 0.5, 0.0]]).log().expand(len(obs), 2, 3)


def steps(agent: Any, count: int, seed: int = 0) -> list[dict[str, Any]]:
    """Metrics of the updates in `count` steps of CartPole with a time limit of 15."""
    env = gym.make("CartPole-v1", max_episode_steps=15)
    return [metrics for metrics in train(env, agent, count, seed) if "loss" in metrics]


def weights(net: nn.Module) -> Tensor:
    return torch.cat([p.detach().flatten() for p in net.parameters()])


# --- distributions


def test_projection_shares_a_mass_between_its_two_atoms() -> None:
    # On the atoms 0, 2, 4.  0.5 lies a quarter of the way from 0 to 2, 3 in the middle between 2 and 4:
    # ¾·0.4 and ¼·0.4 + ½·0.6 and ½·0.6.
    returns, probability = torch.tensor([[0.5, 3.0, 3.0]]), torch.tensor([[0.4, 0.1, 0.5]])
    assert rainbow.project(returns, probability, ATOMS)[0].tolist() == pytest.approx([0.3, 0.4, 0.3])


def test_projection_keeps_what_lies_on_an_atom_and_at_the_ends() -> None:
    # Where algorithm 1 is taken at its word, lower and upper atom are the same one and both shares are 0.
    probability = torch.tensor([[0.2, 0.3, 0.5]])
    assert rainbow.project(ATOMS[None], probability, ATOMS)[0].tolist() == pytest.approx([0.2, 0.3, 0.5])


def test_projection_gives_what_lies_beyond_the_ends_to_the_last_atoms() -> None:
    # −7 goes to 0, 9 to 4; 1 is shared: 0.2 + ½·0.3, ½·0.3, 0.5.
    returns, probability = torch.tensor([[-7.0, 1.0, 9.0]]), torch.tensor([[0.2, 0.3, 0.5]])
    assert rainbow.project(returns, probability, ATOMS)[0].tolist() == pytest.approx([0.35, 0.15, 0.5])


def slowly_projected(returns: Tensor, probability: Tensor, atoms: Tensor) -> list[list[float]]:
    """The formula, number by number: an atom takes 1 minus its distance in Δz, but never less than 0."""
    low, high = atoms[0].item(), atoms[-1].item()
    spacing = (high - low) / (len(atoms) - 1)
    rows = []
    for values, masses in zip(returns.tolist(), probability.tolist(), strict=True):
        row = [0.0] * len(atoms)
        for value, mass in zip(values, masses, strict=True):
            inside = min(max(value, low), high)
            for i, atom in enumerate(atoms.tolist()):
                row[i] += max(0.0, 1 - abs(inside - atom) / spacing) * mass
        rows.append(row)
    return rows


@pytest.mark.parametrize(("low", "high", "count"), [(0.0, 100.0, 51), (-100.0, 0.0, 51), (-1.0, 1.3, 7), (2.0, 3.0, 2)])
def test_projection_agrees_with_a_slow_one(low: float, high: float, count: int) -> None:
    generator = generators(0, 1)[0]
    atoms = torch.linspace(low, high, count)
    spread = torch.randn(40, count, generator=generator) * (high - low) + (low + high) / 2
    on_atoms = atoms[torch.randint(count, (40, count), generator=generator)]
    returns = torch.where(torch.rand(40, count, generator=generator) < 0.3, on_atoms, spread)
    probability = torch.rand(40, count, generator=generator)
    probability /= probability.sum(-1, keepdim=True)
    projected = rainbow.project(returns, probability, atoms)
    expected = torch.tensor(slowly_projected(returns, probability, atoms))
    torch.testing.assert_close(projected, expected, atol=1e-5, rtol=1e-4)  # float32 over returns of a hundred
    torch.testing.assert_close(projected.sum(-1), torch.ones(40))
    assert (projected >= 0).all()


def test_target_distribution_is_moved_and_stops_at_terminal_states() -> None:
    # Row 0: 1 + ½·(0, 2, 4) = 1, 2, 3 with 0.2, 0.3, 0.5:  ½·0.2, then ½·0.2 + 0.3 + ½·0.5, then ½·0.5.
    # Row 1 is terminated: its reward 2, an atom, for certain.
    target = rainbow.distributional_target(batch(), prefers(0), target_logits, ATOMS, 0.5)
    assert target[0].tolist() == pytest.approx([0.1, 0.65, 0.25])
    assert target[1].tolist() == pytest.approx([0, 1, 0])


def test_target_distribution_is_that_of_the_action_which_the_other_network_selects() -> None:
    # Action 1: 1 and 2 with ½ each, so ½·½, ½·½ + ½, 0.  `target_logits` itself would select action 0.
    target = rainbow.distributional_target(batch(), prefers(1), target_logits, ATOMS, 0.5)
    assert target[0].tolist() == pytest.approx([0.25, 0.75, 0])


def test_target_distribution_of_n_steps_discounts_by_gamma_to_the_n() -> None:
    # γ = ½ over 2 steps: 1 + ¼·(0, 2, 4) = 1, 1.5, 2:  ½·0.2 + ¼·0.3 and ½·0.2 + ¾·0.3 + 0.5.
    rows = batch(steps=torch.tensor([2.0, 1.0]))
    target = rainbow.distributional_target(rows, prefers(0), target_logits, ATOMS, 0.5**rows.steps)
    assert target[0].tolist() == pytest.approx([0.175, 0.825, 0])


@pytest.mark.parametrize(("reward", "kept"), [(3.0, True), (8.0, False)])
def test_the_mean_of_the_target_is_the_scalar_target_unless_returns_are_cut_off(reward: float, kept: bool) -> None:
    generator = generators(0, 1)[0]
    table, atoms = torch.randn(5, 2, 11, generator=generator), torch.linspace(0, 10, 11)
    rows = batch(
        obs=torch.zeros(5, 1),
        action=torch.zeros(5, dtype=torch.int64),
        reward=reward + torch.arange(5) / 40,
        next_obs=torch.arange(5.0)[:, None],
        terminated=torch.eye(5)[2],
        steps=torch.ones(5),
        probability=torch.full((5,), 0.2),
        indices=torch.arange(5),
    )

    def logits(obs: Tensor) -> Tensor:
        return table[obs[:, 0].long()]

    def q(obs: Tensor) -> Tensor:
        return rainbow.expectation(logits(obs), atoms)

    target = rainbow.distributional_target(rows, q, logits, atoms, 0.6)  # at most 3.1 + 0.6·10 = 9.1
    scalar = dqn.bellman_target(rows, q, 0.6)
    assert torch.allclose(target @ atoms, scalar, atol=1e-5) == kept


def test_expectation_weighs_the_atoms_by_their_probabilities() -> None:
    # Odds 1 : 3 between 0 and 2; the third atom is impossible:  ¾·2.
    logits = torch.tensor([math.log(1), math.log(3), -math.inf])
    assert rainbow.expectation(logits, ATOMS).item() == pytest.approx(1.5)


def test_divergence_is_zero_at_the_target_and_its_gradient_that_of_the_cross_entropy() -> None:
    # p = ¼, ¾.  Against certainty of the first: log 4.  Against p: 0.  Against ½, ½: ½ log 2 + ½ log ⅔ = 0.1438.
    target = torch.tensor([[1.0, 0.0], [0.25, 0.75], [0.5, 0.5]])
    logits = torch.tensor([0.25, 0.75]).log().repeat(3, 1).requires_grad_()
    found = rainbow.divergence(target, logits)
    assert found.tolist() == pytest.approx([math.log(4), 0, 0.1438], abs=1e-4)
    found.sum().backward()
    assert logits.grad is not None
    torch.testing.assert_close(logits.grad, logits.softmax(-1).detach() - target)  # that of −Σ m log p


def test_dueling_subtracts_the_mean_advantage_atom_by_atom() -> None:
    # Means over the two actions: 2 and 6.  First atom 10 + (1 − 2), 10 + (3 − 2); second 20 + (4 − 6), 20 + (8 − 6).
    value, advantage = torch.tensor([[[10.0, 20.0]]]), torch.tensor([[[1.0, 4.0], [3.0, 8.0]]])
    assert rainbow.dueling(value, advantage).tolist() == [[[9, 18], [11, 22]]]


# --- noise


def noisy_layer(inputs: int, outputs: int, sigma: float = 0.5) -> NoisyLinear:
    (linear,) = mlp([inputs, outputs], generators(0, 1)[0])
    assert isinstance(linear, nn.Linear)
    return NoisyLinear(linear, sigma)


def noise_of(layer: NoisyLinear) -> tuple[Tensor, Tensor]:
    """The noise ε that the layer's output holds: of the weights, `(out, in)`, and of the biases."""
    with torch.no_grad():
        bias = layer(torch.zeros(layer.weight.shape[1]))
        weight = layer(torch.eye(layer.weight.shape[1])).T - bias[:, None]
        return (weight - layer.weight) / layer.weight_sigma, (bias - layer.bias) / layer.bias_sigma


def test_a_noisy_layer_begins_as_an_ordinary_one_with_noise_of_size_sigma() -> None:
    layer, (linear,) = noisy_layer(4, 3), mlp([4, 3], generators(0, 1)[0])
    x = torch.tensor([[1.0, -2.0, 0.5, 3.0]])
    assert torch.equal(layer(x), linear(x))  # before the first draw
    assert layer.weight_sigma.tolist() == [[0.25] * 4] * 3  # 0.5/√4
    assert layer.bias_sigma.tolist() == [0.25] * 3


def test_noise_is_factorised_and_that_of_a_bias_is_its_outputs() -> None:
    layer = noisy_layer(4, 3)
    layer.draw(generators(1, 1)[0])
    drawn = torch.randn(7, generator=generators(1, 1)[0]).tolist()
    f = [math.copysign(math.sqrt(abs(number)), number) for number in drawn]  # four inputs, then three outputs
    weight, bias = noise_of(layer)
    expected = [[f[4 + j] * f[i] for i in range(4)] for j in range(3)]
    torch.testing.assert_close(weight, torch.tensor(expected), atol=1e-5, rtol=1e-4)  # a difference of float32 numbers
    torch.testing.assert_close(bias, torch.tensor(f[4:]), atol=1e-5, rtol=1e-4)
    assert torch.linalg.matrix_rank(weight, atol=1e-3) == 1


@pytest.mark.thorough
def test_noise_has_mean_zero_and_the_variance_of_its_factors() -> None:
    # f(ε)² = |ε| with mean √(2/π) = 0.798; a weight's noise is a product of two: variance 2/π = 0.637.
    layer, generator, drawn = noisy_layer(2, 2), generators(0, 1)[0], []
    for _ in range(4_000):
        layer.draw(generator)
        drawn.append(torch.cat([each.flatten() for each in noise_of(layer)]))
    noise = torch.stack(drawn)
    assert noise.mean(0).abs().max() < 4 * 0.9 / math.sqrt(4_000)  # four standard errors, as below
    # The spread of |ε| is √(1 − 2/π) = 0.6; of |ε ε'| it is √(1 − (2/π)²) = 0.77.
    assert noise[:, :4].var(0).tolist() == pytest.approx([2 / math.pi] * 4, abs=4 * 0.77 / math.sqrt(4_000))
    assert noise[:, 4:].var(0).tolist() == pytest.approx([math.sqrt(2 / math.pi)] * 2, abs=4 * 0.6 / math.sqrt(4_000))


def test_all_layers_are_noisy_or_none_and_mean_and_size_of_the_noise_learn() -> None:
    agent = Rainbow(1, 2, SMALL, seed=0)
    agent.update(batch(obs=torch.ones(2, 1)))
    names = [name for name, parameter in agent.q.named_parameters() if parameter.grad is not None]
    assert names == [name for name, _ in agent.q.named_parameters()]
    assert len(names) == 4 * 3  # μ and σ of weights and biases in the body, the value and the advantage
    assert all(bool(p.grad.any()) for p in agent.q.parameters() if p.grad is not None)
    assert not any(isinstance(m, NoisyLinear) for m in Rainbow(1, 2, replace(SMALL, noisy=False), 0).q.modules())


def test_noise_is_one_for_a_batch_and_another_for_each_use_of_it() -> None:
    agent, seen = Rainbow(1, 2, SMALL, seed=0), list[Tensor]()

    def record(layer: nn.Module, inputs: Any, output: Tensor) -> None:
        seen.append(torch.cat(list(layer.noise)))  # type: ignore[arg-type]
        assert torch.equal(output[0], output[1])  # equal observations, equal outputs

    for net in (agent.q, agent.target_q):
        first = next(module for module in net.modules() if isinstance(module, NoisyLinear))
        first.register_forward_hook(record)
    rows = batch(next_obs=torch.ones(2, 1))
    for _ in range(2):
        agent.update(rows)
    assert len(seen) == 6  # selection, evaluation and estimate, twice
    assert len({tuple(noise.tolist()) for noise in seen}) == 6


def test_it_explores_by_noise_alone_and_is_evaluated_without() -> None:
    agent = Rainbow(1, 2, replace(SMALL, sigma=5.0, epsilon_start=1.0, epsilon_end=1.0), seed=0)
    assert agent.epsilon == 0
    obs = np.ones(1)
    assert {agent.act(obs) for _ in range(50)} == {0, 1}
    state = agent.state_dict()
    chosen = {agent.act(obs, explore=False) for _ in range(50)}
    values = {agent.value(obs, 0) for _ in range(5)}
    assert len(chosen) == len(values) == 1
    assert torch.equal(agent.state_dict()["_exploration"], state["_exploration"])
    still = Rainbow(1, 2, replace(SMALL, sigma=1e-12), seed=0)
    assert len({still.act(obs) for _ in range(50)}) == 1


def test_without_noise_epsilon_falls_linearly_and_stays() -> None:
    agent = Rainbow(4, 2, replace(SMALL, noisy=False, epsilon_start=1.0, epsilon_end=0.2, epsilon_steps=4), seed=0)
    seen = []
    for _ in range(6):
        seen.append(agent.epsilon)
        agent.observe(Transition(np.zeros(4), 0, 0.0, np.zeros(4), False, False))
    assert seen == pytest.approx([1.0, 0.8, 0.6, 0.4, 0.2, 0.2])


# --- the six switches


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"double": True},
        {"dueling": True},
        {"n_step": 3},
        {"priority_exponent": 0.6},
        {"huber_threshold": 0.1, "max_grad_norm": 0.1},
    ],
    ids=str,
)
def test_without_distributions_and_noise_every_number_is_dqns(changes: dict[str, Any]) -> None:
    settings = {**SIZES, **OFF, "target_every": 3, "tau": 1.0, **changes}
    known = {name: value for name, value in settings.items() if name not in ("distributional", "noisy")}
    ours, theirs = Rainbow(4, 2, Config(**settings), seed=0), dqn.DQN(4, 2, dqn.Config(**known), seed=0)
    assert steps(ours, 60) == steps(theirs, 60)
    assert torch.equal(weights(ours.q), weights(theirs.q))


def test_double_lets_the_online_network_select() -> None:
    """The online network is certain of 0 for action 0 and of 10 for action 1, the target network of the opposite."""
    rows, losses = batch(action=torch.ones(2, dtype=torch.int64), reward=torch.ones(2), terminated=torch.zeros(2)), []
    for on in (True, False):
        agent = Rainbow(1, 2, replace(SMALL, double=on, noisy=False, dueling=False, gamma=0.9), seed=0)
        for net, best in ((agent.q, 1), (agent.target_q, 0)):
            certain = torch.full((2, 11), -30.0)
            certain[best, 10] = certain[1 - best, 0] = 0.0
            weight, bias = net.advantage.parameters()
            weight.data.zero_()
            bias.data.copy_(certain.flatten())
        losses.append(agent.update(rows)["loss"])
    # The estimate is 10. Double: the target network says 0 of action 1, and 1 + 0; the estimate has e⁻³⁰ there. Else it
    # says 10 of action 0, and 1 + 0.9·10: just as estimated.
    assert losses == pytest.approx([30, 0], rel=0.01, abs=1e-3)


def test_no_gradient_reaches_the_target() -> None:
    agent = Rainbow(1, 2, replace(SMALL, tau=0.0), seed=0)
    before = weights(agent.target_q), weights(agent.q)
    agent.update(batch())
    assert not any(p.requires_grad for p in agent.target_q.parameters())
    assert torch.equal(weights(agent.target_q), before[0])
    assert not torch.equal(weights(agent.q), before[1])


def test_the_gradient_is_that_of_the_estimate_alone() -> None:
    """With γ > 0 the target of the same network is a constant; rows drawn more often weigh less."""
    config = replace(SMALL, max_grad_norm=math.inf, sigma=1e-12, importance_start=1.0)
    agent = Rainbow(1, 2, config, seed=0)
    agent.target_q = agent.q  # the worst case: target and estimate share their weights
    rows = batch(terminated=torch.zeros(2), probability=torch.tensor([0.1, 0.2]))
    target = rainbow.distributional_target(rows, agent.q, agent.q.logits, agent.q.atoms, 0.99).detach()
    error = rainbow.divergence(target, agent.q.logits(rows.obs)[torch.arange(2), rows.action])
    loss = (error[0] + error[1] / 2) / 2
    means = [parameter for name, parameter in agent.q.named_parameters() if not name.endswith("_sigma")]
    expected = torch.autograd.grad(loss, means)
    assert agent.update(rows)["loss"] == pytest.approx(loss.item())
    for parameter, gradient in zip(means, expected, strict=True):
        torch.testing.assert_close(parameter.grad, gradient)


def test_an_update_discounts_each_row_by_the_steps_it_spans() -> None:
    agent = Rainbow(1, 2, replace(SMALL, gamma=0.5, noisy=False), seed=0)
    rows = batch(terminated=torch.zeros(2), steps=torch.tensor([3.0, 1.0]))
    discount = torch.tensor([0.125, 0.5])
    target = rainbow.distributional_target(rows, agent.q, agent.target_q.logits, agent.q.atoms, discount)
    chosen = agent.q.logits(rows.obs)[torch.arange(2), rows.action]
    assert agent.update(rows)["loss"] == pytest.approx(rainbow.divergence(target, chosen).mean().item())


def test_prioritised_replay_gets_the_divergence() -> None:
    config = replace(SMALL, priority_exponent=0.5, lr=1e-9, noisy=False, importance_start=0.0, n_step=1)
    agent = Rainbow(1, 2, config, seed=0)
    assert isinstance(agent.replay, PrioritizedReplay)
    for reward in (0.0, 5.0):
        agent.observe(Transition(np.zeros(1), 0, reward, np.zeros(1), True, False))
    log_p = agent.q.logits(torch.zeros(1))[0].log_softmax(-1)
    agent.update(agent.replay.gather(torch.tensor([0, 1])))
    # The target is certain of the atoms 0 and 5: the divergence is −log p there.
    assert agent.replay.priorities.tolist() == pytest.approx([(-log_p[i].item()) ** 0.5 for i in (0, 5)], rel=1e-4)


@pytest.mark.parametrize("updates", [1, 2, 3, 4])
def test_the_target_network_is_copied_at_its_interval(updates: int) -> None:
    agent = Rainbow(1, 2, replace(SMALL, tau=1.0, target_every=3), seed=0)
    first = weights(agent.target_q)
    for _ in range(updates):
        agent.update(batch())
    assert torch.equal(weights(agent.target_q), first) == (updates < 3)
    assert torch.equal(weights(agent.target_q), weights(agent.q)) == (updates == 3)


# --- settings, seeds, saving


CHANGES: dict[str, Any] = {
    "gamma": 0.5,
    "lr": 1e-3,
    "batch_size": 5,
    "hidden": (9,),
    "buffer_size": 20,
    "learning_starts": 9,
    "train_every": 2,
    "updates": 2,
    "target_every": 2,
    "tau": 0.5,
    "epsilon_start": 0.7,
    "epsilon_end": 0.5,
    "epsilon_steps": 40,
    "huber_threshold": 0.1,
    "max_grad_norm": 0.1,
    "double": False,
    "dueling": False,
    "n_step": 1,
    "priority_exponent": 0.9,
    "importance_start": 1.0,
    "importance_steps": 5,
    "distributional": False,
    "atoms": 7,
    "v_min": -1.0,
    "v_max": 12.0,
    "noisy": False,
    "sigma": 0.1,
}
WITHOUT_NOISE, WITHOUT_DISTRIBUTIONS = ("epsilon_start", "epsilon_end", "epsilon_steps"), ("huber_threshold",)


def test_every_field_of_the_config_is_tried() -> None:
    assert CHANGES.keys() == {field.name for field in fields(Config)}


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("name", CHANGES)
def test_every_setting_changes_what_is_learned(name: str) -> None:
    off = "noisy" if name in WITHOUT_NOISE else "distributional" if name in WITHOUT_DISTRIBUTIONS else ""
    assert learned(off) != learned(off, name)
    if off:  # and nothing where the switch is on
        assert learned("") == learned("", name)


@cache
def learned(off: str, *changed: str) -> list[dict[str, Any]]:
    """With one switch off and these settings changed. What all compare with, no change, is learned once."""
    changes: dict[str, Any] = ({off: False} if off else {}) | {name: CHANGES[name] for name in changed}
    base = replace(SMALL, lr=0.05, learning_starts=5, importance_steps=100)
    return steps(Rainbow(4, 2, replace(base, **changes), seed=0), 45)


def test_the_seed_decides() -> None:
    assert_the_seed_decides(partial(Rainbow, 4, 2, SMALL), lambda agent, seed: steps(agent, 40, seed))
    one, other = (steps(Rainbow(4, 2, SMALL, seed), 40)[0]["loss"] for seed in (0, 1))
    assert one != other  # from the first update on


@pytest.mark.parametrize("config", [SMALL, replace(SMALL, **OFF)])
def test_a_loaded_agent_goes_on_like_the_saved_one(config: Config) -> None:
    saved = Rainbow(4, 2, config, seed=0)
    steps(saved, 37)  # in the middle of an episode, so that n-step windows are pending
    assert_a_loaded_one_goes_on(saved, partial(Rainbow, 4, 2, config), lambda agent, seed: steps(agent, 30, seed))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hidden": ()}, "hidden: number of layers = 0"),
        ({"atoms": 1}, "atoms = 1"),
        ({"v_min": 10.0}, r"v_max = 10.0 is out of range: it must be in \(10, inf\]"),
        ({"v_min": math.nan}, "v_min = nan"),
        ({"sigma": 0.0}, "sigma = 0.0"),
        ({"n_step": 0}, "n_step = 0"),
        ({"batch_size": 100}, r"batch_size = 100 is out of range: it must be in \[1, 64\]"),
    ],
)
def test_nonsense_is_refused_by_name(changes: dict[str, Any], message: str) -> None:
    assert_refused(SMALL, changes, message)
