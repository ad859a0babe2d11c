"""Generators, perceptrons and target networks."""

import pytest
import torch
from torch import nn

from rlcourse.nets import generators, mlp, polyak_update


def linear(weight: float, bias: float) -> nn.Linear:
    net = nn.Linear(1, 1)
    nn.init.constant_(net.weight, weight)
    nn.init.constant_(net.bias, bias)
    return net


def test_generators_differ_repeat_and_do_not_depend_on_how_many_there_are() -> None:
    draws = [torch.rand((), generator=generator).item() for generator in generators(0, 3)]
    assert len(set(draws)) == 3
    assert [torch.rand((), generator=generator).item() for generator in generators(0, 2)] == draws[:2]
    assert torch.rand((), generator=generators(1, 1)[0]).item() not in draws


def test_mlp_is_linear_layers_with_activations_between() -> None:
    net = mlp([3, 5, 2], generators(0, 1)[0], nn.ELU)
    assert [type(layer) for layer in net] == [nn.Linear, nn.ELU, nn.Linear]
    assert [tuple(parameter.shape) for parameter in net.parameters()] == [(5, 3), (5,), (2, 5), (2,)]
    assert net(torch.zeros(4, 3)).shape == (4, 2)


def test_mlp_draws_from_its_generator_within_bounds_and_leaves_the_global_one_alone() -> None:
    before = torch.get_rng_state()
    one, same, other = (next(mlp([4, 400], generators(seed, 1)[0]).parameters()) for seed in (0, 0, 1))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    assert torch.equal(torch.get_rng_state(), before)
    # U(−1/√4, 1/√4): of 1600 draws the largest is within 1 % of the bound but for odds of 0.99^1600 ≈ 1e-7.
    assert 0.495 < one.abs().max() <= 0.5


@pytest.mark.parametrize(
    ("tau", "weight", "bias"),
    [(0.0, 1.0, -1.0), (1.0, 3.0, 7.0), (0.25, 1.5, 1.0)],  # 1 + ¼·(3 − 1) = 1.5 and −1 + ¼·(7 + 1) = 1
)
def test_polyak_update_moves_the_target_by_tau(tau: float, weight: float, bias: float) -> None:
    target, online = linear(1.0, -1.0).requires_grad_(False), linear(3.0, 7.0)
    polyak_update(target, online, tau)
    assert (target.weight.item(), target.bias.item()) == (weight, bias)
    assert (online.weight.item(), online.bias.item()) == (3.0, 7.0)
    assert not target.weight.requires_grad
