"""A workload's training as steps use it: watched wherever it runs, and held to its form.

A dataset may open its files when they are asked for, and a loss its weights: a build depends on these as on
what the factory read. What it gives that is no sample is said at once, with the place.
"""

from __future__ import annotations

import contextlib
import dataclasses
import numbers
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .errors import ConfigError
from .workload import Training

if TYPE_CHECKING:
    import torch

#: Runs the user's code in the block; the words say which.
Reading = Callable[[str], contextlib.AbstractContextManager[None]]


def guarded_training(training: Training, reading: Reading, where: str) -> Training:
    """The same, its data and its loss within ``reading``.

    Args:
        where: the workload, for messages.
    """
    data, loss = _Data(training.data, reading, where), _Loss(training.loss, reading, where)
    return dataclasses.replace(training, data=data, loss=loss)


class _Data:
    """A map-style dataset; batches are read in one go where the loader asks for them so."""

    def __init__(self, data: Any, reading: Reading, where: str) -> None:
        self._data = data
        self._reading = reading
        self._where = where

    def __len__(self) -> int:
        with self._reading("the length of training.data"):
            return len(self._data)

    def __getitem__(self, number: int) -> tuple[Any, ...]:
        return self.__getitems__([number])[0]

    def __getitems__(self, numbers: Sequence[int]) -> list[tuple[Any, ...]]:
        """What torch's loaders call for a batch."""
        with self._reading("training.data"):
            at_once = getattr(self._data, "__getitems__", None)
            items = at_once(numbers) if at_once else [self._data[number] for number in numbers]
        return [self._checked(item, number) for number, item in zip(numbers, items, strict=True)]

    def _checked(self, item: Any, number: int) -> tuple[Any, ...]:
        import torch

        bad = None
        if not isinstance(item, tuple | list):
            bad = f"is a {type(item).__name__}"
        elif len(item) < 2:
            bad = f"is a {type(item).__name__} of {len(item)}"
        else:
            kinds = (torch.Tensor, np.ndarray, np.generic, numbers.Number)
            odd = [part for part in item if not isinstance(part, kinds)]
            bad = f"holds a {type(odd[0]).__name__}" if odd else None
        if bad:
            raise ConfigError(
                f"{self._where}: training.data[{number}] {bad}", mend="(*inputs, target), all of them tensors"
            )
        return tuple(item)


class _Loss:
    """A loss that gives one number which has a gradient."""

    def __init__(
        self, loss: Callable[[Any, torch.Tensor], torch.Tensor], reading: Reading, where: str
    ) -> None:
        self._loss = loss
        self._reading = reading
        self._where = where

    def __call__(self, returned: Any, targets: torch.Tensor) -> torch.Tensor:
        import torch

        with self._reading("training.loss"):
            loss = self._loss(returned, targets)
        bad = None
        if not isinstance(loss, torch.Tensor):
            bad = f"a {type(loss).__name__}"
        elif loss.numel() != 1:
            bad = f"a tensor of {list(loss.shape)}"
        elif torch.is_grad_enabled() and not loss.requires_grad:
            bad = "a number without a gradient"
        if bad:
            raise ConfigError(
                f"{self._where}: training.loss returned {bad}",
                mend="a tensor of one number that comes of what the model returned",
            )
        return loss.reshape(())
