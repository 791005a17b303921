"""Predictions that rank settings before they are measured. They are never reported as measurements.

Two models of the same kind, ridge regression on the logarithm of the cost: one on the settings' labels, for
what is not built yet, one on what files hold, for what is. How far either is off is told by leaving each
measurement out in turn, which for ridge regression needs no second fit (Allen's PRESS, Technometrics 1974).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Features = Mapping[str, float]
Array = npt.NDArray[np.float64]

#: Strengths of the ridge that are tried; leaving one out chooses.
_STRENGTHS = (1e-3, 1e-2, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
#: A model of fewer than so many measurements says nothing.
FEWEST = 4


@dataclass(frozen=True)
class Prediction:
    """A value with the standard deviation of its error."""

    value: float
    error: float


class Ridge:
    """Ridge regression on named features; those that never differ are left out.

    Attributes:
        error: standard deviation of what is left when each value is predicted from the others.
        residuals: of each value, left out in turn.
    """

    def __init__(self, features: Sequence[Features], values: Sequence[float]) -> None:
        names = sorted({name for one in features for name in one})
        matrix = _matrix(features, names)
        spread = matrix.std(axis=0)
        self._names = [name for name, differs in zip(names, spread > 0, strict=True) if differs]
        self._middle = np.asarray(matrix.mean(axis=0)[spread > 0], dtype=np.float64)
        self._spread = spread[spread > 0]
        target = np.asarray(values, dtype=np.float64)
        self._mean = float(target.mean())
        scaled = np.asarray((matrix[:, spread > 0] - self._middle) / self._spread, dtype=np.float64)
        centred = np.asarray(target - self._mean, dtype=np.float64)
        fits = [_fit(scaled, centred, strength) for strength in _STRENGTHS]
        self._weights, self.residuals = min(fits, key=lambda fit: float(np.square(fit[1]).mean()))
        self.error = float(np.sqrt(np.square(self.residuals).mean()))

    def predict(self, features: Sequence[Features]) -> Array:
        """One value each."""
        if not self._names:
            return np.full(len(features), self._mean)
        scaled = (_matrix(features, self._names) - self._middle) / self._spread
        return np.asarray(self._mean + scaled @ self._weights, dtype=np.float64)


def _matrix(features: Sequence[Features], names: Sequence[str]) -> Array:
    return np.asarray([[one.get(name, 0.0) for name in names] for one in features], dtype=np.float64)


def _fit(scaled: Array, target: Array, strength: float) -> tuple[Array, Array]:
    """Weights, and each target less what the others make of it; the mean is one more thing that is fitted."""
    count, width = scaled.shape
    if not width:
        return np.zeros(0), np.asarray(target * count / max(1, count - 1), dtype=np.float64)
    inverse = np.linalg.inv(scaled.T @ scaled + strength * np.eye(width))
    weights = inverse @ scaled.T @ target
    leverage = np.einsum("ij,jk,ik->i", scaled, inverse, scaled) + 1.0 / count
    left = (target - scaled @ weights) / np.maximum(1.0 - leverage, 1e-6)
    return np.asarray(weights, dtype=np.float64), np.asarray(left, dtype=np.float64)


def label_features(labels: Mapping[str, str]) -> dict[str, float]:
    """A setting by its labels: one feature a value, and numbers also as numbers."""
    found = {f"{axis}={label}": 1.0 for axis, label in labels.items()}
    for axis, label in labels.items():
        try:
            found[axis] = float(label)
        except ValueError:
            continue  # a name, not a number
    return found


def file_features(shape: Features, runtime: str, threads: int) -> dict[str, float]:
    """A file in a runtime: logarithms of what it holds, by runtime, since each has its own speed."""
    found = {f"{runtime}": 1.0, "threads": math.log(threads)}
    for name, value in shape.items():
        found[name] = math.log1p(value)
        if name.startswith("macs:"):
            found[f"{runtime} {name}"] = math.log1p(value)
            found["macs"] = found.get("macs", 0.0) + value
    if "macs" in found:
        found["macs"] = math.log1p(found["macs"])
        found["macs threads"] = found["macs"] * math.log(threads)
    return found


@dataclass(frozen=True)
class Accuracy:
    """How good a model is on measurements it did not see: the middle and the largest of relative errors."""

    measurements: int
    median: float
    largest: float


class CostModel:
    """Predicts costs from features, by the logarithm."""

    def __init__(self, features: Sequence[Features], costs: Sequence[float]) -> None:
        self._ridge = Ridge(features, [math.log(cost) for cost in costs]) if len(costs) >= FEWEST else None
        self._count = len(costs)

    @property
    def is_ready(self) -> bool:
        """Whether there are measurements enough."""
        return self._ridge is not None

    @property
    def accuracy(self) -> Accuracy | None:
        """Its error on held-out measurements; None before it is ready."""
        if self._ridge is None:
            return None
        errors = np.abs(np.expm1(np.clip(self._ridge.residuals, -5.0, 5.0)))
        return Accuracy(self._count, float(np.median(errors)), float(errors.max()))

    def predict(self, features: Sequence[Features]) -> list[Prediction]:
        """Each with the error of its logarithm."""
        assert self._ridge is not None
        error = self._ridge.error
        return [Prediction(float(np.exp(np.clip(v, -30, 30))), error) for v in self._ridge.predict(features)]
