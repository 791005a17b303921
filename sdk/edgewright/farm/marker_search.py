"""Finding marker pulses in the readings of a meter whose clock is not the device's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from edgewright_agent.protocol import Window

#: MLPerf's bound for the clocks of meter and device.
LIMIT_NS = 800_000_000

LEAST_READINGS = 12
_MOST_READINGS = 8192
#: A correlation of readings and pattern counts from here, with Fisher's z so many standard deviations from
#: none (it is the best of some hundred), and when the second best lacks so much.
_LEAST_CORRELATION = 0.6
_LEAST_DEVIATIONS = 4.5
_LEAD = 0.1
#: Readings must cover this much of a pattern to be compared with it.
_COVERED = 0.85
#: How far readings are searched for, so that it can be said how late they are when they are too late.
_REACH_NS = 3_000_000_000
#: Two clocks known no better than this are not known at all.
_MOST_UNSURE_NS = 30_000_000_000
_STEPS_A_PERIOD = 10
_STEP_NS = (2_000_000, 20_000_000)
#: Wider than 95 % of what noise does to the sum of squares.
_NOISE = 4.0

Array = npt.NDArray[np.floating[Any]]


class NotAlignedError(Exception):
    """The readings cannot be put on the device's clock; the message is the reason."""


@dataclass(frozen=True)
class Readings:
    """Times on the device's clock as far as that is known, and milliwatts."""

    t_ns: Array
    mw: Array

    @property
    def period_ns(self) -> float:
        """From one reading to the next, in the middle."""
        return float(np.median(np.diff(self.t_ns)))

    def between(self, low_ns: float, high_ns: float) -> Readings:
        """Those of a span; where they are very many, the means of as many together as make few enough."""
        first, last = np.searchsorted(self.t_ns, [low_ns, high_ns])
        together = -(-int(last - first) // _MOST_READINGS) or 1
        whole = first + (last - first) // together * together
        times, values = (part[first:whole].reshape(-1, together) for part in (self.t_ns, self.mw))
        return Readings(times.mean(axis=1), values.mean(axis=1))


@dataclass(frozen=True)
class _Span:
    """Where to search: so far around some lag."""

    middle: float
    reach: float

    @property
    def least(self) -> float:
        return self.middle - self.reach

    @property
    def most(self) -> float:
        return self.middle + self.reach


@dataclass(frozen=True)
class _Pattern:
    """When the device works: ``edges`` are where it begins and ends to, in turn.

    Between the two moments of ``blank`` readings are not looked at, for the work there may come and go.
    """

    what: str
    edges: Array
    blank: tuple[float, float] = (0.0, 0.0)

    @property
    def unit_ns(self) -> float:
        return float(np.min(np.diff(self.edges)))

    @property
    def low(self) -> float:
        return float(self.edges[0]) - self.unit_ns

    @property
    def high(self) -> float:
        return float(self.edges[-1]) + self.unit_ns

    def correlation(self, readings: Readings, lag: float) -> tuple[float, int]:
        """Pearson's coefficient of readings and pattern at one lag, and of how many readings; -1 for none."""
        first, last = np.searchsorted(readings.t_ns, [self.low + lag, self.high + lag])
        times, values = readings.t_ns[first:last] - lag, readings.mw[first:last]
        if times.size < LEAST_READINGS or times[-1] - times[0] < _COVERED * (self.high - self.low):
            return -1.0, int(times.size)
        seen = (times < self.blank[0]) | (times >= self.blank[1])
        times, values = times[seen], values[seen]
        if times.size < LEAST_READINGS:
            return -1.0, int(times.size)
        working = (np.searchsorted(self.edges, times, side="right") % 2).astype(float)
        working -= working.mean()
        values = values - values.mean()
        scale = float(np.sqrt(np.dot(working, working) * np.dot(values, values)))
        return (float(np.dot(working, values)) / scale if scale > 0 else -1.0), int(times.size)


@dataclass(frozen=True)
class Lag:
    """By how much readings are late around a moment, and how sure that is."""

    at_ns: float
    lag_ns: float
    uncertainty_ns: float


def find_markers(readings: Readings, windows: Sequence[Window], unsure_ns: int) -> tuple[Lag, Lag]:
    """By how much readings are late at the markers before and at those after the timed window.

    Both groups of pulses are found together first: as a pattern they are long and resemble nothing else.
    Then each is found around there, which shows a clock that drifts.

    Args:
        readings: of the whole energy pass.
        windows: as the device knows them.
        unsure_ns: how far the readings may be off because two clocks are not known better.

    Raises:
        NotAlignedError: they are not there, or not to be told from something else.
    """
    groups = [[w for w in windows if w.name == f"marker-{when}"] for when in ("before", "after")]
    active = [w for w in windows if w.name == "active"]
    if not all(groups) or len(active) != 1:
        raise NotAlignedError("the device made no marker pulses before and after the window")
    if unsure_ns > _MOST_UNSURE_NS:
        raise NotAlignedError(f"the device's clock is known within {unsure_ns / 1e9:.0f} s only")
    before, after = (_edges(group) for group in groups)
    blank = (float(active[0].start_ns), float(active[0].end_ns))
    both = _Pattern("the pattern of the marker pulses", _edges([*groups[0], *groups[1]]), blank)
    roughly = _search(readings, both, _Span(0.0, _REACH_NS + unsure_ns))
    here = _Span(roughly.lag_ns, LIMIT_NS)
    return (
        _search(readings, _Pattern("the group of marker pulses before the window", before), here),
        _search(readings, _Pattern("the group of marker pulses after the window", after), here),
    )


def _edges(windows: Sequence[Window]) -> Array:
    edges = np.asarray([edge for window in windows for edge in (window.start_ns, window.end_ns)], dtype=float)
    if np.any(np.diff(edges) <= 0):
        raise NotAlignedError("the device's windows are not in order")
    return edges


def _search(readings: Readings, pattern: _Pattern, span: _Span) -> Lag:
    """The lag at which readings and pattern correlate best."""
    around = readings.between(pattern.low + span.least, pattern.high + span.most)
    if around.t_ns.size < LEAST_READINGS:
        raise NotAlignedError(
            f"{pattern.what} is not to be recognized: {around.t_ns.size} readings are there"
        )
    step = float(np.clip(around.period_ns / _STEPS_A_PERIOD, *_STEP_NS))
    candidates = np.arange(span.least, span.most + step, step)
    found = [pattern.correlation(around, float(lag)) for lag in candidates]
    fits, counts = np.asarray([fit for fit, _ in found]), np.asarray([count for _, count in found])
    best = int(np.argmax(fits))
    fit = float(np.clip(fits[best], 1e-9 - 1, 1 - 1e-9))
    if fit < _LEAST_CORRELATION or np.arctanh(fit) * np.sqrt(max(1, counts[best] - 3)) < _LEAST_DEVIATIONS:
        shown = f"its best correlation is {fit:.2f}" if fit > 1e-6 - 1 else "the readings do not follow it"
        raise NotAlignedError(f"{pattern.what} is not to be recognized in the readings: {shown}")
    elsewhere = fits[np.abs(candidates - candidates[best]) > 1.5 * pattern.unit_ns]
    if elsewhere.size and fit - np.max(elsewhere) < _LEAD:
        raise NotAlignedError(f"{pattern.what} is found in more than one place")
    allowed = (1 - fit**2) * (1 + _NOISE / max(1, counts[best] - 2)) + 1e-6
    as_good = candidates[(fits > 0) & (1 - fits**2 <= allowed)]
    lag = float(as_good[0] + as_good[-1]) / 2
    uncertainty = max(float(as_good[-1] - as_good[0]) / 2 + step, around.period_ns / 2)
    return Lag(float(pattern.edges[0] + pattern.edges[-1]) / 2 + lag, lag, uncertainty)
