"""Which channels to keep in a budget of time: a knapsack whose things change each other's weight.

A layer's time depends on the channels before it and behind it, so no group has a time of its own, and exact
programs for knapsacks do not apply. So steps are taken one at a time, always the one that loses the least
importance for the time it saves (as HALP does, Shen et al., 2021, arXiv 2110.10811, with the times of
the layers as they are at that moment, as in NetAdapt, Yang et al., ECCV 2018, arXiv 1804.03230); once
downwards from the whole network and once upwards from the smallest, and then single channels' worth is
exchanged between groups while something is gained.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from .layers import Counts, Group, Layer, LayerShape, Network

#: The time of a layer in nanoseconds.
Time = Callable[[LayerShape], float]

#: Rounds of exchanges; each gains something, and few are ever needed.
_EXCHANGES = 100


@dataclass(frozen=True)
class Choice:
    """What the groups are left with, what the layers then take by the table, and the importance that goes."""

    counts: dict[str, int]
    total_ns: float
    lost: float


def total_ns(network: Network, time: Time, counts: Counts) -> float:
    """What all layers take, one after the other."""
    return sum(time(shape) for shape in network.shapes(counts))


def choose(network: Network, time: Time, budget_ns: float) -> Choice | None:
    """The counts that lose the least importance while the layers keep to ``budget_ns``; None if none do."""
    sack = _Sack(network, time)
    tried = [counts for counts in (sack.down(budget_ns), sack.up(budget_ns)) if counts is not None]
    best = min((sack.exchanged(counts, budget_ns) for counts in tried), key=sack.lost, default=None)
    return None if best is None else Choice(best, sack.total(best), sack.lost(best))


class _Sack:
    """One network with its times; every step looks only at the layers that the step changes."""

    def __init__(self, network: Network, time: Time) -> None:
        self._network, self._time = network, time
        self._of: dict[str, tuple[Layer, ...]] = {
            group.name: tuple(layer for layer in network.layers if group.name in layer.groups)
            for group in network.groups
        }

    def total(self, counts: Counts) -> float:
        return total_ns(self._network, self._time, counts)

    def lost(self, counts: Counts) -> float:
        return self._network.lost(counts)

    def change(self, counts: dict[str, int], group: Group, to: int) -> float:
        """How much longer everything takes when the group is left with ``to``."""
        layers, after = self._of[group.name], {**counts, group.name: to}
        return sum(self._time(layer.shaped(after)) - self._time(layer.shaped(counts)) for layer in layers)

    def down(self, budget_ns: float) -> dict[str, int] | None:
        """From the whole network: what is lost least for the time it saves goes first."""
        counts = self._network.full
        while self.total(counts) > budget_ns:
            best, best_price = None, math.inf
            for group, to in self._steps(counts, lambda now, to: to < now):
                saved = -self.change(counts, group, to)
                price = (group.lost(to) - group.lost(counts[group.name])) / saved if saved > 0 else math.inf
                if price < best_price:
                    best, best_price = (group.name, to), price
            if best is None:
                return None
            counts[best[0]] = best[1]
        return counts

    def up(self, budget_ns: float) -> dict[str, int] | None:
        """From the smallest network: what gains most for the time it takes comes first."""
        counts = self._network.smallest
        total = self.total(counts)
        if total > budget_ns:
            return None
        while True:
            best, best_worth, best_cost = None, 0.0, 0.0
            for group, to in self._steps(counts, lambda now, to: to > now):
                cost = self.change(counts, group, to)
                if total + cost > budget_ns:
                    continue
                gained = group.lost(counts[group.name]) - group.lost(to)
                worth = gained / cost if cost > 0 else math.inf
                if worth > best_worth:
                    best, best_worth, best_cost = (group.name, to), worth, cost
            if best is None:
                return counts
            counts[best[0]] = best[1]
            total += best_cost

    def exchanged(self, counts: dict[str, int], budget_ns: float) -> dict[str, int]:
        """Give to one group, from the time that is left or from what another gives back, while that gains."""
        counts, total = dict(counts), self.total(counts)
        for _ in range(_EXCHANGES):
            found = self._exchange(counts, total, budget_ns)
            if found is None:
                break
            counts, total = found, self.total(found)
        return counts

    def _exchange(self, counts: dict[str, int], total: float, budget_ns: float) -> dict[str, int] | None:
        best, best_gain = None, 1e-12
        for group, to in self._steps(counts, lambda now, to: to > now):
            gain = group.lost(counts[group.name]) - group.lost(to)
            cost = self.change(counts, group, to)
            raised = {**counts, group.name: to}
            if total + cost <= budget_ns:
                if gain > best_gain:
                    best, best_gain = raised, gain
                continue
            for other, less in self._steps(raised, lambda now, to: to < now):
                left = gain - (other.lost(less) - other.lost(raised[other.name]))
                if other is group or left <= best_gain:
                    continue
                if total + cost + self.change(raised, other, less) <= budget_ns:
                    best, best_gain = {**raised, other.name: less}, left
        return best

    def _steps(
        self, counts: dict[str, int], wanted: Callable[[int, int], bool]
    ) -> Iterator[tuple[Group, int]]:
        """Every other number that a group may be left with, one group at a time."""
        return itertools.chain.from_iterable(
            ((group, to) for to in group.choices if wanted(counts[group.name], to))
            for group in self._network.groups
        )
