"""The committed lectures as a reader meets them, without running them; nbval runs them (`notebooks/`)."""

import ast
import base64
import difflib
import json
import re
import shutil
import statistics
from collections import Counter
from importlib import import_module
from pathlib import Path

import imageio.v3 as imageio
import nbformat
import numpy as np
import pytest
from nbformat import NotebookNode

from rlcourse.operations import workcopy
from rlcourse.operations.publish import execute, lectures, sources_hash

START, *PATHS = lectures([Path(__file__).parents[2] / "notebooks"])


@pytest.fixture(params=PATHS, ids=lambda path: path.stem)
def path(request: pytest.FixtureRequest) -> Path:
    return request.param


@pytest.fixture
def lecture(path: Path) -> NotebookNode:
    return nbformat.read(path, as_version=4)


def code(lecture: NotebookNode) -> list[NotebookNode]:
    return [cell for cell in lecture.cells if cell.cell_type == "code"]


def prose(lecture: NotebookNode) -> list[NotebookNode]:
    return [cell for cell in lecture.cells if cell.cell_type == "markdown"]


def test_there_are_lectures() -> None:
    assert START.name == "00_start_here.ipynb"
    assert [path.name[:3] for path in PATHS] == [f"{number:02}_" for number in range(1, len(PATHS) + 1)]
    assert PATHS


def test_outputs_belong_to_the_sources(lecture: NotebookNode) -> None:
    stale = "the outputs are older than the code above them: run `make notebooks`"
    assert lecture.metadata.rlcourse.sources == sources_hash(lecture), stale


def test_executed_from_top_to_bottom_without_a_complaint(lecture: NotebookNode) -> None:
    assert [cell.execution_count for cell in code(lecture)] == list(range(1, len(code(lecture)) + 1))
    for cell in code(lecture):
        for output in cell.outputs:
            assert output.output_type != "error"
            assert output.get("name") != "stderr", output.text
            assert "Warning" not in output.get("text", "")


def test_pictures_say_what_they_show(lecture: NotebookNode) -> None:
    pictures = [
        (output, kind)
        for cell in code(lecture)
        for output in cell.outputs
        for kind in ("image/png", "image/gif")
        if kind in output.get("data", {})
    ]
    assert len(pictures) >= 3
    for output, kind in pictures:
        alt = output.metadata.get(kind, output.metadata)["alt"]
        assert re.search(r"\d", alt), alt


def test_no_picture_is_cut_off(lecture: NotebookNode) -> None:
    """Words that stick out of a picture leave ink on its outermost pixels; films fill theirs, and are no PNG."""
    for cell in code(lecture):
        for output in cell.outputs:
            if stored := output.get("data", {}).get("image/png"):
                pixels = imageio.imread(base64.b64decode(stored), extension=".png")[..., :3]
                edge = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
                assert edge.min() > 250, f"{cell.id}: something sticks out"


def test_size_and_shape(path: Path, lecture: NotebookNode) -> None:
    lengths = [len([line for line in cell.source.splitlines() if line.strip()]) for cell in code(lecture)]
    # The answer to a prediction has a cell of its own, folded in a student's copy.
    assert 25 <= len([cell for cell in lecture.cells if not cell.id.endswith("-answer")]) <= 70
    assert statistics.median(lengths) <= 10
    assert max(lengths) <= 25
    assert max(len(cell.source.split()) for cell in prose(lecture)) <= 180
    assert path.stat().st_size < 3e6


def test_only_the_first_code_cell_imports_and_none_defines(lecture: NotebookNode) -> None:
    for number, cell in enumerate(code(lecture)):
        for node in ast.walk(ast.parse(cell.source)):
            assert not isinstance(node, ast.FunctionDef | ast.ClassDef), "definitions belong, tested, into the package"
            assert number == 0 or not isinstance(node, ast.Import | ast.ImportFrom)


# What two cells may both assign, because no cell takes it from another: loop variables, and the words of an answer.
SCRATCH = {"_", "agent", "alpha", "answer", "data", "epoch", "i", "name", "policy", "seed", "student", "why"}


