"""The pytest plugin that grades one notebook: nbval runs it, this watches the kernel and writes a line per cell.

A line is written when a cell begins and another when it ends, so that what a crash leaves behind says where it was.
The first cell that hangs, dies or floods ends the session: `grade` runs the rest again without its answer.
"""

import json
import re
import resource
import time
from collections import deque
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import nbformat
import nbval.plugin
import pytest
import zmq
from jupyter_client.manager import KernelManager
from nbval.kernel import NbvalKernelspecManager, RunningKernel
from nbval.plugin import IPyNbFile

from rlcourse.grading import checks
from rlcourse.grading.collect import HomeworkCell, cells_of, printed
from rlcourse.grading.kernel import MEGABYTE

MAX_OUTPUT = 10 * MEGABYTE  # of one cell, and of one message: a larger one ends the connection
MAX_MEMORY = 4000 * MEGABYTE  # of this process; its kernel has less
MAX_MESSAGE = 2000  # characters of what a student reads about one cell
POLL = 200  # milliseconds
IDLE_TIMEOUT = 10  # seconds from the reply of a cell until its last output
STARTUP_TIMEOUT = 60  # seconds


class StoppedError(Exception):
    """The kernel is of no use any more; `status` says why."""

    def __init__(self, status: str, message: str) -> None:
        super().__init__(message)
        self.status = status


class WatchedKernel(RunningKernel):
    """nbval's kernel over sockets in the file system, which need no network; its output is counted as it arrives."""

    def __init__(self, kernel_name: str, cwd: str | None = None, startup_timeout: float = STARTUP_TIMEOUT) -> None:
        context = zmq.Context()
        context.setsockopt(zmq.MAXMSGSIZE, MAX_OUTPUT)
        folder = Path(cwd or ".") / "sockets"
        self.km = KernelManager(
            kernel_name=kernel_name,
            kernel_spec_manager=NbvalKernelspecManager(),
            transport="ipc",
            connection_file=str(folder / "kernel.json"),
            context=context,
        )
        self.running = False
        self._begin()
        self.km.start_kernel(cwd=str(folder))
        self.kc = self.km.client()
        self.kc.start_channels()
        self.kc.wait_for_ready(timeout=startup_timeout)
        self._ensure_iopub_up()

    def _begin(self) -> None:
        self.outputs: deque[dict[str, Any]] = deque()
        self.bytes, self.reply = 0, {"status": "ok"}

    def execute_cell_input(self, cell_input: str, allow_stdin: bool | None = None) -> str:
        self._begin()
        self.running = True
        return str(super().execute_cell_input(cell_input, allow_stdin))

    def await_reply(self, msg_id: str, timeout: float | None = None) -> None:
        """Wait for a cell, and all the while take in its output and look whether the kernel lives.

        Raises:
            StoppedError: it hangs, died, or prints too much.
        """
        deadline = time.monotonic() + (timeout or STARTUP_TIMEOUT)
        poller = zmq.Poller()
        for channel in (self.kc.shell_channel, self.kc.iopub_channel):
            poller.register(channel.socket, zmq.POLLIN)
        while True:
            ready = dict(poller.poll(POLL))
            if self.kc.iopub_channel.socket in ready:
                self._take(self.kc.get_iopub_msg(timeout=0))
            if self.kc.shell_channel.socket in ready:
                message = self.kc.get_shell_msg(timeout=0)
                if message["parent_header"].get("msg_id") == msg_id:
                    self.reply = message["content"]
                    return
            if not ready and not self.is_alive():
                raise StoppedError("died", "the kernel died: os._exit, out of memory, or a crash")
            if time.monotonic() > deadline:
                raise StoppedError("timeout", f"stopped after {timeout:g} seconds")

    def _take(self, message: dict[str, Any]) -> None:
        self.bytes += len(json.dumps(message["content"], default=str))
        if self.running and self.bytes > MAX_OUTPUT:
            raise StoppedError("output-limit", f"more than {MAX_OUTPUT // MEGABYTE} MB of output")
        self.outputs.append(message)

    def get_message(self, stream: str, timeout: float | None = None) -> dict[str, Any]:
        if stream == "iopub" and not self.outputs:
            if not self.running:
                self.outputs.append(super().get_message(stream, timeout))
            elif not self.kc.iopub_channel.socket.poll(IDLE_TIMEOUT * 1000):
                raise StoppedError("output-limit", "its output was lost: too much at once")
            else:
                self._take(self.kc.get_iopub_msg(timeout=0))
        return self.outputs.popleft() if stream == "iopub" else dict(super().get_message(stream, timeout))


class Graded(IPyNbFile):
    """The grafted notebook with the references that the grader passed on."""

    def collect(self) -> Iterator[HomeworkCell]:
        self.nb = nbformat.read(self.path, as_version=4)
        yield from cells_of(self, self.nb.cells, self.config.stash[REFERENCES])


REFERENCES = pytest.StashKey[dict[str, list[str]]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--grading-log", type=Path, help="where to write a line per cell")
    parser.addoption("--grading-references", type=Path, help="marked lines by cell id; deleted once read")


def pytest_configure(config: pytest.Config) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY, MAX_MEMORY))
    nbval.plugin.RunningKernel = WatchedKernel
    references: Path = config.option.grading_references
    config.stash[REFERENCES] = json.loads(references.read_text())
    references.unlink()  # before any kernel starts: where there is no sandbox, it could read this file


@pytest.hookimpl(wrapper=True)
def pytest_collect_file(file_path: Path) -> Generator[None, list[Any], list[Any]]:
    return [Graded.from_parent(each.parent, path=file_path) for each in (yield)]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: HomeworkCell) -> Generator[None]:
    _log(item, status="started")
    yield
    # A patched showtraceback hides an exception from the output, not from the reply.
    reply = item.parent.kernel.reply
    if reply["status"] != "ok":
        raise RuntimeError(f"{reply.get('ename')}: {reply.get('evalue')}")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: HomeworkCell, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if call.when == "call":
        status, message = _verdict(item, call.excinfo)
        lines = checks.marked(printed(item.test_outputs or []))
        _log(item, status=status, message=message, lines=lines)
        if status in ("timeout", "died", "output-limit"):
            item.session.shouldstop = status
    return report


def _verdict(item: HomeworkCell, excinfo: pytest.ExceptionInfo[BaseException] | None) -> tuple[str, str]:
    if excinfo is None:
        return "ok", ""
    if isinstance(excinfo.value, StoppedError):
        return excinfo.value.status, str(excinfo.value)
    if item.comparison_traceback:
        return "wrong", _readable("\n".join(item.comparison_traceback))
    trace = getattr(excinfo.value, "inner_traceback", None) or str(excinfo.value)
    return "error", _readable(trace)


def _readable(text: str) -> str:
    """Without colours; of a long text the end, where a traceback says what happened."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", text).strip()
    return text if len(text) <= MAX_MESSAGE else "…" + text[1 - MAX_MESSAGE :]


def _log(item: HomeworkCell, **entry: Any) -> None:
    with item.config.option.grading_log.open("a", encoding="utf-8") as log:
        log.write(json.dumps({"id": item.cell.id, **entry}) + "\n")
