"""Ranges: who is refused, and in what words."""

from dataclasses import dataclass
from typing import Annotated

import pytest

from rlcourse.config import Count, Discount, NonNegative, Positive, Probability, Range, Threshold, check, require


@dataclass(frozen=True)
class Config:
    gamma: Discount = 0.9
    epsilon: Probability = 0.1
    lr: Positive = 0.1
    noise: NonNegative = 0.0
    batch_size: Count = 32
    clip: Threshold = 1.0
    half: Annotated[float, Range(0, 0.5)] = 0.1
    note: str = "fields without a range are left alone"

    def __post_init__(self) -> None:
        check(self)


def test_ends_that_belong_to_the_range_are_taken() -> None:
    Config(gamma=0, epsilon=0, noise=0, batch_size=1)
    Config(epsilon=1, gamma=0.9999, clip=float("inf"), half=0.5)


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"gamma": 1.0}, "gamma = 1.0 is out of range: it must be in [0, 1)"),
        ({"gamma": -0.1}, "gamma = -0.1 is out of range: it must be in [0, 1)"),
        ({"epsilon": 1.01}, "epsilon = 1.01 is out of range: it must be in [0, 1]"),
        ({"lr": 0.0}, "lr = 0.0 is out of range: it must be in (0, inf)"),
        ({"noise": -1e-9}, "noise = -1e-09 is out of range: it must be in [0, inf)"),
        ({"batch_size": 0}, "batch_size = 0 is out of range: it must be in [1, inf)"),
        ({"clip": 0.0}, "clip = 0.0 is out of range: it must be in (0, inf]"),
        ({"half": 0.6}, "half = 0.6 is out of range: it must be in [0, 0.5]"),
        ({"lr": float("nan")}, "lr = nan is out of range: it must be in (0, inf)"),
        ({"lr": float("inf")}, "lr = inf is out of range: it must be in (0, inf)"),
    ],
)
def test_what_lies_outside_is_refused_by_name(change: dict[str, float], rule: str) -> None:
    with pytest.raises(ValueError) as refused:  # noqa: PT011  (the whole message is compared)
        Config(**change)  # type: ignore[arg-type]
    assert str(refused.value) == f"test_config.Config.{rule}"


def test_require_names_what_it_was_given() -> None:
    require("tau", 0.5, Range(0, 1))
    with pytest.raises(ValueError, match=r"^tau = 2 is out of range: it must be in \[0, 1\]$"):
        require("tau", 2, Range(0, 1))
