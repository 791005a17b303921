"""The ranges of activations from samples, by four calibrators that are the same in every format.

* ``minmax``: the extremes that were seen.
* ``percentile``: what is left when an equal share of the values is cut off at both ends.
* ``entropy``: the cut after which the 8-bit distribution tells the most of the original one, by the
  Kullback-Leibler divergence (after Migacz, 8-bit Inference with TensorRT, GTC 2017).
* ``mse``: the cut with the least mean squared error, rounding inside and clipping outside of it (Sung et al.,
  2015, arXiv 1511.06488; Banner et al., NeurIPS 2019, arXiv 1810.05723); lower and upper end are cut apart.

The samples are seen twice, first for the extremes and then for a histogram between them, so that no more than
one sample's activations are in memory at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from edgewright.errors import CompressionError
from edgewright.workload import Array

from .attention_masks import INFINITE, NO_MASKS, Masks, end_of_rows

Calibrator = Literal["minmax", "entropy", "percentile", "mse"]
#: From a sample to the float tensors it gives rise to, by name.
Observe = Callable[[tuple[Array, ...]], Mapping[str, Array]]

BINS = 2048
_LEVELS = 256
#: What is cut off stands apart where the next value is so many times as large as the cut.
_APART = 1.5
#: The share of a value that no level tells of.
_UNTOLD = 1e-9
#: Shares of the extremes that a range may be cut to.
_SHARES = np.concatenate([np.geomspace(0.02, 0.2, 24, endpoint=False), np.linspace(0.2, 1.0, 81)])


@dataclass(frozen=True)
class Range:
    """The least and the greatest value that integers stand for; zero is among them."""

    lowest: float
    highest: float

    def symmetric(self) -> Range:
        """The same to both sides of zero."""
        reach = max(-self.lowest, self.highest)
        return Range(-reach, reach)

    def usable(self) -> Range:
        """The same; from 0 to 1 for what was zero in every sample, since no kernel takes steps of nothing."""
        return Range(0.0, 1.0) if self.lowest == self.highest == 0 else self


@dataclass(frozen=True)
class Histogram:
    """How often values lie where, ``counts`` in equal bins over ``within``.

    Exact zeros are counted apart: integers hold zero exactly, and after a ReLU most values are zeros, whose
    spike would drown the shape of the others.
    """

    within: Range
    counts: Array
    zeros: int = 0

    @property
    def edges(self) -> Array:
        """The bins' borders, one more than there are bins."""
        return np.linspace(self.within.lowest, self.within.highest, len(self.counts) + 1)


def calibrate(
    observe: Observe,
    samples: Sequence[tuple[Array, ...]],
    calibrator: Calibrator,
    *,
    percentile: float = 99.99,
    symmetric: bool = False,
    masks: Masks = NO_MASKS,
    tell: Callable[[str], None] = lambda _: None,
) -> dict[str, Range]:
    """The range of every tensor that ``observe`` shows.

    Args:
        percentile: of the values to keep, in percent, for that calibrator.
        symmetric: search among ranges that reach as far below zero as above.
        masks: whose values need no level.
        tell: says what goes on.

    Raises:
        CompressionError: nothing was seen that has a range.
    """
    extremes: dict[str, Range] = {}
    deepest: dict[str, float] = {}
    ends: dict[str, float] = {}
    scores = masks.scores
    for name, tensor in _seen(observe, samples, tell, "ranges"):
        values = _finite(tensor)
        lowest, highest = float(values.min(initial=0.0)), float(values.max(initial=0.0))
        before = extremes.get(name, Range(0.0, 0.0))
        extremes[name] = Range(min(before.lowest, lowest), max(before.highest, highest))
        deepest[name] = min(deepest.get(name, 0.0), float(np.fmin.reduce(tensor, axis=None, initial=0.0)))
        if name in scores:
            ends[name] = min(ends.get(name, np.inf), end_of_rows(tensor, scores[name]))
    if not extremes:
        raise CompressionError("calibration saw no float tensor")
    floors = masks.floors(ends, {name: found.highest for name, found in extremes.items()})
    floors = {name: floor for name, floor in floors.items() if deepest.get(name, 0.0) < floor}
    extremes |= {name: Range(floor, extremes[name].highest) for name, floor in floors.items()}
    if symmetric:
        extremes = {name: found.symmetric() for name, found in extremes.items()}
    if calibrator == "minmax":
        return extremes
    histograms: dict[str, Histogram] = {}
    for name, tensor in _seen(observe, samples, tell, "histograms"):
        values = _finite(tensor)
        values = values[values >= floors.get(name, -np.inf)]
        histograms[name] = _added(histograms.get(name), extremes[name], values)
    ranges = {
        name: found if name not in histograms else cut(histograms[name], calibrator, percentile, symmetric)
        for name, found in extremes.items()
    }
    for name, floor in floors.items():  # what is masked out lies at the lower end, which cannot be cut then
        kept = Range(floor, ranges[name].highest)
        ranges[name] = kept.symmetric() if symmetric else kept
    return ranges


def cut(histogram: Histogram, calibrator: Calibrator, percentile: float, symmetric: bool) -> Range:
    """The range that a calibrator makes of a histogram."""
    within = histogram.within
    if within.lowest == within.highest or not histogram.counts.any():
        return within
    if calibrator == "percentile":
        return _by_percentile(histogram, percentile / 100, symmetric)
    if calibrator == "entropy":
        return _by_entropy(histogram)
    return _by_error(histogram, symmetric)


