"""The command `rlcourse`, also `python -m rlcourse`. Each command imports what it needs only when it runs."""

import signal
import sys
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, Literal

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
    from rlcourse.operations import doctor

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
    from rlcourse.operations import workcopy

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
    from rlcourse.operations import publish

    try:
        publish.execute(paths)
    except FileNotFoundError as error:
        sys.exit(f"rlcourse execute: {error}")


@app.command
def readme() -> None:
    """Make the tables of the README anew, from what lectures, workshops and homework declare in their metadata."""
    from rlcourse.operations import readme

    try:
        for path in readme.write(Path()):
            print(f"{path}: written anew")
    except (OSError, readme.UndeclaredError) as error:
        sys.exit(f"rlcourse readme: {error}")


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
def slides(paths: Positional[tuple[Path, ...]] = (Path("notebooks"),), out: Path = Path("slides")) -> None:
    """Make a deck for a projector of each lecture, for any browser, without a network. S opens the speaker's notes.

    Args:
        paths: Notebooks, or folders of notebooks.
        out: The folder of the decks.
    """
    from rlcourse import slides

    try:
        for deck in slides.build(paths, out):
            print(deck)
    except (FileNotFoundError, ModuleNotFoundError, ValueError) as error:
        remedy = ". Install what slides need: make slides" if isinstance(error, ModuleNotFoundError) else ""
        sys.exit(f"rlcourse slides: {error}{remedy}")


@app.command
def train(
    run: Annotated[Any, arg(name="", constructor_factory=lambda: import_module("rlcourse.operations.train").command())],
) -> None:
    """Train an agent over several seeds; run the same command again to go on."""


@app.command
def dataset(
    action: Annotated[
        Any, arg(name="", constructor_factory=lambda: import_module("rlcourse.operations.dataset").command())
    ],
) -> None:
    """Record a dataset to learn from offline, or say what is in one."""


@app.command
def probe(agent: Positional[str], gamma: float | None = None, steps: int = 5_000, continuous: bool = False) -> None:
    """Let an agent from your own file climb the ladder of small worlds. Exit status 1: a rung fails.

    Args:
        agent: A file and a class in it, as in my_dqn.py:MyDQN.
        gamma: Its discount, if it has no attribute gamma.
        steps: Environment steps in each world; fewer, if an agent learns slowly by the clock.
        continuous: In worlds with a continuous action instead of two.
    """
    from rlcourse.workshop import own

    file = Path(agent.rpartition(":")[0])
    try:
        kind = own.load(agent)
        found = own.probe(kind, gamma, steps, continuous, file, seen=partial(print, flush=True))
    except own.OwnAgentError as error:
        sys.exit(f"rlcourse probe: {error}")
    except Exception as error:  # a student's agent can raise any error
        sys.exit(f"rlcourse probe: {own.words(error, file)}")
    print(found.verdict, *own.without(kind, interrupted=False), sep="\n")
    if found.first is not None:
        sys.exit(1)


@app.command
def release(
    paths: Positional[tuple[Path, ...]] = (Path("notebooks/instructor"), Path("notebooks/instructor/workshops")),
    out: Path = Path("notebooks/homework"),
    course: Path | None = None,
) -> None:
    """Make the students' homework and workshops from the instructor's, without solutions and hidden checks.

    Args:
        paths: Instructor's notebooks, or folders of them.
        out: The folder of the students' homework; workshops go into `workshops` beside it.
        course: Instead, copy the whole course into this new folder, without anything that is the instructor's.
    """
    from rlcourse.grading import release
    from rlcourse.grading.homework import HomeworkError

    try:
        if course is None:
            release.release_all(paths, out)
        else:
            release.student_edition(Path.cwd(), course)
    except (OSError, HomeworkError, release.LeakError, release.UnsolvedError) as error:
        sys.exit(f"rlcourse release: {error}")


@app.command
def grade(
    submissions: Positional[Path],
    homework: str,
    out: Path,
    students: Path | None = None,
    sources: Path = Path("notebooks/instructor"),
    workers: int = 2,
    backend: Literal["threading", "dask"] = "threading",
    scheduler: str | None = None,
    again: tuple[str, ...] = (),
    question: str | None = None,
) -> None:
    """Grade a folder of submissions: a gradebook, and a page of feedback for each student.

    Args:
        submissions: The folder or zip file, with a notebook, a folder or a zip file for each student.
        homework: Its name, for example hw01.
        out: The folder of the gradebook. Run the same command again to go on or to add submissions.
        students: A CSV file with a file's or folder's name and the student's in each row, or a platform's own table.
        sources: The folder of the instructor's notebooks.
        workers: How many submissions to run at once on this machine.
        backend: Where to run them: on this machine, or on a Dask cluster.
        scheduler: The address of the cluster's scheduler. Without it a cluster is started on this machine.
        again: Students to grade again although nothing of theirs changed.
        question: The one question to grade again, of these students or of all.
    """
    from rlcourse.grading import grade, gradebook, sandbox
    from rlcourse.grading.homework import HomeworkError
    from rlcourse.grading.persons import MappingError
    from rlcourse.grading.running import GradingError

    print(sandbox.isolation())
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # it ends like Ctrl-C, and leaves nothing behind
    try:
        results = grade.grade(
            submissions, sources / f"{homework}.ipynb", out, workers, students, backend, scheduler, again, question
        )
    except KeyboardInterrupt:
        sys.exit("rlcourse grade: stopped; run the same command again to go on")
    except (OSError, HomeworkError, MappingError, GradingError) as error:
        sys.exit(f"rlcourse grade: {error}")
    print(f"{gradebook.summary(results)}. The gradebook: {out / 'grades.csv'}")
    print(f"What to look at: {out / 'review' / 'index.html'}")


def main() -> None:
    try:
        app.cli(prog="rlcourse", description="Deep reinforcement learning in Jupyter lectures.")
    except OutOfRangeError as error:  # an option of `train`, refused while its Config is being made
        sys.exit(f"rlcourse: {error}")
