"""The files around the package agree with each other, and the commands that people type are there."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import cast

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from rlcourse.operations import cli, doctor
from tests import conftest

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
ENVIRONMENT = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
DATA_FILES = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["data-files"]
MAKEFILE = (ROOT / "Makefile").read_text()
PYTHONS = SpecifierSet(PROJECT["requires-python"])


# --- versions


def pins() -> dict[str, str]:
    """Version by name; `constraints.txt` holds nothing but comments and exact pins."""
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    exact = [re.fullmatch(r"([\w.-]+)==([\w.]+)", line) for line in lines if not line.startswith("#")]
    assert all(exact), [line for line, pin in zip(lines, exact, strict=False) if pin is None]
    return {canonicalize_name(pin[1]): pin[2] for pin in exact if pin}


@pytest.mark.parametrize(
    "line", [*PROJECT["dependencies"], *(line for extra in PROJECT["optional-dependencies"].values() for line in extra)]
)
def test_every_dependency_is_pinned_within_its_range(line: str) -> None:
    needed = Requirement(line)
    assert needed.specifier.contains(pins()[canonicalize_name(needed.name)])


def test_conda_installs_what_make_installs() -> None:
    (pip,) = (each["pip"] for each in ENVIRONMENT if isinstance(each, dict))
    (make,) = re.findall(r'^\t\$\(BIN\)/pip install (.*"\.\[lab\]")$', MAKEFILE, re.MULTILINE)
    assert shlex.split(" ".join(pip)) == shlex.split(make) == ["-c", "constraints.txt", "-e", ".[lab]"]


JUPYTER = ROOT / "rlcourse/operations/settings"
SETTINGS = sorted(path.relative_to(JUPYTER) for path in JUPYTER.rglob("*.json"))


@pytest.mark.parametrize("path", SETTINGS, ids=str)
def test_installing_the_course_brings_its_settings(path: Path) -> None:
    """Where Jupyter and IPython look for them, in an editable installation, too (see `setup.py`)."""
    assert (JUPYTER / path).relative_to(ROOT).as_posix() in DATA_FILES[path.parent.as_posix()]
    assert (Path(sys.prefix) / path).read_text() == (JUPYTER / path).read_text(), "pip install -e . again"


def test_the_settings_switch_on_what_is_there() -> None:
    read = [json.loads((JUPYTER / path).read_text()) for path in SETTINGS]
    assert len(read) == sum(map(len, DATA_FILES.values())) > 0
    server = [name for each in read for name in each.get("ServerApp", {}).get("jpserver_extensions", {})]
    kernel = [name for each in read for name in each.get("InteractiveShellApp", {}).get("extensions", ())]
    assert [import_module(name)._jupyter_server_extension_points() for name in server] == [
        [{"module": name}] for name in server
    ]
    assert all(callable(import_module(name).load_ipython_extension) for name in kernel)
    assert {*server, *kernel} == {
        f"rlcourse.operations.{path.stem}"
        for path in (ROOT / "rlcourse/operations").glob("*.py")
        if "_extension(" in path.read_text()
    }


def test_binder_makes_the_students_copy(tmp_path: Path) -> None:
    assert os.access(ROOT / "postBuild", os.X_OK)
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "notebooks" / "01_a.ipynb").write_text("{}")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    subprocess.run([ROOT / "postBuild"], cwd=tmp_path, env={**os.environ, "PATH": path}, check=True)
    assert (tmp_path / "work" / "01_a.ipynb").exists()


def test_conda_brings_the_tested_python() -> None:
    (python,) = (each.partition("=")[2] for each in ENVIRONMENT if str(each).startswith("python="))
    assert python == doctor.TESTED_PYTHON
    assert PYTHONS.contains(python)
    assert "pip" in ENVIRONMENT  # conda warns, and may take another Python's, where its pip section has none


# --- the Makefile


def make(*args: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["make", *args], cwd=cwd, capture_output=True, text=True, env=outer_environment())


def outer_environment() -> dict[str, str]:
    """Ours without what a surrounding `make test` tells its children."""
    return {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")}


def recipe(*args: str) -> list[str]:
    """What make would run once the environment is there."""
    done = make("-n", "-o", ".venv/.lab", "-o", ".venv/.test", *args)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_lab_opens_the_students_copy() -> None:
    sync, lab = recipe("lab")
    assert sync == ".venv/bin/rlcourse sync"
    assert shlex.split(lab.replace("--allow-root", "")) == [".venv/bin/jupyter", "lab", "work"]
    assert ("--allow-root" in lab) == (os.name == "posix" and os.geteuid() == 0)


def test_lab_opens_another_folder_as_it_is_and_passes_arguments_on() -> None:
    (lab,) = recipe("lab", "DIR=notebooks", "ARGS=--no-browser --port 8899")
    assert lab.endswith(" notebooks --no-browser --port 8899")


def test_the_tests_are_all_the_checks() -> None:
    assert [line.removeprefix(".venv/bin/") for line in recipe("test")] == [
        "ruff check .",
        "ruff format --check .",
        "mypy",
        'pytest -n 3 -m "not slow"',
    ]


@dataclass
class Item:
    """A test as the collection hook sees it."""

    nodeid: str
    kind: str = ""

    def get_closest_marker(self, name: str) -> bool:
        return name == self.kind


def test_two_workers_take_whole_files_the_longest_first() -> None:
    nodeids = ["tests/test_a.py::b", "tests/test_a.py::a", "tests/grading/test_c.py::a", "notebooks/01.ipynb::Cell 0"]
    items = [Item(nodeid) for nodeid in nodeids]
    items += [Item("tests/browser/test_d.py::a", "browser"), Item("tests/grading/test_e.py::a", "thorough")]
    items += [Item("notebooks/01.ipynb::Cell 1", "notebook"), Item("tests/test_a.py::Group::c[x::y]")]
    conftest.pytest_collection_modifyitems(cast("list[pytest.Item]", items))
    assert [item.nodeid for item in items] == [
        "tests/browser/test_d.py::a",
        "notebooks/01.ipynb::Cell 0",
        "notebooks/01.ipynb::Cell 1",
        "tests/grading/test_c.py::a",
        "tests/grading/test_e.py::a",
        "tests/test_a.py::b",
        "tests/test_a.py::a",
        "tests/test_a.py::Group::c[x::y]",
    ]
    assert list(dict.fromkeys(conftest.piece(item.nodeid) for item in items)) == [
        "tests/browser",
        "notebooks/01.ipynb",
        "tests/grading",
        "tests/test_a.py",
    ]


@pytest.mark.parametrize("version", [(3, 10), (3, 11), (3, 12), (3, 13), (3, 14)])
def test_make_refuses_the_pythons_that_the_project_refuses(tmp_path: Path, version: tuple[int, int]) -> None:
    shutil.copy(ROOT / "Makefile", tmp_path)
    python = tmp_path / "python"
    # says that it is of this version; a call to make the environment (-m venv) ends at once
    python.write_text(
        f"""#!{sys.executable}
