"""Whoever watches a night go by."""

from __future__ import annotations

from typing import Protocol

from edgewright.row import Row


class View(Protocol):
    """Told of what changes, in the thread of the schedule."""

    def device(self, name: str, state: str, detail: str = "") -> None:
        """What a device does: it is ``waiting``, ``measuring``, ``checking``, ``quarantined`` or ``done``."""

    def note(self, text: str) -> None:
        """Something that is to be known also where there is no terminal."""

    def row(self, row: Row) -> None:
        """A cell has ended and its row is stored."""

    def left(self, seconds: float | None, unknown: int) -> None:
        """How long the rest will take; None when ``unknown`` of its cells were never timed."""
