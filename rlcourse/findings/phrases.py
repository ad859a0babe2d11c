"""The forms that all findings share: a folded page, a table, a number in its interval, a verdict."""

from collections.abc import Iterable, Mapping

import numpy as np
from IPython.display import Markdown

from rlcourse.curves import Curve, Estimate, signed

INTERVAL = "95 % interval"
VERDICTS = ("better", "worse", "not resolved")


def page(*paragraphs: str) -> Markdown:
    """Paragraphs that stand in the open."""
    return Markdown("\n\n".join(paragraphs))


def folded(*paragraphs: str, summary: str = "What the recordings say") -> Markdown:
    """Paragraphs behind a line that the reader opens: a prediction comes first."""
    return page(f"<details><summary>{summary}</summary>", *paragraphs, "</details>")


def table(head: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    """A Markdown table; the first column is text, the others are numbers or verdicts."""
    head = list(head)
    lines = [head, ["---"] + ["---:"] * (len(head) - 1), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def interval(estimate: Estimate, digits: int = 0) -> str:
    """A difference in its interval: `+3 (−1 to +7)`."""
    value, low, high = (signed(number, digits) for number in (estimate.value, estimate.low, estimate.high))
    return f"{value} ({low} to {high})"


def verdict(estimate: Estimate, words: tuple[str, str, str] = VERDICTS) -> str:
    """One of three words: the interval lies above zero, below it, or holds it."""
    return words[2] if not estimate.resolved else words[0] if estimate.value > 0 else words[1]


def gains(
    estimates: Mapping[str, Estimate], head: tuple[str, str], words: tuple[str, str, str] = VERDICTS, digits: int = 0
) -> str:
    """A table of differences with their verdicts; `head` names the rows and the numbers."""
    rows = ((name, interval(each, digits), verdict(each, words)) for name, each in estimates.items())
    return table((head[0], f"{head[1]} ({INTERVAL})", "verdict"), rows)


def number(value: float | np.integer) -> str:
    """A whole number with gaps between thousands, `12 500`."""
    return f"{value:,.0f}".replace(",", " ").replace("-", "−")


def seeds(*curves: Curve) -> str:
    """`5 seeds`, or `3 to 5 seeds` where curves differ."""
    counts = sorted({len(curve.returns) for curve in curves})
    few = counts[0] if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    return f"{few} seed{'' if counts == [1] else 's'}"


def reached(curve: Curve, goal: float, at: int = -1) -> str:
    """How many seeds score `goal` or more in one evaluation: `4 of 5`."""
    return f"{(curve.returns[:, at] >= goal).sum()} of {len(curve.returns)}"


def percent(shares: np.ndarray) -> str:
    """Shares of several seeds as mean, lowest and highest: an interval would leave 0 to 100 %."""
    low, high = 100 * shares.min(), 100 * shares.max()
    return f"{100 * shares.mean():.0f} %" + ("" if low == high else f" ({low:.0f} to {high:.0f})")


def at(curve: Curve, step: int) -> int:
    """The number of the evaluation at a step.

    Raises:
        ValueError: there was none.
    """
    if step not in curve.step:
        raise ValueError(f"step = {step}: evaluated at {curve.step.tolist()}")
    return int((curve.step == step).argmax())
