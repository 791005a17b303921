"""The process that sets everything back when the job's process is gone, however it went.

It holds one end of a pair of sockets; the job's process holds the other. When that end closes, by an orderly
end or by SIGKILL, it sets back what is noted and ends. It has a session of its own, so that what ends the
job's leaves it alone, and it holds the same lock, so that nobody measures before it is done.
"""

import signal
import socket
import subprocess
from contextlib import contextmanager
from typing import Iterator

from ..child import worker_command
from .privilege import RefusedError
from .restore import set_back

_START_S, _END_S = 60.0, 120.0
_READY = b"r"


@contextmanager
def watched(root: str, lock: int) -> Iterator[None]:
    """A watchdog for the block, at work before the block begins.

    Raises:
        RefusedError: it does not start, and so nothing may be changed.
    """
    own, its = socket.socketpair()
    with own:
        with its:
            process = subprocess.Popen(
                worker_command(root, its.fileno(), "watchdog"),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=(its.fileno(), lock),
                cwd="/",
                start_new_session=True,
            )
        try:
            own.settimeout(_START_S)
            if not _is_ready(own):
                raise RefusedError("the process that would set everything back does not start")
            yield
        finally:
            own.close()
            try:
                process.wait(_END_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _is_ready(link: socket.socket) -> bool:
    try:
        return link.recv(1) == _READY
    except OSError:  # too late, or it is gone already
        return False


def main(root: str, fd: int) -> int:
    """Wait for the other end to close, then set everything back; 0 when nothing is left to do."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    with socket.socket(fileno=fd) as link:
        link.sendall(_READY)
        try:
            while link.recv(1):
                pass
        except ConnectionResetError:
            pass  # the other end closed without having read everything: it is gone all the same
    return 1 if set_back(root) else 0
