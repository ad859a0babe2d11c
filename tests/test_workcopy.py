import json
import os
from pathlib import Path

import pytest

from rlcourse.operations.workcopy import RECORD, sync


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "notebooks"
    write(folder, {"01_a.ipynb": b"one", "homework/01_h.ipynb": b"home"})
    return folder


@pytest.fixture
def work(tmp_path: Path) -> Path:
    return tmp_path / "work"


def write(folder: Path, files: dict[str, bytes]) -> None:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


def files(folder: Path) -> dict[str, bytes]:
    """Every file below `folder` except the record."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != RECORD
    }


def test_first_copy_is_complete_and_says_how_to_reset(source: Path, work: Path) -> None:
    (line,) = sync(source, work)
    assert files(work) == {"01_a.ipynb": b"one", "homework/01_h.ipynb": b"home"}
    assert str(work) in line
    assert "Delete" in line


def test_second_run_says_and_changes_nothing(source: Path, work: Path) -> None:
    sync(source, work)
    before = files(work)
    assert sync(source, work) == []
    assert files(work) == before


def test_students_work_is_kept_while_upstream_stays(source: Path, work: Path) -> None:
    sync(source, work)
    write(work, {"01_a.ipynb": b"my answer", "mine.ipynb": b"mine"})
    assert sync(source, work) == []
    assert files(work)["01_a.ipynb"] == b"my answer"
    assert files(work)["mine.ipynb"] == b"mine"


def notebook(*sources: str) -> bytes:
    """With code cells that have been run."""
    outputs = [{"output_type": "stream", "name": "stdout", "text": ["42"]}]
    cells = [
        {
            "cell_type": "code",
            "execution_count": 7,
            "id": str(n),
            "metadata": {},
            "outputs": outputs,
            "source": [source],
        }
        for n, source in enumerate(sources)
    ]
    return json.dumps({"cells": cells, "metadata": {}}).encode()


def test_a_lecture_gives_nothing_away(source: Path, work: Path) -> None:
    sources = "x = 6 * 7", "guess = lessons.predict('q', 'Which?', ['41', '42'])", "guess.reveal(str(x), 'So it is.')"
    write(source, {"01_a.ipynb": notebook(*sources), "homework/01_h.ipynb": notebook(*sources)})
    sync(source, work)
    cells = json.loads(files(work)["01_a.ipynb"])["cells"]
    assert [(cell["outputs"], cell["execution_count"]) for cell in cells] == [([], None)] * 3
    folded = [cell["metadata"].get("jupyter", {}).get("source_hidden", False) for cell in cells]
    assert folded == [False, True, True]
    assert ["".join(cell["source"]) for cell in cells] == list(sources)
    assert files(work)["homework/01_h.ipynb"] == notebook(*sources)  # its self-check compares with the outputs
    # Run again upstream, nothing changes for students.
    write(source, {"01_a.ipynb": notebook(*sources).replace(b"42", b"43", 1)})
    assert sync(source, work) == []


@pytest.mark.parametrize("mine", [b"my answer", b"one"], ids=["edited", "untouched"])
@pytest.mark.parametrize("name", ["01_a.ipynb", "homework/01_h.ipynb"])
def test_upstream_change_is_laid_beside_and_told_once(source: Path, work: Path, name: str, mine: bytes) -> None:
    sync(source, work)
    write(work, {name: mine})
    write(source, {name: b"two"})
    (line,) = sync(source, work)
    beside = name.replace(".ipynb", ".new-3fc4ccfe.ipynb")  # sha256(b"two") = 3fc4ccfe7458…
    assert files(work)[name] == mine
    assert files(work)[beside] == b"two"
    assert str(work / name) in line
    assert Path(beside).name in line
    assert sync(source, work) == []


def test_versions_laid_beside_never_meet(source: Path, work: Path) -> None:
    sync(source, work)
    for content in (b"two", b"three", b"two"):
        write(source, {"01_a.ipynb": content})
        assert len(sync(source, work)) == 1
        write(work, {next(name for name in files(work) if ".new-3fc4ccfe" in name): b"edited beside"})
    kept = files(work)
    assert kept["01_a.ipynb"] == b"one"
    assert kept["01_a.new-3fc4ccfe.ipynb"] == b"edited beside"
    assert kept["01_a.new-8b5b9db0.ipynb"] == b"three"  # sha256(b"three") = 8b5b9db0c13d…


def test_a_version_laid_beside_and_deleted_stays_deleted(source: Path, work: Path) -> None:
    sync(source, work)
    write(source, {"01_a.ipynb": b"two"})
    sync(source, work)
    (work / "01_a.new-3fc4ccfe.ipynb").unlink()
    assert sync(source, work) == []
    assert "01_a.new-3fc4ccfe.ipynb" not in files(work)


def test_new_lecture_is_added(source: Path, work: Path) -> None:
    sync(source, work)
    write(source, {"02_b.ipynb": b"b"})
    (line,) = sync(source, work)
    assert files(work)["02_b.ipynb"] == b"b"
    assert line == f"{work / '02_b.ipynb'}: new"


def test_deleted_file_comes_back_afresh(source: Path, work: Path) -> None:
    sync(source, work)
    (work / "01_a.ipynb").unlink()
    write(source, {"01_a.ipynb": b"two"})
    (line,) = sync(source, work)
    assert files(work)["01_a.ipynb"] == b"two"
    assert line == f"{work / '01_a.ipynb'}: back afresh"
    assert sync(source, work) == []


def test_lecture_gone_upstream_stays_with_the_student(source: Path, work: Path) -> None:
    sync(source, work)
    (source / "01_a.ipynb").rename(source / "elsewhere")
    sync(source, work)
    write(work, {"01_a.ipynb": b"my answer"})
    (source / "elsewhere").rename(source / "01_a.ipynb")
    assert sync(source, work) == []  # it was given already: no news when it returns
    assert files(work)["01_a.ipynb"] == b"my answer"


@pytest.mark.parametrize("record", [None, b"", b"{", b"[]", b'"x"', b'{"01_a.ipynb": 1}', b"\xff"])
def test_broken_record_loses_nothing(source: Path, work: Path, record: bytes | None) -> None:
    sync(source, work)
    write(work, {"01_a.ipynb": b"my answer"})
    (work / RECORD).unlink() if record is None else (work / RECORD).write_bytes(record)
    lines = sync(source, work)
    assert files(work) == {
        "01_a.ipynb": b"my answer",
        "01_a.new-7692c3ad.ipynb": b"one",  # sha256(b"one") = 7692c3ad3540…
        "homework/01_h.ipynb": b"home",  # identical: adopted in silence
    }
    assert len(lines) == 1
    assert sync(source, work) == []


def test_authors_files_stay_out(source: Path, work: Path) -> None:
    out = ["instructor/01.ipynb", "conftest.py", ".ipynb_checkpoints/01_a-checkpoint.ipynb", "predictions.json", ".x"]
    write(source, dict.fromkeys([*out, "homework/predictions.json", "__pycache__/conftest.pyc"], b""))
    sync(source, work)
    assert set(files(work)) == {"01_a.ipynb", "homework/01_h.ipynb"}


def test_lectures_below_a_hidden_folder_are_found(tmp_path: Path, work: Path) -> None:
    write(tmp_path / ".local/notebooks", {"01_a.ipynb": b"one"})
    sync(tmp_path / ".local/notebooks", work)
    assert set(files(work)) == {"01_a.ipynb"}


def test_record_is_replaced_whole(source: Path, work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sync(source, work)
    before = (work / RECORD).read_bytes()
    write(source, {"02_b.ipynb": b"b"})

    def power_cut(self: Path, target: Path) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", power_cut)
        with pytest.raises(KeyboardInterrupt):
            sync(source, work)
    assert (work / RECORD).read_bytes() == before
    assert sync(source, work) == []  # 02_b is there already, identical: adopted
    assert "02_b.ipynb" in json.loads((work / RECORD).read_text())


@pytest.mark.skipif(os.name == "nt", reason="Windows has no limit on file sizes")
def test_full_disk_leaves_no_half_file(source: Path, work: Path) -> None:
    import resource

    sync(source, work)
    write(source, {"01_a.ipynb": bytes(100_000)})
    before, limits = files(work), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, limits[1]))
    try:
        with pytest.raises(OSError, match="too large"):
            sync(source, work)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert files(work) == before
    assert len(sync(source, work)) == 1  # told when it could be laid beside, not before


def test_file_that_appears_at_the_last_moment_is_kept(
    source: Path, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(work, {"01_a.ipynb": b"my answer"})
    monkeypatch.setattr(Path, "exists", lambda self: False)
    with pytest.raises(FileExistsError, match="01_a"):
        sync(source, work)
    assert files(work)["01_a.ipynb"] == b"my answer"


def test_dangling_link_is_not_followed(source: Path, work: Path, tmp_path: Path) -> None:
    work.mkdir()
    (work / "01_a.ipynb").symlink_to(tmp_path / "nowhere")
    with pytest.raises(OSError, match="01_a"):
        sync(source, work)
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize("where", [".", "inside"])
def test_copy_inside_the_lectures_is_refused(source: Path, where: str) -> None:
    with pytest.raises(FileExistsError, match="choose another place"):
        sync(source, source / where)
    assert not (source / RECORD).exists()


def test_missing_source_names_it(tmp_path: Path, work: Path) -> None:
    with pytest.raises(NotADirectoryError, match=r"no folder .*absent.*: run this in the course's own folder"):
        sync(tmp_path / "absent", work)
    assert not work.exists()


def test_work_that_is_a_file_is_refused(source: Path, work: Path) -> None:
    work.write_text("thesis")
    with pytest.raises(FileExistsError, match="move it away"):
        sync(source, work)
    assert work.read_text() == "thesis"


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such mode")
def test_copies_can_be_written_even_if_the_lectures_cannot(source: Path, work: Path) -> None:
    (source / "01_a.ipynb").chmod(0o444)
    sync(source, work)
    assert (work / "01_a.ipynb").stat().st_mode & 0o200


def test_the_self_check_comes_along_and_follows_its_homework(source: Path, work: Path) -> None:
    """A student who keeps an old homework keeps what it is compared with; the new one has its own."""
    write(source, {"homework/conftest.py": b"code", "homework/.release/01_h.ipynb": b"home"})
    sync(source, work)
    write(work, {"homework/01_h.ipynb": b"answers"})
    write(source, {"homework/01_h.ipynb": b"two", "homework/.release/01_h.ipynb": b"two"})
    (line,) = sync(source, work)
    assert "01_h.new-3fc4ccfe.ipynb" in line
    found = files(work)
    assert found["homework/conftest.py"] == b"code"
    assert found["homework/.release/01_h.ipynb"] == b"home"
    assert found["homework/01_h.new-3fc4ccfe.ipynb"] == found["homework/.release/01_h.new-3fc4ccfe.ipynb"] == b"two"
    assert sync(source, work) == []


@pytest.mark.parametrize("known", [True, False], ids=["laid beside before", "changed since"])
def test_a_homework_that_comes_afresh_brings_what_it_is_compared_with(source: Path, work: Path, known: bool) -> None:
    write(source, {"homework/.release/01_h.ipynb": b"home"})
    sync(source, work)
    write(source, {"homework/01_h.ipynb": b"two", "homework/.release/01_h.ipynb": b"two"})
    if known:
        sync(source, work)
    (work / "homework/01_h.ipynb").unlink()
    (line,) = sync(source, work)
    assert line == f"{work / 'homework/01_h.ipynb'}: back afresh"
    found = files(work)
    assert found["homework/01_h.ipynb"] == found["homework/.release/01_h.ipynb"] == b"two"
    assert sync(source, work) == []


def workshop(**sources: str) -> bytes:
    """A workshop's file: a text, and an answer cell for each of the sources."""
    answers = [
        {
            "cell_type": "code",
            "id": name,
            "metadata": {"rlcourse": {"role": "answer"}},
            "source": source.splitlines(True),
        }
        for name, source in sources.items()
    ]
    title = {"cell_type": "markdown", "id": "title", "metadata": {}, "source": ["A workshop"]}
    return json.dumps({"cells": [title, *answers], "metadata": {}}).encode()


