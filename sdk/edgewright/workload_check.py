"""Whether a workload is what it should be: types, shapes, and outputs that are numbers."""

from __future__ import annotations

import copy
import math
import numbers
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .boundary import foreign
from .errors import BuildError, ConfigError
from .workload import Array, Training, Workload

if TYPE_CHECKING:
    import torch

    from .workloads import WorkloadSource

_NAME = re.compile(r"[\w.+-]{1,64}")


def check_workload(workload: Workload, source: WorkloadSource) -> None:
    """Check every field, then run the model once on the example inputs.

    Raises:
        ConfigError: with the first thing that is wrong.
        BuildError: the outputs are no numbers.
    """
    where = str(source)
    _check_types(workload, where)
    _check_training(workload.training, where)
    outputs = torch_outputs(workload.model, workload.example_inputs, where)
    for name, value in outputs.items():
        bad = int((~np.isfinite(value)).sum()) if value.dtype.kind == "f" else 0
        if bad:
            raise BuildError(
                f"{where}: output {name!r} holds {bad} NaN or infinite of {value.size} values"
                " on the example inputs",
                mend="check the model's weights and the example inputs",
            )
    _check_calibration(workload, where)
    _check_evaluation(workload, where)


def torch_outputs(
    model: torch.nn.Module, inputs: tuple[torch.Tensor, ...], where: str, *, own: bool = False
) -> dict[str, Array]:
    """What the model computes in evaluation mode, by output name, in the order of export.

    Args:
        own: the model is ours and in evaluation mode already; else a copy of it is made.

    Raises:
        ConfigError: when it raises, or returns something other than tensors.
    """
    import torch

    uncopied = (
        "copy.deepcopy must be able to; torch.nn.utils.remove_weight_norm() undoes the weight_norm of old"
    )
    with foreign(ConfigError, f"{where}: the model cannot be copied", mend=uncopied):
        module = model if own else copy.deepcopy(model).eval()
    with foreign(ConfigError, f"{where}: the model's forward failed on {shapes(inputs)}"), torch.no_grad():
        returned = module(*(tensor.clone() for tensor in inputs))
    return named_outputs(returned, where)


def named_outputs(returned: Any, where: str) -> dict[str, Array]:
    """Flatten what ``forward`` returned: ``output`` when it is one tensor, else by key or position."""
    import torch
    from torch.utils import _pytree

    leaves, _ = _pytree.tree_flatten_with_path(returned)
    named: dict[str, Array] = {}
    for path, value in leaves:
        if value is None:
            continue
        if not isinstance(value, torch.Tensor):
            raise ConfigError(
                f"{where}: forward returns a {type(value).__name__}", mend="return tensors only"
            )
        parts = [re.sub(r"\W+", "", _pytree.keystr((key,))) for key in path]
        name = "_".join(["output", *parts] if not parts or parts[0].isdigit() else parts)
        named[name if name not in named else f"{name}_{len(named)}"] = value.detach().cpu().numpy()
    if not named:
        raise ConfigError(f"{where}: forward returns no tensor")
    return named


def shapes(inputs: Sequence[torch.Tensor]) -> str:
    """``float32[1 x 3 x 224 x 224], int64[1]`` for messages."""
    return ", ".join(
        f"{str(t.dtype).removeprefix('torch.')}[{' x '.join(map(str, t.shape))}]" for t in inputs
    )


def _check_types(workload: Workload, where: str) -> None:
    import torch

    if not isinstance(workload.name, str) or not _NAME.fullmatch(workload.name):
        raise ConfigError(
            f"{where}: name {workload.name!r} is not usable", mend="letters, digits and _.+- only"
        )
    if not isinstance(workload.model, torch.nn.Module):
        raise ConfigError(f"{where}: model is a {type(workload.model).__name__}, not a torch.nn.Module")
    examples = workload.example_inputs
    if (
        not isinstance(examples, tuple)
        or not all(isinstance(t, torch.Tensor) for t in examples)
        or not examples
    ):
        raise ConfigError(
            f"{where}: example_inputs is not a tuple of tensors",
            mend="one tensor per argument of forward, (x,)",
        )


def _check_training(training: Training | None, where: str) -> None:
    """What can be known without reading a sample, which may take long and is not always needed."""
    if training is None:
        return
    if not isinstance(training, Training):
        raise ConfigError(f"{where}: training is a {type(training).__name__}", mend="Training(data, loss)")
    for name in ("epochs", "batch_size"):
        value = getattr(training, name)
        if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < 1:
            raise ConfigError(f"{where}: training.{name} is {value!r}", mend="a whole number from 1")
    rate = training.learning_rate
    if isinstance(rate, bool) or not isinstance(rate, numbers.Real) or not 0 < rate < math.inf:
        raise ConfigError(f"{where}: training.learning_rate is {rate!r}", mend="a number above 0")
    if not len(training.data):
        raise ConfigError(f"{where}: training.data has no samples")


def _check_calibration(workload: Workload, where: str) -> None:
    for number, sample in enumerate(workload.calibration):
        if [(t.shape, t.dtype) for t in sample] != [(t.shape, t.dtype) for t in workload.example_inputs]:
            raise ConfigError(
                f"{where}: calibration sample {number} is {shapes(sample)}",
                mend=f"the example inputs are {shapes(workload.example_inputs)}",
            )


def _check_evaluation(workload: Workload, where: str) -> None:
    evaluation = workload.evaluate
    if evaluation is None:
        return
    if len(evaluation.inputs) != len(workload.example_inputs):
        raise ConfigError(
            f"{where}: evaluate has {len(evaluation.inputs)} inputs, the model {len(workload.example_inputs)}"
        )
    counts = {len(values) for values in evaluation.inputs}
    if len(counts) != 1 or counts == {0}:
        raise ConfigError(
            f"{where}: evaluate's inputs have {sorted(counts)} samples", mend="as many for each input"
        )
    for values, example in zip(evaluation.inputs, workload.example_inputs, strict=True):
        want, kind = tuple(example.shape), str(example.dtype).removeprefix("torch.")
        if not want or want[0] != 1:
            raise ConfigError(
                f"{where}: evaluate needs example inputs with a batch axis of one, this is {list(want)}"
            )
        if values.shape[1:] != want[1:] or values.dtype.name != kind:
            got = f"{values.dtype.name}[{' x '.join(map(str, values.shape))}]"
            expected = " x ".join(["n", *map(str, want[1:])])
            raise ConfigError(f"{where}: evaluate's input is {got}", mend=f"expected {kind}[{expected}]")
