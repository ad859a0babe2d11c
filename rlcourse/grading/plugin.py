"""The process that grades one notebook: nbval runs its cells, this watches the kernel and writes a line per cell.

What it needs comes through its standard input, so that nothing of it ever is in a file or on a command line. It writes
a line when a cell begins and another when it ends, so that what a crash leaves behind says where it was. Each line is
signed with a key that only the grader has: where there is no sandbox, a submission could write lines of its own.

A cell that takes too long is interrupted, and the next one runs in the same kernel. A cell that kills the kernel,
floods it or does not let itself be interrupted ends the session: `running` starts another one without it.
"""

import hashlib
import hmac
import json
import resource
import sys
import time
from collections import deque
from collections.abc import Generator, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import nbformat
import nbval.plugin
import pytest
import zmq
from jupyter_client.manager import KernelManager
from nbval.kernel import NbvalKernelspecManager, RunningKernel
from nbval.plugin import IPyNbFile

from rlcourse.grading import checks, limits
from rlcourse.grading.collect import HomeworkCell, cells_of, printed, raised
from rlcourse.grading.homework import role
from rlcourse.grading.limits import MEGABYTE, WIDER
from rlcourse.grading.sandbox import KERNEL

MAX_OUTPUT = 10 * MEGABYTE  # of one cell, and of one message: a larger one ends the connection
MAX_MEMORY = 4000 * MEGABYTE  # of this process; its kernel has less
MAX_MESSAGE = 2000  # characters of what a student reads about one cell
POLL = 200  # milliseconds
LOOK = 0.5  # seconds between two looks at what the processes use
GRACE = 5  # seconds in which an interrupted cell must end
IDLE_TIMEOUT = 10  # seconds from the reply of a cell until its last output
STARTUP_TIMEOUT = 60  # seconds
ENDED = "it ended the kernel: take `exit` or `quit` out"
SOCKETS, NOTEBOOK = "sockets", "graded.ipynb"  # in the working folder


@dataclass(frozen=True)
class Order:
    """What the grader asks for.

    Attributes:
        notebook: the cells, as JSON.
        references: marked lines by cell id.
        seconds: of processor time that one cell may take, over all processes.
        own: seconds that a student's own cells may take together.
        rest: seconds that all others may take together.
        log: where to write.
        key: signs each line.
    """

    notebook: str
    references: Mapping[str, list[str]]
    seconds: float
    own: float
    rest: float
    log: str
    key: str


def signed(key: str, number: int, line: str) -> str:
    """The signature of the line of this number."""
    return hmac.new(key.encode(), f"{number} {line}".encode(), hashlib.sha256).hexdigest()


class StoppedError(Exception):
    """The kernel is of no use any more; `status` says why."""

    def __init__(self, status: str, message: str) -> None:
        super().__init__(message)
        self.status = status


class SlowError(Exception):
    """The cell took too long and was interrupted; its kernel can go on."""


class WatchedKernel(RunningKernel):
    """nbval's kernel over sockets in the file system, which need no network; what it uses and prints is counted."""

    def __init__(self, kernel_name: str, cwd: str | None = None, startup_timeout: float = STARTUP_TIMEOUT) -> None:
        context = zmq.Context()
        context.setsockopt(zmq.MAXMSGSIZE, MAX_OUTPUT)
        self.folder = Path(cwd or ".") / SOCKETS
        self.km = KernelManager(
            kernel_name=kernel_name,
            kernel_spec_manager=NbvalKernelspecManager(),
            transport="ipc",
            connection_file=str(self.folder / "kernel.json"),
            context=context,
        )
        self.running = False
        self._begin()
        self.km.start_kernel(cwd=str(self.folder))
        self.kc = self.km.client()
        self.kc.start_channels()
        self.kc.wait_for_ready(timeout=startup_timeout)
        self._ensure_iopub_up()
        self.used = limits.processor_time()

    def _begin(self) -> None:
        self.outputs: deque[dict[str, Any]] = deque()
        self.bytes, self.reply = 0, {"status": "ok"}

    def execute_cell_input(self, cell_input: str, allow_stdin: bool | None = None) -> str:
        self._begin()
        self.running = True
        return str(super().execute_cell_input(cell_input, allow_stdin))

    def await_reply(self, msg_id: str, timeout: float | None = None) -> None:
        """Wait for a cell, and all the while take in its output and look whether the kernel lives and what it uses.

        Args:
            timeout: seconds of processor time; of wall time, `WIDER` times as many.

        Raises:
            SlowError: it took too long.
            StoppedError: it cannot be interrupted, died, prints or takes too much.
        """
        limit = float(timeout or STARTUP_TIMEOUT)
        start = time.monotonic()
        look = start + LOOK
        while not self._replied(msg_id):
            if time.monotonic() < look:
                continue
            look = time.monotonic() + LOOK
            if self.running:
                self._bounded()
                for spent, most, kind in (
                    (limits.processor_time() - self.used, limit, "of processor time"),
                    (time.monotonic() - start, WIDER * limit, "of waiting"),
                ):
                    if spent > most:
                        self._interrupt(msg_id, f"stopped after {most:.3g} seconds {kind}")
        if self.running:
            self._bounded()

    def _bounded(self) -> None:
        if fault := limits.excess(self.folder):
            raise StoppedError("died", f"stopped: {fault}")

    def _interrupt(self, msg_id: str, message: str) -> None:
        self.km.interrupt_kernel()
        deadline = time.monotonic() + GRACE
        while time.monotonic() < deadline:
            if self._replied(msg_id):
                raise SlowError(message)
        raise StoppedError("timeout", message)

    def _replied(self, msg_id: str) -> bool:
        """Take in what arrives in a moment, and say whether the reply is there."""
        poller = zmq.Poller()
        for channel in (self.kc.shell_channel, self.kc.iopub_channel):
            poller.register(channel.socket, zmq.POLLIN)
        ready = dict(poller.poll(POLL))
        if self.kc.iopub_channel.socket in ready:
            self._take(self.kc.get_iopub_msg(timeout=0))
        if self.kc.shell_channel.socket in ready:
            message = self.kc.get_shell_msg(timeout=0)
            if message["parent_header"].get("msg_id") == msg_id:
                self.reply = message["content"]
                return True
        if not ready and not self.is_alive():
            raise StoppedError("died", "the kernel died: os._exit, out of memory, or a crash")
        return False

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

    def stop(self) -> None:
        """End the kernel, and all that it left running."""
        left = limits.offspring()
        super().stop()
        limits.kill(left)


