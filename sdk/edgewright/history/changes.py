"""The changes of a series: those that stand, and one that begins to show."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from .divide import SHORTEST, divide
from .newest import RECENT, Shift, misfit, newest_shift
from .noise import scale

Floats = npt.NDArray[np.float64]

#: A difference that must be told, as everywhere; one below half of it is none.
THRESHOLD = 0.05
#: The interval of a ratio holds with 99 % confidence.
_QUANTILE = 2.576
#: Standard errors that two levels must lie apart.
_APART = 3.3
#: A part has so many values at least.
_FEWEST = 3


@dataclass(frozen=True)
class Change:
    """A change of level.

    Attributes:
        index: of the first value on the new level.
        until: of the first value after it that is on another one; the number of values where it still holds.
        ratio: the new level over the old, within ``low`` and ``high`` with 99 % confidence.
        is_certain: rests on enough measurements; otherwise to be measured again.
    """

    index: int
    until: int
    ratio: float
    low: float
    high: float
    is_certain: bool


@dataclass(frozen=True)
class Course:
    """What a series did: its changes, and the standard deviation of a value, as a share."""

    changes: tuple[Change, ...]
    noise: float


def course(values: Floats, within: Floats, *, threshold: float = THRESHOLD) -> Course:
    """Find every change of a series.

    Args:
        values: above 0, one a measurement, in order.
        within: standard errors of their logarithms by the samples they were made of; may be empty.
        threshold: the relative difference that must be told; half of it is the least that counts.
    """
    logs = np.log(values)
    least = math.log1p(threshold / 2)
    cuts = _placed(logs, _apart(logs, divide(logs), within, least)) if _moves(logs, least) else []
    sigma = scale(_parts(logs, cuts), within)
    last = cuts[-1] if cuts else 0
    shift = newest_shift(logs[last:], sigma, least)
    starts = [*cuts, *([len(logs) - shift.count] if shift else [])]
    bounds = [0, *starts, len(logs)]
    found = [
        _change(logs, (bounds[i], bounds[i + 1], bounds[i + 2]), sigma, shift) for i in range(len(starts))
    ]
    return Course(tuple(found), math.expm1(sigma))


def _moves(logs: Floats, least: float) -> bool:
    """Whether it was ever on two levels that differ by enough to matter."""
    if len(logs) < 2 * SHORTEST:
        return False
    levels = np.median(np.lib.stride_tricks.sliding_window_view(logs, SHORTEST), axis=1)
    return bool(np.ptp(levels) >= least)


def _parts(logs: Floats, cuts: list[int]) -> list[Floats]:
    return list(np.split(logs, cuts))


def _apart(logs: Floats, cuts: list[int], within: Floats, least: float) -> list[int]:
    """The cuts between levels that differ by enough to matter and by more than noise."""
    cuts = list(cuts)
    while cuts:
        parts = _parts(logs, cuts)
        sigma = scale(parts, within)
        strengths = [_strength(a, b, sigma, least) for a, b in pairwise(parts)]
        weakest = min(range(len(cuts)), key=strengths.__getitem__)
        if strengths[weakest] >= 1.0:
            break
        del cuts[weakest]
    return cuts


def _placed(logs: Floats, cuts: list[int]) -> list[int]:
    """Each cut where the levels beside it fit best: it may be nearer to an end than :mod:`.divide` cuts."""
    placed = list(cuts)
    for i, cut in enumerate(cuts):
        low = placed[i - 1] if i else 0
        high = placed[i + 1] if i + 1 < len(placed) else len(logs)
        near = range(max(low + _FEWEST, cut - SHORTEST), min(high - _FEWEST, cut + SHORTEST) + 1)
        fits = [(misfit(logs[low:high], place - low), place) for place in near]
        placed[i] = min(fits, default=(0.0, cut))[1]
    return placed


def _strength(before: Floats, after: Floats, sigma: float, least: float) -> float:
    """How far two levels lie apart, in units of what is needed."""
    difference = abs(float(np.median(after) - np.median(before)))
    return min(difference / least, difference / (_APART * _error(len(before), len(after), sigma)))


def _error(before: int, after: int, sigma: float) -> float:
    """The standard error of a difference of medians."""
    return sigma * math.sqrt(math.pi / 2 * (1 / before + 1 / after))


def _change(logs: Floats, bounds: tuple[int, int, int], sigma: float, shift: Shift | None) -> Change:
    start, index, until = bounds
    before, after = logs[start:index], logs[index:until]
    is_newest = shift is not None and index == len(logs) - shift.count
    if is_newest:
        before = before[-RECENT:]
    difference = float(np.median(after) - np.median(before))
    error = _QUANTILE * _error(len(before), len(after), sigma)
    return Change(
        index=index,
        until=until,
        ratio=math.exp(difference),
        low=math.exp(difference - error),
        high=math.exp(difference + error),
        is_certain=shift.is_certain if is_newest and shift else True,
    )
