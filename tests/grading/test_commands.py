"""`rlcourse release` and `rlcourse grade` as people type them: nonsense is refused in plain words."""

import sys
from pathlib import Path

import pytest

from rlcourse.grading import grade, release
from rlcourse.grading.result import Result
from tests.grading import tiny
from tests.test_cli import call


def test_release_takes_folders(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    released: list[tuple[Path, Path]] = []
    monkeypatch.setattr(release, "release", lambda source, target: released.append((source, target)))
    tiny.write_source(tmp_path)
    assert call(monkeypatch, "release", str(tmp_path), "--out", "there") == 0
    assert released == [(tmp_path / "hw00.ipynb", Path("there"))]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["release", "nowhere"], "rlcourse release: nowhere does not exist"),
        (["release", "--course", "."], "rlcourse release: . exists: name a new folder"),
        (["grade", ".", "--homework", "hw99", "--out", "g"], "rlcourse grade: there is no hw99.ipynb; homeworks there"),
        (["grade", "nowhere", "--homework", "hw00", "--out", "g"], "rlcourse grade: there is no folder nowhere"),
        (["grade", ".", "--homework", "hw00", "--out", "g", "--workers", "0"], "rlcourse grade: workers = 0 must be 1"),
        (
            ["grade", ".", "--homework", "hw00", "--out", "g", "--scheduler", "there:8786"],
            "rlcourse grade: backend = 'threading' has no scheduler: add --backend dask, or leave out there:8786",
        ),
        (
            ["grade", ".", "--homework", "hw00", "--out", "g", "--students", "students.csv"],
            "rlcourse grade: students.csv: no row has a second column: it must hold two columns",
        ),
    ],
)
def test_nonsense_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, words: list[str], message: str) -> None:
    tiny.write_source(tmp_path)
    (tmp_path / "students.csv").write_text("s1\n")
    monkeypatch.chdir(tmp_path)
    words += ["--sources", "."] if words[0] == "grade" else []
    assert str(call(monkeypatch, *words)).startswith(message)


@pytest.mark.parametrize(
    ("there", "words", "message"),
    [
        (False, [], "--backend dask needs Dask: pip install -c constraints.txt -e '.[cluster]'"),
        (True, ["--scheduler", "nonsense"], "--scheduler nonsense: missing port number in address 'nonsense'"),
    ],
)
def test_a_cluster_that_is_not_there_is_said_in_a_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, there: bool, words: list[str], message: str
) -> None:
    source = tiny.write_source(tmp_path)
    hand_in = tmp_path / "class" / "a.ipynb"
    hand_in.parent.mkdir()
    hand_in.write_bytes(source.read_bytes())
    monkeypatch.setattr(grade, "prepare", lambda source, out, name: grade.Official(name, source, {}, ""))
    if not there:
        monkeypatch.setitem(sys.modules, "dask", None)
    words = [str(hand_in.parent), "--homework", "hw00", "--out", str(tmp_path / "g"), "--backend", "dask", *words]
    assert call(monkeypatch, "grade", *words, "--sources", str(tmp_path)) == f"rlcourse grade: {message}"


def test_grade_says_how_submissions_are_isolated_and_what_to_review(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    results = [Result("a", "a.ipynb", {"q": 1.0}, {}), Result("b", "", {"q": 0.0}, {}, ["no notebook"])]
    monkeypatch.setattr(grade, "grade", lambda *args: results)
    assert call(monkeypatch, "grade", ".", "--homework", "hw00", "--out", str(tmp_path)) == 0
    out = capsys.readouterr().out
    assert "each kernel runs in bubblewrap" in out or "NO SANDBOX" in out
    gradebook, pages = tmp_path / "grades.csv", tmp_path / "review" / "index.html"
    assert out.endswith(f"2 graded, 1 to review: b. The gradebook: {gradebook}\nWhat to look at: {pages}\n")