class Graded(IPyNbFile):
    """The grafted notebook with the references that the grader passed on."""

    def collect(self) -> Iterator[HomeworkCell]:
        order: Order = self.config.stash[ORDER]
        self.nb = nbformat.reads(order.notebook, as_version=4)
        yield from cells_of(self, self.nb.cells, order.references)


ORDER = pytest.StashKey[Order]()


class Watch:
    """The hooks of one grading."""

    def __init__(self, order: Order) -> None:
        self.order, self.lines = order, 0
        self.left = {True: order.own, False: order.rest}  # seconds, of a student's own cells and of all others

    def pytest_configure(self, config: pytest.Config) -> None:
        config.stash[ORDER] = self.order

    @pytest.hookimpl(wrapper=True)
    def pytest_collect_file(self, file_path: Path) -> Generator[None, list[Any], list[Any]]:
        return [Graded.from_parent(each.parent, path=file_path) for each in (yield)]

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: HomeworkCell) -> Generator[None]:
        self._log(item, status="started")
        left = self.left[extra(item)]
        if left <= 0:
            raise SlowError("not run: the cells before it took all the time that there was")
        item.config.option.nbval_cell_timeout = min(self.order.seconds, left)
        yield
        # A patched showtraceback hides an exception from the output, not from the reply.
        reply = item.parent.kernel.reply
        if any(each.get("source") == "ask_exit" and not each.get("keepkernel") for each in reply.get("payload", [])):
            raise StoppedError("died", ENDED)  # it does so after its reply, and the next cell would be blamed
        if reply["status"] != "ok":
            raise RuntimeError(f"{reply.get('ename')}: {reply.get('evalue')}")

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: HomeworkCell, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        if call.when == "call":
            status, message = _verdict(item, call.excinfo)
            used = limits.processor_time()
            seconds, item.parent.kernel.used = used - item.parent.kernel.used, used
            # Waiting counts like its tenth part in work, as for a single cell.
            self.left[extra(item)] -= max(seconds, call.duration / WIDER)
            lines = checks.marked(printed(item.test_outputs or []))
            stopped = call.excinfo is not None and isinstance(call.excinfo.value, StoppedError)
            self._log(item, status=status, message=message, lines=lines, seconds=round(seconds, 3), stopped=stopped)
            if stopped:
                item.session.shouldstop = status
        return report

    def _log(self, item: HomeworkCell, **entry: Any) -> None:
        line = json.dumps({"id": item.cell.id, **entry})
        with open(self.order.log, "a", encoding="utf-8") as log:
            log.write(f"{signed(self.order.key, self.lines, line)} {line}\n")
        self.lines += 1


def extra(item: HomeworkCell) -> bool:
    """Whether nothing graded waits for a cell."""
    return role(item.cell) == "extra"


def _verdict(item: HomeworkCell, excinfo: pytest.ExceptionInfo[BaseException] | None) -> tuple[str, str]:
    if excinfo is None:
        return "ok", ""
    if isinstance(excinfo.value, StoppedError):
        return excinfo.value.status, str(excinfo.value)
    if isinstance(excinfo.value, SlowError):
        return "timeout", str(excinfo.value)
    if item.comparison_traceback:
        return "wrong", _readable("\n".join(item.comparison_traceback))
    return "error", _readable(raised(excinfo.value))


def _readable(text: str) -> str:
    """Of a long text the end, where a traceback says what happened."""
    return text if len(text) <= MAX_MESSAGE else "…" + text[1 - MAX_MESSAGE :]


def main() -> None:
    order = Order(**json.load(sys.stdin))
    limits.adopt_children()
    with suppress(ValueError):  # macOS limits no memory
        resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY, MAX_MEMORY))
    nbval.plugin.RunningKernel = WatchedKernel
    words = ["--noconftest", "-c", "pytest.ini", "-p", "nbval.plugin", "-p", "no:cacheprovider", "--nbval-lax"]
    words += ["--color=no", "--nbval-kernel-name", KERNEL, NOTEBOOK]
    sys.exit(pytest.main(words, plugins=[Watch(order)]))


def order_text(order: Order) -> bytes:
    """As `main` reads it."""
    return json.dumps(asdict(order)).encode()


if __name__ == "__main__":
    main()
