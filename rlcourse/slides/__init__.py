"""`rlcourse slides` makes a deck for a projector from each lecture's notebook; it needs no network.

The cells' slide types say where a slide begins and which cells are left out. Of a code cell, a slide shows the output.
A text cell's metadata may hold more under `rlcourse`, which no reader of the notebook sees:

- `slide` is shown on the slide in place of the cell's text, under its heading;
- `notes` is shown to the speaker, beside this slide and all slides before the next notes; `minutes` is how long they
  take.

What a notebook folds away, an answer or an explanation, is shown to the speaker, too.
"""

import re
from base64 import b64decode
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from html import escape
from importlib.resources import as_file, files
from pathlib import Path
from shutil import copy, copytree
from typing import Any

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_markdown_cell, new_notebook, new_raw_cell

from rlcourse.operations.publish import lectures
from rlcourse.operations.saving import AT_REST
from rlcourse.rendering import moving_picture

FOLDED = re.compile(r"<details><summary>(.*?)</summary>(.*?)</details>", re.DOTALL)
HEADING = re.compile(r"#+ (.*)\n*")
CODE = re.compile(r"```python\n(.*?)\n```", re.DOTALL)
BEFORE_YOU_START = "**You need**"  # what follows it in a title cell does not help people who are in the room
WRAPPED = 84  # columns of code that stand side by side on a slide
PICTURE, LISTING = '<div class="picture">', '<div class="code"'


@dataclass
class Slide:
    """What a slide shows at once, what the speaker uncovers step by step, and what the speaker says."""

    kind: str  # "slide", or "subslide" for one more on the same matter
    shown: list[NotebookNode]
    notes: list[str]
    fragments: list[NotebookNode] = field(default_factory=list)

    def is_taken(self) -> bool:
        """Whether it holds a picture or code already: a second one needs another slide."""
        return any(mark in part.source for part in self.shown + self.fragments for mark in (PICTURE, LISTING))


def build(paths: Iterable[Path], out: Path) -> list[Path]:
    """Write a deck for each notebook into a folder, and beside the decks the files that they need.

    Raises:
        FileNotFoundError: a notebook that does not exist.
        ModuleNotFoundError: the packages of the extra `slides` are not there.
    """
    from nbconvert.exporters import SlidesExporter

    options = {"exclude_anchor_links": True, "reveal_url_prefix": "reveal", "reveal_theme": "white"}
    exporter = SlidesExporter(extra_template_basedirs=[str(Path(__file__).parent)], template_name="template", **options)
    decks = {out / f"{path.stem}.html": deck(nbformat.read(path, as_version=4)) for path in lectures(paths)}
    with as_file(files("pyreveal") / "revealjs/dist") as reveal:
        copytree(reveal, out / "reveal/dist", dirs_exist_ok=True)
    with as_file(files("mathjax") / "static/mathjax/es5/tex-svg.js") as mathjax:
        copy(mathjax, out)
    for path, notebook in decks.items():
        path.write_text(exporter.from_notebook_node(notebook)[0], encoding="utf-8")
    return list(decks)


def minutes(notebook: NotebookNode) -> int:
    """How long the lecture takes, as its notes say."""
    return sum(_marks(cell).get("minutes", 0) for cell in notebook.cells)


def deck(notebook: NotebookNode) -> NotebookNode:
    """The slides as a notebook of text cells, in the order and with the slide types that nbconvert needs."""
    cells = []
    for slide in slides(notebook):
        first, *others = slide.shown
        notes = new_markdown_cell("\n\n".join(slide.notes))
        kinds = [slide.kind, *["-"] * len(others), "notes", *["fragment"] * len(slide.fragments)]
        for kind, cell in zip(kinds, [first, *others, notes, *slide.fragments], strict=True):
            cell.metadata.slideshow = {"slide_type": kind}
            cells.append(cell)
    title = HEADING.match(notebook.cells[0].source)
    return new_notebook(cells=cells, metadata={"title": title[1]} if title else {})


