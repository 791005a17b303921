"""Compressing what is sent where that is faster than sending it as it is."""

from __future__ import annotations

import time
import zlib
from collections.abc import Collection
from dataclasses import dataclass

import zstandard

from edgewright_agent.protocol_push import RAW, ZLIB, ZSTD

#: A link that is faster than this is faster than any compressor here.
FAST_BYTES_PER_S = 150e6

#: Bytes between two looks at how well what comes compresses; more when it does not.
_FIRST_STRETCH, _LONGEST_STRETCH = 2 << 20, 64 << 20

#: Compressing must save at least this share of the time.
_GAIN = 0.05


@dataclass(frozen=True)
class Packing:
    """A compressor at one level."""

    kind: int
    level: int = 0

    def pack(self, content: bytes) -> bytes:
        """The content by itself, so that it can be unpacked without what was sent before."""
        if self.kind == ZLIB:
            return zlib.compress(content, self.level)
        if self.kind == ZSTD:
            return zstandard.ZstdCompressor(level=self.level, write_checksum=False).compress(content)
        return content


AS_IT_IS = Packing(RAW)
_LADDERS = {
    "zstd": (Packing(ZSTD, 1), Packing(ZSTD, 3), Packing(ZSTD, 9)),
    "zlib": (Packing(ZLIB, 1), Packing(ZLIB, 3), Packing(ZLIB, 6)),
}


class Packer:
    """Chooses a compressor, again and again, by how well and how fast it does on what comes.

    Args:
        unpackable: what the device can unpack, see :func:`edgewright_agent.frames.packings`.
    """

    def __init__(self, unpackable: Collection[str]) -> None:
        self._ladder = _LADDERS["zstd" if "zstd" in unpackable else "zlib"]
        self._chosen = AS_IT_IS
        self._left = 0
        self._stretch = _FIRST_STRETCH

    @property
    def for_residuals(self) -> Packing:
        """What suits mostly zeros: they are packed fast at any level."""
        return self._ladder[1]

    def pack(self, content: bytes, rate: float | None) -> tuple[int, bytes]:
        """The kind of frame and its payload.

        Args:
            rate: of the link, in bytes per second, when it is known.
        """
        if rate is None or rate >= FAST_BYTES_PER_S:
            return RAW, content
        self._left -= len(content)
        if self._left < 0:
            self._choose(content, rate)
        packed = self._chosen.pack(content)
        return (self._chosen.kind, packed) if len(packed) < len(content) else (RAW, content)

    def _choose(self, sample: bytes, rate: float) -> None:
        """Climb the ladder while it pays: packing and sending go on at once, so the slower one counts."""
        size = len(sample)
        best_s, self._chosen = size / rate * (1 - _GAIN), AS_IT_IS
        for packing in self._ladder:
            begun_s = time.perf_counter()
            packed = packing.pack(sample)
            packing_s, sending_s = time.perf_counter() - begun_s, len(packed) / rate
            if max(packing_s, sending_s) < best_s:
                best_s, self._chosen = max(packing_s, sending_s), packing
            if packing_s > sending_s or len(packed) > size * (1 - _GAIN):
                break
        pays = self._chosen is not AS_IT_IS
        self._stretch = _FIRST_STRETCH if pays else min(2 * self._stretch, _LONGEST_STRETCH)
        self._left = self._stretch
