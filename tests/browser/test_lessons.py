import json
from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from tests.browser.lab import SESSION, Lab, Notebook

pytestmark = pytest.mark.browser

QUESTION = "from rlcourse import lessons\nguess = lessons.predict('key', 'How many?', ['one', 'two', 'three'])\nguess"
REVEAL = "guess.reveal('three', 'Because.')"


@pytest.fixture(scope="module")
def shared(lab: Lab) -> Iterator[Notebook]:
    with lab.notebook(QUESTION, REVEAL) as notebook:
        yield notebook


@pytest.fixture
def notebook(shared: Notebook) -> Notebook:
    (shared.folder / "predictions.json").unlink(missing_ok=True)
    shared.run()
    expect(shared.page.get_by_text("No prediction yet")).to_be_visible()
    return shared


def locked(notebook: Notebook, choice: str) -> None:
    expect(notebook.button("Committed")).to_be_disabled()
    for name in ("one", "two", "three"):
        radio = notebook.page.get_by_label(name, exact=True)
        expect(radio).to_be_disabled()
        expect(radio).to_be_checked(checked=name == choice)


def test_a_prediction_is_kept(notebook: Notebook) -> None:
    notebook.page.get_by_label("two", exact=True).check()
    notebook.settle()
    assert not (notebook.folder / "predictions.json").exists()  # chosen is not committed
    notebook.button("This is my prediction").click()
    locked(notebook, "two")
    assert json.loads((notebook.folder / "predictions.json").read_text(encoding="utf-8")) == {"key": "two"}

    notebook.run()
    locked(notebook, "two")
    expect(notebook.page.get_by_text("three (✘ you predicted “two”). Because.")).to_be_visible()

    notebook.page.reload()
    notebook.ready()
    notebook.run()
    locked(notebook, "two")


def test_by_keyboard(notebook: Notebook) -> None:
    notebook.page.locator(".jp-Cell .jp-InputPrompt").first.click()
    notebook.tab_to("one")
    for _ in range(2):
        notebook.page.keyboard.press("ArrowDown")
    notebook.tab_to("This is my prediction")
    notebook.page.keyboard.press("Enter")
    locked(notebook, "three")
    notebook.run()
    expect(notebook.page.get_by_text("three (✔ as you predicted). Because.")).to_be_visible()


def test_nothing_chosen_is_nothing_committed(notebook: Notebook) -> None:
    notebook.button("This is my prediction").click()
    notebook.settle()
    expect(notebook.button("This is my prediction")).to_be_enabled()
    assert not (notebook.folder / "predictions.json").exists()


def test_no_blemishes(notebook: Notebook) -> None:
    assert notebook.blemishes() == []


def test_what_is_shown_is_committed_even_while_the_kernel_is_busy(notebook: Notebook) -> None:
    notebook.page.evaluate(f"""() => {{
        {SESSION}.session.kernel.requestExecute({{ code: "import time; time.sleep(1)", silent: true }});
    }}""")
    notebook.page.get_by_label("two", exact=True).check()
    notebook.page.get_by_label("three", exact=True).check()
    notebook.button("This is my prediction").click()
    locked(notebook, "three")
    notebook.settle()
    notebook.run()
    expect(notebook.page.get_by_text("three (✔ as you predicted). Because.")).to_be_visible()
