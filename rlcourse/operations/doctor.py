"""`rlcourse doctor` tells what works on this machine, what does not, and what to do. Each probe uses what it checks."""

import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from rlcourse.rendering import find_backend

TESTED_PYTHON = "3.11"
CONSTRAINTS = Path(__file__).parents[2] / "constraints.txt"  # in a checkout; a wheel does not carry it
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
KERNEL_TIMEOUT = 60  # seconds; a start takes 1 to 5, on a busy machine ten times that


@dataclass(frozen=True)
class Check:
    """One line of the screen.

    Attributes:
        name: what was tried.
        ok: whether it works.
        detail: what was found.
        remedy: what to do about it; empty if it works.
        required: whether the lectures need it; otherwise a failure is only a warning.
    """

    name: str
    ok: bool
    detail: str
    remedy: str = ""
    required: bool = True


def run() -> list[Check]:
    """Try everything. A probe that raises an error, of whatever kind, is a check that failed."""
    return [_check(name, probe, remedy, required) for name, probe, remedy, required in PROBES]


def _check(name: str, probe: Callable[[], str], remedy: str, required: bool) -> Check:
    try:
        return Check(name, True, probe(), required=required)
    except Exception as error:
        return Check(name, False, str(error) or type(error).__name__, remedy, required)


def show(checks: list[Check]) -> None:
    """Print the checks as one screen."""
    from rich.console import Console
    from rich.text import Text

    console = Console(soft_wrap=True)  # a remedy that the terminal wraps can still be copied whole
    for check in checks:
        verdict, colour = ("ok", "green") if check.ok else ("FAIL", "red") if check.required else ("warn", "yellow")
        console.print(Text(f"{verdict:6}", colour) + Text(f"{check.name:17}{check.detail}"))
        if check.remedy:
            console.print(Text(f"{'':23}fix: {check.remedy}"))


def bug_report(checks: list[Check]) -> str:
    """The checks, the platform and every installed version as JSON, with ~ for the home folder."""
    report = {
        "platform": platform.platform(),
        "python": sys.version,
        "versions": _installed(),
        "checks": [asdict(check) for check in checks],
    }
    text, home = json.dumps(report, indent=1), Path.home()
    return text if home == Path(home.anchor) else text.replace(json.dumps(str(home))[1:-1], "~")


def find_browser() -> str | None:
    """The path of a Chromium or Chrome for the browser tests, from `CHROMIUM` or on the PATH; None if there is none."""
    return os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, BROWSERS)), None)


def _installed() -> dict[str, str]:
    return dict(sorted((canonicalize_name(each.name), each.version) for each in metadata.distributions()))


def _python() -> str:
    allowed = SpecifierSet(metadata.metadata("rlcourse")["Requires-Python"])
    version = ".".join(map(str, sys.version_info[:3]))
    if version not in allowed:
        raise RuntimeError(f"{version}; the course needs {allowed}")
    return f"{version} (tested: {TESTED_PYTHON})"


def _packages() -> str:
    needed = [Requirement(line) for line in metadata.requires("rlcourse") or []]
    needed = [each for each in needed if each.marker is None or each.marker.evaluate({"extra": "lab"})]
    installed = _installed()
    wrong = [
        f"{each} (here: {version or 'none'})"
        for each in needed
        if (version := installed.get(canonicalize_name(each.name))) is None
        or not each.specifier.contains(version, prereleases=True)
    ]
    if wrong:
        raise RuntimeError(_shorten(wrong))
    return f"all {len(needed)} that the lectures import"


def _versions() -> str:
    if not CONSTRAINTS.exists():
        return "not compared: constraints.txt comes with a checkout of the course only"
    lines = [line for line in CONSTRAINTS.read_text().splitlines() if line and not line.startswith("#")]
    pins: dict[str, SpecifierSet] = {canonicalize_name(pin.name): pin.specifier for pin in map(Requirement, lines)}
    # "==2.13.0" holds for every build of 2.13.0, "2.13.0+cpu" too
    compared = {name: version for name, version in _installed().items() if name in pins}
    other = [
        f"{name} {version} (tested: {pins[name]})" for name, version in compared.items() if version not in pins[name]
    ]
    if other:
        raise RuntimeError(_shorten(other))
    return f"{len(compared)} packages, each as tested"


def _shorten(items: list[str]) -> str:
    return ", ".join(items[:4]) + (f" and {len(items) - 4} more" if len(items) > 4 else "")


