"""The Mann-Whitney test: whether one group of numbers tends to be larger than another.

It looks at ranks alone, so one wild launch cannot decide it, and it is exact for the handful of
launches a row has, ties included.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

#: Up to so many numbers in all the distribution is counted out; beyond, it is normal for all purposes.
_EXACT = 60


def mann_whitney(first: Sequence[float], second: Sequence[float]) -> float:
    """The two-sided p-value of "both come from the same distribution".

    Raises:
        ValueError: when a group is empty.
    """
    if not first or not second:
        raise ValueError("both groups need at least one number")
    doubled = _doubled_ranks([*first, *second])
    count, total = len(first), len(doubled)
    observed = int(doubled[:count].sum())
    expected = count * (total + 1)  # of the doubled ranks' sum
    if total > _EXACT:
        return _normal(observed - expected, doubled, count)
    ways = _ways(doubled, count)
    sums = np.arange(len(ways))
    extreme = np.abs(sums - expected) >= abs(observed - expected)
    return float(sum(way for way, far in zip(ways, extreme, strict=True) if far) / math.comb(total, count))


def _doubled_ranks(values: Sequence[float]) -> npt.NDArray[np.int64]:
    """Twice the mid-ranks, which are whole numbers even among ties."""
    array = np.asarray(values, dtype=np.float64)
    below = (array[:, None] > array[None, :]).sum(axis=1)
    equal = (array[:, None] == array[None, :]).sum(axis=1)
    return np.asarray(2 * below + equal + 1, dtype=np.int64)


def _ways(doubled: npt.NDArray[np.int64], count: int) -> list[int]:
    """How many choices of ``count`` of the ranks have each sum."""
    most = int(sum(sorted(map(int, doubled), reverse=True)[:count]))
    table = [[0] * (most + 1) for _ in range(count + 1)]
    table[0][0] = 1
    for rank in map(int, doubled):
        for chosen in range(count, 0, -1):
            source, target = table[chosen - 1], table[chosen]
            for reached in range(most, rank - 1, -1):
                if source[reached - rank]:
                    target[reached] += source[reached - rank]
    return table[count]


def _normal(distance: int, doubled: npt.NDArray[np.int64], count: int) -> float:
    total = len(doubled)
    spread = float(np.var(doubled)) * count * (total - count) / (total - 1)
    if spread == 0:
        return 1.0
    return math.erfc(max(0.0, abs(distance) - 1.0) / math.sqrt(2.0 * spread))
