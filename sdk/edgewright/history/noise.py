"""How much a series moves by itself from one measurement to the next, whatever a few wild nights did."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

#: Standard deviations of a normal distribution in one median absolute deviation.
_SIGMA = 1.4826
#: No series is taken for steadier than this: clocks and rounding are not.
LEAST = 0.002


def scale(parts: Sequence[Floats], within: Floats) -> float:
    """The standard deviation of one value about its part's level, on the scale of logarithms.

    The larger of three: the spread about the level (drifts included), the spread of the steps from one value
    to the next, and what the measurements themselves do not know.

    Args:
        parts: the values between changes, in order.
        within: the standard error of each value by the samples it was made of; may be empty.
    """
    spread = [np.abs(part - np.median(part)) for part in parts if len(part) > 1]
    steps = [np.abs(np.diff(part)) for part in parts if len(part) > 1]
    about = _SIGMA * _few(np.concatenate(spread)) if spread else 0.0
    between = _SIGMA * float(np.median(np.concatenate(steps))) / np.sqrt(2.0) if steps else 0.0
    floor = float(np.median(within)) if len(within) else 0.0
    return float(max(about, between, floor, LEAST))


def _few(deviations: Floats) -> float:
    """The median deviation, made larger where few values make it too small (Croux and Rousseeuw 1992)."""
    count = len(deviations)
    return float(np.median(deviations)) * (count / (count - 0.8) if count > 9 else 1.3)
