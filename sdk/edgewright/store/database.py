"""The store: runs and their rows, each committed the moment it is known."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType

from sqlalchemy import Engine, func, select, update
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from edgewright import __version__
from edgewright.config import did_you_mean
from edgewright.errors import ConfigError, StoreError
from edgewright.row import Failed, Measured, Row

from .figures import Figures, put_figures
from .location import database_url, default_location, shown
from .process import may_live, this_process
from .records import Run, RunSummary, StoredRun
from .rowcodec import row_from_json, row_to_json
from .schema import make_engine, migrate, prepare_file, read_only
from .tables import RowRecord, RunRecord


class Store:
    """Results in a database. Use it as a context manager, or call :meth:`close`.

    Raw samples are stored, statistics never: those are derived when a run is read, so that a better
    statistic applies to old runs too. Several processes may write to one store at a time.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @classmethod
    def open(cls, location: str | Path | None = None, *, create: bool = True) -> Store:
        """Open, create or upgrade the store at a path or URL, see :func:`~.location.database_url`.

        Without a location: ``EDGEWRIGHT_STORE``, else the user's data directory. Whoever only tells what is
        there creates nothing: a name that was mistyped is no store without runs.

        Raises:
            ConfigError: the URL is not one, its database driver is not installed, or there is no such file
                and none is to be made.
            StoreError: damaged, not a store, or from a newer version: it is left untouched; or a server that
                cannot be reached, refuses, or is too old.
        """
        url = database_url(default_location() if location is None else location)
        if not create and url.get_backend_name() == "sqlite" and not Path(url.database or "").exists():
            raise ConfigError(f"{shown(url)}: no such store")
        prepare_file(url)
        try:
            engine = make_engine(url)
        except SQLAlchemyError as error:
            raise ConfigError(f"store {shown(url)}: {_brief(error)}") from None
        store = cls(engine)
        try:
            with store._translated("opened"):
                migrate(engine)
        except StoreError:
            store.close()
            raise
        return store

    @classmethod
    @contextmanager
    def as_it_is(cls, location: str | Path | None = None) -> Iterator[Store]:
        """A store to read from alone, damaged or not: neither made, nor upgraded, nor written to.

        Raises:
            ConfigError: there is no such store.
            StoreError: not a store, or from a newer version.
        """
        with read_only(database_url(default_location() if location is None else location)) as engine:
            yield cls(engine)

    @property
    def location(self) -> str:
        """The file, or the URL without its password."""
        return shown(self._engine.url)

    def close(self) -> None:
        """Let go of the database; safe to call twice."""
        self._engine.dispose()

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def begin_run(
        self, name: str, plan_text: str, preset: str, request: str = "", *, project_commit: str = ""
    ) -> str:
        """Record that a run starts; its id.

        Args:
            request: what was asked for as a digest, for :meth:`interrupted_run`.
            project_commit: the version of what is measured, for histories; empty where there is none.
        """
        now = datetime.now(UTC)
        run_id = f"{now:%Y%m%d-%H%M%S}-{secrets.token_hex(4)}"
        with self._write() as session:
            session.add(
                RunRecord(
                    run_id=run_id,
                    name=_storable(name),
                    preset=_storable(preset),
                    plan_text=_storable(plan_text),
                    started_at=now.isoformat(timespec="milliseconds"),
                    finished_at=None,
                    version=__version__,
                    request=request,
                    process=this_process(),
                    project_commit=_storable(project_commit)[:80],
                )
            )
        return run_id

    def interrupted_run(self, request: str, *, within: timedelta) -> Run | None:
        """Take over the latest run of the same request when it was not finished and its process is gone.

        Args:
            within: how long ago it may have begun.
        """
        with self._write() as session:
            record = session.scalars(
                select(RunRecord)
                .where(RunRecord.request == request)
                .order_by(RunRecord.number.desc())
                .limit(1)
            ).first()
            if record is None or record.finished_at is not None or may_live(record.process):
                return None
            if datetime.now(UTC) - datetime.fromisoformat(record.started_at) > within:
                return None
            record.process = this_process()
            return run_of(record)

    def rows_by_key(self, run_id: str) -> dict[str, Row]:
        """The rows of a run that were added with a key, by it."""
        with self._read() as session:
            found = session.execute(
                select(RowRecord.key, RowRecord.position, RowRecord.body)
                .where(RowRecord.run_id == run_id, RowRecord.key != "")
                .order_by(RowRecord.position)
            )
            return {key: self._row(run_id, position, body) for key, position, body in found}

    def keys(self, run_id: str) -> dict[int, str]:
        """The keys of a run's rows by their positions; empty for a row that was added without one."""
        with self._read() as session:
            found = session.execute(
                select(RowRecord.position, RowRecord.key)
                .where(RowRecord.run_id == run_id)
                .order_by(RowRecord.position)
            )
            return dict(found.all())

    def add_row(self, run_id: str, row: Row, key: str = "", figures: Figures | None = None) -> None:
        """Add a row to a run; when this returns it is on disk. ``key`` says which of its cells it is of.

        ``figures`` are the row's, when they are known; otherwise they are derived once somebody asks.

        Raises:
            ConfigError: there is no such run.
            StoreError: the row could not be written, or the cell has one.
        """
        body = row_to_json(row)
        with self._write() as session:
            self._record(session, run_id)
            last = session.scalar(select(func.max(RowRecord.position)).where(RowRecord.run_id == run_id))
            record = RowRecord(
                run_id=run_id,
                position=0 if last is None else last + 1,
                workload=_storable(row.cell.workload),
                recipe=_storable(row.cell.recipe),
                device=_storable(row.cell.device),
                profile=_storable(row.cell.profile),
                runtime=_storable(row.cell.runtime),
                outcome=_outcome_name(row),
                started_at=row.started_at,
                body=body,
                key=key,
            )
            session.add(record)
            if figures is not None:
                session.flush()
                put_figures(session, record, figures)

    def finish_run(self, run_id: str) -> None:
        """Record that every row of the run is in."""
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        with self._write() as session:
            self._record(session, run_id)
            session.execute(update(RunRecord).where(RunRecord.run_id == run_id).values(finished_at=now))

    def run(self, run_id: str | None = None) -> StoredRun:
        """A run with its rows; the latest without an id. An unambiguous beginning of an id will do.

        Raises:
            ConfigError: no such run, or several.
            StoreError: a stored row cannot be read.
        """
        with self._read() as session:
            record = self._latest(session) if run_id is None else self._record(session, run_id, prefix=True)
            found = session.execute(
                select(RowRecord.position, RowRecord.body)
                .where(RowRecord.run_id == record.run_id)
                .order_by(RowRecord.position)
            )
            rows = tuple(self._row(record.run_id, position, body) for position, body in found)
            return StoredRun(run_of(record), rows)

    def list_runs(self) -> tuple[RunSummary, ...]:
        """Every run, the latest first."""
        with self._read() as session:
            counts: dict[str, dict[str, int]] = {}
            per_outcome = select(RowRecord.run_id, RowRecord.outcome, func.count()).group_by(
                RowRecord.run_id, RowRecord.outcome
            )
            for run_id, outcome, count in session.execute(per_outcome):
                counts.setdefault(run_id, {})[outcome] = count
            return tuple(
                RunSummary(run_of(record), *(counts.get(record.run_id, {}).get(k, 0) for k in _OUTCOMES))
                for record in session.scalars(select(RunRecord).order_by(RunRecord.number.desc()))
            )

    def _latest(self, session: Session) -> RunRecord:
        record = session.scalars(select(RunRecord).order_by(RunRecord.number.desc()).limit(1)).first()
        if record is None:
            raise ConfigError(
                f"{self.location}: no run is stored yet", mend="edgewright run PLAN.toml makes one"
            )
        return record

    def _record(self, session: Session, run_id: str, *, prefix: bool = False) -> RunRecord:
        exact = session.scalars(select(RunRecord).where(RunRecord.run_id == run_id)).first()
        if exact is not None:
            return exact
        found: list[RunRecord] = []
        if prefix and run_id:
            found = list(
                session.scalars(select(RunRecord).where(RunRecord.run_id.startswith(run_id, autoescape=True)))
            )
        if len(found) == 1:
            return found[0]
        if found:
            raise ConfigError(
                f"{self.location}: several runs begin with {run_id!r}", mend="give more of the id"
            )
        known = session.scalars(select(RunRecord.run_id).order_by(RunRecord.number.desc()).limit(20)).all()
        raise ConfigError(f"{self.location}: no run {run_id!r}", mend=did_you_mean(run_id, known))

    def _row(self, run_id: str, position: int, body: str) -> Row:
        try:
            return row_from_json(body)
        except ValueError as error:
            raise StoreError(f"{self.location}: row {position} of run {run_id} is damaged: {error}") from None

    @contextmanager
    def _read(self) -> Iterator[Session]:
        with self._translated("read"), Session(self._engine) as session:
            yield session

    @contextmanager
    def _write(self) -> Iterator[Session]:
        engine = self._engine.execution_options(edgewright_writes=True)
        with self._translated("written"), Session(engine) as session, session.begin():
            yield session

    @contextmanager
    def _translated(self, done: str) -> Iterator[None]:
        try:
            yield
        except SQLAlchemyError as error:
            raise StoreError(f"{self.location}: the store cannot be {done}: {_brief(error)}") from error


