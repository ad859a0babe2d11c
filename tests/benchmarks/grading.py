"""What it costs to grade a class: the solution of each homework, handed in several times, two at a time.

Processor time counts, of all processes, not the time on the wall: it says the same on a busy machine.
"""

import os
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.table import Table

from rlcourse.grading import grade, homework
from rlcourse.grading.release import SOURCES
from tests.benchmarks.timing import mark, results

SUBMISSIONS, CLASS, CORES, MINUTES = 6, 200, 2, 15


def tables() -> list[Table]:
    table = results(f"grading {CLASS} submissions on {CORES} cores, from {SUBMISSIONS}")
    for source in sorted(SOURCES.glob("hw*.ipynb")):
        with TemporaryDirectory() as name:
            folder = Path(name)
            (folder / "class").mkdir()
            for number in range(SUBMISSIONS):
                shutil.copy(source, folder / "class" / f"{number}.ipynb")
            start = processor_time()
            grade.prepare(homework.load(source), folder / "grades", source.stem)
            prepared = processor_time()
            grade.grade(folder / "class", source, folder / "grades", CORES)  # prepares once more
            each = (processor_time() - prepared - (prepared - start)) / SUBMISSIONS
        minutes = CLASS * each / CORES / 60
        table.add_row(
            source.stem, f"{minutes:.0f} min, {each:.1f} CPU-s each", f"≤ {MINUTES} min", mark(minutes <= MINUTES)
        )
    return [table]


def processor_time() -> float:
    """Seconds that this process and all that it waited for have used."""
    return sum(os.times()[:4])
