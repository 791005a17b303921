"""What a step may do to a layer: whether its weights are its own, and whether another may take its place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from edgewright.boundary import foreign
from edgewright.errors import CompressionError

from . import ModelJob

if TYPE_CHECKING:
    import torch

OWN_FORWARD = "own forward"
READ_BY_MODEL = "the model reads its weight itself"


def check_finite(weights: Mapping[str, torch.Tensor], who: str) -> None:
    """Refuse weights that no step can judge.

    Raises:
        CompressionError: one is NaN or infinite; its tensor is named.
    """
    import torch

    for name, weight in weights.items():
        wrong = weight.numel() - int(torch.isfinite(weight).sum())
        if wrong:
            raise CompressionError(
                f"{who}: {wrong} of the {weight.numel()} weights of {name!r} are NaN or infinite",
                mend="train the model anew, or load weights that are numbers",
            )


def has_own_forward(layer: torch.nn.Module) -> bool:
    """Whether a convolution or linear layer computes other than its base class does.

    A class derived from it may, and so may hooks and parametrizations, with which the weight that is seen
    is not the one that is stored.
    """
    from torch import nn
    from torch.nn.utils import parametrize

    bases: tuple[type[nn.Module], ...] = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)
    base: Any = next(base for base in bases if isinstance(layer, base))
    methods = [name for name in ("__call__", "forward", "_conv_forward") if hasattr(base, name)]
    if any(getattr(type(layer), name) is not getattr(base, name) for name in methods):
        return True
    hooks = (*layer._forward_hooks, *layer._forward_pre_hooks)
    return bool(hooks) or parametrize.is_parametrized(layer) or not vars(layer).keys().isdisjoint(methods)


def needed_as_they_are(module: torch.nn.Module, names: Sequence[str], job: ModelJob) -> set[str]:
    """Layers that the model does more with than call them, as attention does that reads their weights.

    With a chain in their place it would fail. Each is looked at alone only when it does with all of them.
    """
    if _runs_without(module, names, job):
        return set()
    return {name for name in names if not _runs_without(module, [name], job)}


def put(module: torch.nn.Module, name: str, layer: torch.nn.Module) -> torch.nn.Module:
    """The module with ``layer`` in the place of that name."""
    if not name:
        return layer
    parent, _, last = name.rpartition(".")
    setattr(module.get_submodule(parent), last, layer)
    return module


def _runs_without(module: torch.nn.Module, names: Sequence[str], job: ModelJob) -> bool:
    """Whether the model runs with chains of one, which can but be called, in the place of these layers."""
    import torch
    from torch import nn

    layers = {name: module.get_submodule(name) for name in names}
    changed = module
    for name, layer in layers.items():
        changed = put(changed, name, nn.Sequential(layer))
    try:
        with torch.no_grad(), foreign(CompressionError, "the model on its example inputs"):
            changed(*job.workload.example_inputs)
    except CompressionError:
        return False
    finally:
        for name, layer in layers.items():
            put(module, name, layer)
    return True
