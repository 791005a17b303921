"""A connection that is made again when it breaks: links of boards are cut for minutes, and boards restart."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from edgewright.errors import AccessDenied, DeviceError, DeviceTimeout, MissingRuntime, TransportError

from .agent_link import AgentLink
from .answers import AgentKilled, OnEvent, ignore

#: How long a link may be gone before it is given up, and the pauses between tries.
PATIENCE_S = 600.0
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 1.0, 15.0

#: A connection that held for so long was a good one: when it breaks, that is another matter.
_HELD_S = 60.0

#: How often in a row the agent's command may be killed on the device before it is given up.
_KILLS = 4

#: What a device that is just starting may answer.
_NOT_YET = (DeviceTimeout, AccessDenied, MissingRuntime)

T = TypeVar("T")


class LastingLink:
    """The agent of one device, through as many connections as it takes.

    Only what may be done twice is done through it: the agent's commands are of that kind, and a file goes on
    where it stopped. Once the patience was in vain, each use tries only once until one connects.

    Args:
        connect: makes the connection; called once now, and again after each break.
        patience_s: how long it is tried before the last error is raised.

    Raises:
        DeviceError: whatever ``connect`` raises the first time.
    """

    def __init__(self, connect: Callable[[], AgentLink], patience_s: float = PATIENCE_S) -> None:
        self._connect = connect
        self._patience_s = patience_s
        self._is_given_up = False
        self._link: AgentLink | None = connect()
        self._since = time.monotonic()
        self.agent = self._link.agent

    @property
    def is_open(self) -> bool:
        """Whether there is a connection, as far as anybody has noticed."""
        return self._link is not None

    def during(
        self,
        work: Callable[[AgentLink, OnEvent], T],
        on_event: OnEvent = ignore,
        *,
        is_retold: bool = True,
    ) -> T:
        """Do ``work``, from its beginning again after each break of the connection.

        Args:
            work: what to do; it passes its events on to the function it is given.
            on_event: is told what ``work`` tells, and two phases: ``reconnect`` when the connection broke,
                with ``why`` and for how many seconds another is tried, ``for_s``; ``reconnected`` when there
                is one, with ``after_s``.
            is_retold: ``work`` tells the same events again each time; ``on_event`` is told each once.

        Raises:
            TransportError: it has been broken for longer than the patience.
            DeviceError: what ``work`` raises otherwise.
        """
        events = _Onward(on_event, is_retold)
        breaks = _Breaks(self._patience_s)
        while True:
            seen = events.count
            try:
                link = self._opened(breaks, on_event)
                return work(link, events.again())
            except TransportError as error:
                has_held = self.is_open and time.monotonic() - self._since > _HELD_S
                is_news = self.is_open or not breaks.is_broken
                self.close()
                if not breaks.is_broken or events.count > seen or has_held:
                    breaks.begin(0.0 if self._is_given_up else self._patience_s)
                if is_news and breaks.may_go_on:
                    on_event(_broken(error, breaks.left_s))
                if not breaks.may_go_on:
                    self._is_given_up = True
                    raise
            except AgentKilled:
                breaks.kills = 1 if events.count > seen else breaks.kills + 1
                if breaks.kills == _KILLS:
                    raise
            time.sleep(breaks.pause_s())

    def once(self, work: Callable[[AgentLink], T]) -> T:
        """Do ``work`` over the connection there is, or one that can be made now.

        Raises:
            DeviceError: it broke, or whatever ``work`` raises; the connection is closed then.
        """
        try:
            return work(self._opened(_Breaks(0.0), ignore))
        except DeviceError:
            self.close()
            raise

    def close(self) -> None:
        """Close the connection; the next use makes another."""
        if self._link is not None:
            self._link.transport.close()
            self._link = None

    def _opened(self, breaks: _Breaks, on_event: OnEvent) -> AgentLink:
        """The connection; a new one when there is none.

        Raises:
            TransportError: there is none to be had now.
        """
        if self._link is None:
            try:
                self._link = self._connect()
            except _NOT_YET as error:
                raise TransportError(error.target, error.message, mend=error.mend) from error
            self._since = time.monotonic()
            self._is_given_up = False
            if breaks.is_broken:
                on_event({"event": "phase", "name": "reconnected", "after_s": round(breaks.lasted_s, 1)})
        return self._link


def _broken(error: TransportError, for_s: float) -> dict[str, Any]:
    return {"event": "phase", "name": "reconnect", "why": error.message, "for_s": round(for_s)}


class _Breaks:
    """How long the connection has been broken, and how often the agent was killed."""

    def __init__(self, patience_s: float) -> None:
        self._patience_s = patience_s
        self._begun = float("inf")
        self._pause_s = _FIRST_PAUSE_S
        self.kills = 0

    @property
    def is_broken(self) -> bool:
        """Whether it ever broke."""
        return self._begun != float("inf")

    @property
    def lasted_s(self) -> float:
        """Since it broke."""
        return time.monotonic() - self._begun

    @property
    def left_s(self) -> float:
        """What is left of the patience."""
        return max(0.0, self._patience_s - self.lasted_s)

    @property
    def may_go_on(self) -> bool:
        """Whether the patience lasts for another pause."""
        return self.lasted_s + self._pause_s <= self._patience_s

    def begin(self, patience_s: float) -> None:
        """It broke, and not as a part of an earlier break."""
        self._patience_s = patience_s
        self._begun = time.monotonic()
        self._pause_s = _FIRST_PAUSE_S

    def pause_s(self) -> float:
        """How long to wait before the next try: longer each time."""
        pause_s, self._pause_s = self._pause_s, min(_LONGEST_PAUSE_S, 2 * self._pause_s)
        return pause_s


class _Onward:
    """Passes on what has not been passed on before, where the same events come again from the first one."""

    def __init__(self, on_event: OnEvent, is_retold: bool) -> None:
        self._on_event = on_event
        self._is_retold = is_retold
        self.count = 0

    def again(self) -> OnEvent:
        """For one more try."""
        position = 0 if self._is_retold else self.count

        def onward(event: Mapping[str, Any]) -> None:
            nonlocal position
            position += 1
            if position > self.count:
                self.count = position
                self._on_event(event)

        return onward
