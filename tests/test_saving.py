"""What Jupyter Server writes to the disk: pictures and words, no views; of the course's own notebooks only."""

import json
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nbformat
import pytest
from IPython.display import display
from jupyter_server.services.contents.largefilemanager import LargeFileManager
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from tqdm.notebook import tqdm

from rlcourse import lessons, slides
from rlcourse.operations import saving
from rlcourse.operations.saving import AT_REST, LIVE_VIEW, STATE
from rlcourse.widgets import q_stepper
from tests.screen import Screen

ROOT = Path(__file__).parents[1]
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["data-files"]
DATA_FILES = [f"{folder}/{Path(file).name}" for folder, files in SETTINGS.items() for file in files]
OURS = "from rlcourse.widgets import q_stepper"
VIEW = {"model_id": "abc", "version_major": 2, "version_minor": 0}
PICTURE = {"image/png": "cGljdHVyZQ==", "text/plain": "words"}


@pytest.fixture
def server(tmp_path: Path) -> Any:
    manager = LargeFileManager(root_dir=str(tmp_path))
    saving._load_jupyter_server_extension(SimpleNamespace(contents_manager=manager))
    return manager


def shown(**data: Any) -> NotebookNode:
    return new_output("display_data", data)


def saved(server: Any, *outputs: NotebookNode, source: str = OURS, **metadata: Any) -> list[Any]:
    """The outputs of a code cell, as they lie on the disk after a save; they are not touched themselves."""
    cells = [new_markdown_cell("text"), new_code_cell(source, outputs=list(outputs))]
    content = json.loads(nbformat.writes(new_notebook(cells=cells, metadata=metadata)))
    server.save({"type": "notebook", "format": "json", "content": content}, "lecture.ipynb")
    read = nbformat.read(Path(server.root_dir) / "lecture.ipynb", as_version=4)
    return list(read.cells[1].outputs)


def test_a_picture_takes_the_views_place_and_says_that_it_is_one(server: Any) -> None:
    assert saved(server, shown(**PICTURE, **{LIVE_VIEW: VIEW})) == [shown(**PICTURE), AT_REST]


def test_what_the_course_shows_is_a_picture_or_words_or_says_what_to_do(
    server: Any, screen: Screen, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    question = lessons.predict("q", "Which?", ["two", "three"])
    display(q_stepper.widget(), question, question.reveal("three", "Because."))
    tqdm([1, 2, 3]), tqdm(iter([1]))
    kept = {"image/png": PICTURE["image/png"]}  # the picture itself is bytes until a kernel sends it
    outputs = [shown(**{kind: kept.get(kind, data[kind]) for kind in data}) for data, _ in screen.now().values()]
    assert [LIVE_VIEW in output.data for output in outputs] == [True, False, True, False, True, True]
    panel, asked, _, answer, *_ = outputs
    at_rest = shown(**kept, **{"text/plain": panel.data["text/plain"]})
    assert saved(server, *outputs) == [at_rest, AT_REST, asked, AT_REST, answer]
    assert asked.data["text/markdown"].startswith("**Predict:** Which?")
    assert "Predict first" in answer.data["text/html"]


def test_a_picture_is_there_with_its_alternative_text_and_again_after_the_next_save(server: Any) -> None:
    known = {"image/png": {"alt": 'Q < "0"', "width": 70}}
    once = saved(server, new_output("display_data", PICTURE | {LIVE_VIEW: VIEW}, metadata=known))
    html = '<img src="data:image/png;base64,cGljdHVyZQ==" alt="Q &lt; &quot;0&quot;" width="70">'
    assert once == [new_output("display_data", PICTURE | {"text/html": html}, metadata=known), AT_REST]
    assert saved(server, *once) == once


def test_other_outputs_and_other_notebooks_stay_as_they_are(server: Any) -> None:
    others = [shown(**PICTURE), new_output("stream", text="1"), new_output("error", ename="E")]
    assert saved(server, *others) == others
    view = shown(**PICTURE, **{LIVE_VIEW: VIEW})
    assert saved(server, view, source="import ipympl") == [view]
    server.save({"type": "file", "format": "text", "content": LIVE_VIEW}, "rlcourse.txt")
    assert (Path(server.root_dir) / "rlcourse.txt").read_text() == LIVE_VIEW


def test_a_view_whose_widget_is_saved_along_stays(server: Any) -> None:
    view, other = (shown(**PICTURE, **{LIVE_VIEW: VIEW | {"model_id": name}}) for name in ("abc", "def"))
    state = {STATE: {"state": {"abc": {}}, "version_major": 2, "version_minor": 0}}
    assert saved(server, view, other, widgets=state) == [view, shown(**PICTURE), AT_REST]


def test_what_cannot_be_understood_is_saved_as_it_is(server: Any, caplog: pytest.LogCaptureFixture) -> None:
    strange = [shown(**{LIVE_VIEW: []}), shown(**PICTURE, **{LIVE_VIEW: VIEW})]
    assert saved(server, *strange) == strange


def test_no_slide_says_that_a_picture_is_one() -> None:
    about = {"slideshow": {"slide_type": "slide"}}
    outputs = [new_output("stream", text="1\n"), nbformat.from_dict(AT_REST)]
    (slide,) = slides.slides(new_notebook(cells=[new_code_cell(OURS, outputs=outputs, metadata=about)]))
    assert "Not connected" not in str(slide)


@pytest.mark.thorough
def test_installing_the_package_in_place_switches_it_on(tmp_path: Path) -> None:
    """As `make lab` does, with `pip install -e`: the files lie in the wheel that pip unpacks."""
    build = "import setuptools.build_meta as b, sys; print(b.build_editable(sys.argv[1]))"
    out = subprocess.run([sys.executable, "-c", build, tmp_path], cwd=ROOT, capture_output=True, text=True, check=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = {name.partition(".data/data/")[2] for name in zipfile.ZipFile(wheel).namelist()}
    assert set(DATA_FILES) <= names, out.stdout
