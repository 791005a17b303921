"""Wilcoxon's signed ranks: where the middle of paired differences lies, exactly and whatever their spread.

Its interval assumes that a difference is as likely to fall below the middle as above it, which alternating
the order brings about, and nothing else: no normality, no equal spread. So it holds on a machine whose
other work makes some launches wild, and merely gets wide there.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt


def middle(values: Sequence[float]) -> float:
    """The median of the means of all pairs (Hodges and Lehmann), each value with itself too."""
    return float(np.median(_walsh(values)))


def interval(values: Sequence[float], error: float) -> tuple[float, float] | None:
    """Where the middle lies, but for a chance of ``error`` at most; None when there are too few values."""
    cut = _tail(len(values), error)
    if cut < 1:
        return None
    means = np.sort(_walsh(values))
    return float(means[cut - 1]), float(means[-cut])


def values_needed(error: float) -> int:
    """The fewest values that can give an interval."""
    count = 1
    while _tail(count, error) < 1:
        count += 1
    return count


def _walsh(values: Sequence[float]) -> npt.NDArray[np.float64]:
    array = np.asarray(values, dtype=np.float64)
    first, second = np.triu_indices(array.size)
    return np.asarray((array[first] + array[second]) / 2)


def _tail(count: int, error: float) -> int:
    """The most signed-rank sums, from 0 up, whose two tails together have no more than that chance."""
    ways = [1]
    for rank in range(1, count + 1):
        longer = [*ways, *[0] * rank]
        for total, number in enumerate(ways):
            longer[total + rank] += number
        ways = longer
    tail, seen = 0, 0
    for number in ways:
        seen += number
        if 2 * seen > error * 2**count:
            return tail
        tail += 1
    return tail