import sys
if sys.argv[1] == "-c":
    sys.version_info = {(*version, 0, "final", 0)}
    exec(sys.argv[2])
"""
    )
    python.chmod(0o755)
    done = make(".venv/bin/pip", f"PYTHON={python}", cwd=tmp_path)
    assert (done.returncode == 0) == PYTHONS.contains("{}.{}".format(*version))
    if done.returncode:
        assert "needs Python 3.11 to 3.13, but {} is {}.{}".format(python, *version) in done.stderr
        assert "PYTHON=python3.11" in done.stderr


def test_second_installation_takes_no_time(tmp_path: Path) -> None:
    """A stamp newer than the versions it stands for means that pip is not even asked; the tests' serves the lab."""
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / ".venv/bin").mkdir(parents=True)
    pip = tmp_path / ".venv/bin/pip"
    pip.write_text('#!/bin/sh\necho "$@" >> log\n')
    pip.chmod(0o755)
    for name in ("pyproject.toml", "constraints.txt"):
        os.utime(tmp_path / name, (0, 0))

    def installs(target: str) -> list[str]:
        (tmp_path / "log").write_text("")
        assert make(target, cwd=tmp_path).returncode == 0
        return (tmp_path / "log").read_text().splitlines()

    lab, both = ["install -c constraints.txt -e .[lab]"], ["install -c constraints.txt -e .[lab,test]"]
    assert [installs(target) for target in (".venv/.test", ".venv/.test", ".venv/.lab")] == [both, [], []]
    for name in ("pyproject.toml", "constraints.txt"):
        for stamp in (".venv/.lab", ".venv/.test"):
            os.utime(tmp_path / stamp, (1, 1))
        os.utime(tmp_path / name, (2, 2))
        assert [installs(target) for target in (".venv/.lab", ".venv/.lab", ".venv/.test")] == [lab, [], both]


