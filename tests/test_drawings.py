"""Concept drawings: what a lecture attaches is what the functions draw now, legible, and told in words, too."""

import base64
import io
import re
from itertools import combinations
from pathlib import Path

import nbformat
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from matplotlib.image import imread
from nbformat.v4 import new_markdown_cell, new_notebook

from rlcourse.operations import drawings
from rlcourse.operations.publish import lectures
from tests.test_scenes import contrast

ATTACHED = re.compile(r"!\[([^\]]*)\]\(attachment:([^)]+)\)")
SHOWN = [
    (path, cell, *match.groups())
    for path in lectures([Path(__file__).parents[1] / "notebooks"])
    for cell in nbformat.read(path, as_version=4).cells
    for match in ATTACHED.finditer(cell.source)
]


def pixels(data: bytes) -> np.ndarray:
    return np.asarray(imread(io.BytesIO(data), format="png"))


def test_every_drawing_stands_in_a_lecture_once() -> None:
    assert sorted(name for *_, name in SHOWN) == sorted(drawings.DRAWINGS)


@pytest.mark.parametrize(("path", "cell", "words", "name"), SHOWN, ids=[name for *_, name in SHOWN])
def test_a_lecture_attaches_what_is_drawn_now(path: Path, cell: nbformat.NotebookNode, words: str, name: str) -> None:
    stored, now = (
        pixels(data)
        for data in (
            base64.b64decode(cell.attachments[name]["image/png"]),
            drawings.png(drawings.DRAWINGS[name]()),
        )
    )
    assert stored.shape == now.shape
    again = f"run `python -m rlcourse.operations.drawings {path.parent.name}`"
    assert np.abs(stored - now).mean() < 1e-4, again
    assert len(words.split()) >= 20, "say in words what the drawing shows"


@pytest.mark.parametrize("name", drawings.DRAWINGS)
def test_words_can_be_read_and_stay_on_the_page_and_apart(name: str) -> None:
    figure = drawings.DRAWINGS[name]()
    assert all(contrast(to_hex(text.get_color()), "#FFFFFF") >= 4.5 for text in figure.axes[0].texts)
    renderer = FigureCanvasAgg(figure).get_renderer()
    boxes = [text.get_window_extent(renderer) for text in figure.axes[0].texts if text.get_text()]
    assert len(boxes) >= 5
    for box in boxes:
        assert figure.bbox.x0 <= box.x0 < box.x1 <= figure.bbox.x1
        assert figure.bbox.y0 <= box.y0 < box.y1 <= figure.bbox.y1
    assert not [(a, b) for a, b in combinations(boxes, 2) if a.overlaps(b)]


def test_embedding_draws_anew_what_a_cell_names_and_leaves_the_others(tmp_path: Path) -> None:
    path = tmp_path / "a.ipynb"
    cells = [new_markdown_cell("![Words.](attachment:actor-critic.png)"), new_markdown_cell("actor-critic.png")]
    nbformat.write(new_notebook(cells=cells), path)
    drawings.embed(path)
    named, other = nbformat.read(path, as_version=4).cells
    assert base64.b64decode(named.attachments["actor-critic.png"]["image/png"]).startswith(b"\x89PNG")
    assert "attachments" not in other
