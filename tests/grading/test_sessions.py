"""The plan of nine sessions: it names demos and presets that exist, questions that the lectures ask, and fits."""

import re
from importlib import import_module
from pathlib import Path

import nbformat
import pytest

from rlcourse.demos import questions

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
PLAN = (NOTEBOOKS / "instructor/sessions.md").read_text(encoding="utf-8")
SESSIONS = dict(zip(sorted(NOTEBOOKS.glob("*.ipynb")), PLAN.split("\n## ")[1:], strict=True))
DEMO = re.compile(r'`(\w+)`: "([^"]+)"')


@pytest.mark.parametrize("lecture", SESSIONS, ids=lambda path: path.stem)
def test_a_session(lecture: Path) -> None:
    plan = SESSIONS[lecture]
    number, title = plan.splitlines()[0].split(" · ")
    starts = [int(minute) for minute in re.findall(r"^\| (\d+) \|", plan, re.MULTILINE)]
    assert starts[0] == 0
    assert starts == sorted(set(starts))
    assert all(late - early <= 16 for early, late in zip(starts, [*starts[1:], 90], strict=True))
    assert f"homework {number}" in plan.lower()
    notebook = nbformat.read(lecture, as_version=4)
    assert notebook.cells[0].source.splitlines()[0] == f"# {number} · {title}"

    demos = DEMO.findall(plan)
    assert all(preset in import_module(f"rlcourse.widgets.{name}").PRESETS for name, preset in demos)
    own = questions()[f"{number} {title}"]
    assert {name for name, _ in demos} <= set(own)

    asked = sum(cell.source.count("lessons.predict(") for cell in notebook.cells)
    assert 3 <= plan.count("✋") <= asked
