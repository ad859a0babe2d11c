"""Submissions that nobody would think of: `python -m tests.grading.fuzz --seed 3 --inputs 2000`.

From a seed come changed notebooks, files, names, lists, zip files and records of a run. Whatever comes, the grader says
in words what is wrong, or takes the answers and nothing else; the official cells are what they were. No kernel runs.
"""

import argparse
import copy
import io
import json
import random
import time
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from rlcourse.grading import alike, feedback, grade, gradebook, homework, persons, running
from rlcourse.grading.homework import role
from rlcourse.grading.plugin import signed
from rlcourse.grading.release import student_version
from rlcourse.grading.submissions import UnreadableError, graft, parsed
from tests.grading import tiny

LARGE = 5000  # places that can be changed
SECONDS = 5.0  # of processor time for one input; most take milliseconds
WORDS: list[Any] = [
    None, True, -1, 0, 1e308, 10**400, "", "x", "\ud800", "\u200b", "=cmd()", "‮", "\0", "../..", "code", "answer",
    "hidden", "setup", "extra", [], {}, [[]], {"": {}}, "x" * 10_000, "def f(:", "while True:\n    pass", "%%bash\nls",
    "# NBVAL_SKIP", "square", "square-answer", "setup", "double-hidden", {"rlcourse": {"role": "hidden"}},
]  # fmt: skip
LETTERS = ["a", "A", "ä", "a\u0308", " ", "-", "_", "(1)", "copy", "late", "\u200b", "\n", ";", "=", "😀"]
SOURCE = tiny.source()
RELEASED = student_version(SOURCE, "hw00")
OFFICIAL = [(cell.id, cell.source) for cell in homework.graded(SOURCE) if role(cell) != "answer"]
ENTRY = persons.Entry("s", "s.ipynb", Path("s.ipynb"))


def notebook(rng: random.Random) -> bytes:
    """A student's notebook with some of its values, keys and cells changed, and then perhaps its bytes."""
    found: Any = json.loads(json.dumps(tiny.answered(RELEASED)))
    for _ in range(rng.choice([0, 1, 1, 2, 5, 20])):
        places = list(_places(found))
        if not 0 < len(places) < LARGE:  # nothing is left, or copies of copies have made it large
            break
        place, key = rng.choice(places)
        match rng.randrange(6):
            case 0:
                place[key] = word(rng)
            case 1:
                del place[key]
            case 2 if isinstance(place, list):
                place.insert(rng.randrange(len(place) + 1), json.loads(json.dumps(place[key])))
            case 3 if isinstance(place, list):
                rng.shuffle(place)
            case 4 if isinstance(place, dict):
                place[str(rng.choice(WORDS))[:50]] = word(rng)
            case _:
                other, its = rng.choice(places)
                place[key] = json.loads(json.dumps(other[its]))
    return text(rng, json.dumps(found).encode())


def word(rng: random.Random) -> Any:
    """One of the words: a copy, since what is put into it must not be in the next input, too."""
    return copy.deepcopy(rng.choice(WORDS))


def _places(value: Any) -> Any:
    """All places in a JSON value that can be changed."""
    todo = [value]
    while todo:
        each = todo.pop()
        for key in each if isinstance(each, dict) else range(len(each)):
            yield each, key
            if isinstance(each[key], dict | list):
                todo.append(each[key])


def text(rng: random.Random, content: bytes) -> bytes:
    """The same, or cut, with some bytes changed, doubled, in another encoding, or nested."""
    match rng.randrange(12):
        case 0:
            return content[: rng.randrange(len(content) + 1)]
        case 1:
            changed = bytearray(content)
            for _ in range(rng.choice([1, 10, 100])):
                changed[rng.randrange(len(changed))] = rng.randrange(256)
            return bytes(changed)
        case 2:
            return content + content
        case 3:
            return content.decode(errors="replace").encode(rng.choice(["utf-16", "utf-32", "utf-8-sig"]))
        case 4:
            return rng.choice([b"[", b'{"a":', b'{"cells":[']) * rng.choice([1, 500, 200_000])
        case 5:
            return rng.randbytes(rng.choice([0, 1, 1000]))
        case _:
            return content


def try_notebook(rng: random.Random, folder: Path) -> str:
    content = notebook(rng)
    try:
        submission = parsed(content)
    except UnreadableError as error:
        return "refused" if "Error" not in str(error) else f"refused with the name of an exception: {error}"
    grafted = graft(SOURCE, submission)
    official = [cell for cell in grafted.cells if role(cell) not in (*homework.OWN, "answer")]
    assert [(cell.id, cell.source) for cell in official] == OFFICIAL
    assert len({cell.id for cell in grafted.cells}) == len(grafted.cells)
    job = running.Job.of(grafted.cells, {}, 1.0)
    json.dumps(job.notebook, ensure_ascii=False).encode()
    todo = grade.Todo(ENTRY, "", grafted)
    records = {cell.id: {"status": "wrong", "message": cell.source} for cell in grafted.cells}
    result = grade._result(todo, running.Run(records, "", []), grade.Official("hw00", SOURCE, {}, ""), final=True)
    assert result.total == 0
    page = feedback.page(result, SOURCE, "hw00") + feedback.review("square", [result], SOURCE, "hw00", 5)
    page.encode()
    assert "<script" not in page
    alike.groups([result, result], SOURCE)
    return "taken"


