"""What check cells call: verdicts that name the mistake, and values that only a right answer can print.

A visible check runs a student's function on inputs on which every plausible mistake gives another value, and prints a
verdict per property. A hidden check prints what the function returns on inputs that nobody saw before. Both print
marked lines and nothing else counts, so a student's own output does no harm.

Nothing heavy is imported here: a kernel that needs no torch does not load it.
"""

import contextlib
import copy
import inspect
import io
import json
import linecache
import re
import sys
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from numbers import Real
from types import CodeType
from typing import Any

import numpy as np

RIGHT, WRONG, VALUES = "✔", "✘", "rlcourse-values:"
RTOL = 1e-5  # right answers in float32 were off by up to 4e-6 in all exercises but those that say what they allow
MAX_TEXT = 300  # characters of a student's value or message in a verdict
MAX_LINES = 10  # of what a student's function printed
DIGITS = 6  # of a number in a verdict: float32 has seven
STUB = "your answer goes here"  # what a place for an answer raises, until it is written
UNWRITTEN = "not answered yet"  # what a check says of it
SIGNS = str.maketrans("−‐‑‒–—‘’", "------''")  # as text programs write what a keyboard has


def call(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Call a student's function on copies of the arguments, its output swallowed."""
    args, kwargs = copy.deepcopy((args, kwargs))
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        return function(*args, **kwargs)


def reveal(*results: Any) -> None:
    """Print results for the grader to compare with those of the solution."""
    print(VALUES, json.dumps([plain(result) for result in results]))


def choices(answer: Any, allowed: Mapping[str, Sequence[str]]) -> None:
    """Print whether an answer makes one of the allowed choices for each key, and which do not.

    It does not say which choices are right, since with a few tries one could read off all of them. Hidden checks, one
    for each key, tell that after grading.
    """
    claim = f"one choice for each of {', '.join(allowed)}"
    if not isinstance(answer, Mapping):
        print(f"{WRONG} {claim}: it must be a dictionary with an entry for each.")
        return
    odd = [
        f"{key} = {answer[key]!r} is not in the list" if key in answer else f"{key} has no entry"
        for key, options in allowed.items()
        if key not in answer or not any(_same_text(answer[key], option) for option in options)
    ]
    print(f"{WRONG} {claim}: {_short('; '.join(odd))}." if odd else f"{RIGHT} {claim}")


def plain(value: Any) -> Any:
    """As JSON holds it: arrays, tensors and whatever else can be gone through are nested lists, sets are sorted,
    fractions and numbers of other precision are floats, dataclasses their fields, anything else its type's name."""
    torch = sys.modules.get("torch")
    tensor = torch is not None and isinstance(value, torch.Tensor)
    if tensor or (isinstance(value, np.ndarray | np.generic) and not isinstance(value, np.longdouble)):
        return plain(value.tolist())
    if isinstance(value, Mapping):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, set | frozenset):
        return sorted((plain(each) for each in value), key=repr)
    if isinstance(value, bool | int | float | str | None):
        return value
    if isinstance(value, Real):
        return float(value)
    if isinstance(value, Iterable) and not isinstance(value, bytes | bytearray):
        return [plain(each) for each in value]
    fields = getattr(type(value), "__dataclass_fields__", None)  # of a batch, say
    return f"<{type(value).__name__}>" if fields is None else {name: plain(getattr(value, name)) for name in fields}


def marked(text: str) -> list[str]:
    """The lines of an output that count."""
    return [line for line in text.splitlines() if line.startswith((RIGHT, WRONG, VALUES))]


def agree(expected: Sequence[str], found: Sequence[str], rtol: float = RTOL) -> bool:
    """Whether marked lines say the same: verdicts letter by letter, values up to `rtol` of the largest of them."""
    return len(expected) == len(found) and all(_same_line(*pair, rtol) for pair in zip(expected, found, strict=True))


def _same_line(expected: str, found: str, rtol: float) -> bool:
    if not (expected.startswith(VALUES) and found.startswith(VALUES)):
        return expected == found
    try:
        theirs = json.loads(found.removeprefix(VALUES))
        return close(json.loads(expected.removeprefix(VALUES)), theirs, rtol)
    except (ValueError, RecursionError):  # a student can print anything
        return False


def close(expected: Any, found: Any, rtol: float = RTOL) -> bool:
    """Whether two plain values have one structure and agree up to `rtol` of the largest number of `expected`."""
    try:
        return _close(expected, found, _atol(expected, rtol))
    except OverflowError:  # a whole number can be larger than any float
        return False


def _atol(expected: Any, rtol: float) -> float:
    largest = max([abs(x) for x in _numbers(expected)], default=0.0)
    return rtol * (largest or 1.0)  # where only 0 is right, what rounding leaves of numbers near 1 is right, too


