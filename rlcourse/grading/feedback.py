"""The pages that students and assistants read: verdicts, points and what to look at; everything in them is escaped.

A student learns of a hidden check whether it was passed, which part of the question it was about, and the author's
hint: of runs to diagnose, say, which letters were wrong. Never the right answer, nor what the check asked.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from jinja2 import Environment
from nbformat import NotebookNode

from rlcourse.grading.homework import meta, question, role
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
    "unanswered": "✘ not answered yet",
}
RAN = "the cell ran; the checks say whether it is right"
LONGEST = 20_000  # characters of an answer on a page
STYLE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>{{ title }}</title>
<style>
body { font: 16px/1.5 sans-serif; max-width: 60em; margin: 2em auto; padding: 0 1em }
table { border-collapse: collapse; width: 100% } td, th { padding: .3em .6em; text-align: left; vertical-align: top }
tr { border-bottom: 1px solid #ccc } pre { white-space: pre-wrap; margin: 0; font-size: 14px }
</style>
"""
CELLS = """<table><tr><th>cell</th><th>verdict</th><th>points</th><th>what to look at</th></tr>
{% for kind, verdict, cell in cells %}<tr><td>{{ kind }}</td><td>{{ verdict }}</td>
<td>{% if cell.of %}{{ "%g" % cell.points }} of {{ "%g" % cell.of }}{% endif %}</td>
<td><pre>{{ cell.message }}</pre></td></tr>
{% endfor %}</table>"""
JINJA = Environment(autoescape=True)
PAGE = JINJA.from_string(
    STYLE
    + """<h1>{{ homework }}: {{ "%g" % result.total }} of {{ "%g" % most }} points</h1>
<p>{{ result.name or result.student }}{% if result.submission %}, from {{ result.submission }}{% endif %}</p>
{% if not result.submission and not result.notes %}<p><strong>Nothing was handed in.</strong></p>
{% endif %}{% for note in result.notes %}<p><strong>A person looks at this:</strong> {{ note }}</p>
{% endfor %}{% if result.left_out %}<p>This was not run, which cost nothing by itself:</p>
<ul>{% for each in result.left_out %}<li>{{ each }}</li>{% endfor %}</ul>
{% endif %}{% for name, cells in questions.items() %}
<h2>{{ name }}: {{ "%g" % result.points[name] }} points</h2>
{% if result.comments.get(name) %}<p><strong>Your assistant writes:</strong> {{ result.comments[name] }}</p>
{% endif %}"""
    + "{% if result.isolation %}"
    + CELLS
    + """{% endif %}{% endfor %}
</html>
"""
)
REVIEW = JINJA.from_string(
    STYLE
    + """<h1>{{ title }}</h1>
<p><a href="index.html">All questions</a>. Write what you decide into <code>by_hand.csv</code>, a line for each student:
<code>student,{{ name }},points,comment</code>; then grade again. {{ flagged | length }} to look at.</p>
{% for one, cells in flagged %}
<h2 id="{{ loop.index }}">{{ one.name or one.student }} ({{ one.student }}): {{ "%g" % one.points[name] }} of
{{ "%g" % most }} points</h2>
<p>{% if not loop.last %}<a href="#{{ loop.index + 1 }}">next student</a>{% endif %}</p>
{% for note in one.notes %}<p><strong>{{ note }}</strong></p>{% endfor %}
{% if name in one.comments %}<p>Decided: {{ one.comments[name] }}</p>{% endif %}
<pre>{{ one.answers.get(name, "(no answer)")[:longest] }}</pre>
"""
    + CELLS
    + """{% endfor %}
</html>
"""
)
OVERVIEW = JINJA.from_string(
    STYLE
    + """<h1>{{ title }}</h1>
<table><tr><th>question</th><th>mean points</th><th>all points</th><th>none</th></tr>
{% for name, row in questions.items() %}<tr><td><a href="{{ name }}.html">{{ name }}</a></td>
<td>{{ "%.2f" % row.mean }} of {{ "%g" % row.of }}</td><td>{{ row.all }}</td><td>{{ row.none }}</td></tr>
{% endfor %}</table>
<h2>Checks</h2>
<p>A check that hardly anybody passes may be broken.</p>
<table><tr><th>check</th><th>question</th><th>passed</th><th>others</th></tr>
{% for name, row in statistics.items() %}<tr><td>{{ name }}</td><td>{{ row.question }}</td>
<td>{{ row.statuses.get("ok", 0) }} of {{ row.of }}</td>
<td>{% for status, count in row.statuses.items() if status != "ok" %}{{ status }} {{ count }}; {% endfor %}</td></tr>
{% endfor %}</table>
<h2>Answers that are alike</h2>
<p>The same program up to names, comments and layout. Short answers often are.</p>
<ul>{% for each in groups %}<li>{{ each.question }}: {{ each.students | join(", ") }}</li>
{% else %}<li>none</li>{% endfor %}</ul>
</html>
"""
)


def _cells(result: Result, source: NotebookNode) -> dict[str, list[tuple[str, str, dict[str, Any]]]]:
    """Each question's rows: kind of cell, verdict, and record."""
    rows: dict[str, list[tuple[str, str, dict[str, Any]]]] = {name: [] for name in result.points}
    for cell in source.cells:
        if cell.id in result.cells:
            record = result.cells[cell.id]
            ran = role(cell) == "answer" and record["status"] == "ok"
            verdict = RAN if ran else MEANINGS[record["status"]]
            kind = ", ".join([KINDS[str(role(cell))], *([meta(cell)["part"]] if "part" in meta(cell) else [])])
            rows[str(question(cell))].append((kind, verdict, record))
    return rows


def page(result: Result, source: NotebookNode, homework: str) -> str:
    """A student's page as HTML."""
    most = sum(meta(cell).get("points", 0) for cell in source.cells)
    title = f"{homework}: {result.name or result.student}"
    questions = _cells(result, source)
    return PAGE.render(title=title, result=result, homework=homework, questions=questions, most=most)


def review(name: str, results: Sequence[Result], source: NotebookNode, homework: str, most: float) -> str:
    """An assistant's page of a question: what is flagged, student by student."""
    flagged = [(one, _cells(one, source)[name]) for one in results if one.notes]
    return REVIEW.render(title=f"{homework}, {name}", name=name, flagged=flagged, most=most, longest=LONGEST)


def overview(
    results: Sequence[Result],
    statistics: Mapping[str, Mapping[str, Any]],
    groups: Sequence[Mapping[str, Any]],
    homework: str,
    most: Mapping[str, float],
) -> str:
    """The class at a glance: questions, checks, and answers that are alike."""
    handed_in = [one for one in results if one.submission]
    questions = {}
    for name, points in most.items():
        scores = [one.points[name] for one in handed_in]
        questions[name] = {
            "mean": sum(scores) / max(len(scores), 1),
            "of": points,
            "all": sum(score >= points for score in scores),
            "none": sum(score == 0 for score in scores),
        }
    return OVERVIEW.render(
        title=f"{homework}: {len(handed_in)} submissions", questions=questions, statistics=statistics, groups=groups
    )
