"""A device over SSH: commands, and files through the device's own shell, which is as fast as ``scp``."""

from __future__ import annotations

import contextlib
import shlex
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import paramiko

from edgewright.errors import (
    DeviceTimeout,
    TransportError,
    UntrustedHost,
)
from edgewright.untrusted import one_line

from . import Progress
from .feeding import feed
from .known_hosts import Standing, trust
from .ssh_config import SshAddress, route
from .ssh_link import BROKEN, Link, Offer, open_link, strict
from .streams import Tail, split_lines
from .through_shell import Files

_PIECE_BYTES = 1 << 18
_WINDOW_BYTES = 1 << 23
_TICK_S = 1.0
_COMMAND_S = 30.0

#: What to do about text where an answer was due.
_NOISY = "'ssh HOST true' must print nothing: look into the start-up files of its shell"


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
                piece = self._received(self._channel.recv)
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
            self._stderr.add(self._received(self._channel.recv_stderr))

    def _received(self, receive: Callable[[int], bytes]) -> bytes:
        """What has come. Taking it makes room for more, which paramiko tells the server here and now."""
        try:
            return receive(_PIECE_BYTES)
        except TimeoutError:
            raise
        except BROKEN:
            raise self._link.broken("while a command ran") from None

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
        self._files = Files(link.target, self._open, _NOISY)

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

    def start(
        self, argv: Sequence[str], *, stdin: bytes | Iterable[bytes] = b"", timeout_s: float
    ) -> SshProcess:
        """Start a command in the home directory."""
        process = self._open(argv, timeout_s)
        if isinstance(stdin, bytes):
            process.send(stdin)
            process.end_input()
        else:
            feed(stdin, process.send, process.end_input)
        return process

    def put(self, local: Path, remote: str, progress: Progress | None = None) -> None:
        """Copy a file to an absolute path on the device, making its folder."""
        self._files.put(local, remote, progress)

    def get(self, remote: str, local: Path, *, max_bytes: int) -> None:
        """Copy a file from the device; one larger than ``max_bytes`` is refused."""
        self._files.get(remote, local, max_bytes=max_bytes)

    def _open(self, argv: Sequence[str], timeout_s: float) -> SshProcess:
        return SshProcess(self._link, shlex.join(argv), timeout_s)

    def close(self) -> None:
        """Close the connection."""
        self._link.close()


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
