"""The demos as a lecturer meets them: a server of its own, an index, and pages that fill a projector; no network."""

import re

import pytest
from playwright.sync_api import expect

from rlcourse import demos as pages
from tests.browser.lab import Lab
from tests.browser.test_every_widget import NAMES, PROJECTORS, fills

pytestmark = pytest.mark.browser


def test_the_index_shows_them_all(lab: Lab, demos: str) -> None:
    with lab.page(demos) as index:
        links = index.page.get_by_role("link")
        expect(links).to_have_count(len(NAMES))
        index.page.wait_for_function(
            "() => [...document.images].every((image) => image.complete && image.naturalWidth > 0)"
        )
        expect(index.page.locator("img")).to_have_count(len(NAMES))
        index.errors.clear()  # of pictures that were not there yet
        asked = [question for lecture in pages.questions().values() for question in lecture.values()]
        assert [text.strip() for text in links.all_inner_texts()] == asked
        links.nth(NAMES.index("overestimation")).click()
        expect(index.page.get_by_role("heading", name=re.compile("Why is the largest"))).to_be_visible()


def test_a_click_finds_its_cell_on_a_large_screen(lab: Lab, demos: str) -> None:
    with lab.page(f"{demos}/voila/render/q_stepper.ipynb", PROJECTORS[1]) as demo:
        expect(demo.picture).to_be_visible()
        fills(demo)
        assert "after 3 sweeps" in demo.alt()
        box = demo.picture.bounding_box()
        assert box is not None
        demo.picture.click(position={"x": 0.16 * box["width"], "y": 0.2 * box["height"]})
        expect(demo.dropdown("cell")).to_have_value("row 0, column 0")