def slides(notebook: NotebookNode) -> list[Slide]:
    """A lecture's slides. A slide without a heading of its own has the heading of the slide before it.

    Raises:
        ValueError: it is no lecture.
    """
    made: list[Slide] = []
    heading = comment = ""
    for cell in notebook.cells:
        kind = cell.metadata.get("slideshow", {}).get("slide_type")
        if kind is None:
            raise ValueError(f"cell {cell.id} has no slide type: slides are made of lectures only")
        if kind == "skip":
            continue
        if cell.cell_type == "code":
            parts = list(_parts(cell))
            # In the notes an answer stands in the open already.
            outputs = [output for output in cell.outputs if kind != "notes" or not _answer(output)]
            texts = (output.get("data", {}).get("text/markdown", "") for output in outputs)
            folded = [each for text in texts for each in _folded(text)]
        else:
            text, said, folded = _read(cell)
            comment = said or comment
            parts = [(new_markdown_cell(text), False)]
        if kind == "notes":
            made[-1].notes += [*(part.source for part, _ in parts), *folded]
            continue
        for part, waits in parts:
            if kind in ("slide", "subslide") or (PICTURE in part.source and made[-1].is_taken()):
                made.append(Slide("slide" if kind == "slide" else "subslide", [], [comment]))
                if own := HEADING.match(part.source):
                    heading = f"## {own[1]}"
                else:
                    made[-1].shown.append(new_markdown_cell(heading))
                kind = "-"  # the rest of the cell stays on this slide
            (made[-1].fragments if waits or kind == "fragment" else made[-1].shown).append(part)
        made[-1].notes += folded
    return made


def _read(cell: NotebookNode) -> tuple[str, str, list[str]]:
    """A text cell's text for the slide, the speaker's notes on it, and what the notebook folds away."""
    marks, text = _marks(cell), cell.source.partition(BEFORE_YOU_START)[0]
    folded = _folded(text)
    text = FOLDED.sub("", text).strip()
    if "slide" in marks:
        heading = HEADING.match(text)
        text = (heading[0] if heading else "") + marks["slide"]
    said = f"**{marks['minutes']} min.** {marks['notes']}" if "notes" in marks else ""
    return re.sub("^##+ ", "## ", text), said, folded


def _folded(text: str) -> list[str]:
    return [f"**{summary}**\n\n{body.strip()}" for summary, body in FOLDED.findall(text)]


def _marks(cell: NotebookNode) -> dict[str, Any]:
    return cell.metadata.get("rlcourse", {})


def _parts(cell: NotebookNode) -> Iterator[tuple[NotebookNode, bool]]:
    """A code cell's outputs as parts of a slide, each with whether it is hidden until the speaker uncovers it."""
    for output in cell.outputs:
        if output == AT_REST:
            continue
        data, metadata = output.get("data", {}), output.get("metadata", {})
        text, html = data.get("text/markdown", ""), data.get("text/html", "")
        image = next((kind for kind in ("image/png", "image/gif") if kind in data), None)
        if output.output_type == "stream":
            columns = max(map(len, output.text.splitlines()))
            yield new_raw_cell(f'<pre style="--columns:{columns}">{escape(output.text.rstrip())}</pre>'), False
        elif image:
            alt, source = metadata.get(image, metadata)["alt"], f"data:{image};base64,{data[image].strip()}"
            still = f'<img src="{source}" alt="{escape(alt)}">'
            shown = moving_picture(b64decode(data[image]), alt) if image == "image/gif" else still
            yield new_raw_cell(f"{PICTURE}{shown}</div>"), False
        elif "<video" in html:
            yield new_raw_cell(f"{PICTURE}{html}</div>"), False
        elif html:
            table = FOLDED.sub(r"\2", html)
            yield new_raw_cell(f'<div class="diff" style="--lines:{html.count("<tr")}">{table}</div>'), False
        elif answer := _answer(output):
            yield new_markdown_cell(_boxed("answer", answer)), True
        elif code := "\n\n".join(CODE.findall(text)):
            lines = sum(1 + len(line) // WRAPPED for line in code.splitlines())
            yield new_markdown_cell(_boxed(f'code" style="--lines:{lines}', f"```python\n{code}\n```")), False
        elif text.startswith("**Predict:**"):
            yield new_markdown_cell(_boxed("question", text)), False
        elif text := FOLDED.sub("", text).strip():
            yield new_markdown_cell(text), False


def _answer(output: NotebookNode) -> str:
    """The answer to a question, if that is what an output holds."""
    return str(output.get("metadata", {}).get("text/markdown", {}).get("answer", ""))


def _boxed(name: str, text: str) -> str:
    return f'<div class="{name}">\n\n{text}\n\n</div>'
