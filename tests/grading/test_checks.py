"""The library that check cells call."""

import subprocess
import sys
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_notebook

from rlcourse.grading import checks

MISTAKES = {"γ is missing": [3.0, 2.0], "only the reward": [1.0, 2.0]}


def verdict(capsys: pytest.CaptureFixture[str], function: Callable[..., Any]) -> str:
    check = checks.Check(function, see="equation 3")
    check("a claim", (np.array([1.0, 2.0]), 0.5), [2.0, 2.5], MISTAKES)
    return capsys.readouterr().out


def raises(x: np.ndarray, gamma: float) -> None:
    raise KeyError("no\nsuch key")


def changes(x: np.ndarray, gamma: float) -> list[float]:
    x += 1
    return [2.0, 2.5]


def leaves(x: np.ndarray, gamma: float) -> None:
    sys.exit("enough")


def unfinished(x: np.ndarray, gamma: float) -> None:
    raise NotImplementedError("your answer goes here")


def of_a_library(x: np.ndarray, gamma: float) -> None:
    raise NotImplementedError("not on this device")


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (lambda x, gamma: [2.0, 2.5], "✔ a claim"),
        (lambda x, gamma: np.array([2.0, 2.5], np.float32), "✔ a claim"),
        (lambda x, gamma: [3.0, 2.0], "✘ a claim: γ is missing. See equation 3."),
        (lambda x, gamma: [-2.0, -2.5], "✘ a claim: the sign is wrong."),
        (lambda x, gamma: np.ones((2, 2)), "✘ a claim: the result has shape (2, 2), it must have (2,): a (B, 1) met"),
        (lambda x, gamma: 1.0, "✘ a claim: the result has shape (), it must have (2,)."),
        (lambda x, gamma: None, "✘ a claim: it returned nothing: is there a `return`? See equation 3."),
        (lambda x: [2.0, 2.5], "✘ a claim: its first line has changed: <lambda>() takes 1 positional argument but 2"),
        (lambda x, gamma: [2.0, float("nan")], "✘ a claim: the result is not finite"),
        (lambda x, gamma: [2.0, -float("inf")], "✘ a claim: the result is not finite"),
        (lambda x, gamma: [2.0, 10**400], "✘ a claim: the result is not finite, or too large for a float"),
        (lambda x, gamma: [2.0, -(10**5000)], "✘ a claim: the result is not finite, or too large for a float"),
        (lambda x, gamma: [9.0, 9.0], "✘ a claim: it returned [9.0, 9.0], right is [2.0, 2.5]"),
        (
            lambda x, gamma: [2.0],
            "✘ a claim: it ends too early: its length is 1, it must be 2; up to there all is right",
        ),
        (
            lambda x, gamma: [2.0, 3.5, 7.0],
            "✘ a claim: its length is 3, it must be 2; the first wrong result is number 2",
        ),
        (lambda x, gamma: [2.0, 2.5, 7.0], "✘ a claim: it goes on for too long: its length is 3, it must be 2"),
        (lambda x, gamma: [Fraction(2), Fraction(5, 2)], "✔ a claim"),
        (lambda x, gamma: np.array([2.0, 2.5], np.longdouble), "✔ a claim"),
        (lambda x, gamma: torch.tensor([2.0, 2.5], dtype=torch.bfloat16), "✔ a claim"),
        (lambda x, gamma: deque([2.0, 2.5]), "✔ a claim"),
        (lambda x, gamma: (each for each in (2.0, 2.5)), "✔ a claim"),
        (lambda x, gamma: range(2), "✘ a claim: it returned [0, 1], right is [2.0, 2.5]"),
        (raises, "✘ a claim: it raised KeyError: 'no\\nsuch key' (raises, line "),
        (changes, "✘ a claim: it changed one of its arguments"),
        (leaves, "✘ a claim: it raised SystemExit: enough"),
        (unfinished, "✘ a claim: not answered yet"),
        (of_a_library, "✘ a claim: it raised NotImplementedError: not on this device"),
        (lambda x, gamma: [0.1 + 0.2, 1 / 3], "✘ a claim: it returned [0.3, 0.333333], right is [2.0, 2.5]"),
        (lambda x, gamma: [2.0, 2.50003], "✘ a claim: it returned [2.0, 2.50003], right is [2.0, 2.5]"),
    ],
)
def test_verdicts(capsys: pytest.CaptureFixture[str], function: Callable[..., Any], said: str) -> None:
    out = verdict(capsys, function)
    assert out.startswith(said)
    assert out.count("\n") == 1


