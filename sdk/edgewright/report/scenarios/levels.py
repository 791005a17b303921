"""Where the level of a series changes for good: optimal partitioning into stretches of one level each.

The logarithms of the values are cut into stretches so that the squared distance from each stretch's mean,
plus a price for every cut, is least (Jackson et al. 2005, the search that PELT prunes). The price follows the
Schwarz criterion for a change of place and level, three times over, since neighbours in time resemble each
other; the noise it is measured by is the spread of differences between neighbours, which no change of level
inflates. Then stretches whose levels differ by less than a least effect are joined, however certain the
difference.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

#: Levels that differ by less are one level.
LEAST = 0.05
#: A stretch has at least so many values.
SHORTEST = 5
_PRICE = 3.0 * 2.0
#: Noise is never taken to be less than this share, or values without any would be cut at every rounding.
_LEAST_NOISE = 0.002

Reals = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Stretch:
    """Values ``start`` to ``end``, exclusive, and their median."""

    start: int
    end: int
    level: float


def stretches(values: Reals, *, least: float = LEAST, shortest: int = SHORTEST) -> list[Stretch]:
    """The stretches of one level, in order; a single one when nothing changed.

    Args:
        values: positive, evenly spaced in time.
    """
    if values.size < 2 * shortest:
        return [_stretch(values, 0, values.size)] if values.size else []
    edges = _partition(np.log(values), shortest)
    found = [_stretch(values, a, b) for a, b in pairwise(edges)]
    while len(found) > 1:
        steps = [abs(np.log(b.level / a.level)) for a, b in pairwise(found)]
        nearest = int(np.argmin(steps))
        if steps[nearest] >= np.log1p(least):
            break
        joined = _stretch(values, found[nearest].start, found[nearest + 1].end)
        found[nearest : nearest + 2] = [joined]
    return found


def _stretch(values: Reals, start: int, end: int) -> Stretch:
    return Stretch(start, end, float(np.median(values[start:end])))


def _partition(logs: Reals, shortest: int) -> list[int]:
    """Edges of the best partition, both ends included."""
    count = logs.size
    price = _PRICE * _noise(logs) ** 2 * np.log(count)
    sums = np.concatenate(([0.0], np.cumsum(logs)))
    squares = np.concatenate(([0.0], np.cumsum(logs**2)))
    best = np.full(count + 1, np.inf)
    best[0] = -price
    cut = np.zeros(count + 1, dtype=np.int64)
    for end in range(shortest, count + 1):
        begins = np.arange(0, end - shortest + 1)
        lengths = end - begins
        cost = squares[end] - squares[begins] - (sums[end] - sums[begins]) ** 2 / lengths
        total = best[begins] + cost + price
        chosen = int(np.argmin(total))
        best[end], cut[end] = total[chosen], chosen
    edges = [count]
    while edges[-1]:
        edges.append(int(cut[edges[-1]]))
    return edges[::-1]


def _noise(logs: Reals) -> float:
    """The standard deviation within a level, from differences between neighbours (scaled median)."""
    steps = np.abs(np.diff(logs))
    return max(float(np.median(steps)) * 1.4826 / math.sqrt(2.0), _LEAST_NOISE)
