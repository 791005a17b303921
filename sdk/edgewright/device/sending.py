"""The stream of a delivery: what each file's bytes travel as is decided while they go."""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgewright.errors import ConfigError
from edgewright_agent import protocol as wire
from edgewright_agent.protocol_push import BASE, HEADER, LENGTH, PATCH, RAW, Delivery, Inquiry, Parcel

from .flow import Flow
from .likeness import Anchors, Content, Likeness, find_likeness
from .packing import Packer
from .pushed import SMALLEST_BYTES, PushedFile

_PIECE_BYTES = 1 << 18

#: The link is measured by more and more bytes, until they take some round trips and this long.
_FIRST_PROBE, _LAST_PROBE = 1 << 16, 1 << 22
_LONG_S, _ROUND_TRIPS = 0.1, 3

#: How fast two files are compared, at a guess, and how much longer than that sending must take to do so.
_COMPARED_BYTES_PER_S = 100e6
_TIMES_LONGER = 2.0

#: A frame that a likeness makes this small needs no comparison with another packing.
_SMALL_SHARE = 0.3

#: A base that has so much of a file needs no better one.
_LIKE_ENOUGH = 0.5


@dataclass(frozen=True)
class Order:
    """What is to be sent.

    Attributes:
        bases: of each file, those that the device holds and it may resemble.
        unpackable: what the device can unpack.
    """

    delivery: Delivery
    bases: Mapping[str, Sequence[PushedFile]]
    unpackable: Collection[str]


class _Probe:
    """Measures the link by the first bytes.

    They are sent in turns, each twice as many as the one before, and what is sent after a turn waits for the
    answer to it; the first turn is of nothing, and gives the time that an answer takes. A turn that lasted
    some of these is no longer ruled by them, nor by a connection that is only gathering speed.
    """

    def __init__(self, flow: Flow) -> None:
        self._flow = flow
        self._round_trip_s = 0.0
        self._turn_bytes = 0
        self._begun_s = 0.0
        self._begun_bytes = 0

    def begin(self) -> None:
        """The first turn begins."""
        self._begun_s = time.monotonic()

    @property
    def piece_bytes(self) -> int:
        """How many bytes the next frame is to give."""
        return min(_PIECE_BYTES, self._turn_bytes)

    @property
    def is_due(self) -> bool:
        """Whether a turn is complete."""
        return self._flow.rate is None and self._flow.sent_bytes - self._begun_bytes >= self._turn_bytes

    def arrived(self) -> None:
        """The end of a turn was sent: wait for the answer."""
        flow = self._flow
        sent_bytes = flow.sent_bytes
        if not flow.wait(sent_bytes):
            return
        took_s = time.monotonic() - self._begun_s
        if self._turn_bytes == 0:
            self._round_trip_s = took_s
            self._turn_bytes = _FIRST_PROBE
        elif took_s > _LONG_S + _ROUND_TRIPS * self._round_trip_s or self._turn_bytes >= _LAST_PROBE:
            flow.measured(sent_bytes - self._begun_bytes, took_s - min(self._round_trip_s, took_s / 2))
            self._turn_bytes = _PIECE_BYTES
        else:
            self._turn_bytes *= 2
        self._begun_s, self._begun_bytes = time.monotonic(), sent_bytes


