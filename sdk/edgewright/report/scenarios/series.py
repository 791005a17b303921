"""Arrays and percentiles that several scenarios share."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from edgewright.report.scenario_document import Ratio, Spread
from edgewright.report.stats import INTERVAL_CONFIDENCE, RESAMPLES, Nanoseconds, ms, percentile
from edgewright_agent.protocol import RunResult, Starts

Reals = npt.NDArray[np.float64]

#: Ten years; what a device says took longer is no time.
_LONGEST_NS = 3e17


def integers(samples: Sequence[int]) -> Nanoseconds:
    """Raw samples as an array."""
    return np.asarray(samples, dtype=np.int64)


def starts_of(launch: RunResult) -> Starts | None:
    """When the latencies of a launch began; None in scenarios that do not keep it."""
    run = launch.scenario
    if run is None:
        return None
    return run.paced.starts if run.paced else run.sustained.starts if run.sustained else None


def start_times(starts: Starts, latency_ns: Nanoseconds) -> Nanoseconds:
    """When each inference began, nanoseconds after ``starts.begin_ns``.

    Raises:
        ValueError: there is not one gap for each latency, or they are no times.
    """
    gaps = integers(starts.gap_ns)
    if gaps.size != latency_ns.size:
        raise ValueError(f"{gaps.size} starts for {latency_ns.size} latencies")
    total = float(gaps.sum(dtype=np.float64) + latency_ns.sum(dtype=np.float64))
    if gaps.size and (gaps.min() < 0 or latency_ns.min() < 0 or total > _LONGEST_NS):
        raise ValueError("starts and latencies that are no times")
    return np.asarray(np.cumsum(gaps + latency_ns) - latency_ns, dtype=np.int64)


def spread(samples: Nanoseconds) -> Spread | None:
    """The percentiles that there are enough samples for; None without any sample."""
    if not samples.size:
        return None
    ordered = np.sort(samples)
    found = {f"p{p.percent}": p for p in (percentile(ordered, percent) for percent in (50, 90, 99))}
    return Spread(
        p50=_value(found["p50"].value_ns),
        p90=_value(found["p90"].value_ns),
        p99=_value(found["p99"].value_ns),
        max=milli(ordered[-1]),
        count=int(ordered.size),
        reasons={name: p.reason for name, p in found.items() if p.reason},
    )


def median_ratio(pairs: Sequence[tuple[Nanoseconds, Nanoseconds]], *, seed: int = 0) -> Ratio | None:
    """The median over launches of the ratio of two medians of the same launch, with a bootstrap interval.

    Launches are drawn anew and so are the samples of both sides within them, as for the interval of a median.

    Args:
        pairs: numerator's and denominator's samples of each launch; launches that lack one side are left out.
    """
    whole = [(np.sort(a), np.sort(b)) for a, b in pairs if a.size and b.size]
    if not whole:
        return None
    rng = np.random.default_rng(seed)
    chosen = rng.integers(len(whole), size=(RESAMPLES, len(whole)))
    drawn = np.empty(chosen.shape)
    for index, (above, below) in enumerate(whole):
        here = chosen == index
        count = int(here.sum())
        drawn[here] = _medians(above, count, rng) / _medians(below, count, rng)
    replicates = np.median(drawn, axis=1)
    value = float(np.median([np.median(a) / np.median(b) for a, b in whole]))
    if len(whole) > 1:
        method = f"bootstrap over {len(whole)} launches and their samples"
    else:
        method = "bootstrap over the samples of one launch: differences between launches are not in it"
    return ratio(value, replicates, method)


def ratio(value: float, replicates: Reals, method: str) -> Ratio:
    """A ratio with the interval that its replicates span."""
    tail = (1.0 - INTERVAL_CONFIDENCE) / 2.0
    low, high = np.quantile(replicates, (tail, 1.0 - tail))
    return Ratio(
        value=round(value, 6),
        low=round(float(min(low, value)), 6),
        high=round(float(max(high, value)), 6),
        confidence=INTERVAL_CONFIDENCE,
        method=method,
    )


def milli(nanoseconds: float) -> float:
    """Milliseconds to the nanosecond."""
    return round(ms(float(nanoseconds)), 6)


def _value(nanoseconds: float | None) -> float | None:
    return None if nanoseconds is None else milli(nanoseconds)


def _medians(ordered: Nanoseconds, count: int, rng: np.random.Generator) -> Reals:
    """Medians of ``count`` resamples: the rank of a resample's median follows a beta distribution."""
    half = (ordered.size + 1) / 2.0
    ranks = (rng.beta(half, half, size=count) * ordered.size).astype(np.int64)
    return np.asarray(ordered[np.minimum(ranks, ordered.size - 1)], dtype=np.float64)
