"""One worker process: started bounded, drained, watched, and ended with a reason."""

import contextlib
import ctypes
import json
import os
import resource
import selectors
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import Any, Callable, Dict, List, Optional

from .failure import DISK_FULL_STATUS, AgentFailure
from .protocol import Execution, Limits

_TAIL_BYTES = 4096
_LINE_BYTES = 1 << 16
_TICK_S = 0.5
_PR_SET_PDEATHSIG = 1

#: Gives the command line of a worker from its folder and the event pipe's descriptor.
Command = Callable[[str, int], List[str]]
OnEvent = Callable[[Dict[str, Any]], None]


@dataclass(frozen=True)
class Ending:
    """How a worker ended: its exit status, what ended it, its last words, and the phase it was in."""

    returncode: int
    stopped_for: str
    oom_killed: bool
    tail: str
    phase: str = ""

    def failure(self) -> AgentFailure:
        """The cause in words, for a worker that left no report."""
        said = f"; its last words: {self.tail}" if self.tail else ""
        where = f" in its phase {self.phase!r}" if self.phase else ""
        if self.stopped_for == "timeout":
            return AgentFailure(
                "timeout", f"the worker did not end within its time limit and was stopped{where}{said}"
            )
        if self.stopped_for:
            return AgentFailure("out-of-memory", self.stopped_for, "use a smaller model or a higher limit")
        if self.returncode < 0:
            name = signal.Signals(-self.returncode).name
            if self.oom_killed:
                return AgentFailure(
                    "out-of-memory", f"the kernel's out-of-memory killer ended the worker ({name})"
                )
            return AgentFailure("agent-fault", f"the worker was ended by {name}{where}{said}")
        if self.returncode == DISK_FULL_STATUS:
            return AgentFailure(
                "disk-full",
                f"the device's disk was full when the worker wrote down what it saw{said}",
                "free some space there",
            )
        return AgentFailure(
            "agent-fault", f"the worker ended with status {self.returncode} and no report{said}"
        )


def worker_command(folder: str, event_fd: int, word: str = "worker") -> List[str]:
    """The same code in a fresh interpreter: out of the archive it came in, or from the installed package."""
    archive = os.path.abspath(sys.argv[0])
    entry = [archive] if archive.endswith(".pyz") else ["-m", __package__ or ""]
    return [sys.executable, *entry, "--root", folder, word, folder, str(event_fd)]


