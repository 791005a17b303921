"""Results on their way out of a store and into another, raw samples and all."""

from __future__ import annotations

import gzip
import json
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import IO

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from edgewright import __version__
from edgewright.errors import ConfigError, StoreError
from edgewright.files import replacing
from edgewright.temporary import work_folder

from .database import Store, _outcome_name, _storable, run_of
from .lines import FORMAT, Line, RowLine, RunLine, read_lines, run_line
from .rowcodec import row_from_json, row_to_json
from .schema import refuse_foreign
from .shape import reading_uri
from .tables import RowRecord, RunRecord

#: Lines a transaction, so that who measures meanwhile is not kept waiting.
_CHUNK = 20
_GZIP_MAGIC, _SQLITE_MAGIC, _PARQUET_MAGIC = b"\x1f\x8b", b"SQLite format 3\0", b"PAR1"


@dataclass(frozen=True)
class Moved:
    """How much was written, or read: ``there`` is what the store had already."""

    runs: int
    rows: int
    runs_there: int = 0
    rows_there: int = 0


def export_lines(store: Store, path: Path, run_ids: Sequence[str]) -> Moved:
    """Write runs with their rows, gzipped when the name ends in ``.gz``; the file is whole or not there.

    Raises:
        StoreError: the store cannot be read, or a row of it is damaged.
        EdgewrightError: the file cannot be written.
    """
    runs = rows = 0
    with replacing(path) as temporary, _writing(temporary, path) as stream:
        head = {"edgewright": FORMAT, "generator": f"edgewright {__version__}"}
        stream.write(json.dumps(head) + "\n")
        for run_id in run_ids:
            with store._read() as session:
                record = store._record(session, run_id)
                stream.write(json.dumps({"run": asdict(run_of(record))}) + "\n")
                runs += 1
                for position, key, body in _rows_of(session, run_id):
                    store._row(run_id, position, body)
                    head_of = json.dumps({"run_id": run_id, "position": position, "key": key})
                    # The body is written as it is stored: one line of ASCII, and without loss.
                    stream.write(f'{{"row": {head_of[:-1]}, "body": {body}}}}}\n')
                    rows += 1
    return Moved(runs, rows)


def _rows_of(session: Session, run_id: str) -> Iterator[tuple[int, str, str]]:
    found = session.execute(
        select(RowRecord.position, RowRecord.key, RowRecord.body)
        .where(RowRecord.run_id == run_id)
        .order_by(RowRecord.position)
        .execution_options(yield_per=20)
    )
    return ((position, key, body) for position, key, body in found)


@contextmanager
def _writing(temporary: Path, path: Path) -> Iterator[IO[str]]:
    if path.suffix == ".gz":
        with gzip.open(temporary, "wt", encoding="ascii", compresslevel=6) as stream:
            yield stream
    else:
        with temporary.open("w", encoding="ascii") as plain:
            yield plain


def import_file(store: Store, path: Path) -> Moved:
    """Add what a file holds and the store has not: JSON lines, gzipped or not, or another store's SQLite.

    The whole file is checked first. What is there already, under the same run and position, stays; so an
    import that was cut short is gone on with by the same command. A run counts as finished once all its rows
    are in.

    Raises:
        ConfigError: the file cannot be read, or is not what it should be; the message says where.
        StoreError: a run or row differs from the one that is there, or the store cannot be written.
    """
    try:
        with path.open("rb") as stream:
            head = stream.read(len(_SQLITE_MAGIC))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    if head.startswith(_PARQUET_MAGIC):
        raise ConfigError(
            f"{path}: a Parquet table, which is for other programs", mend="export as FILE.jsonl.gz to import"
        )
    if head == _SQLITE_MAGIC:
        with _copied(path) as copy, Store.open(copy) as other:
            return _add_all(store, lambda: _lines_of(other), path)
    is_gzip = head.startswith(_GZIP_MAGIC)
    return _add_all(store, lambda: read_lines(path, is_gzip=is_gzip), path)


@contextmanager
def _copied(path: Path) -> Iterator[Path]:
    """A copy of another store, which may be upgraded; the file itself is left as it is."""
    refuse_foreign(path, whole=True)
    with work_folder("store") as folder:
        copy = folder / "store.sqlite"
        try:
            with (
                closing(sqlite3.connect(reading_uri(path), uri=True)) as source,
                closing(sqlite3.connect(copy)) as target,
            ):
                source.backup(target)
        except sqlite3.Error as error:
            raise StoreError(f"{path}: the store cannot be read: {error}") from None
        yield copy


