"""`rlcourse grade`: a folder of submissions becomes a gradebook and a page of feedback for each student.

A submission is data. What counts of it are the answers, taken by cell id and put into the official notebook; the rest
of it is never run. The official solution runs first, with this grading's own random number: what it prints is what the
answers must print. A cell that hangs, dies or floods costs its own question only, because the rest runs again without.
"""

import csv
import hashlib
import json
import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import nbformat
from joblib import Parallel, delayed
from nbformat import NotebookNode
from tqdm import tqdm

from rlcourse import files
from rlcourse.grading import homework
from rlcourse.grading.feedback import page
from rlcourse.grading.homework import SCORED, UnreadableError, meta, question, replaced, role, with_role
from rlcourse.grading.result import STOPPED, Records, Result
from rlcourse.grading.sandbox import ENVIRONMENT, KERNEL, isolation, write_kernelspec
from rlcourse.grading.submissions import Entry, entries

FAILED = "the grader failed"
STARTUP = 90  # seconds that a run may take besides its cells
INI = "[pytest]\n"
# jsonschema builds a parser of international addresses if it finds this package: 1.5 of 3.6 seconds per submission.
PYTEST = "import sys; sys.modules['rfc3987_syntax'] = None; import pytest; sys.exit(pytest.main())"


class GradingError(RuntimeError):
    """The grader itself does not work: nobody is graded."""


@dataclass(frozen=True)
class Official:
    """The homework, and what its checks print about the solution under this grading's nonce."""

    source: NotebookNode
    references: dict[str, list[str]]
    level: str
    digest: str

    @property
    def seconds(self) -> float:
        return float(meta(self.source)["seconds"])


def grade(submissions: Path, source: Path, out: Path, workers: int, students: Path | None = None) -> list[Result]:
    """Grade every submission; those that were graded before and have not changed keep their result.

    Raises:
        FileNotFoundError: no such homework or folder.
        MappingError: the list of students is not written as it must be.
        HomeworkError: the homework's source is not written as it must be.
        GradingError: the solution itself does not get full points here.
    """
    found = entries(submissions, students)
    official = prepare(homework.load(source), out)
    jobs = (delayed(_graded)(entry, official, source.stem, out) for entry in found)
    pool = Parallel(n_jobs=workers, backend="threading", return_as="generator")
    results = sorted(tqdm(pool(jobs), total=len(found), unit="submission"), key=lambda result: result.student)
    write_gradebook(results, official, out)
    return results


def prepare(source: NotebookNode, out: Path) -> Official:
    """Run the solution under the nonce of this gradebook, and see that it gets full points."""
    level = isolation().level
    nonce = _nonce(out)
    source.cells = [
        replaced(cell, homework.with_nonce(cell.source, nonce)) if role(cell) == "hidden" else cell
        for cell in source.cells
    ]
    seconds = float(meta(source)["seconds"])
    solution = homework.graded(source)
    printed, _ = attempt(solution, {}, seconds, level)
    references = {cell.id: printed.get(cell.id, {}).get("lines", []) for cell in with_role(source, *SCORED)}
    again, _ = attempt(solution, references, seconds, level)
    for cell in solution:
        record = again.get(cell.id, {"status": "not run"})
        if record["status"] != "ok" or not references.get(cell.id, ["no check"]):
            raise GradingError(f"the solution itself fails at {cell.id} ({record['status']}): {record.get('message')}")
    content = json.dumps([nbformat.writes(source), level, references])
    return Official(source, references, level, hashlib.sha256(content.encode()).hexdigest())


def _nonce(out: Path) -> int:
    """This gradebook's random number: drawn once and kept for the grader alone, so that grading again agrees."""
    path = out / ".nonce"
    out.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(str(secrets.randbits(128)))
    return int(path.read_text())


def _graded(entry: Entry, official: Official, name: str, out: Path) -> Result:
    content = homework.raw(entry.path) if entry.path is not None else None
    parts = (official.digest.encode(), content or b"", repr((entry.student, entry.name, entry.notes)).encode())
    fingerprint = hashlib.sha256(b"\0".join(parts)).hexdigest()
    kept = out / "results" / f"{entry.student}.json"
    if kept.exists():
        stored = json.loads(kept.read_text(encoding="utf-8"))
        if stored["fingerprint"] == fingerprint:
            return Result(**stored)
    result = grade_one(entry, official, name)
    if not any(note.startswith(FAILED) for note in result.notes):  # else the next grading tries again
        result.fingerprint = fingerprint
    files.write(out / "feedback" / f"{entry.student}.html", page(result, official.source, name))
    files.write(kept, json.dumps(asdict(result), indent=1, ensure_ascii=False))
    return result


