"""What the cells of a step call: checks that name the mistake, and the course's own version, folded."""

import io
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from IPython.display import Markdown

from rlcourse import lessons
from rlcourse.grading.checks import RTOL, differing, in_words
from rlcourse.grading.checks import Check as GradedCheck
from rlcourse.workshop.parts import is_stub, owner, place_in

NOT_YET = "○"


class Check(GradedCheck):
    """The checks of one part, as in the homework: each call runs it on one input and prints one verdict.

    Never raises. A part that is still a stub is not wrong: it is not yet the student's. After a ✘ the same checks say
    no more: one mistake is enough to think about.

    Args:
        part: the student's function, method or class.
        see: where the right idea stands, printed with every mistake.
        run: what to call instead, if the part is no plain function: it uses the part and returns numbers. The words of
            an `assert` in it are printed as they are.
        names: what the parts of the result are, if it is a list. Then a message names those that differ, and a mistake
            can be a dictionary of those that it changes.
    """

    def __init__(self, part: Any, see: str, run: Callable[..., Any] | None = None, names: Sequence[str] = ()) -> None:
        super().__init__(part, see, run)
        self.names = names
        self._wrong = False

    def __call__(
        self,
        claim: str,
        args: tuple[Any, ...],
        expected: Any,
        mistakes: Mapping[str, Any],
        rtol: float = RTOL,
    ) -> None:
        if is_stub(self.part):
            print(f"{NOT_YET} {claim}: {owner(self.part)}")
        elif not self._wrong:
            super().__call__(claim, args, expected, {n: self._whole(v, expected) for n, v in mistakes.items()}, rtol)

    def _whole(self, mistake: Any, expected: Any) -> Any:
        """What a mistake returns, if only what it changes is given."""
        if not (self.names and isinstance(mistake, Mapping)):
            return mistake
        if unknown := mistake.keys() - {*self.names}:
            raise ValueError(f"no part of the result is called {', '.join(sorted(unknown))}")
        return [mistake.get(name, right) for name, right in zip(self.names, expected, strict=True)]

    def _fault(
        self, args: tuple[Any, ...], expected: Any, outcomes: Mapping[str, Any], rtol: float, said: io.StringIO
    ) -> str | None:
        fault = super()._fault(args, expected, outcomes, rtol, said)
        self._wrong = fault is not None
        return fault

    def _place(self, error: BaseException) -> str:
        return place_in(self.part, error)

    def _unnamed(self, expected: Any, found: Any, rtol: float) -> str:
        lists = isinstance(expected, list) and isinstance(found, list)
        if not (lists and len(self.names) == len(expected) == len(found)):
            return super()._unnamed(expected, found, rtol)
        wrong = differing(expected, found, rtol)
        return "; ".join(f"{self.names[n]} is {in_words(found[n], expected[n])}" for n in wrong)


def compare(*code: Callable[..., Any]) -> Markdown:
    """The course's own version of a step, tested and folded: for when yours works, or when nothing else helps."""
    return Markdown(lessons.folded("Compare with the course's", lessons.page(*code)))
