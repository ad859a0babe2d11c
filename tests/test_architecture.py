"""Who may import whom inside the package, read from the sources; DESIGN: the arrows point one way."""

import ast
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

import pytest

import rlcourse

PACKAGE = Path(rlcourse.__file__).parent

# The four rooms, see the README. Arrows between rooms point down this list; inside a room what ALLOWED says.
ROOMS: Mapping[str, set[str]] = {
    "core": {
        "config",
        "planning",
        "files",
        "checkpoints",
        "nets",
        "buffers",
        "returns",
        "inputs",
        "spaces",
        "envs",
        "two_ways",
        "multi_goal",
        "snapshots",
        "loop",
        "algorithms",
    },
    "evidence": {"suited", "cuda", "runs", "curves", "provenance", "datasets", "goals_reached"},
    "teaching": {"findings", "offline", "first_steps", "probes", "lessons", "pictures", "rendering", "widgets"},
    # Workshops check as homework does, so they stand above its checks.
    "course": {"grading", "slides", "demos", "operations", "workshop", "__main__"},
}

# What a module of each kind may import from the package. `widgets/*` may also use each other's drawing.
FOUNDATION = {
    *("envs", "two_ways", "multi_goal", "snapshots", "planning", "nets", "buffers", "returns", "config"),
    *("inputs", "spaces", "checkpoints", "files"),
}
EVIDENCE = {"suited", "runs", "curves", "provenance", "datasets", "goals_reached"}
ALLOWED: Mapping[str, set[str]] = {
    **{name: set() for name in ("two_ways", "multi_goal", "inputs", "spaces", "config", "files")},
    **{name: set() for name in ("snapshots", "rendering")},
    "envs": {"two_ways", "multi_goal", "inputs", "spaces"},
    **{name: {"inputs"} for name in ("nets", "returns", "buffers")},
    "probes": {"envs"},
    "first_steps": {"planning"},
    "checkpoints": {"files", "snapshots"},
    "loop": {"buffers"},
    "planning": {"config"},
    "algorithms": {"inputs", "buffers", "nets", "returns", "config", "planning", "checkpoints"},
    "algorithms.td7": {"buffers", "nets", "config", "checkpoints", "algorithms.prioritisation"},  # a loss, no agent
    "algorithms.imitation": {
        *("buffers", "nets", "config", "checkpoints"),
        *("algorithms.cloning", "algorithms.autoregressive", "algorithms.diffusion"),  # all but their agents
    },
    "suited": {"algorithms"},
    "cuda": {"algorithms", "buffers"},
    "provenance": {"algorithms", "files"},
    "datasets": {"buffers", "loop"},
    "runs": {"algorithms", *FOUNDATION, "loop", "provenance", "datasets", "suited", "cuda"},
    "offline": {"algorithms", *EVIDENCE},
    "curves": {"algorithms", "files", "provenance", "runs"},
    "goals_reached": {"checkpoints", "curves", "envs", "files", "loop", "multi_goal", "runs"},
    "widgets": {"widgets", "algorithms", *FOUNDATION, "loop", *EVIDENCE},
    "findings": {"findings", "envs", "widgets", *EVIDENCE},
    "pictures": {"widgets", "algorithms", *FOUNDATION, "loop", *EVIDENCE},
    "lessons": {"widgets", "algorithms", *FOUNDATION, "loop", *EVIDENCE, "pictures", "rendering"},
    "workshop": {
        *("workshop", "algorithms", *FOUNDATION, "loop", *EVIDENCE),
        *("pictures", "lessons", "probes", "grading.checks"),
    },
    "grading": {"files", "grading", "operations.publish"},
    "demos": {"demos", "files", "widgets", "operations.publish"},
    "slides": {"operations.publish", "operations.saving", "rendering"},
    "operations": {
        "algorithms",
        "checkpoints",
        "config",
        "envs",
        "files",
        "loop",
        "rendering",
        *EVIDENCE,
        "operations",
        "widgets",
        "workshop",
    },
    "operations.cli": {"config", "operations", "grading", "demos", "slides", "workshop"},
    "__main__": {"operations.cli"},
    "__init__": set(),
}


@cache
def package_imports(source: str) -> tuple[str, ...]:
    """The package's modules that a source imports, anywhere in it, as dotted names below the package."""
    return tuple(_imports(source))


