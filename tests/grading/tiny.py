"""A homework that takes no time: three questions, so that one can go wrong between two that do not."""

from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from rlcourse.grading.homework import BEGIN, END

SOLUTIONS = {
    "double": "def double(x):\n    return x + x + 0.0 * x",
    "square": "def square(x):\n    return x * x + 0.0 * x",
    "negate": "def negate(x):\n    return 0.0 * x - x",
}
EXPECTED = {"double": 6.0, "square": 9.0, "negate": -3.0}


def code(name: str, source: str, **about: Any) -> NotebookNode:
    return new_code_cell(source, id=name, metadata={"rlcourse": about} if about else {})


def source(seconds: float = 20) -> NotebookNode:
    """The instructor's notebook: for each question an answer, a visible check (1 point) and a hidden one (4)."""
    cells = [
        new_markdown_cell("# A homework", id="title"),
        code("setup", "from rlcourse.grading import checks", role="setup"),
    ]
    for name, solution in SOLUTIONS.items():
        head, body = solution.split("\n")
        wrapped = f"{head}\n    {BEGIN}\n{body}\n    {END}"
        check = f'checks.Check({name}, see="the title")("of 3", (3.0,), {EXPECTED[name]}, {{"too small": 1.0}})'
        hidden = f"NONCE = 0\nsecret_{name} = NONCE % 1000 / 7\nchecks.reveal(checks.call({name}, secret_{name}))"
        cells += [
            new_markdown_cell(f"## {name}", id=f"{name}-text"),
            code(f"{name}-answer", wrapped, role="answer", question=name),
            code(f"{name}-check", check, role="check", question=name, points=1),
            code(f"{name}-hidden", hidden, role="hidden", question=name, points=4, hint=f"think of {name} again"),
        ]
    return new_notebook(cells=cells, metadata={"rlcourse": {"seconds": seconds}})


def write_source(folder: Path, seconds: float = 20) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    nbformat.write(source(seconds), folder / "hw00.ipynb")
    return folder / "hw00.ipynb"


def answered(released: NotebookNode, **answers: str) -> NotebookNode:
    """A student's copy of the released notebook: the right answers, or those given instead."""
    notebook: NotebookNode = nbformat.from_dict(released)
    for cell in notebook.cells:
        about = cell.metadata.get("rlcourse", {})
        if about.get("role") == "answer":
            cell.source = answers.get(about["question"], SOLUTIONS[about["question"]])
    return notebook
