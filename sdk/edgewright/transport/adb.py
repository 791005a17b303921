"""A device over the Android debug bridge: commands by the shell protocol, files through the device's shell.

A phone's shell starts in ``/`` with a home that cannot be written; the one folder where it may write and
execute is ``/data/local/tmp``, which therefore is the device's home directory here.
"""

from __future__ import annotations

import contextlib
import shlex
import socket
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from edgewright.errors import DeviceTimeout, StableDeviceError

from . import Progress
from .adb_address import AdbAddress
from .adb_link import AdbLink, old_device
from .feeding import feed
from .shell_packets import CLOSE_STDIN, EXIT, STDERR, STDIN, STDOUT, Packets, packet
from .streams import Tail, split_lines
from .through_shell import Files

HOME = "/data/local/tmp"

_SERVICE = f"shell,v2,raw:export HOME={HOME}; cd $HOME && exec "
_LONGEST_SERVICE_BYTES = 0xFFFF

_READ_BYTES = 1 << 18
_PACKET_BYTES = 1 << 15
_TICK_S = 1.0

#: A connection on which nothing has moved for so long is asked about.
_QUIET_S = 10.0

#: A status is one byte; a shell tells of a signal by adding this to its number.
_SIGNALLED = 128
_LAST_SIGNAL = 64

_NOISY = "'adb shell true' must print nothing"


class AdbProcess:
    """A command on the device, in a connection of its own."""

    def __init__(self, link: AdbLink, command: str, timeout_s: float) -> None:
        self._link = link
        self._timeout_s = timeout_s
        self._deadline = time.monotonic() + timeout_s
        self._moved = time.monotonic()
        self._stderr = Tail()
        self._packets = Packets()
        self._output: deque[bytes] = deque()
        self._status: int | None = None
        self._connection = link.open(command)
        self._socket: socket.socket = self._connection.conn
        self._socket.settimeout(_TICK_S)

    def lines(self) -> Iterator[str]:
        """Standard output line by line as it comes."""
        return split_lines(self.pieces(), self._link.target)

    def finish(self) -> tuple[int, str]:
        """Wait for the end, dropping output not yet read."""
        for _ in self.pieces():
            pass
        assert self._status is not None
        by_signal = _SIGNALLED < self._status <= _SIGNALLED + _LAST_SIGNAL
        return _SIGNALLED - self._status if by_signal else self._status, self._stderr.text()

    def close(self) -> None:
        """Close the connection: the command is sent a hang-up and finds its standard streams closed."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._connection.close()

    def pieces(self) -> Iterator[bytes]:
        """Standard output as it comes, until the end; standard error is kept aside."""
        while self._output or self._status is None:
            if not self._output:
                self._receive()
            while self._output:
                yield self._output.popleft()

    def _receive(self) -> None:
        """Take what has come in, all of it: whoever reads the output may stop after any piece."""
        self._check_time()
        try:
            data = self._socket.recv(_READ_BYTES)
        except TimeoutError:
            self._check_link()
            return
        except OSError:
            data = b""
        if not data:
            raise self._link.broken("while a command ran")
        self._moved = time.monotonic()
        for kind, piece in self._packets.feed(data):
            if kind == STDOUT:
                self._output.append(piece)
            elif kind == STDERR:
                self._stderr.add(piece)
            elif kind == EXIT:
                self._status = piece[0]

    def send(self, data: bytes) -> bool:
        """Write to standard input; False when the command does not take any more."""
        return all(
            self._send(packet(STDIN, data[at : at + _PACKET_BYTES]))
            for at in range(0, len(data), _PACKET_BYTES)
        )

    def end_input(self) -> None:
        """Close standard input."""
        self._send(packet(CLOSE_STDIN))

    def _send(self, data: bytes) -> bool:
        rest = memoryview(data)
        while rest:
            self._check_time()
            if self._status is not None:
                return False
            try:
                rest = rest[self._socket.send(rest) :]
            except TimeoutError:
                self._check_link()
            except OSError:
                return False
            else:
                self._moved = time.monotonic()
        return True

    def _check_time(self) -> None:
        if time.monotonic() > self._deadline:
            raise DeviceTimeout(self._link.target, f"no end within {self._timeout_s:g} s")

    def _check_link(self) -> None:
        """Ask for a sign of life when there was none for long."""
        if time.monotonic() - self._moved > _QUIET_S:
            self._link.ping()
            self._moved = time.monotonic()


class AdbTransport:
    """One device over adb."""

    def __init__(self, link: AdbLink) -> None:
        self._link = link
        self._files = Files(link.target, self._open, _NOISY)

    @classmethod
    def open(cls, target: str, address: AdbAddress) -> AdbTransport:
        """Find the device, connecting to it when its serial is a ``host:port``.

        Raises:
            TransportError, AccessDenied: by what went wrong.
            ConfigError: the variables that say where the adb server is are wrong.
        """
        link = AdbLink(target, address)
        if not link.has_shell_protocol():
            raise old_device(target)
        return cls(link)

    def start(
        self, argv: Sequence[str], *, stdin: bytes | Iterable[bytes] = b"", timeout_s: float
    ) -> AdbProcess:
        """Start a command in ``/data/local/tmp``."""
        process = self._open(argv, timeout_s)
        if stdin:
            feed([stdin] if isinstance(stdin, bytes) else stdin, process.send, process.end_input)
        else:
            process.end_input()
        return process

    def put(self, local: Path, remote: str, progress: Progress | None = None) -> None:
        """Copy a file to an absolute path on the device, making its folder."""
        self._files.put(local, remote, progress)

    def get(self, remote: str, local: Path, *, max_bytes: int) -> None:
        """Copy a file from the device; one larger than ``max_bytes`` is refused."""
        self._files.get(remote, local, max_bytes=max_bytes)

    def close(self) -> None:
        """Nothing is held open between two commands."""

    def _open(self, argv: Sequence[str], timeout_s: float) -> AdbProcess:
        service = _SERVICE + shlex.join(argv)
        if len(service.encode()) > _LONGEST_SERVICE_BYTES:
            raise StableDeviceError(self._link.target, f"the words of {argv[0]} are too long for adb")
        return AdbProcess(self._link, service, timeout_s)
