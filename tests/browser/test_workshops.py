"""A workshop as a student uses it: helps are unfolded, an answer is typed, its check and the agent follow."""

from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from playwright.sync_api import Locator, expect

from tests.browser.lab import Lab, Notebook

pytestmark = pytest.mark.browser

WORKSHOP = Path(__file__).parents[2] / "notebooks" / "workshops" / "w02.ipynb"
SHORT = "import os\n\nos.environ['RLCOURSE_BUDGET'] = 'test'  # training stops after a moment"
HALF = "first, last = self.config.epsilon_start, self.config.epsilon_end\nreturn first + (last - first) * "
WRONG, RIGHT = HALF + "self.steps / self.config.epsilon_steps", HALF + "min(self.steps / self.config.epsilon_steps, 1)"


@pytest.fixture(scope="module")
def untouched(lab: Lab) -> Iterator[Notebook]:
    """The student's notebook, run from top to bottom as it is."""
    path = lab.root / "workshops" / WORKSHOP.name
    path.parent.mkdir()
    source = nbformat.read(WORKSHOP, as_version=4)
    source.cells.insert(0, nbformat.v4.new_code_cell(SHORT, id="budget"))
    nbformat.write(source, path)
    with lab.open(path) as notebook:
        notebook.run()
        notebook.settle()
        yield notebook


def cell(notebook: Notebook, name: str) -> Locator:
    """The cell with this id, brought into view."""
    return notebook.view([each["id"] for each in notebook.cells()].index(name))


def answer(notebook: Notebook, name: str, line: str, body: str) -> None:
    """Type `body` in the place of the line that holds `line`, and run the cell and the check that follows."""
    cell(notebook, name).locator(".cm-content").get_by_text(line).click()
    keyboard = notebook.page.keyboard
    keyboard.press("End")
    keyboard.press("Shift+Home")
    for number, line in enumerate(body.splitlines()):
        if number:
            keyboard.press("Enter")
        keyboard.type(line)
    for _ in range(2):
        keyboard.press("Shift+Enter")
    notebook.settle()


def test_untouched_it_runs_and_every_check_says_not_yet_yours(untouched: Notebook) -> None:
    outputs = [(each["id"], out) for each in untouched.cells() for out in each.get("outputs", [])]
    assert [name for name, out in outputs if out["output_type"] == "error"] == []
    said = {name: out["text"] for name, out in outputs if name.endswith("-check")}
    assert len(said) >= 6
    for text in said.values():
        assert all(line.endswith((": not yet yours", " still to be written")) for line in text.splitlines())
    assert untouched.blemishes() == []


def test_a_hint_unfolds_by_mouse(untouched: Notebook) -> None:
    step = cell(untouched, "s3").locator(".jp-MarkdownOutput")
    hint = step.get_by_text("What must ε be after")
    expect(hint).to_be_hidden()
    step.get_by_text("Hint", exact=True).click()
    expect(hint).to_be_visible()


def test_an_answer_is_typed_and_the_agent_has_it(untouched: Notebook) -> None:
    answer(untouched, "s3-answer", "raise NotImplementedError", WRONG)
    check = cell(untouched, "s3-check")
    expect(check.get_by_text("ε goes on falling after `epsilon_steps`")).to_be_visible()

    answer(untouched, "s3-answer", "self.steps / self.config.epsilon_steps", RIGHT.splitlines()[-1])
    expect(cell(untouched, "s3-check").get_by_text("✔")).to_be_visible()

    cell(untouched, "mine").locator(".cm-content").click()
    untouched.page.keyboard.press("Shift+Enter")
    untouched.settle()
    listed = cell(untouched, "mine").locator(".jp-OutputArea-output")
    expect(listed).to_contain_text("1 of 8 parts are yours")


def test_the_race_is_stopped_by_the_square_button(untouched: Notebook) -> None:
    race = cell(untouched, "race")
    race.locator(".cm-content").click()
    untouched.page.keyboard.press("Control+Home")
    untouched.page.keyboard.type("del os.environ['RLCOURSE_BUDGET']\n")
    untouched.page.keyboard.press("Control+Enter")
    expect(race.locator("img")).to_be_visible()  # the live curve
    untouched.page.locator('.jp-Toolbar [data-jp-item-name="interrupt"]').first.click()
    untouched.settle()
    expect(race).to_contain_text("Stopped by hand after")