_OUTCOMES = ("measured", "failed", "skipped")


def _outcome_name(row: Row) -> str:
    if isinstance(row.outcome, Measured):
        return "measured"
    return "failed" if isinstance(row.outcome, Failed) else "skipped"


def run_of(record: RunRecord) -> Run:
    """A run as the store hands it out.

    Raises:
        StoreError: it is damaged: SQLite keeps anything in a column of texts.
    """
    for name in ("run_id", "name", "preset", "plan_text", "started_at", "version", "project_commit"):
        if not isinstance(getattr(record, name), str):
            raise StoreError(
                f"run {record.run_id!r} is damaged: its {name} is no text",
                mend="edgewright store check names all such runs",
            )
    return Run(
        run_id=record.run_id,
        name=record.name,
        preset=record.preset,
        plan_text=record.plan_text,
        started_at=record.started_at,
        finished_at=record.finished_at,
        version=record.version,
        project_commit=record.project_commit,
        is_baseline=record.is_baseline,
    )


def _storable(text: str) -> str:
    """Text any database takes: lone surrogates (undecodable arguments) and NUL are written as escapes."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8").replace("\0", "\\x00")


def _brief(error: SQLAlchemyError) -> str:
    """The database's own words, without the SQL and the link SQLAlchemy adds."""
    cause = getattr(error, "orig", None) or error
    return " ".join(str(cause).split())
