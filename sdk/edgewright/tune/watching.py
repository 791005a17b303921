"""Nobody who watches."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edgewright.row import Cell, Row


class Unwatched:
    """See :class:`edgewright.farm.group.Watcher`."""

    def expect(self, steps: int) -> None:
        """Nobody waits."""

    def begin(self, cell: Cell, what: str) -> None:
        """Nobody looks."""

    def event(self, event: Mapping[str, Any]) -> None:
        """Nobody listens."""

    def done(self) -> None:
        """Nobody waits."""

    def row(self, row: Row) -> None:
        """Nobody looks."""
