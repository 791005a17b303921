"""How many components of a matrix are signal: empirical variational Bayesian matrix factorization.

The global analytic solution with unknown noise variance of Nakajima, Sugiyama, Babacan and Tomioka, "Global
Analytic Solution of Fully-observed Variational Bayesian Matrix Factorization", JMLR 14 (2013): singular
values below a threshold that depends on the noise are noise; the noise is what makes the free energy least.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Matrix = npt.NDArray[np.floating[Any]]

#: The threshold's constant in the limit of large matrices, as the paper approximates it.
_TAU_FACTOR = 2.5129


def vbmf_rank(matrix: Matrix) -> int:
    """The number of components to keep of ``matrix``, shape ``[l, m]``; 0 when all of it looks like noise."""
    from scipy.optimize import minimize_scalar

    rows = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
    low, m = rows.shape
    values = np.linalg.svd(rows.astype(np.float64), compute_uv=False)
    alpha = low / m
    tau = _TAU_FACTOR * np.sqrt(alpha)
    x_bar = (1 + tau) * (1 + alpha / tau)
    squares = values**2
    # The noise variance lies between these (the paper's theorem 3).
    kept = min(int(np.ceil(low / (1 + alpha))) - 1, low) - 1
    upper = squares.sum() / (low * m)
    lower = max(squares[min(kept + 1, low - 1)] / (m * x_bar), squares[min(kept + 1, low - 1) :].mean() / m)
    if not 0 < lower < upper:
        return low
    found = minimize_scalar(
        _free_energy, args=(squares, m, alpha, x_bar), bounds=(lower, upper), method="bounded"
    )
    return int((squares > m * found.x * x_bar).sum())


def _free_energy(noise: float, squares: Matrix, m: int, alpha: float, x_bar: float) -> float:
    x = squares / (m * noise)
    signal, rest = x[x > x_bar], x[x <= x_bar]
    tau = 0.5 * (signal - (1 + alpha) + np.sqrt((signal - (1 + alpha)) ** 2 - 4 * alpha))
    return float(
        (rest - np.log(rest)).sum()
        + (signal - tau).sum()
        + np.log((tau + 1) / signal).sum()
        + alpha * np.log(tau / alpha + 1).sum()
    )
