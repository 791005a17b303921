"""What a series' page shows: its values over time with the changes, and all its points as data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from operator import attrgetter
from typing import Any

from edgewright.history.changes import Change
from edgewright.history.series import Judged, counts
from edgewright.report.text import clean
from edgewright.report.units import milliseconds
from edgewright.store.points import Point

from .names import run_slug
from .snapshot import EMULATED, latency_ns
from .timeline import Level, Reading, Timeline, seconds, timeline

_TIMES = ("p50_ns", "p50_low_ns", "p50_high_ns", "p90_ns")
_NUMBERS = ("energy_mj", "quality", "start_celsius", "peak_bytes", "size_bytes")
_TEXTS = ("run_name", "version", "project_commit", "sha256", "runtime_version", "system", "code", "reason")
_DIGITS = 6
_LARGE = 10**_DIGITS


@dataclass(frozen=True)
class SeriesPage:
    """A drawing, and what the page's script needs: columns, one entry a point."""

    drawing: Timeline | None
    points: Mapping[str, Any]
    first: str
    last: str


def series_page(one: Judged) -> SeriesPage:
    """Lay out a series."""
    points = one.history.points
    places = {point.row_number: place for place, point in enumerate(points)}
    drawing = timeline(
        [_reading(point) for point in points],
        lambda value: milliseconds(value / 1e6),
        _levels(one, places),
        [(places[one.points[change.index].row_number], _kind(change)) for change in one.course.changes],
    )
    return SeriesPage(
        drawing=drawing,
        points={**point_columns(points), "places": drawing.places if drawing else []},
        first=points[0].run_started_at,
        last=points[-1].run_started_at,
    )


def point_columns(points: Sequence[Point], texts: Sequence[str] = _TEXTS) -> dict[str, Any]:
    """Points as columns: numbers to six digits, and each text once, by its place in ``texts``."""
    places = _Places()
    believed = [point.verdict != EMULATED for point in points]
    times = {
        name: [
            value if shown else None for value, shown in zip(_rounded(points, name), believed, strict=True)
        ]
        for name in _TIMES
    }
    return {
        "run": [run_slug(point.run_id) for point in points],
        "row": [point.position + 1 for point in points],
        "started": [_moment(point.run_started_at) for point in points],
        "state": [places[point.verdict or point.outcome] for point in points],
        **times,
        **{name: _rounded(points, name) for name in _NUMBERS},
        **{name: [places[text] for text in map(attrgetter(name), points)] for name in texts},
        "texts": places.texts,
    }


class _Places(dict[str, int]):
    """Where texts are in a list, which has each of them once; a new one is put there when it is asked for."""

    def __init__(self) -> None:
        self._of: dict[str, int] = {}

    def __missing__(self, text: str) -> int:
        self[text] = place = self._of.setdefault(clean(text, 300), len(self._of))
        return place

    @property
    def texts(self) -> list[str]:
        """The list, as it is to be shown."""
        return list(self._of)


def _rounded(points: Sequence[Point], name: str) -> list[float | None]:
    return [
        None if value is None else round(value) if value >= _LARGE else float(f"{value:.{_DIGITS}g}")
        for value in map(attrgetter(name), points)
    ]


@lru_cache(maxsize=4096)
def _moment(text: str) -> str:
    return clean(text, 40)


def _reading(point: Point) -> Reading:
    return Reading(
        seconds(point.run_started_at),
        latency_ns(point),
        point.p50_low_ns if counts(point) else None,
        point.p50_high_ns if counts(point) else None,
        counts(point),
    )


def _levels(one: Judged, places: Mapping[int, int]) -> Iterator[Level]:
    if not one.points:
        return
    bounds = [0, *(change.index for change in one.course.changes), len(one.points)]
    for start, end in pairwise(bounds):
        first, last = (places[one.points[at].row_number] for at in (start, end - 1))
        yield Level(first, last, one.level(start, end))


def _kind(change: Change) -> str:
    if not change.is_certain:
        return "suspect"
    return "worse" if change.ratio > 1 else "better"
