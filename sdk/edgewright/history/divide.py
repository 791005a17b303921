"""Where a series changes its distribution: hierarchical divisive estimation with the energy statistic.

E-divisive, after Matteson and James, "A Nonparametric Approach for Multiple Change Point Analysis of
Multivariate Data", JASA 109 (2014): the series is cut where the energy distance between its two parts is
largest, and each part again, as long as hardly any order of the same numbers would give as large a distance.
It assumes no distribution, so neither heavy tails nor two modes mislead it.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

#: The shortest part: shorter ones are for :mod:`.newest`.
SHORTEST = 5
#: A cut counts when none of so many random orders gives as large a distance, so at p = 1/500.
ORDERS = 499
#: So many values are looked at together, for the work grows with the square; of longer series one stretch
#: after another, back to the first value.
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
    found: list[int] = []
    start = end = len(values)
    while start:
        start = max(0, end - LONGEST)
        cuts = _cuts(values, (start, end), shortest, rng)
        found += cuts
        # The next stretch reaches into this one as far as it is of one level, half of it at most: a change
        # where this one begins is seen with both its levels, and none is found twice.
        end = min([start + LONGEST // 2, *cuts])
    return sorted(found)


def _cuts(values: Floats, stretch: tuple[int, int], shortest: int, rng: np.random.Generator) -> list[int]:
    found, pending = [], [stretch]
    while pending:
        low, high = pending.pop()
        cut = _cut(values[low:high], shortest, rng)
        if cut is not None:
            found.append(low + cut)
            pending += [(low, low + cut), (low + cut, high)]
    return found


def _cut(values: Floats, shortest: int, rng: np.random.Generator) -> int | None:
    count = len(values)
    if count < 2 * shortest:
        return None
    weigh = _weigh(count, shortest)
    statistic = weigh.energy(values)
    best = int(np.argmax(statistic))
    largest = 0.0
    for number in range(ORDERS):
        if number == _CLEAR and _THIRD * largest < statistic[best]:
            break
        largest = max(largest, float(weigh.energy(values[rng.permutation(count)]).max()))
        if largest >= statistic[best]:
            return None
    return weigh.cut(best)


class _Weigh:
    """The scaled energy distance between the first values and those that follow, up to any place.

    The second part need not reach to the end, so that a level that was left and came back is seen. With
    ``S`` the sums of distances among the first c and the first e values, it is linear in ``S[c, e]``,
    ``S[c, c]`` and ``S[e, e]``; what they are multiplied with depends on the places alone.
    """

    def __init__(self, count: int, shortest: int) -> None:
        self._shortest = shortest
        cuts = np.arange(shortest, count - shortest + 1)[:, None]
        ends = np.arange(2 * shortest, count + 1)[None, :]
        fits = ends - cuts >= shortest
        n, m = cuts.astype(np.float64), np.where(fits, ends - cuts, 2).astype(np.float64)
        scale, between, left, right = n * m / (n + m), 2 / (n * m), 2 / (n * (n - 1)), 2 / (m * (m - 1))
        self._of_both = np.where(fits, scale * (between + right), 0.0)
        self._of_cut = np.where(fits, -scale * (between + (left + right) / 2), 0.0)
        self._of_end = np.where(fits, -scale * right / 2, 0.0)
        self._misfits = np.where(fits, 0.0, -np.inf)

    def energy(self, values: Floats) -> Floats:
        """One for each pair of a cut and an end, those of the first cut first."""
        distances = np.abs(values[:, None] - values[None, :])
        sums = np.cumsum(np.cumsum(distances, axis=0, out=distances), axis=1, out=distances)
        alone, least = sums.diagonal(), self._shortest  # twice the sum over the pairs among the first values
        cuts, ends = slice(least - 1, len(values) - least), slice(2 * least - 1, None)
        energy = self._of_both * sums[cuts, ends]
        energy += self._of_cut * alone[cuts, None]
        energy += self._of_end * alone[None, ends]
        energy += self._misfits
        return np.asarray(energy.ravel(), np.float64)

    def cut(self, index: int) -> int:
        """The cut that an index of :meth:`energy` belongs to."""
        return self._shortest + index // self._of_both.shape[1]


@lru_cache(maxsize=8)
def _weigh(count: int, shortest: int) -> _Weigh:
    return _Weigh(count, shortest)
