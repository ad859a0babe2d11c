"""A lecture is more than a notebook: for each folder, what a page, a widget, a lecture, a workshop or a homework lacks.

Everything is found, nothing is listed here. A message says what to write and where; `CONTRIBUTING.md` says in which
order. Only files are read, so that this takes seconds.
"""

import ast
import json
import re
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from rlcourse.operations import readme

ROOT = Path(__file__).parents[1]
LECTURE = {"number", "title", "needs", "seconds", "shows"}
EXERCISES = {"number", "title", "write"}  # of a workshop and of a homework


# --- reading


@cache
def read(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.exists() else ""


def about(path: Path) -> dict[str, Any]:
    """What a notebook declares."""
    return dict(json.loads(read(path))["metadata"].get("rlcourse", {}))


def cells(path: Path, kind: str) -> list[str]:
    return ["".join(cell["source"]) for cell in json.loads(read(path))["cells"] if cell["cell_type"] == kind]


def top_level(path: Path) -> dict[str, Any]:
    """What a module defines by name: the value of a constant that is written out, else its syntax."""
    found: dict[str, Any] = {}
    for node in ast.parse(read(path)).body:
        match node:
            case ast.FunctionDef() | ast.ClassDef():
                found[node.name] = node
            case ast.Assign(targets=[ast.Name(name)], value=value) | ast.AnnAssign(target=ast.Name(name), value=value):
                found[name] = value.value if isinstance(value, ast.Constant) else node
    return found


def imported(text: str, package: str) -> set[str]:
    """The modules of `package` that a source imports."""
    lines = re.findall(rf"from {package} import ([\w, ]+|\([^)]*\))", text)
    names = re.findall(rf"(?:from|import) {package}\.(\w+)", text)
    return {*names, *(part.split(" as ")[0].strip(" ()\n") for line in lines for part in line.split(","))}


@cache
def in_tests(root: Path, package: str) -> set[str]:
    return {name for path in root.glob("tests/**/*.py") for name in imported(read(path), package)}


START = "00_start_here.ipynb"  # no lecture: it has no homework and no session, and a test of its own


def lectures(root: Path) -> dict[int, Path]:
    """By the number that the file's name begins with."""
    paths = (path for path in root.glob("notebooks/*.ipynb") if path.name != START)
    return {int(found[0]): path for path in paths if (found := re.match(r"\d+", path.name))}


@cache
def shown(root: Path, package: str) -> set[str]:
    code = (source for path in lectures(root).values() for source in cells(path, "code"))
    return {name for source in code for name in imported(source, package)}


def undeclared(path: Path, wanted: set[str]) -> Iterator[str]:
    for key in sorted(wanted - set(about(path))):
        yield f"declare {key} in its metadata, under rlcourse"


# --- what each thing needs


def agents(path: Path) -> list[str]:
    """The classes that `rlcourse train` could train: they act, observe and learn, made from sizes, config and seed."""
    found = []
    for name, node in top_level(path).items():
        methods = {each.name: each for each in getattr(node, "body", ()) if isinstance(each, ast.FunctionDef)}
        if {"__init__", "act", "observe", "learn"} <= methods.keys():
            parameters = [each.arg for each in methods["__init__"].args.args]
            found += [name] if parameters[3:5] == ["config", "seed"] else []
    return found


def pages(root: Path) -> dict[Path, list[str]]:
    registered = read(root / "rlcourse/algorithms/__init__.py")
    shared = read(root / "tests/test_off_policy.py") + read(root / "tests/test_on_policy.py")
    recipes = "".join(read(root / "rlcourse/workshop/ladder.py").split())
    found = {}
    for path in root.glob("rlcourse/algorithms/[!_]*.py"):
        page, lacks = path.stem, list[str]()
        for agent in agents(path):
            if f"rlcourse.algorithms.{page}:{agent}" not in registered:
                lacks.append(f"name {agent} in AGENTS, in rlcourse/algorithms/__init__.py")
            if "Config" not in top_level(path):
                lacks.append("define its Config")
            test = top_level(root / f"tests/test_{page}.py")
            if f"{page}.{agent}:" not in shared and "test_every_setting_changes_what_is_learned" not in test:
                lacks.append("test that every field of its Config is used: SMALL of tests/test_off_policy.py, say")
            if f'"{page}":Recipe("{agent}"' not in recipes:
                lacks.append("say in RECIPES, in rlcourse/workshop/ladder.py, how it enters the ladder of probes")
        if page not in in_tests(root, "rlcourse.algorithms"):
            lacks.append(f"test its equations in tests/test_{page}.py")
        if page not in shown(root, "rlcourse.algorithms") | imported_within(root):
            lacks.append("show it in a lecture")
        found[path] = lacks
    return found


@cache
def imported_within(root: Path) -> set[str]:
    """Pages that other code of the package uses."""
    sources = root.glob("rlcourse/**/*.py")
    return {name for path in sources for name in imported(read(path), "rlcourse.algorithms")}


def widgets(root: Path) -> dict[Path, list[str]]:
    titles = {f"{about(path).get('number')} {about(path).get('title')}" for path in lectures(root).values()}
    found = {}
    for path in root.glob("rlcourse/widgets/[!_]*.py"):
        defined, name, lacks = top_level(path), path.stem, list[str]()
        if "widget" not in defined:
            continue  # what several widgets share
        for wanted in ("QUESTION", "LECTURE"):
            if not isinstance(defined.get(wanted), str):
                lacks.append(f"declare {wanted} in it, a string")
        lacks += [f"define {wanted} in it" for wanted in ("PRESETS", "compute", "describe") if wanted not in defined]
        lecture = defined.get("LECTURE")
        if isinstance(lecture, str) and lecture[0].isdigit():
            if lecture not in titles:
                lacks.append(f"LECTURE = {lecture!r} is no lecture: choose one of {', '.join(sorted(titles))}")
            elif name not in shown(root, "rlcourse.widgets"):
                lacks.append(f"show it in lecture {lecture}")
        if name not in in_tests(root, "rlcourse.widgets"):
            lacks.append("test what the text claims about its pictures, on compute")
        found[path] = lacks
    return found


def lecture_folder(root: Path) -> dict[Path, list[str]]:
    plan = read(root / "notebooks/instructor/sessions.md")
    asked = {top_level(path).get("LECTURE") for path in root.glob("rlcourse/widgets/[!_]*.py")}
    found = {}
    for path in root.glob("notebooks/*.ipynb"):
        if path.name == START:
            continue
        said, header, lacks = about(path), (cells(path, "markdown") or [""])[0], [*undeclared(path, LECTURE)]
        number = said.get("number", int((re.match(r"\d+", path.name) or ["0"])[0]))
        title = said.get("title", "TITLE")
        if lectures(root).get(number) != path:
            lacks.append(f"number = {number}: its name must begin with it, in two digits")
        if header.split("\n")[0] != f"# {number} · {title}":
            lacks.append(f"begin its first cell with # {number} · {title}")
        needed = re.search(r"\*\*You need\*\*.*?(?=\*\*Run time)", header, re.DOTALL)
        names = {int(digits) for digits in re.findall(r"\d+", needed[0])} if needed else set()
        if not set(said.get("needs", [])) <= names:
            lacks.append(f"name lectures {said['needs']} after **You need** in its first cell")
        if readme.RUN_TIME.search(header) is None:
            lacks.append("state **Run time** … on two CPU cores in its first cell; `rlcourse readme` fills it in")
        if f"## {number} · {title}\n" not in plan:
            lacks.append(f"plan its session, ## {number} · {title}, in notebooks/instructor/sessions.md")
        if f"{number} {title}" not in asked:
            lacks.append(f'write a widget for it, LECTURE = "{number} {title}"')
        homework = f"hw{number:02}"
        if not (root / f"notebooks/instructor/{homework}.ipynb").exists():
            lacks.append(f"write its homework, notebooks/instructor/{homework}.ipynb")
        found[path] = lacks
    return found


def homework_folder(root: Path) -> dict[Path, list[str]]:
    guide = read(root / "notebooks/instructor/README.md")
    found = {}
    for path in root.glob("notebooks/instructor/hw*.ipynb"):
        name, lacks = path.stem, [*undeclared(path, EXERCISES)]
        for needed, remedy in {
            f"notebooks/instructor/{name}_answers.py": "right and wrong answers, and what is said of each",
            f"notebooks/instructor/{name}_runs.py": "what records its runs to diagnose",
            f"rlcourse/widgets/recorded/{name}.json": f"made by python notebooks/instructor/{name}_runs.py",
            f"notebooks/homework/{name}.ipynb": "made by make homework",
            f"notebooks/homework/.release/{name}.ipynb": "made by make homework",
        }.items():
            if not (root / needed).exists():
                lacks.append(f"there is no {needed}: {remedy}")
        if about(path).get("number", 0) not in {0, *lectures(root)}:
            lacks.append(f"number = {about(path).get('number')}: there is no such lecture")
        marks = [cell["metadata"].get("rlcourse", {}) for cell in json.loads(read(path))["cells"]]
        for question in sorted({mark["question"] for mark in marks if mark.get("role") == "answer"} - {"diagnosis"}):
            if f"| {name} `{question}` |" not in guide:
                lacks.append(f"say in notebooks/instructor/README.md what in the package is like `{question}`")
        found[path] = lacks
    return found


def workshop_folder(root: Path) -> dict[Path, list[str]]:
    found = {}
    for path in root.glob("notebooks/instructor/workshops/*.ipynb"):
        lacks = [*undeclared(path, EXERCISES)]
        if about(path).get("number", 0) not in {0, *lectures(root)}:
            lacks.append(f"number = {about(path).get('number')}: there is no such lecture")
        if not (root / f"notebooks/workshops/{path.name}").exists():
            lacks.append(f"there is no notebooks/workshops/{path.name}: made by make homework")
        found[path] = lacks
    return found


def assets_folder(root: Path) -> dict[Path, list[str]]:
    rows = {row.split("`")[1]: row for row in read(root / "assets/README.md").splitlines() if row.startswith("| `")}
    found = {}
    for path in [*root.glob("assets/curves/*"), *root.glob("assets/videos/*")]:
        row = rows.get(path.relative_to(root / "assets").as_posix(), readme.UNSAID)
        found[path] = ["say what it shows, in its row of assets/README.md"] if readme.UNSAID in row else []
    return found


FOLDERS: dict[str, Callable[[Path], dict[Path, list[str]]]] = {
    "algorithms": pages,
    "widgets": widgets,
    "lectures": lecture_folder,
    "homework": homework_folder,
    "workshops": workshop_folder,
    "assets": assets_folder,
}


def lacking(root: Path, folder: str) -> list[str]:
    """Messages like "notebooks/10_next.ipynb: declare title in its metadata, under rlcourse"."""
    found = FOLDERS[folder](root)
    return [f"{path.relative_to(root)}: {message}" for path in sorted(found) for message in found[path]]


# --- the course


@pytest.mark.parametrize("folder", FOLDERS)
def test_nothing_is_lacking(folder: str) -> None:
    said = lacking(ROOT, folder)
    assert said == [], "\n".join(["", *said])


def test_the_readme_and_the_stated_run_times_are_as_declared() -> None:
    stale = [str(path.relative_to(ROOT)) for path in readme.stale(ROOT)]
    assert stale == [], "run `.venv/bin/rlcourse readme`"


def test_the_hours_that_the_readme_tells_add_up() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    each = 1.5 + 2 + 2.5  # "an hour or two", "two hours", "two to three hours"
    everything = len(list((ROOT / "notebooks/workshops").glob("w??.ipynb"))) * each
    assert f"The whole course is about {5 * round(everything / 5)} hours" in text
    core = [int(hours) for hours in re.findall(r"^\| .* \| (\d+) \| .* \|$", text, re.MULTILINE)]
    assert f"The **core path** is about {sum(core)} hours" in text.replace("\n", " ")


# --- proof: an incomplete lecture


def notebook(path: Path, *sources: str, **declared: Any) -> None:
    """Write a notebook whose first cell is text and whose others are code."""
    path.parent.mkdir(parents=True, exist_ok=True)
    cells = [new_markdown_cell(sources[0]), *map(new_code_cell, sources[1:])]
    nbformat.write(new_notebook(cells=cells, metadata={"rlcourse": declared}), path)


AGENT = """class Next:
    def __init__(self, obs_size, action_space, config, seed): ...
    def act(self, obs, explore=True): ...
    def observe(self, transition): ...
    def learn(self): ...
"""
COMPLETE = {"number": 10, "title": "Next", "needs": [2], "seconds": 60, "shows": "what comes next"}
HEADER = "# 10 · Next\n\n**You need** lecture 2. **Run time** 1:00 on two CPU cores."


def write(root: Path, texts: dict[str, str]) -> None:
    for name, text in texts.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


def test_an_incomplete_lecture_is_told_what_it_lacks(tmp_path: Path) -> None:
    """A tenth lecture: a notebook, a page, a widget, a workshop and a homework, each with nothing in it."""
    notebook(tmp_path / "notebooks/10_next.ipynb", "# Next")
    notebook(tmp_path / "notebooks/instructor/hw10.ipynb", "# Homework")
    notebook(tmp_path / "notebooks/instructor/workshops/w10.ipynb", "# Workshop")
    write(tmp_path, {"rlcourse/algorithms/following.py": AGENT, "rlcourse/widgets/steps.py": "def widget(): ..."})
    write(tmp_path, {"assets/curves/10_next.json": "{}"})
    said = {folder: lacking(tmp_path, folder) for folder in FOLDERS}
    metadata = "in its metadata, under rlcourse"
    assert said == {
        "algorithms": [
            f"rlcourse/algorithms/following.py: {message}"
            for message in (
                "name Next in AGENTS, in rlcourse/algorithms/__init__.py",
                "define its Config",
                "test that every field of its Config is used: SMALL of tests/test_off_policy.py, say",
                "say in RECIPES, in rlcourse/workshop/ladder.py, how it enters the ladder of probes",
                "test its equations in tests/test_following.py",
                "show it in a lecture",
            )
        ],
        "widgets": [
            f"rlcourse/widgets/steps.py: {message}"
            for message in (
                "declare QUESTION in it, a string",
                "declare LECTURE in it, a string",
                "define PRESETS in it",
                "define compute in it",
                "define describe in it",
                "test what the text claims about its pictures, on compute",
            )
        ],
        "lectures": [
            f"notebooks/10_next.ipynb: {message}"
            for message in (
                *(f"declare {key} {metadata}" for key in ("needs", "number", "seconds", "shows", "title")),
                "begin its first cell with # 10 · TITLE",
                "state **Run time** … on two CPU cores in its first cell; `rlcourse readme` fills it in",
                "plan its session, ## 10 · TITLE, in notebooks/instructor/sessions.md",
                'write a widget for it, LECTURE = "10 TITLE"',
            )
        ],
        "homework": [
            f"notebooks/instructor/hw10.ipynb: {message}"
            for message in (
                *(f"declare {key} {metadata}" for key in ("number", "title", "write")),
                "there is no notebooks/instructor/hw10_answers.py: right and wrong answers, and what is said of each",
                "there is no notebooks/instructor/hw10_runs.py: what records its runs to diagnose",
                "there is no rlcourse/widgets/recorded/hw10.json: made by python notebooks/instructor/hw10_runs.py",
                "there is no notebooks/homework/hw10.ipynb: made by make homework",
                "there is no notebooks/homework/.release/hw10.ipynb: made by make homework",
            )
        ],
        "workshops": [
            f"notebooks/instructor/workshops/w10.ipynb: {message}"
            for message in (
                *(f"declare {key} {metadata}" for key in ("number", "title", "write")),
                "there is no notebooks/workshops/w10.ipynb: made by make homework",
            )
        ],
        "assets": ["assets/curves/10_next.json: say what it shows, in its row of assets/README.md"],
    }


def test_what_is_declared_must_agree(tmp_path: Path) -> None:
    notebook(tmp_path / "notebooks/10_next.ipynb", "# 9 · Last\n\n**You need** lecture 1. **Run time** …", **COMPLETE)
    notebook(tmp_path / "notebooks/instructor/hw11.ipynb", "# Homework", number=11, title="Other", write="a loop")
    source = 'LECTURE = "10 Other"\nQUESTION = "Why?"\nPRESETS = {}\n'
    widget = f"{source}def compute(): ...\ndef describe(): ...\ndef widget(): ...\n"
    write(
        tmp_path,
        {"rlcourse/widgets/steps.py": widget, "tests/test_steps.py": "from rlcourse.widgets import steps"},
    )
    assert lacking(tmp_path, "widgets") == [
        "rlcourse/widgets/steps.py: LECTURE = '10 Other' is no lecture: choose one of 10 Next"
    ]
    said = lacking(tmp_path, "lectures")
    assert "notebooks/10_next.ipynb: begin its first cell with # 10 · Next" in said
    assert "notebooks/10_next.ipynb: name lectures [2] after **You need** in its first cell" in said
    assert "notebooks/10_next.ipynb: write its homework, notebooks/instructor/hw10.ipynb" in said
    assert "notebooks/instructor/hw11.ipynb: number = 11: there is no such lecture" in lacking(tmp_path, "homework")


def test_a_complete_lecture_lacks_nothing_and_appears_in_the_readme(tmp_path: Path) -> None:
    imports = "from rlcourse.algorithms import following\nfrom rlcourse.widgets import steps"
    notebook(tmp_path / "notebooks/10_next.ipynb", HEADER.replace("1:00", "…"), imports, **COMPLETE)
    exercises = {"number": 10, "title": "Next", "write": "a loop"}
    for name in (
        "instructor/hw10",
        "homework/hw10",
        "homework/.release/hw10",
        "instructor/workshops/w10",
        "workshops/w10",
    ):
        notebook(tmp_path / f"notebooks/{name}.ipynb", "# Next", **exercises)
    widget = 'LECTURE = "10 Next"\nQUESTION = "Why?"\nPRESETS = {}\ndef compute(): ...\ndef describe(): ...\n'
    write(
        tmp_path,
        {
            "rlcourse/algorithms/__init__.py": 'AGENTS = {"next": "rlcourse.algorithms.following:Next"}',
            "rlcourse/algorithms/following.py": f"class Config: ...\n{AGENT}",
            "rlcourse/widgets/steps.py": f"{widget}def widget(): ...\n",
            "rlcourse/widgets/recorded/hw10.json": "{}",
            "notebooks/instructor/hw10_answers.py": "",
            "notebooks/instructor/hw10_runs.py": "",
            "notebooks/instructor/sessions.md": "## 10 · Next\n",
            "tests/test_off_policy.py": "SMALL = {\n    following.Next: following.Config(),\n}\n",
            "tests/test_following.py": imports,
            "rlcourse/workshop/ladder.py": 'RECIPES = {\n    "following": Recipe("Next"),\n}\n',
            "README.md": "<!-- lectures -->\nold\n<!-- /lectures -->\n<!-- homework -->\n<!-- /homework -->\n"
            "<!-- workshops -->\n<!-- /workshops -->\n",
            "assets/README.md": "| `curves/10_next.json` | next, 2 seeds | `old` |\n",
            "assets/curves/10_next.json": '{"command": "rlcourse train next", "seeds": [0, 1]}',
        },
    )
    assert {folder: lacking(tmp_path, folder) for folder in FOLDERS} == {folder: [] for folder in FOLDERS}

    written = ("README.md", "assets/README.md", "notebooks/10_next.ipynb")
    assert readme.write(tmp_path) == [tmp_path / name for name in written]
    row = "| `curves/10_next.json` | next, 2 seeds | `rlcourse train next` |\n"
    assert (tmp_path / "assets/README.md").read_text() == row
    assert (
        (tmp_path / "README.md").read_text()
        == """<!-- lectures -->
| | lecture | you will see | run all |
|---|---|---|---|
| 10 | [Next](notebooks/10_next.ipynb) | what comes next | 1:00 |
<!-- /lectures -->
<!-- homework -->
| | homework | you write |
|---|---|---|
| 10 | [Next](notebooks/homework/hw10.ipynb) | a loop |
<!-- /homework -->
<!-- workshops -->
| | workshop | you write |
|---|---|---|
| 10 | [Next](notebooks/workshops/w10.ipynb) | a loop |
<!-- /workshops -->
"""
    )
    (header,) = json.loads((tmp_path / "notebooks/10_next.ipynb").read_text())["cells"][:1]
    assert "".join(header["source"]) == HEADER
    assert readme.write(tmp_path) == []


def test_a_new_curve_gets_a_row_that_waits_for_words(tmp_path: Path) -> None:
    old = "Text.\n\n| `curves/1.json` | one, 2 seeds | `a` |\n\n| `videos/1.mp4` | film | `v` |\n"
    curve = {"command": "a | b", "seeds": [0, 1, 2]}
    write(tmp_path, {"1.json": json.dumps(curve | {"command": "a"}), "2.json": json.dumps(curve)})
    row = "| `curves/2.json` | (say what it shows), 3 seeds | `a | b` |\n"
    assert readme.with_commands(old, tmp_path) == old.replace("| `a` |\n", f"| `a` |\n{row}")


def test_a_table_names_the_notebook_that_declares_too_little(tmp_path: Path) -> None:
    notebook(tmp_path / "notebooks/10_next.ipynb", HEADER, number=10, title="Next", seconds=60)
    with pytest.raises(readme.UndeclaredError, match=r"10_next\.ipynb: declare shows in the notebook's metadata"):
        readme.rows(tmp_path, readme.TABLES["lectures"])
