"""Which earlier row a row is to be held against."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from sqlalchemy import ColumnElement, delete, exists, select

from edgewright.row import Cell, Row

from .bodies import find_row
from .database import Store, run_of
from .farm_tables import SlowerRecord
from .records import Run
from .tables import RowRecord, RunRecord

#: How many earlier rows of a cell are looked at in search of a good one.
_LOOK_BACK = 20


@dataclass(frozen=True)
class Slower:
    """A row that took ``ratio`` times as long as the one of the run ``baseline``."""

    baseline: str
    ratio: float


class Baselines:
    """Earlier rows of the same cells; every method raises StoreError when the store cannot be used."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def earlier(self, run_id: str, row: Row) -> Iterator[tuple[Run, Row]]:
        """Measured rows of the same cell, preset and scenario in earlier runs of the same name, latest first.

        Rows that came out slower themselves are left out.
        """
        with self._store._read() as session:
            run = session.scalars(select(RunRecord).where(RunRecord.run_id == run_id)).one()
            slower = exists().where(
                SlowerRecord.run_id == RowRecord.run_id, SlowerRecord.key == RowRecord.key
            )
            rows = session.execute(
                select(RunRecord, RowRecord.position)
                .join(RunRecord, RunRecord.run_id == RowRecord.run_id)
                .where(
                    *_before(run, row.cell),
                    ~slower,
                )
                .order_by(RowRecord.number.desc())
                .limit(_LOOK_BACK)
            )
            found = [(run_of(record), position) for record, position in rows]
        for earlier_run, position in found:
            earlier = find_row(self._store, earlier_run.run_id, position)
            if earlier and (earlier.preset, earlier.scenario) == (row.preset, row.scenario):
                yield earlier_run, earlier

    def was_slower(self, run_id: str, row: Row) -> bool:
        """Whether the row of the same cell that was measured last before, under that name, is marked."""
        with self._store._read() as session:
            run = session.scalars(select(RunRecord).where(RunRecord.run_id == run_id)).one()
            last = session.execute(
                select(RowRecord.run_id, RowRecord.key)
                .join(RunRecord, RunRecord.run_id == RowRecord.run_id)
                .where(*_before(run, row.cell))
                .order_by(RowRecord.number.desc())
                .limit(1)
            ).first()
            return last is not None and session.get(SlowerRecord, tuple(last)) is not None

    def mark_slower(self, run_id: str, rows: Mapping[str, Slower]) -> None:
        """Remember, by their keys, which rows of a run came out slower; earlier marks go."""
        with self._store._write() as session:
            session.execute(delete(SlowerRecord).where(SlowerRecord.run_id == run_id))
            for key, slower in rows.items():
                session.add(SlowerRecord(run_id=run_id, key=key, **vars(slower)))

    def accept(self, run_id: str) -> int:
        """Take the slower rows of a run for good from now on; how many there were."""
        with self._store._write() as session:
            marked = session.scalars(select(SlowerRecord).where(SlowerRecord.run_id == run_id)).all()
            for record in marked:
                session.delete(record)
            return len(marked)


def _before(run: RunRecord, cell: Cell) -> tuple[ColumnElement[bool], ...]:
    """Measured rows of a cell in the runs of the same name that were begun before."""
    return (
        RowRecord.workload == cell.workload,
        RowRecord.recipe == cell.recipe,
        RowRecord.device == cell.device,
        RowRecord.runtime == cell.runtime,
        RowRecord.outcome == "measured",
        RunRecord.name == run.name,
        RunRecord.number < run.number,
    )
