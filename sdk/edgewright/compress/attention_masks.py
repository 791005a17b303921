"""What an attention masks out needs no level of its own.

A mask puts the scores that do not count so low that a softmax makes nothing of them: -1e9, -1e4, -inf. A
range that reached down to them would leave one level to all the scores that do count. Whatever is far enough
below the greatest of its row is as good as masked out, so that the range of a softmax's input ends there, and
those of a sum's terms where the sum certainly lies below that.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from edgewright.workload import Array

#: All that a row has below its end may add up to one part in so many of its greatest.
_PARTS = 512
#: A row whose greatest is so far below that of another row is masked out as a whole, as padding is.
_PADDING = 1000.0
#: What a factor has to spare that makes a mask of zeros and ones.
_ENOUGH = 1000.0
#: Values beyond stand for infinity.
INFINITE = 1e30


@dataclass(frozen=True)
class Step:
    """An operator on the way to a softmax.

    Attributes:
        kind: ``sum`` adds its inputs, ``product`` multiplies them, ``choice`` takes a value of one or the
            other, ``same`` hands on its input.
        inputs: those that hold values.
        axis: of a softmax.
    """

    kind: Literal["softmax", "sum", "product", "choice", "same"]
    inputs: tuple[str, ...]
    output: str
    axis: int = -1


@dataclass(frozen=True)
class Masks:
    """The ways to the softmaxes of a file.

    Attributes:
        steps: in the order they run.
        elsewhere: tensors that something else uses as well, which keep what they hold.
        constants: those of the steps' inputs that the file holds.
    """

    steps: tuple[Step, ...] = ()
    elsewhere: frozenset[str] = frozenset()
    constants: Mapping[str, Array] = field(default_factory=dict)

    @property
    def scores(self) -> dict[str, int]:
        """What goes into a softmax, with the axis of its rows."""
        return {step.inputs[0]: step.axis for step in self.steps if step.kind == "softmax"}

    @property
    def tensors(self) -> frozenset[str]:
        """All that is on a way to a softmax."""
        asked = set(self.scores)
        for step in reversed(self.steps):
            asked.update(step.inputs if step.output in asked else ())
        return frozenset(asked)

    def floors(self, ends: Mapping[str, float], highest: Mapping[str, float]) -> dict[str, float]:
        """Below what the tensors' values are of no account, which is zero at most.

        Args:
            ends: the same for the inputs of softmaxes.
            highest: the greatest value of each tensor.
        """
        tops = {name: float(values.max(initial=0.0)) for name, values in self.constants.items()}
        tops.update(highest)
        asked: dict[str, float] = {}
        for step in reversed(self.steps):
            end = asked.get(step.output, np.inf) if step.output not in self.elsewhere else -np.inf
            if step.kind == "softmax":
                end = ends.get(step.inputs[0], -np.inf)
            for place, name in enumerate(step.inputs):
                others = [other for number, other in enumerate(step.inputs) if number != place]
                rest = sum(tops.get(other, np.inf) for other in others)
                floor = end if np.isfinite(end) else -np.inf
                if step.kind == "sum":
                    floor -= rest
                elif step.kind == "product":
                    floor = self._factor(name, min(floor, 0.0), rest)
                asked[name] = min(asked.get(name, np.inf), floor)
        return {
            name: min(floor, 0.0)
            for name, floor in asked.items()
            if np.isfinite(floor) and name not in self.elsewhere
        }

    def _factor(self, name: str, end: float, other: float) -> float:
        """Where the range ends of a factor below zero that the other one, a mask of 0 and 1, makes a mask of.

        A thousandth of the other is enough to have the product below ``end``.
        """
        values = self.constants.get(name)
        if values is None or values.max(initial=-np.inf) > 0 or not other > 0:
            return -np.inf
        return _ENOUGH * end / other

    def masked_constants(self, ends: Mapping[str, float], highest: Mapping[str, float]) -> dict[str, float]:
        """Where the ranges end of the constants that reach below; see :meth:`floors`."""
        floors = self.floors(ends, highest)
        return {
            name: floors[name]
            for name, values in self.constants.items()
            if name in floors and values.min(initial=0.0) < floors[name]
        }


NO_MASKS = Masks()


def end_of_rows(scores: Array, axis: int) -> float:
    """Below what a softmax makes nothing of the scores in any row; infinite where all is masked out."""
    tops = scores.max(axis=axis, initial=-np.inf)
    tops = tops[np.abs(tops) < INFINITE]
    if not tops.size:
        return np.inf
    least = tops[tops >= tops.max() - _PADDING].min()
    return float(least - np.log(_PARTS * scores.shape[axis]))
