"""What a grading leaves behind: tables, statistics, pages for students and for assistants; and what assistants decide.

An assistant's decisions stand in `by_hand.csv`, which is read and never written over.
"""

import csv
import io
import json
import re
import zipfile
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from nbformat import NotebookNode

from rlcourse import files
from rlcourse.grading import alike, feedback
from rlcourse.grading.homework import SCORED, meta, question, with_role
from rlcourse.grading.persons import Entry, Roster
from rlcourse.grading.result import Result
from rlcourse.grading.running import GradingError
from rlcourse.grading.sandbox import isolation

BY_HAND = "by_hand.csv"
HEADING = ["student", "question", "points", "comment"]
# A spreadsheet runs a cell that begins like this, also after a semicolon where that separates cells; names can.
FORMULA = re.compile(r"(^|[;\n\r])(?!\s*[-+]?[\d.]*\s*$)(?=\s*[=+\-@\t\r＝＋－＠])")

Decisions = dict[tuple[str, str], tuple[float | None, str]]


def stored(out: Path, student: str) -> Path:
    """Where a student's result is."""
    return out / "results" / f"{student}.json"


def by_hand(out: Path, students: Collection[str], questions: Collection[str]) -> Decisions:
    """What assistants decided: points, or None where they stay, and a comment, by student and question.

    Raises:
        GradingError: a row names nobody, no question, no points or the same as another; says which and what it must
            hold.
    """
    # As they stand in grades.csv, from where they are copied.
    keys = {harmless(each).strip(): each for each in students}
    path = out / BY_HAND
    if not path.exists():
        files.write(path, ",".join(HEADING) + "\n")
    text = path.read_text(encoding="utf-8-sig", errors="replace")
    separator = ";" if ";" in text.partition("\n")[0] else ","
    found: Decisions = {}
    try:
        rows = [*csv.reader(io.StringIO(text), delimiter=separator)]
    except csv.Error as error:
        raise GradingError(f"{path}: {error}: it must hold the columns {', '.join(HEADING)}") from None
    for number, row in enumerate(rows, start=1):
        student, name, points, comment = [*(each.strip() for each in row), "", "", "", ""][:4]
        student = keys.get(student, student)
        if student.casefold() == HEADING[0] or not any(row):
            continue
        try:
            value = float(points.replace(",", ".")) if points else None
        except ValueError:
            value = -1.0
        for fault, wanted in (
            (student not in students, f"student {student!r} must be one of the column `student` in grades.csv"),
            (name not in questions, f"question {name!r} must be one of {', '.join(sorted(questions))}"),
            ((student, name) in found, f"{student!r}, {name!r} was decided in a line before: leave one of the two"),
            (value is not None and not 0 <= value < 1e6, f"points {points!r} must be a number, 0 or more, or nothing"),
        ):
            if fault:
                raise GradingError(f"{path}, line {number}: {wanted}")
        found[student, name] = (value, comment)
    return found