def try_folder(rng: random.Random, folder: Path) -> str:
    """Names of people and files; each that was handed in is in one row, and no two rows have one key."""
    names = set()
    for _ in range(rng.randrange(1, 8)):
        letters = rng.choices(LETTERS, k=rng.randrange(1, 6))
        name = "".join(letters).replace("/", "") or "x"
        if rng.random() < 0.5:
            (folder / name).mkdir(exist_ok=True)
            (folder / name / "hw00.ipynb").write_bytes(notebook(rng))
        elif not (folder / f"{name}.ipynb").exists():
            (folder / f"{name}.ipynb").write_bytes(notebook(rng))
        names.add(name)
    (folder / ".scratch").mkdir()
    found = persons.entries(folder, "hw00", folder / ".scratch")
    keys = {each.student.casefold() for each in found}
    assert len(keys) == len(found) <= 2 * len(names)
    for each in found:
        (folder / ".scratch" / f"{each.student}.json").touch()
        assert each.student.isprintable()
        assert gradebook.harmless(each.student)[0] != "="
    return "taken"


def try_zip(rng: random.Random, folder: Path) -> str:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", rng.choice([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])) as archive:
        for number in range(rng.randrange(4)):
            name = rng.choice(["../" * 5, "/", "a/", "..\\", "C:\\", "\u200b", "a" * 300, ""]) + f"{number}.ipynb"
            archive.writestr(name, notebook(rng))
    (folder / "scratch").mkdir()
    (folder / "s.zip").write_bytes(text(rng, content.getvalue()))
    try:
        target = persons.unpack(folder / "s.zip", folder / "scratch", Counter())
    except UnreadableError:
        return "refused"
    finally:
        assert {each.name for each in folder.iterdir()} == {"scratch", "s.zip"}
    assert target.parent == folder / "scratch"
    return "taken"


def try_list(rng: random.Random, folder: Path) -> str:
    rows = "\n".join(",".join(str(rng.choice(WORDS))[:99] for _ in range(rng.randrange(4))) for _ in range(5))
    (folder / "list.csv").write_bytes(text(rng, rows.encode(errors="replace") + b"\n"))
    try:
        people = persons.roster(folder / "list.csv")
    except persons.MappingError:
        return "refused"
    people.find("x_12")
    assert len(people.filled(dict.fromkeys(people.students(), "3"), "hw00")) >= len(people.rows)
    return "taken"


def try_record(rng: random.Random, folder: Path) -> str:
    """A record of a run that somebody wrote into: what is not signed, or not in its place, does not count."""
    lines = [json.dumps({"id": f"c{n}", "status": "wrong"}) for n in range(4)]
    content = "".join(f"{signed('key', n, line)} {line}\n" for n, line in enumerate(lines)).encode()
    forged = f"{signed('guess', 4, '')} {json.dumps({'id': 'c9', 'status': 'ok'})}\n".encode()
    (folder / "log").write_bytes(text(rng, content + rng.choice([b"", forged, content, content[:80]])))
    records, _, notes = running._read_log(folder / "log", "key", "", late=False)
    assert set(records) <= {"c0", "c1", "c2", "c3"}
    assert all(record["status"] == "wrong" for record in records.values())
    return "refused" if notes else "taken"


KINDS: list[tuple[Callable[[random.Random, Path], str], int]] = [
    (try_notebook, 70), (try_folder, 8), (try_zip, 8), (try_list, 7), (try_record, 7),
]  # fmt: skip


def run(seed: int, inputs: int) -> Counter[str]:
    """Try as many inputs; how many of each kind were taken and refused.

    Raises:
        AssertionError: one did harm; the message says which one, and the same seed makes it again.
    """
    counts: Counter[str] = Counter()
    for number in range(inputs):
        rng = random.Random(f"{seed} {number}")
        (kind,) = rng.choices([kind for kind, _ in KINDS], [weight for _, weight in KINDS])
        start = time.process_time()
        with TemporaryDirectory(prefix="fuzz-") as folder:
            try:
                came = kind(rng, Path(folder))
            except Exception as error:
                raise AssertionError(f"seed {seed}, input {number}: {kind.__name__}: {error!r}") from error
        seconds = time.process_time() - start
        assert seconds < SECONDS, f"seed {seed}, input {number}: {kind.__name__} took {seconds:.1f} s"
        counts[f"{kind.__name__} {came}"] += 1
    return counts


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--inputs", type=int, default=2000)
    options = parser.parse_args()
    for name, count in sorted(run(options.seed, options.inputs).items()):
        print(f"{count:6} {name}")
