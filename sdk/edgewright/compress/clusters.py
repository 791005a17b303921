"""One-dimensional k-means over the weights of a tensor."""

from __future__ import annotations

import numpy as np

from edgewright.workload import Array

_ITERATIONS = 50


def clustered(weights: Array, bits: int) -> Array:
    """``weights`` with at most 2 ** bits different values; zeros stay zero and take one of them.

    Lloyd's iteration on the sorted weights: the borders between neighbouring centres are their means, so each
    step is a search and sums over stretches. The centres begin evenly between the extremes.
    """
    flat = weights.reshape(-1).astype(np.float64)
    others = np.sort(flat[flat != 0])
    count = (1 << bits) - int(len(others) < len(flat))
    if len(others) == 0 or count < 1:
        return np.zeros_like(weights)
    centres = np.linspace(others[0], others[-1], min(count, len(others)))
    sums = np.concatenate([[0.0], np.cumsum(others)])
    for _ in range(_ITERATIONS):
        borders = np.searchsorted(others, (centres[:-1] + centres[1:]) / 2)
        edges = np.concatenate([[0], borders, [len(others)]])
        sizes = np.diff(edges)
        means = np.diff(sums[edges]) / np.maximum(sizes, 1)
        moved = np.sort(np.where(sizes > 0, means, centres))
        if np.array_equal(moved, centres):
            break
        centres = moved
    nearest = np.searchsorted((centres[:-1] + centres[1:]) / 2, flat)
    shared = np.where(flat == 0, 0.0, centres[nearest]).astype(weights.dtype)
    return shared.reshape(weights.shape)
