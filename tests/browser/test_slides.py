"""The decks as they are projected: opened from a folder, at 1280×720, without a network."""

from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from playwright.sync_api import Page, expect

from rlcourse import slides
from rlcourse.operations.publish import lectures
from tests.browser.lab import Lab, Notebook

pytestmark = pytest.mark.browser
_, *LECTURES = lectures([Path(__file__).parents[2] / "notebooks"])  # the first is where to start

# Every slide with everything uncovered: what is wrong with it, in words. Formulas are measured as boxes, by their text
# size; the letters within are pictures.
BLEMISHES = """() => {
    const found = [], scale = Reveal.getScale(), numbers = (color) => color.match(/[0-9.]+/g).map(Number);
    const light = (color) => color.slice(0, 3).map((part) => part / 255)
        .map((part) => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4)
        .reduce((sum, part, i) => sum + part * [0.2126, 0.7152, 0.0722][i], 0.05);
    const paper = (part) => {
        const [red, green, blue, alpha = 1] = numbers(getComputedStyle(part).backgroundColor);
        const below = alpha < 1 && part.parentElement ? paper(part.parentElement) : [255, 255, 255];
        return [red, green, blue].map((own, i) => alpha * own + (1 - alpha) * below[i]);
    };
    const contrast = (part) => {  // WCAG 2.2, 1.4.3
        const [one, other] = [light(numbers(getComputedStyle(part).color)), light(paper(part))];
        return Math.max(one, other) / Math.min(one, other);
    };
    Reveal.getSlides().forEach((slide, index) => {
        const {h, v} = Reveal.getIndices(slide);
        Reveal.slide(h, v, 99);
        const say = (what) => found.push(`slide ${index + 1}: ${what}`);
        if (slide.scrollHeight > slide.clientHeight) say(`${slide.scrollHeight} high`);
        if (slide.scrollWidth > slide.clientWidth) say(`${slide.scrollWidth} wide`);
        if (!slide.querySelector("aside.notes")?.innerText.trim()) say("no notes");
        for (const part of slide.querySelectorAll("*")) {
            if (part.closest("aside, svg, mjx-assistive-mml")) continue;
            const box = part.getBoundingClientRect(), own = [...part.childNodes].filter((node) => node.nodeType === 3);
            const words = own.map((node) => node.data).join("").trim();
            if (box.right > innerWidth || box.bottom > innerHeight) say(`${part.tagName} leaves the screen`);
            if (part.matches(".picture") && box.height < 240) say(`picture ${box.height} high`);
            if (part.matches("img") && !(part.complete && part.naturalWidth)) say("picture not there");
            const letters = parseFloat(getComputedStyle(part).fontSize) * scale;
            if ((words || part.matches("mjx-container")) && letters < 14) say(`letters of ${letters}: ${words}`);
            if (words && contrast(part) < 4.5) say(`contrast of ${contrast(part).toFixed(1)}: ${words}`);
            if (words.includes("$") && !part.closest("pre, code")) say(`formula not set: ${words}`);
            if (part.matches("mjx-merror, [data-mjx-error]")) say(`formula wrong: ${part.outerHTML}`);
        }
    });
    return found;
}"""


# Every page of a print: what is wrong with it, in words.
MISPRINTS = """() => [...document.querySelectorAll(".pdf-page")].flatMap((page, index) => {
    const found = [], edge = page.getBoundingClientRect();
    const say = (what) => found.push(`page ${index + 1}: ${what}`);
    if (edge.height !== 719) say(`${edge.height} high`);  // a pixel less than a sheet, else another one would begin
    for (const part of page.querySelectorAll("section *")) {
        if (part.closest("aside, svg, mjx-assistive-mml")) continue;
        const box = part.getBoundingClientRect();
        if (box.right > edge.right || box.bottom > edge.bottom) say(`${part.tagName} leaves the page`);
        if (part.matches(".picture img, .picture video") && box.height < 240) say(`picture ${box.height} high`);
    }
    return found;
})"""


@pytest.fixture(scope="module")
def decks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {deck.stem: deck for deck in slides.build(LECTURES, tmp_path_factory.mktemp("slides"))}


@pytest.fixture
def name() -> str:
    return LECTURES[0].stem


