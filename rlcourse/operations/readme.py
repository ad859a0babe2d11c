"""`rlcourse readme` writes the tables of the README, from what lectures, workshops and homework say about themselves.

A notebook says it in its metadata, under `rlcourse`; `TABLES` lists what a table needs. A table stands between
`<!-- name -->` and `<!-- /name -->`, and the command replaces what is between them. It also writes a lecture's run
time, `seconds` in its metadata, into the lecture's first cell, and the command that each recorded curve holds into the
README of the assets.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode

from rlcourse import files
from rlcourse.operations.publish import sources_hash

RUN_TIME = re.compile(r"(?<=\*\*Run time\*\* ).*?(?= on two CPU cores)")
UNSAID = "(say what it shows)"  # in the row of a new curve


class UndeclaredError(ValueError):
    """A notebook's metadata lack what a table needs; the message names the notebook and the keys."""


@dataclass(frozen=True)
class Table:
    """A table with a row for each notebook in `sources`, in the order of their numbers; it links to the one in `links`.

    Attributes:
        columns: for each column after the link, its key in the metadata and its heading.
    """

    sources: str
    links: str
    kind: str
    columns: Mapping[str, str]


TABLES: Mapping[str, Table] = {
    "lectures": Table("notebooks", "notebooks", "lecture", {"shows": "you will see", "seconds": "run all"}),
    "workshops": Table("notebooks/instructor/workshops", "notebooks/workshops", "workshop", {"write": "you write"}),
    "homework": Table("notebooks/instructor", "notebooks/homework", "homework", {"write": "you write"}),
}


def declared(path: Path, *needed: str) -> dict[str, Any]:
    """What a notebook says about itself.

    Raises:
        UndeclaredError: it does not say what is needed.
    """
    about = dict(nbformat.read(path, as_version=4).metadata.get("rlcourse", {}))
    if missing := [key for key in needed if key not in about]:
        raise UndeclaredError(f"{path}: declare {', '.join(missing)} in the notebook's metadata, under rlcourse")
    return about


def rows(root: Path, table: Table) -> list[str]:
    """The lines of a table; there are none if there are no notebooks."""
    keys = ("number", "title", *table.columns)
    found = [(path.name, declared(path, *keys)) for path in (root / table.sources).glob("*.ipynb")]
    if not found:
        return []
    head = f"| | {' | '.join([table.kind, *table.columns.values()])} |"
    lines = [head, "|" + (2 + len(table.columns)) * "---|"]
    for name, about in sorted(found, key=lambda each: int(each[1]["number"])):
        cells = [clock(about[key]) if key == "seconds" else about[key] for key in table.columns]
        link = f"[{about['title']}]({table.links}/{name})"
        lines.append(f"| {' | '.join([str(about['number']), link, *cells])} |")
    return lines


def clock(seconds: float) -> str:
    """Minutes and seconds: 99 is 1:39."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02}"


def with_tables(text: str, root: Path) -> str:
    """The text, with each table in it written anew."""
    for name, table in TABLES.items():
        before, start, rest = text.partition(f"<!-- {name} -->\n")
        _, end, after = rest.partition(f"<!-- /{name} -->")
        if end:
            text = before + start + "".join(f"{line}\n" for line in rows(root, table)) + end + after
    return text


def with_commands(text: str, curves: Path) -> str:
    """The text, with each curve's command at the end of its row; a curve that has no row gets one."""
    for path in sorted(curves.glob("*.json")):
        stored = files.read_json(path)
        start, command = f"| `curves/{path.name}` | ", f"`{stored['command']}` |\n"
        row = re.compile(f"^({re.escape(start)}.* \\| )`.*\n", re.MULTILINE)
        if found := row.search(text):
            text = text[: found.end(1)] + command + text[found.end() :]
        else:
            before, head, after = text.rpartition("\n| `curves/")
            last, end, rest = after.partition("\n")
            text = f"{before}{head}{last}{end}{start}{UNSAID}, {len(stored['seeds'])} seeds | {command}{rest}"
    return text


def with_run_time(notebook: NotebookNode) -> NotebookNode:
    """The lecture, with the declared run time in its first cell. Its outputs do not depend on that and stay current."""
    about, header = notebook.metadata["rlcourse"], notebook.cells[0]
    current = about.get("sources") == sources_hash(notebook)
    header.source = RUN_TIME.sub(clock(about["seconds"]), header.source)
    if current:
        about["sources"] = sources_hash(notebook)
    return notebook


def stale(root: Path) -> dict[Path, str]:
    """The new text of each README and lecture that differs from what the notebooks and the curves say.

    Raises:
        UndeclaredError: the metadata do not say what a table needs.
    """
    course, assets = root / "README.md", root / "assets/README.md"
    texts = {course: with_tables(course.read_text(encoding="utf-8"), root)}
    texts[assets] = with_commands(assets.read_text(encoding="utf-8"), root / "assets/curves")
    for path in (root / "notebooks").glob("*.ipynb"):
        texts[path] = nbformat.writes(with_run_time(nbformat.read(path, as_version=4))) + "\n"
    return {path: text for path, text in texts.items() if path.read_text(encoding="utf-8") != text}


def write(root: Path) -> list[Path]:
    """Write the stale files anew, and return their paths."""
    new = stale(root)
    for path, text in new.items():
        files.write(path, text)
    return list(new)
