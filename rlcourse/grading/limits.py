"""What one submission may use, over all its processes together, and who sees to it.

A control group of the system bounds memory and processes where one can be made; whether it can is found by doing it.
Everywhere a watchdog adds up what the kernel and its children use, and each process limits itself (`kernel`).
"""

import ctypes
import os
import secrets
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import psutil

MEGABYTE = 1024**2
MEMORY = 4000 * MEGABYTE  # of all processes of a submission; torch on the CPU peaks at 800
PROCESSES = 128  # threads too, where the system counts
CHILDREN = 32  # processes that the watchdog lets be
SOCKETS = 20 * MEGABYTE  # of the one folder outside of the sandbox
WIDER = 10  # a cell's limit of wall time, in limits of processor time: a neighbour's load is nobody's fault
CELLS = 4  # how many times a cell's limit all cells but a student's own may take, over all attempts; those once
PATIENCE = 5  # seconds for what was killed to go
CGROUPS = Path("/sys/fs/cgroup")
SUBREAPER, DEATH_SIGNAL, SIGKILL = 36, 1, 9  # of prctl(2)


@dataclass(frozen=True)
class Bounds:
    """How memory and processes of a whole submission are bounded.

    Attributes:
        name: for the gradebook.
        kind: "systemd", "cgroup", or "watchdog".
    """

    name: str
    kind: str

    def prefix(self, group: str, memory: int = MEMORY, processes: int = PROCESSES) -> list[str]:
        """The words before a command that put it and its children into a new group of this name."""
        if self.kind == "systemd":
            user = [] if os.geteuid() == 0 else ["--user"]
            limits = [f"MemoryMax={memory}", "MemorySwapMax=0", f"TasksMax={processes}"]
            return ["systemd-run", *user, "--scope", "--quiet", *(w for each in limits for w in ("-p", each)), "--"]
        if self.kind == "cgroup":
            files = {"memory.max": memory, "memory.limit_in_bytes": memory, "pids.max": processes}
            for place in _places(group):
                place.mkdir(exist_ok=True)
                for name, limit in files.items():
                    if (place / name).exists():
                        (place / name).write_text(str(limit))
            joins = " && ".join(f"echo $$ > {place / 'cgroup.procs'}" for place in _places(group))
            return ["sh", "-c", f'{joins} && exec "$@"', "sh"]
        return []

    def end(self, group: str) -> None:
        """End what is left in the group, and remove it."""
        if self.kind != "cgroup":
            return
        for place in _places(group):
            deadline = time.monotonic() + PATIENCE
            while place.exists() and time.monotonic() < deadline:
                with suppress(OSError):
                    for process in (place / "cgroup.procs").read_text().split():
                        os.kill(int(process), SIGKILL)
                    place.rmdir()
                    break
                time.sleep(0.02)  # what was killed has not gone yet


def _places(group: str) -> list[Path]:
    """A group's folder in the one tree of version 2, or in the trees of version 1 that count memory and processes."""
    if (CGROUPS / "cgroup.controllers").exists():
        return [CGROUPS / group]
    return [CGROUPS / "memory" / group, CGROUPS / "pids" / group]


@cache
def bounds() -> Bounds:
    """What this machine offers: a group counts if it stops a process that takes too much memory, and one that forks."""
    for name, kind in (("a scope of systemd", "systemd"), ("a control group", "cgroup")):
        if _holds(found := Bounds(name, kind)):
            return found
    root = " (not of their number: the grader is root, whose processes the system does not count)"
    return Bounds(f"a watchdog, and limits of each process{root if os.geteuid() == 0 else ''}", "watchdog")


def _holds(found: Bounds) -> bool:
    group = f"rlcourse-{secrets.token_hex(8)}"
    forks = "import os, time\nfor _ in range(20):\n    os.fork() or (time.sleep(9), os._exit(0))"
    takes = "b'x' * 300_000_000"
    try:
        words = found.prefix(group, memory=100 * MEGABYTE, processes=10)
        for code, allowed in (("pass", True), (forks, False), (takes, False)):
            process = subprocess.Popen(
                [*words, sys.executable, "-Sc", code], stderr=subprocess.DEVNULL, start_new_session=True
            )
            try:
                if (process.wait(timeout=20) == 0) is not allowed:
                    return False
            except subprocess.TimeoutExpired:
                return False
            finally:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, SIGKILL)
                process.wait()
    except OSError:  # no such program, no such folder, not allowed
        return False
    finally:
        found.end(group)
    return True


def adopt_children() -> None:
    """Let this process die with its parent, and inherit the children of its children, so that none is lost (Linux)."""
    with suppress(AttributeError, OSError):
        libc = ctypes.CDLL(None)
        libc.prctl(DEATH_SIGNAL, SIGKILL, 0, 0, 0)
        libc.prctl(SUBREAPER, 1, 0, 0, 0)


def offspring(process: int | None = None) -> list[psutil.Process]:
    """All processes below one, or below this one."""
    with suppress(psutil.Error):
        return psutil.Process(process).children(recursive=True)
    return []


def kill(processes: list[psutil.Process]) -> None:
    """End those that are still there."""
    for each in processes:
        with suppress(psutil.Error):
            each.kill()
    psutil.wait_procs(processes, timeout=2)


def processor_time() -> float:
    """Seconds that all processes below this one have used; those that ended count once somebody waited for them."""
    return sum(_time_of(each) for each in offspring())


def _time_of(process: psutil.Process) -> float:
    with suppress(psutil.Error):
        return sum(process.cpu_times()[:4])  # its own, and that of children that ended
    return 0.0


def excess(folder: Path) -> str | None:
    """What the processes below this one use too much of, in words; None if nothing."""
    found = offspring()
    if len(found) > CHILDREN:
        return f"more than {CHILDREN} processes at once"
    if sum(_memory(each, "rss") for each in found) > MEMORY and sum(_memory(each, "pss") for each in found) > MEMORY:
        return f"more than {MEMORY / MEGABYTE / 1000:.0f} GB of memory"
    if _size(folder) > SOCKETS:
        return f"more than {SOCKETS // MEGABYTE} MB in the folder of its sockets"
    return None


def _memory(process: psutil.Process, kind: str) -> int:
    """Bytes: "rss" is cheap and counts what processes share in each of them, "pss" divides it up (Linux)."""
    with suppress(psutil.Error):
        found = process.memory_info() if kind == "rss" else process.memory_full_info()
        return getattr(found, kind, found.rss)
    return 0


def _size(folder: Path) -> int:
    """Bytes that the entries of a folder take, one page each at least; folders in it are not looked into."""
    total = 0
    with suppress(OSError), os.scandir(folder) as found:
        for entry in found:
            with suppress(OSError):
                total += 4096 + entry.stat(follow_symlinks=False).st_size
    return total


def remove(folder: Path) -> None:
    """Remove a folder that a submission wrote in: no link is followed, no depth too deep, nor does Ctrl-C stop it."""
    for words in (["rm", "-rf"], ["chmod", "-R", "u+rwX"], ["rm", "-rf"]):  # it may have taken our own rights away
        subprocess.run([*words, "--", str(folder)], stderr=subprocess.DEVNULL, start_new_session=True)
        if not os.path.lexists(folder):
            break
