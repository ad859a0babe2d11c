"""What students get: made from the instructor's source, up to date, and with nothing of the solution in it."""

import subprocess
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_markdown_cell

from rlcourse.grading import homework, release
from rlcourse.grading.homework import meta, role
from rlcourse.grading.release import student_version
from rlcourse.operations.publish import sources_hash
from tests.grading import tiny
from tests.test_links import dead

ROOT = Path(__file__).parents[2]
SOURCES = sorted((ROOT / release.SOURCES).glob("hw*.ipynb"))


@pytest.fixture(params=SOURCES, ids=lambda path: path.stem)
def path(request: pytest.FixtureRequest) -> Path:
    return request.param


def test_released_homeworks_are_up_to_date(path: Path) -> None:
    source = homework.load(path)
    for folder in (ROOT / release.STUDENTS, ROOT / release.STUDENTS / release.PRISTINE):
        released = nbformat.read(folder / path.name, as_version=4)
        assert released.metadata.rlcourse.source == sources_hash(source), "stale: run `make homework`"
        expected = release.student_version(source, path.stem)
        assert [(c.id, c.source, c.metadata) for c in released.cells] == [
            (c.id, c.source, c.metadata) for c in expected.cells
        ], "stale: run `make homework`"


def test_a_released_homework_keeps_its_secrets(path: Path) -> None:
    source, text = homework.load(path), (ROOT / release.STUDENTS / path.name).read_text()
    release.check_leaks(release.secret_lines(source), text, "here")
    assert len(release.secret_lines(source)) > 20
    released = nbformat.reads(text, as_version=4)
    for cell in released.cells:
        assert role(cell) != "hidden"
        if cell.cell_type == "code" and role(cell) != "check":
            assert cell.outputs == []
        if role(cell) == "check":
            assert "✔" in cell.outputs[0].text
            assert "✘" not in cell.outputs[0].text


def test_a_homework_is_of_a_sensible_size(path: Path) -> None:
    source = homework.load(path)
    points = {kind: sum(meta(c)["points"] for c in homework.with_role(source, kind)) for kind in homework.SCORED}
    assert points["hidden"] >= 3 * points["check"]  # visible checks can be forged
    assert 3 <= len(homework.with_role(source, "answer")) <= 5
    assert all("hint" in meta(cell) for cell in homework.with_role(source, "hidden"))
    for cell in source.cells:
        if cell.cell_type == "markdown":
            assert len(cell.source.split()) <= 180


@pytest.mark.thorough
def test_release_of_a_small_homework(tmp_path: Path) -> None:
    path = tiny.write_source(tmp_path / "sources")
    release.release(path, tmp_path / "out")
    text = (tmp_path / "out" / "hw00.ipynb").read_text()
    assert text == (tmp_path / "out" / release.PRISTINE / "hw00.ipynb").read_text()
    released = nbformat.reads(text, as_version=4)
    assert [cell.id for cell in released.cells if cell.cell_type == "code"] == [
        "setup", *(f"{name}-{kind}" for name in tiny.SOLUTIONS for kind in ("answer", "check")),
    ]  # fmt: skip
    for cell in released.cells:
        assert cell.metadata.get("editable", True) == (role(cell) in ("answer", "show"))
    check = next(cell for cell in released.cells if cell.id == "square-check")
    assert check.outputs[0].text == "✔ of 3\n"
    assert check.source.startswith("# NBVAL_CHECK_OUTPUT\n")
    assert "NotImplementedError" in next(cell for cell in released.cells if cell.id == "square-answer").source