def test_an_update_of_a_workshop_holds_the_students_answers(source: Path, work: Path) -> None:
    stub = "def f(x):\n    raise NotImplementedError('your answer goes here')\n"
    write(source, {"workshops/w01.ipynb": workshop(one=stub, two=stub)})
    sync(source, work)
    theirs = json.loads((work / "workshops/w01.ipynb").read_bytes())
    theirs["cells"][1]["source"] = ["def f(x):\n", "    return x\n"]
    own = {"cell_type": "code", "id": "own", "metadata": {}, "source": ["mine = 1"]}
    theirs["cells"].insert(2, own)
    write(work, {"workshops/w01.ipynb": json.dumps(theirs).encode()})
    better = stub.replace("(x)", "(x):  # a better stub", 1)
    write(source, {"workshops/w01.ipynb": workshop(zero=stub, one=better, two=better)})
    (line,) = sync(source, work)
    assert "with your answers in it" in line
    assert json.loads((work / "workshops/w01.ipynb").read_bytes()) == theirs
    (beside,) = (work / "workshops").glob("w01.new-*.ipynb")
    cells = {cell["id"]: "".join(cell["source"]) for cell in json.loads(beside.read_bytes())["cells"]}
    assert list(cells) == ["title", "zero", "one", "own", "two"]
    assert cells["one"] == "def f(x):\n    return x\n"
    assert cells["two"] == better
    assert sync(source, work) == []


def test_a_workshop_that_cannot_be_read_is_laid_beside_as_it_is(source: Path, work: Path) -> None:
    write(source, {"workshops/w01.ipynb": workshop(one="1")})
    sync(source, work)
    write(work, {"workshops/w01.ipynb": b"no notebook"})
    write(source, {"workshops/w01.ipynb": workshop(one="2")})
    sync(source, work)
    (beside,) = (work / "workshops").glob("w01.new-*.ipynb")
    assert json.loads(beside.read_bytes())["cells"][1]["source"] == ["2"]
