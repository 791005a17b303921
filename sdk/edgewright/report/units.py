"""Numbers as people read them, each with its unit."""

from __future__ import annotations

import math

DASH = "—"


def significant(value: float, digits: int = 3) -> str:
    """A number with so many significant digits and no exponent, thousands set apart."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    decimals = digits - 1 - math.floor(math.log10(abs(value)))
    rounded = round(value, decimals)
    return f"{rounded:,.{max(0, decimals)}f}"


def milliseconds(value: float) -> str:
    """Milliseconds as µs, ms or s, whichever reads best."""
    if abs(value) < 1e-3:
        return f"{significant(value * 1e6)} ns"
    if abs(value) < 1:
        return f"{significant(value * 1e3)} µs"
    return f"{significant(value)} ms" if abs(value) < 1e4 else f"{significant(value / 1e3)} s"


def size(bytes_: int) -> str:
    """Bytes in the decimal units that file sizes are sold in."""
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if abs(bytes_) >= factor:
            return f"{significant(bytes_ / factor)} {unit}"
    return f"{bytes_:,} B"


def millijoules(value: float) -> str:
    """Millijoules as µJ, mJ or J."""
    if 0 < abs(value) < 1:
        return f"{significant(value * 1e3)} µJ"
    return f"{significant(value)} mJ" if abs(value) < 1e4 else f"{significant(value / 1e3)} J"


def ratio(factor: float) -> str:
    """A factor, such as ``1.64×``."""
    return f"{significant(factor)}×"


def score(value: float) -> str:
    """A quality score: four decimals up to one, else four significant digits."""
    return f"{value:.4f}" if abs(value) <= 1 else significant(value, 4)


def rate(per_second: float) -> str:
    """How often a second, such as ``1,250/s``."""
    return f"{significant(per_second)}/s"
