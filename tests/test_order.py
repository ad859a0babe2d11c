import os
import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from rlcourse.operations.order import REMEDY, advice
from rlcourse.operations.publish import lectures

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"


@pytest.fixture
def notebook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> NotebookNode:
    """Saved, and the folder is that of its kernel."""
    cells = [
        new_code_cell("import numpy as np\nfrom os import path as where"),
        new_markdown_cell("# Title\n\ntext\n\n## Train it\n\ntext"),
        new_code_cell("# NBVAL_CHECK_OUTPUT\nagent, (env, _) = 1, (2, 3)"),
        new_code_cell("def helper():\n    return 7\n\n\nfor seed in range(3):\n    seeds = [each for each in (1, 2)]"),
        new_code_cell("%timeit missing = 1"),
        new_code_cell("print(agent)"),
        new_code_cell("print(own)\nown = 1"),
        new_code_cell("def call():\n    agent = agent + 1\n\n\ncall()"),
    ]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("JPY_SESSION_NAME", "sub/folder/lecture.ipynb")  # as Jupyter Server names it, from its own root
    nbformat.write(made := new_notebook(cells=cells), tmp_path / "lecture.ipynb")
    return made


@pytest.mark.parametrize(
    ("name", "cell"),
    [("np", 1), ("where", 1), ("agent", 2), ("env", 2), ("helper", 3), ("seed", 3), ("seeds", 3), ("each", 0), ("x", 0),
     ("missing", 0), ("own", 6)],
)  # fmt: skip
def test_the_cell_that_makes_a_name_is_named(notebook: NotebookNode, name: str, cell: int) -> None:
    words = advice(name, Path("lecture.ipynb"), running="")
    assert words.startswith(f"`{name}` is made in code cell {cell} of this notebook") == (cell > 0)
    assert words.endswith(REMEDY) == (cell > 0)


def test_its_first_line_and_its_heading_lead_to_it(notebook: NotebookNode) -> None:
    line = "`agent` is made in code cell 2 of this notebook, under “Train it”: agent, (env, _) = 1, (2, 3)"
    assert advice("agent", Path("lecture.ipynb"), running="print(agent)") == f"{line}\n{REMEDY}"


@pytest.mark.parametrize("content", [None, "no JSON", "[]", "{}"])
def test_without_a_notebook_there_is_nothing_to_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str
) -> None:
    monkeypatch.chdir(tmp_path)
    if content is not None:
        (tmp_path / "lecture.ipynb").write_text(content)
    assert advice("agent", Path("lecture.ipynb"), running="") == ""
    assert advice("agent", Path(), running="") == ""


@pytest.mark.thorough
def test_a_cell_run_before_its_turn_says_what_to_run_first(notebook: NotebookNode) -> None:
    client = NotebookClient(notebook, allow_errors=True)
    said = []
    with client.setup_kernel(env=dict(os.environ)):
        for number in (5, 6, 7, 2, 5):
            client.execute_cell(notebook.cells[number], number)
            (output,) = notebook.cells[number].outputs or [None]
            said.append(re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(output.get("traceback", ()))) if output else "")
    early, own, unbound, nothing, late = said
    assert early.index("NameError: name 'agent' is not defined") < early.index("`agent` is made in code cell 2")
    assert early.endswith(REMEDY)
    assert "NameError: name 'own' is not defined" in own
    assert "UnboundLocalError" in unbound
    for text in (own, unbound, nothing, late):
        assert REMEDY not in text


@pytest.mark.parametrize("path", list(lectures([NOTEBOOKS])), ids=lambda path: path.stem)
def test_each_lecture_says_where_lessons_come_from(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(NOTEBOOKS)
    assert advice("lessons", path, running="").startswith("`lessons` is made in code cell 1 of this notebook")
