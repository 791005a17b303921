"""A series with its changes: which points count, and of which quantity."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from edgewright.report.figures import figures_of
from edgewright.store import Store
from edgewright.store.points import History, Point, derive_missing, histories

from .changes import THRESHOLD, Change, Course, Floats, course

#: quantity -> where a point has it. Of each of them less is better.
QUANTITIES = {"latency": "p50_ns", "memory": "peak_bytes", "energy": "energy_mj", "size": "size_bytes"}
#: What half the 95 % interval of a median is, in standard errors.
_HALF_INTERVAL = 1.96


@dataclass(frozen=True)
class Judged:
    """A series, the points of it that count, and what they did; changes are at places in ``points``."""

    history: History
    quantity: str
    points: tuple[Point, ...]
    course: Course

    def value(self, point: Point) -> float:
        """The quantity of one of ``points``, in the unit of its name in :data:`QUANTITIES`."""
        return float(getattr(point, QUANTITIES[self.quantity]))

    def level(self, start: int, end: int) -> float:
        """The median over ``points[start:end]``."""
        return float(np.median([self.value(point) for point in self.points[start:end]]))

    def level_before(self, change: Change) -> float:
        """The level that a change left."""
        starts = [0, *(one.index for one in self.course.changes)]
        return self.level(starts[starts.index(change.index) - 1], change.index)


def counts(point: Point) -> bool:
    """Whether a point is a measurement to be believed; only such ones have a say in a history."""
    return point.outcome == "measured" and point.verdict == "valid"


def measurements(history: History, quantity: str) -> tuple[tuple[Point, ...], Floats, Floats]:
    """The points of a series that count, their values, and what these do not know themselves.

    The latter are standard errors of the medians' logarithms, where there are any.
    """
    column = QUANTITIES[quantity]
    points = tuple(p for p in history.points if counts(p) and (getattr(p, column) or 0) > 0)
    values = np.asarray([getattr(point, column) for point in points], dtype=np.float64)
    within = [error for point in points if quantity == "latency" and (error := _error(point)) is not None]
    return points, values, np.asarray(within, dtype=np.float64)


def judge(history: History, quantity: str = "latency", *, threshold: float = THRESHOLD) -> Judged:
    """Find the changes of one quantity of a series."""
    points, values, within = measurements(history, quantity)
    return Judged(history, quantity, points, course(values, within, threshold=threshold))


def judged(
    store: Store,
    wanted: Sequence[tuple[str, str]] = (),
    *,
    quantity: str = "latency",
    threshold: float = THRESHOLD,
) -> Iterator[Judged]:
    """Every series that was asked for, see :func:`~edgewright.store.points.histories`, with its changes.

    A row that was not measured is of no series, since not all is known of it that makes one.

    Raises:
        StoreError: the store cannot be read, or a row of it is damaged.
    """
    derive_missing(store, figures_of)
    for history in histories(store, wanted):
        if any(point.outcome == "measured" for point in history.points):
            yield judge(history, quantity, threshold=threshold)


def _error(point: Point) -> float | None:
    """The standard error of the median's logarithm, by the point's own samples."""
    if not point.p50_low_ns or not point.p50_high_ns:
        return None
    return math.log(point.p50_high_ns / point.p50_low_ns) / 2 / _HALF_INTERVAL
