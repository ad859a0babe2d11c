"""Say where recorded numbers come from: a hash of the code that a run reaches, versions, the kind of machine."""

import ast
import hashlib
import os
import platform
from collections.abc import Mapping
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from rlcourse import files
from rlcourse.algorithms import AGENTS

_PACKAGES = ("rlcourse", "gymnasium", "mujoco", "numpy", "torch")


def origin(settings: Mapping[str, Any], precision: str, gpu: bool = False) -> dict[str, Any]:
    """All that a run's numbers depend on, except the seed. Nothing in it says whose machine it is."""
    return {
        **settings,
        "code": code_hash(*kind(settings)),
        "versions": {"python": platform.python_version(), **{name: version(name) for name in _PACKAGES}},
        "machine": {
            "system": platform.system(),
            "processor": f"{platform.machine()} {torch.backends.cpu.get_cpu_capability()}",
            "cores": str(os.cpu_count()),
            # Not stored for PyTorch's own choice: the recordings from before there was a choice do not have it either.
            **({} if precision == "highest" else {"products": "oneDNN"}),
            **({"gpu": torch.cuda.get_device_name()} if gpu else {}),
        },
    }


def kind(settings: Mapping[str, Any]) -> tuple[str, bool, bool]:
    """What `code_hash` depends on, of a run or a stored curve: the agent, whether with hindsight, whether offline."""
    return settings["agent"], bool(settings.get("hindsight")), bool(settings.get("dataset"))


@cache
def code_hash(agent: str, hindsight: bool = False, offline: bool = False) -> str:
    """A hash of all the code in the agent's package that a run of `agent`, with hindsight or without, can reach.

    Comments, docstrings, layout and other definitions in the same files do not count: a curve is stale only if the code
    behind it has changed. Each process computes the hash once.
    """
    return digest(reached(agent, hindsight, offline))


def digest(definitions: Mapping[tuple[str, str], str]) -> str:
    """A hash of the definitions that `reached` returns."""
    text = "\n".join(f"{key}: {definitions[key]}" for key in sorted(definitions))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def reached(
    agent: str, hindsight: bool = False, offline: bool = False, root: Path | None = None
) -> dict[tuple[str, str], str]:
    """The definitions that a run can reach, by module and name, each as the text of its syntax tree.

    Args:
        root: a folder that holds another version of the package; None takes the modules that Python would import.
    """
    module, name = AGENTS.get(agent, agent).split(":")
    todo = {(module, name), ("rlcourse.loop", "train"), ("rlcourse.loop", "evaluated"), ("rlcourse.envs", "make")}
    if "num_envs" in ast.unparse(_parse(module, root)[0].get("Config", ast.Pass())):
        todo |= {("rlcourse.loop", "train_vector"), ("rlcourse.envs", "make_vector")}
    if offline:
        todo |= {("rlcourse.loop", "train_offline"), ("rlcourse.loop", "evaluate")}
    if hindsight:
        todo.add(("rlcourse.algorithms.her", "HindsightReplay"))
    found: dict[tuple[str, str], str] = {}
    while todo:
        here = todo.pop()
        definitions, imported = _parse(here[0], root)
        if here in found or here[1] not in definitions:
            continue
        found[here] = _canonical(definitions[here[1]])
        for node in ast.walk(definitions[here[1]]):
            if isinstance(node, ast.Name):
                todo.add(imported.get(node.id, (here[0], node.id)))
            elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in imported:
                todo.add((".".join(imported[node.value.id]), node.attr))  # `nets.mlp` after `from rlcourse import nets`
    return found


def _canonical(node: Any) -> str:
    """A syntax tree as text that is the same in every Python version; `ast.dump` and `ast.unparse` are not."""
    if isinstance(node, ast.AST):
        filled = [(name, value) for name, value in ast.iter_fields(node) if value not in (None, [])]
        return f"{type(node).__name__}({', '.join(f'{name}={_canonical(value)}' for name, value in filled)})"
    return f"[{', '.join(map(_canonical, node))}]" if isinstance(node, list) else repr(node)


@cache
def _parse(module: str, root: Path | None = None) -> tuple[dict[str, ast.stmt], dict[str, tuple[str, str]]]:
    """A module's top-level definitions, without docstrings, and what it imports from the course's own package."""
    file = _file(module, root)
    if file is None:
        return {}, {}
    tree = ast.parse(file.read_text(encoding="utf-8"))
    definitions: dict[str, ast.stmt] = {}
    imported: dict[str, tuple[str, str]] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and ast.get_docstring(node) is not None:
            node.body = node.body[1:] or [ast.Pass()]
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "rlcourse":
            imported |= {alias.asname or alias.name: (node.module, alias.name) for alias in node.names}
    for statement in tree.body:
        if isinstance(statement, ast.FunctionDef | ast.ClassDef):
            definitions[statement.name] = statement
        elif isinstance(statement, ast.Assign | ast.AnnAssign):
            targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
            definitions |= {target.id: statement for target in targets if isinstance(target, ast.Name)}
    return definitions, imported


def _file(module: str, root: Path | None) -> Path | None:
    if root is not None:
        file = root.joinpath(*module.split(".")).with_suffix(".py")
        return file if file.exists() else None
    try:
        spec = find_spec(module)
    except ModuleNotFoundError:  # the name belongs to an attribute of something that is no module
        return None
    return Path(spec.origin) if spec is not None and spec.origin is not None else None


def stale(folder: Path) -> dict[str, str]:
    """The curves in `folder` whose code has changed since they were recorded, each with the command that records it."""
    stored = {path.name: files.read_json(path) for path in sorted(folder.glob("*.json"))}
    return {name: data["command"] for name, data in stored.items() if data["code"] != code_hash(*kind(data))}