@pytest.fixture
def deck(lab: Lab, decks: dict[str, Path], name: str) -> Iterator[Page]:
    """A deck that is ready; it may ask for nothing besides its own folder."""
    page, elsewhere, path = lab.browser.new_page(viewport={"width": 1280, "height": 720}), list[str](), decks[name]
    shown = Notebook(page, path.parent)
    page.on("console", lambda said: shown.errors.append(said.text) if said.type == "error" else None)
    page.on("pageerror", lambda error: shown.errors.append(str(error)))
    own = (path.parent.as_uri(), "data:", "blob:", "about:")
    page.on("request", lambda asked: None if asked.url.startswith(own) else elsewhere.append(asked.url[:200]))
    page.goto(path.as_uri())
    page.wait_for_function("() => window.Reveal?.isReady()")
    lab.notebooks.append(shown)
    yield page
    lab.notebooks.remove(shown)
    page.close()
    assert elsewhere == []


@pytest.mark.parametrize("name", [path.stem for path in LECTURES])
def test_every_slide_fits_and_can_be_read(deck: Page) -> None:
    assert deck.evaluate("() => Reveal.getTotalSlides()") >= 20
    assert deck.evaluate(BLEMISHES) == []
    assert deck.locator("mjx-container").count() >= 5


def test_what_does_not_fit_is_found(deck: Page) -> None:
    deck.evaluate("""() => {
        const [first, second, third] = Reveal.getSlides();
        first.insertAdjacentHTML("beforeend", "<p style='height: 900px'>$x$</p>");
        second.insertAdjacentHTML("beforeend", "<p style='font-size: 13px'>small</p><p style='width: 2000px'>wide</p>");
        third.querySelector("aside").remove();
        third.insertAdjacentHTML("beforeend", "<p style='color: #CC79A7'>pale</p>");
    }""")
    found = "\n".join(deck.evaluate(BLEMISHES))
    for what in (
        "slide 1: P leaves",
        "formula not set: $x$",
        "letters of 13: small",
        "slide 2: P leaves",
        "slide 3: no notes",
        "slide 3: contrast of 3.1: pale",
    ):
        assert what in found


def test_space_goes_on_and_the_answer_waits(deck: Page) -> None:
    answer = deck.locator("section.present section.present .answer:not(aside *)")  # the notes have answers, too
    while not answer.count():
        deck.keyboard.press("Space")
    expect(answer).to_be_hidden()
    deck.keyboard.press("Space")
    expect(answer).to_be_visible()


def test_the_speakers_window_shows_the_notes(deck: Page) -> None:
    with deck.expect_popup() as popup:
        deck.keyboard.press("s")
    for slide in slides.slides(nbformat.read(LECTURES[0], as_version=4))[:3]:
        said = slide.notes[0].rpartition("** ")[2][:40]
        popup.value.wait_for_function("(said) => document.body.innerText.includes(said)", arg=said)
        deck.keyboard.press("Space")
    popup.value.close()


@pytest.mark.parametrize("name", [LECTURES[1].stem])
def test_every_page_of_a_print_shows_what_its_slide_shows(deck: Page) -> None:
    pictures = deck.locator(".picture").count()
    slides = deck.evaluate("() => Reveal.getTotalSlides()")
    deck.goto(f"{deck.url.partition('#')[0]}?print-pdf")
    deck.wait_for_function("(slides) => document.querySelectorAll('.slides > .pdf-page').length >= slides", arg=slides)
    assert deck.locator(".picture").count() >= pictures >= 10
    deck.emulate_media(media="print")
    assert deck.evaluate(MISPRINTS) == []


FILM = "picture:has(img[src^='data:image/gif']) img, video"


@pytest.mark.parametrize("name", [LECTURES[5].stem])  # lecture 6 shows a film of either kind
def test_films_stand_still_for_whoever_asked_for_less_motion(deck: Page) -> None:
    moves = "(films) => films.map((film) => film.localName === 'video' ? film.autoplay : film.currentSrc.slice(11, 14))"
    assert set(deck.locator(FILM).evaluate_all(moves)) == {"gif", True}
    deck.emulate_media(reduced_motion="reduce")
    deck.reload()
    deck.wait_for_function("() => window.Reveal?.isReady()")
    assert set(deck.locator(FILM).evaluate_all(moves)) == {"png", False}
