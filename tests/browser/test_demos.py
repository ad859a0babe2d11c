"""The demos as a lecturer meets them: a server of its own, an index, and pages that fill a projector; no network."""

import re

import pytest
from playwright.sync_api import expect

from rlcourse import demos as pages
from rlcourse.demos import votes
from tests.browser.lab import Lab
from tests.browser.test_every_widget import NAMES, PROJECTORS, fills
from tests.browser.test_q_stepper import place_of

pytestmark = pytest.mark.browser


def test_the_index_shows_them_all(lab: Lab, demos: str) -> None:
    with lab.page(demos) as index:
        links = index.page.get_by_role("link")
        expect(links).to_have_count(len(NAMES) + 1)
        index.page.wait_for_function(
            "() => [...document.images].every((image) => image.complete && image.naturalWidth > 0)"
        )
        expect(index.page.locator("img")).to_have_count(len(NAMES))
        index.errors.clear()  # of pictures that were not there yet
        asked = [question for lecture in pages.questions().values() for question in lecture.values()]
        assert [text.strip() for text in links.all_inner_texts()] == [*asked, pages.VOTES]
        links.nth(NAMES.index("overestimation")).click()
        expect(index.page.get_by_role("heading", name=re.compile("Why is the largest"))).to_be_visible()


def test_a_click_finds_its_cell_on_a_large_screen(lab: Lab, demos: str) -> None:
    with lab.page(f"{demos}/voila/render/q_stepper.ipynb", PROJECTORS[1]) as demo:
        expect(demo.picture).to_be_visible()
        fills(demo)
        assert "after 3 sweeps" in demo.alt()
        demo.page.mouse.click(*place_of(demo, (0, 0)))
        demo.unfold()
        expect(demo.dropdown("cell")).to_have_value("row 0, column 0")


def test_the_rooms_votes_are_counted_and_kept(lab: Lab, demos: str) -> None:
    first = votes.questions(min(votes.LECTURES.glob("00_*.ipynb")))[0]
    for again in (False, True):
        with lab.page(f"{demos}/voila/render/votes.ipynb", PROJECTORS[0]) as room:
            room.page.locator(".widget-dropdown select").select_option(label="00_start_here")
            expect(room.page.get_by_text(first.text)).to_be_visible()
            hands = room.page.locator(".widget-text input")
            if again:
                expect(hands.nth(1)).to_have_value("3")
                return
            hands.nth(0).fill("1")
            hands.nth(1).fill("3")
            hands.nth(1).press("Enter")
            expect(room.page.get_by_text("75 %")).to_be_visible()
            answer = room.page.get_by_text(first.answer.split("** ")[1])
            expect(answer).to_be_hidden()
            room.button("answer").first.click()
            expect(answer).to_be_visible()