def test_what_the_function_prints_stands_below_the_verdict_and_does_not_count(
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = verdict(capsys, lambda x, gamma: print("✔ a claim", *range(20), sep="\n") or [2.0, 2.5])
    assert checks.marked(out) == ["✔ a claim"]
    assert out.splitlines()[1:] == ["    ✔ a claim", *(f"    {n}" for n in range(checks.MAX_LINES - 1))]


@pytest.mark.parametrize(
    ("part", "said"),
    [
        (lambda x: (x, 2 * x), "✔ a claim"),
        (lambda x: None, "it returned nothing: is there a `return`?"),
        (lambda: (1.0, 2.0), "its first line has changed: <lambda>() takes 0 positional arguments but 1 was given"),
        (lambda x: x.half(), "it raised AttributeError: 'float' object has no attribute 'half' (<lambda>, line "),
        (lambda x: (x, "2"), "a number was asked for"),
        (lambda x: x, "the check cannot use what it made: TypeError: cannot unpack non-iterable float object"),
    ],
)
def test_what_a_check_makes_of_a_result_is_not_blamed_on_the_function(
    capsys: pytest.CaptureFixture[str], part: Callable[..., Any], said: str
) -> None:
    def second(x: float) -> float:
        _, twice = part(x)
        assert isinstance(twice, float), "a number was asked for"
        return twice

    checks.Check(part, see="equation 3", run=second)("a claim", (1.0,), 2.0, {})
    assert said in capsys.readouterr().out


def test_of_a_long_result_the_first_difference_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    right = np.arange(100.0).reshape(2, 50)
    wrong = right.copy()
    wrong[1, 3:] = 0.5
    check = checks.Check(lambda: wrong, see="equation 3")
    check("a claim", (), right, {})
    assert capsys.readouterr().out == "✘ a claim: at [1][3] it returned 0.5, right is 53.0. See equation 3.\n"


def test_numbers_keep_the_digits_that_tell_them_apart() -> None:
    assert checks.in_words([0.30000001192092896], [0.5]) == "[0.3], right is [0.5]"
    assert checks.in_words(1.0000002, 1.0) == "1.0000002, right is 1.0"
    assert checks.in_words("True", True) == "'True', right is True"


@pytest.mark.parametrize(
    ("expected", "found", "same"),
    [
        ([True, False], [1, 0.0], True),
        ([True, False], [0, 1], False),
        ([True], [2], False),
        ("target entropy +1, not −1", " Target entropy +1,  not -1", True),
        ("the actor's loss", "the actor’s loss", True),
        ("target entropy +1, not −1", "target entropy +1, not –1", True),
        ("no discount", "no discounts", False),
        ([0.0, [0.0]], [0.0, [-1.9e-9]], True),  # float32: a KL divergence of two equal policies
        ([0.0, [0.0]], [0.0, [1e-4]], False),
        ([0.0, 3e-8], [0.0, 0.0], False),
    ],
)
def test_what_counts_as_the_same(expected: Any, found: Any, same: bool) -> None:
    assert checks.close(expected, found) == same


def test_an_input_that_cannot_tell_mistakes_apart_is_refused() -> None:
    check = checks.Check(lambda x: x, see="")
    for mistakes in ({"a": 2.0, "b": 2.0}, {"a": 1.0}):
        with pytest.raises(ValueError, match="give the same value here: choose another input"):
            check("a claim", (1.0,), 1.0, mistakes)


def test_values_are_printed_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    checks.reveal(np.array([[1, 2]]), {"b": np.float32(0.5)}, {3, 1}, (True, None), object())
    assert capsys.readouterr().out == 'rlcourse-values: [[[1, 2]], {"b": 0.5}, [1, 3], [true, null], "<object>"]\n'


def test_tensors_are_plain_too() -> None:
    assert checks.plain({"q": torch.ones(2, requires_grad=True)}) == {"q": [1.0, 1.0]}


@dataclass(frozen=True)
class Rows:
    reward: Any


def paid(rows: Rows) -> Any:
    y = rows.reward
    y += 1.0
    return y


@pytest.mark.parametrize("reward", [np.ones(2), torch.ones(2)])
def test_a_batch_that_was_written_into_is_noticed(reward: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert checks.plain(Rows(reward)) == {"reward": [1.0, 1.0]}
    assert checks.plain(Rows) == "<type>"
    checks.Check(paid, see="")("a claim", (Rows(reward),), [2.0, 2.0], {})
    assert "it changed one of its arguments: work on a copy" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("found", "same"),
    [
        ("rlcourse-values: [1.0000001, [2, 3]]", True),
        ("rlcourse-values: [1.001, [2, 3]]", False),
        ("rlcourse-values: [1.0, 2, 3]", False),
        ("rlcourse-values: [[1.0], [2, 3]]", False),
        ("rlcourse-values: [true, [2, 3]]", False),
        ("rlcourse-values: [NaN, [2, 3]]", False),
        ("rlcourse-values: [1" + "0" * 400 + ", [2, 3]]", False),
        ("rlcourse-values: " + "[" * 100_000, False),
        ("rlcourse-values: what", False),
        ("✔ a claim", False),
    ],
)
def test_agreement(found: str, same: bool) -> None:
    assert checks.agree(["rlcourse-values: [1, [2.0, 3.0]]"], [found]) == same


def test_only_marked_lines_count() -> None:
    assert checks.marked("noise\n✔ a\n ✔ b\nrlcourse-values: [1]\nmore") == ["✔ a", "rlcourse-values: [1]"]
    assert not checks.agree(["✔ a"], ["✔ a", "✔ a"])
    assert not checks.agree(["✔ a"], [])


def test_a_call_gives_copies_and_swallows_prints(capsys: pytest.CaptureFixture[str]) -> None:
    given = np.zeros(2)

    def careless(x: np.ndarray) -> np.ndarray:
        print("debug", file=sys.stderr)
        print("debug")
        x += 1
        return x

    assert checks.call(careless, given).tolist() == [1, 1]
    assert given.tolist() == [0, 0]
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ({"A": "x", "B": "y"}, "✔ one choice for each of A, B"),
        ({"A": " X", "B": "y "}, "✔ one choice for each of A, B"),
        ({"A": "x"}, "✘ one choice for each of A, B: B has no entry."),
        ({"A": "x", "B": "z"}, "✘ one choice for each of A, B: B = 'z' is not in the list."),
        ({"A": ["x"]}, "✘ one choice for each of A, B: A = ['x'] is not in the list; B has no entry."),
        (None, "✘ one choice for each of A, B: it must be a dictionary with an entry for each."),
    ],
)
def test_choices(capsys: pytest.CaptureFixture[str], answer: Any, said: str) -> None:
    checks.choices(answer, {"A": ["x", "y"], "B": ["x", "y"]})
    assert capsys.readouterr().out == said + "\n"


def test_the_library_loads_nothing_heavy() -> None:
    code = "import sys; import rlcourse.grading.checks; assert not {'torch', 'nbval', 'nbformat'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_check_says_that_the_last_run_of_its_cell_failed() -> None:
    check = "checks.Check(f, see='the text')('of 1', (1,), 2, {})"
    right, other = "def f(x):\n    return 2 * x", "def f(x):\n    return x + 1"
    slips = right.replace(":", ""), f"import nothing_of_this_name\n{other}"
    sources = ["from rlcourse.grading import checks", right, check, slips[0], check, slips[1], check, other, check]
    notebook = new_notebook(cells=[new_code_cell(source) for source in sources])
    NotebookClient(notebook, allow_errors=True).execute()
    said = [cell.outputs[0].text.splitlines() for cell in notebook.cells if cell.source == check]
    assert all(lines[0] == "✔ of 1" for lines in said)
    outdated = "    This judges an older version: the last run of its cell has failed. Mend that first."
    assert [lines[1:] for lines in said] == [[], [outdated], [outdated], []]
