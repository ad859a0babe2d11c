"""What keeps a submission in its place: tried, not believed."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from rlcourse.grading import limits, sandbox
from rlcourse.grading.limits import Bounds

needs_sandbox = pytest.mark.skipif(sandbox.isolation().level != "bubblewrap", reason=str(sandbox.isolation()))


@pytest.fixture
def afresh() -> Iterator[None]:
    sandbox.isolation.cache_clear()
    yield
    sandbox.isolation.cache_clear()


@pytest.mark.usefixtures("afresh")
def test_without_a_sandbox_it_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found = sandbox.Isolation("limits", "bubblewrap is not installed")
    assert str(found).startswith("NO SANDBOX (bubblewrap is not installed): submissions run as you")
    assert "Every grade is for review" in str(found)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert sandbox.isolation() == found
    (tmp_path / "bwrap").write_text("#!/bin/sh\necho no permission >&2\nexit 1\n")
    (tmp_path / "bwrap").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin")
    sandbox.isolation.cache_clear()
    assert sandbox.isolation().reason == "bubblewrap does not work here: no permission"


@needs_sandbox
@pytest.mark.usefixtures("afresh")
@pytest.mark.parametrize(
    ("without", "fault"),
    [
        (["--disable-userns"], "it can make another user namespace"),
        (["--remount-ro", "/dev"], "/dev/forged can be written"),
        (["--remount-ro", "/"], "/forged can be written"),
        pytest.param(
            ["--cap-drop", "ALL"],
            "it keeps CapPrm",
            marks=pytest.mark.skipif(os.geteuid() != 0, reason="only root has capabilities to keep"),
        ),
        pytest.param(
            ["--ro-bind", "/proc/sys", "/proc/sys"],
            "/proc/sys/kernel/core_pattern can be written",
            marks=pytest.mark.skipif(os.geteuid() != 0, reason="only root may write there at all"),
        ),
    ],
)
def test_what_does_not_hold_is_no_sandbox(monkeypatch: pytest.MonkeyPatch, without: list[str], fault: str) -> None:
    whole = sandbox._bwrap

    def weakened(writable: list[Path]) -> list[str]:
        words = whole(writable)
        place = next(n for n in range(len(words)) if words[n : n + len(without)] == without)
        return words[:place] + words[place + len(without) :]

    monkeypatch.setattr(sandbox, "_bwrap", weakened)
    found = sandbox.isolation()
    assert found.level == "limits"
    assert f"bubblewrap does not hold here: {fault}" in found.reason or f"; {fault}" in found.reason


def test_a_group_that_does_not_hold_is_not_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """systemd-run is there, and bounds nothing."""
    (tmp_path / "systemd-run").write_text('#!/bin/sh\nwhile [ "$1" != -- ]; do shift; done\nshift\nexec "$@"\n')
    (tmp_path / "systemd-run").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    words = Bounds("", "systemd").prefix("x")
    assert words[0] == "systemd-run"
    assert subprocess.run([*words, sys.executable, "-Sc", "print('ran')"], capture_output=True).stdout == b"ran\n"
    assert not limits._holds(Bounds("", "systemd"))


def test_where_no_group_can_be_made_a_watchdog_looks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(limits, "CGROUPS", tmp_path / "nothing")
    monkeypatch.setenv("PATH", str(tmp_path))
    found = limits.bounds.__wrapped__()
    assert found.kind == "watchdog"
    assert "a watchdog, and limits of each process" in found.name
    assert ("not of their number" in found.name) == (os.geteuid() == 0)
    assert found.prefix("x") == []


@pytest.mark.skipif(limits.bounds().kind != "cgroup", reason=f"bounded by {limits.bounds().name}")
def test_a_control_group_bounds_all_processes_together() -> None:
    group = "rlcourse-test"
    code = "import os\nn = 0\ntry:\n    while n < 50:\n"
    code += "        if os.fork() == 0:\n            os.read(0, 1)\n            os._exit(0)\n        n += 1\n"
    code += "finally:\n    print(n, flush=True)"
    try:
        words = [*Bounds("", "cgroup").prefix(group, processes=10), sys.executable, "-Sc", code]
        with subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        ) as process:
            said, _ = process.communicate(b"x" * 50)
        assert said.split()[0] == b"9"
    finally:
        Bounds("", "cgroup").end(group)
    assert not any(place.exists() for place in limits._places(group))


@pytest.mark.thorough
def test_the_watchdog_counts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    code = "import os, time\nfor _ in range(3):\n    os.fork()\n"
    code += "x = b'x' * 20_000_000\nprint('x', flush=True)\ntime.sleep(60)"
    with subprocess.Popen([sys.executable, "-Sc", code], stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            for _ in range(8):
                process.stdout.readline()
            assert limits.excess(tmp_path) is None
            assert len(limits.offspring()) >= 8
            assert limits.processor_time() > 0
            monkeypatch.setattr(limits, "MEMORY", 20_000_000)
            assert limits.excess(tmp_path) == "more than 0 GB of memory"
            monkeypatch.setattr(limits, "CHILDREN", 7)
            assert limits.excess(tmp_path) == "more than 7 processes at once"
        finally:
            limits.kill(limits.offspring())
    assert not limits.offspring()


def test_the_folder_of_sockets_is_measured(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/usr/bin/python3")
    assert limits.excess(tmp_path) is None
    (tmp_path / "large").write_bytes(b"")
    os.truncate(tmp_path / "large", limits.SOCKETS)
    assert limits.excess(tmp_path) == "more than 20 MB in the folder of its sockets"


@pytest.mark.thorough
def test_cleaning_up_follows_no_link_and_knows_no_depth(tmp_path: Path) -> None:
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "file").write_text("mine")
    foreign.chmod(0o500)
    work = tmp_path / "work"
    work.mkdir()
    (work / "link").symlink_to(foreign)
    (work / "closed").mkdir()
    (work / "closed" / "file").touch()
    (work / "closed").chmod(0)
    at = os.open(work, os.O_RDONLY)
    for _ in range(2000):  # deeper than Python recurses and than a path may be long
        os.mkdir("folder", dir_fd=at)
        inner = os.open("folder", os.O_RDONLY, dir_fd=at)
        os.close(at)
        at = inner
    os.close(at)
    limits.remove(work)
    assert not work.exists()
    assert (foreign / "file").read_text() == "mine"
    assert foreign.stat().st_mode & 0o777 == 0o500


def test_processes_are_limited_where_the_system_lets_one() -> None:
    """In a process of its own, since a limit cannot be raised again; root's processes are not counted."""
    code = "from rlcourse.grading import kernel\nimport resource\nkernel._limit_processes()\n"
    code += "print(resource.getrlimit(resource.RLIMIT_NPROC)[0])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    if os.geteuid() == 0:
        assert int(done.stdout) == limits.PROCESSES
