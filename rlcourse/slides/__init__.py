"""`rlcourse slides`: each lecture as a deck for a projector, made from the notebook alone; needs no network.

The slide types of the cells say where a slide begins and what is left out; of a code cell, a slide shows the output.
A text cell's metadata say the rest under `rlcourse`, and no reader of the notebook sees them:

- `slide` stands on the slide in place of the cell's text, under its heading;
- `notes` is what the speaker sees, beside this slide and those up to the next notes, and `minutes` how long that takes.

What a notebook folds away, an answer or an explanation, is the speaker's to say as well.
"""

import re
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

FOLDED = re.compile(r"<details><summary>(.*?)</summary>(.*?)</details>", re.DOTALL)
HEADING = re.compile(r"#+ (.*)\n*")
CODE = re.compile(r"```python\n(.*?)\n```", re.DOTALL)
BEFORE_YOU_START = "**You need**"  # from here on, a title is of no use to those who sit in the room already
WRAPPED = 84  # columns of code that stand side by side on a slide
PICTURE, LISTING = '<div class="picture">', '<div class="code"'


@dataclass
class Slide:
    """What is there at once, what the speaker uncovers, and what the speaker says."""

    kind: str  # "slide", or "subslide" for one more on the same matter
    shown: list[NotebookNode]
    notes: list[str]
    fragments: list[NotebookNode] = field(default_factory=list)

    def is_taken(self) -> bool:
        """A picture shares its slide with words only."""
        return any(mark in part.source for part in self.shown + self.fragments for mark in (PICTURE, LISTING))


def build(paths: Iterable[Path], out: Path) -> list[Path]:
    """Write a deck for each notebook into a folder, and beside the decks what they run on.

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
    """How long the lecture takes, says the instructor."""
    return sum(_marks(cell).get("minutes", 0) for cell in notebook.cells)


def deck(notebook: NotebookNode) -> NotebookNode:
    """The slides as a notebook of text alone, in the order and with the slide types that nbconvert wants."""
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
    """A lecture's slides. Without a heading of its own, a slide carries on under the last one."""
    made: list[Slide] = []
    heading = comment = ""
    for cell in notebook.cells:
        kind = cell.metadata.slideshow.slide_type
        if kind == "skip":
            continue
        if cell.cell_type == "code":
            parts = list(_parts(cell))
            outputs = (output.get("data", {}).get("text/markdown", "") for output in cell.outputs)
            folded = [each for text in outputs for each in _folded(text)]
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
    """A text cell's words on the slide, what the speaker says to it, and what is folded away."""
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
    """A code cell's outputs as pieces of a slide, and whether a piece waits until the speaker uncovers it."""
    for output in cell.outputs:
        data, metadata = output.get("data", {}), output.get("metadata", {})
        text, html = data.get("text/markdown", ""), data.get("text/html", "")
        image = next((kind for kind in ("image/png", "image/gif") if kind in data), None)
        if output.output_type == "stream":
            columns = max(map(len, output.text.splitlines()))
            yield new_raw_cell(f'<pre style="--columns:{columns}">{escape(output.text.rstrip())}</pre>'), False
        elif image:
            alt = escape(metadata.get(image, metadata)["alt"])
            source = f"data:{image};base64,{data[image].strip()}"
            yield new_raw_cell(f'{PICTURE}<img src="{source}" alt="{alt}"></div>'), False
        elif "<video" in html:
            yield new_raw_cell(f"{PICTURE}{html}</div>"), False
        elif html:
            yield new_raw_cell(f'<div class="diff" style="--lines:{html.count("<tr")}">{html}</div>'), False
        elif "answer" in metadata.get("text/markdown", {}):
            yield new_markdown_cell(_boxed("answer", metadata["text/markdown"]["answer"])), True
        elif code := "\n\n".join(CODE.findall(text)):
            lines = sum(1 + len(line) // WRAPPED for line in code.splitlines())
            yield new_markdown_cell(_boxed(f'code" style="--lines:{lines}', f"```python\n{code}\n```")), False
        elif text.startswith("**Predict:**"):
            yield new_markdown_cell(_boxed("question", text)), False
        elif text := FOLDED.sub("", text).strip():
            yield new_markdown_cell(text), False


def _boxed(name: str, text: str) -> str:
    return f'<div class="{name}">\n\n{text}\n\n</div>'
