"""What a homework's checks say about right answers and about plausible mistakes, under many nonces.

`python -m tests.grading.mutants hw01` prints the table. All answers share one process: a kernel for each would take
an hour. Each homework's answers stand in `notebooks/instructor/hwNN_answers.py`.
"""

import contextlib
import io
import runpy
import sys
from dataclasses import dataclass
from pathlib import Path

from rlcourse.grading import checks, homework
from rlcourse.grading.homework import meta, question, role

INSTRUCTOR = Path(__file__).parents[2] / "notebooks" / "instructor"
NAMES = sorted(path.stem for path in INSTRUCTOR.glob("hw??.ipynb"))


@dataclass(frozen=True)
class Row:
    """One answer to one question.

    Attributes:
        right: whether it is meant to be right.
        message: what the visible check must say about it.
        verdicts: what the visible check printed.
        passed: under how many nonces the hidden check accepted it.
    """

    question: str
    right: bool
    message: str
    verdicts: tuple[str, ...]
    passed: int

    @property
    def complaints(self) -> tuple[str, ...]:
        return tuple(line for line in self.verdicts if line.startswith(checks.WRONG))


class Course:
    """A homework whose cells run here, each question with any answer and any nonce."""

    def __init__(self, name: str) -> None:
        self.source = homework.load(INSTRUCTOR / f"{name}.ipynb")
        answers = runpy.run_path(str(INSTRUCTOR / f"{name}_answers.py"))
        self.right: dict[str, list[str]] = answers["RIGHT"]
        self.wrong: dict[str, list[tuple[str, str, str]]] = answers["WRONG"]
        self.official = {question(c): c.source for c in homework.with_role(self.source, "answer")}

    def names(self, answer: str) -> dict[str, object]:
        """What the cells have defined once the setup and an answer were run; what these print is lost."""
        names: dict[str, object] = {}
        setup = [c.source for c in self.source.cells if role(c) == "setup" and question(c) is None]
        with contextlib.redirect_stdout(io.StringIO()):
            for text in [*setup, answer]:
                exec(text, names)
        return names

    def experiment(self, asked: str) -> str:
        """What a question's experiment prints with the official answer."""
        (cell,) = (c for c in self.source.cells if role(c) == "setup" and question(c) == asked)
        out, names = io.StringIO(), self.names(self.official[asked])
        with contextlib.redirect_stdout(out):
            exec(cell.source, names)
        return out.getvalue()

    def printed(self, asked: str, answer: str, kind: str, nonces: range) -> list[list[str]]:
        """The marked lines of a question's cells of one kind, for each nonce; an exception is a line of its own."""
        cells = [c for c in self.source.cells if role(c) == kind and question(c) == asked]
        names, lines = self.names(answer), []
        for nonce in nonces:
            out = io.StringIO()
            with contextlib.redirect_stdout(out):
                for cell in cells:
                    try:
                        exec(homework.with_nonce(cell.source, nonce), dict(names))
                    except Exception as error:
                        print(checks.WRONG, type(error).__name__)
            lines.append(checks.marked(out.getvalue()))
        return lines

    def rows(self, nonces: range) -> list[Row]:
        rows = []
        for asked, official in self.official.items():
            assert asked is not None
            rtol = max(meta(c).get("rtol", checks.RTOL) for c in self.source.cells if question(c) == asked)
            references = self.printed(asked, official, "hidden", nonces)
            answers = [(True, "", text) for text in (official, *self.right[asked])]
            for old, new, message in self.wrong[asked]:
                assert old in official, f"{asked}: the solution has no {old!r} to change"
                answers.append((False, message, official.replace(old, new)))
            for right, message, text in answers:
                (verdicts,) = self.printed(asked, text, "check", range(1))
                found = self.printed(asked, text, "hidden", nonces)
                passed = sum(map(checks.agree, references, found, [rtol] * len(found)))
                rows.append(Row(asked, right, message, tuple(verdicts), passed))
        return rows


def main(names: list[str]) -> None:
    for name in names:
        nonces = range(1, 101)
        print(f"{name}: hidden checks passed under {len(nonces)} nonces, and what the visible check says")
        for row in Course(name).rows(nonces):
            said = row.complaints[0] if row.complaints else f"{len(row.verdicts)} × {checks.RIGHT}"
            print(f"{row.question:22}{'right' if row.right else 'wrong'} {row.passed:4}  {said}")


if __name__ == "__main__":
    main(sys.argv[1:] or NAMES)
