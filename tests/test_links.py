"""Every link leads somewhere: from the course's texts, and from a student's copy to what lies in it."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from rlcourse.operations.workcopy import sync

ROOT = Path(__file__).parents[1]
LINK = re.compile(r"\]\(([^)\s]+)(?: \"[^\"]*\")?\)|(?:href|src)=[\"']([^\"']+)")
CODE = re.compile(r"^```.*?^```|`[^`\n]*`", re.DOTALL | re.MULTILINE)
ELSEWHERE = re.compile(r"https?:|mailto:|data:")


def texts(path: Path) -> list[dict[str, Any]]:
    """A file's texts, as a notebook's cells."""
    if path.suffix == ".md":
        return [{"source": path.read_text(encoding="utf-8")}]
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return [cell | {"source": "".join(cell["source"])} for cell in cells if cell["cell_type"] == "markdown"]


def anchors(path: Path) -> set[str]:
    """What can stand behind `#`: the headings, as GitHub writes them; JupyterLab keeps capitals."""
    headings = (words for cell in texts(path) for words in re.findall(r"^#+ (.*)", cell["source"], re.MULTILINE))
    return {re.sub(r"[^\w-]", "", words.strip().replace(" ", "-")).lower() for words in headings}


def dead(root: Path, *folders: str) -> list[str]:
    """The links in these folders, or in all, and in the texts beside them that lead nowhere, or out of `root`."""
    below = (path for folder in folders or (".",) for path in sorted((root / folder).rglob("*.*")))
    files = {path for path in [*root.glob("*.md"), *below] if path.suffix in (".md", ".ipynb")}
    shown = {path.relative_to(root): path for path in sorted(files)}
    return [
        f"{name}: {link}"
        for name, path in shown.items()
        if not any(part.startswith(".") for part in name.parts)
        for link in _dead(path, root.resolve())
    ]


def _dead(path: Path, root: Path) -> Iterator[str]:
    for cell in texts(path):
        for link in (found[1] or found[2] for found in LINK.finditer(CODE.sub("", cell["source"]))):
            file, _, anchor = unquote(link).partition("#")
            target = (path.parent / file).resolve() if file else path
            if ELSEWHERE.match(link):
                continue
            if link.startswith("attachment:"):
                alive = link.removeprefix("attachment:") in cell.get("attachments", {})
            else:
                alive = target.is_relative_to(root) and target.exists()
                alive = alive and (not anchor or anchor.lower() in anchors(target))
            if not alive:
                yield link


def test_no_link_of_the_course_is_dead() -> None:
    assert dead(ROOT, "assets", "notebooks", "rlcourse", "tests") == []


def test_a_students_copy_links_only_into_itself(tmp_path: Path) -> None:
    sync(ROOT / "notebooks", tmp_path / "work")
    assert dead(tmp_path / "work") == []


def test_dead_links_are_found(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "out.md").write_text("# Out there")
    lines = ["[a](b.md)", "[a](a.md#one-two)", "[a](a.md#three)", "`[a](c.md)`", "<a href='d.md'>", "[a](../out.md)"]
    (tmp_path / "in/a.md").write_text("\n".join(["# One *two*", *lines, "[a](https://example.org)", "[a](#one-two)"]))
    attached = "![a](attachment:x.png) ![a](attachment:y.png)"
    cell = {"cell_type": "markdown", "source": attached, "attachments": {"x.png": {}}}
    (tmp_path / "in/n.ipynb").write_text(json.dumps({"cells": [cell]}))
    assert dead(tmp_path / "in") == [
        *("a.md: b.md", "a.md: a.md#three", "a.md: d.md", "a.md: ../out.md"),
        "n.ipynb: attachment:y.png",
    ]
