"""Where a meter's lines come from: a command's standard output, a TCP connection, a serial port."""

import contextlib
import fcntl
import os
import signal
import socket
import subprocess
import termios
from typing import List, Optional, Protocol

from ..protocol import Meter
from ..sensors.sysfs import SensorError

_PIECE_BYTES = 1 << 16
_TAIL_BYTES = 2048
_CONNECT_S = 5.0
_GRACE_S = 1.0


class Stream(Protocol):
    """An open meter. ``side`` is a second descriptor that must be drained, or None."""

    #: Whether the first line may be the end of one that began before anybody listened.
    starts_midway: bool

    def fileno(self) -> int:
        """What to wait on."""

    @property
    def side(self) -> Optional[int]:
        """What else to wait on."""

    def read(self) -> bytes:
        """What has come; empty when nothing will come any more."""

    def drain(self) -> bool:
        """Read the side descriptor; False when it has ended."""

    def ended(self) -> str:
        """Why nothing comes any more, in words."""

    def close(self) -> None:
        """Let go of it."""


def open_stream(meter: Meter) -> Stream:
    """Start the command or open the connection.

    Raises:
        SensorError: it cannot be; the message says why.
    """
    if meter.kind == "command":
        return CommandStream(meter.argv)
    if meter.kind == "tcp":
        return TcpStream(meter.address, meter.port)
    if meter.kind == "serial":
        return SerialStream(meter.address, meter.baud)
    raise SensorError(f"no kind of meter is called {meter.kind!r}")


class CommandStream:
    """A command in a session of its own, so that all of it can be ended; its standard error is kept apart."""

    starts_midway = False

    def __init__(self, argv: "tuple[str, ...]") -> None:
        self._name = os.path.basename(argv[0]) if argv else ""
        try:
            self._process = subprocess.Popen(
                list(argv),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
                env=dict(os.environ, PYTHONUNBUFFERED="1", LC_ALL="C"),
                bufsize=0,
            )
        except (OSError, ValueError, IndexError) as error:
            why = error.strerror if isinstance(error, OSError) else error
            raise SensorError(f"the meter's command {self._name!r} cannot be started: {why}") from None
        self._tail = b""

    def fileno(self) -> int:
        """Its standard output."""
        assert self._process.stdout
        return self._process.stdout.fileno()

    @property
    def side(self) -> Optional[int]:
        """Its standard error."""
        assert self._process.stderr
        return self._process.stderr.fileno()

    def read(self) -> bytes:
        """What it has printed."""
        return os.read(self.fileno(), _PIECE_BYTES)

    def drain(self) -> bool:
        """Keep its last words."""
        assert self.side is not None
        piece = os.read(self.side, _PIECE_BYTES)
        self._tail = (self._tail + piece)[-_TAIL_BYTES:]
        return bool(piece)

    def ended(self) -> str:
        """How it ended and its last words."""
        try:
            status = self._process.wait(_GRACE_S)
        except subprocess.TimeoutExpired:
            return f"{self._name} closed its output"
        how = f"status {status}" if status >= 0 else signal.Signals(-status).name
        last = self._tail.decode("utf-8", "replace").strip().splitlines()[-1:]
        return f"{self._name} ended with {how}" + "".join(f": {line[:200]}" for line in last)

    def close(self) -> None:
        """End it and whatever it started."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):  # it has ended, and so has its group
                os.killpg(self._process.pid, number)
            with contextlib.suppress(subprocess.TimeoutExpired):  # then it is killed
                self._process.wait(_GRACE_S)
        for stream in (self._process.stdout, self._process.stderr):
            if stream:
                stream.close()


class TcpStream:
    """A connection to a meter, or to whatever serves its serial port."""

    starts_midway = True
    side = None

    def __init__(self, host: str, port: int) -> None:
        self._where = f"{host}:{port}"
        try:
            self._socket = socket.create_connection((host, port), _CONNECT_S)
        except (OSError, UnicodeError, OverflowError) as error:
            raise SensorError(f"the meter at {self._where} cannot be reached: {_why(error)}") from None
        self._lost = ""

    def fileno(self) -> int:
        """The socket."""
        return self._socket.fileno()

    def read(self) -> bytes:
        """What has come."""
        try:
            return self._socket.recv(_PIECE_BYTES)
        except OSError as error:
            self._lost = _why(error)
            return b""

    def drain(self) -> bool:
        """Nothing is at the side."""
        return False

    def ended(self) -> str:
        """Who ended it."""
        if self._lost:
            return f"the connection to {self._where} broke: {self._lost}"
        return f"{self._where} closed the connection"

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()


class SerialStream:
    """A serial port, raw, eight bits, no parity, one stop bit."""

    starts_midway = True
    side = None

    def __init__(self, path: str, baud: int) -> None:
        self._path = path
        self._lost = ""
        speed = getattr(termios, f"B{baud}", None)
        if speed is None:
            raise SensorError(f"serial port {path}: this system has no speed of {baud} baud")
        try:
            self._fd = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        except OSError as error:
            denied = isinstance(error, PermissionError)
            mend = " (sudo usermod -aG dialout $USER, then log in anew)" if denied else ""
            raise SensorError(f"serial port {path} cannot be opened: {error.strerror}{mend}") from None
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _make_raw(self._fd, speed)
        except (OSError, termios.error) as error:
            os.close(self._fd)
            raise SensorError(f"serial port {path} cannot be used: {_why(error)}") from None

    def fileno(self) -> int:
        """The port."""
        return self._fd

    def read(self) -> bytes:
        """What has come."""
        try:
            return os.read(self._fd, _PIECE_BYTES)
        except OSError as error:
            self._lost = _why(error)
            return b""

    def drain(self) -> bool:
        """Nothing is at the side."""
        return False

    def ended(self) -> str:
        """Most often it was unplugged."""
        return f"serial port {self._path} went away" + (f": {self._lost}" if self._lost else "")

    def close(self) -> None:
        """Close the port."""
        os.close(self._fd)


def _make_raw(fd: int, speed: int) -> None:
    """No echo, no translation, no flow control; what waited in the buffer is thrown away, for it is old."""
    settings: List[object] = termios.tcgetattr(fd)
    settings[0:4] = [termios.IGNPAR, 0, termios.CS8 | termios.CREAD | termios.CLOCAL, 0]
    settings[4] = settings[5] = speed
    characters = settings[6]
    assert isinstance(characters, list)
    characters[termios.VMIN], characters[termios.VTIME] = 1, 0
    termios.tcsetattr(fd, termios.TCSANOW, settings)  # type: ignore[arg-type]
    termios.tcflush(fd, termios.TCIFLUSH)


def _why(error: Exception) -> str:
    if isinstance(error, OSError):
        return error.strerror or str(error)
    return str(error.args[-1] if error.args else error)