# --- a bare machine


@pytest.mark.parametrize("user", ["root", "someone"])
def test_ci_installs_the_system_packages_and_runs_the_tests(tmp_path: Path, user: str) -> None:
    (tmp_path / "apt-get").write_text('#!/bin/sh\necho apt-get "$@"\n')
    (tmp_path / "make").write_text('#!/bin/sh\necho make "$@" CI=$CI\n')
    (tmp_path / "sudo").write_text('#!/bin/sh\necho -n "sudo "; exec "$@"\n')
    (tmp_path / "id").write_text(f"#!/bin/sh\necho {0 if user == 'root' else 1000}\n")
    for stub in tmp_path.iterdir():
        stub.chmod(0o755)
    env = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "CI": ""}
    done = subprocess.run([ROOT / ".ci/run"], cwd=tmp_path, env=env, capture_output=True, text=True, check=True)
    sudo = "" if user == "root" else "sudo "
    assert done.stdout.splitlines() == [
        f"{sudo}apt-get update",
        f"{sudo}apt-get install --yes --no-install-recommends bubblewrap libosmesa6 chromium",
        "make test CI=true",  # there, what is missing fails instead of being skipped
    ]


# --- what is written


def public_files() -> list[Path]:
    """Tracked files, and those about to be."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")
    return [path for name in names if name and (path := ROOT / name).is_file()]


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="this copy of the course is no git checkout")
def test_no_file_names_a_registry_or_somebodys_machine() -> None:
    hosts = [
        name + ending for name, ending in (("pypi", ".org"), ("pythonhosted", ".org"), ("download.pytorch", ".org"))
    ]
    private = re.compile(r"(?<![\w.~/-])/(?:work|root|home|Users)/\w+|" + "|".join(map(re.escape, hosts)))
    found = [
        f"{path.relative_to(ROOT)}: {match[0]}"
        for path in public_files()
        for match in private.finditer(path.read_text(errors="replace"))
    ]
    assert found == []


def test_readmes_commands_exist(capsys: pytest.CaptureFixture[str]) -> None:
    text = "".join((ROOT / name).read_text() for name in ("README.md", "CONTRIBUTING.md"))
    code = " ".join(re.findall(r"```.*?```|`[^`\n]+`", text, re.DOTALL))
    targets = set(re.findall(r"^([a-z-]+):", MAKEFILE, re.MULTILINE))
    used = set(re.findall(r"\bmake ([a-z][\w-]*)", code))
    assert {"lab", "test"} <= used <= targets
    with pytest.raises(SystemExit):
        cli.app.cli(args=["--help"])
    commands = set(re.findall(r"• (\w+)", capsys.readouterr().out))
    assert {"doctor"} <= set(re.findall(r"\brlcourse ([a-z]\w*)", code)) <= commands


# --- the package


def test_import_is_instant() -> None:
    code = """
import sys, time
start = time.process_time()
import rlcourse
print(time.process_time() - start)
assert "torch" not in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert float(done.stdout) < 0.2  # of the processor, whatever else the machine is doing
