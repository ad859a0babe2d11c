"""What one student gets, between the grader that makes it and the page that shows it."""

from dataclasses import dataclass, field
from typing import Any

STOPPED = ("timeout", "died", "output-limit")
MISSING = "nothing handed in"

Records = dict[str, dict[str, Any]]


@dataclass
class Result:
    """What one student gets.

    Attributes:
        student: the key: what the list or the file's name says.
        name: for people to read; two students may have the same.
        submission: the file.
        points: by question.
        cells: by id: status, message, points, and the most they could be.
        notes: what a person should look at; not empty means review.
        left_out: what of the submission was not run.
        answers: the source of each answer, by question.
        comments: what an assistant wrote, by question; its points are in `points` already.
        isolation: where it ran; empty if it did not.
        seconds: of processor time.
        fingerprint: of everything that the points follow from; empty if it is to be graded again.
    """

    student: str
    submission: str
    points: dict[str, float]
    cells: Records
    notes: list[str] = field(default_factory=list)
    name: str = ""
    left_out: list[str] = field(default_factory=list)
    answers: dict[str, str] = field(default_factory=dict)
    comments: dict[str, str] = field(default_factory=dict)
    isolation: str = ""
    seconds: float = 0.0
    fingerprint: str = ""

    @property
    def total(self) -> float:
        return sum(self.points.values())

    @property
    def status(self) -> str:
        """The worst that happened; "review" before all, until an assistant decided something."""
        if not self.submission and not self.notes:
            return MISSING
        if self.comments:
            return "reviewed"
        statuses = {cell["status"] for cell in self.cells.values()}
        found = [name for name in (*STOPPED, "not run", "error", "wrong", "unanswered") if name in statuses]
        return "review" if self.notes else found[0] if found else "ok"
