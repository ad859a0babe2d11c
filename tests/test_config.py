"""Ranges: who is refused, and in what words."""

import pkgutil
from dataclasses import MISSING, dataclass, fields, is_dataclass
from importlib import import_module
from inspect import unwrap
from typing import Annotated, Any

import numpy as np
import pytest

from rlcourse import algorithms
from rlcourse.config import Count, Discount, NonNegative, Positive, Probability, Range, Threshold, check, require
from rlcourse.runs import Experiment


@dataclass(frozen=True)
class Config:
    gamma: Discount = 0.9
    epsilon: Probability = 0.1
    lr: Positive = 0.1
    noise: NonNegative = 0.0
    batch_size: Count = 32
    clip: Threshold = 1.0
    half: Annotated[float, Range(0, 0.5)] = 0.1
    units: tuple[Count, ...] = (8, 8)
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
        ({"units": (8, 0)}, "units = 0 is out of range: it must be in [1, inf)"),
        ({"units": 8}, "units = 8: it must be a tuple, as in (64, 64)"),
        ({"units": (8, 2.5)}, "units = 2.5: it must be a whole number"),
        ({"lr": "0.1"}, "lr = '0.1': it must be a number"),
        ({"lr": None}, "lr = None: it must be a number"),
        ({"lr": True}, "lr = True: it must be a number"),
        ({"batch_size": 2.5}, "batch_size = 2.5: it must be a whole number"),
        ({"batch_size": float("inf")}, "batch_size = inf: it must be a whole number"),
        ({"batch_size": True}, "batch_size = True: it must be a whole number"),
        ({"note": 3}, "note = 3: it must be a string"),
    ],
)
def test_what_lies_outside_is_refused_by_name(change: dict[str, Any], rule: str) -> None:
    with pytest.raises(ValueError) as refused:  # noqa: PT011  (the whole message is compared)
        Config(**change)
    assert str(refused.value) == f"test_config.Config.{rule}"


def test_require_names_what_it_was_given() -> None:
    require("tau", 0.5, Range(0, 1))
    with pytest.raises(ValueError, match=r"^tau = 2 is out of range: it must be in \[0, 1\]$"):
        require("tau", 2, Range(0, 1))
    with pytest.raises(ValueError, match=r"^tau = '1': it must be a number$"):
        unwrap(require)("tau", "1", Range(0, 1))  # unwrapped: the tests check annotations, a student's kernel does not


def test_a_whole_number_is_taken_for_a_count_whoever_made_it() -> None:
    for count in (1e6, np.float32(1e6), np.int64(1_000_000), np.uint32(1_000_000)):
        config = Config(batch_size=count, units=[np.int64(3), 4.0])  # type: ignore[arg-type]
        assert (config.batch_size, type(config.batch_size)) == (1_000_000, int)
        assert config.units == (3, 4)
        assert [type(units) for units in config.units] == [int, int]
    numbers: tuple[Any, ...] = 1, np.float32(1), np.int8(1)
    for number in numbers:
        assert type(Config(lr=number).lr) is float


CONFIGS: list[Any] = [
    module.Config
    for name in sorted(info.name for info in pkgutil.iter_modules(algorithms.__path__))
    if is_dataclass(getattr(module := import_module(f"rlcourse.algorithms.{name}"), "Config", None))
] + [Experiment]
REQUIRED = {"agent": "dqn", "env": "CartPole-v1", "steps": 2_000, "config": None}  # of an Experiment
OF_ANOTHER_TYPE: dict[type, tuple[Any, ...]] = {  # by the type of the default
    bool: (0, 1, 1.0, "True", None),
    int: (True, 2.5, "3", None, (3,), float("nan"), float("inf"), np.float64(0.5)),
    float: (True, "0.5", None, (0.5,), float("nan"), 1j),
    str: (3, None, True, ("a",)),
    tuple: (64, 64.0, "64", None, (2.5,), (True,), ("a",), (0,)),
}


def test_every_algorithm_with_settings_is_covered() -> None:
    assert len(CONFIGS) >= 12
    assert all("__post_init__" in vars(config) for config in CONFIGS)


def made(kind: Any, **values: Any) -> Any:
    """`kind(**values)` as in a student's kernel, where nobody checks annotations before `__post_init__` does."""
    self = object.__new__(kind)
    for field in fields(kind):
        object.__setattr__(self, field.name, values.get(field.name, field.default))
    self.__post_init__()
    return self


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.__module__.rsplit(".", 1)[-1])
def test_every_field_refuses_a_value_of_another_type(config: Any) -> None:
    required = REQUIRED if config is Experiment else {}
    defaults = {f.name: required[f.name] if f.default is MISSING else f.default for f in fields(config)}
    for name, default in defaults.items():
        if name == "config":  # of an experiment's agent, which may be anybody's
            continue
        for value in OF_ANOTHER_TYPE[type(default)]:
            if (name, value) == ("keep", ("a",)):  # a tuple of names is what it takes
                continue
            with pytest.raises(ValueError, match=rf"^\w+\.{config.__name__}\.{name} = .*: it must be "):
                made(config, **{**required, name: value})
        same = made(config, **{**required, name: float(default) if type(default) is int else default})
        assert (getattr(same, name), type(getattr(same, name))) == (default, type(default))
