"""Files through a device's own shell, whatever leads there.

They travel through ``cat``: it works on boards whose server lacks the SFTP subsystem, and a full disk says
so, where an SFTP server only says "failure". The device's shell is needed for the agent anyhow.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from edgewright.errors import DeviceError, DiskFull, ProtocolMismatch, StableDeviceError
from edgewright.untrusted import one_line

from . import Process, Progress
from .streams import size_of, write_file

_PIECE_BYTES = 1 << 18

#: A transfer may take this long, and the time its bytes need at the slowest rate worth waiting for.
_TRANSFER_S = 60.0
_SLOWEST_BYTES_PER_S = 16384

#: Words: the file to write, its size, the name to give it at last. Says when it is ready for the bytes. A
#: connection that breaks is an early end of file to ``cat``, so only the size tells that all has come. What
#: an earlier try left is removed and not written over, since that try may still be writing to it.
_PUT = """
set -eu; export LC_ALL=C; umask 077
part=$1 size=$2
mkdir -p "${part%/*}"
rm -f "$part"
: > "$part"
echo ready
cat >> "$part" || { rm -f "$part"; exit 1; }
have=$(($(wc -c < "$part")))
if [ "$have" -ne "$size" ]; then echo "only $have of $size bytes arrived" >&2; exit 1; fi
mv -f "$part" "$3"
"""

_READY = "ready"
_NO_SPACE = ("no space left", "quota exceeded")


class StreamProcess(Process, Protocol):
    """A command whose streams can be used while it runs."""

    def pieces(self) -> Iterator[bytes]:
        """Standard output as it comes."""

    def send(self, data: bytes) -> bool:
        """Write to standard input; False when the command does not take any more."""

    def end_input(self) -> None:
        """Close standard input."""


@dataclass(frozen=True)
class Files:
    """The files of one device.

    Attributes:
        open: starts a command, given its words and how many seconds it may take.
        noisy: what to do about a shell that says something of its own.
    """

    target: str
    open: Callable[[Sequence[str], float], StreamProcess]
    noisy: str

    def put(self, local: Path, remote: str, progress: Progress | None) -> None:
        """As :meth:`Transport.put`."""
        size = size_of(local)
        words = ["sh", "-c", _PUT, "sh", f"{remote}.part", str(size), remote]
        process = self.open(words, _transfer_s(size))
        with contextlib.closing(process):
            answer = next(process.lines(), "")
            if answer == _READY:
                _send_file(process, local, size, progress)
            process.end_input()
            status, said = process.finish()
            if status == 0 and answer != _READY:
                raise self._noisy_shell(answer)
        if status != 0:
            raise self._refusal(f"{remote}: cannot be written", size, said)

    def get(self, remote: str, local: Path, *, max_bytes: int) -> None:
        """As :meth:`Transport.get`."""
        process = self.open(["sh", "-c", 'LC_ALL=C exec cat < "$1"', "sh", remote], _transfer_s(max_bytes))
        with contextlib.closing(process):
            write_file(local, self._content(process, remote, max_bytes))

    def _content(self, process: StreamProcess, remote: str, max_bytes: int) -> Iterator[bytes]:
        seen = 0
        for piece in process.pieces():
            seen += len(piece)
            if seen > max_bytes:
                raise ProtocolMismatch(self.target, f"{remote}: larger than {max_bytes} bytes")
            yield piece
        status, said = process.finish()
        if status != 0:
            raise self._refusal(f"{remote}: cannot be read", 0, said)

    def _refusal(self, what: str, size: int, said: str) -> DeviceError:
        if any(words in said.lower() for words in _NO_SPACE):
            return DiskFull(
                self.target, f"{what}: no space for its {size} bytes", mend="free some space there"
            )
        return StableDeviceError(self.target, f"{what}: {one_line(said) or 'the device does not say why'}")

    def _noisy_shell(self, answer: str) -> ProtocolMismatch:
        """The error for text where an answer was due, most often printed by the account's start-up files."""
        said = f"the device said {one_line(answer, 120)!r} where an answer was due"
        return ProtocolMismatch(self.target, said, mend=self.noisy)


def _send_file(process: StreamProcess, local: Path, size: int, progress: Progress | None) -> None:
    """Send the file's bytes; what the command does not take, its own words explain."""
    with local.open("rb") as stream:
        done = 0
        while done < size and (piece := stream.read(min(_PIECE_BYTES, size - done))):
            if not process.send(piece):
                return
            done += len(piece)
            if progress:
                progress(done, size)


def _transfer_s(size: int) -> float:
    return _TRANSFER_S + size / _SLOWEST_BYTES_PER_S
