"""Decks without a browser: what goes onto a slide, what waits, and what only the speaker sees."""

from pathlib import Path

import nbformat
import pytest
from IPython.display import display
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from rlcourse import lessons, slides
from rlcourse.operations.publish import lectures, normalise
from tests.screen import Screen

_, *LECTURES = lectures([Path(__file__).parents[1] / "notebooks"])  # the first is no lecture but where to start


@pytest.fixture(params=LECTURES, ids=lambda path: path.stem, scope="module")
def lecture(request: pytest.FixtureRequest) -> NotebookNode:
    return nbformat.read(request.param, as_version=4)


def text(source: str, kind: str = "slide", **marks: str | int) -> NotebookNode:
    return new_markdown_cell(source, metadata={"slideshow": {"slide_type": kind}, "rlcourse": marks})


def ran(kind: str, *outputs: NotebookNode) -> NotebookNode:
    return new_code_cell("code()", outputs=list(outputs), metadata={"slideshow": {"slide_type": kind}})


def shown(mime: str, data: str, **metadata: str) -> NotebookNode:
    return new_output("display_data", {mime: data}, metadata={mime: metadata})


STREAM = new_output("stream", name="stdout", text=" 1 < 2\n")
PICTURE = shown("image/png", "cGljdHVyZQ==", alt='a "picture" of 3')
ANSWER = shown("text/markdown", "*No prediction yet*", answer="**three.** Because.")
QUESTION = shown("text/markdown", "**Predict:** Which?\n\n- two\n- three")


def made(*cells: NotebookNode) -> list[slides.Slide]:
    return slides.slides(new_notebook(cells=list(cells)))


def sources(cells: list[NotebookNode]) -> list[str]:
    return [cell.source for cell in cells]


# --- markdown


def test_metadata_stand_in_for_the_text_and_others_are_for_the_speaker() -> None:
    (slide,) = made(text("### Title\n\nLong.", slide="Short $x$.", minutes=4, notes="Ask."))
    assert sources(slide.shown) == ["## Title\n\nShort $x$."]
    assert slide.notes == ["**4 min.** Ask."]


def test_without_them_the_text_itself_is_shown() -> None:
    (slide,) = made(text("## Title\n\nText."))
    assert sources(slide.shown) == ["## Title\n\nText."]


def test_what_is_folded_away_is_the_speakers() -> None:
    folded = "<details><summary>Answer</summary>\n\nNo.\n\n</details>"
    (slide,) = made(text(f"## Title\n\nIs it? {folded}"), text(f"**Try.** More.\n\n{folded}", "notes"))
    assert sources(slide.shown) == ["## Title\n\nIs it?"]
    assert slide.notes == ["", "**Answer**\n\nNo.", "**Try.** More.", "**Answer**\n\nNo."]


def test_text_may_wait_or_carry_on() -> None:
    (slide,) = made(text("## Title"), text("At once.", "-"), text("Later.", "fragment"))
    assert sources(slide.shown) == ["## Title", "At once."]
    assert sources(slide.fragments) == ["Later."]


def test_a_title_says_nothing_about_reading_at_home() -> None:
    (slide,) = made(text("# 1 · Title\n\nAfter this.\n\n**You need** lecture 0.", minutes=1, notes="Hello."))
    assert sources(slide.shown) == ["# 1 · Title\n\nAfter this."]
    assert slide.notes == ["**1 min.** Hello."]


def test_minutes_are_summed_over_the_speakers_notes_only() -> None:
    cells = [text("a", minutes=4, notes="a"), text("b", slide="(9 min)"), text("c", minutes=5, notes="c")]
    assert slides.minutes(new_notebook(cells=cells)) == 9


# --- outputs


def test_a_question_then_its_answer_when_the_speaker_goes_on() -> None:
    intro = text("## Title\n\nText.", minutes=2, notes="Vote.")
    first, second = made(intro, ran("subslide", QUESTION), ran("fragment", STREAM, ANSWER))
    assert "Predict" not in str(first.shown)
    assert sources(second.shown)[0] == "## Title"
    assert "- three" in sources(second.shown)[1]
    assert ["three.**" in source for source in sources(second.fragments)] == [False, True]
    assert second.notes == first.notes == ["**2 min.** Vote."]


def test_a_question_for_which_there_may_be_no_time_is_the_speakers_and_so_is_its_answer() -> None:
    folded = shown("text/markdown", "<details><summary>Open</summary>\n\n**three.**\n\n</details>", answer="**three.**")
    (slide,) = made(text("## Title"), ran("notes", QUESTION), ran("notes", folded))
    assert sources(slide.shown) == ["## Title"]
    assert slide.fragments == []
    assert [note.count("three") for note in slide.notes] == [0, 1, 1]  # among the choices, and the answer