@dataclass
class Book:
    """The gradebook in the folder `out`."""

    out: Path
    homework: str
    source: NotebookNode
    students: Roster | None = None
    decisions: Decisions = field(default_factory=dict)
    found: dict[str, Result] = field(default_factory=dict)

    def add(self, result: Result, entry: Entry) -> None:
        """Take in a result, and keep it for the next time."""
        files.write(stored(self.out, result.student), json.dumps(asdict(result), indent=1, ensure_ascii=False))
        known = replace(result, notes=[*entry.notes, *result.notes], name=entry.name)
        self.found[result.student] = decided(known, self.decisions)

    def results(self) -> list[Result]:
        return sorted(self.found.values(), key=lambda result: result.student)

    def write(self, pages: bool = True) -> None:
        """`grades.csv` for a spreadsheet, `grades.json` with everything; and the pages."""
        results = self.results()
        most = self._most()
        self._table("grades.csv", [*self._rows(results, most)])
        if self.students is not None:
            totals = {one.student: f"{one.total:g}" for one in results if one.submission or one.total}
            self._table("upload.csv", self.students.filled(totals, self.homework))
        groups = alike.groups(results, self.source)
        everything = {
            "homework": self.homework,
            "isolation": sorted({one.isolation for one in results if one.isolation} or {str(isolation())}),
            "most": most,
            "statistics": self._statistics(results),
            "alike": groups,
            "students": [{**asdict(one), "total": one.total, "status": one.status} for one in results],
        }
        files.write(self.out / "grades.json", json.dumps(everything, indent=1, ensure_ascii=False))
        if pages:
            self._pages(results, groups)

    def _most(self) -> dict[str, float]:
        most: dict[str, float] = {}
        for cell in with_role(self.source, *SCORED):
            most[str(question(cell))] = most.get(str(question(cell)), 0) + meta(cell)["points"]
        return most

    def _rows(self, results: Sequence[Result], most: Mapping[str, float]) -> list[list[str]]:
        handed_in = [one for one in results if one.submission]
        rows = [["student", "name", "submission", "total", *most, "status", "notes", "seconds"]]
        rows.append(["(most)", "", "", f"{sum(most.values()):g}", *(f"{each:g}" for each in most.values()), "", "", ""])
        if handed_in:
            means = [sum(one.points[q] for one in handed_in) / len(handed_in) for q in most]
            rows.append(["(mean)", "", "", f"{sum(means):.2f}", *(f"{each:.2f}" for each in means), "", "", ""])
        for one in results:
            points = [f"{one.points[q]:g}" for q in most]
            rows.append([one.student, one.name, one.submission, f"{one.total:g}", *points, one.status])
            rows[-1] += ["; ".join(one.notes), f"{one.seconds:.1f}"]
        return rows

    def _table(self, name: str, rows: Sequence[Sequence[str]]) -> None:
        text = io.StringIO()
        csv.writer(text).writerows([[harmless(cell) for cell in row] for row in rows])
        files.write(self.out / name, "\ufeff" + text.getvalue())  # the mark lets a spreadsheet see accents

    def _statistics(self, results: Sequence[Result]) -> dict[str, dict[str, Any]]:
        """How many passed each check, among those whose notebook was run: a check that nobody passes may be broken."""
        ran = [one for one in results if one.isolation]
        found: dict[str, dict[str, Any]] = {}
        for cell in with_role(self.source, *SCORED):
            statuses = [one.cells[cell.id]["status"] for one in ran if cell.id in one.cells]
            counts = {status: statuses.count(status) for status in sorted(set(statuses))}
            found[cell.id] = {"question": question(cell), "of": len(statuses), "statuses": counts}
        return found

    def _pages(self, results: Sequence[Result], groups: Sequence[Mapping[str, Any]]) -> None:
        bundle = io.BytesIO()
        with zipfile.ZipFile(bundle, "w", zipfile.ZIP_DEFLATED) as archive:
            for one in results:
                text = feedback.page(one, self.source, self.homework)
                files.write(self.out / "feedback" / f"{one.student}.html", text)
                archive.writestr(f"{one.student}.html", text.encode(errors="replace"))
        files.write(self.out / "feedback.zip", bundle.getvalue())
        statistics, most = self._statistics(results), self._most()
        files.write(
            self.out / "review" / "index.html", feedback.overview(results, statistics, groups, self.homework, most)
        )
        for name in most:
            text = feedback.review(name, results, self.source, self.homework, most[name])
            files.write(self.out / "review" / f"{name}.html", text)


def decided(result: Result, decisions: Decisions) -> Result:
    """The result with what assistants decided."""
    mine = {name: decision for (student, name), decision in decisions.items() if student == result.student}
    points = {name: value for name, (value, _) in mine.items() if value is not None}
    comments = {name: comment for name, (_, comment) in mine.items()}
    return replace(result, points=result.points | points, comments=comments)


def harmless(text: str) -> str:
    return FORMULA.sub(r"\1'", text)


def summary(results: Sequence[Result]) -> str:
    """The gradebook's last line on the screen."""
    review = [one.student for one in results if one.status == "review"]
    missing = sum(not one.submission and not one.notes for one in results)
    text = f"{len(results) - missing} graded"
    text += f", {missing} handed in nothing" if missing else ""
    return text + (f", {len(review)} to review: {', '.join(review)}" if review else "")
