"""All that pages are made of, but for the rows of a run and the points of a series."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from edgewright.history.document import MissingCell, SeriesHistory, Worse
from edgewright.history.words import name
from edgewright.report.text import clean
from edgewright.store import BoardState, Run
from edgewright.store.figures import SeriesKey
from edgewright.store.nights import Ended
from edgewright.store.points import Point

from .names import run_slug, series_slug, slug

#: What becomes of a row, as pages and their scripts call it.
FAILED, SKIPPED, VALID, EMULATED = "failed", "skipped", "valid", "emulated"
Cell = tuple[str, ...]


def state_of(point: Point) -> str:
    """The verdict of a measured row, the outcome of another."""
    return _shown(point.verdict or point.outcome)


@lru_cache(maxsize=256)
def _shown(state: str) -> str:
    return clean(state, 40)


def latency_ns(point: Point | None) -> float | None:
    """The median; None for one of an emulated processor, which says nothing of a board."""
    return None if point is None or point.verdict == EMULATED else point.p50_ns


@dataclass(frozen=True)
class SeriesView:
    """A series and its changes.

    Attributes:
        last: the newest row of its cell, which was perhaps not measured.
        good: its newest row that counts.
        recent: the newest values that count, in nanoseconds.
    """

    document: SeriesHistory
    cell: Cell
    last: Point
    good: Point | None
    recent: tuple[float, ...]

    @property
    def slug(self) -> str:
        """Its name in addresses."""
        return series_slug(self.document.series.id)

    @property
    def name(self) -> str:
        """What tells it from others at a glance."""
        return name(self.document.series)


@dataclass(frozen=True)
class CellView:
    """A cell of the matrix: the newest row of it, and the series that goes on with it, if it has one."""

    cell: Cell
    last: Point
    series: SeriesView | None


@dataclass(frozen=True)
class Mark:
    """What a run says of a device.

    Attributes:
        celsius: the hottest start of a row; None where no sensor told.
        pace: how long its valid rows took, as a multiple of what each usually takes; the geometric mean.
        states: of its rows.
    """

    run: Run
    celsius: float | None
    pace: float | None
    states: Mapping[str, int]


@dataclass(frozen=True)
class DeviceView:
    """A device: what it called itself, how it is, and how it did from run to run, the oldest first."""

    name: str
    profile: str
    units: tuple[str, ...]
    boards: tuple[BoardState, ...]
    marks: tuple[Mark, ...]
    series: tuple[SeriesView, ...]
    cells: tuple[CellView, ...]

    @property
    def slug(self) -> str:
        """Its name in addresses."""
        return slug(self.name)

    @property
    def quarantined(self) -> BoardState | None:
        """The board that is set aside, if one is."""
        return next((board for board in self.boards if board.is_quarantined), None)

    @property
    def status(self) -> str:
        """In a word or two."""
        if self.quarantined:
            return "quarantined"
        checked = [board for board in self.boards if board.is_healthy is not None]
        if not checked:
            return "not checked"
        return "well" if all(board.is_healthy for board in checked) else "not well"


@dataclass(frozen=True)
class Night:
    """The newest run of a name, and what it changed.

    Attributes:
        before: the run of that name before it.
        judged, young: series that have a level to be held against, and those that have none yet.
        again: valid rows besides the first of their cell: it was measured again, to be sure.
        worse, suspects, better: the worst, or best, first.
    """

    ended: Ended
    before: Run | None
    judged: int
    young: int
    again: int
    worse: tuple[Worse, ...]
    suspects: tuple[Worse, ...]
    better: tuple[Worse, ...]
    missing: tuple[MissingCell, ...]
    unknown: tuple[MissingCell, ...]

    @property
    def verdict(self) -> str:
        """Bad when anything is worse, missing or failed, unknown when that cannot be said, else good."""
        if self.red or self.ended.slower:
            return "bad"
        says_nothing = not self.judged or self.unsure or self.suspects
        return "unknown" if says_nothing or not self.ended.run.finished_at else "good"

    @property
    def red(self) -> int:
        """Cells that are worse, failed or missing."""
        gone = sum(one.state != FAILED for one in self.missing)
        return len(self.worse) + self.ended.states.get(FAILED, 0) + gone

    @property
    def green(self) -> int:
        """Cells that are valid, and neither worse nor suspect."""
        valid = self.ended.states.get(VALID, 0) - self.again
        return max(0, valid - len(self.worse) - len(self.suspects))

    @property
    def skipped(self) -> int:
        """Cells that cannot be."""
        return self.ended.states.get(SKIPPED, 0)

    @property
    def unsure(self) -> int:
        """Rows of which nothing can be said: not valid, or suspect."""
        measured = self.ended.rows - self.ended.states.get(FAILED, 0) - self.skipped - self.again
        return max(0, measured - len(self.worse) - self.green)


@dataclass(frozen=True)
class Snapshot:
    """The store at one moment.

    Attributes:
        taken_at: ISO 8601 in UTC.
        newest_row: the number of the row that was added last.
        series: those that were ever measured, by name.
        keys: of these and of all others, by the name in addresses.
        nights: the newest run of each name, begun within a day of the newest of all.
        others: the newest run of each other name.
        runs: every run, the newest first.
        threshold: the relative difference that must be told.
    """

    taken_at: str
    newest_row: int
    series: tuple[SeriesView, ...]
    keys: Mapping[str, SeriesKey]
    cells: tuple[CellView, ...]
    devices: tuple[DeviceView, ...]
    nights: tuple[Night, ...]
    others: tuple[Ended, ...]
    runs: tuple[Ended, ...]
    threshold: float

    def run(self, run_slug_: str) -> Ended | None:
        """The run that an address names."""
        return next((one for one in self.runs if run_slug(one.run.run_id) == run_slug_), None)
