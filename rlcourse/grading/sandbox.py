"""Where a submission's kernel runs: in bubblewrap's namespaces, or, where those are not to be had, with limits only.

Only the kernel is inside. References, hidden results and the gradebook stay with the process that asks it.
"""

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import rlcourse
from rlcourse.grading.limits import bounds

KERNEL = "rlcourse-sandbox"
PACKAGE = Path(rlcourse.__file__).parent
SCRATCH = 100_000_000  # bytes that a submission may write in its /tmp, which is memory
ENVIRONMENT = {
    "PATH": "/usr/bin:/bin",
    "HOME": "/tmp",
    "LANG": "C.UTF-8",
    "PYTHONPATH": str(PACKAGE.parent),
    "PYTHONHASHSEED": "0",  # sets in one order: the same answer gets the same verdict
    "OMP_NUM_THREADS": "1",  # sums in one order
    "MUJOCO_GL": "disable",
}
SYSTEM = (
    "/usr",
    "/lib",
    "/lib32",
    "/lib64",
    "/bin",
    "/sbin",
    "/etc/ld.so.cache",
    "/etc/alternatives",
    "/etc/localtime",
)
VISIBLE = (*SYSTEM, sys.base_prefix, sys.prefix, str(PACKAGE))  # what a submission can read
# What must not work inside, tried from inside: any of it and this is no sandbox. As root, bubblewrap keeps the
# capabilities that let a submission mount everything again unless it is told to drop them.
ESCAPES = """
import ctypes, os, pathlib
libc = ctypes.CDLL(None, use_errno=True)
status = dict(line.split(":", 1) for line in pathlib.Path("/proc/self/status").read_text().splitlines())
faults = [f"it keeps {name}" for name in ("CapPrm", "CapEff", "CapBnd") if int(status[name], 16)]
if libc.mount(None, b"/usr", None, 32 | 4096, None) == 0:
    faults.append("/usr can be mounted again")
if libc.unshare(0x10000000) == 0:
    faults.append("it can make another user namespace")
for place in ("/proc/sys/kernel/core_pattern", "/usr/forged", "/dev/forged", "/forged"):
    try:
        open(place, "a").close()
        faults.append(f"{place} can be written")
        os.unlink(place)
    except OSError:
        pass
print("; ".join(faults))
"""


@dataclass(frozen=True)
class Isolation:
    """What keeps a submission from the rest of the machine.

    Attributes:
        level: "bubblewrap", or "limits" where that does not work.
        reason: why it does not.
    """

    level: str
    reason: str = ""

    def __str__(self) -> str:
        if self.level == "bubblewrap":
            return f"each kernel runs in bubblewrap: no network, no files but its own; bounded by {bounds().name}"
        return (
            f"NO SANDBOX ({self.reason}): submissions run as you, with your files and your network, bounded by "
            f"{bounds().name}. Every grade is for review. Grade trusted students only, or install bubblewrap (see "
            "notebooks/instructor/README.md)"
        )


@cache
def isolation() -> Isolation:
    """What this machine can do, found by doing it."""
    if shutil.which("bwrap") is None:
        return Isolation("limits", "bubblewrap is not installed")
    tried = subprocess.run([*_bwrap([]), sys.executable, "-Ic", ESCAPES], capture_output=True, text=True)
    if tried.returncode:
        return Isolation("limits", f"bubblewrap does not work here: {tried.stderr.strip()}")
    if tried.stdout.strip():
        return Isolation("limits", f"bubblewrap does not hold here: {tried.stdout.strip()}")
    return Isolation("bubblewrap")


def _bwrap(writable: list[Path]) -> list[str]:
    words = ["bwrap", "--unshare-all", "--unshare-user", "--disable-userns", "--cap-drop", "ALL"]
    words += ["--die-with-parent", "--new-session", "--clearenv"]
    for name, value in ENVIRONMENT.items():
        words += ["--setenv", name, value]
    words += ["--size", str(SCRATCH), "--tmpfs", "/tmp", "--dev", "/dev", "--size", str(SCRATCH), "--tmpfs", "/dev/shm"]
    words += ["--proc", "/proc", "--ro-bind", "/proc/sys", "/proc/sys"]
    for path in dict.fromkeys(VISIBLE):
        words += ["--ro-bind-try", path, path]
    for folder in writable:
        words += ["--bind", str(folder), str(folder)]
    return [*words, "--remount-ro", "/dev", "--remount-ro", "/", "--chdir", "/tmp"]


def visible(path: Path) -> bool:
    """Whether a submission can read what stands there."""
    return any(path.resolve().is_relative_to(Path(each).resolve()) for each in VISIBLE)


def write_kernelspec(folder: Path, sockets: Path, level: str, group: str) -> None:
    """Write the kernel's specification below `folder`, which is to stand in JUPYTER_PATH.

    `sockets` is the one folder outside of the sandbox that the kernel may write: it is how one talks to it.
    `group` is the name of the group of processes that bounds it.
    """
    argv = [sys.executable, "-m", "rlcourse.grading.kernel", "-f", "{connection_file}"]
    spec = {
        "argv": [*bounds().prefix(group), *(_bwrap([sockets]) if level == "bubblewrap" else []), *argv],
        "display_name": KERNEL,
        "language": "python",
        "interrupt_mode": "message",
        "env": {} if level == "bubblewrap" else {k: v for k, v in ENVIRONMENT.items() if k not in ("PATH", "HOME")},
    }
    place = folder / "kernels" / KERNEL
    place.mkdir(parents=True)
    (place / "kernel.json").write_text(json.dumps(spec))
