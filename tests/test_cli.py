import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
from imageio_ffmpeg import count_frames_and_secs

from rlcourse import rendering
from rlcourse.algorithms import AGENTS
from rlcourse.operations import cli, doctor, publish
from rlcourse.operations.doctor import Check

GOOD = Check("torch", True, "2.13.0")
WARNING = Check("browser", False, "none", "apt install chromium", required=False)
BAD = Check("kernel", False, "died", "reinstall it")


def call(monkeypatch: pytest.MonkeyPatch, *args: str) -> int | str | None:
    """The exit status of `rlcourse args`; a text means 1, with that text on stderr."""
    monkeypatch.setattr(sys, "argv", ["rlcourse", *args])
    try:
        cli.main()
    except SystemExit as stop:
        return stop.code
    return 0


@pytest.mark.parametrize(("checks", "status"), [([GOOD], 0), ([GOOD, WARNING], 0), ([GOOD, WARNING, BAD], 1)])
@pytest.mark.parametrize("flags", [(), ("--json",)], ids=["screen", "json"])
def test_doctor_fails_only_on_what_lectures_need(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    checks: list[Check],
    status: int,
    flags: tuple[str, ...],
) -> None:
    monkeypatch.setattr(doctor, "run", lambda: checks)
    assert call(monkeypatch, "doctor", *flags) == status
    out = capsys.readouterr().out
    assert out.startswith("{") == bool(flags)
    for check in checks:
        assert check.name in out
        assert check.remedy in out


def test_sync_copies_from_notebooks_to_work(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "notebooks/01.ipynb").write_text("{}")
    assert call(monkeypatch, "sync") == 0
    assert (tmp_path / "work/01.ipynb").read_text() == "{}"
    assert call(monkeypatch, "sync", "--target", "other") == 0
    assert (tmp_path / "other/01.ipynb").read_text() == "{}"
    assert capsys.readouterr().out.splitlines()[1].startswith("other: made")


def test_sync_errors_name_path_and_remedy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    status = call(monkeypatch, "sync")
    assert status == "rlcourse sync: there is no folder notebooks: run this in the course's own folder, or name it"
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "notebooks/01.ipynb").write_text("{}")
    (tmp_path / "work/01.ipynb").mkdir(parents=True)
    status = str(call(monkeypatch, "sync"))
    assert "work/01.ipynb" in status
    assert "Move it away" in status


@pytest.mark.parametrize(("args", "paths"), [((), ["notebooks"]), (("a.ipynb", "b"), ["a.ipynb", "b"])])
def test_execute_hands_over_its_paths(monkeypatch: pytest.MonkeyPatch, args: tuple[str, ...], paths: list[str]) -> None:
    calls: list[tuple[Path, ...]] = []
    monkeypatch.setattr(publish, "execute", calls.append)
    assert call(monkeypatch, "execute", *args) == 0
    assert calls == [tuple(Path(path) for path in paths)]


def test_execute_names_what_does_not_exist(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert str(call(monkeypatch, "execute", str(tmp_path / "absent"))).startswith(f"rlcourse execute: {tmp_path}")


def test_unknown_command_lists_the_known_ones(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(monkeypatch, "operate") == 2
    message = capsys.readouterr().err
    for command in ("operate", "doctor", "sync", "execute"):
        assert command in message


def test_training_says_what_each_agent_is(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(monkeypatch, "train", "--help") == 0
    said = " ".join(capsys.readouterr().out.replace("│", " ").split())
    for agent in AGENTS:
        idea = str(import_module(AGENTS[agent].split(":")[0]).__doc__).splitlines()[0]
        assert f"• {agent} {idea}" in said


def test_python_m_works_and_loads_nothing_heavy() -> None:
    code = """
import runpy, sys
sys.argv = ["rlcourse", "--help"]
try:
    runpy.run_module("rlcourse", run_name="__main__")
except SystemExit as stop:
    assert not stop.code
print(sorted({"torch", "numpy", "matplotlib", "jupyter_client"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "doctor" in done.stdout
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.thorough
def test_train_learns_records_and_goes_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["train", "q_learning", "--env", "FrozenLake-v1", "--steps", "400", "--evaluate-every", "200"]
    words += ["--seeds", "0:2", "--lr", "0.5", "--out", "runs", "--curve", "curve.json"]
    monkeypatch.setattr(rendering, "find_backend", lambda: "osmesa")  # FrozenLake is drawn by pygame
    monkeypatch.setenv("MUJOCO_GL", "osmesa")  # to be put back afterwards
    assert call(monkeypatch, *words) == 0
    first = capsys.readouterr().out
    assert "seed 0:" in first
    assert "seed 1:" in first
    records = sorted(Path("runs").rglob("seed-*.json"))
    stored = [path.read_text() for path in records]
    assert len(stored) == 2
    assert '"lr": 0.5' in stored[0]
    assert "--lr 0.5" in Path("curve.json").read_text()
    assert call(monkeypatch, *words, "--film", "lake.mp4") == 0
    assert [path.read_text() for path in records] == stored  # wall times and all: nothing ran again
    assert count_frames_and_secs("lake.mp4")[0] >= 2
    assert "film" not in Path("curve.json").read_text()


def test_a_film_needs_a_renderer_before_the_training_begins(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(rendering, "find_backend", lambda: None)
    words = ["train", "q_learning", "--env", "FrozenLake-v1", "--steps", "400", "--out", str(tmp_path)]
    message = str(call(monkeypatch, *words, "--film", "lake.mp4"))
    assert message.startswith("rlcourse train: no OpenGL backend draws here: `rlcourse doctor` says")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("env", "film", "message"),
    [
        ("FrozenLake-v1", "lake.gif", "--film lake.gif: its name must end in .mp4"),
        ("rlcourse/Road-v0", "road.mp4", "--film road.mp4: rlcourse/Road-v0 cannot be drawn; leave out --film"),
    ],
)
def test_a_film_that_cannot_be_made_is_refused_before_the_training_begins(
    env: str, film: str, message: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(rendering, "find_backend", lambda: "egl")
    monkeypatch.setenv("MUJOCO_GL", "")  # it is put back
    agent = "q_learning" if env == "FrozenLake-v1" else "td3"
    said = call(monkeypatch, "train", agent, "--env", env, "--steps", "400", "--out", str(tmp_path), "--film", film)
    assert str(said) == f"rlcourse train: {message}"
    assert not list(tmp_path.iterdir())


def test_train_says_that_dask_is_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("dask", "dask.distributed"):  # another test may have imported the second one already
        monkeypatch.setitem(sys.modules, name, None)
    words = ["train", "q_learning", "--env", "FrozenLake-v1", "--steps", "10", "--out", str(tmp_path)]
    message = "rlcourse train: backend = 'dask' needs Dask, which is not installed: pip install -c constraints.txt -e"
    assert str(call(monkeypatch, *words, "--backend", "dask")).startswith(message)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--gamma", "2"], "rlcourse: q_iteration.Config.gamma = 2.0 is out of range: it must be in [0, 1)"),
        (["--seeds", "x"], "rlcourse train: seeds = 'x': give one seed, or first:last"),
        (["--env", "Nowhere-v0"], "rlcourse train: "),
    ],
)
def test_train_refuses_nonsense_in_plain_words(
    monkeypatch: pytest.MonkeyPatch, words: list[str], message: str, tmp_path: Path
) -> None:
    common = ["train", "q_learning", "--env", "FrozenLake-v1", "--steps", "10", "--out", str(tmp_path)]
    assert str(call(monkeypatch, *common, *words)).startswith(message)
