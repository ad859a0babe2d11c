"""A show of hands, counted: every question of a lecture on one page, how many chose what, and then the answer.

Questions and answers come from the lecture's stored notebook, so there is no list to keep. The counts of all lectures
stand in one file, `votes.json` where `make demos` was started, and are there again the next time.
"""

import json
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ipywidgets
from markdown_it import MarkdownIt
from markdown_it.rules_inline import StateInline

from rlcourse import files
from rlcourse.widgets.scene import COLORS

LECTURES = Path(__file__).parents[2] / "notebooks"
STORED = "RLCOURSE_VOTES"  # the environment variable that says where the counts are kept
CHOICE = re.compile(r"^- \*\*(\w):\*\* (.*)$", re.MULTILINE)
FORMULA = re.compile(r"\$\$.+?\$\$|\$.+?\$", re.DOTALL)
LARGEST = 500  # seats in a room
HTML = MarkdownIt(options_update={"html": False})


def _formula(state: StateInline, silent: bool) -> bool:
    """A rule of `HTML`: formulas stay as they are, for the page to set."""
    formula = FORMULA.match(state.src, state.pos)
    if formula and not silent:
        state.push("text", "", 0).content = formula[0]
    state.pos = formula.end() if formula else state.pos
    return formula is not None


HTML.inline.ruler.before("escape", "formula", _formula)


@dataclass(frozen=True)
class Question:
    """What a lecture asks; choices by letter, the answer as markdown."""

    text: str
    choices: dict[str, str]
    answer: str


def questions(lecture: Path) -> list[Question]:
    """In the order of the lecture, each with the answer that comes next."""
    asked: list[tuple[str, dict[str, str]]] = []
    found = []
    for cell in json.loads(lecture.read_text(encoding="utf-8"))["cells"]:
        for output in cell.get("outputs", ()):
            text = "".join(output.get("data", {}).get("text/markdown", ""))
            answer = output.get("metadata", {}).get("text/markdown", {}).get("answer")
            if answer is not None:
                found.append(Question(*asked.pop(0), answer))
            elif text.startswith("**Predict:**"):
                question = text[: text.index("- **A:**")].removeprefix("**Predict:** ").rstrip()
                asked.append((question, dict(CHOICE.findall(text))))
    return found


def shares(counts: Sequence[int]) -> list[int]:
    """Per cent of all votes, 0 while there are none."""
    return [round(100 * count / max(1, sum(counts))) for count in counts]


class Poll(ipywidgets.VBox):
    """One question: a number for each choice, a bar beside it, and the answer on demand."""

    def __init__(self, key: str, question: Question, stored: Path) -> None:
        self._key, self._stored = key, stored
        counts = read(stored).get(key, {})
        self.counts = {
            letter: ipywidgets.BoundedIntText(
                value=counts.get(letter, 0), min=0, max=LARGEST, description=letter, layout={"width": "150px"}
            )
            for letter in question.choices
        }
        self._bars = {letter: ipywidgets.HTMLMath() for letter in question.choices}
        self._choices = question.choices
        self.answer = ipywidgets.ToggleButton(description="answer")
        self._answer = ipywidgets.HTMLMath(HTML.renderInline(question.answer))
        self._answer.layout.display = "none"
        rows = [ipywidgets.HBox([self.counts[letter], self._bars[letter]]) for letter in question.choices]
        asked = ipywidgets.HTMLMath(f"<b>{HTML.renderInline(question.text)}</b>")
        super().__init__([asked, *rows, ipywidgets.HBox([self.answer, self._answer])])
        self.layout.margin = "0 0 24px 0"
        for count in self.counts.values():
            count.observe(self._keep, "value")
        self.answer.observe(self._toggle, "value")
        self._draw()

    def _keep(self, _: Any) -> None:
        counted = {letter: count.value for letter, count in self.counts.items()}
        files.write(self._stored, json.dumps(read(self._stored) | {self._key: counted}, indent=1, ensure_ascii=False))
        self._draw()

    def _draw(self) -> None:
        percent = shares([count.value for count in self.counts.values()])
        for (letter, bar), share in zip(self._bars.items(), percent, strict=True):
            look = f"display:inline-block;height:1em;background:{COLORS['blue']};width:{3 * share}px"
            block = f"<span style='{look}'></span>"
            bar.value = f"{block} {share} % &ensp; {HTML.renderInline(self._choices[letter])}"

    def _toggle(self, _: Any) -> None:
        self._answer.layout.display = None if self.answer.value else "none"


def read(stored: Path) -> dict[str, dict[str, int]]:
    """By question, how many chose which letter.

    Raises:
        BrokenFileError: it holds something else.
    """
    return dict(files.read_json(stored)) if stored.exists() else {}


def page(lectures: Path = LECTURES) -> ipywidgets.VBox:
    """All lectures in a menu, and the questions of the one that is chosen."""
    stored = Path(os.environ.get(STORED, "votes.json"))
    asked = {path.stem: found for path in sorted(lectures.glob("*.ipynb")) if (found := questions(path))}
    menu = ipywidgets.Dropdown(options=list(asked), description="lecture", layout={"width": "420px"})
    polls = ipywidgets.VBox()

    def show(_: Any = None) -> None:
        of_lecture = enumerate(asked.get(menu.value, ()), 1)
        polls.children = [Poll(f"{menu.value}: {n}. {each.text}", each, stored) for n, each in of_lecture]

    menu.observe(show, "value")
    show()
    return ipywidgets.VBox([menu, polls])
