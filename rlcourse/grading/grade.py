"""`rlcourse grade`: a folder of submissions becomes a gradebook and a page of feedback for each student.

A submission is data. What counts of it are the answers, taken by cell id and put into the official notebook; the rest
of it is never run. The official solution runs first, with this grading's own random number: what it prints is what the
answers must print. What time decided is decided again, with nothing else running, before it counts.
"""

import builtins
import hashlib
import json
import logging
import os
import secrets
import sys
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import joblib
import nbformat
from filelock import FileLock, Timeout
from nbformat import NotebookNode
from tqdm import tqdm

from rlcourse import files
from rlcourse.grading import checks, gradebook, homework, running
from rlcourse.grading.homework import SCORED, meta, question, replaced, role, with_role
from rlcourse.grading.persons import Entry, entries, roster
from rlcourse.grading.result import Records, Result
from rlcourse.grading.running import GradingError, Job, Run
from rlcourse.grading.sandbox import isolation, visible
from rlcourse.grading.submissions import Graft, UnreadableError, graft, raw, read

FAILED = "the grader failed"
SLOW = "stopped for its time, by itself too: is it wrong or only slow?"
STATE = ".grading.json"
EVERY = 10  # seconds between two gradebooks while grading


@dataclass(frozen=True)
class Official:
    """The homework, and what its checks print about the solution under this grading's nonce."""

    name: str
    source: NotebookNode
    references: dict[str, list[str]]
    digest: str

    @property
    def seconds(self) -> float:
        return float(meta(self.source)["seconds"])


@dataclass
class Todo:
    """A submission on its way."""

    entry: Entry
    fingerprint: str
    grafted: Graft = field(default_factory=lambda: Graft([]))
    faults: list[str] = field(default_factory=list)
    kept: Result | None = None


def grade(
    submissions: Path,
    source: Path,
    out: Path,
    workers: int = 2,
    students: Path | None = None,
    backend: Literal["threading", "dask"] = "threading",
    scheduler: str | None = None,
    again: Collection[str] = (),
    only: str | None = None,
) -> list[Result]:
    """Grade every submission; those that were graded before and have not changed keep their result.

    Args:
        submissions: a folder or a zip file.
        workers: how many run at once on this machine; a cluster has its own size.
        students: the list, see `persons`.
        scheduler: the address of the cluster's scheduler; None starts a cluster on this machine.
        again: students who are graded again even so; with `only` and without names, all.
        only: the one question that is graded again; the others keep what they have.

    Raises:
        FileNotFoundError: no such homework or folder.
        MappingError: the list of students is not written as it must be.
        HomeworkError: the homework's source is not written as it must be.
        GradingError: the solution itself does not get full points here, or what was asked for cannot be done.
    """
    if workers < 1:
        raise GradingError(f"workers = {workers} must be 1 or more")
    if scheduler is not None and backend != "dask":
        raise GradingError(f"backend = {backend!r} has no scheduler: add --backend dask, or leave out {scheduler}")
    loaded = homework.load(source)
    for place in (source, out):
        if isolation().level == "bubblewrap" and visible(place):
            raise GradingError(f"submissions can read what is in {place.resolve().parent}: put {place.name} elsewhere")
    people = roster(students) if students else None
    with _locked(submissions, out), TemporaryDirectory(prefix="rlcourse-zip-") as scratch:
        found = entries(submissions, source.stem, Path(scratch), people)
        questions = {str(question(cell)) for cell in with_role(loaded, *SCORED)}
        _known(again, {each.student for each in found}, "student")
        _known([only] if only else [], questions, "question")
        by_hand = gradebook.by_hand(out, {each.student for each in found}, questions)
        with running.session():
            official = prepare(loaded, out, source.stem)
        if only and not again:
            again = {each.student for each in found}
        todo = [_todo(entry, official, out, again) for entry in found]
        book = gradebook.Book(out, official.name, official.source, people, by_hand)
        for each in todo:
            if each.kept is not None and not each.grafted.cells:
                book.add(each.kept, each.entry)
        try:
            _run_all(todo, official, book, workers, backend, scheduler, only)
        finally:
            book.write()
        return book.results()


