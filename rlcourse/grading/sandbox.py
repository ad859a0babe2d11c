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
            return "each kernel runs in bubblewrap: no network, no files but its own"
        return (
            f"NO SANDBOX ({self.reason}): submissions run as you, with your files and your network. "
            "Grade trusted students only, or install bubblewrap (see notebooks/instructor/README.md)"
        )


@cache
def isolation() -> Isolation:
    """What this machine can do, found by doing it."""
    if shutil.which("bwrap") is None:
        return Isolation("limits", "bubblewrap is not installed")
    tried = subprocess.run([*_bwrap([]), "true"], capture_output=True, text=True)
    if tried.returncode:
        return Isolation("limits", f"bubblewrap does not work here: {tried.stderr.strip()}")
    return Isolation("bubblewrap")


def _bwrap(writable: list[Path]) -> list[str]:
    words = ["bwrap", "--unshare-all", "--die-with-parent", "--new-session", "--clearenv"]
    for name, value in ENVIRONMENT.items():
        words += ["--setenv", name, value]
    words += ["--size", str(SCRATCH), "--tmpfs", "/tmp", "--dev", "/dev", "--size", str(SCRATCH), "--tmpfs", "/dev/shm"]
    words += ["--proc", "/proc"]
    for path in dict.fromkeys((*SYSTEM, sys.base_prefix, sys.prefix, str(PACKAGE))):
        words += ["--ro-bind-try", path, path]
    for folder in writable:
        words += ["--bind", str(folder), str(folder)]
    return [*words, "--chdir", "/tmp"]


def write_kernelspec(folder: Path, sockets: Path, level: str) -> None:
    """Write the kernel's specification below `folder`, which is to stand in JUPYTER_PATH.

    `sockets` is the one folder outside of the sandbox that the kernel may write: it is how one talks to it.
    """
    argv = [sys.executable, "-m", "rlcourse.grading.kernel", "-f", "{connection_file}"]
    spec = {
        "argv": [*_bwrap([sockets]), *argv] if level == "bubblewrap" else argv,
        "display_name": KERNEL,
        "language": "python",
        "interrupt_mode": "message",
        "env": {} if level == "bubblewrap" else {k: v for k, v in ENVIRONMENT.items() if k not in ("PATH", "HOME")},
    }
    place = folder / "kernels" / KERNEL
    place.mkdir(parents=True)
    (place / "kernel.json").write_text(json.dumps(spec))
