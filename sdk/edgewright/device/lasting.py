"""A connection that is made again when it breaks: links of boards are cut for minutes, and boards restart."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from edgewright.errors import TransportError

from .agent_link import AgentLink
from .answers import OnEvent, ignore

#: How long a link may be gone before it is given up, and the pauses between tries.
PATIENCE_S = 600.0
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 1.0, 15.0

T = TypeVar("T")


class LastingLink:
    """The agent of one device, through as many connections as it takes.

    Only what may be done twice is done through it: the agent's commands are of that kind, and a file goes on
    where it stopped.

    Args:
        connect: makes the connection; called once now, and again after each break.
        patience_s: how long it is tried before the last error is raised.

    Raises:
        DeviceError: whatever ``connect`` raises the first time.
    """

    def __init__(self, connect: Callable[[], AgentLink], patience_s: float = PATIENCE_S) -> None:
        self._connect = connect
        self._patience_s = patience_s
        self._link: AgentLink | None = connect()
        self.agent = self._link.agent

    def during(self, work: Callable[[AgentLink, OnEvent], T], on_event: OnEvent = ignore) -> T:
        """Do ``work``, from its beginning again after each break of the connection.

        Args:
            work: what to do; it passes its events on to the function it is given.
            on_event: is told each event once, however often ``work`` begins again; and a ``phase``
                ``reconnect`` when the connection broke.

        Raises:
            TransportError: it has been broken for longer than the patience.
            DeviceError: what ``work`` raises otherwise.
        """
        events = _Onward(on_event)
        until = float("inf")
        pause_s = _FIRST_PAUSE_S
        while True:
            seen = events.count
            try:
                if self._link is None:
                    self._link = self._connect()
                return work(self._link, events.again())
            except TransportError:
                self.close()
                now = time.monotonic()
                if until == float("inf") or events.count > seen:
                    until, pause_s = now + self._patience_s, _FIRST_PAUSE_S
                    on_event({"event": "phase", "name": "reconnect"})
                if now + pause_s > until:
                    raise
            time.sleep(pause_s)
            pause_s = min(_LONGEST_PAUSE_S, 2 * pause_s)

    def close(self) -> None:
        """Close the connection; the next use makes another."""
        if self._link is not None:
            self._link.transport.close()
            self._link = None


class _Onward:
    """Passes on what has not been passed on before, when the same events come again from the first one."""

    def __init__(self, on_event: OnEvent) -> None:
        self._on_event = on_event
        self.count = 0

    def again(self) -> OnEvent:
        """For one more try."""
        position = 0

        def onward(event: Mapping[str, Any]) -> None:
            nonlocal position
            position += 1
            if position > self.count:
                self.count = position
                self._on_event(event)

        return onward
