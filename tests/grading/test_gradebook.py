"""What a grading leaves behind: tables, statistics, what assistants decide, and answers that are alike."""

import csv
import io
import json
import re
from pathlib import Path

import pytest

from rlcourse.grading import alike, feedback, gradebook
from rlcourse.grading.gradebook import Book, by_hand, harmless, summary
from rlcourse.grading.homework import load, question, role, stub, with_role
from rlcourse.grading.persons import Entry, roster
from rlcourse.grading.result import Result
from rlcourse.grading.running import GradingError
from tests.grading import tiny

QUESTIONS = {"double", "square", "negate"}


def result(student: str, points: float, *notes: str, answer: str = "", submission: str = "a.ipynb") -> Result:
    cells = {
        f"{name}-{kind}": {"status": "ok" if points else "wrong", "points": points / 2, "of": 2.5, "message": ""}
        for name in QUESTIONS
        for kind in ("check", "hidden")
    }
    answers = {"square": answer} if answer else {}
    scores = dict.fromkeys(sorted(QUESTIONS), points)
    return Result(student, submission, scores, cells, [*notes], answers=answers, isolation="a sandbox", fingerprint="f")


def book(out: Path, *results: Result, table: str = "") -> Book:
    people = None
    if table:
        (out / "list.csv").write_text(table)
        people = roster(out / "list.csv")
    found = Book(out, "hw00", tiny.source(), people, by_hand(out, {one.student for one in results}, QUESTIONS))
    for one in results:
        found.add(one, Entry(one.student, one.submission, None, (), people.students()[one.student] if people else ""))
    found.write()
    return found


def rows(path: Path) -> list[list[str]]:
    return list(csv.reader(io.StringIO(path.read_text(encoding="utf-8-sig"))))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("=1+1", "'=1+1"),
        ("+cmd|x", "'+cmd|x"),
        ("-cmd", "'-cmd"),
        ("@sum", "'@sum"),
        ("＝1", "'＝1"),
        ("＠x", "'＠x"),
        (" \t=1", "' \t=1"),
        ("Bo;=1", "Bo;'=1"),
        ("a\n=1", "a\n'=1"),
        ("-1.5", "-1.5"),
        ("-", "-"),
        ("a=1; b", "a=1; b"),
        ("Zoë", "Zoë"),
    ],
)
def test_no_cell_is_a_formula(text: str, expected: str) -> None:
    assert harmless(text) == expected


def test_assistants_decide_and_it_stays(tmp_path: Path) -> None:
    students = (result("a", 5), result("b", 0, "look at it"))
    book(tmp_path, *students)
    assert rows(tmp_path / gradebook.BY_HAND) == [gradebook.HEADING]
    (tmp_path / gradebook.BY_HAND).write_text(
        "student;question;points;comment\nb;square;2,5;half right\n\nb;double;;no\n"
    )
    for _ in range(2):  # the file is read, and never written over
        after = {one.student: one for one in book(tmp_path, *students).results()}
        assert after["b"].points == {"double": 0, "negate": 0, "square": 2.5}
        assert after["b"].comments == {"square": "half right", "double": "no"}
        assert (after["a"].total, after["a"].status) == (15, "ok")
        assert after["b"].status == "reviewed"
    assert "half right" in (tmp_path / "feedback" / "b.html").read_text()
    kept = json.loads((tmp_path / "results" / "b.json").read_text())
    assert kept["points"]["square"] == 0  # what the machine says is kept apart


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("c,square,1,", "line 2: student 'c' must be one of the column `student` in grades.csv"),
        ("a,cube,1,", "line 2: question 'cube' must be one of double, negate, square"),
        ("a,square,-1,", "line 2: points '-1' must be a number, 0 or more, or nothing"),
        ("a,square,nan,", "line 2: points 'nan' must be"),
        ("a,square,many,", "line 2: points 'many' must be"),
        ("a,square,1,\na,square,2,", "line 3: 'a', 'square' was decided in a line before"),
        ("a,square,1," + "x" * 200_000, "field larger than field limit"),
    ],
)
def test_a_decision_that_cannot_be_read_is_refused(tmp_path: Path, row: str, message: str) -> None:
    (tmp_path / gradebook.BY_HAND).write_text(f"student,question,points,comment\n{row}\n")
    with pytest.raises(GradingError, match=message):
        by_hand(tmp_path, {"a"}, QUESTIONS)


def test_a_decision_counts_without_a_heading_and_without_a_notebook(tmp_path: Path) -> None:
    (tmp_path / gradebook.BY_HAND).write_text("b,square,5,on paper\n")
    book(tmp_path, result("a", 5), result("b", 0, submission=""), table="a,A\nb,B\n")
    assert [row[-1] for row in rows(tmp_path / "upload.csv")] == ["15", "5"]