@pytest.mark.thorough
def test_a_solution_that_fails_its_own_check_is_not_released(tmp_path: Path) -> None:
    source = tiny.source()
    for cell in source.cells:
        cell.source = cell.source.replace("9.0, {", "8.0, {")
    nbformat.write(source, tmp_path / "hw00.ipynb")
    with pytest.raises(release.UnsolvedError, match="cell square-check: the solution fails its own check"):
        release.release(tmp_path / "hw00.ipynb", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.thorough
def test_a_solution_that_raises_is_not_released(tmp_path: Path) -> None:
    source = tiny.source()
    next(cell for cell in source.cells if cell.id == "square-answer").source += "\nsquare(None)"
    nbformat.write(source, tmp_path / "hw00.ipynb")
    with pytest.raises(release.UnsolvedError, match="cell square-answer: the solution raises TypeError: unsupported"):
        release.release(tmp_path / "hw00.ipynb", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("secret", ["return x * x + 0.0 * x", "secret_square = NONCE % 1000 / 7", 'print("a secret")'])
def test_a_leak_is_found(secret: str) -> None:
    source = tiny.source()
    for cell in source.cells:
        if cell.id == "square-answer":
            cell.source = cell.source.replace("### END", 'print("a secret")\n    ### END')
        if cell.id == "title":
            cell.source += f"\nFor example: {secret}"
    with pytest.raises(release.LeakError, match=r"^here: a secret line would be released: "):
        release.check_leaks(
            release.secret_lines(source), nbformat.writes(release.student_version(source, "hw00")), "here"
        )


def test_notes_for_instructors_stay_with_them() -> None:
    source = tiny.source()
    notes = new_markdown_cell("The experiment shows a great deal.", metadata={"rlcourse": {"role": "notes"}})
    source.cells.append(notes)
    released = student_version(source, "hw00")
    assert notes.source not in [cell.source for cell in released.cells]
    release.check_leaks(release.secret_lines(source), nbformat.writes(released), "here")
    released.cells.append(new_markdown_cell(notes.source))
    with pytest.raises(release.LeakError, match="The experiment shows"):
        release.check_leaks(release.secret_lines(source), nbformat.writes(released), "here")


def test_the_students_edition_holds_no_solution(tmp_path: Path) -> None:
    for command in (["init", "-q"], ["config", "user.email", "a@b.c"], ["config", "user.name", "a"]):
        subprocess.run(["git", *command], cwd=tmp_path, check=True)
    tiny.write_source(tmp_path / release.SOURCES)
    for name in ("README.md", "tests/grading/mutants.py", "rlcourse/page.py", "binary.mp4"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"\xff harmless")
    subprocess.run(["git", "add", "-A"], cwd=tmp_path, check=True)
    release.student_edition(tmp_path, tmp_path / "edition")
    copied = sorted(p.relative_to(tmp_path / "edition").as_posix() for p in (tmp_path / "edition").rglob("*.*"))
    assert copied == ["README.md", "binary.mp4", "rlcourse/page.py"]
    with pytest.raises(FileExistsError, match="name a new folder"):
        release.student_edition(tmp_path, tmp_path / "edition")
    (tmp_path / "README.md").write_text("the answer is: return x * x + 0.0 * x")
    with pytest.raises(release.LeakError):
        release.student_edition(tmp_path, tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_links_to_what_is_private_become_words() -> None:
    links = b"[the guide](notebooks/instructor/README.md) [folder](notebooks/instructor) [lecture](notebooks/01.ipynb)"
    assert release._without_private_links(links, "") == b"the guide folder [lecture](notebooks/01.ipynb)"
    assert release._without_private_links(b"[a](../instructor/x.md) [b](x.md)", "notebooks/docs") == b"a [b](x.md)"


def test_what_is_no_git_checkout_has_no_students_edition(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=rf"no files in {tmp_path} \(fatal: .*\): run this in the course's own"):
        release.student_edition(tmp_path, tmp_path / "edition")
    assert not (tmp_path / "edition").exists()


@pytest.mark.thorough
@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="this copy of the course is no git checkout")
def test_no_file_of_the_course_holds_a_solution(tmp_path: Path) -> None:
    release.student_edition(ROOT, tmp_path / "edition")
    assert (tmp_path / "edition" / "notebooks" / "homework" / SOURCES[0].name).exists()
    assert not (tmp_path / "edition" / release.SOURCES).exists()
    assert dead(tmp_path / "edition") == []
