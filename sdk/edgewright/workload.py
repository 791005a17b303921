"""Workloads: what the user has.

A workload file defines a factory that returns a :class:`Workload`; ``file.py:factory`` names it on
the command line. A bare ``.onnx`` or ``.tflite`` file is a workload too, of which only benchmarking
is asked.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy.typing as npt

if TYPE_CHECKING:
    import torch

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Evaluation:
    """How good a model is, judged on the exported file's outputs.

    Attributes:
        metric: its name, for example ``accuracy``.
        inputs: one array per model input, samples along the first axis. Each sample is fed alone, with
            the batch axis of the example inputs put back: shape ``[n, *example.shape[1:]]``.
        score: from one array per model output, samples along the first axis, to a number.
        higher_is_better: whether a larger score is a better one.
    """

    metric: str
    inputs: tuple[Array, ...]
    score: Callable[[tuple[Array, ...]], float]
    higher_is_better: bool = True


@dataclass(frozen=True)
class Training:
    """What the model is trained on, for steps that train, such as fine-tuning and distillation.

    Edgewright's own loop does the rest, so that it can show progress, go on after a kill, add a teacher's
    loss to yours, and use a GPU.

    Attributes:
        data: a map-style dataset whose items are ``(*inputs, target)`` without batch axes, as
            :class:`torch.utils.data.TensorDataset` gives them.
        loss: from what ``forward`` returned and the batch's targets to a scalar tensor.
        epochs, batch_size, learning_rate: of a fine-tuning; a recipe may ask for others.
    """

    data: Any
    loss: Callable[[Any, torch.Tensor], torch.Tensor]
    epochs: int = 10
    batch_size: int = 64
    learning_rate: float = 1e-3


@dataclass(frozen=True)
class Workload:
    """A model with what is needed to compress and judge it.

    Attributes:
        name: short, unique in a plan.
        model: the trained module; it is copied before anything changes it.
        example_inputs: one tensor per positional argument of ``forward``, batch axis included.
            They fix the shapes of the exported file.
        calibration: representative inputs, each like ``example_inputs``, for static quantization.
        evaluate: how to judge an exported file; without it, agreement is not measured.
        training: what to train on; without it, steps that must train cannot be had.
        train: fine-tunes a module in place with a fixed seed in its own way; ``training`` goes before it.
        source: where model and data come from, and their licences.
    """

    name: str
    model: torch.nn.Module
    example_inputs: tuple[torch.Tensor, ...]
    calibration: Sequence[tuple[torch.Tensor, ...]] = ()
    evaluate: Evaluation | None = None
    train: Callable[[torch.nn.Module], None] | None = None
    training: Training | None = None
    source: str = field(default="", kw_only=True)