class Names(ast.NodeVisitor):
    """Which names a cell assigns at its top level, and which it takes from cells before it, in order of evaluation."""

    def __init__(self, source: str) -> None:
        self.assigned: set[str] = set()
        self.taken: set[str] = set()
        self._own: list[set[str]] = []  # of the comprehensions and lambdas around
        self.visit(ast.parse(source))

    def visit_Name(self, node: ast.Name) -> None:
        if any(node.id in own for own in self._own):
            return
        if isinstance(node.ctx, ast.Load) and node.id not in self.assigned:
            self.taken.add(node.id)
        elif isinstance(node.ctx, ast.Store):
            self.assigned.add(node.id)

    def _value_first(self, node: ast.Assign | ast.AnnAssign | ast.NamedExpr | ast.For) -> None:
        source = node.iter if isinstance(node, ast.For) else node.value
        if source is not None:
            self.visit(source)
        for child in ast.iter_child_nodes(node):
            if child is not source:
                self.visit(child)

    visit_Assign = visit_AnnAssign = visit_NamedExpr = visit_For = _value_first  # noqa: N815

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        self.visit(node.value)
        if isinstance(node.target, ast.Name) and node.target.id not in self.assigned:
            self.taken.add(node.target.id)
        self.visit(node.target)

    def _scope(self, node: ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp | ast.Lambda) -> None:
        if isinstance(node, ast.Lambda):
            own = {each.arg for each in node.args.args}
        else:
            self.visit(node.generators[0].iter)
            targets = (name for each in node.generators for name in ast.walk(each.target))
            own = {name.id for name in targets if isinstance(name, ast.Name)}
        self._own.append(own)
        self.generic_visit(node)
        self._own.pop()

    visit_ListComp = visit_SetComp = visit_DictComp = visit_GeneratorExp = visit_Lambda = _scope  # noqa: N815


def test_names_are_found_in_order_of_evaluation() -> None:
    found = Names(
        "a = a + b\nc += 1\nfor i in d:\n    e = i\nf = [x + g for x in x for y in x]\nk = lambda z: z + h\ne, i"
    )
    assert found.assigned == {"a", "c", "i", "e", "f", "k"}
    assert found.taken == {"a", "b", "c", "d", "g", "h", "x"}


def test_any_cell_may_be_run_again_at_any_time(lecture: NotebookNode) -> None:
    """A name has one place where it gets its value: a cell that is run again finds the value that it found before."""
    cells = [Names(cell.source) for cell in code(lecture)]
    places = Counter(name for cell in cells for name in cell.assigned)
    twice = {name for name, count in places.items() if count > 1}
    assert twice <= SCRATCH, f"assigned in two cells: {sorted(twice - SCRATCH)}"
    for number, cell in enumerate(cells, 1):
        assert not cell.taken & twice, f"code cell {number} takes {cell.taken & twice} from one of several cells"


def test_every_change_of_one_thing_has_a_control_and_an_answer(lecture: NotebookNode) -> None:
    """A widget or a menu stands near it, so that nobody has to edit code; and what comes out can be read."""
    asked = [place for place, cell in enumerate(lecture.cells) if "**Change one thing" in cell.source]
    assert asked
    for place in asked:
        near = lecture.cells[max(0, place - 8) : place + 2]  # the widget may come right below
        assert any(
            cell.cell_type == "code" and re.search(r"\.widget\(|lessons\.choose\(", cell.source) for cell in near
        ), lecture.cells[place].id
        answers = (lecture.cells[place].source, *(cell.source for cell in lecture.cells[place + 1 : place + 3]))
        assert any("<details>" in text or text.startswith("findings.") for text in answers), lecture.cells[place].id


def test_only_what_would_spoil_is_folded_for_students(lecture: NotebookNode) -> None:
    """The work copy folds the sources of questions and answers: no experiment may stand there."""
    copy = json.loads(workcopy.unspoiled(nbformat.writes(lecture).encode()))
    folded = [cell for cell in copy["cells"] if cell["metadata"].get("jupyter", {}).get("source_hidden")]
    asked = [cell for cell in folded if "lessons.predict(" in "".join(cell["source"])]
    answers = [cell for cell in folded if ".reveal(" in "".join(cell["source"])]
    assert len(asked) == len(answers) >= 3
    for cell in answers:
        loops = [node for node in ast.walk(ast.parse("".join(cell["source"]))) if isinstance(node, ast.For | ast.While)]
        assert not loops, "put the experiment into a cell before the answer"


SLIP = re.compile(r"spot the slip", re.IGNORECASE)


def slips(lecture: NotebookNode) -> list[NotebookNode]:
    """The questions in which a source's wrong line is quoted. Whatever mentions one in another way is found, too."""
    return [cell for cell in lecture.cells if SLIP.search(cell.source)]


