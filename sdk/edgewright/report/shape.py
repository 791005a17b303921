"""The shape of a latency distribution: its density, and whether it has more than one peak."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import numpy.typing as npt

_BINS = 256
#: A peak counts when it holds this share of the samples and a valley falls below this share of its height.
_MIN_MASS = 0.08
_MAX_VALLEY = 0.5
_MIN_SAMPLES = 100

Values = npt.NDArray[np.int64]
Reals = npt.NDArray[np.float64]


def density(
    values: Values, low: float, high: float, *, points: int = _BINS, sharpness: float = 1.0
) -> tuple[Reals, Reals]:
    """A smooth density of positive values on a logarithmic axis from ``low`` to ``high``.

    Latencies are skewed, so smoothing happens on their logarithm, with Silverman's width divided by
    ``sharpness``. All values weigh in; those outside the range are left out of the curve.

    Returns:
        ``points`` places in the unit of ``values``, and the density there, scaled to a peak of one.
    """
    edges = np.linspace(np.log(low), np.log(high), points + 1)
    logs = np.log(np.maximum(values, 1))
    counts, _ = np.histogram(logs, edges)
    first, third = np.percentile(logs, (25, 75))
    spread = min(float(logs.std()), float(third - first) / 1.34) or float(logs.std())
    step = float(edges[1] - edges[0])
    width = max(0.9 * spread * values.size**-0.2 / sharpness, step)
    reach = int(np.ceil(4 * width / step))
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) * step / width) ** 2)
    smooth = np.convolve(np.pad(counts.astype(np.float64), reach), kernel, mode="valid")
    peak = float(smooth.max())
    heights = np.asarray(smooth / peak if peak else smooth, dtype=np.float64)
    return np.exp((edges[:-1] + edges[1:]) / 2), heights


def modes(ordered: Values) -> tuple[float, ...]:
    """Where the samples gather, in their own unit; one place when nothing else is certain.

    Two peaks are told apart when each holds at least 8 % of the samples and the density between
    them falls to half of the lower one.
    """
    low, high = float(np.percentile(ordered, 0.5)), float(np.percentile(ordered, 99.5))
    if ordered.size < _MIN_SAMPLES or low <= 0 or high <= low * 1.02:
        return (float(np.median(ordered)),)
    body = ordered[(ordered >= low) & (ordered <= high)]
    margin = (high / low) ** 0.05
    places, heights = density(body, low / margin, high * margin)
    peaks = [int(i) for i in _local_maxima(heights)]
    while len(peaks) > 1:
        valleys = [_deepest(heights, a, b) for a, b in pairwise(peaks)]
        cuts = [0.0, *(float(places[v]) for v in valleys), np.inf]
        masses = [float(np.mean((body >= a) & (body < b))) for a, b in pairwise(cuts)]
        weak = [
            i
            for i in range(len(peaks))
            if masses[i] < _MIN_MASS
            or any(heights[v] > _MAX_VALLEY * heights[peaks[i]] for v in valleys[max(0, i - 1) : i + 1])
        ]
        if not weak:
            break
        peaks.remove(min((peaks[i] for i in weak), key=lambda p: float(heights[p])))
    return tuple(float(places[p]) for p in peaks)


def _local_maxima(heights: Reals) -> npt.NDArray[np.intp]:
    padded = np.concatenate(([-1.0], heights, [-1.0]))
    return np.flatnonzero((padded[1:-1] > padded[:-2]) & (padded[1:-1] >= padded[2:]) & (heights > 0))


def _deepest(heights: Reals, first: int, last: int) -> int:
    return first + int(np.argmin(heights[first : last + 1]))