def _numbers(value: Any) -> list[float]:
    if isinstance(value, list | dict):
        return [x for each in (value.values() if isinstance(value, dict) else value) for x in _numbers(each)]
    return [value] if _is_number(value) else []


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _close(expected: Any, found: Any, atol: float) -> bool:
    if isinstance(expected, list) and isinstance(found, list):
        pairs = zip(expected, found, strict=False)
        return len(expected) == len(found) and all(_close(e, f, atol) for e, f in pairs)
    if isinstance(expected, dict) and isinstance(found, dict):
        return expected.keys() == found.keys() and all(_close(expected[k], found[k], atol) for k in expected)
    if _is_number(expected) and _is_number(found):
        return abs(expected - found) <= atol
    if isinstance(expected, bool) and isinstance(found, int | float):
        return expected == found  # 0 and 1 are truth values, too
    return type(expected) is type(found) and (expected == found or _same_text(expected, found))


def _same_text(a: Any, b: Any) -> bool:
    """Whether two texts differ at most in case, blanks and the kind of minus sign, dash or apostrophe."""
    return isinstance(a, str) and isinstance(b, str) and _letters(a) == _letters(b)


def _letters(text: str) -> str:
    return "".join(text.casefold().translate(SIGNS).split())


class Check:
    """The visible checks of one function: each call runs it on one input and prints one verdict.

    Below the verdict stands what the function itself printed, indented, so that no line of it counts.

    Args:
        part: the student's function.
        see: where the right idea stands, printed with every mistake.
        run: what to call instead, if the result of `part` alone does not show what is asked. The words of an `assert`
            in it are printed as they are.
    """

    def __init__(self, part: Callable[..., Any], see: str, run: Callable[..., Any] | None = None) -> None:
        self.part, self.see, self.function = part, see, run or part

    def __call__(
        self, claim: str, args: tuple[Any, ...], expected: Any, mistakes: Mapping[str, Any], rtol: float = RTOL
    ) -> None:
        """Print whether the function returns `expected`; if not, which of the `mistakes` returns what it did.

        Raises:
            ValueError: two mistakes that this input cannot tell apart, or one that it cannot tell from the truth.
        """
        outcomes = {claim: plain(expected), **{name: plain(value) for name, value in mistakes.items()}}
        for n, (name, value) in enumerate(outcomes.items()):
            for other, another in list(outcomes.items())[:n]:
                if close(value, another, rtol):
                    raise ValueError(f"“{name}” and “{other}” give the same value here: choose another input")
        said = io.StringIO()
        fault = self._fault(args, plain(expected), outcomes, rtol, said)
        if fault:
            print(f"{WRONG} {claim}: {fault}{'' if fault.endswith(('.', '?', '!', '…')) else '.'} See {self.see}.")
        else:
            print(f"{RIGHT} {claim}")
        for line in said.getvalue().splitlines()[:MAX_LINES]:
            print(f"    {_short(line)}")
        if is_outdated(self.part):
            print("    This judges an older version: the last run of its cell has failed. Mend that first.")

    def _fault(
        self, args: tuple[Any, ...], expected: Any, outcomes: Mapping[str, Any], rtol: float, said: io.StringIO
    ) -> str | None:
        given = copy.deepcopy(args)
        try:
            with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
                found = plain(self.function(*given))
        except (Exception, SystemExit) as error:
            return _short(UNWRITTEN if is_unwritten(error) else self._raised(error))
        if not close(plain(args), plain(given), 0.0):
            return "it changed one of its arguments: work on a copy"
        if close(expected, found, rtol):
            return None
        named = [name for name, value in outcomes.items() if close(value, found, rtol)]
        return named[0] if named else _short(self._unnamed(expected, found, rtol))

    def _raised(self, error: BaseException) -> str:
        said = f"it raised {type(error).__name__}: {error}"
        name = getattr(self.part, "__name__", "")
        if passed := self._place(error):
            return f"{said} {passed}"
        if isinstance(error, TypeError) and re.match(rf"{re.escape(name)}\(\) (takes|missing|got)", str(error)):
            return f"its first line has changed: {error}"
        if self.function is self.part:  # it is nothing that could be called
            return said
        if isinstance(error, AssertionError):
            return str(error).partition("\n")[0]
        if re.search("'?NoneType'?( object|$)", str(error)):
            return "it returned nothing: is there a `return`?"
        return (
            f"the check cannot use what it made: {type(error).__name__}: {error}. Has it the type that was asked for?"
        )

    def _place(self, error: BaseException) -> str:
        """The innermost line of the student's that an exception passed, in words; empty if it passed none."""
        function = inspect.unwrap(self.part)
        steps = [*traceback.walk_tb(error.__traceback__)]
        within = [n for n, (frame, _) in enumerate(steps) if frame.f_code is getattr(function, "__code__", None)]
        theirs = [
            (frame.f_code, line)
            for frame, line in (steps[within[0] :] if within else ())
            if frame.f_globals is function.__globals__
        ]
        return place(*theirs[-1]) if theirs else ""

    def _unnamed(self, expected: Any, found: Any, rtol: float) -> str:
        return _likely(expected, found, rtol)