def _seen(
    observe: Observe, samples: Sequence[tuple[Array, ...]], tell: Callable[[str], None], what: str
) -> Iterable[tuple[str, Array]]:
    """Every tensor of every sample."""
    for number, sample in enumerate(samples, 1):
        tell(f"calibrating, {what}: sample {number} of {len(samples)}")
        yield from observe(sample).items()


def _finite(tensor: Array) -> Array:
    flat = np.ravel(tensor)
    finite: Array = flat[np.abs(flat) < INFINITE]  # neither infinite nor NaN
    return finite


def _added(before: Histogram | None, within: Range, values: Array) -> Histogram:
    other = values[values != 0]
    counts, _ = np.histogram(other, bins=BINS, range=(within.lowest, within.highest))
    zeros = values.size - other.size
    if before is None:
        return Histogram(within, counts, zeros)
    return Histogram(within, before.counts + counts, before.zeros + zeros)


def _by_percentile(histogram: Histogram, share: float, symmetric: bool) -> Range:
    edges = histogram.edges
    counts = histogram.counts.astype(np.float64)
    at_zero = np.searchsorted(edges, 0.0, side="right") - 1
    counts[min(int(at_zero), len(counts) - 1)] += histogram.zeros
    if symmetric:
        half = len(counts) // 2
        folded = counts[half:] + counts[:half][::-1]
        reach = float(np.interp(share, np.cumsum(folded) / folded.sum(), edges[half + 1 :]))
        return Range(-reach, reach)
    below = np.concatenate([[0.0], np.cumsum(counts) / counts.sum()])
    cut_off = (1 - share) / 2
    lowest, highest = np.interp([cut_off, 1 - cut_off], below, edges)
    return Range(min(float(lowest), 0.0), max(float(highest), 0.0))


def _by_entropy(histogram: Histogram) -> Range:
    """The cut on the absolute value, at a bin's border, of the least divergence.

    The divergence knows how often values are, not how large: by itself it would cut off a long tail that the
    outputs are made of. So a cut has to cost no squared error, unless what it cuts off stands apart.
    """
    edges, counts = histogram.edges, histogram.counts.astype(np.float64)
    sizes = np.abs(edges[1:] + edges[:-1]) / 2
    reach = max(-edges[0], edges[-1])
    best, least, most = histogram.within, np.inf, np.inf
    for share in _SHARES[::-1]:
        first = int(np.searchsorted(edges, -share * reach * (1 + 1e-9)))
        last = int(np.searchsorted(edges, share * reach * (1 + 1e-9), side="right")) - 1
        if last - first < _LEVELS:
            break
        beyond = np.concatenate([counts[:first], counts[last:]])
        away = np.concatenate([sizes[:first], sizes[last:]])
        end = max(-edges[first], edges[last])
        step = (edges[last] - edges[first]) / (_LEVELS - 1)
        inside = counts.sum() - beyond.sum()
        error = float((beyond * np.maximum(away - end, 0) ** 2).sum() + inside * step**2 / 12)
        most = error if np.isinf(most) else most  # that of the whole range, which comes first
        if error > most and away[beyond > 0].min(initial=np.inf) < _APART * end:
            continue
        divergence = _divergence(counts, first, last)
        if divergence < least:
            best = Range(min(float(edges[first]), 0.0), max(float(edges[last]), 0.0))
            least = divergence
    return best


def _divergence(counts: Array, first: int, last: int) -> float:
    """Of all values from what 8-bit levels over the bins ``first`` to ``last`` tell of them.

    Each level tells that its values lie evenly in those of its bins that have any; of a value that is cut off
    nothing tells, which costs as much as a share that small would.
    """
    inside = counts[first:last]
    starts = np.floor(np.linspace(0, len(inside), _LEVELS, endpoint=False)).astype(int)
    occupied = inside > 0
    level = np.repeat(np.arange(_LEVELS), np.diff([*starts, len(inside)]))
    sharers = np.maximum(np.add.reduceat(occupied.astype(np.float64), starts), 1)
    told = (np.add.reduceat(inside, starts) / sharers)[level][occupied]
    held = inside[occupied]
    unheard = counts.sum() - held.sum()
    return float(((held * np.log(held / told)).sum() - unheard * np.log(_UNTOLD)) / counts.sum())


def _by_error(histogram: Histogram, symmetric: bool) -> Range:
    edges = histogram.edges
    middles = (edges[1:] + edges[:-1]) / 2
    counts = histogram.counts.astype(np.float64)
    upper, lower = _SHARES * edges[-1], _SHARES * edges[0]

    def clipped(distances: Array, inside: Array) -> tuple[Array, Array]:
        """The squared error of the values beyond each cut, and how many these are."""
        beyond = np.maximum(distances - inside[:, None], 0)
        return (counts * beyond**2).sum(axis=1), (counts * (beyond > 0)).sum(axis=1)

    above, many_above = clipped(middles, upper)
    below, many_below = clipped(-middles, -lower)
    if symmetric:
        steps = (upper - lower) / (_LEVELS - 1)
        inside = counts.sum() - many_above - many_below
        best = int(np.argmin(above + below + inside * steps**2 / 12))
        return Range(float(lower[best]), float(upper[best]))
    steps = (upper[:, None] - lower[None, :]) / (_LEVELS - 1)
    inside = counts.sum() - many_above[:, None] - many_below[None, :]
    error = above[:, None] + below[None, :] + inside * steps**2 / 12
    high, low = np.unravel_index(int(np.argmin(error)), error.shape)
    return Range(float(lower[low]), float(upper[high]))
