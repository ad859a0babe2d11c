"""The page that a student gets back: verdicts, points and what to look at; everything in it is escaped."""

from typing import TYPE_CHECKING

from jinja2 import Environment
from nbformat import NotebookNode

from rlcourse.grading.homework import meta, question, role

if TYPE_CHECKING:
    from rlcourse.grading.result import Result

KINDS = {"answer": "your answer", "check": "visible check", "hidden": "hidden check"}
MEANINGS = {
    "ok": "✔ right",
    "wrong": "✘ wrong",
    "error": "✘ raised an exception",
    "timeout": "✘ took too long",
    "died": "✘ killed the kernel",
    "output-limit": "✘ printed too much",
    "not run": "✘ not run",
}
TEMPLATE = Environment(autoescape=True).from_string("""<!doctype html>
<html lang="en"><meta charset="utf-8"><title>{{ homework }}: {{ result.student }}</title>
<style>
body { font: 16px/1.5 sans-serif; max-width: 60em; margin: 2em auto; padding: 0 1em }
table { border-collapse: collapse; width: 100% } td, th { padding: .3em .6em; text-align: left; vertical-align: top }
tr { border-bottom: 1px solid #ccc } pre { white-space: pre-wrap; margin: 0; font-size: 14px }
</style>
<h1>{{ homework }}: {{ "%g" % result.total }} of {{ "%g" % most }} points</h1>
<p>{{ result.student }}{% if result.submission %}, from {{ result.submission }}{% endif %}</p>
{% for note in result.notes %}<p><strong>A person looks at this:</strong> {{ note }}</p>
{% endfor %}{% for name, cells in questions.items() %}
<h2>{{ name }}: {{ "%g" % result.points[name] }} points</h2>
<table><tr><th>cell</th><th>verdict</th><th>points</th><th>what to look at</th></tr>
{% for kind, cell in cells %}<tr><td>{{ kind }}</td><td>{{ meanings.get(cell.status, cell.status) }}</td>
<td>{% if cell.of %}{{ "%g" % cell.points }} of {{ "%g" % cell.of }}{% endif %}</td>
<td><pre>{{ cell.message }}</pre></td></tr>
{% endfor %}</table>{% endfor %}
</html>
""")


def page(result: "Result", source: NotebookNode, homework: str) -> str:
    """The whole page as HTML."""
    questions: dict[str, list[tuple[str, object]]] = {name: [] for name in result.points}
    for cell in source.cells:
        if cell.id in result.cells:
            questions[str(question(cell))].append((KINDS[str(role(cell))], result.cells[cell.id]))
    most = sum(meta(cell).get("points", 0) for cell in source.cells)
    return TEMPLATE.render(result=result, homework=homework, questions=questions, most=most, meanings=MEANINGS)