def place(code: CodeType, line: int | None = None) -> str:
    """Where something stands in the student's code: the function, the line in its cell or file, and that line."""
    line = line or code.co_firstlineno
    text = linecache.getline(code.co_filename, line).strip()
    return f"({code.co_name}, line {line}{f': {text}' if text else ''})"


def is_outdated(part: Any) -> bool:
    """Whether the cell that would define a part anew was run since, and failed: a slip in it, say."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    code = getattr(inspect.unwrap(part) if callable(part) else part, "__code__", None)
    source = "".join(linecache.getlines(code.co_filename)) if code else ""
    if shell is None or not source:
        return False
    head = re.compile(rf"^(def|class) {re.escape(part.__name__)}\b", re.MULTILINE)
    latest = next((cell for cell in reversed(shell.user_ns.get("In", [])) if head.search(cell)), source)
    return bool(head.search(source)) and latest.strip() != source.strip()


def is_unwritten(error: BaseException) -> bool:
    """Whether a place for an answer raised it. Libraries raise NotImplementedError, too."""
    return isinstance(error, NotImplementedError) and str(error) == STUB


def _likely(expected: Any, found: Any, rtol: float) -> str:
    """Mistakes that any function can make."""
    if found is None:
        return "it returned nothing: is there a `return`?"
    if isinstance(expected, list) and isinstance(found, list) and len(expected) != len(found):
        pairs, lengths = zip(expected, found, strict=False), f"its length is {len(found)}, it must be {len(expected)}"
        wrong = [n for n, pair in enumerate(pairs, 1) if not _close(*pair, _atol(expected, rtol))]
        if found and expected and not wrong:
            fault = "ends too early" if len(found) < len(expected) else "goes on for too long"
            return f"it {fault}: {lengths}; up to there all is right"
        if wrong and len(_shape(expected)) == len(_shape(found)) == 1:
            return f"{lengths}; the first wrong result is number {wrong[0]}"
    if (shape := _shape(found)) != (wanted := _shape(expected)):
        one = "be one number" if _is_number(expected) else f"be a {type(expected).__name__}"
        must = f"have {wanted}{broadcast_hint(shape, wanted)}" if wanted else one
        return f"the result has shape {shape}, it must {must}"
    if not all(abs(x) <= sys.float_info.max for x in _numbers(found)):  # isfinite fails at a larger whole number
        return "the result is not finite, or too large for a float"
    if close(_negated(expected), found, rtol):
        return "the sign is wrong"
    return _difference(expected, found, _atol(expected, rtol))


def broadcast_hint(shape: tuple[int, ...], wanted: tuple[int, ...]) -> str:
    """What usually makes a (B, B) of a (B,); empty for other shapes."""
    hint = ": a (B, 1) met a (B,), or [:, action] took every action for every row"
    return hint if wanted and shape == wanted * 2 else ""


def _difference(expected: Any, found: Any, atol: float) -> str:
    """Both values whole, or of long ones the first parts that differ, with their place."""
    place, message = "", f"it returned {in_words(found, expected)}"
    while len(message) > MAX_TEXT and isinstance(expected, list) and isinstance(found, list) and expected:
        unequal = (n for n, pair in enumerate(zip(expected, found, strict=False)) if not _close(*pair, atol))
        number = next(unequal, 0)
        place, expected, found = f"{place}[{number}]", expected[number], found[number]
        message = f"at {place} it returned {in_words(found, expected)}"
    return message


def in_words(found: Any, expected: Any) -> str:
    """Both, with as many digits, or the quotes of a text, as a reader needs to tell them apart."""
    short, wanted = _rounded(found), _rounded(expected)
    if f"{found}" == f"{expected}":
        return f"{found!r}, right is {expected!r}"
    return f"{found}, right is {expected}" if short == wanted else f"{short}, right is {wanted}"


def differing(expected: Sequence[Any], found: Sequence[Any], rtol: float) -> list[int]:
    """The places at which two plain lists of one length differ, by the measure of `close` for the whole."""
    atol = _atol([*expected], rtol)
    return [n for n, pair in enumerate(zip(expected, found, strict=True)) if not _close(*pair, atol)]


def _rounded(value: Any) -> Any:
    if isinstance(value, list):
        return [_rounded(each) for each in value]
    if isinstance(value, dict):
        return {key: _rounded(each) for key, each in value.items()}
    return float(f"{value:.{DIGITS}g}") if isinstance(value, float) else value


def _shape(value: Any) -> tuple[int, ...]:
    return (len(value), *(_shape(value[0]) if value else ())) if isinstance(value, list) else ()


def _negated(value: Any) -> Any:
    if isinstance(value, list):
        return [_negated(each) for each in value]
    return -value if _is_number(value) else value


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= MAX_TEXT else text[: MAX_TEXT - 1] + "…"