@pytest.mark.parametrize("student", ["=cmd()", " ana", "b;@x", "a"])
def test_a_student_is_named_as_in_the_table(tmp_path: Path, student: str) -> None:
    """Where a key was made harmless for a spreadsheet, too, and whatever blanks it has."""
    book(tmp_path, result(student, 5))
    seen = rows(tmp_path / "grades.csv")[3][0]
    with (tmp_path / gradebook.BY_HAND).open("a") as file:
        csv.writer(file).writerow([seen, "square", "1", ""])
    (after,) = book(tmp_path, result(student, 5)).results()
    assert after.points["square"] == 1


def test_the_class_at_a_glance(tmp_path: Path) -> None:
    """Two of three who handed something in have all points: the mean is 10 of 15."""
    missing = result("c", 0, submission="")
    book(tmp_path, result("a", 5), result("b", 0, "look"), missing, result("d", 5), table="a,A\nb,B\nc,C\nd,D\n")
    table = rows(tmp_path / "grades.csv")
    assert table[0] == [
        "student",
        "name",
        "submission",
        "total",
        "double",
        "square",
        "negate",
        "status",
        "notes",
        "seconds",
    ]
    assert table[2][:5] == ["(mean)", "", "", "10.00", "3.33"]
    assert [(row[0], row[1], row[3], row[7]) for row in table[3:]] == [
        ("a", "A", "15", "ok"),
        ("b", "B", "0", "review"),
        ("c", "C", "0", "nothing handed in"),
        ("d", "D", "15", "ok"),
    ]
    assert rows(tmp_path / "upload.csv") == [["a", "A", "15"], ["b", "B", "0"], ["c", "C", ""], ["d", "D", "15"]]
    everything = json.loads((tmp_path / "grades.json").read_text())
    assert everything["statistics"]["square-hidden"] == {
        "question": "square",
        "of": 4,
        "statuses": {"ok": 2, "wrong": 2},
    }
    overview = (tmp_path / "review" / "index.html").read_text()
    assert "3 submissions" in overview
    assert "3.33 of 5" in overview
    review = (tmp_path / "review" / "square.html").read_text()
    assert "B (b): 0 of" in review
    assert "(d)" not in review


def test_a_page_says_which_parts_were_wrong() -> None:
    """Of runs to diagnose: the letter and the hint, and not what was right."""
    source = load(Path("notebooks/instructor/hw04.ipynb"))
    checked = [cell for cell in source.cells if question(cell) == "diagnosis" and role(cell) == "hidden"]
    cells = {cell.id: {"status": "ok", "points": 2, "of": 2, "message": ""} for cell in checked}
    cells["q5-hidden-c"] |= {"status": "wrong", "points": 0, "message": "a hint"}
    points = {str(question(cell)): 0.0 for cell in with_role(source, "answer")}
    one = Result("a", "a.ipynb", points, cells, isolation="a sandbox")
    rows = re.findall("<td>(hidden check[^<]*)</td><td>([^<]*)</td>", feedback.page(one, source, "hw04"))
    assert rows == [(f"hidden check, {each}", "✘ wrong" if each == "C" else "✔ right") for each in "ABCDE"]


def test_the_last_line() -> None:
    assert summary([result("a", 5), result("b", 0, "x"), result("c", 0, submission="")]) == (
        "2 graded, 1 handed in nothing, 1 to review: b"
    )


LONG = """def square(x):
    '''Mine.'''
    total = 0.0
    for step in range(int(x)):
        total += x  # add it up
        if total < 0:
            return -1
    return total + (x - int(x)) * x
"""
RENAMED = LONG.replace("total", "summe").replace("step", "i").replace("Mine", "My own work").replace("# add it up", "")
OTHER = LONG.replace("total += x", "total = total + x")


def test_answers_that_are_alike_are_shown() -> None:
    students = [result("a", 5, answer=LONG), result("b", 5, answer=RENAMED), result("c", 5, answer=OTHER)]
    assert alike.groups(students, tiny.source()) == [{"question": "square", "students": ["a", "b"]}]


def test_short_answers_and_what_all_got_are_not_shown() -> None:
    short = "def square(x):\n    return x * x"
    assert alike.groups([result(name, 5, answer=short) for name in "ab"], tiny.source()) == []
    source = tiny.source()
    for cell in source.cells:
        if cell.id == "square-answer":
            cell.source = f"{LONG}\n{cell.source}"
    empty = stub(next(cell.source for cell in source.cells if cell.id == "square-answer"))
    assert alike.shape(empty) is not None
    assert alike.groups([result(name, 5, answer=empty) for name in "ab"], source) == []
    assert alike.shape("def f(:") is None
