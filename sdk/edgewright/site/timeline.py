"""Values over time as SVG: paths for what there is much of, so that a year of nights is a few kilobytes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from edgewright.report.frame.scatter import Axis, Tick

WIDE, NARROW = 940, 560
_HEIGHT = 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 74, 16, 22, 40
_DATE_WIDTH = 120
_SPARK_WIDTH, _SPARK_HEIGHT = 110, 22


@dataclass(frozen=True)
class Reading:
    """A value at a time in seconds; None where there was none. ``counts`` says whether it is believed."""

    at: float
    value: float | None
    low: float | None = None
    high: float | None = None
    counts: bool = True


@dataclass(frozen=True)
class Level:
    """A level from one reading to another, by their places."""

    first: int
    last: int
    value: float


@dataclass(frozen=True)
class Turn:
    """A change of level where it is drawn; ``kind`` is worse, better or suspect."""

    x: float
    number: int
    kind: str


@dataclass(frozen=True)
class Timeline:
    """A drawing.

    Attributes:
        dots, crosses, gaps: paths of the readings that count, of those that do not, and of those without a
            value, which lie on the lower edge.
        whiskers: a path of their intervals.
        levels: a path.
        places: x and y of every reading in pixels, for the page's script.
        frame: left, top, right and bottom of the drawing, then its width and height, in pixels.
    """

    dots: str
    crosses: str
    gaps: str
    whiskers: str
    levels: str
    turns: list[Turn]
    x_ticks: list[Tick]
    y_ticks: list[Tick]
    places: list[tuple[float, float]]
    frame: tuple[int, int, int, int, int, int]


def timeline(
    readings: Sequence[Reading],
    words: Callable[[float], str],
    levels: Iterable[Level] = (),
    turns: Iterable[tuple[int, str]] = (),
    *,
    width: int = WIDE,
) -> Timeline | None:
    """Lay out readings in the order of their times; None when none has a value.

    Args:
        readings: in order.
        words: how a value is written on the axis.
        levels: drawn across.
        turns: the place of the first reading behind a change, and its kind.
        width: in pixels.
    """
    values = [end for one in readings for end in (one.value, one.low, one.high) if end is not None]
    if not values:
        return None
    y = Axis(values, _HEIGHT - _BOTTOM, _TOP)
    first, last = readings[0].at, readings[-1].at
    span = last - first or 1.0

    def x(at: float) -> float:
        return _LEFT + 6 + (at - first) / span * (width - _LEFT - _RIGHT - 12)

    places = [
        (round(x(one.at), 1), round(y(one.value) if one.value is not None else _HEIGHT - _BOTTOM, 1))
        for one in readings
    ]
    both = list(zip(readings, places, strict=True))
    return Timeline(
        dots="".join(f"M{px} {py}h0" for one, (px, py) in both if one.counts and one.value is not None),
        crosses="".join(
            f"M{px - 3:.1f} {py - 3:.1f}l6 6m0 -6l-6 6"
            for one, (px, py) in both
            if not one.counts and one.value is not None
        ),
        gaps="".join(f"M{px} {py}v-7" for one, (px, py) in both if one.value is None),
        whiskers="".join(
            f"M{px} {y(one.low):.1f}V{y(one.high):.1f}"
            for one, (px, _) in both
            if one.low is not None and one.high is not None
        ),
        levels="".join(f"M{places[a.first][0]} {y(a.value):.1f}H{places[a.last][0]}" for a in levels),
        turns=[Turn(places[i][0], n, kind) for n, (i, kind) in enumerate(turns, start=1)],
        x_ticks=[Tick(x(at), label) for at, label in _dates(first, last, width // _DATE_WIDTH)],
        y_ticks=[Tick(y(value), words(value)) for value in y.ticks],
        places=places,
        frame=(_LEFT, _TOP, width - _RIGHT, _HEIGHT - _BOTTOM, width, _HEIGHT),
    )


def seconds(iso: str) -> float:
    """Seconds since 1970 of an ISO time; 0 for what is none."""
    try:
        moment = datetime.fromisoformat(iso)
    except ValueError:
        return 0.0  # an unreadable time is drawn at the left end
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def spark(values: Sequence[float]) -> str:
    """A path through values, to the size of a line of text; empty for fewer than two."""
    if len(values) < 2 or not all(map(math.isfinite, values)):
        return ""
    low, high = min(values), max(values)
    # Steady series look steady: a tenth of the value is the least that fills the height.
    span = max(high - low, 0.1 * abs(high)) or 1.0
    middle = (low + high) / 2
    step = (_SPARK_WIDTH - 4) / (len(values) - 1)
    points = (
        f"{2 + i * step:.1f} {_SPARK_HEIGHT / 2 - (v - middle) / span * (_SPARK_HEIGHT - 4):.1f}"
        for i, v in enumerate(values)
    )
    return "M" + "L".join(points)


def _dates(first: float, last: float, most: int) -> list[tuple[float, str]]:
    """Some times between two, written as briefly as tells them apart."""
    span = last - first
    count = most if span else 1
    shape = "%Y-%m-%d" if span > 3 * 86400 or not span else "%m-%d %H:%M" if span > 3600 else "%H:%M:%S"
    found: list[tuple[float, str]] = []
    for i in range(count):
        at = first + span * i / max(1, count - 1)
        label = datetime.fromtimestamp(at, UTC).strftime(shape)
        if not found or found[-1][1] != label:
            found.append((at, label))
    return found
