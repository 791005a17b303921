"""The history of each series, one point a row, read without the rows' bodies."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import translate
from itertools import groupby
from operator import itemgetter
from re import compile as pattern
from typing import Any

from sqlalchemy import ColumnElement, Select, func, select

from edgewright.errors import StoreError

from .database import Store, run_of
from .figures import Derive, SeriesKey, batches, outdated, put_figures
from .records import Run
from .tables import FiguresRecord, RowRecord, RunRecord, SeriesRecord

#: What a series can be asked for by.
FIELDS = tuple(SeriesKey.__dataclass_fields__)
_BATCH = 2000


@dataclass(frozen=True)
class Point:
    """A row in its series: its :class:`~edgewright.store.figures.Figures`, and what is known of its run."""

    row_number: int
    position: int
    run_id: str
    run_name: str
    run_started_at: str
    version: str
    project_commit: str
    outcome: str
    verdict: str | None
    p50_ns: float | None
    p50_low_ns: float | None
    p50_high_ns: float | None
    p90_ns: float | None
    peak_bytes: int | None
    size_bytes: int | None
    energy_mj: float | None
    quality: float | None
    start_celsius: float | None
    sha256: str
    runtime_version: str
    system: str
    code: str
    reason: str


@dataclass(frozen=True)
class History:
    """A series and its points, the oldest run first."""

    series: SeriesKey
    points: tuple[Point, ...]


def derive_missing(store: Store, derive: Derive) -> int:
    """Derive the figures of all rows that have none, or those of older rules; how many there were.

    Raises:
        StoreError: a row is damaged, or the store cannot be written.
    """
    with store._read() as session:
        numbers = outdated(session)
    for batch in batches(numbers):
        with store._write() as session:
            for record in session.scalars(select(RowRecord).where(RowRecord.number.in_(batch))):
                try:
                    row = store._row(record.run_id, record.position, record.body)
                except StoreError as error:
                    raise StoreError(
                        error.message, mend="edgewright store check names all such rows"
                    ) from None
                put_figures(session, record, derive(row))
    return len(numbers)


def histories(
    store: Store,
    wanted: Sequence[tuple[str, str]] = (),
    *,
    series_ids: Sequence[str] | None = None,
    until: str = "",
) -> Iterator[History]:
    """Every series, or those asked for, with all points; only figures are read, a few thousand at a time.

    Args:
        wanted: pairs of a field of :data:`FIELDS` and a pattern (``*``, ``?``) which all must hold.
        series_ids: only of these; None for all.
        until: only runs that began then or before, ISO 8601 in UTC.

    Raises:
        StoreError: the store cannot be read.
    """
    keys = _series(store, wanted)
    if series_ids is not None:
        keys = {series_id: keys[series_id] for series_id in series_ids if series_id in keys}
    everything = not wanted and series_ids is None
    chosen = [()] if everything else batches(sorted(keys))
    for part in chosen:
        conditions: list[ColumnElement[bool]] = [FiguresRecord.series_id.in_(part)] if part else []
        conditions += [RunRecord.started_at <= until] if until else []
        with store._read() as session:
            found = session.execute(_points(conditions).execution_options(yield_per=_BATCH))
            for series_id, group in groupby(found, key=itemgetter(0)):
                points = [Point(*row[1:]) for row in group]
                points.sort(key=lambda point: (point.run_started_at, point.row_number))
                yield History(keys[series_id], tuple(points))


def _series(store: Store, wanted: Sequence[tuple[str, str]]) -> dict[str, SeriesKey]:
    patterns = [(field, pattern(translate(text))) for field, text in wanted]
    with store._read() as session:
        columns = [getattr(SeriesRecord, name) for name in FIELDS]
        found = {
            row[0]: SeriesKey(*row[1:]) for row in session.execute(select(SeriesRecord.series_id, *columns))
        }
    return {
        series_id: key
        for series_id, key in found.items()
        if all(text.match(getattr(key, field)) for field, text in patterns)
    }


def _points(conditions: Sequence[ColumnElement[bool]]) -> Select[*tuple[Any, ...]]:
    figures = FiguresRecord
    return (
        select(
            figures.series_id,
            figures.row_number,
            figures.position,
            figures.run_id,
            RunRecord.name,
            RunRecord.started_at,
            RunRecord.version,
            RunRecord.project_commit,
            figures.outcome,
            figures.verdict,
            figures.p50_ns,
            figures.p50_low_ns,
            figures.p50_high_ns,
            figures.p90_ns,
            figures.peak_bytes,
            figures.size_bytes,
            figures.energy_mj,
            figures.quality,
            figures.start_celsius,
            figures.sha256,
            figures.runtime_version,
            figures.system,
            figures.code,
            figures.reason,
        )
        .join(RunRecord, RunRecord.run_id == figures.run_id)
        .where(*conditions)
        .order_by(figures.series_id, figures.row_number)
    )


def find_run(store: Store, run_id: str | None = None) -> Run:
    """A run by its id or the beginning of it; without one, the run that was begun last.

    Raises:
        ConfigError: there is no such run, or none at all, or several.
    """
    with store._read() as session:
        if run_id is not None:
            return run_of(store._record(session, run_id, prefix=True))
        newest = select(RunRecord).order_by(RunRecord.started_at.desc(), RunRecord.number.desc()).limit(1)
        return run_of(session.scalars(newest).first() or store._latest(session))


def runs_before(store: Store, run: Run, count: int) -> tuple[Run, ...]:
    """The runs of the same name that were begun before, the latest first."""
    with store._read() as session:
        found = session.scalars(
            select(RunRecord)
            .where(RunRecord.name == run.name, RunRecord.started_at < run.started_at)
            .order_by(RunRecord.started_at.desc(), RunRecord.number.desc())
            .limit(count)
        )
        return tuple(run_of(record) for record in found)


def series_count(store: Store) -> int:
    """How many series there are."""
    with store._read() as session:
        return session.scalar(select(func.count()).select_from(SeriesRecord)) or 0


def points_of(store: Store, run_ids: Sequence[str]) -> list[tuple[SeriesKey, Point]]:
    """Every row of some runs as a point, with its series."""
    keys = _series(store, ())
    with store._read() as session:
        found = session.execute(_points([FiguresRecord.run_id.in_(run_ids)]))
        return [(keys[row[0]], Point(*row[1:])) for row in found]


def run_points(store: Store, run_id: str) -> list[tuple[str, Point]]:
    """Every row of a run as a point, by the id of its series, in the order of the rows."""
    with store._read() as session:
        found = session.execute(_points([FiguresRecord.run_id == run_id]))
        points = [(row[0], Point(*row[1:])) for row in found]
    return sorted(points, key=lambda pair: pair[1].position)


def all_runs(store: Store) -> tuple[Run, ...]:
    """Every run, the oldest first; without their rows, and without counting them."""
    with store._read() as session:
        order = select(RunRecord).order_by(RunRecord.started_at, RunRecord.number)
        return tuple(run_of(record) for record in session.scalars(order))
