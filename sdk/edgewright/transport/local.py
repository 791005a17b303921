"""The machine Edgewright runs on as a device: a subprocess in place of a connection."""

from __future__ import annotations

import contextlib
import errno
import os
import selectors
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import IO

from edgewright.errors import DeviceTimeout, DiskFull, ProtocolMismatch, StableDeviceError

from . import Progress
from .feeding import feed
from .streams import Tail, size_of, split_lines, write_file

_PIECE_BYTES = 1 << 18
_GRACE_S = 2.0


class LocalProcess:
    """A command on this machine, in a session of its own so that all of it can be ended."""

    def __init__(self, target: str, popen: subprocess.Popen[bytes], timeout_s: float) -> None:
        self._target = target
        self._popen = popen
        self._timeout_s = timeout_s
        self._deadline = time.monotonic() + timeout_s
        self._stderr = Tail()
        self._selector = selectors.DefaultSelector()
        assert popen.stdout and popen.stderr
        self._selector.register(popen.stdout, selectors.EVENT_READ)
        self._selector.register(popen.stderr, selectors.EVENT_READ)

    def lines(self) -> Iterator[str]:
        """Standard output line by line as it comes."""
        return split_lines(self._pieces(), self._target)

    def finish(self) -> tuple[int, str]:
        """Wait for the end, dropping output not yet read."""
        for _ in self._pieces():
            pass
        try:
            status = self._popen.wait(max(0.0, self._deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            raise self._late() from None
        return status, self._stderr.text()

    def close(self) -> None:
        """End the command and whatever it started in its session."""
        self._selector.close()
        for stream in (self._popen.stdout, self._popen.stderr):
            assert stream
            stream.close()
        if self._popen.poll() is None:
            self._signal(signal.SIGTERM)
            try:
                self._popen.wait(_GRACE_S)
            except subprocess.TimeoutExpired:
                self._signal(signal.SIGKILL)
                self._popen.wait()

    def _signal(self, number: int) -> None:
        try:
            os.killpg(self._popen.pid, number)
        except ProcessLookupError:
            return  # it ended by itself meanwhile

    def _pieces(self) -> Iterator[bytes]:
        """Standard output as it comes, standard error kept aside, until both have ended."""
        while self._selector.get_map():
            ready = self._selector.select(max(0.0, self._deadline - time.monotonic()))
            if not ready:
                raise self._late()
            for key, _ in ready:
                piece = os.read(key.fd, _PIECE_BYTES)
                if not piece:
                    self._selector.unregister(key.fileobj)
                elif key.fileobj is self._popen.stdout:
                    yield piece
                else:
                    self._stderr.add(piece)
            if time.monotonic() > self._deadline:
                raise self._late()

    def _late(self) -> DeviceTimeout:
        return DeviceTimeout(self._target, f"no end within {self._timeout_s:g} s")


class LocalTransport:
    """The machine Edgewright runs on."""

    def __init__(self, target: str) -> None:
        self._target = target

    def start(
        self, argv: Sequence[str], *, stdin: bytes | Iterable[bytes] = b"", timeout_s: float
    ) -> LocalProcess:
        """Start a command in the home directory."""
        if not isinstance(stdin, bytes):
            popen = self._popen(list(argv), subprocess.PIPE)
            assert popen.stdin
            feed(stdin, partial(_send, popen.stdin), partial(_end_input, popen.stdin))
            return LocalProcess(self._target, popen, timeout_s)
        with tempfile.TemporaryFile() as words:
            words.write(stdin)
            words.seek(0)
            return LocalProcess(self._target, self._popen(list(argv), words.fileno()), timeout_s)

    def _popen(self, argv: list[str], stdin: int) -> subprocess.Popen[bytes]:
        try:
            return _spawn(argv, stdin)
        except OSError as error:
            # As a shell would say it, so that both transports answer alike.
            said = f"{argv[0]}: {error.strerror}"
            status = "127" if error.errno == errno.ENOENT else "126"
            return _spawn(["sh", "-c", 'printf "%s\\n" "$1" >&2; exit "$2"', "sh", said, status], stdin)

    def put(self, local: Path, remote: str, progress: Progress | None = None) -> None:
        """Copy a file to an absolute path, making its folder."""
        size = size_of(local)
        final = Path(remote)
        part = Path(f"{remote}.part")
        try:
            final.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            _copy(local, part, size, progress)
            part.replace(final)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                part.unlink(missing_ok=True)
                raise DiskFull(
                    self._target, f"no space for the {size} bytes of {remote}", mend="free some space there"
                ) from None
            raise StableDeviceError(self._target, f"{remote}: cannot be written: {error.strerror}") from None

    def get(self, remote: str, local: Path, *, max_bytes: int) -> None:
        """Copy a file; one larger than ``max_bytes`` is refused."""
        write_file(local, self._read(remote, max_bytes))

    def _read(self, remote: str, max_bytes: int) -> Iterator[bytes]:
        seen = 0
        try:
            with Path(remote).open("rb") as stream:
                while piece := stream.read(_PIECE_BYTES):
                    seen += len(piece)
                    if seen > max_bytes:
                        raise ProtocolMismatch(self._target, f"{remote}: larger than {max_bytes} bytes")
                    yield piece
        except OSError as error:
            raise StableDeviceError(self._target, f"{remote}: cannot be read: {error.strerror}") from None

    def close(self) -> None:
        """Nothing is held open."""


def _spawn(argv: list[str], stdin: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        argv,
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=Path.home(),
        start_new_session=True,
        bufsize=0,
    )


def _send(stream: IO[bytes], data: bytes) -> bool:
    """Write it all; False when the command does not take any more."""
    view = memoryview(data)
    try:
        while view:
            view = view[stream.write(view) :]
    except BrokenPipeError:
        return False
    return True


def _end_input(stream: IO[bytes]) -> None:
    with contextlib.suppress(BrokenPipeError):
        stream.close()


def _copy(local: Path, part: Path, size: int, progress: Progress | None) -> None:
    done = 0
    with local.open("rb") as source, part.open("wb") as sink:
        while piece := source.read(_PIECE_BYTES):
            sink.write(piece)
            done += len(piece)
            if progress:
                progress(done, size)
        sink.flush()
        os.fsync(sink.fileno())
