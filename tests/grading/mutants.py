"""What a homework's checks say about right answers, about plausible mistakes, and about every small change.

`python -m tests.grading.mutants hw01` prints what they say about the answers in `notebooks/instructor/hw01_answers.py`;
with `--generate`, which small changes of the solution survive the hidden checks, and which the visible ones. All
answers share one process: a kernel or a test run for each, as mutmut and cosmic-ray start them, would take hours.
"""

import argparse
import contextlib
import io
import runpy
import signal
import time
import types
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from nbformat import NotebookNode

from rlcourse.grading import checks, homework
from rlcourse.grading.homework import meta, question, role
from tests.grading.changes import HELPERS, mutants

INSTRUCTOR = Path(__file__).parents[2] / "notebooks" / "instructor"
NAMES = sorted(path.stem for path in INSTRUCTOR.glob("hw??.ipynb"))
NO_NONCE = -1  # a generator refuses it, so a hidden check ends after its fixed cases
NONCES = range(1, 101)
LIMIT = 5.0  # seconds of a processor for an answer that was written by hand

Convert = Callable[[Any], Any]


def nested(leaf: Convert, value: Any) -> Any:
    """Every array and every float within a value, converted; what is differentiated stays as it is."""
    if isinstance(value, dict):
        return {key: nested(leaf, each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(nested(leaf, each) for each in value)
    if isinstance(value, torch.Tensor) and not value.requires_grad:
        return leaf(value.numpy()) if value.is_floating_point() else value
    floating = isinstance(value, np.ndarray | np.generic) and np.issubdtype(value.dtype, np.floating)
    return leaf(value) if floating or isinstance(value, float) else value


def single(value: Any) -> Any:
    """An argument in half the precision, a tensor where it was one."""
    if isinstance(value, torch.Tensor):
        return value.float() if value.is_floating_point() else value
    if isinstance(value, dict):
        return {key: single(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(single(each) for each in value)
    return nested(np.float32, value)


def fractions(value: Any) -> Any:
    return [fractions(each) for each in value] if np.ndim(value) else Fraction(float(value))


# Ways to give the same answer: what becomes of each argument, and of the result.
STYLES: dict[str, tuple[Convert, Convert]] = {
    "float32 throughout": (single, lambda result: result),
    "lists": (lambda given: given, lambda result: nested(lambda x: np.asarray(x).tolist(), result)),
    "torch float32": (single, lambda result: nested(lambda x: torch.as_tensor(x, dtype=torch.float32), result)),
    "torch float64": (lambda given: given, lambda result: nested(torch.as_tensor, result)),
    "Fraction": (lambda given: given, lambda result: nested(fractions, result)),
    "longdouble": (lambda given: given, lambda result: nested(np.longdouble, result)),
}


class EndlessError(BaseException):
    """A changed solution does not come to an end; no check may catch this."""


@contextlib.contextmanager
def processor_limit(seconds: float) -> Iterator[None]:
    """Raise `EndlessError` in what needs more processor time.

    It is raised again and again: Python drops what is raised while an object is being deleted.
    """

    def stop(signum: int, frame: types.FrameType | None) -> None:
        raise EndlessError

    before = signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds, 1.0)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


@dataclass(frozen=True)
class Row:
    """One answer to one question.

    Attributes:
        right: whether it is meant to be right.
        message: what the visible check must say about it.
        verdicts: what the visible check printed.
        passed: under how many nonces the hidden check accepted it.
    """

    question: str
    right: bool
    message: str
    verdicts: tuple[str, ...]
    passed: int

    @property
    def complaints(self) -> tuple[str, ...]:
        return tuple(line for line in self.verdicts if line.startswith(checks.WRONG))


class DifferentError(Exception):
    """A hidden check would print something else than it prints about the solution."""


class AgreedError(BaseException):
    """All that a hidden check prints about the solution has been seen."""


class Course:
    """A homework whose cells run here, each question with any answer and any nonce."""

    def __init__(self, name: str) -> None:
        self.source = homework.load(INSTRUCTOR / f"{name}.ipynb")
        answers = runpy.run_path(str(INSTRUCTOR / f"{name}_answers.py"))
        self.right: dict[str, list[str]] = answers["RIGHT"]
        self.wrong: dict[str, list[tuple[str, str, str]]] = answers["WRONG"]
        self.equivalent: dict[str, dict[str, str]] = answers.get("EQUIVALENT", {})
        self.official = {question(c): c.source for c in homework.with_role(self.source, "answer")}
        self.setup: dict[str, Any] = {}
        with contextlib.redirect_stdout(io.StringIO()):
            for cell in self.source.cells:
                if role(cell) == "setup" and question(cell) is None:
                    exec(cell.source, self.setup)

    def names(self, answer: str | types.CodeType, style: str | None = None) -> dict[str, Any]:
        """What the cells have defined once the setup and an answer were run; what these print is lost."""
        names = dict(self.setup)
        with contextlib.redirect_stdout(io.StringIO()):
            exec(answer, names)
        if style:
            inward, outward = STYLES[style]
            for name in [name for name, value in names.items() if isinstance(value, types.FunctionType)]:
                if name not in self.setup:
                    names[name] = _styled(names[name], inward, outward)
        return names

    def experiment(self, asked: str) -> str:
        """What a question's experiment prints with the official answer."""
        (cell,) = (c for c in self.cells(asked, "show") if c.id.endswith("-experiment"))
        out, names = io.StringIO(), self.names(self.official[asked])
        with contextlib.redirect_stdout(out):
            exec(cell.source, names)
        return out.getvalue()

    def cells(self, asked: str, kind: str) -> list[NotebookNode]:
        return [c for c in self.source.cells if role(c) == kind and question(c) == asked]

    def printed(self, names: Mapping[str, Any], asked: str, kind: str, nonces: range) -> list[list[str]]:
        """The marked lines of a question's cells of one kind, for each nonce; an exception is a line of its own."""
        lines = []
        for nonce in nonces:
            out = io.StringIO()
            with contextlib.redirect_stdout(out):
                for cell in self.cells(asked, kind):
                    try:
                        with processor_limit(LIMIT):
                            exec(homework.with_nonce(cell.source, nonce), dict(names))
                    except (Exception, EndlessError) as error:
                        print(checks.WRONG, type(error).__name__)
            lines.append(checks.marked(out.getvalue()))
        return lines

    def hidden(self, asked: str, nonce: int) -> list[types.CodeType]:
        cells = self.cells(asked, "hidden")
        return [compile(homework.with_nonce(cell.source, nonce), cell.id, "exec") for cell in cells]

    def rtol(self, asked: str) -> float:
        return float(max(meta(c).get("rtol", checks.RTOL) for c in self.source.cells if question(c) == asked))

    def rows(self, nonces: range) -> list[Row]:
        rows = []
        for asked, official in self.official.items():
            assert asked is not None
            references = self.printed(self.names(official), asked, "hidden", range(NO_NONCE, NO_NONCE + 1))
            references += self.printed(self.names(official), asked, "hidden", nonces)
            answers = [(True, "", self.names(text)) for text in (official, *self.right[asked])]
            answers += [(True, "", self.names(official, style)) for style in STYLES]
            for old, new, message in self.wrong[asked]:
                assert old in official, f"{asked}: the solution has no {old!r} to change"
                answers.append((False, message, self.names(official.replace(old, new))))
            for right, message, names in answers:
                (verdicts,) = self.printed(names, asked, "check", range(1))
                passed = self.passed(names, asked, references, nonces)
                rows.append(Row(asked, right, message, tuple(verdicts), passed))
        return rows

    def passed(self, names: Mapping[str, Any], asked: str, references: Sequence[list[str]], nonces: range) -> int:
        """Under how many nonces the hidden checks accept an answer: under none if its fixed cases, the first of the
        references, refuse it."""
        rtol = self.rtol(asked)
        (fixed,) = self.printed(names, asked, "hidden", range(NO_NONCE, NO_NONCE + 1))
        if not checks.agree(references[0], fixed, rtol):
            return 0
        found = self.printed(names, asked, "hidden", nonces)
        return sum(checks.agree(reference, lines, rtol) for reference, lines in zip(references[1:], found, strict=True))

    def survivors(self, asked: str, nonces: range = range(0)) -> dict[str, list[int]]:
        """The small changes that no fixed case of the hidden checks tells from the solution: which nonces do not?"""
        cells = {nonce: self.hidden(asked, nonce) for nonce in (NO_NONCE, *nonces)}
        official, found = self.names(self.official[asked]), {}
        references = {nonce: [_revealed(official, cell) for cell in each] for nonce, each in cells.items()}
        start = time.process_time()
        for cell, reference in zip(cells[NO_NONCE], references[NO_NONCE], strict=True):
            _compare(official, cell, reference, self.rtol(asked))  # a value that is not finite never agrees
        limit = max(0.02, 5 * (time.process_time() - start))
        for name, text in mutants(self.official[asked]).items():
            survived = []
            for nonce in cells:
                try:
                    with processor_limit(limit), warnings.catch_warnings(action="ignore"):
                        names = self.names(HELPERS + text)
                        for cell, reference in zip(cells[nonce], references[nonce], strict=True):
                            _compare(names, cell, reference, self.rtol(asked))
                    survived.append(nonce)
                except (Exception, SystemExit, EndlessError):
                    if nonce == NO_NONCE:
                        break
            if NO_NONCE in survived:
                found[name] = survived[1:]
        return found

    def unseen(self, asked: str) -> list[str]:
        """The small changes that the visible checks do not tell from the solution."""
        cells = [compile(cell.source, cell.id, "exec") for cell in self.cells(asked, "check")]

        def complaints(source: str) -> list[str]:
            out, names = io.StringIO(), self.names(source)
            with contextlib.redirect_stdout(out):
                for cell in cells:
                    exec(cell, dict(names))
            return [line for line in checks.marked(out.getvalue()) if line.startswith(checks.WRONG)]

        start = time.process_time()
        assert not complaints(self.official[asked])
        limit, found = max(0.02, 5 * (time.process_time() - start)), []
        for name, text in mutants(self.official[asked]).items():
            try:
                with processor_limit(limit), warnings.catch_warnings(action="ignore"):
                    found += [name] if not complaints(HELPERS + text) else []
            except (Exception, SystemExit, EndlessError):
                continue
        return found


def _styled(function: Callable[..., Any], inward: Convert, outward: Convert) -> Callable[..., Any]:
    return lambda *given: outward(function(*map(inward, given)))


def _revealed(names: Mapping[str, Any], cell: types.CodeType) -> list[list[Any]]:
    """What a hidden check reveals of the solution; without a nonce, in its fixed cases."""
    found: list[list[Any]] = []
    with mock.patch.object(checks, "reveal", lambda *results: found.append(checks.plain(list(results)))):
        try:
            exec(cell, dict(names))
        except ValueError as error:
            if "non-negative" not in str(error):
                raise
    return found


def _compare(names: Mapping[str, Any], cell: types.CodeType, references: Sequence[Any], rtol: float) -> None:
    """Run a hidden check to its last reference, and raise at the first result that is not the solution's."""
    remaining = list(references)

    def reveal(*results: Any) -> None:
        if not checks.close(remaining.pop(0), checks.plain(list(results)), rtol):
            raise DifferentError
        if not remaining:
            raise AgreedError

    with mock.patch.object(checks, "reveal", reveal), contextlib.suppress(AgreedError):
        if remaining:
            exec(cell, dict(names))
            raise DifferentError  # it ended before its last reference


def generate(name: str) -> None:
    course = Course(name)
    for asked in map(str, course.official):
        if changed := len(mutants(course.official[asked])):
            start = time.process_time()
            survivors = course.survivors(asked, NONCES[:60])
            known = course.equivalent.get(asked, {})
            seconds = time.process_time() - start
            print(f"{name} {asked}: {len(survivors)} of {changed} changes survive the fixed cases ({seconds:.1f} s)")
            for change, nonces in survivors.items():
                reason = known.get(change, "SURVIVES" if nonces else "dies, but only by chance")
                print(f"  {len(nonces):3} of 60 nonces  {change!r}: {reason}")
            unseen = [change for change in course.unseen(asked) if change not in known]
            print(f"  {len(unseen)} of {changed} the visible checks take for right", *unseen, sep="\n    ")


def main(names: list[str]) -> None:
    for name in names:
        print(f"{name}: hidden checks passed under {len(NONCES)} nonces, and what the visible check says")
        for row in Course(name).rows(NONCES):
            said = row.complaints[0] if row.complaints else f"{len(row.verdicts)} × {checks.RIGHT}"
            print(f"{row.question:22}{'right' if row.right else 'wrong'} {row.passed:4}  {said}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("names", nargs="*", default=NAMES, metavar="hwNN")
    parser.add_argument("--generate", action="store_true", help="every small change of the solutions")
    arguments = parser.parse_args()
    (list(map(generate, arguments.names)) if arguments.generate else main(arguments.names))
