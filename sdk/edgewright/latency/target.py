"""Leading to a latency of the whole network, which is measured each time and never added up.

The sum of a table's times is not the latency: runtimes fuse layers, keep tensors in cache, and there is more
in a network than what the table holds. But the one grows with the other, so each measured network is a point
of a curve, and the next budget lies on the straight line between the two points around the target. The whole
network and the smallest one are the curve's ends.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .knapsack import choose, total_ns
from .layers import Network
from .table import LayerTable
from .ways import Share

#: How far from the first budget others are tried when it leads to a network that was measured already: shares
#: of the way to either neighbour.
_AWAY = (0.02, 0.05, 0.1, 0.2, 0.4, 0.8)


@dataclass(frozen=True)
class Target:
    """The latency to reach: in nanoseconds, or as a share of the unpruned network's."""

    latency_ns: float | None = None
    share: float | None = None

    def wanted_ns(self, full_ns: float) -> float:
        """In nanoseconds, when the unpruned network takes ``full_ns``."""
        if self.latency_ns is not None:
            return self.latency_ns
        assert self.share is not None
        return self.share * full_ns


@dataclass(frozen=True)
class Point:
    """A network that was measured: its groups' channels, and how many times the target it takes."""

    counts: Mapping[str, int]
    of_target: float

    @property
    def error(self) -> float:
        """How far from the target, as a share of it; above 0 it is slower."""
        return self.of_target - 1.0


@dataclass(frozen=True)
class Correction:
    """What a table's sum is worth in the whole network: ``latency = rest + scale * sum``, in nanoseconds."""

    scale: float
    rest_ns: float

    def latency_ns(self, sum_ns: float) -> float:
        """The network's latency for a table's sum."""
        return self.rest_ns + self.scale * sum_ns


class Search:
    """Networks to measure, one after the other, each nearer to the target.

    Args:
        table: holds at least the network's grid; what is added to it meanwhile counts.
        full, smallest: the measured ends.
        share: which network to measure for a budget.
        others: further networks that were measured: they help to find the budget, and are no answer.
    """

    def __init__(
        self,
        network: Network,
        table: LayerTable,
        full: Point,
        smallest: Point,
        *,
        share: Share = choose,
        others: Sequence[Point] = (),
    ) -> None:
        self._network, self._table, self._share = network, table, share
        self._own = [full, smallest]
        self.points = [*self._own, *others]

    def add(self, point: Point) -> None:
        """One more network was measured."""
        self._own.append(point)
        self.points.append(point)

    @property
    def best(self) -> Point:
        """The nearest to the target so far."""
        return min(self._own, key=lambda point: abs(point.error))

    def correction(self) -> Correction | None:
        """By the two points that are used next, in units of the target; None when the table says nothing."""
        fast, slow = self._around()
        run = self._sum(slow) - self._sum(fast)
        if run <= 0:
            return None
        scale = (slow.of_target - fast.of_target) / run
        return Correction(scale, slow.of_target - scale * self._sum(slow))

    def next(self) -> dict[str, int] | None:
        """The counts to measure next; None when every network near the target was measured."""
        fast, slow = self._around()
        low, high = self._sum(fast), self._sum(slow)
        rise = slow.of_target - fast.of_target
        middle = low + (high - low) * (1.0 - fast.of_target) / rise if rise > 0 else (low + high) / 2
        known = [dict(point.counts) for point in self._own]
        away = (
            budget
            for share in _AWAY
            for budget in (middle + share * (high - middle), middle - share * (middle - low))
        )
        for budget in (middle, *away):
            choice = self._share(self._network, self._table.time_ns, budget)
            if choice is not None and choice.counts not in known:
                return choice.counts
        return None

    def _around(self) -> tuple[Point, Point]:
        """The slowest that is fast enough, and the fastest that is not, by what was measured."""
        fast = max((p for p in self.points if p.of_target <= 1.0), key=self._sum, default=self.points[1])
        slow = min((p for p in self.points if p.of_target > 1.0), key=self._sum, default=self.points[0])
        return fast, slow

    def _sum(self, point: Point) -> float:
        return total_ns(self._network, self._table.time_ns, point.counts)
