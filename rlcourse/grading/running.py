"""Running one submission: a process with a kernel in the sandbox, and another one after each cell that stopped it.

It takes and returns plain data, so that it may run on another machine. Each cell keeps the verdict of the first run
that reached it, and is left out of the next if it stopped the kernel: a cell costs its own points only.
"""

import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import mkdtemp
from threading import Event, Thread, current_thread, main_thread

import nbformat
from nbformat import NotebookNode

from rlcourse.grading import homework, limits
from rlcourse.grading.homework import OWN, SCORED, question, role
from rlcourse.grading.plugin import NOTEBOOK, SOCKETS, Order, order_text, signed
from rlcourse.grading.result import Records
from rlcourse.grading.sandbox import ENVIRONMENT, isolation, write_kernelspec

ATTEMPTS = 6  # runs of one submission; each but the first because a cell stopped the kernel
STARTUP = 90  # seconds that a run may take besides its cells
STOPPED = 60  # seconds for what was stopped to go
# jsonschema builds a parser of international addresses if it finds this package: 1.5 of 3.6 seconds per submission.
NO_PARSER = "import sys; sys.modules['rfc3987_syntax'] = None; "
PYTHON = NO_PARSER + "from rlcourse.grading import plugin; plugin.main()"
FORGED = "the record of the run does not add up: somebody wrote into it"

stopping = Event()
running: set["subprocess.Popen[bytes]"] = set()
left: dict[str, "Left"] = {}  # by group of processes: what is to be removed when an attempt ends


class GradingError(RuntimeError):
    """The grader itself does not work."""


@dataclass(frozen=True)
class Job:
    """What to run: plain data, for this machine or another one.

    Attributes:
        notebook: the cells, as JSON.
        references: the marked lines that checks must print, by cell id.
        seconds: of processor time that a cell may take.
    """

    notebook: str
    references: Mapping[str, list[str]]
    seconds: float

    @classmethod
    def of(cls, cells: Sequence[NotebookNode], references: Mapping[str, list[str]], seconds: float) -> "Job":
        return cls(nbformat.writes(homework.notebook_of(cells)), references, seconds)


@dataclass
class Left:
    """What an attempt leaves behind, and the thread that removes it."""

    folders: list[Path] = field(default_factory=list)
    thread: Thread = field(default_factory=current_thread)


@dataclass
class Run:
    """What came of it.

    Attributes:
        records: status, message, marked lines and seconds of processor time, by cell id.
        isolation: where it ran.
        notes: what a person should look at.
    """

    records: Records
    isolation: str
    notes: list[str] = field(default_factory=list)

    @property
    def slow(self) -> bool:
        """Whether time decided about something."""
        return any(record["status"] in ("timeout", "not run") for record in self.records.values())


def run(job: Job) -> Run:
    """Run the cells, again without those that stopped the kernel, until all have a verdict or the time is used up.

    Raises:
        GradingError: not even the official cells could be run.
    """
    cells = nbformat.reads(job.notebook, as_version=4).cells
    found = Run({}, str(isolation()))
    own, rest = job.seconds, limits.CELLS * job.seconds
    left_out: set[str] = set()
    for _ in range(ATTEMPTS):
        present = [cell for cell in cells if cell.id not in left_out]
        records, culprit, notes = attempt(present, job, own, rest)
        found.notes += [note for note in notes if note not in found.notes]
        for cell in present:
            if cell.id in records:
                record = found.records.setdefault(cell.id, records[cell.id])
                seconds = records[cell.id].get("seconds", 0.0)
                own, rest = (own - seconds, rest) if role(cell) == "extra" else (own, rest - seconds)
                if record["status"] == "timeout":
                    left_out.add(cell.id)
        if culprit is None or rest <= 0:
            break
        left_out |= _blamed(cells, culprit, found.records, left_out)
    for cell in cells:
        if cell.id not in found.records:
            found.records[cell.id] = {"status": "not run", "message": "not run: the submission used up its time"}
    found.records = {c.id: found.records[c.id] for c in cells if role(c) not in OWN}
    if isolation().level != "bubblewrap":
        found.notes.append("graded without a sandbox: what it prints may be forged")
    return found


def _blamed(cells: Sequence[NotebookNode], culprit: str, records: Records, left_out: set[str]) -> set[str]:
    """What to leave out of the next run. A question whose answer stopped the kernel has no checks to run."""
    cell = next(cell for cell in cells if cell.id == culprit)
    if role(cell) in (*OWN, *SCORED):
        return {culprit}
    before = [each for each in cells[: cells.index(cell) + 1] if role(each) in (*OWN, "answer")]
    blamed = {culprit} if role(cell) == "answer" else {each.id for each in before} - left_out
    if not blamed:
        raise GradingError(f"cell {culprit} stopped the kernel although nothing of the student's was left in")
    if role(cell) != "answer":  # official and harmless: it will run well without what stands before it
        del records[culprit]
    status = "died" if culprit not in records else records[culprit]["status"]
    for each in cells:
        if question(each) in {question(c) for c in cells if c.id in blamed and role(c) == "answer"}:
            records.setdefault(each.id, {"status": status, "message": f"not run: {culprit} stopped the kernel"})
    return blamed | {each.id for each in cells if records.get(each.id, {}).get("message", "").startswith("not run: ")}


