"""The process of one job: detached from the host that asked for it, known by its lock, and ended when told.

ROOT/jobs/ID/alive           locked for as long as the process lives; holds its process id
ROOT/jobs/ID/log             what it wrote on standard error
"""

import fcntl
import os
import signal
import time
from contextlib import suppress
from typing import Tuple

from .failure import AgentFailure

ALIVE, LOG = "alive", "log"

_END_S = 10.0
_LOG_BYTES = 1 << 16


def boot_id() -> str:
    """Which start of the device this is; empty where the kernel does not tell."""
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as stream:
            return stream.read().strip()
    except OSError:
        return ""


def detach(folder: str, *, keep: Tuple[int, ...], is_tied: bool) -> None:
    """Let go of the host: its session, streams and locks. What is tied ends with the host's process."""
    if is_tied:
        from .child import before_exec

        before_exec(())()
    else:
        os.setsid()
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _leave)
    nothing = os.open(os.devnull, os.O_RDONLY)
    log = os.open(os.path.join(folder, LOG), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for source, number in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(source, number)
    for name in os.listdir("/proc/self/fd"):
        if int(name) > 2 and int(name) not in keep:
            with suppress(OSError):  # that of the listing itself is closed already
                os.close(int(name))


def _leave(number: int, frame: object) -> None:
    """Asked to end: what was begun is put back in order on the way out."""
    raise SystemExit(1)


def is_alive(folder: str) -> bool:
    """Whether the job's process lives: it holds the lock."""
    try:
        handle = os.open(os.path.join(folder, ALIVE), os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(handle)
    return False


def last_words(folder: str) -> str:
    """What the job's process wrote on standard error before its end."""
    try:
        with open(os.path.join(folder, LOG), encoding="utf-8", errors="replace") as stream:
            lines = stream.read(_LOG_BYTES).split("\n")
    except FileNotFoundError:
        return ""
    last = " | ".join([line.strip() for line in lines if line.strip()][-2:])
    return f": {last}" if last else ""


def end(folder: str) -> None:
    """Ask the job's process to end, and make it when it does not."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        told = 0
        until = time.monotonic() + _END_S
        while time.monotonic() < until:
            if not is_alive(folder):
                return
            pid = _pid(folder)
            if pid != told:  # it says who it is when it has let go of the host
                with suppress(ProcessLookupError):
                    os.kill(pid, number)
                told = pid
            time.sleep(0.02)
    raise AgentFailure("agent-fault", f"the process {told} of job {os.path.basename(folder)} does not end")


def _pid(folder: str) -> int:
    """The process of the job; 0 where it has not said yet."""
    try:
        with open(os.path.join(folder, ALIVE), encoding="ascii") as stream:
            return int(stream.read() or 0)
    except FileNotFoundError:
        return 0
