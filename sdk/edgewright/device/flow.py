"""How fast a link takes what is sent, as far as the device has said what arrived."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

_WINDOW_S = 2.0
_SHORTEST_S = 0.5

#: Sending takes this share of the time where the link is the slower part, and less than that where it is not.
_LINK_BOUND, _IDLE = 0.5, 0.2
_HOPE = 1.2


@dataclass(frozen=True)
class _Mark:
    at_s: float
    arrived_bytes: int
    sending_s: float


class Flow:
    """Shared by the thread that sends and the one that hears what arrived.

    The rate is that at which bytes arrive while there are always some to be sent. Where compressing is the
    slower part they do not tell how fast the link is, only that it is faster: it is then taken to be somewhat
    faster than last thought, until what is sent fills it again.
    """

    def __init__(self) -> None:
        self._change = threading.Condition()
        self._arrived_bytes = -1
        self._is_closed = False
        self._sending_s = 0.0
        self._marks: deque[_Mark] = deque()
        self._rate: float | None = None
        self.sent_bytes = 0

    @property
    def rate(self) -> float | None:
        """Bytes per second; None until it has been measured."""
        return self._rate

    @property
    def is_closed(self) -> bool:
        """Whether nobody listens any more."""
        return self._is_closed

    @contextmanager
    def sending(self, size_bytes: int) -> Iterator[None]:
        """The block lasts as long as it takes to hand over so many bytes."""
        begun_s = time.monotonic()
        try:
            yield
        finally:
            self._sending_s += time.monotonic() - begun_s
            self.sent_bytes += size_bytes

    def wait(self, arrived_bytes: int) -> bool:
        """Wait until so much has arrived; False when nobody listens any more."""
        with self._change:
            self._change.wait_for(lambda: self._is_closed or self._arrived_bytes >= arrived_bytes)
            return not self._is_closed

    def measured(self, size_bytes: int, seconds: float) -> None:
        """So much was sent at once and had arrived after so long."""
        self._rate = size_bytes / max(seconds, 1e-6)

    def heard(self, arrived_bytes: int) -> None:
        """The device says so much has arrived."""
        with self._change:
            self._arrived_bytes = arrived_bytes
            self._change.notify_all()
        if self._rate is not None:
            self._mark(_Mark(time.monotonic(), arrived_bytes, self._sending_s))

    def close(self) -> None:
        """Nobody listens any more."""
        with self._change:
            self._is_closed = True
            self._change.notify_all()

    def _mark(self, mark: _Mark) -> None:
        self._marks.append(mark)
        while len(self._marks) > 2 and mark.at_s - self._marks[1].at_s > _WINDOW_S:
            self._marks.popleft()
        first = self._marks[0]
        lasted_s = mark.at_s - first.at_s
        if lasted_s < _SHORTEST_S:
            return
        seen = (mark.arrived_bytes - first.arrived_bytes) / lasted_s
        share = (mark.sending_s - first.sending_s) / lasted_s
        assert self._rate is not None
        if share >= _LINK_BOUND:
            self._rate = max(seen, 1.0)
        else:
            self._rate = max(seen, self._rate)
            if share < _IDLE and lasted_s >= _WINDOW_S / 2:
                self._rate *= _HOPE
                self._marks = deque([mark])
