"""A notebook saved in JupyterLab and opened another day, when no kernel knows its widgets any more."""

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook
from playwright.sync_api import expect

from rlcourse.operations.publish import KERNELSPEC
from tests.browser.lab import PANEL, Lab

pytestmark = pytest.mark.browser

CELLS = (
    "from rlcourse import lessons\nguess = lessons.predict('key', 'How many?', ['one', 'two'])\nguess",
    "guess.reveal('two', 'Because.')",
    "from tqdm.auto import tqdm\nfor _ in tqdm(range(3)): pass",
    "from rlcourse.widgets import q_stepper\nq_stepper.widget()",
)
AT_REST = "Not connected: run this cell again."


def test_pictures_and_questions_are_there_another_day(lab: Lab) -> None:
    path = lab.root / "another_day.ipynb"
    cells = [new_code_cell(source) for source in CELLS]
    nbformat.write(new_notebook(cells=cells, metadata={"kernelspec": KERNELSPEC}), path)
    with lab.open(path) as today:
        today.run()
        today.view(3)
        alt = today.alt()
        today.settle()
        today.page.evaluate(f"async () => await {PANEL}.context.save()")
        today.slider("sweep").press("ArrowRight")  # what is open has not changed
        today.page.wait_for_function(
            "(alt) => document.querySelector('.rlcourse-picture').getAttribute('aria-label') !== alt", arg=alt
        )
        expect(today.view(0).get_by_role("button", name="This is my prediction")).to_be_visible()
    with lab.open(path) as later:
        expect(later.view(0).get_by_text("Predict: How many?")).to_be_visible()
        expect(later.view(0).get_by_text(AT_REST)).to_be_visible()
        expect(later.view(1).get_by_text("Predict first")).to_be_visible()
        expect(later.view(2).locator(".jp-OutputArea-output")).to_have_count(0)
        image = later.view(3).locator(".jp-OutputArea-output img")
        expect(image).to_be_visible()
        expect(image).to_have_attribute("alt", alt)
        assert image.evaluate("(image) => image.naturalHeight") > 100
        expect(later.view(3).get_by_text(AT_REST)).to_be_visible()
        expect(later.page.get_by_text("Error displaying widget")).to_have_count(0)
        later.run()
        later.view(3)
        later.expect_picture(alt)
