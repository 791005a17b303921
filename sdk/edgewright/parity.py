"""How far a file's outputs are from the module's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from .artifact import ExportParity
from .errors import QualityError
from .recipe import Tolerance
from .workload import Array


@dataclass(frozen=True)
class Difference:
    """One output's figures; ``within`` says whether the tolerance allows them."""

    output: str
    cosine: float
    max_abs: float
    within: bool


def compare(
    expected: Mapping[str, Array], got: Mapping[str, Array], tolerance: Tolerance, what: str
) -> ExportParity:
    """Compare outputs in order (a format may name them otherwise); the worst cosine and difference.

    Args:
        what: the file as messages call it, for example ``int8-static.onnx``.

    Raises:
        QualityError: when the outputs differ in number or shape, or one by more than ``tolerance``.
    """
    if len(expected) != len(got):
        raise QualityError(f"{what} has {len(got)} outputs, the torch module {len(expected)}")
    differences = []
    for (name, want), have in zip(expected.items(), got.values(), strict=True):
        if want.shape != have.shape:
            raise QualityError(f"{what}: output {name!r} has shape {have.shape}, {want.shape} in torch")
        differences.append(_difference(name, want, have, tolerance))
    for difference in differences:
        if not difference.within:
            raise QualityError(
                f"{what}: output {difference.output!r} is not what torch computes:"
                f" cosine {difference.cosine:.6f} is under {tolerance.cosine:g} and the largest"
                f" difference {difference.max_abs:.4g} is over {tolerance.max_abs:g}",
                mend="a recipe's [tolerance] says what is allowed",
            )
    return ExportParity(
        cosine=min(difference.cosine for difference in differences),
        max_abs=max(difference.max_abs for difference in differences),
    )


def _difference(name: str, want: Array, have: Array, tolerance: Tolerance) -> Difference:
    a, b = np.asarray(want, np.float64).ravel(), np.asarray(have, np.float64).ravel()
    if not np.isfinite(b).all():
        raise QualityError(
            f"output {name!r} holds {int((~np.isfinite(b)).sum())} NaN or infinite of {b.size} values"
        )
    max_abs = float(np.abs(a - b).max()) if a.size else 0.0
    cosine = _cosine(a, b)
    return Difference(name, cosine, max_abs, cosine >= tolerance.cosine or max_abs <= tolerance.max_abs)


def _cosine(a: Array, b: Array) -> float:
    norms = float(np.linalg.norm(a) * np.linalg.norm(b))
    if norms == 0.0:
        return 1.0 if not a.any() and not b.any() else 0.0
    return float(np.clip(np.dot(a, b) / norms, -1.0, 1.0))
