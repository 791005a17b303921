"""One pass over all series of a store, from which everything but single rows is told."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from edgewright.history.document import MissingCell, Worse, missing_document, series_document, worse_document
from edgewright.history.findings import RECENT, Regression, has_level, missing_in, worse_in
from edgewright.history.series import Judged, judge
from edgewright.report.figures import figures_of
from edgewright.store import Boards, Run, Store
from edgewright.store.figures import SeriesKey
from edgewright.store.nights import Ended, ended, newest_row
from edgewright.store.points import (
    History,
    Point,
    all_runs,
    derive_missing,
    histories,
    points_of,
    series_count,
)

from .judging import Known, judge_all
from .names import series_slug
from .snapshot import Cell, CellView, DeviceView, Mark, Night, SeriesView, Snapshot, state_of

#: Runs begun so long before the newest of all are not of last night any more.
_NIGHT = timedelta(hours=30)
#: So many names of runs are judged at most.
_MOST_NIGHTS = 20
_EPOCH = datetime.fromtimestamp(0, UTC)
#: So many values a series' small curve has.
_RECENT_VALUES = 40

Sink = Callable[[Judged, SeriesView], None]


def gather(store: Store, threshold: float, sink: Sink | None = None, known: Known | None = None) -> Snapshot:
    """Read a store; figures that are missing are derived first.

    Args:
        store: to read.
        threshold: the relative difference that must be told.
        sink: is handed every series with all its points, which nobody keeps afterwards.
        known: the changes that were found before with this threshold; grows.

    Raises:
        StoreError: the store cannot be read, or a row of it is damaged.
    """
    derive_missing(store, figures_of)
    return _Pass(store, threshold).run(sink, known or Known())


@dataclass
class _Sums:
    """What a run says of a device, so far."""

    celsius: float = -math.inf
    log_pace: float = 0.0
    paced: int = 0
    states: Counter[str] = field(default_factory=Counter)


@dataclass
class _Tally:
    """What is found of the newest run of a name, series by series."""

    run: Run
    judged: int = 0
    young: int = 0
    again: int = 0
    worse: list[Worse] = field(default_factory=list)
    suspects: list[Worse] = field(default_factory=list)
    better: list[Worse] = field(default_factory=list)

    def add(self, one: Judged, threshold: float) -> None:
        """Take in a series that has a point of the run; what came after the run is left out."""
        points = one.history.points
        if points[-1].run_started_at > self.run.started_at:
            until = tuple(p for p in points if p.run_started_at <= self.run.started_at)
            one = judge(History(one.history.series, until), one.quantity, threshold=threshold)
        if has_level(one):
            self.judged += 1
        elif one.points:
            self.young += 1
        self.again += max(0, sum(point.run_id == self.run.run_id for point in one.points) - 1)
        for found in worse_in(one, self.run):
            (self.worse if found.change.is_certain else self.suspects).append(worse_document(found))
        changes = one.course.changes
        if changes and one.points[-1].run_id == self.run.run_id and changes[-1].is_certain:
            is_recent = len(one.points) - changes[-1].index <= RECENT
            if changes[-1].ratio < 1 and is_recent:
                self.better.append(worse_document(Regression(one, changes[-1])))


class _Pass:
    """A pass under way."""

    def __init__(self, store: Store, threshold: float) -> None:
        self._store = store
        self._threshold = threshold
        self._newest_row = newest_row(store)
        runs = all_runs(store)[::-1]
        self._runs = {run.run_id: run for run in runs}
        newest = {run.name: run for run in reversed(runs)}
        since = max(map(_began, runs), default=_EPOCH) - _NIGHT
        tonight = [run for run in newest.values() if _began(run) > since]
        tonight = sorted(tonight, key=lambda run: run.started_at, reverse=True)[:_MOST_NIGHTS]
        self._tallies = {run.run_id: _Tally(run) for run in tonight}
        self._other_runs = [run for run in newest.values() if run.run_id not in self._tallies]
        self._sums: dict[str, dict[str, _Sums]] = defaultdict(lambda: defaultdict(_Sums))
        self._cells: dict[Cell, tuple[Point, str]] = {}
        self._unmeasured: dict[Cell, Point] = {}
        self._series: list[SeriesView] = []
        self._keys: dict[str, SeriesKey] = {}

    def run(self, sink: Sink | None, known: Known) -> Snapshot:
        """Everything."""
        self._note_unmeasured()
        measured = self._measured(histories(self._store))
        for one in judge_all(measured, self._threshold, known, expected=series_count(self._store)):
            view = self._view(one)
            self._series.append(view)
            self._paces(one)
            for run_id in {point.run_id for point in one.history.points} & self._tallies.keys():
                self._tallies[run_id].add(one, self._threshold)
            if sink is not None:
                sink(one, view)
        self._series.sort(key=lambda view: view.name)
        cells = self._cell_views()
        every = ended_by(self._sums, self._runs)
        marked = {one.run.run_id: one.slower for one in ended(self._store, self._newest())}
        runs = tuple(
            Ended(run, every.get(run_id, {}), marked.get(run_id, 0)) for run_id, run in self._runs.items()
        )
        by_id = {one.run.run_id: one for one in runs}
        return Snapshot(
            taken_at=datetime.now(UTC).isoformat(timespec="seconds"),
            newest_row=self._newest_row,
            series=tuple(self._series),
            keys=self._keys,
            cells=cells,
            devices=self._devices(cells),
            nights=tuple(self._night(tally, by_id) for tally in self._tallies.values()),
            others=tuple(by_id[run.run_id] for run in self._other_runs),
            runs=runs,
            threshold=self._threshold,
        )

    def _newest(self) -> list[Run]:
        return [tally.run for tally in self._tallies.values()]

    def _note_unmeasured(self) -> None:
        """The newest failed or skipped row of each cell: it is of no series that was measured."""
        for history in histories(self._store, [("threads", "")]):
            last = history.points[-1]
            known = self._unmeasured.get(history.series.cell)
            if last.outcome != "measured" and (known is None or _order(known) < _order(last)):
                self._unmeasured[history.series.cell] = last

    def _view(self, one: Judged) -> SeriesView:
        last, cell = one.history.points[-1], one.history.series.cell
        return SeriesView(
            document=series_document(one),
            cell=cell,
            last=max(last, self._unmeasured.get(cell, last), key=_order),
            good=one.points[-1] if one.points else None,
            recent=tuple(one.value(point) for point in one.points[-_RECENT_VALUES:]),
        )

    def _measured(self, found: Iterator[History]) -> Iterator[History]:
        """Those with a measured point; all are counted."""
        for history in found:
            by_run, cell = self._sums[history.series.device], history.series.cell
            self._keys[series_slug(history.series.series_id)] = history.series
            for point in history.points:
                sums = by_run[point.run_id]
                sums.states[state_of(point)] += 1
                if point.start_celsius is not None and point.start_celsius > sums.celsius:
                    sums.celsius = point.start_celsius
            last = history.points[-1]
            known = self._cells.get(cell)
            if known is None or _order(known[0]) < _order(last):
                self._cells[cell] = last, history.series.profile
            if any(point.outcome == "measured" for point in history.points):
                yield history

    def _paces(self, one: Judged) -> None:
        if not one.points:
            return
        usual = math.log(one.level(0, len(one.points)))
        by_run = self._sums[one.history.series.device]
        for point in one.points:
            sums = by_run[point.run_id]
            sums.log_pace += math.log(one.value(point)) - usual
            sums.paced += 1

    def _cell_views(self) -> tuple[CellView, ...]:
        """Of the series of one cell, the one that was measured last goes on."""
        newest: dict[Cell, SeriesView] = {}
        for view in self._series:
            known = newest.get(view.cell)
            if known is None or _order(known.last) < _order(view.last):
                newest[view.cell] = view
        found = sorted(self._cells.items())
        return tuple(CellView(cell, last, newest.get(cell)) for cell, (last, _) in found)

    def _devices(self, cells: tuple[CellView, ...]) -> tuple[DeviceView, ...]:
        boards = defaultdict(list)
        for board in Boards(self._store).all():
            boards[board.name].append(board)
        of_series, of_cells = defaultdict(list), defaultdict(list)
        for view in self._series:
            of_series[view.document.series.device].append(view)
        for cell in cells:
            of_cells[cell.cell[2]].append(cell)
        profiles = {cell[2]: profile for cell, (_, profile) in self._cells.items()}
        return tuple(
            DeviceView(
                name=device,
                profile=profiles.get(device, ""),
                units=tuple(dict.fromkeys(view.document.series.unit for view in of_series[device])),
                boards=tuple(boards.get(device, ())),
                marks=tuple(self._marks(self._sums[device])),
                series=tuple(of_series[device]),
                cells=tuple(of_cells[device]),
            )
            for device in sorted({*self._sums, *boards})
        )

    def _marks(self, by_run: Mapping[str, _Sums]) -> Iterator[Mark]:
        for run_id, run in reversed(self._runs.items()):
            if run_id in by_run:
                sums = by_run[run_id]
                pace = math.exp(sums.log_pace / sums.paced) if sums.paced else None
                celsius = sums.celsius if math.isfinite(sums.celsius) else None
                yield Mark(run, celsius, pace, dict(sums.states))

    def _night(self, tally: _Tally, by_id: Mapping[str, Ended]) -> Night:
        run = tally.run
        found = missing_in(self._store, run, points_of(self._store, [run.run_id]))
        missing: list[MissingCell] = []
        unknown: list[MissingCell] = []
        for one in found:
            (unknown if one.is_unknown else missing).append(missing_document(one))
        same_name = (other for other in self._runs.values() if other.name == run.name)
        return Night(
            ended=by_id[run.run_id],
            before=next((other for other in same_name if other.started_at < run.started_at), None),
            judged=tally.judged,
            young=tally.young,
            again=tally.again,
            worse=tuple(sorted(tally.worse, key=lambda one: -one.change.ratio)),
            suspects=tuple(sorted(tally.suspects, key=lambda one: -one.change.ratio)),
            better=tuple(sorted(tally.better, key=lambda one: one.change.ratio)),
            missing=tuple(missing),
            unknown=tuple(unknown),
        )


def ended_by(sums: Mapping[str, Mapping[str, _Sums]], runs: Mapping[str, Run]) -> dict[str, Counter[str]]:
    """How the rows of each run ended, over all devices."""
    found: dict[str, Counter[str]] = {run_id: Counter() for run_id in runs}
    for by_run in sums.values():
        for run_id, one in by_run.items():
            if run_id in found:
                found[run_id].update(one.states)
    return found


def _order(point: Point) -> tuple[str, int]:
    return point.run_started_at, point.row_number


def _began(run: Run) -> datetime:
    try:
        began = datetime.fromisoformat(run.started_at)
    except ValueError:
        return _EPOCH  # a run whose age is not known is not of last night
    return began if began.tzinfo else began.replace(tzinfo=UTC)
