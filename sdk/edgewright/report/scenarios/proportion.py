"""The interval of a proportion from counts: exact, whatever the counts (Clopper and Pearson 1934)."""

from __future__ import annotations

import math

import numpy as np

CONFIDENCE = 0.95
_STEPS = 60


def interval(hits: int, count: int, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Where the true share lies with this confidence, given ``hits`` of ``count`` independent trials.

    Raises:
        ValueError: no trials, or more hits than trials.
    """
    if count < 1 or not 0 <= hits <= count:
        raise ValueError(f"{hits} of {count} is no proportion")
    tail = (1.0 - confidence) / 2.0
    low = 0.0 if hits == 0 else _solve(hits - 1, count, 1.0 - tail)
    high = 1.0 if hits == count else _solve(hits, count, tail)
    return low, high


def _solve(hits: int, count: int, mass: float) -> float:
    """The share at which at most ``hits`` of ``count`` come with this chance; it falls as the share grows."""
    low, high = 0.0, 1.0
    for _ in range(_STEPS):
        middle = (low + high) / 2.0
        if _at_most(hits, count, middle) > mass:
            low = middle
        else:
            high = middle
    return (low + high) / 2.0


def _at_most(hits: int, count: int, share: float) -> float:
    """The binomial distribution function. Terms ten deviations under the mean weigh under 1e-20."""
    deviation = math.sqrt(count * share * (1.0 - share))
    first = max(0, int(count * share - 10.0 * deviation) - 1)
    if first > hits:
        return 0.0
    terms = np.arange(first, hits + 1, dtype=np.float64)
    steps = np.log((count - terms[:-1]) / (terms[:-1] + 1.0)) + math.log(share / (1.0 - share))
    begin = (
        math.lgamma(count + 1)
        - math.lgamma(first + 1)
        - math.lgamma(count - first + 1)
        + first * math.log(share)
        + (count - first) * math.log1p(-share)
    )
    logs = begin + np.concatenate(([0.0], np.cumsum(steps)))
    return float(min(1.0, np.exp(logs).sum()))
