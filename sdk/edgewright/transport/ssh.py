"""A device over SSH: commands, and files through the device's own shell.

Files travel through ``cat`` and not SFTP: it works on boards whose server lacks the SFTP subsystem, it is
as fast as ``scp``, and a full disk says so, where an SFTP server only says "failure". The device's
shell is needed for the agent anyhow.
"""

from __future__ import annotations

import contextlib
import re
import shlex
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import paramiko

from edgewright.errors import (
    DeviceError,
    DeviceTimeout,
    DiskFull,
    ProtocolMismatch,
    StableDeviceError,
    TransportError,
    UntrustedHost,
)
from edgewright.untrusted import one_line

from . import Progress
from .known_hosts import Standing, trust
from .ssh_config import SshAddress, route
from .ssh_link import BROKEN, Link, Offer, open_link, strict
from .streams import Tail, size_of, split_lines, write_file

_PIECE_BYTES = 1 << 18
_WINDOW_BYTES = 1 << 23
_TICK_S = 1.0
_COMMAND_S = 30.0

#: A transfer may take this long, and the time its bytes need at the slowest rate worth waiting for.
_TRANSFER_S = 60.0
_SLOWEST_BYTES_PER_S = 16384

#: Words: the file to write, its size, ``resume`` or ``fresh``, the name to give it at last or nothing.
#: Says how many bytes are there already, then takes the others. A connection that breaks is an early
#: end of file to ``cat``, so only the size tells that all has come.
_PUT = """
set -eu; export LC_ALL=C; umask 077
part=$1 size=$2 have=0
mkdir -p "${part%/*}"
if [ "$3" = fresh ]; then rm -f "$part"; fi
if [ -f "$part" ]; then have=$(($(wc -c < "$part"))); fi
if [ "$have" -gt "$size" ]; then rm -f "$part"; have=0; fi
echo "$have"
cat >> "$part" || { rm -f "$part"; exit 1; }
have=$(($(wc -c < "$part")))
if [ "$have" -ne "$size" ]; then echo "only $have of $size bytes arrived" >&2; exit 1; fi
if [ -n "$4" ]; then mv -f "$part" "$4"; fi
"""

_COUNT = re.compile(r"[0-9]{1,15}")
_NO_SPACE = ("no space left", "quota exceeded")


class SshProcess:
    """A command on the device, in a channel of its own."""

    def __init__(self, link: Link, command: str, timeout_s: float) -> None:
        self._link = link
        self._timeout_s = timeout_s
        self._deadline = time.monotonic() + timeout_s
        self._stderr = Tail()
        self._channel = _open_channel(link, command)

    def lines(self) -> Iterator[str]:
        """Standard output line by line as it comes."""
        return split_lines(self.pieces(), self._link.target)

    def finish(self) -> tuple[int, str]:
        """Wait for the end, dropping output not yet read."""
        for _ in self.pieces():
            pass
        while not self._channel.status_event.wait(_TICK_S):
            self._drain_stderr()
            self._check_time()
        self._drain_stderr()
        self._check_link()
        return self._channel.exit_status, self._stderr.text()

    def close(self) -> None:
        """Close the channel: the command finds its standard streams closed, which ends the agent."""
        with contextlib.suppress(*BROKEN):
            self._channel.close()

    def pieces(self) -> Iterator[bytes]:
        """Standard output as it comes, until its end; standard error is kept aside."""
        while True:
            self._drain_stderr()
            self._check_time()
            try:
                piece = self._channel.recv(_PIECE_BYTES)
            except TimeoutError:
                continue
            if not piece:
                self._check_link()
                return
            self._link.touch()
            yield piece

    def send(self, data: bytes) -> bool:
        """Write to standard input; False when the command does not take any more."""
        rest = memoryview(data)
        while rest:
            self._check_time()
            try:
                sent = self._channel.send(rest)  # type: ignore[arg-type]  # any buffer will do
            except TimeoutError:
                continue
            except BROKEN:
                return False
            if not sent:
                return False
            self._link.touch()
            rest = rest[sent:]
        return True

    def end_input(self) -> None:
        """Close standard input."""
        with contextlib.suppress(*BROKEN):
            self._channel.shutdown_write()

    def _drain_stderr(self) -> None:
        while self._channel.recv_stderr_ready():
            self._check_time()
            self._stderr.add(self._channel.recv_stderr(_PIECE_BYTES))

    def _check_link(self) -> None:
        """Tell a command that a signal ended from one that the end of the connection took with it."""
        if self._channel.closed and self._channel.exit_status < 0:
            self._link.transport.join(_TICK_S)
            if not self._link.transport.is_active():
                raise self._link.broken("while a command ran")

    def _check_time(self) -> None:
        if time.monotonic() > self._deadline:
            raise DeviceTimeout(self._link.target, f"no end within {self._timeout_s:g} s")


