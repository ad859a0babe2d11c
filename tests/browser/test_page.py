"""The page itself, as the settings that the course installs make it: what is read, what is wide, and what wraps."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import ViewportSize, expect

from tests.browser.lab import PANEL, Lab, Notebook

pytestmark = pytest.mark.browser

WIDE: ViewportSize = {"width": 1600, "height": 900}
WORDS = "Many words of different lengths stand in a paragraph like this one, which goes on for several lines. " * 5
CODE = f"total = {' + '.join(['1_000_000'] * 60)}"
SHOWN = f"from IPython.display import Markdown\nMarkdown('''```python\n{CODE}\n```''')"
PRINTED = f"print({WORDS!r})"
PICTURE = "from rlcourse.widgets.still import Still\nStill(lambda figure: None, 'nothing', size=(13, 4))"
# The letters that begin a line, for every text node below: those that lie lower than the one before them.
LINES = """(root) => {
    const lines = [], walker = document.createTreeWalker(root, NodeFilter.SHOW_TEXT), range = document.createRange();
    let bottom = -Infinity, line = "";
    for (let node = walker.nextNode(); node; node = walker.nextNode())
        for (let i = 0; i < node.length; i++) {
            range.setStart(node, i);
            range.setEnd(node, i + 1);
            const box = range.getBoundingClientRect();
            if (box.height && box.top > bottom - 2) {
                if (line) lines.push(line);
                line = "";
                bottom = box.bottom;
            }
            line += node.data[i];
        }
    return [...lines, line];
}"""


@pytest.fixture(scope="module")
def notebook(lab: Lab) -> Iterator[Notebook]:
    with lab.notebook(CODE, SHOWN, PRINTED, PICTURE, "late = 1", "print(late)") as opened:
        text = {"cell_type": "markdown", "source": f"# A title\n\n{WORDS}\n\n- {WORDS}"}
        opened.page.evaluate(f"(cell) => {PANEL}.content.model.sharedModel.insertCell(0, cell)", text)
        opened.page.evaluate(f"async () => await {PANEL}.context.save()")
        opened.run()
        opened.settle()
        opened.page.set_viewport_size(WIDE)
        yield opened


def lines(notebook: Notebook, cell: int, selector: str) -> list[str]:
    """What stands on each line of a part of the cell."""
    part = notebook.view(cell).locator(selector).first
    expect(part).to_be_visible()
    return [line.replace("\u200b", "") for line in part.evaluate(LINES)]


def test_text_stands_in_a_column(notebook: Notebook) -> None:
    for selector in (".jp-RenderedMarkdown p", ".jp-RenderedMarkdown li"):
        full = lines(notebook, 0, selector)[:-1]
        assert len(full) > 3
        assert 60 <= sum(map(len, full)) / len(full) <= 85  # fonts differ
        assert max(map(len, full)) <= 95


def test_code_wraps_between_words(notebook: Notebook) -> None:
    for cell, selector in ((1, ".cm-line"), (2, ".jp-OutputArea-output pre")):
        written = lines(notebook, cell, selector)
        assert len(written) > 3
        assert all(line.endswith(" ") for line in written[:-1]), written
        assert (
            notebook.view(cell).locator(selector).first.evaluate("(part) => part.scrollWidth <= part.clientWidth + 1")
        )


def test_printed_text_wraps_between_words(notebook: Notebook) -> None:
    written = lines(notebook, 3, ".jp-OutputArea-output pre")
    assert len(written) > 1
    assert all(line.endswith(" ") for line in written[:-1]), written


def test_pictures_are_wider_than_the_text(notebook: Notebook) -> None:
    picture = notebook.view(4).locator(".jp-OutputArea-output img")
    expect(picture).to_be_visible()
    text = notebook.view(0).locator("p").first.evaluate("(part) => part.getBoundingClientRect().width")
    notebook.view(4)
    assert picture.evaluate("(part) => part.getBoundingClientRect().width") > 1.5 * text


def test_a_cell_run_before_its_turn_says_which_cell_to_run(notebook: Notebook) -> None:
    notebook.page.evaluate("() => window.jupyterapp.commands.execute('notebook:clear-all-cell-outputs')")
    notebook.view(6).locator(".jp-InputPrompt").click()
    notebook.page.evaluate(f"() => {PANEL}.sessionContext.session.kernel.requestExecute({{code: 'del late'}}).done")
    notebook.page.evaluate("() => window.jupyterapp.commands.execute('notebook:run-cell')")
    said = notebook.view(6).locator(".jp-OutputArea-output")
    expect(said).to_contain_text("NameError: name 'late' is not defined")
    expect(said).to_contain_text("`late` is made in code cell 5 of this notebook, under “A title”: late = 1")
    expect(said).to_contain_text("Run that cell first")
    assert "late" in notebook.errors.pop()  # JupyterLab's console says it, too