def test_a_slip_is_quoted_and_named_only_after_a_commit(lecture: NotebookNode) -> None:
    for cell in lecture.cells:
        assert not SLIP.search(cell.metadata.get("rlcourse", {}).get("slide", "")), (
            f"{cell.id}: show the question itself"
        )
    for cell in slips(lecture):
        assert cell.cell_type == "code", f"{cell.id}: ask by lessons.predict, so that the student commits first"
        asked = [
            node for node in ast.walk(ast.parse(cell.source)) if isinstance(node, ast.Call) and len(node.args) == 3
        ]
        assert len(asked) == len(SLIP.findall(cell.source)) == cell.source.count("lessons.predict(")
        for question, choices in (map(ast.literal_eval, call.args[1:]) for call in asked):
            assert "$$" in question or "“" in question, f"{cell.id}: quote the line"
            assert 3 <= len(choices) <= 4
            assert "*" not in "".join(choices), f"{cell.id}: a star would set in italics what follows"
        answer = lecture.cells[lecture.cells.index(cell) + 1]
        assert answer.id == f"{cell.id}-answer"
        assert answer.source.count(".reveal(") == len(asked)


def test_the_slip_is_not_always_at_the_same_place() -> None:
    """In the whole course, since many lectures have only one or two."""
    places: Counter[str] = Counter()
    for lecture in (nbformat.read(path, as_version=4) for path in PATHS):
        for cell in slips(lecture):
            for output in lecture.cells[lecture.cells.index(cell) + 1].outputs:
                places[output.metadata["text/markdown"]["answer"].removeprefix("**")[0]] += 1
    assert places.total() >= 18
    assert min(places[letter] for letter in "ABCD") >= 3
    assert max(places.values()) < places.total() / 2


def test_the_stored_answer_is_folded_and_not_typed(lecture: NotebookNode) -> None:
    for cell in code(lecture):
        if ".reveal(" not in cell.source:
            continue
        answers = [output for output in cell.outputs if "answer" in output.get("metadata", {}).get("text/markdown", {})]
        assert len(answers) == cell.source.count(".reveal(")
        for output in answers:
            assert set(output.data) == {"text/markdown"}
            assert output.data["text/markdown"].startswith("<details><summary>")
        assert not re.search(r"\.reveal\(\s*f?[\"'][^{\"']*[\"'],", cell.source), "compute the answer"


def test_the_pattern_of_a_lecture(lecture: NotebookNode) -> None:
    header = lecture.cells[0].source
    for part in ("# ", "After this you can", "You need", "Run time", "Papers"):
        assert part in header
    sources = [cell.source for cell in code(lecture)]
    for call in ("lessons.show(", "lessons.predict(", ".reveal(", "lessons.show_diff(", "lessons.verdict("):
        assert any(call in source for source in sources), call
    assert "✔" in "".join(output.get("text", "") for cell in code(lecture) for output in cell.outputs)
    text = "\n".join(cell.source for cell in prose(lecture))
    for part in ("Recap", "What goes wrong in practice", "References", "Homework", "<details>"):
        assert part in text
    assert all("slide_type" in cell.metadata.get("slideshow", {}) for cell in lecture.cells)


def test_every_tag_of_a_source_stands_in_the_lists_of_sources(lecture: NotebookNode) -> None:
    """A tag is a short name in brackets, as [DQN] or [TD7] eq. 22."""
    parts = [part for cell in prose(lecture) for part in re.split(r"(?=\*\*(?:Papers|References)\*\*)", cell.source)]
    lists = [part for part in parts if part.startswith(("**Papers", "**References"))]
    tag = re.compile(r"\[([A-Z][A-Za-z+\d]*)(?=[\],]| [a-z])(?![^\]]*\]\()")  # not the text of a link
    known = set(tag.findall("\n".join(lists)))
    used = set(tag.findall("\n".join(part for part in parts if part not in lists)))
    assert lists
    assert used <= known, f"{sorted(used - known)} in no list of papers or references; they hold {sorted(known)}"


def test_checked_outputs_hold_no_trained_numbers(lecture: NotebookNode) -> None:
    checked = [cell for cell in code(lecture) if "NBVAL_CHECK_OUTPUT" in cell.source]
    assert checked
    for cell in checked:
        assert not re.search(r"\b(train|watch|evaluate)\(", cell.source)