class Sender:
    """Makes the stream of one push.

    Args:
        inquiry: what it begins with.
        files: where each is on this host, by SHA-256.

    Attributes:
        problem: what kept it from going on to the end.
    """

    def __init__(self, inquiry: Inquiry, files: Mapping[str, Path]) -> None:
        self._inquiry = inquiry
        self._files = files
        self._order: Order | None = None
        self._packer = Packer(())
        self.flow = Flow()
        self._probe = _Probe(self.flow)
        self.problem: ConfigError | None = None

    def order(self, order: Order) -> None:
        """What the inquiry has shown to be missing, to be told before anything is heard of it."""
        self._packer = Packer(order.unpackable)
        self._order = order
        self.flow.heard(0)

    def pieces(self) -> Iterator[bytes]:
        """The inquiry; when something was ordered then, the delivery and the frames."""
        yield _message(self._inquiry)
        if not self.flow.wait(0):
            return
        assert self._order
        yield _message(self._order.delivery)
        self._probe.begin()
        yield from self._ping()
        for parcel in self._order.delivery.files:
            local = self._files[parcel.sha256]
            try:
                yield from self._file(parcel, local, self._order.bases.get(parcel.sha256, ()))
            except OSError as error:
                self.problem = ConfigError(f"{local}: {error.strerror}")
            if self.problem or self.flow.is_closed:
                return

    def _file(self, parcel: Parcel, local: Path, bases: Sequence[PushedFile]) -> Iterator[bytes]:
        at, size = parcel.from_bytes, parcel.size_bytes
        likeness: Likeness | None = None
        with local.open("rb") as stream, ExitStack() as opened:
            stream.seek(at)
            while at < size:
                if bases and self._is_comparison_due(size - at, size):
                    likeness, base = self._likeness(local, bases, opened)
                    bases = ()
                    if base:
                        yield from self._sent(BASE, 0, base.encode())
                piece = stream.read(min(size - at, self._probe.piece_bytes))
                if not piece:
                    self.problem = ConfigError(f"{local}: changed while it was sent")
                    return
                kind, payload = self._packed(piece, at, likeness)
                yield from self._sent(kind, len(piece), payload)
                at += len(piece)
                if self._probe.is_due:
                    yield from self._ping()
                if self.flow.is_closed:
                    return

    def _sent(self, kind: int, plain_bytes: int, payload: bytes) -> Iterator[bytes]:
        frame = HEADER.pack(kind, plain_bytes, len(payload)) + payload
        with self.flow.sending(len(frame)):
            yield frame

    def _ping(self) -> Iterator[bytes]:
        """A frame of nothing, which the device answers by saying what has arrived."""
        yield from self._sent(RAW, 0, b"")
        self._probe.arrived()

    def _is_comparison_due(self, left_bytes: int, size: int) -> bool:
        """Whether the link is so slow that looking for what is there already is worth the time."""
        rate = self.flow.rate
        if rate is None or left_bytes < SMALLEST_BYTES:
            return False
        return left_bytes / rate > _TIMES_LONGER * 2 * size / _COMPARED_BYTES_PER_S

    def _likeness(
        self, local: Path, bases: Sequence[PushedFile], opened: ExitStack
    ) -> tuple[Likeness | None, str]:
        """The best there is, and the SHA-256 of its base."""
        best: Likeness | None = None
        sha256 = ""
        with Content(local) as target:
            anchors = Anchors.of(target)
            for file in bases:
                try:
                    base = opened.enter_context(Content(Path(file.path)))
                    likeness = find_likeness(target, anchors, base)
                except OSError:  # it is gone or was changed meanwhile: no base, then
                    continue
                if likeness and (best is None or likeness.share > best.share):
                    best, sha256 = likeness, file.sha256
                if best and best.share > _LIKE_ENOUGH:
                    break
        return best, sha256

    def _packed(self, piece: bytes, at: int, likeness: Likeness | None) -> tuple[int, bytes]:
        try:
            patch = likeness.patch(at, piece) if likeness else None
        except OSError:  # the base was cut short meanwhile
            patch = None
        if patch is None:
            return self._packer.pack(piece, self.flow.rate)
        packing = self._packer.for_residuals
        payload = packing.pack(patch)
        if len(payload) > _SMALL_SHARE * len(piece):
            kind, other = self._packer.pack(piece, self.flow.rate)
            if len(other) <= len(payload):
                return kind, other
        return packing.kind | PATCH, payload


def _message(value: Any) -> bytes:
    content = json.dumps(wire.encode(value), separators=(",", ":")).encode()
    return LENGTH.pack(len(content)) + content
