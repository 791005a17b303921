"""Android's shell protocol, version 2: a command's streams and status as packets in one connection.

Source: ``shell_protocol.h`` of the Android debug bridge. A packet is its kind in one byte, its length in
four, the lowest first, and so many bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

STDIN, STDOUT, STDERR, EXIT, CLOSE_STDIN = range(5)

_HEADER = struct.Struct("<BI")


def packet(kind: int, content: bytes = b"") -> bytes:
    """One packet to send."""
    return _HEADER.pack(kind, len(content)) + content


class Packets:
    """Takes what comes in, wherever it is cut, and tells what belongs to which stream.

    Nothing is kept of a packet but what is missing of its header, so that its length may be anything.
    """

    def __init__(self) -> None:
        self._header = b""
        self._kind = 0
        self._left = 0

    def feed(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """The kind and a piece of the content of each packet that ``data`` has something of, in order."""
        rest = memoryview(data)
        while rest:
            if not self._left:
                missing = _HEADER.size - len(self._header)
                self._header += bytes(rest[:missing])
                rest = rest[missing:]
                if len(self._header) < _HEADER.size:
                    return
                self._kind, self._left = _HEADER.unpack(self._header)
                self._header = b""
            piece = bytes(rest[: self._left])
            rest = rest[len(piece) :]
            self._left -= len(piece)
            if piece:
                yield self._kind, piece