def attempt(cells: Sequence[NotebookNode], job: Job, own: float, rest: float) -> tuple[Records, str | None, list[str]]:
    """One run of nbval over the cells: what was recorded of each, the cell that stopped it, and notes.

    Raises:
        GradingError: no cell was run at all.
    """
    group = f"rlcourse-{os.getpid()}-{secrets.token_hex(8)}"
    with _places(group) as (folder, elsewhere):
        sockets, log = folder / SOCKETS, elsewhere / secrets.token_hex(8)
        sockets.mkdir()
        write_kernelspec(folder / "jupyter", sockets, isolation().level, group)
        for name, text in ((NOTEBOOK, "{}"), ("pytest.ini", "[pytest]\n")):
            (folder / name).write_text(text)
        notebook, key = nbformat.writes(homework.notebook_of(cells)), secrets.token_hex(16)
        order = Order(notebook, job.references, job.seconds, own, rest, str(log), key)
        environment = os.environ | {
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
            "PYTEST_ADDOPTS": "",
            "PYTHONPATH": ENVIRONMENT["PYTHONPATH"],
            "JUPYTER_PATH": str(folder / "jupyter"),
            "JUPYTER_RUNTIME_DIR": str(sockets),
        }
        seconds = STARTUP + limits.WIDER * (own + rest)
        said, late = _supervised([sys.executable, "-c", PYTHON], folder, environment, order_text(order), seconds)
        return _read_log(log, key, said, late)


@contextmanager
def _places(group: str) -> Iterator[list[Path]]:
    """Two new folders, away from each other; when the block ends they and the group of processes are removed."""
    left[group] = Left()
    try:
        for _ in range(2):
            left[group].folders.append(Path(mkdtemp(prefix="rlcourse-")))
        yield left[group].folders
    finally:
        _clear(group)


def _clear(group: str) -> None:
    limits.bounds().end(group)
    for folder in left[group].folders:
        limits.remove(folder)
    del left[group]


def _supervised(
    command: Sequence[str], folder: Path, environment: Mapping[str, str], given: bytes, seconds: float
) -> tuple[str, bool]:
    """Run a command under a limit of time and kill what is left of it; return what it said, and whether it was late."""
    with (folder / "said").open("w+b") as said:
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdin=subprocess.PIPE, stdout=said, stderr=subprocess.STDOUT,
            start_new_session=True,
        )  # fmt: skip
        running.add(process)
        late = False
        try:
            if stopping.is_set():  # the grader was told to stop after it looked and before this was in its list
                _end(process)
            with suppress(BrokenPipeError):
                process.communicate(given, timeout=seconds)
        except subprocess.TimeoutExpired:
            late = True
        finally:
            running.discard(process)
            _end(process)
            process.wait()
        if stopping.is_set():
            raise GradingError("stopped")
        said.seek(0)
        return said.read(100_000).decode(errors="replace"), late


def _end(process: "subprocess.Popen[bytes]") -> None:
    """Kill a run with its kernel, which is in a session of its own."""
    children = limits.offspring(process.pid) if process.poll() is None else []  # its number may be another's by now
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    limits.kill(children)


@contextmanager
def session() -> Iterator[None]:
    """Runs that end, whatever they are at, if the block does so early."""
    stopping.clear()
    try:
        yield
    except BaseException:
        stop()
        raise


def stop() -> None:
    """End what runs, let nothing new begin, and wait until nothing of it is left.

    The threads of a pool end with this process, wherever they are: so this waits until each has removed its folders.
    What this thread was interrupted at it removes itself; another Ctrl-C does not interrupt that.
    """
    stopping.set()
    with _undisturbed():
        deadline = time.monotonic() + STOPPED
        while left and time.monotonic() < deadline:
            for process in list(running):
                _end(process)
            for group, each in list(left.items()):
                if each.thread is current_thread():
                    _clear(group)
            time.sleep(0.05)


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Neither Ctrl-C nor SIGTERM; only the main thread is ever interrupted by them."""
    if current_thread() is not main_thread():
        yield
        return
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _read_log(log: Path, key: str, said: str, late: bool) -> tuple[Records, str | None, list[str]]:
    if not log.exists():
        raise GradingError(f"nbval did not run: {said[-1000:]}")
    records: Records = {}
    notes = []
    for number, line in enumerate(log.read_text(encoding="utf-8", errors="replace").splitlines()):
        signature, _, text = line.partition(" ")
        if not secrets.compare_digest(signature.encode(), signed(key, number, text).encode()):
            notes = [FORGED]  # nothing after it counts
            break
        record = json.loads(text)
        records[record.pop("id")] = record
    for name, record in records.items():
        if record["status"] == "started":  # nbval itself was killed or crashed here
            record |= {"status": "died", "message": "the process that watches the kernel was killed"}
            if late:
                record |= {"status": "timeout", "message": "stopped by the limit for the whole notebook"}
            return records, name, notes
        if record.pop("stopped", False):
            return records, name, notes
    return records, None, notes
