"""Where the schedule waits for what happens: without looking, and for as long as nothing is due."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable

#: What is to be done by the schedule's own thread.
Message = Callable[[], None]


class Inbox:
    """Messages from other threads, and a clock to wait by."""

    def __init__(self) -> None:
        self._messages: queue.SimpleQueue[Message] = queue.SimpleQueue()

    def now(self) -> float:
        """Seconds of a clock that is never set back."""
        return time.monotonic()

    def put(self, message: Message) -> None:
        """From any thread."""
        self._messages.put(message)

    def get(self, until: float) -> Message | None:
        """The next message; None when there is none until then."""
        try:
            return self._messages.get(timeout=max(0.0, until - self.now()))
        except queue.Empty:
            return None