def _run_all(
    todo: Sequence[Todo],
    official: Official,
    book: gradebook.Book,
    workers: int,
    backend: Literal["threading", "dask"],
    scheduler: str | None,
    only: str | None,
) -> None:
    def finished(each: Todo, came: Run | str, final: bool) -> None:
        result = _result(each, came, official, final)
        if only is not None and each.kept is not None:
            result = _merged(result, each.kept, official, only)
        book.add(result, each.entry)

    run_these = [number for number, each in enumerate(todo) if each.grafted.cells]
    jobs = {n: Job.of(todo[n].grafted.cells, official.references, official.seconds) for n in run_these}
    for number, each in enumerate(todo):
        if number not in jobs and each.kept is None:
            finished(each, "", final=True)
    cluster = _cluster(scheduler, workers) if backend == "dask" else nullcontext()
    alone, written = [], time.monotonic()
    with cluster, running.session(), joblib.parallel_config(backend=backend, n_jobs=workers):
        pool = joblib.Parallel(return_as="generator_unordered", batch_size=1)
        came = pool(joblib.delayed(_tried)(number, job) for number, job in jobs.items())
        for number, run in tqdm(came, total=len(jobs), unit="submission", disable=not jobs):
            decided = isinstance(run, Run) and not run.slow
            finished(todo[number], run, final=decided)
            if not decided:
                alone.append(number)
            if time.monotonic() - written > EVERY:
                book.write(pages=False)
                written = time.monotonic()
    with running.session():
        for number in tqdm(sorted(alone), desc="again, each by itself", unit="submission", disable=not alone):
            finished(todo[number], _tried(number, jobs[number])[1], final=True)


@contextmanager
def _cluster(scheduler: str | None, workers: int) -> Iterator[None]:
    """The cluster at an address, or one on this machine, is where joblib runs what the block asks for.

    That one has threads, since each run is a process anyway: so that Ctrl-C reaches them, and nothing is left behind.
    """
    try:
        import dask
        from dask.distributed import Client
    except ImportError:
        raise GradingError("--backend dask needs Dask: pip install -c constraints.txt -e '.[cluster]'") from None
    if scheduler is not None:
        try:
            client = Client(scheduler)
        except ValueError as error:  # no address; where nobody answers it is an OSError
            raise GradingError(f"--scheduler {scheduler}: {error}") from None
        with client:
            yield
        return
    with (
        TemporaryDirectory(prefix="rlcourse-dask-") as folder,
        dask.config.set(temporary_directory=folder),
        Client(
            processes=False,
            n_workers=1,
            threads_per_worker=workers,
            dashboard_address=None,
            silence_logs=logging.CRITICAL,
        ),
    ):
        yield


def _tried(number: int, job: Job) -> tuple[int, Run | str]:
    """A run, or in words why there is none: whatever one submission does to the grader, the others are graded."""
    try:
        return number, running.run(job)
    except Exception as error:
        if running.stopping.is_set():
            raise
        return number, f"{FAILED}: {error or type(error).__name__}"


