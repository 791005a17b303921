"""What a device's page draws: how hot it started, how fast it was, and what is worth shipping on it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from edgewright.artifact import Quality as Judged
from edgewright.report.document import Quality
from edgewright.report.frame.scatter import Plot, Spot, scatter
from edgewright.report.headline import keeps_quality, quality_loss
from edgewright.report.text import clean
from edgewright.report.units import milliseconds, score, significant

from .snapshot import DeviceView, SeriesView
from .timeline import NARROW, Reading, Timeline, seconds, timeline


@dataclass(frozen=True)
class Choice:
    """A setting of a workload on a device, for the table beside the plot."""

    series: SeriesView
    quality: Quality
    on_front: bool

    @property
    def is_kept(self) -> bool:
        """Whether it loses no more quality than is accepted."""
        return keeps_quality(self.quality)


@dataclass(frozen=True)
class Front:
    """A workload on a device in one way to drive it: quality against latency."""

    workload: str
    scenario: str
    plot: Plot
    choices: tuple[Choice, ...]


def celsius(device: DeviceView) -> Timeline | None:
    """The hottest start of each run."""
    readings = [Reading(seconds(mark.run.started_at), mark.celsius) for mark in device.marks]
    return timeline(readings, lambda value: f"{value:.3g} °C", width=NARROW)


def pace(device: DeviceView) -> Timeline | None:
    """How long the rows of each run took, as a multiple of what they usually take."""
    readings = [
        Reading(seconds(mark.run.started_at), None if mark.pace is None else 100 * (mark.pace - 1))
        for mark in device.marks
    ]
    return timeline(readings, lambda value: f"{value:+.2g} %" if value else "usual", width=NARROW)


def rows_with_quality(device: DeviceView) -> list[int]:
    """The numbers of the rows whose quality :func:`fronts` asks for."""
    return [view.good.row_number for view in device.series if view.good and view.good.quality is not None]


def fronts(device: DeviceView, judged: Mapping[int, Judged]) -> list[Front]:
    """A plot for each workload of which two settings or more have both figures, by name."""
    qualities = {
        number: Quality(**{**vars(found), "metric": clean(found.metric, 60)})
        for number, found in judged.items()
    }
    groups: dict[tuple[str, str, str], list[SeriesView]] = {}
    for view in device.series:
        series = view.document.series
        if view.good is not None and view.good.row_number in qualities:
            metric = qualities[view.good.row_number].metric
            groups.setdefault((series.workload, series.scenario, metric), []).append(view)
    return [
        _front(workload, scenario, views, qualities)
        for (workload, scenario, _), views in sorted(groups.items())
        if len(views) > 1
    ]


def _front(
    workload: str, scenario: str, views: Sequence[SeriesView], qualities: Mapping[int, Quality]
) -> Front:
    found = [(_time(view), quality_loss(qualities[_row(view)]), view) for view in views]
    least = math.inf
    choices: list[Choice] = []
    for _, loss, view in sorted(found, key=lambda one: one[:2]):
        choices.append(Choice(view, qualities[_row(view)], loss < least))
        least = min(loss, least)
    metric = choices[0].quality.metric
    titles = (f"{metric} against median latency", "median latency", metric)
    return Front(
        workload,
        scenario,
        scatter([_spot(choice) for choice in choices], titles, milliseconds, lambda v: significant(v, 4)),
        tuple(choices),
    )


def _time(view: SeriesView) -> float:
    assert view.good is not None and view.good.p50_ns is not None  # a point that counts was timed
    return view.good.p50_ns


def _row(view: SeriesView) -> int:
    assert view.good is not None
    return view.good.row_number


def _spot(choice: Choice) -> Spot:
    good, quality = choice.series.good, choice.quality
    assert good is not None and good.p50_ns is not None
    kind = "front" if choice.on_front else "other"
    series = choice.series.document.series
    told = f"{series.recipe} in {series.runtime}: {milliseconds(good.p50_ns / 1e6)}, {score(quality.value)}"
    if not choice.is_kept:
        kind = "broken"
        told += f", loses more than is accepted of {score(quality.baseline)}"
    return Spot(
        cost=good.p50_ns / 1e6,
        low=(good.p50_low_ns or good.p50_ns) / 1e6,
        high=(good.p50_high_ns or good.p50_ns) / 1e6,
        worth=quality.value,
        loss=quality_loss(quality),
        kind=kind,
        told=told,
        href=f"../series/{choice.series.slug}.html",
    )
