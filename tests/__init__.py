"""The course's tests. Here stands what makes pytest check shapes and types at calls, see `pyproject.toml`."""

from collections.abc import Callable
from typing import Any

from beartype import BeartypeConf, beartype


def checked_when_called(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function` with checks of its annotations, which are built at its first call.

    The package has 1,600 functions, and most tests call few of them: to build the checks of all took 8 CPU-seconds in
    every process.
    """
    checked: Callable[..., Any] | None = None

    def check(*args: Any, **options: Any) -> Any:
        nonlocal checked
        if checked is None:
            checked = beartype(conf=BeartypeConf(is_pep484_tower=True))(function)
        return checked(*args, **options)

    return check
