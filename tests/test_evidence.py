"""The queue of long recordings: its order, what it passes over, what it does when told to pause or interrupted."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests import evidence

STORE = "import json, sys; json.dump({'seeds': [0, 1]}, open(sys.argv[sys.argv.index('--curve') + 1], 'w'))"
FAIL = "import sys; sys.exit(3)"


@pytest.fixture
def queue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(evidence, "LOOK", 0.01)
    return tmp_path / "queue.txt"


def line(code: str, curve: Path) -> str:
    return f'{sys.executable} -c "{code}" --seeds 0:2 --curve {curve}'


def test_it_runs_what_is_missing_in_its_order(queue: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    done, failing, fresh = (tmp_path / f"{name}.json" for name in ("done", "failing", "fresh"))
    done.write_text(json.dumps({"seeds": [0, 1, 2]}))
    queue.write_text(f"# first\n{line(FAIL, done)}\n\n{line(FAIL, failing)}\n{line(STORE, fresh)}  # last\n")

    assert evidence.main(queue, only_list=True) == 0
    said = [text.partition(":")[0] for text in capfd.readouterr().out.splitlines()]
    assert said == ["done", "lacks seeds 0, 1", "lacks seeds 0, 1"]
    assert not fresh.exists()

    assert evidence.main(queue, only_list=False) == 1
    said = [text.partition(":")[0] for text in capfd.readouterr().out.splitlines()]
    assert said == ["done", "lacks seeds 0, 1", "exit status 3", "lacks seeds 0, 1", "stored"]
    assert evidence.missing(evidence.commands(queue)[-1]) == []


def test_it_stands_still_while_there_is_a_file_that_says_so(
    queue: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pause, sent = tmp_path / "queue.txt.pause", []
    pause.touch()

    def killpg(group: int, what: int) -> None:
        sent.append(what)
        if what == signal.SIGSTOP:
            pause.unlink()
        else:
            process.kill()  # what waits for ever, once it may go on

    monkeypatch.setattr(os, "killpg", killpg)
    genuine = subprocess.Popen
    process: Any = None

    def popen(*args: Any, **options: Any) -> Any:
        nonlocal process
        process = genuine(*args, **options)
        return process

    monkeypatch.setattr(subprocess, "Popen", popen)
    assert evidence.run([sys.executable, "-c", "import time; time.sleep(1000)"], pause) == -signal.SIGKILL
    assert sent == [signal.SIGSTOP, signal.SIGCONT]


def test_an_interrupt_reaches_the_training(queue: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It saves, as `rlcourse train` does, before the queue ends."""
    begun, saved = tmp_path / "begun", tmp_path / "saved"
    code = (
        "import time, pathlib, signal, sys\n"
        # A shell lets what it starts with `&` ignore interrupts, these tests and their children too.
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "try:\n    pathlib.Path(sys.argv[1]).touch(); time.sleep(1000)\n"
        "except KeyboardInterrupt:\n    pathlib.Path(sys.argv[2]).touch()"
    )

    def interrupt(seconds: float) -> None:
        if begun.exists():
            raise KeyboardInterrupt
        wait(seconds)

    wait = time.sleep
    monkeypatch.setattr(time, "sleep", interrupt)
    with pytest.raises(KeyboardInterrupt):
        evidence.run([sys.executable, "-c", code, str(begun), str(saved)], tmp_path / "pause")
    assert saved.exists()


def test_the_courses_queue_can_be_worked_through() -> None:
    """Each line trains, stores its curve in the assets, and is there once."""
    found = evidence.commands(Path(__file__).parents[1] / evidence.QUEUE)
    curves = [words[words.index("--curve") + 1] for words in found]
    assert all(words[:2] == ["rlcourse", "train"] for words in found)
    assert all(Path(curve).parent == Path("assets/curves") for curve in curves)
    assert len(set(curves)) == len(curves)