class Child:
    """The worker of one job."""

    def __init__(
        self, folder: str, execution: Execution, limits: Limits, command: Command = worker_command
    ) -> None:
        self._folder = folder
        self._command = command
        self._execution = execution
        self._limits = limits
        self._tails: Dict[str, bytes] = {"stdout": b"", "stderr": b""}
        self._partial = b""
        self._phase = ""

    def run(self, on_event: OnEvent, emit: OnEvent) -> Ending:
        """Start the worker and return when it has ended.

        Args:
            on_event: called with each event the worker sends.
            emit: called about twice a second with a progress event; when it raises, the worker is ended.
        """
        self._check_affinity()
        oom_before = oom_kills()
        reader, writer = os.pipe()
        process = subprocess.Popen(
            self._command(self._folder, writer),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=(writer,),
            cwd=self._folder,
            env=_environment(self._execution.threads),
            start_new_session=True,
            preexec_fn=before_exec(self._execution.affinity),
        )
        os.close(writer)
        try:
            stopped_for = self._watch(process, reader, on_event, emit)
        finally:
            _end(process)
            os.close(reader)
            for stream in (process.stdout, process.stderr):
                if stream:
                    stream.close()
        tail = (self._tails["stderr"] or self._tails["stdout"]).decode("utf-8", "replace").strip()
        last = " | ".join([line for line in tail.splitlines() if not line.startswith("INFO:")][-3:])
        return Ending(process.returncode, stopped_for, oom_kills() > oom_before, last, self._phase)

    def _check_affinity(self) -> None:
        here = os.sched_getaffinity(0)
        if not set(self._execution.affinity) <= here:
            raise AgentFailure(
                "protocol", f"processors {list(self._execution.affinity)} asked for, {sorted(here)} are here"
            )

    def _watch(
        self, process: "subprocess.Popen[bytes]", reader: int, on_event: OnEvent, emit: OnEvent
    ) -> str:
        """Drain all three pipes until the worker ends; why it had to be stopped, empty when it was not."""
        started = time.monotonic()
        deadline = started + self._limits.timeout_s
        next_tick = started + _TICK_S
        assert process.stdout and process.stderr
        with selectors.DefaultSelector() as selector:
            selector.register(reader, selectors.EVENT_READ, "events")
            selector.register(process.stdout, selectors.EVENT_READ, "stdout")
            selector.register(process.stderr, selectors.EVENT_READ, "stderr")
            while selector.get_map():
                now = time.monotonic()
                if now >= deadline:
                    return "timeout"
                if now >= next_tick:
                    next_tick = now + _TICK_S
                    emit({"event": "progress", "elapsed_s": round(now - started, 1)})
                    if process.poll() is not None and "events" not in _waiting(selector):
                        break
                    too_large = self._over_memory(process.pid)
                    if too_large:
                        return too_large
                for key, _ in selector.select(min(next_tick, deadline) - now):
                    piece = os.read(key.fd, 1 << 16)
                    if not piece:
                        selector.unregister(key.fileobj)
                    elif key.data == "events":
                        self._take_events(piece, on_event)
                    else:
                        self._tails[key.data] = (self._tails[key.data] + piece)[-_TAIL_BYTES:]
        try:
            process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            return "timeout"
        return ""

    def _take_events(self, piece: bytes, on_event: OnEvent) -> None:
        *lines, self._partial = (self._partial + piece).split(b"\n")
        if len(self._partial) > _LINE_BYTES:
            raise AgentFailure("agent-fault", "the worker wrote an endless event line")
        for line in lines:
            try:
                event = json.loads(line)
            except ValueError:
                raise AgentFailure("agent-fault", f"the worker wrote no event: {line[:80]!r}") from None
            if isinstance(event, dict):
                self._phase = str(event.get("name", self._phase))
                on_event(event)

    def _over_memory(self, pid: int) -> str:
        limit = self._limits.memory_bytes
        if not limit:
            return ""
        resident = resident_bytes(pid)
        if resident is None or resident <= limit:
            return ""
        return f"the worker's {resident} resident bytes exceeded the limit of {limit} and it was stopped"


def _waiting(selector: selectors.BaseSelector) -> List[str]:
    return [str(key.data) for key in selector.get_map().values()]


def _environment(threads: int) -> Dict[str, str]:
    """The parent's environment with numpy's own thread pools kept out of the runtime's way."""
    return {**os.environ, "OMP_NUM_THREADS": str(threads), "OPENBLAS_NUM_THREADS": "1", "PYTHONHASHSEED": "0"}


def before_exec(affinity: "tuple[int, ...]") -> Callable[[], None]:
    """Runs in the child before it becomes the worker: dies with its parent, dumps no core, is pinned."""
    prctl = ctypes.CDLL(None, use_errno=True).prctl

    def prepare() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        if affinity:
            os.sched_setaffinity(0, affinity)

    return prepare


def _end(process: "subprocess.Popen[bytes]") -> None:
    """End the worker and whatever it started, which share its session."""
    with contextlib.suppress(ProcessLookupError):  # it has already ended, and so has its group
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def oom_kills() -> int:
    """How many processes the kernel has killed for memory since boot; 0 where it does not tell."""
    try:
        with open("/proc/vmstat", encoding="ascii") as stream:
            for line in stream:
                if line.startswith("oom_kill "):
                    return int(line.split()[1])
    except OSError:
        return 0
    return 0


def resident_bytes(pid: int) -> Optional[int]:
    """A process's resident memory; None when it has just ended."""
    try:
        with open(f"/proc/{pid}/statm", encoding="ascii") as stream:
            return int(stream.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return None