def _torch() -> str:
    import torch

    torch.ones(2, 2).mm(torch.ones(2, 2))
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "none needed, none found"
    return f"{torch.__version__}, {torch.get_num_threads()} threads, GPU: {device}"


def _rendering() -> str:
    if (backend := find_backend()) is None:
        raise RuntimeError("no OpenGL backend draws a frame; lectures show stored videos instead")
    return f"MuJoCo drew a frame through {backend}"


def _video() -> str:
    import imageio.v3 as iio
    import numpy as np

    frames = np.zeros((4, 64, 64, 3), np.uint8)
    frames[:, :, 32:] = 255
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "probe.mp4"
        iio.imwrite(path, frames, plugin="FFMPEG", fps=10)
        back = iio.imread(path, plugin="FFMPEG", index=0)
    if np.abs(back - frames[0].astype(float)).mean() > 10:  # of 255; H.264 loses under 1 here
        raise RuntimeError("an MP4 came back with other pixels than went in")
    return "wrote an MP4 and read it back"


def _widgets() -> str:
    from jupyter_core.paths import jupyter_path
    from jupyterlab.commands import AppOptions, get_app_info

    info = get_app_info(AppOptions(labextensions_path=jupyter_path("labextensions")))
    disabled = {name.partition(":")[0] for name, off in info["disabled"].items() if off}
    for name in ("@jupyter-widgets/jupyterlab-manager", "anywidget"):
        if name not in info["federated_extensions"]:
            raise RuntimeError(f"JupyterLab does not find its extension {name}")
        if name in disabled:
            raise RuntimeError(f"JupyterLab's extension {name} is disabled: jupyter labextension enable {name}")
    return "JupyterLab has ipywidgets' and anywidget's extensions"


def _recorded() -> str:
    from rlcourse.curves import CURVES
    from rlcourse.widgets.recordings import PATH

    curves = len(list(CURVES.glob("*.json")))
    if not curves or not PATH.exists():
        raise RuntimeError(f"no recorded runs in {CURVES.parent}: the package was installed without the course")
    return f"{curves} curves to compare with"


def _kernel() -> str:
    from jupyter_client.manager import run_kernel

    with run_kernel(kernel_name="python3", startup_timeout=KERNEL_TIMEOUT, stderr=subprocess.DEVNULL) as client:
        code = "import rlcourse\nassert 1 + 1 == 2"
        reply = client.execute_interactive(code, timeout=KERNEL_TIMEOUT, output_hook=lambda message: None)
    if reply["content"]["status"] != "ok":
        raise RuntimeError(f"{reply['content']['ename']}: {reply['content']['evalue']}")
    return "started, and found the course's package"


def _sandbox() -> str:
    words = ["bwrap", "--unshare-all", "--unshare-user", "--disable-userns", "--ro-bind", "/", "/", "true"]
    tried = subprocess.run(words, capture_output=True, text=True)
    if tried.returncode:
        raise RuntimeError(f"bubblewrap does not work here: {tried.stderr.strip()}")
    return "submissions run in bubblewrap"


def _browser() -> str:
    if (browser := find_browser()) is None:
        raise RuntimeError("no Chromium or Chrome on the PATH")
    return browser


REINSTALL = f'in the course\'s folder: "{sys.executable}" -m pip install -c constraints.txt -e ".[lab]"'
PROBES: tuple[tuple[str, Callable[[], str], str, bool], ...] = (
    ("Python", _python, "make the environment with Python 3.11 to 3.13 (make lab PYTHON=python3.11)", True),
    ("packages", _packages, REINSTALL, True),
    ("tested versions", _versions, REINSTALL, False),
    ("torch", _torch, REINSTALL, True),
    ("video", _video, "unset IMAGEIO_FFMPEG_EXE; " + REINSTALL, True),
    ("widgets", _widgets, REINSTALL, True),
    ("recorded runs", _recorded, REINSTALL, True),
    ("kernel", _kernel, f'see why: "{sys.executable}" -m ipykernel; then, {REINSTALL}', True),
    ("rendering", _rendering, "Debian, Ubuntu: apt install libosmesa6; and unset MUJOCO_GL", False),
    ("grading", _sandbox, "only graders need it; Debian: apt install bubblewrap", False),
    ("browser", _browser, "only the browser tests need one; Debian: apt install chromium", False),
)
