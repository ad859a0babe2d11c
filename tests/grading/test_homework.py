"""The format of a homework."""

import json
from pathlib import Path
from typing import Any

import nbformat
import pytest

from rlcourse.grading import homework
from rlcourse.grading.homework import HomeworkError, load
from tests.grading import tiny


@pytest.mark.parametrize(
    ("cell", "change", "message"),
    [
        ("setup", {"metadata": {}}, "role = None must be one of setup, show, answer, check, hidden"),
        ("double-check", {"id": "setup"}, "Non-unique cell id 'setup'"),
        ("double-check", {"metadata": {"rlcourse": {"role": "check", "points": 1}}}, "must name its question"),
        ("double-answer", {"source": "def double(x): return 2 * x"}, "an answer must hold lines between"),
        (
            "double-answer",
            {"source": "### BEGIN SOLUTION\n1\n### END SOLUTION\n### END SOLUTION"},
            "must come in pairs",
        ),
        ("double-hidden", {"source": "checks.reveal(1)"}, "must begin with the line NONCE = 0"),
        (
            "double-check",
            {"metadata": {"rlcourse": {"role": "check", "question": "double", "points": -1}}},
            "points = -1 must be a number, 0 or more",
        ),
        (
            "double-check",
            {"metadata": {"rlcourse": {"role": "check", "question": "dubble", "points": 1}}},
            "question 'dubble' must have one answer cell",
        ),
        (
            "double-hidden",
            {"metadata": {"rlcourse": {"role": "hidden", "question": "square", "points": 4, "part": "A"}}},
            "each hidden check of its question must name another `part`",
        ),
    ],
)
def test_a_faulty_source_is_refused_by_cell(tmp_path: Path, cell: str, change: dict[str, Any], message: str) -> None:
    source = tiny.source()
    next(each for each in source.cells if each.id == cell).update(nbformat.from_dict(change))
    (tmp_path / "hw00.ipynb").write_text(json.dumps(source))
    with pytest.raises(HomeworkError, match=message):
        load(tmp_path / "hw00.ipynb")


@pytest.mark.parametrize("about", [{}, {"seconds": 0}, {"seconds": "20"}])
def test_a_source_without_a_time_limit_is_refused(tmp_path: Path, about: dict[str, Any]) -> None:
    source = tiny.source()
    source.metadata["rlcourse"] = about
    nbformat.write(source, tmp_path / "hw00.ipynb")
    message = f"hw00.ipynb: seconds = {about.get('seconds')!r}: set rlcourse.seconds in the notebook's metadata to"
    with pytest.raises(HomeworkError, match=message):
        load(tmp_path / "hw00.ipynb")


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"nbformat": 4, "cells": [{}]}', '{"nbformat": 4, "cells": 3}'])
def test_a_broken_source_says_so(tmp_path: Path, text: str) -> None:
    (tmp_path / "hw00.ipynb").write_text(text)
    with pytest.raises(HomeworkError, match=r"hw00.ipynb(:| is no notebook \()"):
        load(tmp_path / "hw00.ipynb")


def test_an_unknown_homework_names_those_there_are(tmp_path: Path) -> None:
    tiny.write_source(tmp_path)
    with pytest.raises(FileNotFoundError, match="homeworks there: hw00"):
        load(tmp_path / "hw99.ipynb")


def test_a_stub_keeps_what_is_around_the_solution() -> None:
    text = (
        "def f(x):\n    '''Doc.'''\n    ### BEGIN SOLUTION\n    y = x\n    return y\n    ### END SOLUTION\n\nprint(1)"
    )
    expected = "def f(x):\n    '''Doc.'''\n    raise NotImplementedError(\"your answer goes here\")\n\nprint(1)"
    assert homework.stub(text) == expected