def _lines_of(other: Store) -> Iterator[tuple[str, Line]]:
    with other._read() as session:
        for record in session.scalars(select(RunRecord).order_by(RunRecord.number)):
            yield f"run {record.run_id}", run_line(asdict(run_of(record)), f"run {record.run_id}")
            for position, key, body in _rows_of(session, record.run_id):
                row = other._row(record.run_id, position, body)
                yield f"row {position}", RowLine(record.run_id, position, key, row)


def _add_all(store: Store, lines: Callable[[], Iterator[tuple[str, Line]]], path: Path) -> Moved:
    with store._read() as session:
        run_id, keys = "", set[str]()
        for where, line in lines():
            if isinstance(line, RowLine) and line.run_id != run_id:
                raise ConfigError(f"{path}: {where}: a row of run {line.run_id!r}, which is not before it")
            if isinstance(line, RunLine):
                keys.clear()
            elif line.key in keys:
                raise ConfigError(f"{path}: {where}: a second row of the cell {line.key!r}")
            elif line.key:
                keys.add(line.key)
            run_id = line.run_id
            _is_there(session, line, f"{path}: {where}")
    adding = _Adding(store, path)
    for chunk in _chunks(lines()):
        adding.add(chunk)
    adding.end()
    return adding.moved


def _chunks(lines: Iterator[tuple[str, Line]]) -> Iterator[list[tuple[str, Line]]]:
    while chunk := list(islice(lines, _CHUNK)):
        yield chunk


class _Adding:
    """An import under way."""

    def __init__(self, store: Store, path: Path) -> None:
        self._store = store
        self._path = path
        self._run: RunLine | None = None
        self._counts = {"runs": 0, "rows": 0, "runs_there": 0, "rows_there": 0}

    @property
    def moved(self) -> Moved:
        """How much, so far."""
        return Moved(**self._counts)

    def add(self, lines: Sequence[tuple[str, Line]]) -> None:
        """Add some lines."""
        with self._store._write() as session:
            for where, line in lines:
                what = "runs" if isinstance(line, RunLine) else "rows"
                is_there = _is_there(session, line, f"{self._path}: {where}")
                self._counts[f"{what}_there" if is_there else what] += 1
                if isinstance(line, RunLine):
                    self._finish(session)
                    self._run = line
                if not is_there:
                    session.add(_run_record(line) if isinstance(line, RunLine) else _row_record(line))
                    session.flush()

    def end(self) -> None:
        """All lines are in."""
        with self._store._write() as session:
            self._finish(session)

    def _finish(self, session: Session) -> None:
        if self._run is not None and self._run.finished_at is not None:
            unfinished = (RunRecord.run_id == self._run.run_id, RunRecord.finished_at.is_(None))
            session.execute(update(RunRecord).where(*unfinished).values(finished_at=self._run.finished_at))


def _is_there(session: Session, line: Line, where: str) -> bool:
    """Whether the store has it; another one under the same name is an error."""
    if isinstance(line, RunLine):
        wanted = select(RunRecord.started_at, RunRecord.name).where(RunRecord.run_id == line.run_id)
        run = session.execute(wanted).first()
        if run is not None and tuple(run) != (line.started_at, _storable(line.name)):
            raise StoreError(f"{where}: another run is stored as {line.run_id}: {run[1]!r}")
        return run is not None
    body = session.scalar(
        select(RowRecord.body).where(RowRecord.run_id == line.run_id, RowRecord.position == line.position)
    )
    if body is None:
        other = select(RowRecord.position).where(
            RowRecord.run_id == line.run_id, RowRecord.key == _storable(line.key)
        )
        if line.key and (position := session.scalar(other)) is not None:
            raise StoreError(
                f"{where}: the cell {line.key!r} is stored as row {position} of run {line.run_id}"
            )
        return False
    new = row_to_json(line.row)
    if body != new and row_to_json(row_from_json(body)) != new:
        raise StoreError(f"{where}: another row is stored as row {line.position} of run {line.run_id}")
    return True


def _run_record(line: RunLine) -> RunRecord:
    return RunRecord(
        run_id=line.run_id,
        name=_storable(line.name),
        preset=_storable(line.preset),
        plan_text=_storable(line.plan_text),
        started_at=line.started_at,
        finished_at=None,
        version=_storable(line.version),
        request="",
        process="",
        project_commit=_storable(line.project_commit)[:80],
        is_baseline=line.is_baseline,
    )


def _row_record(line: RowLine) -> RowRecord:
    row = line.row
    return RowRecord(
        run_id=line.run_id,
        position=line.position,
        **{name: _storable(value) for name, value in vars(row.cell).items()},
        outcome=_outcome_name(row),
        started_at=_storable(row.started_at)[:40],
        body=row_to_json(row),
        key=_storable(line.key),
    )