class SshTransport:
    """One device over SSH."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._target = link.target

    @classmethod
    def open(cls, target: str, address: SshAddress) -> SshTransport:
        """Connect by way of ``~/.ssh/config``, trusting only host keys that are recorded.

        Raises:
            UntrustedHost, AccessDenied, TransportError: by what went wrong.
            ConfigError: the SSH configuration or the key's file is wrong.
        """
        link = open_link(target, route(address))
        link.watch()
        return cls(link)

    def start(self, argv: Sequence[str], *, stdin: bytes = b"", timeout_s: float) -> SshProcess:
        """Start a command in the home directory."""
        process = SshProcess(self._link, shlex.join(argv), timeout_s)
        process.send(stdin)
        process.end_input()
        return process

    def put(
        self, local: Path, remote: str, progress: Progress | None = None, *, resume: bool = False
    ) -> None:
        """Copy a file to an absolute path on the device, making its folder."""
        size = size_of(local)
        part, mode, final = (remote, "resume", "") if resume else (f"{remote}.part", "fresh", remote)
        words = ["sh", "-c", _PUT, "sh", part, str(size), mode, final]
        process = SshProcess(self._link, shlex.join(words), _transfer_s(size))
        with contextlib.closing(process):
            answer = next(process.lines(), "")
            start = int(answer) if _COUNT.fullmatch(answer) else None
            if start is not None and start <= size:
                _send_file(process, local, start, size, progress)
            process.end_input()
            status, said = process.finish()
            if status == 0 and start is None:
                raise _noisy_shell(self._target, answer)
        if status != 0:
            raise self._refusal(f"{remote}: cannot be written", size, said)

    def get(self, remote: str, local: Path, *, max_bytes: int) -> None:
        """Copy a file from the device; one larger than ``max_bytes`` is refused."""
        words = ["sh", "-c", 'LC_ALL=C exec cat < "$1"', "sh", remote]
        process = SshProcess(self._link, shlex.join(words), _transfer_s(max_bytes))
        with contextlib.closing(process):
            write_file(local, self._content(process, remote, max_bytes))

    def _content(self, process: SshProcess, remote: str, max_bytes: int) -> Iterator[bytes]:
        seen = 0
        for piece in process.pieces():
            seen += len(piece)
            if seen > max_bytes:
                raise ProtocolMismatch(self._target, f"{remote}: larger than {max_bytes} bytes")
            yield piece
        status, said = process.finish()
        if status != 0:
            raise self._refusal(f"{remote}: cannot be read", 0, said)

    def _refusal(self, what: str, size: int, said: str) -> DeviceError:
        if any(words in said.lower() for words in _NO_SPACE):
            return DiskFull(
                self._target, f"{what}: no space for its {size} bytes", mend="free some space there"
            )
        return StableDeviceError(self._target, f"{what}: {one_line(said) or 'the device does not say why'}")

    def close(self) -> None:
        """Close the connection."""
        self._link.close()


def _noisy_shell(target: str, answer: str) -> ProtocolMismatch:
    """The error for text where an answer was due, most often printed by the account's start-up files."""
    return ProtocolMismatch(
        target,
        f"the device said {one_line(answer, 120)!r} where an answer was due",
        mend="'ssh HOST true' must print nothing: look into the start-up files of its shell",
    )


def introduce(target: str, address: SshAddress, decide: Callable[[Offer], bool]) -> None:
    """Meet a device and every hop before it, and record the host keys that ``decide`` accepts.

    Nobody logs in to a host before its key is accepted. ``decide`` is asked about each key that is not
    recorded yet, and also told of those that are.

    Raises:
        UntrustedHost: a key was not accepted, or is revoked.
        TransportError, AccessDenied: a host could not be reached.
    """

    def policy(offer: Offer) -> None:
        if offer.standing is Standing.REVOKED:
            strict(offer)
        accepted = decide(offer)
        if offer.standing is Standing.TRUSTED:
            return
        if not accepted:
            raise UntrustedHost(target, f"host key of {offer.hop.filed_as} was not trusted")
        trust(offer.hop.record_in, offer.hop.filed_as, offer.key)

    open_link(target, route(address), policy, log_in_last=False).close()


def _send_file(process: SshProcess, local: Path, start: int, size: int, progress: Progress | None) -> None:
    """Send the file's bytes from ``start``; what the command does not take, its own words explain."""
    with local.open("rb") as stream:
        stream.seek(start)
        done = start
        while done < size and (piece := stream.read(min(_PIECE_BYTES, size - done))):
            if not process.send(piece):
                return
            done += len(piece)
            if progress:
                progress(done, size)


def _transfer_s(size: int) -> float:
    return _TRANSFER_S + size / _SLOWEST_BYTES_PER_S


def _open_channel(link: Link, command: str) -> paramiko.Channel:
    try:
        with link.bounded(_COMMAND_S):
            channel = link.transport.open_session(window_size=_WINDOW_BYTES)
            channel.exec_command(command)
    except BROKEN as error:
        if not link.transport.is_active():
            raise link.broken("before a command could start") from None
        said = one_line(str(error)) or type(error).__name__
        raise TransportError(link.target, f"the device starts no command: {said}") from None
    channel.settimeout(_TICK_S)
    return channel
