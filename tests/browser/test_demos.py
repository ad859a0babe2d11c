"""The demos as a lecturer meets them: a server of its own, an index, and pages that fill a projector; no network."""

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import ViewportSize, expect

from rlcourse import demos, widgets
from tests.browser.lab import Lab, Notebook, free_port, wait_for

pytestmark = pytest.mark.browser
NAMES = [name for questions in demos.QUESTIONS.values() for name in questions]
PROJECTORS: tuple[ViewportSize, ...] = ({"width": 1280, "height": 720}, {"width": 1920, "height": 1080})


@pytest.fixture(scope="module")
def server(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("demos")
    port = free_port()
    log = folder / "demos.log"
    with log.open("w") as out:
        command = [sys.executable, "-m", "rlcourse", "demo", "--no-browser", "--port", str(port)]
        process = subprocess.Popen(command, stdout=out, stderr=out, cwd=folder)
        try:
            wait_for(process, f"http://127.0.0.1:{port}", log)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(30)


@contextmanager
def opened(lab: Lab, address: str, size: ViewportSize = PROJECTORS[0]) -> Iterator[Notebook]:
    """A page of the demos; nothing may be fetched from elsewhere, nothing said in the console."""
    page = lab.browser.new_page(viewport=size)
    page.set_default_timeout(60_000)  # a kernel starts
    shown, elsewhere = Notebook(page, Path()), []
    page.on("console", lambda said: shown.errors.append(said.text) if said.type == "error" else None)
    page.on("pageerror", lambda error: shown.errors.append(str(error)))
    page.on("request", lambda asked: elsewhere.append(asked.url) if _foreign(asked.url, address) else None)
    page.goto(address)
    lab.notebooks.append(shown)
    try:
        yield shown
        assert elsewhere == []
    finally:
        lab.notebooks.remove(shown)
        page.close()


def _foreign(url: str, address: str) -> bool:
    return url.startswith("http") and urlsplit(url).netloc != urlsplit(address).netloc


def test_the_index_shows_them_all(lab: Lab, server: str) -> None:
    found = (import_module(module.name) for module in iter_modules(widgets.__path__, "rlcourse.widgets."))
    assert {module.__name__.rpartition(".")[2] for module in found if hasattr(module, "widget")} == set(NAMES)
    with opened(lab, server) as index:
        links = index.page.get_by_role("link")
        expect(links).to_have_count(len(NAMES))
        index.page.wait_for_function(
            "() => [...document.images].every((image) => image.complete && image.naturalWidth > 0)"
        )
        expect(index.page.locator("img")).to_have_count(len(NAMES))
        index.errors.clear()  # of pictures that were not there yet
        questions = [question for lecture in demos.QUESTIONS.values() for question in lecture.values()]
        assert [text.strip() for text in links.all_inner_texts()] == questions
        links.nth(NAMES.index("overestimation")).click()
        expect(index.page.get_by_role("heading", name=re.compile("Why is the largest"))).to_be_visible()


@pytest.mark.parametrize("name", [name for name in NAMES if name != "q_stepper"])
def test_a_page_fills_the_screen_and_follows_a_preset(lab: Lab, server: str, name: str) -> None:
    module: Any = import_module(f"rlcourse.widgets.{name}")
    with opened(lab, f"{server}/voila/render/{name}.ipynb") as demo:
        expect(demo.picture).to_be_visible()
        presets = list(module.PRESETS.items())
        for size in PROJECTORS:
            demo.page.set_viewport_size(size)
            fills(demo)
        for label, values in reversed(presets):
            demo.dropdown("preset").select_option(label)
            demo.expect_picture(module.describe(module.compute(**values)))


def test_a_click_finds_its_cell_on_a_large_screen(lab: Lab, server: str) -> None:
    with opened(lab, f"{server}/voila/render/q_stepper.ipynb", PROJECTORS[1]) as demo:
        expect(demo.picture).to_be_visible()
        fills(demo)
        assert "after 3 sweeps" in demo.alt()
        box = demo.picture.bounding_box()
        assert box is not None
        demo.picture.click(position={"x": 0.16 * box["width"], "y": 0.2 * box["height"]})
        expect(demo.dropdown("cell")).to_have_value("row 0, column 0")


def fills(demo: Notebook) -> None:
    """Nothing to scroll, nothing cut off, letters of 14 pixels or more, and the picture takes most of the width."""
    demo.page.wait_for_function(
        "() => document.querySelector('img.rlcourse-picture').getBoundingClientRect().width >= 0.8 * innerWidth"
    )
    width, height, across, down, letters = demo.page.evaluate("""() => {
        const root = document.documentElement, parts = document.querySelectorAll(".widget-label, .widget-readout");
        const sizes = [...parts].map((part) => parseFloat(getComputedStyle(part).fontSize));
        return [innerWidth, innerHeight, root.scrollWidth, root.scrollHeight, Math.min(...sizes)];
    }""")
    assert across <= width
    assert down <= height
    assert letters >= 14
    assert demo.blemishes() == []
