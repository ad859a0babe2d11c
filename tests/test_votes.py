"""The room's votes: questions from stored lectures, counts that are kept."""

import json
from pathlib import Path

import ipywidgets
import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output

from rlcourse.demos import votes


@pytest.fixture
def lectures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(votes.STORED, str(tmp_path / "votes.json"))
    folder = tmp_path / "lectures"
    folder.mkdir()
    for number in (1, 2):
        outputs = []
        for name in "xy":
            asked = f"**Predict:** Which {name}{number}?\n\n- **A:** less < 1\n- **B:** *more*"
            outputs += [
                new_output("display_data", {"text/markdown": asked}),
                new_output(
                    "display_data",
                    {"text/markdown": "folded"},
                    metadata={"text/markdown": {"answer": f"**B: more.** By {name}."}},
                ),
            ]
        nbformat.write(new_notebook(cells=[new_code_cell(outputs=outputs)]), folder / f"0{number}_lecture.ipynb")
    return folder


def polls(page: ipywidgets.VBox) -> list[votes.Poll]:
    return list(page.children[1].children)


def test_questions_come_with_their_answers(lectures: Path) -> None:
    first, second = votes.questions(lectures / "01_lecture.ipynb")
    assert first == votes.Question("Which x1?", {"A": "less < 1", "B": "*more*"}, "**B: more.** By x.")
    assert second.answer == "**B: more.** By y."


def test_every_question_of_the_lectures_can_be_voted_on() -> None:
    for path in votes.LECTURES.glob("*.ipynb"):
        asked = sum("".join(c["source"]).count("lessons.predict(") for c in json.loads(path.read_text())["cells"])
        found = votes.questions(path)
        assert len(found) == asked
        for question in found:
            letter, _, words = question.answer.removeprefix("**").partition(": ")
            assert words.startswith(question.choices[letter])


def test_a_question_may_quote_a_formula(lectures: Path) -> None:
    asked = "**Predict:** *Spot* it:\n\n$$Q^*_1 < Q^*_2 \\,$$\n\nWhere?\n\n- **A:** $a^*$ or $b^*$\n- **B:** below"
    cell = new_code_cell(
        outputs=[
            new_output("display_data", {"text/markdown": asked}),
            new_output(
                "display_data", {"text/markdown": "folded"}, metadata={"text/markdown": {"answer": "**B: below.**"}}
            ),
        ]
    )
    nbformat.write(new_notebook(cells=[cell]), lectures / "00_start.ipynb")
    (poll,) = polls(votes.page(lectures))
    title = poll.children[0].value
    assert "<em>Spot</em> it:" in title
    assert r"$$Q^*_1 &lt; Q^*_2 \,$$" in title
    assert title.endswith("Where?</b>")
    assert "$a^*$ or $b^*$" in poll._bars["A"].value


def test_votes_are_counted_kept_and_answered(lectures: Path) -> None:
    page = votes.page(lectures)
    first, second = polls(page)
    first.counts["A"].value, first.counts["B"].value = 1, 3
    assert ["75 %" in bar.value for bar in first._bars.values()] == [False, True]
    assert "less &lt; 1" in first._bars["A"].value
    assert "<em>more</em>" in first._bars["B"].value
    assert first._answer.layout.display == "none"
    first.answer.value = True
    assert first._answer.layout.display is None
    assert first._answer.value == "<strong>B: more.</strong> By x."
    second.counts["A"].value = 2
    page.children[0].value = "02_lecture"
    assert polls(page)[0].counts["A"].value == 0  # another lecture's
    polls(page)[0].counts["A"].value = 5

    first, second = polls(votes.page(lectures))  # another day
    assert (first.counts["A"].value, first.counts["B"].value, second.counts["A"].value) == (1, 3, 2)
    assert votes.read(lectures.parent / "votes.json")["02_lecture: 1. Which x2?"] == {"A": 5, "B": 0}


def test_shares_of_no_votes_are_0() -> None:
    assert votes.shares([0, 0]) == [0, 0]
    assert votes.shares([1, 2]) == [33, 67]
