"""What a file has in common with another: the longest stretches, wherever in it they are.

Anchors are places whose eight bytes have a hash of a certain form: they depend on the content alone, so the
same content has the same anchors however far it was moved. Two places with the same eight bytes, which occur
once in each file, are taken for the same content; those in a row that were moved equally far make a stretch.
What is between them is sent as the difference, so a wrong guess costs bytes and nothing else.
"""

from __future__ import annotations

import bisect
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import numpy.typing as npt

from edgewright_agent.protocol_push import COUNT, LITERAL, MAX_SEGMENTS, SEGMENT

Bytes = npt.NDArray[np.uint8]
Words = npt.NDArray[np.uint64]
Places = npt.NDArray[np.int64]

_WORD = 8
_CHUNK = 1 << 22
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)

#: One place in so many is an anchor: a row of a weight that pruning keeps has a few, a file not too many.
_ANCHOR_BITS = 8

#: The share of anchors that must be found again for a file to be worth starting from.
_LIKE = 0.05


class Content:
    """An open file's bytes, read as they are needed: unlike a mapping it bears being cut short meanwhile.

    Raises:
        OSError: it cannot be read, or not as far as it reached when it was opened.
    """

    def __init__(self, path: Path) -> None:
        self._handle = os.open(path, os.O_RDONLY)
        self.size = os.fstat(self._handle).st_size

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._handle)

    def read(self, begin: int, end: int) -> Bytes:
        """The bytes from ``begin`` to before ``end``."""
        content = os.pread(self._handle, end - begin, begin)
        if len(content) != end - begin:
            raise OSError(0, "changed while it was sent")
        return np.frombuffer(content, np.uint8)


@dataclass(frozen=True)
class Stretch:
    """Bytes from ``begin`` to ``end`` are like those of the base moved by ``shift``."""

    begin: int
    end: int
    shift: int


@dataclass(frozen=True)
class Likeness:
    """A file as another one with changes.

    Attributes:
        share: of the anchors that both have.
    """

    base: Content
    stretches: tuple[Stretch, ...]
    share: float

    def patch(self, begin: int, piece: bytes) -> bytes | None:
        """Table and residual of a frame for ``piece``, which is at ``begin``; None where that is too long."""
        target = np.frombuffer(piece, np.uint8)
        pieces = list(self._pieces(begin, begin + len(piece)))
        if len(pieces) > MAX_SEGMENTS:
            return None
        table, residual = [COUNT.pack(len(pieces))], []
        for part in pieces:
            content = target[part.begin - begin : part.end - begin]
            offset = LITERAL
            if part.shift is not None:
                offset = part.begin + part.shift
                content = content ^ self.base.read(offset, offset + len(content))
            table.append(SEGMENT.pack(len(content), offset))
            residual.append(content.tobytes())
        return b"".join(table + residual)

    def _pieces(self, begin: int, end: int) -> Iterator[_Piece]:
        at = begin
        first = max(0, bisect.bisect_right(self.stretches, begin, key=lambda stretch: stretch.begin) - 1)
        for stretch in self.stretches[first:]:
            if stretch.begin >= end:
                break
            low, high = max(at, stretch.begin), min(end, stretch.end)
            if low >= high:
                continue
            if low > at:
                yield _Piece(at, low, None)
            yield _Piece(low, high, stretch.shift)
            at = high
        if at < end:
            yield _Piece(at, end, None)


@dataclass(frozen=True)
class _Piece:
    begin: int
    end: int
    shift: int | None


@dataclass(frozen=True)
class Anchors:
    """Places in the order of the words there, each of which occurs once."""

    words: Words
    places: Places

    @classmethod
    def of(cls, content: Content) -> Anchors:
        """All of a file."""
        found = [_anchors(content, at) for at in range(0, content.size, _CHUNK)]
        places = np.concatenate([places for places, _ in found] or [np.empty(0, np.int64)])
        words = np.concatenate([words for _, words in found] or [np.empty(0, np.uint64)])
        words, first, counts = np.unique(words, return_index=True, return_counts=True)
        return cls(words[counts == 1], places[first[counts == 1]])


def find_likeness(target: Content, anchors: Anchors, base: Content) -> Likeness | None:
    """How ``target`` is made from ``base``; None when they have next to nothing in common.

    Args:
        anchors: those of ``target``.
    """
    others = Anchors.of(base)
    _, mine, theirs = np.intersect1d(anchors.words, others.words, assume_unique=True, return_indices=True)
    share = len(mine) / max(1, len(anchors.words))
    if share < _LIKE:
        return None
    places, shifts = anchors.places[mine], others.places[theirs] - anchors.places[mine]
    order = np.argsort(places)
    stretches = tuple(_stretches(target, base, places[order], shifts[order]))
    return Likeness(base, stretches, share) if stretches else None


def _anchors(content: Content, begin: int) -> tuple[Places, Words]:
    """Those that begin in one chunk."""
    chunk = content.read(begin, min(content.size, begin + _CHUNK + _WORD - 1))
    places, words = [], []
    for phase in range(_WORD):
        count = (len(chunk) - phase) // _WORD
        if count <= 0:
            break
        found = np.frombuffer(chunk[phase : phase + count * _WORD].tobytes(), "<u8")
        # the one after zero, since a run of zeros has that hash everywhere
        chosen = np.flatnonzero((found * _MULTIPLIER) >> np.uint64(64 - _ANCHOR_BITS) == 1)
        places.append(chosen * _WORD + (begin + phase))
        words.append(found[chosen])
    if not places:
        return np.empty(0, np.int64), np.empty(0, np.uint64)
    return np.concatenate(places), np.concatenate(words)


def _stretches(target: Content, base: Content, places: Places, shifts: Places) -> Iterator[Stretch]:
    """Runs of anchors that were moved equally far, each drawn out to where the next one begins."""
    same = shifts[1:] == shifts[:-1]
    kept = np.concatenate([[False], same]) | np.concatenate([same, [False]])
    places, shifts = places[kept], shifts[kept]
    if not len(places):
        return
    starts = np.concatenate([[0], np.flatnonzero(shifts[1:] != shifts[:-1]) + 1])
    ends = np.concatenate([starts[1:], [len(places)]]) - 1
    begin = 0
    for number, (start, end) in enumerate(zip(starts, ends, strict=True)):
        shift = int(shifts[start])
        last = int(places[end]) + _WORD
        if number + 1 < len(starts):
            last = _alike_until(target, base, shift, last, int(places[starts[number + 1]]))
        else:
            last = target.size
        low, high = max(begin, -shift, 0), min(last, base.size - shift)
        if low < high:
            yield Stretch(low, high, shift)
        begin = last


def _alike_until(target: Content, base: Content, shift: int, begin: int, end: int) -> int:
    """How far the two go on being the same."""
    end = max(begin, min(end, base.size - shift, begin + _CHUNK))
    different = np.flatnonzero(target.read(begin, end) != base.read(begin + shift, end + shift))
    return begin + int(different[0]) if len(different) else end
