"""Studies in the store: every setting is on disk before it is built, and again as soon as more is known."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import select, update

from edgewright.config import did_you_mean
from edgewright.errors import ConfigError
from edgewright.row import Row

from .database import Store, run_of
from .process import may_live, this_process
from .records import Run
from .study_tables import StudyRecord, TrialRecord
from .tables import RowRecord, RunRecord


@dataclass(frozen=True)
class StoredStudy:
    """A study: the run whose rows are its measurements, and what was asked for, as JSON."""

    run: Run
    question: str


@dataclass(frozen=True)
class StoredTrial:
    """A setting on a device; ``body`` is JSON. See :class:`~edgewright.store.study_tables.TrialRecord`."""

    device: str
    position: int
    state: str
    cell: str
    body: str


class Studies:
    """The studies of a store; every method raises StoreError when that cannot be used."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def begin(self, run_id: str, request: str, question: str) -> None:
        """Record that a run is the study of a question."""
        with self._store._write() as session:
            session.add(StudyRecord(run_id=run_id, request=request, question=question))

    def get(self, study_id: str | None = None) -> StoredStudy:
        """The study of that id, of which an unambiguous beginning will do; the latest without one.

        Raises:
            ConfigError: no such study, or several.
        """
        with self._store._read() as session:
            query = (
                select(StudyRecord, RunRecord).join(RunRecord, RunRecord.run_id == StudyRecord.run_id)
            ).order_by(StudyRecord.number.desc())
            if study_id is not None:
                query = query.where(StudyRecord.run_id.startswith(study_id, autoescape=True))
            found = session.execute(query.limit(2)).all()
            exact = [pair for pair in found if pair[0].run_id == study_id]
            if not found:
                known = session.scalars(select(StudyRecord.run_id).limit(50)).all()
                raise ConfigError(
                    f"{self._store.location}: no study {repr(study_id) if study_id else 'is stored yet'}",
                    mend=did_you_mean(study_id, known) if study_id else "edgewright tune makes one",
                )
            if study_id is not None and len(found) > 1 and not exact:
                raise ConfigError(
                    f"{self._store.location}: several studies begin with {study_id!r}",
                    mend="give more of the id",
                )
            study, run = (exact or found)[0]
            return StoredStudy(run_of(run), study.question)

    def interrupted(self, request: str, *, within: timedelta) -> str | None:
        """The id of the latest study of the same request, when its process is gone before it was finished.

        Args:
            within: how long ago it may have begun.
        """
        with self._store._read() as session:
            found = session.execute(
                select(RunRecord)
                .join(StudyRecord, RunRecord.run_id == StudyRecord.run_id)
                .where(StudyRecord.request == request)
                .order_by(StudyRecord.number.desc())
                .limit(1)
            ).scalar()
            if found is None or found.finished_at is not None or may_live(found.process):
                return None
            begun = datetime.fromisoformat(found.started_at)
            return None if datetime.now(UTC) - begun > within else found.run_id

    def take_over(self, study_id: str) -> None:
        """Go on with a study in this process.

        Raises:
            ConfigError: another process is at work on it.
        """
        with self._store._write() as session:
            record = session.scalars(select(RunRecord).where(RunRecord.run_id == study_id)).one()
            own = this_process()
            if record.process != own and record.finished_at is None and may_live(record.process):
                raise ConfigError(f"study {study_id}: another process is at work on it", mend="wait for it")
            record.process, record.finished_at = own, None

    def trials(self, study_id: str, device: str | None = None) -> tuple[StoredTrial, ...]:
        """All that was tried, device by device in the order in which it was begun."""
        with self._store._read() as session:
            query = (
                select(TrialRecord)
                .where(TrialRecord.run_id == study_id)
                .order_by(TrialRecord.device, TrialRecord.position)
            )
            if device is not None:
                query = query.where(TrialRecord.device == device)
            return tuple(map(_trial, session.scalars(query)))

    def put(self, study_id: str, trial: StoredTrial) -> None:
        """Add a trial, or replace what is known of it; when this returns it is on disk."""
        with self._store._write() as session:
            values = {"state": trial.state, "cell": trial.cell, "body": trial.body}
            place = (
                TrialRecord.run_id == study_id,
                TrialRecord.device == trial.device,
                TrialRecord.position == trial.position,
            )
            changed = session.execute(update(TrialRecord).where(*place).values(**values))
            if not changed.rowcount:  # type: ignore[attr-defined]
                session.add(
                    TrialRecord(run_id=study_id, device=trial.device, position=trial.position, **values)
                )

    def measured_before(self, cell: str, *, within: timedelta) -> StoredTrial | None:
        """The latest trial, in any study, in which the same cell was measured.

        Args:
            within: how long ago its study may have begun.
        """
        since = (datetime.now(UTC) - within).isoformat(timespec="milliseconds")
        with self._store._read() as session:
            found = session.execute(
                select(TrialRecord)
                .join(RunRecord, RunRecord.run_id == TrialRecord.run_id)
                .where(
                    TrialRecord.cell == cell, TrialRecord.state == "measured", RunRecord.started_at >= since
                )
                .order_by(TrialRecord.number.desc())
                .limit(1)
            ).scalar()
            return None if found is None else _trial(found)

    def measured_on(self, device: str, *, apart_from: str, most: int) -> tuple[StoredTrial, ...]:
        """What other studies measured on a device, the latest first."""
        with self._store._read() as session:
            query = (
                select(TrialRecord)
                .where(TrialRecord.device == device, TrialRecord.run_id != apart_from)
                .where(TrialRecord.state == "measured")
                .order_by(TrialRecord.number.desc())
                .limit(most)
            )
            return tuple(map(_trial, session.scalars(query)))

    def row(self, run_id: str, key: str) -> Row | None:
        """The row of a run that was added with a key."""
        with self._store._read() as session:
            found = session.execute(
                select(RowRecord.position, RowRecord.body).where(
                    RowRecord.run_id == run_id, RowRecord.key == key
                )
            ).first()
            return None if found is None else self._store._row(run_id, *found)


def _trial(record: TrialRecord) -> StoredTrial:
    return StoredTrial(record.device, record.position, record.state, record.cell, record.body)
