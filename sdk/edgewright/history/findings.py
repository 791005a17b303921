"""What is wrong with a run, seen in the light of those before it.

A regression is reported when it is certain; one that begins to show is a suspect, to be measured again
first. A cell that used to be measured and was not is a finding of its own: no data is no good news.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from edgewright.report.figures import figures_of
from edgewright.store import Run, Store
from edgewright.store.figures import SeriesKey
from edgewright.store.points import Point, derive_missing, find_run, histories, points_of, runs_before

from .changes import THRESHOLD, Change
from .series import Judged, counts, judge

#: A regression is one of the run's for so many measurements; after that it is the series' new level.
RECENT = 7
#: A cell is missing when one of so many runs before, of the same name, measured it.
LOOK_BACK = 3
#: How often a suspect is to be measured again: with the first, that makes a change certain or refutes it.
AGAIN = 2


@dataclass(frozen=True)
class Fact:
    """Something that differs between the last good measurement and the first bad one; empty is not known."""

    name: str
    good: str
    bad: str


@dataclass(frozen=True)
class Regression:
    """A series that got worse with ``change``, the last of its changes."""

    judged: Judged
    change: Change

    @property
    def series(self) -> SeriesKey:
        """Of what."""
        return self.judged.history.series


@dataclass(frozen=True)
class Missing:
    """A cell that was measured before. ``kind`` is what it is now; ``last`` is when it still was."""

    series: SeriesKey
    kind: str
    reason: str
    last: Point

    @property
    def is_unknown(self) -> bool:
        """Whether it was measured after all, but so that nothing can be said of it."""
        return self.kind in _UNKNOWN


@dataclass(frozen=True)
class Findings:
    """What a run shows.

    Attributes:
        judged: how many series have a level to be held against.
        young: how many have too few measurements yet.
        regressions: certain ones.
        suspects: to be measured :data:`AGAIN` times before they are believed.
        missing: measured before, and not in this run.
        unknown: measured, but not valid, or under other conditions than before, so that nothing can be said.
    """

    run: Run
    judged: int
    young: int
    regressions: tuple[Regression, ...]
    suspects: tuple[Regression, ...]
    missing: tuple[Missing, ...]
    unknown: tuple[Missing, ...]

    @property
    def is_bad(self) -> bool:
        """Whether a build should fail for it."""
        return bool(self.regressions or self.missing)


def find_regressions(
    store: Store,
    run_id: str | None = None,
    *,
    quantities: Sequence[str] = ("latency",),
    threshold: float = THRESHOLD,
    recent: int = RECENT,
) -> Findings:
    """Hold every series of a run against its own past; what came after the run is left out.

    Args:
        store: with the runs before it.
        run_id: of the run, or the beginning of it; None for the latest.
        quantities: of :data:`~edgewright.history.series.QUANTITIES`.
        threshold: the relative difference that must be told.
        recent: for how many measurements a regression is reported.

    Raises:
        ConfigError: no such run.
        StoreError: the store cannot be read, or a row of it is damaged.
    """
    run = find_run(store, run_id)
    derive_missing(store, figures_of)
    present = points_of(store, [run.run_id])
    ids = sorted({series.series_id for series, point in present if counts(point)})
    found: list[Regression] = []
    old = young = 0
    for history in histories(store, series_ids=ids, until=run.started_at):
        for quantity in quantities:
            one = judge(history, quantity, threshold=threshold)
            if has_level(one):
                old += 1
            elif one.points:
                young += 1
            found += worse_in(one, run, recent)
    missing = list(missing_in(store, run, present))
    return Findings(
        run=run,
        judged=old,
        young=young,
        regressions=tuple(one for one in found if one.change.is_certain),
        suspects=tuple(one for one in found if not one.change.is_certain),
        missing=tuple(one for one in missing if not one.is_unknown),
        unknown=tuple(one for one in missing if one.is_unknown),
    )


#: With as many measurements or fewer there is no level to hold another against.
_FEWEST = 5
_NOT_VALID, _OTHERWISE = "not valid", "measured otherwise"
_UNKNOWN = (_NOT_VALID, _OTHERWISE)


def has_level(one: Judged) -> bool:
    """Whether a series has enough measurements for one of them to be held against the others."""
    return len(one.points) > _FEWEST


def worse_in(one: Judged, run: Run, recent: int = RECENT) -> Iterator[Regression]:
    """The regression at the end of a series, when its last measurement is of the run."""
    changes = one.course.changes
    if not changes or one.points[-1].run_id != run.run_id:
        return
    if changes[-1].ratio > 1 and len(one.points) - changes[-1].index <= recent:
        yield Regression(one, changes[-1])


#: What a point tells that can be to blame for a change.
_BLAMED = {
    "project commit": "project_commit",
    "model file": "sha256",
    "edgewright": "version",
    "runtime version": "runtime_version",
    "system": "system",
}


def differing(good: Point, bad: Point) -> tuple[Fact, ...]:
    """What differs between two measurements besides the time."""
    facts = (Fact(name, getattr(good, column), getattr(bad, column)) for name, column in _BLAMED.items())
    return tuple(fact for fact in facts if fact.good != fact.bad)


def missing_in(store: Store, run: Run, present: Sequence[tuple[SeriesKey, Point]]) -> Iterator[Missing]:
    """Cells of earlier runs without a valid row now, and series that a cell does not go on with."""
    earlier = points_of(store, [one.run_id for one in runs_before(store, run, LOOK_BACK)])
    valid = {series.cell: series for series, point in present if counts(point)}
    known = {series for series, point in present if counts(point)}
    seen: set[tuple[str, ...]] = set()
    for series, last in sorted(earlier, key=lambda pair: pair[1].run_started_at, reverse=True):
        if not counts(last) or series in known or series.cell in seen:
            continue
        seen.add(series.cell)
        if series.cell in valid:
            yield Missing(series, _OTHERWISE, _otherwise(series, valid[series.cell]), last)
        else:
            kind, reason = _state([point for other, point in present if other.cell == series.cell], run)
            yield Missing(series, kind, reason, last)


def _otherwise(before: SeriesKey, now: SeriesKey) -> str:
    old, new = vars(before), vars(now)
    return "; ".join(
        f"{name} was {old[name] or 'not known'}, is {new[name] or 'not known'}"
        for name in old
        if old[name] != new[name]
    )


def _state(now: Sequence[Point], run: Run) -> tuple[str, str]:
    if not now:
        unfinished = "" if run.finished_at else ": the run has not finished"
        return "absent", f"no row of it{unfinished}"
    point = now[-1]
    if point.outcome == "measured":
        return _NOT_VALID, f"its verdict is {point.verdict}"
    return point.outcome, point.reason
