"""What overviews and histories ask of a row: its series and a handful of figures, kept beside it as a cache.

The figures are derived by :func:`edgewright.report.figures.figures_of`, which is handed in where it is
needed, for the store knows nothing of statistics.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from edgewright.row import Row

from .tables import FiguresRecord, RowRecord, SeriesRecord

#: Changes whenever the same row would give other figures; those of older rules are derived again.
RULES = 1
#: Rows whose bodies are read, and whose figures are written, at a time.
_BATCH = 50


@dataclass(frozen=True)
class SeriesKey:
    """What must be alike for rows to form a series. What is blamed for a change is not in it: versions.

    Attributes:
        unit: the board, as it calls itself, and its serial number where it tells one.
        provider: the execution providers, in order; empty, like ``threads`` and ``conditions``, for a row
            that was not measured.
        scenario: with its rate and number of streams, where it has them.
        conditions: power mode and governor.
    """

    workload: str
    recipe: str
    device: str
    profile: str
    unit: str
    runtime: str
    provider: str
    threads: str
    scenario: str
    preset: str
    conditions: str

    @property
    def series_id(self) -> str:
        """The same for the same key, on every machine."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:32]

    @property
    def cell(self) -> tuple[str, ...]:
        """What is known of it before it is measured."""
        return (self.workload, self.recipe, self.device, self.runtime, self.scenario.partition(" ")[0])


@dataclass(frozen=True)
class Figures:
    """A row in a line. None is what was not measured; ``verdict`` is None unless it was measured.

    Attributes:
        p50_ns, p50_low_ns, p50_high_ns: the median and its 95 % interval.
        peak_bytes: the worker's highest resident set.
        energy_mj: gross, per inference.
        start_celsius: the hottest sensor before the first launch.
        sha256: of the file that ran; empty where there is none, as the texts that follow are.
        system: operating system and C library, in the device's words.
        code, reason: why it was not measured.
    """

    series: SeriesKey
    outcome: str
    verdict: str | None = None
    p50_ns: float | None = None
    p50_low_ns: float | None = None
    p50_high_ns: float | None = None
    p90_ns: float | None = None
    peak_bytes: int | None = None
    size_bytes: int | None = None
    energy_mj: float | None = None
    quality: float | None = None
    start_celsius: float | None = None
    sha256: str = ""
    runtime_version: str = ""
    system: str = ""
    code: str = ""
    reason: str = ""


T = TypeVar("T")

Derive = Callable[[Row], Figures]


def put_figures(session: Session, row: RowRecord, figures: Figures) -> None:
    """Keep the figures of a row that has its number, in place of any there were."""
    values = _columns(figures)
    series_id = values["series_id"]
    if session.get(SeriesRecord, series_id) is None:
        session.merge(SeriesRecord(series_id=series_id, **asdict(figures.series)))
        session.flush()
    session.merge(
        FiguresRecord(row_number=row.number, run_id=row.run_id, position=row.position, rules=RULES, **values)
    )


def outdated(session: Session) -> Sequence[int]:
    """The numbers of the rows that have no figures, or those of older rules."""
    total = session.scalar(select(func.count()).select_from(RowRecord))
    current = session.scalar(
        select(func.count()).select_from(FiguresRecord).where(FiguresRecord.rules == RULES)
    )
    if total == current:
        return ()
    known = select(FiguresRecord.row_number).where(FiguresRecord.rules == RULES)
    return session.scalars(
        select(RowRecord.number).where(RowRecord.number.not_in(known)).order_by(RowRecord.number)
    ).all()


def batches(items: Sequence[T]) -> Iterator[Sequence[T]]:
    """So many rows as may be held in memory at a time."""
    return (items[start : start + _BATCH] for start in range(0, len(items), _BATCH))


def forget_unused_series(session: Session) -> None:
    """Drop the series that no row is of any more."""
    used = select(FiguresRecord.series_id)
    session.execute(delete(SeriesRecord).where(SeriesRecord.series_id.not_in(used)))


def differing(figures: Figures, record: FiguresRecord) -> list[str]:
    """The columns of a record that are not what the row gives."""
    return [name for name, value in _columns(figures).items() if not _same(getattr(record, name), value)]


def _columns(figures: Figures) -> dict[str, Any]:
    values = {name: value for name, value in vars(figures).items() if name != "series"}
    return {"series_id": figures.series.series_id, **values}


def _same(stored: object, derived: object) -> bool:
    """Databases keep the double as it is, numpy's sums may differ in the last bits between processors."""
    if isinstance(stored, float) and isinstance(derived, float):
        return abs(stored - derived) <= 1e-9 * max(abs(stored), abs(derived))
    return stored == derived
