"""From an interval of a ratio to an answer, the same rule for everything that is compared.

The threshold is the difference that must not be missed. B is called slower when it certainly costs more than
half of it, and the same when it certainly costs less than all of it: a difference as large as the threshold
is never called the same, one below half of it never slower, and what lies between is called either way.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Answer = Literal["faster", "slower", "same", "cannot tell"]

#: Relative difference that must be told, unless asked otherwise.
THRESHOLD = 0.05


@dataclass(frozen=True)
class Bounds:
    """Where the ratio of B's time to A's lies."""

    low: float
    high: float


def within(bounds: Bounds, threshold: float) -> bool:
    """Whether the ratio lies within the threshold, either way round."""
    return 1 / (1 + threshold) < bounds.low and bounds.high < 1 + threshold


def decide(bounds: Bounds, threshold: float) -> Answer:
    """What B is to A, when no more will be measured."""
    least = 1 + threshold / 2
    if bounds.low > least:
        return "slower"
    if bounds.high < 1 / least:
        return "faster"
    return "same" if within(bounds, threshold) else "cannot tell"


def settled(bounds: Bounds, threshold: float) -> bool:
    """Whether more measuring would hardly change the answer: a difference, or within half the threshold."""
    return decide(bounds, threshold) in ("slower", "faster") or within(bounds, threshold / 2)
