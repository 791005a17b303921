"""What ``edgewright history`` and ``regressions`` found, as data: described in docs/regressions.md."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import astuple, dataclass
from typing import Literal

from pydantic import Field

from edgewright import __version__
from edgewright.report.contract import Contract
from edgewright.report.text import clean
from edgewright.store.figures import SeriesKey
from edgewright.store.points import Point

from .changes import Change
from .findings import AGAIN, Fact, Findings, Missing, Regression, differing
from .series import Judged


@dataclass(frozen=True)
class Series(SeriesKey):
    """What must be alike for measurements to form a series; ``id`` is made from the rest."""

    id: str


class Measurement(Contract):
    """One measurement: its run, and the row's place in it; texts are empty where nothing is known."""

    run: str
    position: int
    started_at: str
    project_commit: str
    edgewright: str
    runtime_version: str
    system: str
    model_sha256: str
    value: float | None


class Difference(Contract):
    """A fact that is not the same before and after a change."""

    fact: str
    good: str
    bad: str


class ChangePoint(Contract):
    """A change of level: ``ratio`` is the new over the old, within ``interval`` with 99 % confidence."""

    ratio: float
    interval: tuple[float, float]
    before: float
    after: float
    last_good: Measurement
    first_bad: Measurement
    differing: list[Difference]
    measurements: int
    is_certain: bool


class SeriesHistory(Contract):
    """A series; ``noise`` is the standard deviation of one measurement as a share, ``level`` the newest."""

    series: Series
    quantity: str
    unit: str
    rows: int
    measurements: int
    level: float | None
    noise: float
    changes: list[ChangePoint]


class HistoryDocument(Contract):
    """What ``history --json`` writes."""

    schema_: Literal["edgewright.history/1"] = Field(alias="schema")
    generator: str
    threshold: float
    series: list[SeriesHistory]


class Worse(Contract):
    """A series that got worse."""

    series: Series
    quantity: str
    unit: str
    noise: float
    change: ChangePoint


class MissingCell(Contract):
    """A cell that was measured before; ``state`` is what it is in this run."""

    series: Series
    state: str
    reason: str
    last: Measurement


class Suspect(Contract):
    """A series that seems to get worse; it is to be measured ``again`` times before that is believed."""

    worse: Worse
    again: int


class RegressionsDocument(Contract):
    """What ``regressions --json`` writes. ``verdict`` is bad when there is a regression or a missing cell."""

    schema_: Literal["edgewright.regressions/1"] = Field(alias="schema")
    generator: str
    verdict: Literal["good", "bad", "unknown"]
    run: str
    run_name: str
    started_at: str
    project_commit: str
    is_finished: bool
    threshold: float
    series_judged: int
    series_too_young: int
    regressions: list[Worse]
    suspects: list[Suspect]
    missing: list[MissingCell]
    unknown: list[MissingCell]


UNITS = {"latency": "ns", "memory": "bytes", "energy": "mJ", "size": "bytes"}


def history_document(found: Iterable[Judged], threshold: float) -> HistoryDocument:
    """Every series with its changes, by name."""
    series = sorted((series_document(one) for one in found), key=lambda one: astuple(one.series))
    return HistoryDocument(
        schema="edgewright.history/1", generator=_GENERATOR, threshold=threshold, series=series
    )


def regressions_document(found: Findings, threshold: float) -> RegressionsDocument:
    """What a run shows."""
    says_nothing = not found.judged or bool(found.unknown) or bool(found.suspects)
    return RegressionsDocument(
        schema="edgewright.regressions/1",
        generator=_GENERATOR,
        verdict="bad" if found.is_bad else "unknown" if says_nothing else "good",
        run=clean(found.run.run_id),
        run_name=clean(found.run.name),
        started_at=clean(found.run.started_at),
        project_commit=clean(found.run.project_commit),
        is_finished=found.run.finished_at is not None,
        threshold=threshold,
        series_judged=found.judged,
        series_too_young=found.young,
        regressions=[worse_document(one) for one in found.regressions],
        suspects=[Suspect(worse=worse_document(one), again=AGAIN) for one in found.suspects],
        missing=[missing_document(one) for one in found.missing],
        unknown=[missing_document(one) for one in found.unknown],
    )


_GENERATOR = f"edgewright {__version__}"


def series_document(one: Judged) -> SeriesHistory:
    """A series with its changes, as data."""
    changes = one.course.changes
    last = changes[-1].index if changes else 0
    return SeriesHistory(
        series=_series(one.history.series),
        quantity=one.quantity,
        unit=UNITS[one.quantity],
        rows=len(one.history.points),
        measurements=len(one.points),
        level=one.level(last, len(one.points)) if one.points else None,
        noise=round(one.course.noise, 6),
        changes=[_change_of(one, change) for change in changes],
    )


def _change_of(one: Judged, change: Change) -> ChangePoint:
    good, bad = one.points[change.index - 1], one.points[change.index]
    return ChangePoint(
        ratio=round(change.ratio, 6),
        interval=(round(change.low, 6), round(change.high, 6)),
        before=one.level_before(change),
        after=one.level(change.index, change.until),
        last_good=_measurement(good, one.value(good)),
        first_bad=_measurement(bad, one.value(bad)),
        differing=_differences(differing(good, bad)),
        measurements=change.until - change.index,
        is_certain=change.is_certain,
    )


def worse_document(one: Regression) -> Worse:
    """A series that got worse, as data."""
    judged = one.judged
    return Worse(
        series=_series(one.series),
        quantity=judged.quantity,
        unit=UNITS[judged.quantity],
        noise=round(judged.course.noise, 6),
        change=_change_of(judged, one.change),
    )


def missing_document(one: Missing) -> MissingCell:
    """A cell that is missing, as data."""
    return MissingCell(
        series=_series(one.series),
        state=one.kind,
        reason=clean(one.reason),
        last=_measurement(one.last, None),
    )


def _series(key: SeriesKey) -> Series:
    return Series(id=key.series_id, **{name: clean(value) for name, value in vars(key).items()})


def _measurement(point: Point, value: float | None) -> Measurement:
    return Measurement(
        run=clean(point.run_id),
        position=point.position,
        started_at=clean(point.run_started_at),
        project_commit=clean(point.project_commit),
        edgewright=clean(point.version),
        runtime_version=clean(point.runtime_version),
        system=clean(point.system),
        model_sha256=clean(point.sha256),
        value=value,
    )


def _differences(facts: Iterable[Fact]) -> list[Difference]:
    return [Difference(fact=fact.name, good=clean(fact.good), bad=clean(fact.bad)) for fact in facts]
