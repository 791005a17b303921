"""Whether the newest nights are on another level than those before, told as early as it can be.

:mod:`.divide` needs some nights on either side of a change. This looks at the newest one to eight alone:
their mean about the level before, each held to a few standard deviations so that one wild night is not a
change, in units of what such a mean moves by itself.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

#: The fewest values that make a level.
REFERENCE = 5
#: The level before is that of so many values at most, for a series may drift.
RECENT = 20
#: So many of the newest values are looked at, 1, 2, ... of them.
NEWEST = 8
#: Two measurements make a change certain when their mean lies so many standard errors off.
_TWO = 4.3
#: Values further out count as if they lay here, in standard deviations.
_HELD = 3.5
#: By how many standard errors the mean of the newest must lie off: a single one, and two or more.
SUSPECT, CERTAIN = 2.8, 3.4
#: The variance of a mean without the outer fifths, over that of the mean, for normal values.
_TRIMMED = 1.15
#: More than half of the newest must lie off by so many standard deviations each.
_EACH = 1.9


@dataclass(frozen=True)
class Shift:
    """The newest ``count`` values lie ``errors`` standard errors off; above 0 is up."""

    count: int
    errors: float

    @property
    def is_certain(self) -> bool:
        """Whether it rests on enough measurements: three, or two that are far off."""
        return self.count >= 3 or (self.count == 2 and abs(self.errors) >= _TWO)


def newest_shift(part: Floats, sigma: float, least: float) -> Shift | None:
    """The shift at the end of a part without changes; None when there is none.

    Args:
        part: logarithms, in order.
        sigma: of one value, see :func:`~edgewright.history.noise.scale`.
        least: the smallest difference that counts.
    """
    most = min(NEWEST, len(part) - REFERENCE)
    found = [shift for count in range(1, most + 1) if (shift := _shift(part, count, sigma, least))]
    # Two measurements say more than one, however wild that one is; where it began, the two levels fit best.
    return min(found, key=lambda one: (one.count == 1, misfit(part, len(part) - one.count)), default=None)


def misfit(values: Floats, cut: int) -> float:
    """How far the values lie, in all, from the level before the cut or from the one after it."""
    return sum(float(np.abs(side - np.median(side)).sum()) for side in np.split(values, [cut]))


def _shift(part: Floats, count: int, sigma: float, least: float) -> Shift | None:
    before = np.sort(part[:-count][-RECENT:])
    level = float(before[len(before) // 5 : len(before) - len(before) // 5].mean())
    off = (part[-count:] - level) / sigma
    held = np.clip(off, -_HELD, _HELD) if count > 1 else off
    error = math.sqrt(1 / count + _TRIMMED / len(before))
    errors = float(held.mean()) / error
    sign = math.copysign(1.0, errors)
    needed = (CERTAIN if count > 1 else SUSPECT) * _unsure(len(before))
    agreeing = int(np.count_nonzero(sign * off > _EACH))
    is_large = sign * sigma * float(np.median(off)) >= least
    if abs(errors) < needed or 2 * agreeing <= count or not is_large:
        return None
    return Shift(count, errors)


def _unsure(count: int) -> float:
    """How much more is needed where a level and a scale rest on few values."""
    return 1.0 + 1.0 / count
