"""`rlcourse demo` serves every widget as a page that fills a projector, and an index of them; it needs no network.

One more page counts the room's votes on the lectures' questions, see `votes`.
"""

import os
import sys
from collections.abc import Mapping
from functools import cache
from html import escape
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from shutil import copytree
from tempfile import TemporaryDirectory
from threading import Thread
from types import ModuleType

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from rlcourse import widgets
from rlcourse.demos import votes
from rlcourse.operations.publish import KERNELSPEC

CARD = """<li><a href="voila/render/{name}.ipynb"><img alt="" src="voila/files/{name}.png"
  onerror="setTimeout(() => {{ this.src = this.src }}, 500)"><span>{question}</span></a></li>"""
VOTES = "What does the room predict?"
TEMPLATES = Path(__file__).parent / "templates"


@cache
def questions() -> Mapping[str, Mapping[str, str]]:
    """Each widget's question, by lecture and module. Every widget's module declares both (`LECTURE`, `QUESTION`)."""

    def place(module: ModuleType) -> int:
        number = module.LECTURE.split()[0]
        return int(number) if number.isdigit() else sys.maxsize  # widgets that fit any lecture come last

    modules = (import_module(found.name) for found in iter_modules(widgets.__path__, "rlcourse.widgets."))
    asked: dict[str, dict[str, str]] = {}
    for module in sorted((module for module in modules if hasattr(module, "widget")), key=place):
        asked.setdefault(module.LECTURE, {})[module.__name__.rpartition(".")[2]] = module.QUESTION
    return asked


def serve(port: int, browser: bool) -> None:
    """Write the pages to a temporary folder and serve them on this machine only, until interrupted."""
    from voila.app import Voila

    os.environ.setdefault(votes.STORED, str(Path("votes.json").resolve()))  # the pages run in a temporary folder
    with TemporaryDirectory(prefix="rlcourse-demos-") as folder:
        pages = write(Path(folder))
        # Drawing the pictures takes some seconds; the index is shown before they are there.
        Thread(target=draw_thumbnails, args=[pages], daemon=True).start()
        # Voila looks for templates where Jupyter keeps its data.
        os.environ["JUPYTER_PATH"] = os.pathsep.join(filter(None, [folder, os.environ.get("JUPYTER_PATH")]))
        options = ["--template=rlcourse", "--classic-tree", "--strip_sources=True", f"--port={port}"]
        options.append("--Voila.kernel_websocket_connection_class=rlcourse.operations.nodelay.Connection")
        Voila.launch_instance([str(pages), *options, *([] if browser else ["--no-browser"])])


def write(folder: Path) -> Path:
    """Write what Voila needs into `folder`: a notebook for each widget, and our templates with the index.

    Returns:
        the folder of the notebooks.
    """
    pages, templates = folder / "pages", folder / "voila/templates/rlcourse"
    pages.mkdir()
    copytree(TEMPLATES, templates)
    index = []
    for lecture, asked in questions().items():
        for name, question in asked.items():
            _page(pages / f"{name}.ipynb", question, f"from rlcourse.widgets import {name}\n{name}.widget()")
        cards = "\n".join(CARD.format(name=name, question=escape(text)) for name, text in asked.items())
        index.append(f"<h2>{escape(lecture)}</h2>\n<ul>\n{cards}\n</ul>")
    _page(pages / "votes.ipynb", VOTES, "from rlcourse.demos import votes\nvotes.page()")
    index.append(f'<h2>Every lecture</h2>\n<p><a href="voila/render/votes.ipynb"><span>{VOTES}</span></a></p>')
    tree = (templates / "tree.html").read_text(encoding="utf-8").replace("<!-- cards -->", "\n".join(index))
    (templates / "tree.html").write_text(tree, encoding="utf-8")
    return pages


def _page(path: Path, title: str, source: str) -> None:
    cells = [new_markdown_cell(f"# {title}"), new_code_cell(source)]
    nbformat.write(new_notebook(cells=cells, metadata={"kernelspec": KERNELSPEC, "title": title}), path)


def draw_thumbnails(folder: Path) -> None:
    """Write a picture of each widget as it opens. Each file appears whole; until then the index asks for it again."""
    for name in (name for asked in questions().values() for name in asked):
        part = folder / f"{name}.part"
        part.write_bytes(import_module(f"rlcourse.widgets.{name}").widget().still.png)
        part.replace(folder / f"{name}.png")