@contextmanager
def _locked(submissions: Path, out: Path) -> Iterator[None]:
    """See that nobody else writes into `out`, and that it is no part of what is graded."""
    place, other = out.resolve(), submissions.resolve()
    if place.is_relative_to(other) or other.is_relative_to(place):
        raise GradingError(f"{out} and {submissions} must not be inside each other: name another folder for the grades")
    if out.exists() and not out.is_dir():
        raise GradingError(f"{out} is a file: name a folder for the grades")
    out.mkdir(parents=True, exist_ok=True)
    lock = FileLock(out / ".lock", timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise GradingError(f"another grading is writing into {out}: wait for it, or name another folder") from None
    try:
        yield
    finally:
        lock.release()


def _known(names: Collection[str], known: Collection[str], kind: str) -> None:
    for name in names:
        if name not in known:
            raise GradingError(f"there is no {kind} {name!r}; there are: {', '.join(sorted(known))}")


def prepare(source: NotebookNode, out: Path, name: str) -> Official:
    """Run the solution under the nonce of this gradebook, and see that it gets full points."""
    nonce = _nonce(out, name)
    source.cells = [
        replaced(cell, homework.with_nonce(cell.source, nonce)) if role(cell) == "hidden" else cell
        for cell in source.cells
    ]
    seconds = float(meta(source)["seconds"])
    solution = homework.graded(source)
    printed = running.run(Job.of(solution, {}, seconds)).records
    references = {cell.id: printed[cell.id].get("lines", []) for cell in with_role(source, *SCORED)}
    records = running.run(Job.of(solution, references, seconds)).records
    for cell in solution:
        record = records[cell.id]
        if record["status"] != "ok" or not references.get(cell.id, ["no check"]):
            raise GradingError(f"the solution itself fails at {cell.id} ({record['status']}): {record.get('message')}")
    content = json.dumps([nbformat.writes(source), isolation().level, references])
    return Official(name, source, references, hashlib.sha256(content.encode()).hexdigest())


def _nonce(out: Path, name: str) -> int:
    """This gradebook's random number: drawn once and kept for the grader alone, so that grading again agrees."""
    path = out / STATE
    try:
        state = json.loads(path.read_text(encoding="utf-8"))
        nonce, theirs = int(state["nonce"]), str(state["homework"])
    except FileNotFoundError:
        nonce, theirs = secrets.randbits(128), name
    except (ValueError, KeyError, TypeError):  # cut short by a full disk: all are graded again, with another number
        print(f"{path} cannot be read: a new random number is drawn, and all are graded again", file=sys.stderr)
        nonce, theirs = secrets.randbits(128), name
    if theirs != name:
        raise GradingError(f"{out} holds the grades of {theirs}: name another folder for those of {name}")
    mask = os.umask(0o077)
    try:
        files.write(path, json.dumps({"homework": name, "nonce": str(nonce)}))
    finally:
        os.umask(mask)
    return nonce


def _todo(entry: Entry, official: Official, out: Path, again: Collection[str]) -> Todo:
    """Read a submission, unless its result is there."""
    faults: list[str] = []
    content = b""
    try:
        content = raw(entry.path) if entry.path is not None else b""
    except UnreadableError as error:
        faults.append(str(error))
    parts = (official.digest, hashlib.sha256(content).hexdigest(), repr((entry.student, entry.submission, faults)))
    todo = Todo(entry, hashlib.sha256("\0".join(parts).encode()).hexdigest(), faults=faults)
    todo.kept = _stored(out, todo)
    if todo.kept is not None and entry.student not in again:
        return todo
    try:
        if entry.path is not None and not faults:
            submission = read(entry.path)
            theirs = meta(submission).get("homework", official.name)
            if theirs != official.name:
                raise UnreadableError(f"it is another homework: {theirs[:20]}")
            todo.grafted = graft(official.source, submission)
    except UnreadableError as error:
        faults.append(str(error))
    except Exception as error:  # whatever one submission does to the grader, the others are graded
        faults.append(f"{FAILED}: {error or type(error).__name__}")
    if not todo.grafted.cells:
        todo.kept = None
    return todo


def _stored(out: Path, todo: Todo) -> Result | None:
    try:
        stored = json.loads(gradebook.stored(out, todo.entry.student).read_text(encoding="utf-8"))
        kept = Result(**stored)
    except (OSError, ValueError, TypeError):  # none, or cut short by a full disk
        return None
    return kept if kept.fingerprint == todo.fingerprint else None


def _merged(result: Result, kept: Result, official: Official, only: str) -> Result:
    """What was kept, but for one question."""
    cells = {cell.id for cell in official.source.cells if question(cell) == only}
    return replace(
        result,
        points=kept.points | {only: result.points[only]},
        cells={name: (result if name in cells else kept).cells[name] for name in result.cells},
    )


def _kind(message: str) -> str:
    """Of an exception in a hidden check, only its kind; its words could show the inputs."""
    name = message.rpartition("\n")[2].partition(": ")[0]
    known = isinstance(getattr(builtins, name, None), type) and issubclass(getattr(builtins, name), Exception)
    return f"it raised {name} here: " if known else ""


def _empty(record: Mapping[str, Any]) -> bool:
    """Whether a cell failed because nothing was written into the place for an answer."""
    lines = record.get("lines", [])
    said = all(f": {checks.UNWRITTEN}." in line for line in lines) if lines else False
    return said or record.get("message", "").rpartition("\n")[2] == f"NotImplementedError: {checks.STUB}"


def _result(todo: Todo, came: Run | str, official: Official, final: bool) -> Result:
    """One student's points; without a fingerprint where they are not the last word."""
    run = came if isinstance(came, Run) else Run({}, "", [came] if came else [])
    notes = [*todo.faults, *todo.grafted.notes, *run.notes]
    if run.slow:
        notes.append(SLOW if final else "stopped for its time: to be run by itself")
    cells: Records = {}
    points = {str(question(cell)): 0.0 for cell in with_role(official.source, "answer", *SCORED)}
    answers = {question(cell): run.records.get(cell.id, {}) for cell in with_role(official.source, "answer")}
    for cell in with_role(official.source, "answer", *SCORED):
        record = run.records.get(cell.id, {"status": "not run", "message": ""})
        status, message = record["status"], record.get("message", "")
        most = float(meta(cell).get("points", 0))
        earned = most if status == "ok" else 0.0
        failed, empty = status in ("wrong", "error"), _empty(record) or _empty(answers[question(cell)])
        # What a hidden check printed or raised shows what it asks: students get the author's hint instead.
        if role(cell) == "hidden" and failed:
            message = ("" if empty else _kind(message)) + meta(cell).get("hint", "")
        if failed and empty:
            status, message = "unanswered", "" if role(cell) == "answer" else message
        cells[cell.id] = {"status": status, "points": earned, "of": most}
        cells[cell.id]["message"] = "" if status == "ok" else message
        if role(cell) in SCORED:
            points[str(question(cell))] += earned
    return Result(
        todo.entry.student,
        todo.entry.submission,
        points,
        cells,
        notes,
        left_out=todo.grafted.left_out,
        answers={str(question(cell)): cell.source for cell in todo.grafted.cells if role(cell) == "answer"},
        isolation=run.isolation,
        seconds=round(sum(record.get("seconds", 0.0) for record in run.records.values()), 2),
        fingerprint="" if run.slow or any(note.startswith(FAILED) for note in notes) else todo.fingerprint,
    )
