"""The range checks that every `Config` uses: nonsense is refused by name, where it is written."""

from dataclasses import dataclass, fields
from typing import Annotated, Any, get_type_hints


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
Count = Annotated[int, Range(1, open_high=True)]


class OutOfRangeError(ValueError):
    """A number that lies outside its `Range`; the message names both."""


def require(name: str, value: float, allowed: Range) -> None:
    """Raise `OutOfRangeError` unless `value` lies in `allowed`; NaN never does."""
    if value not in allowed:
        raise OutOfRangeError(f"{name} = {value} is out of range: it must be in {allowed}")


def check(config: Any) -> None:
    """Check each field of a dataclass against the `Range` in its annotation; call it from `__post_init__`.

    Raises:
        OutOfRangeError: names the Config, the field, its value and the allowed range.
    """
    hints = get_type_hints(type(config), include_extras=True)
    for field in fields(config):
        for allowed in getattr(hints[field.name], "__metadata__", ()):
            require(
                f"{type(config).__module__.rsplit('.', 1)[-1]}.{type(config).__name__}.{field.name}",
                getattr(config, field.name),
                allowed,
            )
