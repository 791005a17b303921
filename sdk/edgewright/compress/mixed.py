"""Mixed precision: the nodes that do the most damage stay in floats.

The damage of a node is measured, not modelled: it alone is quantized, the file is run on calibration samples,
and its outputs are compared with those of the file in floats. Labels are not needed. Nodes are kept worst
first, a given number of them or as few as it takes for the whole file to reach a signal-to-noise ratio.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from edgewright.errors import CompressionError
from edgewright.workload import Array

if TYPE_CHECKING:
    from .quantize import QuantizeOptions

#: Calibration samples that outputs are compared on.
_SAMPLES = 32
_NAMED = 4


class Quantizable(Protocol):
    """A calibrated file that can be quantized in parts, in one format."""

    def names(self) -> tuple[str, ...]:
        """Of the nodes with weights that are to be quantized."""

    def write(self, out: Path, *, keep: tuple[str, ...] = (), only: tuple[str, ...] = ()) -> None:
        """Write the file with integers, but for the nodes ``keep`` and, given ``only``, all others."""

    def outputs(self, path: Path | None, samples: tuple[tuple[Array, ...], ...]) -> tuple[Array, ...]:
        """What the written file, or with None the one before, computes on the samples, these first."""

    def samples(self) -> tuple[tuple[Array, ...], ...]:
        """The calibration samples."""


@dataclass(frozen=True)
class Parts:
    """The nodes to keep in floats, the only ones to quantize if there are any, and notes that name them."""

    keep: tuple[str, ...]
    only: tuple[str, ...]
    notes: tuple[str, ...] = ()


def in_floats(
    made: Quantizable, options: QuantizeOptions, folder: Path, tell: Callable[[str], None]
) -> Parts:
    """What of a file to quantize: what the options say, and where they ask for it without the worst nodes.

    Nodes without weights are integers as well at first. Where that is too much only nodes with weights are.

    Args:
        folder: for files in between.

    Raises:
        CompressionError: no number of nodes in floats does what is asked.
    """
    if not options.keep_worst and options.min_sqnr_db is None:
        return Parts(options.keep, options.only)
    names = made.names()
    if len(names) <= options.keep_worst:
        raise CompressionError(
            f"quantize: keep_worst = {options.keep_worst} of {len(names)} nodes leaves nothing to quantize"
        )
    samples = made.samples()[:_SAMPLES]
    want = made.outputs(None, samples)
    out = folder / f"part.{options.mode}"

    def reached(**parts: tuple[str, ...]) -> float:
        made.write(out, **parts)
        return sqnr_db(want, made.outputs(out, samples))

    limit = options.min_sqnr_db
    if (
        limit is not None
        and not options.keep_worst
        and reached(keep=options.keep, only=options.only) >= limit
    ):
        more = " more" if options.keep or options.only else ""
        said = f"every node keeps to the {limit:g} dB that were asked for: none{more} stays in floats"
        return Parts(options.keep, options.only, (said,))
    damage = {}
    for number, name in enumerate(names, 1):
        tell(f"quantizing node {number} of {len(names)} alone")
        damage[name] = reached(only=(name,))
    ranked = sorted(names, key=damage.__getitem__)

    def parts(count: int, weighted_only: bool) -> Parts:
        kept = tuple(ranked[:count])
        named = f"{', '.join(kept[:_NAMED])}{f' and {count - _NAMED} more' if count > _NAMED else ''}"
        said = f"{count} of {len(names)} nodes stay in floats{f': {named}' if kept else ''}"
        if weighted_only:
            said += "; and all without weights"
            return Parts(options.keep, tuple(name for name in names if name not in kept), (said,))
        return Parts((*options.keep, *kept), options.only, (said,))

    def holds(count: int, weighted_only: bool) -> bool:
        tell(f"quantizing with {count} of {len(names)} nodes in floats")
        tried = parts(count, weighted_only)
        best.append(reached(keep=tried.keep, only=tried.only))
        return best[-1] >= (limit or 0.0)

    best: list[float] = []
    if limit is None:
        return parts(options.keep_worst, weighted_only=False)
    most = len(ranked) - 1
    for weighted_only in (False, True):
        if holds(most, weighted_only):
            tried = range(options.keep_worst, most)
            count = options.keep_worst + bisect.bisect_left(
                tried, True, key=lambda kept: holds(kept, weighted_only)
            )
            return parts(count, weighted_only)
    raise CompressionError(
        f"quantize: {max(best):.1f} dB with all but one of {len(ranked)} nodes in floats,"
        f" min_sqnr_db asks for {limit:g}",
        mend="ask for less",
    )


def sqnr_db(want: tuple[Array, ...], got: tuple[Array, ...]) -> float:
    """The signal-to-noise ratio of the worst output, in decibels; infinite when nothing moved."""
    ratios = []
    for a, b in zip(want, got, strict=True):
        signal = float((a.astype(np.float64) ** 2).sum())
        noise = float(((a.astype(np.float64) - b) ** 2).sum())
        ratios.append(math.inf if noise == 0 else 10 * math.log10(max(signal, 1e-30) / noise))
    return min(ratios)


def ranges_note(options: QuantizeOptions) -> str:
    """How the ranges of activations were found, where that is not the usual way."""
    symmetric = {None: "", True: ", symmetric", False: ", asymmetric"}[options.symmetric]
    if options.calibrator == "minmax":
        return symmetric
    share = f" {options.percentile:g}" if options.calibrator == "percentile" else ""
    return f", ranges by {options.calibrator}{share}{symmetric}"
