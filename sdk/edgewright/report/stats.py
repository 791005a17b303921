"""Statistics of raw latency samples, derived whenever a run is read and never stored.

The unit of comparison is the launch, a fresh process: samples within one launch share its memory
layout, its heap and its luck, so the interval of a median resamples launches first and samples
within them second.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .binomial import CONFIDENCE, samples_needed, spare_above
from .shape import modes

Nanoseconds = npt.NDArray[np.int64]

PERCENTILES = (50, 90, 95, 99)
#: Replicates of a bootstrap, and the confidence of the intervals it gives.
RESAMPLES = 2000
INTERVAL_CONFIDENCE = 0.95
#: Samples slower than the third quartile by this many interquartile ranges are called far out (Tukey).
FAR_OUT = 3.0


@dataclass(frozen=True)
class Percentile:
    """A percentile and its upper bound in nanoseconds, or the reason why there is none.

    ``upper_ns`` is at least the true percentile with 99 % confidence, one-sided.
    """

    percent: int
    value_ns: float | None
    upper_ns: float | None
    reason: str = ""


@dataclass(frozen=True)
class Interval:
    """Where the median lies with :data:`INTERVAL_CONFIDENCE`; ``method`` says what was resampled."""

    low_ns: float
    high_ns: float
    method: str


@dataclass(frozen=True)
class Summary:
    """Steady-state latency over all launches, in nanoseconds."""

    count: int
    mean_ns: float
    min_ns: int
    max_ns: int
    percentiles: tuple[Percentile, ...]
    launch_medians_ns: tuple[float, ...]
    interval: Interval
    notes: tuple[str, ...]

    def percentile(self, percent: int) -> Percentile:
        """One of :data:`PERCENTILES`."""
        return next(p for p in self.percentiles if p.percent == percent)


def summarize(launches: Sequence[Sequence[int] | Nanoseconds]) -> Summary:
    """Summarize the steady-state samples of a row's launches.

    Args:
        launches: nanoseconds, one non-empty sequence a launch.

    Raises:
        ValueError: when there is no sample.
    """
    arrays = [np.asarray(launch, dtype=np.int64) for launch in launches if len(launch)]
    if not arrays:
        raise ValueError("no samples to summarize")
    pooled = np.sort(np.concatenate(arrays))
    return Summary(
        count=int(pooled.size),
        mean_ns=float(pooled.mean()),
        min_ns=int(pooled[0]),
        max_ns=int(pooled[-1]),
        percentiles=tuple(percentile(pooled, percent) for percent in PERCENTILES),
        launch_medians_ns=tuple(float(np.median(launch)) for launch in arrays),
        interval=median_interval(arrays),
        notes=(*_outliers(pooled), *_multimodality(pooled)),
    )


def percentile(ordered: Nanoseconds, percent: int) -> Percentile:
    """A percentile of samples in ascending order, withheld when there are too few of them."""
    needed = samples_needed(percent)
    spare = spare_above(ordered.size, percent)
    if spare is None:
        reason = f"needs {needed} samples for {CONFIDENCE:.0%} confidence, there are {ordered.size}"
        return Percentile(percent, None, None, reason)
    return Percentile(
        percent, float(np.percentile(ordered, percent)), float(ordered[ordered.size - 1 - spare])
    )


def median_interval(launches: Sequence[Nanoseconds], *, seed: int = 0) -> Interval:
    """A bootstrap interval of the median, the same for the same samples."""
    rng = np.random.default_rng(seed)
    replicates = bootstrap_medians(launches, rng)
    tail = (1.0 - INTERVAL_CONFIDENCE) / 2.0
    low, high = np.quantile(replicates, (tail, 1.0 - tail))
    if len(launches) > 1:
        return Interval(float(low), float(high), f"bootstrap over {len(launches)} launches and their samples")
    method = "bootstrap over the samples of one launch: differences between launches are not in it"
    return Interval(float(low), float(high), method)


def bootstrap_medians(
    launches: Sequence[Nanoseconds], rng: np.random.Generator, resamples: int = RESAMPLES
) -> npt.NDArray[np.float64]:
    """Replicates of the median over launches: launches are drawn anew, and so are the samples in each.

    The median of ``n`` draws from sorted samples sits at a rank that follows a beta distribution, so a
    replicate costs one draw however many samples there are.
    """
    ordered = [np.sort(launch) for launch in launches]
    chosen = rng.integers(len(ordered), size=(resamples, len(ordered)))
    medians = np.empty((resamples, len(ordered)))
    for index, samples in enumerate(ordered):
        here = chosen == index
        half = (samples.size + 1) / 2.0
        ranks = rng.beta(half, half, size=int(here.sum())) * samples.size
        medians[here] = samples[np.minimum(ranks.astype(np.int64), samples.size - 1)]
    return np.asarray(np.median(medians, axis=1), dtype=np.float64)


def ms(nanoseconds: float) -> float:
    """Nanoseconds to milliseconds."""
    return nanoseconds / 1e6


def _outliers(ordered: Nanoseconds) -> tuple[str, ...]:
    first, third = np.percentile(ordered, (25, 75))
    fence = third + FAR_OUT * (third - first)
    far = int(np.count_nonzero(ordered > fence))
    if not far or third <= first:
        return ()
    return (
        f"{far} of {ordered.size} samples ({far / ordered.size:.2%}) are far out, above {ms(fence):.4g} ms; "
        f"the slowest took {ms(float(ordered[-1])):.4g} ms",
    )


def _multimodality(ordered: Nanoseconds) -> tuple[str, ...]:
    found = modes(ordered)
    if len(found) < 2:
        return ()
    places = " and ".join(f"{ms(mode):.4g} ms" for mode in found)
    return (f"the samples gather at {len(found)} levels, {places}: the median stands for none of them alone",)
