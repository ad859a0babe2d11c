"""The checks that every `Config` uses: nonsense is refused by name, where it is written."""

from dataclasses import dataclass, fields
from numbers import Integral, Real
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints


@dataclass(frozen=True)
class Range:
    """The interval a number must lie in; an open end is excluded."""

    low: float
    high: float = float("inf")
    open_low: bool = False
    open_high: bool = False

    def __contains__(self, value: float) -> bool:
        above = self.low < value if self.open_low else self.low <= value
        below = value < self.high if self.open_high else value <= self.high
        return above and below

    def __str__(self) -> str:
        return f"{'(' if self.open_low else '['}{self.low:g}, {self.high:g}{')' if self.open_high else ']'}"


Probability = Annotated[float, Range(0, 1)]
Discount = Annotated[float, Range(0, 1, open_high=True)]
Positive = Annotated[float, Range(0, open_low=True, open_high=True)]
NonNegative = Annotated[float, Range(0, open_high=True)]
Threshold = Annotated[float, Range(0, open_low=True)]  # infinity switches it off
Finite = Annotated[float, Range(-float("inf"), open_low=True, open_high=True)]
Count = Annotated[int, Range(1, open_high=True)]
CountOrZero = Annotated[int, Range(0, open_high=True)]


class OutOfRangeError(ValueError):
    """Raised for a setting that cannot be; the message names it, the value and what is allowed."""


def require(name: str, value: float, allowed: Range) -> None:
    """Raise `OutOfRangeError` unless `value` is a number in `allowed`; NaN never is."""
    if not _is_a(value, Real):
        raise _wrong(name, value, "a number")
    if value not in allowed:
        raise OutOfRangeError(f"{name} = {value} is out of range: it must be in {allowed}")


def check(config: Any) -> None:
    """Check each field of a dataclass against its annotation; call it from `__post_init__`.

    Numbers are stored as the type that is written there: 1e6 is taken for a count and becomes 1000000. Where there is a
    replay buffer, it must hold a batch, and what is collected before the first one.

    Raises:
        OutOfRangeError: names the Config, the field, its value, and the type or the range that is allowed.
    """
    hints = get_type_hints(type(config), include_extras=True)
    page = f"{type(config).__module__.rsplit('.', 1)[-1]}.{type(config).__name__}"
    for field in fields(config):
        value = _checked(f"{page}.{field.name}", getattr(config, field.name), hints[field.name])
        object.__setattr__(config, field.name, value)  # the dataclass is frozen
    if hasattr(config, "buffer_size"):
        require(f"{page}.batch_size", config.batch_size, Range(1, config.buffer_size))
        require(f"{page}.learning_starts", config.learning_starts, Range(config.batch_size, config.buffer_size))


def _checked(name: str, value: Any, hint: Any) -> Any:
    """`value` as what `hint` says: the types that Configs have, and no others."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        value = _checked(name, value, arguments[0])
        for allowed in arguments[1:]:
            require(name, value, allowed)
        return value
    if origin is tuple:  # tuple[X, ...]; a list is what JSON makes of it
        if isinstance(value, tuple | list):
            return tuple(_checked(name, item, arguments[0]) for item in value)
        raise _wrong(name, value, "a tuple, as in (64, 64)")
    if origin in (Union, UnionType):
        hint, arguments = Literal, tuple(choice for alternative in arguments for choice in get_args(alternative))
    if hint is Literal or origin is Literal:
        if isinstance(value, str) and value in arguments:
            return value
        raise _wrong(name, value, f"one of {arguments}")
    if hint is float and _is_a(value, Real):
        return float(value)
    if hint is int and (_is_a(value, Integral) or (_is_a(value, Real) and float(value).is_integer())):
        return int(value)
    if hint is Any or (hint in (bool, str) and isinstance(value, hint)):
        return value
    raise _wrong(name, value, _WORDS[hint])


_WORDS = {int: "a whole number", float: "a number", bool: "True or False", str: "a string"}


def _is_a(value: Any, kind: type) -> bool:
    """Whether it is a number of this kind, Python's or NumPy's; to Python True is an integer, here it is not."""
    return isinstance(value, kind) and not isinstance(value, bool)


def _wrong(name: str, value: Any, wanted: str) -> OutOfRangeError:
    return OutOfRangeError(f"{name} = {value!r}: it must be {wanted}")