def test_shown_code_is_the_package_as_it_is_now(lecture: NotebookNode) -> None:
    names: dict[str, object] = {}
    exec(code(lecture)[0].source, names)
    shown = 0
    for cell in code(lecture):
        for call in re.findall(r"lessons\.show(?:_diff)?\([\w., ]+\)", cell.source):
            page = eval(call, names)
            now = page.data if hasattr(page, "data") else page._repr_html_()
            shows = [output.data for output in cell.outputs if "data" in output]
            stored = [data.get("text/markdown", data.get("text/html")) for data in shows]
            assert now in stored, f"{call} shows old code: run `make notebooks`"
            shown += 1
    assert shown >= 2


# --- the notebook before them


@pytest.fixture
def start() -> NotebookNode:
    return nbformat.read(START, as_version=4)


def test_the_start_keeps_the_rules_of_cells(start: NotebookNode) -> None:
    for rule in (
        test_outputs_belong_to_the_sources,
        test_executed_from_top_to_bottom_without_a_complaint,
        test_only_the_first_code_cell_imports_and_none_defines,
        test_any_cell_may_be_run_again_at_any_time,
        test_only_what_would_spoil_is_folded_for_students,
        test_the_stored_answer_is_folded_and_not_typed,
        test_shown_code_is_the_package_as_it_is_now,
    ):
        rule(start)
    assert max(len(cell.source.split()) for cell in prose(start)) <= 300
    assert all("slide_type" in cell.metadata.slideshow for cell in start.cells)


def test_the_map_leads_to_every_lecture_and_nowhere_else(start: NotebookNode) -> None:
    (table,) = (cell.source for cell in prose(start) if cell.source.startswith("## The map"))
    links = re.findall(r"\(([^)]*\.ipynb)\)", table)
    assert {START.parent / link for link in links} == set(PATHS)
    for family in ("value", "policy gradient", "actor-critic", "model-based", "imitation", "offline"):
        assert f"\n| {family}" in table


def test_what_the_start_says_came_out(start: NotebookNode) -> None:
    """A memory balances where none does; plans save real steps."""
    marks = [
        output.get("metadata", {}).get("text/markdown", {})
        for cell in code(start)
        for output in cell.get("outputs", ())
    ]
    answers = [mark["answer"] for mark in marks if "answer" in mark]
    assert [answer.split(":")[0] for answer in answers] == ["**B", "**B", "**C"]


def wrong_defaults(text: str, checked: set[str]) -> list[str]:
    """Rows like "| `tau` | 0.005 | … |" below a sentence that names `td3.Config`, or "| `td3.tau` | 0.005 | … |", whose
    value is not the default; `checked` gets the names of pages."""
    named, wrong = re.search(r"`(\w+)\.Config`", text), []
    if "| setting |" in text:
        for page, field, value in re.findall(r"^\| `(?:(\w+)\.)?(\w+)` \| ([^|]+) \|", text, re.MULTILINE):
            page = page or (named[1] if named else "")
            default = getattr(import_module(f"rlcourse.algorithms.{page}").Config(), field) if page else None
            if page and ast.literal_eval(value) != default:
                wrong.append(f"{page}.{field} = {default}")
            checked.add(page)
    return wrong


def test_tables_of_settings_hold_the_defaults() -> None:
    checked: set[str] = set()
    for path in PATHS:
        for cell in prose(nbformat.read(path, as_version=4)):
            assert wrong_defaults(cell.source, checked) == [], (path.stem, cell.id)
    assert checked >= {"dqn", "reinforce", "td3", "sac", "imitation", "iql", "cql", "edac"}


def test_a_wrong_default_is_found() -> None:
    head, rows = "| setting | here | source |\n|---|---|---|\n", "| `tau` | 0.005 | |\n| `gamma` | 0.9 | |\n"
    assert wrong_defaults(f"Of `td3.Config`.\n\n{head}{rows}", set()) == ["td3.gamma = 0.99"]
    assert wrong_defaults(f"{head}| `iql.beta` | 3.0 | |\n| `edac.critics` | 2 | |", set()) == ["edac.critics = 10"]


@pytest.mark.slow
@pytest.mark.notebook
def test_a_rerun_changes_no_line(path: Path, tmp_path: Path) -> None:
    again = tmp_path / path.name
    shutil.copy(path, again)
    execute([again])
    before, after = (each.read_text(encoding="utf-8").splitlines() for each in (path, again))
    changed = [line[:200] for line in difflib.unified_diff(before, after, n=0, lineterm="")][2:]  # without its head
    # On the processor that made the outputs nothing differs; elsewhere the last digits of a picture may.
    assert [line for line in changed if "image/" not in line and line[0] in "+-"] == []
