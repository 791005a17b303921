"""Bounded reading of what a command on a device writes, and durable writing of what it sends."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from edgewright.errors import ConfigError, ProtocolMismatch
from edgewright.files import replacing

from . import MAX_LINE_BYTES, MAX_STDERR_BYTES


def split_lines(pieces: Iterable[bytes], target: str, max_bytes: int = MAX_LINE_BYTES) -> Iterator[str]:
    """Lines without their ends; a last line without an end counts.

    Raises:
        ProtocolMismatch: a line is longer than ``max_bytes``.
    """
    pending = bytearray()
    for piece in pieces:
        begin = len(pending)
        pending += piece
        while (end := pending.find(b"\n", begin)) >= 0:
            _check_length(end, target, max_bytes)
            line = pending[:end].decode("utf-8", "replace")
            del pending[: end + 1]
            begin = 0
            yield line
        _check_length(len(pending), target, max_bytes)
    if pending:
        yield pending.decode("utf-8", "replace")


def _check_length(length: int, target: str, max_bytes: int) -> None:
    if length > max_bytes:
        raise ProtocolMismatch(target, f"the device sent a line longer than {max_bytes} bytes")


class Tail:
    """The last bytes of a stream."""

    def __init__(self) -> None:
        self._bytes = b""

    def add(self, piece: bytes) -> None:
        """Take what came in."""
        self._bytes = (self._bytes + piece)[-MAX_STDERR_BYTES:]

    def text(self) -> str:
        """What is left, undecodable bytes replaced."""
        return self._bytes.decode("utf-8", "replace")


def size_of(local: Path) -> int:
    """Bytes of a file on this host, or a ConfigError that names it."""
    try:
        return local.stat().st_size
    except OSError as error:
        raise ConfigError(f"{local}: {error.strerror}") from None


def write_file(local: Path, pieces: Iterable[bytes]) -> None:
    """Write a file on this host whole or not at all."""
    with replacing(local) as temporary, temporary.open("wb") as stream:
        for piece in pieces:
            stream.write(piece)
