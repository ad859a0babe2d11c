"""The plan of the sessions: it names demos and presets that exist, questions that the lectures ask, and fits."""

import re
from importlib import import_module
from pathlib import Path

import nbformat
import pytest

from rlcourse.demos import questions

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
PLAN = (NOTEBOOKS / "instructor/sessions.md").read_text(encoding="utf-8")
SESSIONS = PLAN.split("\n## ")[1:]  # `test_complete` says which lecture has none
LECTURES = {
    nbformat.read(path, as_version=4).cells[0].source.splitlines()[0]: path for path in NOTEBOOKS.glob("*.ipynb")
}
DEMO = re.compile(r'`(\w+)`: "([^"]+)"')


@pytest.mark.parametrize("plan", SESSIONS, ids=lambda plan: plan.splitlines()[0])
def test_a_session(plan: str) -> None:
    number, title = plan.splitlines()[0].split(" · ")
    starts = [int(minute) for minute in re.findall(r"^\| (\d+) \|", plan, re.MULTILINE)]
    assert starts[0] == 0
    assert starts == sorted(set(starts))
    assert all(late - early <= 16 for early, late in zip(starts, [*starts[1:], 90], strict=True))
    assert f"homework {number}" in plan.lower()
    notebook = nbformat.read(LECTURES[f"# {number} · {title}"], as_version=4)

    demos = DEMO.findall(plan)
    assert all(preset in import_module(f"rlcourse.widgets.{name}").PRESETS for name, preset in demos)
    own = questions()[f"{number} {title}"]
    assert {name for name, _ in demos} <= set(own)

    asked = sum(cell.source.count("lessons.predict(") for cell in notebook.cells)
    assert 3 <= plan.count("✋") <= asked
