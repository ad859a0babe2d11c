"""The forms that all findings share: a result above its folded numbers, a table, an interval, a verdict."""

from collections.abc import Iterable, Mapping

import numpy as np
from IPython.display import Markdown

from rlcourse.curves import Curve, Estimate, signed

INTERVAL = "95 % interval"
VERDICTS = ("better", "worse", "not resolved")
BIAS = ("too high", "too low", "not resolved")


def page(*paragraphs: str) -> Markdown:
    """Paragraphs that stand in the open."""
    return Markdown("\n\n".join(paragraphs))


def finding(result: str, caveat: str, *details: str) -> Markdown:
    """The result in a sentence or two and its caveat in the open; the numbers behind them, folded."""
    told = f"**What the recordings say.** {result}", f"**Caveat.** {caveat}"
    return page(*told, "<details><summary>The numbers</summary>", *details, "</details>")


def listed(names: Iterable[str]) -> str:
    """`a`, `a and b`, or `a, b and c`."""
    *others, last = names
    return f"{', '.join(others)} and {last}" if others else last


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


def compared(estimate: Estimate, one: str, other: str) -> str:
    """A sentence without its full stop: `a is better than b`, or that their difference is not resolved."""
    if estimate.resolved:
        return f"{one} is {verdict(estimate)} than {other}"
    return f"the difference between {one} and {other} is not resolved"


def summed(estimates: Mapping[str, Estimate], words: tuple[str, str, str] = VERDICTS) -> str:
    """Names by their verdicts: `*a* and *b* are worse; *c* is not resolved`."""
    told = {word: [f"*{name}*" for name, each in estimates.items() if verdict(each, words) == word] for word in words}
    return "; ".join(
        f"{listed(names)} {'is' if len(names) == 1 else 'are'} {word}" for word, names in told.items() if names
    )


def gains(
    estimates: Mapping[str, Estimate], head: tuple[str, str], words: tuple[str, str, str] = VERDICTS, digits: int = 0
) -> str:
    """A table of differences with their verdicts; `head` names the rows and the numbers."""
    rows = ((name, interval(each, digits), verdict(each, words)) for name, each in estimates.items())
    return table((head[0], f"{head[1]} ({INTERVAL})", "verdict"), rows)


def number(value: float | np.integer) -> str:
    """A whole number with gaps between thousands, `12 500`."""
    return f"{value:z,.0f}".replace(",", " ").replace("-", "−")


def seeds(*curves: Curve) -> str:
    """`5 seeds`, or `3 to 5 seeds` where curves differ."""
    counts = sorted({len(curve.returns) for curve in curves})
    few = counts[0] if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    return f"{few} seed{'' if counts == [1] else 's'}"


def reached(curve: Curve, goal: float, at: int = -1) -> str:
    """How many seeds score `goal` or more in one evaluation: `4 of 5`."""
    return f"{(curve.returns[:, at] >= goal).sum()} of {len(curve.returns)}"


def for_good(curve: Curve, level: float) -> int | None:
    """The number of the evaluation from which on the mean does not fall below a level; None if it ends below."""
    below = np.flatnonzero(curve.mean < level)
    first = int(below[-1]) + 1 if below.size else 0
    return first if first < len(curve.step) else None


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