def test_an_answer_waits_even_where_its_picture_does_not() -> None:
    *_, last = made(text("## Title"), ran("subslide", PICTURE, ANSWER))
    assert ["<img" in source for source in sources(last.shown)] == [False, True]
    assert ["three.**" in source for source in sources(last.fragments)] == [True]


def test_a_picture_a_slide() -> None:
    listing = shown("text/markdown", "Docs.\n\n```python\ndef f(): ...\n```")
    each = made(text("## Title"), ran("fragment", PICTURE, STREAM, PICTURE), ran("fragment", listing, PICTURE))
    assert [str(slide).count("<img") for slide in each] == [1, 1, 1]
    assert all(slide.shown[0].source == "## Title" for slide in each)


def test_pictures_keep_their_alternative_text_and_output_is_not_markup() -> None:
    (slide,) = made(text("## Title"), ran("fragment", PICTURE, STREAM))
    picture, stream = sources(slide.fragments)
    assert 'alt="a &quot;picture&quot; of 3"' in picture
    assert "> 1 &lt; 2<" in stream


def test_of_code_only_the_listing_is_shown_not_its_documentation() -> None:
    listing = shown("text/markdown", "Docs.\n\n```python\ndef f(): ...\n```\n<sub>f.py</sub>")
    (slide,) = made(text("## Title"), ran("fragment", listing))
    assert "def f" in str(slide.fragments)
    assert "code()" not in str(slide)
    assert "Docs" not in str(slide)


def test_what_only_the_notebook_folds_away_is_shown_to_the_room() -> None:
    """Two sources side by side that a workshop asks for."""
    html = "<details><summary>Write it yourself first</summary>\n\n<table><tr><td>a</td></tr></table>\n\n</details>"
    (only,) = made(text("# Diff"), ran("-", shown("text/html", html)))
    (diff,) = (each for each in sources(only.shown) if 'class="diff"' in each)
    assert "<table><tr><td>a</td></tr></table>" in diff
    assert "<details>" not in diff
    assert "--lines:1" in diff


def test_findings_are_shown_and_what_they_fold_away_is_the_speakers() -> None:
    table, folded = "| a |\n| --- |", "<details><summary>Say</summary>\n\n+3 (+1 to +5)\n\n</details>"
    finding = shown("text/markdown", f"{table}\n\n{folded}")
    (slide,) = made(text("## Title"), ran("-", finding))
    assert sources(slide.shown) == ["## Title", table]
    assert slide.notes == ["", "**Say**\n\n+3 (+1 to +5)"]
    (slide,) = made(text("## Title"), ran("notes", finding))
    assert sources(slide.shown) == ["## Title"]
    assert slide.notes == ["", table, "**Say**\n\n+3 (+1 to +5)"]


def test_what_is_skipped_is_nowhere() -> None:
    (slide,) = made(text("## Title"), ran("skip", STREAM), text("", "skip", minutes=3, notes="no"))
    assert "1 &lt; 2" not in str(slide)
    assert slide.notes == [""]


def test_only_lectures_have_slides() -> None:
    with pytest.raises(ValueError, match="has no slide type: slides are made of lectures only"):
        slides.slides(new_notebook(cells=[new_markdown_cell("no lecture")]))


def test_reveal_leaves_its_answer_where_slides_find_it(
    screen: Screen, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    question = lessons.predict("q", "Which?", ["two", "three"])
    display(question, question.reveal("three", "Because."))
    asked, _, answer = (new_output("display_data", data, metadata=about) for data, about in screen.now().values())
    cells = [text("## Title"), ran("-", asked), ran("-", answer)]
    notebook = new_notebook(cells=cells)
    normalise(notebook)
    (slide,) = slides.slides(notebook)
    assert "**Predict:** Which?" in slide.shown[1].source
    assert slide.shown[1].source.startswith('<div class="question">')
    (waits,) = slide.fragments
    assert waits.source == '<div class="answer">\n\n**B: three.** Because.\n\n</div>'


# --- the lectures


def test_a_lecture_fills_a_session_of_ninety_minutes_and_leaves_time_for_questions(lecture: NotebookNode) -> None:
    assert 75 <= slides.minutes(lecture) <= 85


def test_every_slide_has_a_heading_and_something_to_say(lecture: NotebookNode) -> None:
    for slide in slides.slides(lecture):
        assert slide.shown[0].source.startswith(("# ", "## "))
        assert slide.notes[0].startswith("**")


def test_every_question_is_asked_and_answered(lecture: NotebookNode) -> None:
    code = [cell for cell in lecture.cells if cell.cell_type == "code"]
    asked = sum(cell.source.count("lessons.predict(") for cell in code)
    deck = "\n".join(cell.source for cell in slides.deck(lecture).cells)
    assert deck.count("**Predict:**") == deck.count('<div class="answer">') == asked
