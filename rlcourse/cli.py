"""The command `rlcourse`; `python -m rlcourse` works too. The commands import late, so that `--help` is instant."""

import sys
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

from tyro.conf import FlagCreatePairsOff, Positional, arg
from tyro.extras import SubcommandApp

from rlcourse.config import OutOfRangeError

app = SubcommandApp()


@app.command
def doctor(json: FlagCreatePairsOff[bool] = False) -> None:
    """Say what works on this machine and what does not. Exit status 1: the lectures will not run well.

    Args:
        json: Print a report for machines instead, to paste into a bug report. It leaves out your home folder.
    """
    from rlcourse import doctor

    checks = doctor.run()
    if json:
        print(doctor.bug_report(checks))
    else:
        doctor.show(checks)
    if any(check.required and not check.ok for check in checks):
        sys.exit(1)


@app.command
def sync(source: Path = Path("notebooks"), target: Path = Path("work")) -> None:
    """Make or complete your own copy of the lectures. Nothing in it is ever overwritten.

    Args:
        source: The folder of lectures.
        target: Your own copy.
    """
    from rlcourse import workcopy

    try:
        for line in workcopy.sync(source, target):
            print(line)
    except OSError as error:
        remedy = ". Move it away or make it yours to read and write, then run this again." if error.filename else ""
        sys.exit(f"rlcourse sync: {error}{remedy}")


@app.command
def execute(paths: Positional[tuple[Path, ...]] = (Path("notebooks"),)) -> None:
    """Run notebooks from top to bottom and store them normalised, so that a rerun is a small diff.

    Args:
        paths: Notebooks, or folders of notebooks.
    """
    from rlcourse import publish

    try:
        publish.execute(paths)
    except FileNotFoundError as error:
        sys.exit(f"rlcourse execute: {error}")


@app.command
def demo(port: int = 8866, browser: bool = True) -> None:
    """Serve every widget as a page that fills a projector, for this machine only. Ctrl-C ends it.

    Args:
        port: Where to serve; the next free one if it is taken.
        browser: Open the index in a browser.
    """
    from rlcourse import demos

    demos.serve(port, browser)


@app.command
def train(
    run: Annotated[Any, arg(name="", constructor_factory=lambda: import_module("rlcourse.runs").command())],
) -> None:
    """Train an agent over several seeds; run the same command again to go on."""


def main() -> None:
    try:
        app.cli(prog="rlcourse", description="Deep reinforcement learning in nine Jupyter lectures.")
    except OutOfRangeError as error:  # an option of `train`, refused while its Config is being made
        sys.exit(f"rlcourse: {error}")
