"""The committed lectures as a reader meets them, without running them; nbval runs them (`notebooks/`)."""

import ast
import difflib
import re
import shutil
import statistics
from importlib import import_module
from pathlib import Path

import nbformat
import pytest
from nbformat import NotebookNode

from rlcourse.operations.publish import execute, lectures, sources_hash

PATHS = list(lectures([Path(__file__).parents[2] / "notebooks"]))


@pytest.fixture(params=PATHS, ids=lambda path: path.stem)
def path(request: pytest.FixtureRequest) -> Path:
    return request.param


@pytest.fixture
def lecture(path: Path) -> NotebookNode:
    return nbformat.read(path, as_version=4)


def code(lecture: NotebookNode) -> list[NotebookNode]:
    return [cell for cell in lecture.cells if cell.cell_type == "code"]


def prose(lecture: NotebookNode) -> list[NotebookNode]:
    return [cell for cell in lecture.cells if cell.cell_type == "markdown"]


def test_there_are_lectures() -> None:
    assert [path.name[:3] for path in PATHS] == [f"{number:02}_" for number in range(1, len(PATHS) + 1)]
    assert PATHS


def test_outputs_belong_to_the_sources(lecture: NotebookNode) -> None:
    stale = "the outputs are older than the code above them: run `make notebooks`"
    assert lecture.metadata.rlcourse.sources == sources_hash(lecture), stale


def test_executed_from_top_to_bottom_without_a_complaint(lecture: NotebookNode) -> None:
    assert [cell.execution_count for cell in code(lecture)] == list(range(1, len(code(lecture)) + 1))
    for cell in code(lecture):
        for output in cell.outputs:
            assert output.output_type != "error"
            assert output.get("name") != "stderr", output.text
            assert "Warning" not in output.get("text", "")


def test_pictures_say_what_they_show(lecture: NotebookNode) -> None:
    pictures = [
        (output, kind)
        for cell in code(lecture)
        for output in cell.outputs
        for kind in ("image/png", "image/gif")
        if kind in output.get("data", {})
    ]
    assert len(pictures) >= 3
    for output, kind in pictures:
        alt = output.metadata.get(kind, output.metadata)["alt"]
        assert re.search(r"\d", alt), alt


def test_size_and_shape(path: Path, lecture: NotebookNode) -> None:
    lengths = [len([line for line in cell.source.splitlines() if line.strip()]) for cell in code(lecture)]
    assert 25 <= len(lecture.cells) <= 70
    assert statistics.median(lengths) <= 10
    assert max(lengths) <= 25
    assert max(len(cell.source.split()) for cell in prose(lecture)) <= 180
    assert path.stat().st_size < 3e6


def test_only_the_first_code_cell_imports_and_none_defines(lecture: NotebookNode) -> None:
    for number, cell in enumerate(code(lecture)):
        for node in ast.walk(ast.parse(cell.source)):
            assert not isinstance(node, ast.FunctionDef | ast.ClassDef), "definitions belong, tested, into the package"
            assert number == 0 or not isinstance(node, ast.Import | ast.ImportFrom)


def test_the_pattern_of_a_lecture(lecture: NotebookNode) -> None:
    header = lecture.cells[0].source
    for part in ("# ", "After this you can", "You need", "Run time", "Papers"):
        assert part in header
    sources = [cell.source for cell in code(lecture)]
    for call in ("lessons.show(", "lessons.predict(", ".reveal(", "lessons.show_diff(", "lessons.verdict("):
        assert any(call in source for source in sources), call
    assert "✔" in "".join(output.get("text", "") for cell in code(lecture) for output in cell.outputs)
    text = "\n".join(cell.source for cell in prose(lecture))
    for part in ("Recap", "What goes wrong in practice", "References", "Homework", "<details>"):
        assert part in text
    assert all("slide_type" in cell.metadata.get("slideshow", {}) for cell in lecture.cells)


def test_checked_outputs_hold_no_trained_numbers(lecture: NotebookNode) -> None:
    checked = [cell for cell in code(lecture) if "NBVAL_CHECK_OUTPUT" in cell.source]
    assert checked
    for cell in checked:
        assert not re.search(r"\b(train|watch|evaluate)\(", cell.source)


def test_shown_code_is_the_package_as_it_is_now(lecture: NotebookNode) -> None:
    names: dict[str, object] = {}
    exec(code(lecture)[0].source, names)
    shown = 0
    for cell in code(lecture):
        for call in re.findall(r"lessons\.show(?:_diff)?\([\w., ]+\)", cell.source):
            page = eval(call, names)
            now = page.data if hasattr(page, "data") else page._repr_html_()
            shows = [output.data for output in cell.outputs if "data" in output]
            stored = [data.get("text/markdown", data.get("text/html")) for data in shows]
            assert now in stored, f"{call} shows old code: run `make notebooks`"
            shown += 1
    assert shown >= 3


def test_tables_of_settings_hold_the_defaults() -> None:
    """Rows like "| `tau` | 0.005 | … |" below a sentence that names `td3.Config`, whose default that is."""
    checked = set()
    for path in PATHS:
        for cell in prose(nbformat.read(path, as_version=4)):
            page = re.search(r"`(\w+)\.Config`", cell.source)
            rows = re.findall(r"^\| `(\w+)` \| ([^|]+) \|", cell.source, re.MULTILINE)
            if page and "| setting |" in cell.source and rows:
                config = import_module(f"rlcourse.algorithms.{page[1]}").Config()
                for field, value in rows:
                    assert ast.literal_eval(value) == getattr(config, field), (page[0], field)
                checked.add(page[1])
    assert checked >= {"dqn", "reinforce", "td3", "sac"}


@pytest.mark.slow
@pytest.mark.notebook
def test_a_rerun_changes_no_line(path: Path, tmp_path: Path) -> None:
    again = tmp_path / path.name
    shutil.copy(path, again)
    execute([again])
    before, after = (each.read_text(encoding="utf-8").splitlines() for each in (path, again))
    changed = [line[:200] for line in difflib.unified_diff(before, after, n=0, lineterm="")]
    # On the processor that made the outputs nothing differs; elsewhere the last digits of a picture may.
    assert [line for line in changed if "image/" not in line and line[0] in "+-"] == []
