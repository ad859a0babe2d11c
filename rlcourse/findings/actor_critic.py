"""Lecture 4: one-step against sixteen-step targets, and what a longer training does on the way."""

from IPython.display import Markdown

from rlcourse.curves import Curve, mean_estimate, reference
from rlcourse.findings.phrases import at, finding, interval, number, seeds, verdict

SOLVED, FALLEN = 475, 250
SHORT, LONG = 75_000, 100_000  # steps


def pair() -> tuple[Curve, Curve]:
    """TD, n = 1, and n = 16."""
    return reference("04_cartpole_td"), reference("04_cartpole")


def fallen() -> tuple[int, int, int]:
    """How many seeds of n = 16 are solved after `LONG` steps, fall below `FALLEN` later, and end solved again."""
    _, long = pair()
    here = at(long, LONG)
    solved = long.returns[:, here] >= SOLVED
    fell = solved & (long.returns[:, here:] < FALLEN).any(1)
    back = fell & (long.returns[:, -1] >= SOLVED)
    return int(solved.sum()), int(fell.sum()), int(back.sum())


def steps() -> Markdown:
    td, long = pair()
    low, high = td.returns[:, at(td, SHORT)].min(), td.returns[:, at(td, SHORT)].max()
    ahead = long.returns[:, at(long, SHORT)]
    gain = mean_estimate(ahead - td.returns[:, at(td, SHORT)])
    solved, fell, back = fallen()
    return finding(
        f"(1) After {number(SHORT)} steps longer targets, compared with one-step targets, are {verdict(gain)}: "
        f"{interval(gain)} of return. (2) What is learned can be lost again: of {solved} seeds that score {SOLVED} or "
        f"more after {number(LONG)} steps, {fell} fall below {FALLEN} later.",
        "This is one task, and its rewards have no noise. With noisy rewards long targets would pay with variance.",
        f"(1) After {number(SHORT)} steps the {seeds(td)} with n = 1 score between {low:.0f} and {high:.0f}. Those "
        f"with n = 16 score between {ahead.min():.0f} and {ahead.max():.0f}. The mean difference is {interval(gain)}, "
        "with its 95 % interval. The rewards have no noise, so long targets cost little variance. The bias of short "
        "ones is large, because the critic begins far below the true values.",
        f"(2) With n = 16, {solved} of {len(long.returns)} seeds score {SOLVED} or more after {number(LONG)} steps. "
        f"In the next {number(long.step[-1] - LONG)} steps {fell} of them fall below {FALLEN} at some evaluation, and "
        f"{back} of those are back at the end. Nothing in actor-critic keeps a step small, and one bad update changes "
        "all data that follow. Lecture 5 is about that.",
    )