def _imports(source: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (
                alias.name.removeprefix("rlcourse.") for alias in node.names if alias.name.startswith("rlcourse.")
            )
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "write imports absolutely: from rlcourse.nets import mlp"
            if node.module == "rlcourse":
                yield from (alias.name for alias in node.names)
            elif node.module is not None and node.module.startswith("rlcourse."):
                yield node.module.removeprefix("rlcourse.")


def forbidden(sources: Mapping[str, str]) -> list[str]:
    """Every forbidden arrow, as "importer → imported"; sources by dotted name below the package."""
    arrows = []
    for importer, source in sources.items():
        allowed = ALLOWED.get(importer, ALLOWED.get(importer.split(".")[0], set()))
        arrows += [
            f"{importer} → {imported}"
            for imported in package_imports(source)
            if not {imported, imported.split(".")[0], ".".join(imported.split(".")[:2])} & allowed
        ]
    return arrows


def sources() -> dict[str, str]:
    files = PACKAGE.rglob("*.py")
    return {
        ".".join(file.relative_to(PACKAGE).with_suffix("").parts): file.read_text(encoding="utf-8") for file in files
    }


def test_the_package_keeps_to_its_arrows() -> None:
    assert forbidden(sources()) == []


LINES = {"core": 4_800, "lecture 10": 1_150, "further": 1_000, "package": 26_850}
BEHIND = {"files", "checkpoints", "inputs", "spaces"}  # in the core, but no lecture shows them
LECTURE_10 = {  # nobody reads them before
    "two_ways",
    *(f"algorithms.{page}" for page in ("imitation", "autoregressive", "diffusion", "iql", "cql", "edac")),
}
# What a lecture adds to its own pages: nobody needs them to go on.
FURTHER = {
    "multi_goal",
    *(f"algorithms.{page}" for page in ("rainbow", "off_policy_ac", "compatible", "mixture_sac", "soft_q_learning")),
}


def test_the_package_stays_small() -> None:
    """Lines as `wc -l` counts them. What students read is the core; a file that can go, goes."""
    lines = {name: source.count("\n") for name, source in sources().items()}
    late, further = (sum(lines[name] for name in names) for names in (LECTURE_10, FURTHER))
    core = sum(n for name, n in lines.items() if name.split(".")[0] in ROOMS["core"] - BEHIND)
    assert core - late - further < LINES["core"]
    assert late < LINES["lecture 10"]
    assert further < LINES["further"]
    assert sum(lines.values()) < LINES["package"]


def test_every_module_has_its_rule() -> None:
    assert {name.split(".")[0] for name in sources()} <= set(ALLOWED)


def test_every_module_is_in_a_room_and_no_arrow_points_back_up() -> None:
    room_of = {module: number for number, room in enumerate(ROOMS.values()) for module in room}
    arrows = [
        (importer.split(".")[0], imported.split(".")[0])
        for importer, source in sources().items()
        for imported in package_imports(source)
    ]
    assert {name.split(".")[0] for name in sources()} - {"__init__"} == set(room_of)
    assert [arrow for arrow in arrows if room_of[arrow[0]] < room_of[arrow[1]]] == []


@pytest.mark.parametrize(
    ("importer", "line"),
    [
        ("algorithms.td3", "from rlcourse.algorithms.ddpg import DDPG"),  # no agent stands on an agent
        ("algorithms.td3", "from rlcourse.algorithms import ddpg"),
        ("algorithms.q_iteration", "from rlcourse.envs import GridWorld"),
        ("algorithms.q_iteration", "import rlcourse.loop"),
        ("algorithms.q_iteration", "def late():\n    from rlcourse import lessons"),
        ("envs", "from rlcourse.widgets import grid"),
        ("loop", "from rlcourse.algorithms import q_iteration"),
        ("nets", "from rlcourse import lessons"),
        ("runs", "from rlcourse.grading import grade"),
        ("provenance", "from rlcourse import runs"),
        ("slides", "from rlcourse.operations import cli"),
        ("unheard_of", "from rlcourse import config"),
    ],
)
def test_a_forbidden_arrow_is_found(importer: str, line: str) -> None:
    assert len(forbidden({**sources(), importer: line})) == 1


def test_relative_imports_are_found() -> None:
    with pytest.raises(AssertionError, match="write imports absolutely"):
        forbidden({"algorithms.td3": "from .ddpg import DDPG"})


def test_no_agent_inherits_from_an_agent() -> None:
    for name, source in sources().items():
        if name.startswith("algorithms."):
            for node in ast.walk(ast.parse(source)):
                if isinstance(node, ast.ClassDef):
                    bases = {ast.unparse(base) for base in node.bases}
                    # a memory is no agent, and what can be saved need not be one
                    allowed = {"Protocol", "nn.Module", "torch.nn.Module", "ReplayBuffer", "Stateful"}
                    assert bases <= allowed, f"{name}.{node.name} inherits {bases}"
