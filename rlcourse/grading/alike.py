"""Answers that are alike: the same program up to names, comments and layout. A person has to look what that means."""

import ast
from collections.abc import Sequence
from typing import Any

from nbformat import NotebookNode

from rlcourse.grading.homework import question, stub, with_role
from rlcourse.grading.result import Result
from rlcourse.grading.submissions import tree

SHORT = 40  # nodes of a syntax tree; shorter answers are alike by themselves


def groups(results: Sequence[Result], source: NotebookNode) -> list[dict[str, Any]]:
    """For each question, the students whose answers are one program; not what everybody got from the notebook."""
    found = []
    for cell in with_role(source, "answer"):
        name = str(question(cell))
        released = shape(stub(cell.source))
        shapes: dict[str, list[str]] = {}
        for one in results:
            mine = shape(one.answers.get(name, ""))
            if mine is not None and mine != released:
                shapes.setdefault(mine, []).append(one.student)
        found += [{"question": name, "students": students} for students in shapes.values() if len(students) > 1]
    return found


def shape(source: str) -> str | None:
    """A program without its names, comments and docstrings; None if it is none, or too short to tell."""
    program = tree(source)
    if program is None:
        return None
    names: dict[str, str] = {}
    words, nodes = [], 0
    todo: list[Any] = [program]
    while todo:
        node = todo.pop()
        if isinstance(node, list):
            words.append("[")
            todo += reversed(node)
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            continue  # a docstring
        elif isinstance(node, ast.AST):
            nodes += 1
            words.append(type(node).__name__)
            todo += [value for _, value in reversed(list(ast.iter_fields(node)))]
        elif isinstance(node, str):
            words.append(names.setdefault(node, str(len(names))))
        else:
            words.append(repr(node))
    return " ".join(words) if nodes >= SHORT else None
