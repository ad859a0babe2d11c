"""An IPython extension: a cell that is run before its turn says which cell to run first, below Python's own message.

`settings/` holds the setting that loads it into every kernel of an environment in which the course is installed.
"""

import ast
import json
import os
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

REMEDY = "Run that cell first, or all of them: menu Run, Run All Above Selected Cell."


def load_ipython_extension(shell: Any) -> None:
    shell.set_custom_exc((NameError,), _answer)


def _answer(shell: Any, kind: type[BaseException], error: NameError, trace: TracebackType, tb_offset: Any) -> None:
    # A subclass, UnboundLocalError, has nothing to do with other cells.
    if kind is NameError and error.name and error.name not in shell.user_ns:
        words = advice(error.name, Path(os.environ.get("JPY_SESSION_NAME", "")), shell.user_ns["In"][-1])
        if words:
            error.add_note(words)
    shell.showtraceback((kind, error, trace), tb_offset=tb_offset)


def advice(name: str, notebook: Path, running: str) -> str:
    """Which cell of the notebook makes this name; empty if none does but the one that is running, or without a file."""
    try:
        # The kernel runs in the notebook's folder, wherever the server's root is.
        cells = json.loads(Path(notebook.name).read_text(encoding="utf-8"))["cells"]
    except (OSError, ValueError, KeyError, TypeError):
        return ""
    heading, number = "", 0
    for cell in cells:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            titles = [line.lstrip("# ") for line in source.splitlines() if line.startswith("#")]
            heading = titles[-1] if titles else heading
        elif cell["cell_type"] == "code":
            number += 1
            if source != running and name in set(_made(source)):
                place = f", under “{heading}”" if heading else ""
                return f"`{name}` is made in code cell {number} of this notebook{place}: {_begin(source)}\n{REMEDY}"
    return ""


def _begin(source: str) -> str:
    """The first line that is no comment."""
    return next((line for line in source.splitlines() if line.strip() and not line.startswith(("#", "%"))), "")


def _made(source: str) -> Iterator[str]:
    """The names that the cell leaves behind: assigned, imported or defined, outside of functions and classes."""
    try:
        todo: list[ast.AST] = [ast.parse(source)]
    except SyntaxError:  # a line of IPython's own, such as %timeit
        return
    while todo:
        match todo.pop():
            case ast.Name(id=name, ctx=ast.Store()):
                yield name
            case ast.alias(name=name, asname=other):
                yield other or name.partition(".")[0]
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                yield name
            case ast.Lambda() | ast.ListComp() | ast.SetComp() | ast.DictComp() | ast.GeneratorExp():
                pass
            case node:
                todo += ast.iter_child_nodes(node)
