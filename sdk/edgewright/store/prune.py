"""Dropping old runs.

Only whole runs go: what a report says of a row (percentiles, verdict, intervals) is derived from its raw
samples when it is read, so a row without them could not be told honestly.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from edgewright.errors import StoreError

from .database import Store, run_of
from .figures import batches, forget_unused_series
from .process import may_live
from .records import Run
from .tables import FiguresRecord, RowRecord, RunRecord


@dataclass(frozen=True)
class Keep:
    """Which runs are new enough: begun in the last ``days``, or the newest ``runs``; one of them is given."""

    days: int | None = None
    runs: int | None = None


@dataclass(frozen=True)
class Pruned:
    """What went, what was old enough to go and stayed for a reason, and what a SQLite file shrank by."""

    dropped: tuple[Run, ...]
    rows: int
    kept: tuple[tuple[Run, str], ...]
    freed_bytes: int | None


def prune(store: Store, keep: Keep, needed: Mapping[str, str], *, dry_run: bool = False) -> Pruned:
    """Drop the runs that are neither new enough nor needed, in one transaction, and give their space back.

    A run that is marked as a baseline, still goes on, or is the newest stays, too.

    Args:
        store: whose file is read whole first: a damaged one is left as it is.
        keep: which runs are new enough.
        needed: run id -> why it must stay.
        dry_run: only say what would go.

    Raises:
        StoreError: the store is damaged, or cannot be written.
    """
    _refuse_damaged(store)
    with store._read() as session:
        old = _old(session, keep)
        ids = {record.run_id: record for record in old}
        why = {run_id: _reason(record, needed) for run_id, record in ids.items()}
        going = [run_id for run_id in ids if not why[run_id]]
        dropped = tuple(run_of(ids[run_id]) for run_id in going)
        kept = tuple((run_of(record), why[run_id]) for run_id, record in ids.items() if why[run_id])
        rows = sum(
            session.scalar(select(func.count()).select_from(RowRecord).where(RowRecord.run_id.in_(part))) or 0
            for part in batches(going)
        )
    freed = None
    if going and not dry_run:
        with store._write() as session:
            for part in batches(going):
                for table in (FiguresRecord, RowRecord, RunRecord):
                    session.execute(delete(table).where(table.run_id.in_(part)))
            forget_unused_series(session)
        freed = _vacuum(store)
    return Pruned(dropped, rows, kept, freed)


def mark_baseline(store: Store, run_id: str, *, is_baseline: bool = True) -> Run:
    """Mark a run to be kept by :func:`prune`, or no longer.

    Raises:
        ConfigError: no such run, or several begin so.
        StoreError: the store cannot be written.
    """
    with store._write() as session:
        record = store._record(session, run_id, prefix=True)
        session.execute(
            update(RunRecord).where(RunRecord.number == record.number).values(is_baseline=is_baseline)
        )
        session.refresh(record)
        return run_of(record)


def _old(session: Session, keep: Keep) -> list[RunRecord]:
    """The runs that are not new enough, the oldest first; never the newest of all."""
    order = select(RunRecord).order_by(RunRecord.started_at.desc(), RunRecord.number.desc())
    newest_first = list(session.scalars(order))
    if keep.runs is not None:
        return newest_first[max(1, keep.runs) :][::-1]
    since = datetime.now(UTC) - timedelta(days=keep.days or 0)
    return [record for record in newest_first[1:] if _began(record) < since][::-1]


def _began(record: RunRecord) -> datetime:
    try:
        began = datetime.fromisoformat(record.started_at)
    except ValueError:
        return datetime.now(UTC)  # a run whose age is not known is not too old
    return began if began.tzinfo else began.replace(tzinfo=UTC)


def _reason(record: RunRecord, needed: Mapping[str, str]) -> str:
    if record.is_baseline:
        return "marked as a baseline"
    if record.finished_at is None and may_live(record.process):
        return "still goes on"
    return needed.get(record.run_id, "")


def _refuse_damaged(store: Store) -> None:
    if store._engine.dialect.name != "sqlite":
        return
    with store._read() as session:
        found = session.connection().exec_driver_sql("PRAGMA quick_check(1)").scalar()
    if found != "ok":
        told = " ".join(str(found).split())
        raise StoreError(
            f"{store.location}: the store is damaged, nothing is dropped: {told}",
            mend="edgewright store check says what is left; export what can be read",
        )


def _vacuum(store: Store) -> int | None:
    """Rewrite a SQLite file without the space of what went; a server does that by itself."""
    if store._engine.dialect.name != "sqlite":
        return None
    held = store._engine.raw_connection()  # SQLAlchemy's own would begin a transaction
    try:
        connection = held.driver_connection
        assert isinstance(connection, sqlite3.Connection)
        before = _size(connection)
        connection.execute("VACUUM")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return before - _size(connection)
    except sqlite3.Error as error:
        raise StoreError(
            f"{store.location}: the runs are dropped, but their space could not be given back: {error}"
        ) from error
    finally:
        held.close()


def _size(connection: sqlite3.Connection) -> int:
    pages = connection.execute("PRAGMA page_count").fetchone()[0]
    return int(pages) * int(connection.execute("PRAGMA page_size").fetchone()[0])