def grade_one(entry: Entry, official: Official, name: str) -> Result:
    """One student's points, whatever the submission is."""
    notes, source = list(entry.notes), official.source
    records: Records = {}
    try:
        if entry.path is None:
            raise UnreadableError("there is no notebook")
        submission = homework.read_submission(entry.path)
        theirs = meta(submission).get("homework", name)
        if theirs != name:
            raise UnreadableError(f"it is another homework: {str(theirs)[:20]}")
        grafted = homework.graft(source, submission)
        notes += grafted.notes
        records = run(grafted.cells, official)
    except UnreadableError as error:
        notes.append(str(error))
    except Exception as error:  # whatever one submission does to the grader, the others are graded
        notes.append(f"{FAILED}: {type(error).__name__}: {error}")
    cells: Records = {}
    points = {str(question(cell)): 0.0 for cell in with_role(source, *SCORED)}
    for cell in source.cells:
        if role(cell) in ("answer", *SCORED):
            record = records.get(cell.id, {"status": "not run", "message": ""})
            most = float(meta(cell).get("points", 0))
            earned = most if record["status"] == "ok" else 0.0
            # What a hidden check printed or raised shows what it asks: students get the author's hint instead.
            message = meta(cell).get("hint", "") if role(cell) == "hidden" else record.get("message", "")
            cells[cell.id] = {"status": record["status"], "points": earned, "of": most}
            cells[cell.id]["message"] = "" if record["status"] == "ok" else message
            if role(cell) in SCORED:
                points[str(question(cell))] += earned
    return Result(entry.student, entry.name, points, cells, notes)


def run(cells: Sequence[NotebookNode], official: Official) -> Records:
    """Run the cells; where one hangs, dies or floods, run again without the answer that did it.

    Each cell keeps the verdict of the first run that reached it.
    """
    records: Records = {}
    without: set[str] = set()
    while True:
        kept = [_without(cell, official, without) for cell in cells]
        present = [cell for cell in kept if cell is not None]
        found, culprit = attempt(present, official.references, official.seconds, official.level)
        for name, record in found.items():
            records.setdefault(name, record)
        if culprit is None:
            return records
        suspects = _suspects(cells, culprit, without)
        if not suspects:
            raise GradingError(f"cell {culprit} stopped the kernel although no answer was left in")
        without |= suspects
        status = records[culprit]["status"]
        for cell in cells:
            if question(cell) is not None and question(cell) == _question_of(cells, culprit):
                records.setdefault(cell.id, {"status": status, "message": f"not run: {culprit} stopped the kernel"})


def _without(cell: NotebookNode, official: Official, without: set[str]) -> NotebookNode | None:
    """The cell, its stub if it is an answer that must not run again, or nothing if it is a student's own."""
    if cell.id not in without:
        return cell
    originals = {each.id: each.source for each in official.source.cells}
    return replaced(cell, homework.stub(originals[cell.id])) if role(cell) == "answer" else None


def _question_of(cells: Sequence[NotebookNode], name: str) -> str | None:
    return next(question(cell) for cell in cells if cell.id == name)


def _suspects(cells: Sequence[NotebookNode], culprit: str, without: set[str]) -> set[str]:
    """Whose code made a cell stop the kernel: its own, its question's answer, or else anybody's before it."""
    names = [cell.id for cell in cells]
    before = [cell for cell in cells[: names.index(culprit) + 1] if role(cell) in ("extra", "answer")]
    nearest = [c.id for c in before if c.id == culprit or question(c) == _question_of(cells, culprit) is not None]
    return set(nearest) - without or {cell.id for cell in before} - without


