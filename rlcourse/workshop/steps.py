"""What the cells of a step call: checks that name the mistake, and the course's own version, folded."""

from collections.abc import Callable, Mapping
from typing import Any

from IPython.display import Markdown

from rlcourse import lessons
from rlcourse.grading.checks import RTOL
from rlcourse.grading.checks import Check as GradedCheck
from rlcourse.workshop.parts import is_stub

NOT_YET = "○"


class Check(GradedCheck):
    """The checks of one part, as in the homework: each call runs it on one input and prints one verdict.

    Never raises. A part that is still a stub is not wrong: it is not yet the student's.

    Args:
        part: the student's function, method or class.
        see: where the right idea stands, printed with every mistake.
        run: what to call instead, if the part is no plain function: it uses the part and returns numbers.
    """

    def __init__(self, part: Any, see: str, run: Callable[..., Any] | None = None) -> None:
        super().__init__(part if run is None else run, see)
        self.part = part

    def __call__(
        self,
        claim: str,
        args: tuple[Any, ...],
        expected: Any,
        mistakes: Mapping[str, Any],
        rtol: float = RTOL,
    ) -> None:
        if is_stub(self.part):
            print(f"{NOT_YET} {claim}: not yet yours")
        else:
            super().__call__(claim, args, expected, mistakes, rtol)


def compare(*code: Callable[..., Any]) -> Markdown:
    """The course's own version of a step, tested and folded: for when yours works, or when nothing else helps."""
    return Markdown(lessons.folded("Compare with the course's", lessons.page(*code)))
