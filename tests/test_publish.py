"""Executing and normalising: what a reader sees stays, what differs from run to run goes."""

from pathlib import Path

import nbformat
import pytest
from nbclient.exceptions import CellExecutionError
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from rlcourse.operations.publish import execute, lectures, sources_hash

CELLS = [
    new_markdown_cell("# A lecture", id="title"),
    new_code_cell(
        "from tqdm.auto import tqdm\nfrom rlcourse import lessons\nfrom rlcourse.widgets import q_stepper", id="a"
    ),
    new_code_cell("for _ in tqdm(range(3)):\n    pass\nprint('done')", id="b"),
    new_code_cell("q_stepper.widget()", id="c"),
    new_code_cell("guess = lessons.predict('q', 'Which?', ['a', 'b'])\nguess", id="d"),
    new_code_cell("guess.reveal('b', 'Because.')", id="e"),
]


@pytest.fixture
def notebook(tmp_path: Path) -> Path:
    path = tmp_path / "01_lecture.ipynb"
    cells = [cell.copy() for cell in CELLS]
    cells[3].metadata = {"slideshow": {"slide_type": "slide"}, "trusted": True, "jupyter": {"source_hidden": True}}
    nbformat.write(new_notebook(cells=cells, metadata={"widgets": {"state": 1}, "signature": "x"}), path)
    return path


@pytest.mark.thorough
def test_a_rerun_changes_nothing(notebook: Path) -> None:
    execute([notebook])
    first = notebook.read_bytes()
    execute([notebook])
    assert notebook.read_bytes() == first


@pytest.mark.thorough
def test_what_is_kept_and_what_is_dropped(notebook: Path) -> None:
    (notebook.parent / "predictions.json").write_text('{"q": "a"}')  # the author's own: must not leak
    execute([notebook.parent])
    result = nbformat.read(notebook, as_version=4)
    _, imports, progress, stepper, prediction, answer = result.cells
    assert imports.outputs == []
    assert [output.output_type for output in progress.outputs] == ["stream"]  # the bar and its seconds are gone
    assert progress.outputs[0].text == "done\n"
    (picture,) = stepper.outputs
    assert set(picture.data) == {"image/png", "text/plain"}
    assert picture.metadata["image/png"]["alt"] == picture.data["text/plain"]
    (question,) = prediction.outputs  # the buttons are gone
    assert question.data["text/markdown"].startswith("**Predict:** Which?")
    (folded,) = answer.outputs
    assert set(folded.data) == {"text/markdown"}
    assert folded.data["text/markdown"].startswith("<details><summary>Open after you have predicted</summary>")
    assert folded.metadata["text/markdown"]["answer"] == "**B: b.** Because."
    assert [cell.get("execution_count") for cell in result.cells[1:]] == [1, 2, 3, 4, 5]
    assert stepper.metadata == {"slideshow": {"slide_type": "slide"}, "jupyter": {"source_hidden": True}}
    assert set(result.metadata) == {"kernelspec", "language_info", "rlcourse"}
    assert result.metadata.rlcourse.sources == sources_hash(result)


@pytest.mark.thorough
def test_a_failing_notebook_stays_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "broken.ipynb"
    nbformat.write(new_notebook(cells=[new_code_cell("1 / 0", id="a")]), path)
    before = path.read_bytes()
    with pytest.raises(CellExecutionError, match="ZeroDivisionError"):
        execute([path])
    assert path.read_bytes() == before


def test_the_hash_follows_sources_and_nothing_else(notebook: Path) -> None:
    book = nbformat.read(notebook, as_version=4)
    before = sources_hash(book)
    book.cells[1].execution_count = 7
    assert sources_hash(book) == before
    book.cells[0].source += "!"
    assert sources_hash(book) != before


def test_a_path_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nowhere does not exist: name a notebook or a folder"):
        list(lectures([tmp_path / "nowhere"]))