def attempt(
    cells: Sequence[NotebookNode], references: Mapping[str, list[str]], seconds: float, level: str
) -> tuple[Records, str | None]:
    """One run of nbval over the cells: what was recorded of each, and the cell that stopped it, if one did.

    Raises:
        GradingError: no cell was run at all.
    """
    with TemporaryDirectory(prefix="rlcourse-") as name:
        folder = Path(name)
        (folder / "sockets").mkdir()
        write_kernelspec(folder / "jupyter", folder / "sockets", level)
        nbformat.write(homework.notebook_of(cells), folder / "graded.ipynb")
        (folder / "references.json").write_text(json.dumps(references))
        (folder / "pytest.ini").write_text(INI)
        log = folder / "log"
        words = ["-c", PYTEST, "--noconftest", "-c", "pytest.ini", "-p", "nbval.plugin", "-p", "no:cacheprovider"]
        words += ["-p", "rlcourse.grading.plugin", "--grading-log", str(log), "--nbval-lax", "--color=no"]
        words += ["--grading-references", "references.json", "--nbval-kernel-name", KERNEL]
        words += ["--nbval-cell-timeout", str(seconds), "graded.ipynb"]
        environment = os.environ | {
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
            "PYTEST_ADDOPTS": "",
            "PYTHONPATH": ENVIRONMENT["PYTHONPATH"],
            "JUPYTER_PATH": str(folder / "jupyter"),
            "JUPYTER_RUNTIME_DIR": str(folder / "sockets"),
        }
        said = _supervised([sys.executable, *words], folder, environment, STARTUP + seconds * 4)
        return _read_log(log, said)


def _supervised(command: Sequence[str], folder: Path, environment: Mapping[str, str], seconds: float) -> str:
    """Run a command under a time limit and kill all that is left of it; return what it said."""
    with (folder / "said").open("w+b") as said:
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=said, stderr=subprocess.STDOUT,
            start_new_session=True,
        )  # fmt: skip
        try:
            process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            pass
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        said.seek(0)
        return said.read(100_000).decode(errors="replace")


def _read_log(log: Path, said: str) -> tuple[Records, str | None]:
    if not log.exists():
        raise GradingError(f"nbval did not run: {said[-1000:]}")
    records: Records = {}
    for line in log.read_text(encoding="utf-8").splitlines():
        record = json.loads(line)
        records[record.pop("id")] = record
    for name, record in records.items():
        if record["status"] == "started":  # nbval itself was killed or crashed here
            record |= {"status": "timeout", "message": "stopped by the limit for the whole notebook"}
        if record["status"] in STOPPED:
            return records, name
    return records, None


def write_gradebook(results: Sequence[Result], official: Official, out: Path) -> None:
    """`grades.csv` for a spreadsheet, `grades.json` with everything."""
    questions = list(dict.fromkeys(str(question(cell)) for cell in with_role(official.source, *SCORED)))
    most = {
        q: sum(meta(c)["points"] for c in with_role(official.source, *SCORED) if question(c) == q) for q in questions
    }
    rows = [["student", "submission", "total", *questions, "status", "notes"]]
    rows.append(["(most)", "", _number(sum(most.values())), *(_number(most[q]) for q in questions), "", ""])
    for one in results:
        scores = [_number(one.points[q]) for q in questions]
        rows.append([one.student, one.submission, _number(one.total), *scores, one.status, "; ".join(one.notes)])
    draft = out / "grades.csv.draft"
    with draft.open("w", newline="", encoding="utf-8-sig") as file:  # the mark lets a spreadsheet see accents
        csv.writer(file).writerows([[_harmless(text) for text in row] for row in rows])
    draft.replace(out / "grades.csv")
    everything = {
        "isolation": str(isolation()),
        "most": most,
        "students": [{**asdict(one), "total": one.total, "status": one.status} for one in results],
    }
    files.write(out / "grades.json", json.dumps(everything, indent=1, ensure_ascii=False))


def _number(value: float) -> str:
    return f"{value:g}"


def _harmless(text: str) -> str:
    """A spreadsheet would run a cell that begins like a formula; a file name can."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t")) else text


def summary(results: Iterable[Result]) -> str:
    """The gradebook's last line on the screen."""
    results = list(results)
    review = [one.student for one in results if one.status == "review"]
    text = f"{len(results)} graded"
    return text + (f", {len(review)} to review: {', '.join(review)}" if review else "")
