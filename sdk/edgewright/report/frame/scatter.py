"""A scatter plot, computed here and drawn as SVG by ``scatter.html.j2``: what is good against its cost."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 460, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 58, 14, 12, 44
#: Left, top, right and bottom of the drawing, then its width and height, in pixels.
FRAME = (_LEFT, _TOP, WIDTH - _RIGHT, HEIGHT - _BOTTOM, WIDTH, HEIGHT)
_TICKS = 5


@dataclass(frozen=True)
class Tick:
    """A line of an axis: where it is drawn, and its label."""

    at: float
    label: str


@dataclass(frozen=True)
class Spot:
    """What a plot is made of: a cost within its interval, what it buys, and what is to be said of it.

    Attributes:
        worth: drawn upwards.
        loss: less is better; among spots of the same cost or less, the front has the least.
        kind: ``best``, ``front``, ``broken`` or ``other``, which decides how it looks.
        row: the id of the table's row that it is; empty for none.
        href: where it leads; empty for nowhere.
    """

    cost: float
    low: float
    high: float
    worth: float
    loss: float
    kind: str
    told: str
    row: str = ""
    href: str = ""


@dataclass(frozen=True)
class Dot:
    """A spot in pixels."""

    x: float
    y: float
    low: float
    high: float
    spot: Spot


@dataclass(frozen=True)
class Plot:
    """A plot in pixels; ``line`` joins what nothing beats."""

    title: str
    x_title: str
    y_title: str
    dots: list[Dot]
    line: str
    x_ticks: list[Tick]
    y_ticks: list[Tick]


def scatter(
    spots: Sequence[Spot],
    titles: tuple[str, str, str],
    x_words: Callable[[float], str],
    y_words: Callable[[float], str],
) -> Plot:
    """Lay out a plot.

    Args:
        spots: at least one.
        titles: of the plot, of its horizontal and of its vertical axis.
        x_words, y_words: how a value of an axis is written.
    """
    x = Axis([end for spot in spots for end in (spot.low, spot.cost, spot.high)], _LEFT, WIDTH - _RIGHT)
    y = Axis([spot.worth for spot in spots], HEIGHT - _BOTTOM, _TOP)
    dots = [Dot(x(spot.cost), y(spot.worth), x(spot.low), x(spot.high), spot) for spot in spots]
    best: list[Spot] = []
    for spot in sorted(spots, key=lambda one: (one.cost, one.loss)):
        if not best or spot.loss < best[-1].loss:
            best.append(spot)
    return Plot(
        *titles,
        dots,
        " ".join(f"{x(spot.cost):.1f},{y(spot.worth):.1f}" for spot in best),
        [Tick(x(value), x_words(value)) for value in x.ticks],
        [Tick(y(value), y_words(value)) for value in y.ticks],
    )


class Axis:
    """A linear axis with a margin and round ticks.

    Args:
        values: what has to fit, at least one.
        begin, end: where it runs from and to, in pixels.
        ticks: so many at most.
    """

    def __init__(self, values: Sequence[float], begin: float, end: float, ticks: int = _TICKS) -> None:
        low, high = min(values), max(values)
        span = high - low or abs(high) or 1.0
        self._low, self._high = low - 0.06 * span, high + 0.06 * span
        self._begin, self._end = begin, end
        step = 10 ** math.floor(math.log10(span / ticks))
        step *= next(times for times in (1, 2, 5, 10) if span / (step * times) <= ticks)
        first = math.ceil(self._low / step)
        last = math.floor(self._high / step)
        self.ticks = [number * step for number in range(first, last + 1)]

    def __call__(self, value: float) -> float:
        """Where a value is drawn, in pixels."""
        share = (value - self._low) / (self._high - self._low)
        return self._begin + share * (self._end - self._begin)
