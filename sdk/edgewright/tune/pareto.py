"""Fronts: which settings no other beats, which of them cannot be told apart, and how much they cover."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .figures import Interval

#: The limits of the hypervolume are that far beyond the worst point, as a share of the span.
_MARGIN = 0.1


@dataclass(frozen=True)
class Point:
    """A setting as the front sees it: what it loses and what it costs, both the less the better."""

    loss: float
    cost: Interval


def front(points: Sequence[Point]) -> tuple[int, ...]:
    """The places of the points that none beats, in the order of their cost.

    A point is beaten by one that costs and loses no more, and one of both less. Of points that are the same
    the first stays.
    """
    order = sorted(range(len(points)), key=lambda i: (points[i].cost.value, points[i].loss, i))
    found, least = [], float("inf")
    for place in order:
        if points[place].loss < least:
            found.append(place)
            least = points[place].loss
    return tuple(found)


def ties(points: Sequence[Point], places: Sequence[int]) -> dict[int, tuple[int, ...]]:
    """Points whose cost cannot be told from that of a point of the front, and that lose no more than it.

    For each of ``places`` those others whose intervals meet its own.
    """
    return {
        place: tuple(
            other
            for other, point in enumerate(points)
            if other != place and point.loss <= points[place].loss and meet(point.cost, points[place].cost)
        )
        for place in places
    }


def meet(a: Interval, b: Interval) -> bool:
    """Whether two intervals have something in common: then it cannot be told which figure is less."""
    return a.low <= b.high and b.low <= a.high


def hypervolume(points: Sequence[tuple[float, float]], limits: tuple[float, float]) -> float:
    """The area between points ``(loss, cost)`` and the limits, beyond which nothing counts."""
    area, cost = 0.0, limits[1]
    for loss, value in sorted(points):
        if loss >= limits[0]:
            break
        if value < cost:
            area += (limits[0] - loss) * (cost - value)
            cost = value
    return area


def limits_of(points: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Limits that every point is within."""
    found = []
    for axis in zip(*points, strict=True):
        span = max(axis) - min(axis)
        found.append(max(axis) + _MARGIN * (span or abs(max(axis)) or 1.0))
    return found[0], found[1]
