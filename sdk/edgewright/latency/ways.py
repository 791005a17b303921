"""Ways to share a budget of time out among groups of channels.

No measure of importance is right about every network. A sum of Taylor terms is of the first order: it tells
which channels go first, and ever less about a group of which much goes, so that it may empty one layer. Which
way keeps most is not known before the networks are trained; each is tried, and judged on samples it has not
seen (:mod:`edgewright.compress.screening`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Literal

from .knapsack import Choice, Time, choose, total_ns
from .layers import Group, Network

Way = Literal["importance", "tempered", "even"]
#: What to leave in a budget of nanoseconds; None when nothing keeps to it.
Share = Callable[[Network, Time, float], Choice | None]

#: Shares of channels that stay, tried from all down to none when all groups lose alike.
_STEPS = 400


def tempered(network: Network, time: Time, budget_ns: float) -> Choice | None:
    """By the square roots of importances, which keeps a group of small ones from being emptied for others."""
    groups = tuple(
        replace(group, importance=tuple(max(0.0, value) ** 0.5 for value in group.importance))
        for group in network.groups
    )
    choice = choose(replace(network, groups=groups), time, budget_ns)
    return choice and replace(choice, lost=network.lost(choice.counts))


def evenly(network: Network, time: Time, budget_ns: float) -> Choice | None:
    """The same share of every group, as nearly as its choices go: the largest that keeps to the budget."""
    for step in range(_STEPS, -1, -1):
        counts = {group.name: _nearest(group, step / _STEPS) for group in network.groups}
        if total_ns(network, time, counts) <= budget_ns:
            counts = _filled(network, time, counts, budget_ns)
            return Choice(counts, total_ns(network, time, counts), network.lost(counts))
    return None


def _nearest(group: Group, kept: float) -> int:
    return min(group.choices, key=lambda choice: abs(choice - kept * group.size))


def _filled(network: Network, time: Time, counts: dict[str, int], budget_ns: float) -> dict[str, int]:
    """One step more for each group that the budget still has room for: groups of one size step together."""
    for group in network.groups:
        more = next((choice for choice in group.choices if choice > counts[group.name]), None)
        if more is not None:
            raised = {**counts, group.name: more}
            counts = raised if total_ns(network, time, raised) <= budget_ns else counts
    return counts


WAYS: Mapping[Way, Share] = {"importance": choose, "tempered": tempered, "even": evenly}
