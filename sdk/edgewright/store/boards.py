"""What a farm remembers of its boards from night to night."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from .clock import database_now
from .database import Store
from .farm_tables import BoardRecord, CellTimeRecord

#: How much of a cell's known time a new time makes up.
_NEW_SHARE = 0.5


@dataclass(frozen=True)
class BoardState:
    """What is known of a board; all times are seconds since 1970 by the database's clock.

    Attributes:
        failures: how many cells in a row failed there for the board's sake.
        quarantined_at, reason: since when it is set aside, and why; None and empty when it is not.
        cycled_at: when its power was cycled during this quarantine.
        checked_at, is_healthy, health: the last health check, its answer, and in words.
    """

    board: str
    name: str = ""
    failures: int = 0
    quarantined_at: float | None = None
    reason: str = ""
    cycled_at: float | None = None
    checked_at: float | None = None
    is_healthy: bool | None = None
    health: str = ""

    @property
    def is_quarantined(self) -> bool:
        """Whether it is set aside."""
        return self.quarantined_at is not None


class Boards:
    """The boards of a store; every method raises StoreError when that cannot be used."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def get(self, board: str) -> BoardState:
        """What is known; nothing for one that was never seen."""
        with self._store._read() as session:
            record = session.get(BoardRecord, board)
            return _state(record) if record else BoardState(board)

    def all(self) -> tuple[BoardState, ...]:
        """Every board that was ever seen."""
        with self._store._read() as session:
            return tuple(map(_state, session.scalars(select(BoardRecord).order_by(BoardRecord.name))))

    def count_failures(self, board: str, name: str, failures: int) -> BoardState:
        """So many cells in a row have failed by now."""

        def change(record: BoardRecord, _: float) -> None:
            record.failures = failures

        return self._change(board, name, change)

    def quarantine(self, board: str, name: str, reason: str) -> BoardState:
        """Set it aside; one that is already keeps its first reason."""

        def change(record: BoardRecord, now: float) -> None:
            if record.quarantined_at is None:
                record.quarantined_at, record.reason, record.cycled_at = now, reason, None

        return self._change(board, name, change)

    def cycled(self, board: str, name: str) -> BoardState:
        """Its power was cycled."""

        def change(record: BoardRecord, now: float) -> None:
            record.cycled_at = now

        return self._change(board, name, change)

    def checked(self, board: str, name: str, words: str, *, is_healthy: bool) -> BoardState:
        """A health check has ended; a healthy board is in no quarantine any more."""

        def change(record: BoardRecord, now: float) -> None:
            record.checked_at, record.is_healthy, record.health = now, is_healthy, words
            if is_healthy:
                _free(record)

        return self._change(board, name, change)

    def release(self, board: str, name: str) -> BoardState:
        """End its quarantine, whatever it was for."""

        def change(record: BoardRecord, _: float) -> None:
            _free(record)

        return self._change(board, name, change)

    def _change(self, board: str, name: str, change: Callable[[BoardRecord, float], None]) -> BoardState:
        with self._store._write() as session:
            record = session.get(BoardRecord, board)
            if record is None:
                record = BoardRecord(board=board, failures=0, reason="", health="")
                session.add(record)
            record.name = name
            change(record, database_now(session))
            session.flush()
            return _state(record)


class CellTimes:
    """How long cells took before, by a digest of what they are."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def known(self, cells: Sequence[str]) -> dict[str, float]:
        """Seconds of those that were timed before."""
        with self._store._read() as session:
            found: dict[str, float] = {}
            for at in range(0, len(cells), 500):
                query = select(CellTimeRecord).where(CellTimeRecord.cell.in_(cells[at : at + 500]))
                found.update((record.cell, record.seconds) for record in session.scalars(query))
            return found

    def add(self, cells: Sequence[str], seconds: float) -> None:
        """Each of these took so long."""
        with self._store._write() as session:
            for cell in dict.fromkeys(cells):
                _add_time(session, cell, seconds)


def _add_time(session: Session, cell: str, seconds: float) -> None:
    record = session.get(CellTimeRecord, cell)
    if record is None:
        session.add(CellTimeRecord(cell=cell, seconds=seconds))
    else:
        record.seconds += _NEW_SHARE * (seconds - record.seconds)


def _free(record: BoardRecord) -> None:
    record.failures, record.quarantined_at, record.reason, record.cycled_at = 0, None, "", None


def _state(record: BoardRecord) -> BoardState:
    return BoardState(
        record.board,
        record.name,
        record.failures,
        record.quarantined_at,
        record.reason,
        record.cycled_at,
        record.checked_at,
        record.is_healthy,
        record.health,
    )
