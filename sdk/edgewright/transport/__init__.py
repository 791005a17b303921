"""Ways to reach a device: one Protocol, one module a way."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

#: Called with (bytes done, bytes in all).
Progress = Callable[[int, int], None]

#: A longer line from a device is refused. Four million samples need about a quarter of it.
MAX_LINE_BYTES = 64 << 20

#: How much of a command's standard error is kept.
MAX_STDERR_BYTES = 4096


class Process(Protocol):
    """A command running on the device."""

    def lines(self) -> Iterator[str]:
        """Standard output line by line as it comes, undecodable bytes replaced, each line bounded.

        Raises:
            DeviceTimeout: when nothing ended within the command's bound.
            TransportError: when the connection breaks.
            ProtocolMismatch: when a line is longer than :data:`MAX_LINE_BYTES`.
        """

    def finish(self) -> tuple[int, str]:
        """Wait for the end, dropping output not yet read.

        Returns:
            The exit status and the last 4 kB of standard error. The status is negative when a signal
            ended the command, and 127 when there is no such command.
        """

    def close(self) -> None:
        """Let go of the command; it is ended if it still runs."""


class Transport(Protocol):
    """A connection to one device. Every call is bounded in time and raises only DeviceError."""

    def start(
        self, argv: Sequence[str], *, stdin: bytes | Iterable[bytes] = b"", timeout_s: float
    ) -> Process:
        """Start a command in the home directory; every word is quoted, so none is ever read by a shell.

        Args:
            stdin: its standard input. Pieces are taken one by one in a thread of their own while the output
                is read; taking them must not raise, and must end after :meth:`Process.close`.
        """

    def put(self, local: Path, remote: str, progress: Progress | None = None) -> None:
        """Copy a file to an absolute path on the device, making its folder.

        It arrives as ``remote + ".part"`` and is renamed when whole.

        Raises:
            DiskFull: nothing of the file is left behind then.
        """

    def get(self, remote: str, local: Path, *, max_bytes: int) -> None:
        """Copy a file from the device; one larger than ``max_bytes`` is refused."""

    def close(self) -> None:
        """Close the connection; safe to call twice."""
