"""Long recordings, one after the other and over days: `python -m tests.evidence` works through `assets/queue.txt`.

A line of the queue is a command that stores a curve, the most important first; # begins a comment. What is interrupted,
by Ctrl-C or with the machine, goes on when this is called again: a curve that holds all its seeds is passed over, and a
training resumes from its last checkpoint. A command that fails is named, and the next one begins. While
`assets/queue.txt.pause` exists, the processes stand still, say for a benchmark. `--list` says what is done.

Run it from a clone that nobody changes meanwhile, since a curve stores the hash of the code behind it.
"""

import argparse
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

from rlcourse.operations.train import seeds_of

QUEUE = Path("assets/queue.txt")
LOOK = 1.0  # seconds between two looks at the pause


def commands(queue: Path) -> list[list[str]]:
    """The words of each command, in the order of the file."""
    lines = queue.read_text(encoding="utf-8").splitlines()
    return [words for line in lines if (words := shlex.split(line, comments=True))]


def missing(words: list[str]) -> list[int]:
    """The seeds that a command's curve lacks; all of them where there is no file."""
    options = argparse.ArgumentParser(add_help=False)
    options.add_argument("--curve", type=Path, required=True)
    options.add_argument("--seeds", default="0:1")
    known, _ = options.parse_known_args(words)
    held = json.loads(known.curve.read_text(encoding="utf-8"))["seeds"] if known.curve.exists() else []
    return [seed for seed in seeds_of(known.seeds) if seed not in held]


def run(words: list[str], pause: Path) -> int:
    """Run one command to its end, standing still while `pause` exists; its exit status."""
    beside = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"  # where `rlcourse` is
    environment = os.environ | {"PATH": beside, "OMP_NUM_THREADS": "1"}  # results differ between one thread and two
    # A group of its own, so that all processes of a training are stopped together.
    process = subprocess.Popen(words, env=environment, start_new_session=True)
    stopped = False
    try:
        while process.poll() is None:
            if pause.exists() != stopped:
                stopped = not stopped
                os.killpg(process.pid, signal.SIGSTOP if stopped else signal.SIGCONT)
            time.sleep(LOOK)
    except KeyboardInterrupt:
        os.killpg(process.pid, signal.SIGCONT)
        os.killpg(process.pid, signal.SIGINT)
        process.wait()
        raise
    return process.returncode


def main(queue: Path, only_list: bool) -> int:
    """Work through the queue, or say what is done; 1 if a command failed."""
    failed = False
    for words in commands(queue):
        seeds = missing(words)
        print(f"{'lacks seeds ' + ', '.join(map(str, seeds)) if seeds else 'done'}: {shlex.join(words)}", flush=True)
        if seeds and not only_list:
            status = run(words, queue.with_name(f"{queue.name}.pause"))
            failed |= status != 0
            print(f"exit status {status}" if status else "stored", flush=True)
    return int(failed)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("queue", nargs="?", type=Path, default=QUEUE)
    parser.add_argument("--list", action="store_true", help="run nothing")
    given = parser.parse_args()
    sys.exit(main(given.queue, given.list))
