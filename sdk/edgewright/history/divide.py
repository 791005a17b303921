"""Where a series changes its distribution: hierarchical divisive estimation with the energy statistic.

E-divisive, after Matteson and James, "A Nonparametric Approach for Multiple Change Point Analysis of
Multivariate Data", JASA 109 (2014): the series is cut where the energy distance between its two parts is
largest, and each part again, as long as hardly any order of the same numbers would give as large a distance.
It assumes no distribution, so neither heavy tails nor two modes mislead it.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

#: The shortest part: shorter ones are for :mod:`.newest`.
SHORTEST = 5
#: A cut counts when none of so many random orders gives as large a distance, so at p = 1/500.
ORDERS = 499
#: Of longer series the newest so many are looked at: the work grows with the square.
LONGEST = 365
#: When none of the first so many comes to a third of the distance, the others are spared.
_CLEAR, _THIRD = 60, 3.0


def divide(values: Floats, *, shortest: int = SHORTEST, seed: int = 0) -> list[int]:
    """The first places of new parts, ascending.

    Args:
        values: one a measurement, in order.
        shortest: the fewest values of a part.
        seed: of the random orders, so that the same series gives the same cuts.
    """
    rng = np.random.default_rng(seed)
    start = max(0, len(values) - LONGEST)
    found, pending = [], [(start, len(values))]
    while pending:
        low, high = pending.pop()
        cut = _cut(values[low:high], shortest, rng)
        if cut is not None:
            found.append(low + cut)
            pending += [(low, low + cut), (low + cut, high)]
    return sorted(found)


def _cut(values: Floats, shortest: int, rng: np.random.Generator) -> int | None:
    count = len(values)
    if count < 2 * shortest:
        return None
    distances = np.abs(values[:, None] - values[None, :])
    weigh = _Weigh(count, shortest)
    statistic = weigh.energy(distances)
    best = int(np.argmax(statistic))
    largest = 0.0
    for number in range(ORDERS):
        if number == _CLEAR and _THIRD * largest < statistic[best]:
            break
        order = rng.permutation(count)
        largest = max(largest, float(weigh.energy(distances[np.ix_(order, order)]).max()))
        if largest >= statistic[best]:
            return None
    return int(weigh.cuts[best])


class _Weigh:
    """The scaled energy distance between the first values and those that follow, up to any place.

    The second part need not reach to the end, so that a level that was left and came back is seen.
    """

    def __init__(self, count: int, shortest: int) -> None:
        places = np.arange(shortest, count - shortest + 1)
        ends = np.arange(2 * shortest, count + 1)
        cuts, ends = (grid.ravel() for grid in np.meshgrid(places, ends, indexing="ij"))
        fits = ends - cuts >= shortest
        self.cuts, self._ends = cuts[fits], ends[fits]
        n, m = self.cuts.astype(np.float64), (self._ends - self.cuts).astype(np.float64)
        self._scale = n * m / (n + m)
        self._between, self._left, self._right = 2 / (n * m), 2 / (n * (n - 1)), 2 / (m * (m - 1))

    def energy(self, distances: Floats) -> Floats:
        """One for each pair of a cut and an end."""
        sums = np.pad(distances.cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))
        alone = sums.diagonal()  # twice the sum over the pairs among the first 0, 1, ... values
        cuts, ends = self.cuts, self._ends
        cross = sums[cuts, ends] - alone[cuts]
        left, right = alone[cuts] / 2, (alone[ends] - alone[cuts]) / 2 - cross
        return np.asarray(
            self._scale * (self._between * cross - self._left * left - self._right * right), np.float64
        )
