"""What one student gets, between the grader that makes it and the page that shows it."""

from dataclasses import dataclass, field
from typing import Any

STOPPED = ("timeout", "died", "output-limit")

Records = dict[str, dict[str, Any]]


@dataclass
class Result:
    """What one student gets.

    Attributes:
        points: by question.
        cells: by id: status, message, points, and the most they could be.
        notes: what a person should look at; not empty means review.
        fingerprint: of everything that the points follow from.
    """

    student: str
    submission: str
    points: dict[str, float]
    cells: Records
    notes: list[str] = field(default_factory=list)
    fingerprint: str = ""

    @property
    def total(self) -> float:
        return sum(self.points.values())

    @property
    def status(self) -> str:
        """The worst that happened; "review" before all."""
        statuses = {cell["status"] for cell in self.cells.values()}
        found = [name for name in (*STOPPED, "error", "wrong") if name in statuses]
        return "review" if self.notes else found[0] if found else "ok"
