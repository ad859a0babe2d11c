"""What it costs to grade a class: the solution of each homework, handed in several times, two at a time."""

import shutil
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.table import Table

from rlcourse.grading import grade, homework
from rlcourse.grading.release import SOURCES
from tests.benchmarks.timing import mark, results

SUBMISSIONS, CLASS, WORKERS, MINUTES = 6, 200, 2, 15


def tables() -> list[Table]:
    table = results(f"grading {CLASS} submissions, {WORKERS} at a time, from {SUBMISSIONS}")
    for source in sorted(SOURCES.glob("hw*.ipynb")):
        with TemporaryDirectory() as name:
            folder = Path(name)
            (folder / "class").mkdir()
            for number in range(SUBMISSIONS):
                shutil.copy(source, folder / "class" / f"{number}.ipynb")
            start = time.perf_counter()
            grade.prepare(homework.load(source), folder / "grades")
            prepared = time.perf_counter()
            grade.grade(folder / "class", source, folder / "grades", WORKERS)  # prepares once more
            each = (time.perf_counter() - prepared - (prepared - start)) / SUBMISSIONS
        minutes = CLASS * each / 60
        table.add_row(
            source.stem, f"{minutes:.0f} min, {each:.1f} s each", f"≤ {MINUTES} min", mark(minutes <= MINUTES)
        )
    return [table]
