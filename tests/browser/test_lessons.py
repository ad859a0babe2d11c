import json
from collections.abc import Iterator

import pytest
from playwright.sync_api import Locator, expect

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
    """Both cells have been run, and nobody has predicted."""
    (shared.folder / "predictions.json").unlink(missing_ok=True)
    shared.run()
    expect(waiting(shared)).to_be_visible()
    expect(shared.page.locator(".jp-OutputArea-output", has_text="Because")).to_have_count(0)
    return shared


def waiting(notebook: Notebook) -> Locator:
    return notebook.page.get_by_text("Predict first")


def choice(notebook: Notebook, name: str) -> Locator:
    return notebook.page.get_by_label(name, exact=True)


def committed(notebook: Notebook, name: str) -> None:
    """It is stored, it is said, and there is no button left."""
    expect(notebook.page.get_by_text(f"Committed: {name}", exact=True)).to_be_visible()
    expect(notebook.button("This is my prediction")).to_have_count(0)
    stored = json.loads((notebook.folder / "predictions.json").read_text(encoding="utf-8"))
    assert stored == {"key": name.partition(": ")[2]}


def answered(notebook: Notebook, text: str) -> None:
    expect(notebook.page.get_by_text(text, exact=True)).to_be_visible()
    expect(waiting(notebook)).to_have_count(0)


def test_the_answer_comes_when_the_commit_does(notebook: Notebook) -> None:
    choice(notebook, "B: two").check()
    notebook.settle()
    assert not (notebook.folder / "predictions.json").exists()  # chosen is not committed
    notebook.button("This is my prediction").click()
    committed(notebook, "B: two")
    answered(notebook, "C: three (✘ you predicted “B: two”). Because.")

    notebook.run()  # another day
    committed(notebook, "B: two")
    answered(notebook, "C: three (✘ you predicted “B: two”). Because.")


def test_what_was_committed_can_be_read_without_a_kernel(notebook: Notebook) -> None:
    choice(notebook, "C: three").check()
    notebook.button("This is my prediction").click()
    answered(notebook, "C: three (✔ as you predicted). Because.")
    shown = [output["data"]["text/markdown"] for cell in notebook.cells() for output in cell["outputs"]]
    assert [text.split("\n")[0] for text in shown] == [
        "**Predict:** How many?",
        "Committed: **C: three**",
        "**C: three** (✔ as you predicted). Because.",
    ]


def test_the_result_may_be_run_after_the_commit(notebook: Notebook) -> None:
    clear = "() => window.jupyterapp.commands.execute('notebook:clear-cell-output')"
    notebook.page.locator(".jp-Cell .jp-InputPrompt").nth(1).click()
    notebook.page.evaluate(clear)
    expect(waiting(notebook)).to_have_count(0)
    choice(notebook, "C: three").check()
    notebook.button("This is my prediction").click()
    committed(notebook, "C: three")
    notebook.page.locator(".jp-Cell .jp-InputPrompt").nth(1).click()
    notebook.page.evaluate("() => window.jupyterapp.commands.execute('notebook:run-cell')")
    answered(notebook, "C: three (✔ as you predicted). Because.")


def test_by_keyboard(notebook: Notebook) -> None:
    notebook.page.locator(".jp-Cell .jp-InputPrompt").first.click()
    notebook.tab_to("A")
    for _ in range(2):
        notebook.page.keyboard.press("ArrowDown")
    notebook.tab_to("This is my prediction")
    notebook.page.keyboard.press("Enter")
    committed(notebook, "C: three")
    answered(notebook, "C: three (✔ as you predicted). Because.")


def test_nothing_chosen_is_nothing_committed(notebook: Notebook) -> None:
    notebook.button("This is my prediction").click()
    notebook.settle()
    expect(notebook.button("This is my prediction")).to_be_enabled()
    assert not (notebook.folder / "predictions.json").exists()


def test_no_blemishes(notebook: Notebook) -> None:
    assert notebook.blemishes() == []


def test_a_busy_kernel_has_stored_nothing_and_the_button_says_so(notebook: Notebook) -> None:
    busy = "import pathlib, time\nwhile not pathlib.Path('go on').exists(): time.sleep(0.02)"
    notebook.page.evaluate(f"(code) => {{ {SESSION}.session.kernel.requestExecute({{ code, silent: true }}); }}", busy)
    choice(notebook, "B: two").check()
    choice(notebook, "C: three").check()
    notebook.button("This is my prediction").click()
    expect(notebook.button("sending…")).to_be_disabled()
    for name in ("A: one", "B: two", "C: three"):
        expect(choice(notebook, name)).to_be_disabled()
    assert not (notebook.folder / "predictions.json").exists()
    expect(waiting(notebook)).to_be_visible()
    (notebook.folder / "go on").touch()
    committed(notebook, "C: three")
    answered(notebook, "C: three (✔ as you predicted). Because.")


def test_what_cannot_be_stored_is_said_and_can_be_tried_again(notebook: Notebook) -> None:
    in_the_way = notebook.folder / "predictions.json"
    in_the_way.mkdir()
    choice(notebook, "C: three").check()
    notebook.button("This is my prediction").click()
    expect(notebook.page.get_by_text("not stored: ")).to_be_visible()
    expect(waiting(notebook)).to_be_visible()
    in_the_way.rmdir()
    notebook.button("This is my prediction").click()
    committed(notebook, "C: three")
