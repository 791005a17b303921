"""What a step may do to a layer: whether its weights are its own, and whether another may take its place."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgewright.boundary import foreign
from edgewright.errors import CompressionError

from . import ModelJob

if TYPE_CHECKING:
    import torch

OWN_FORWARD = "own forward"
READ_BY_MODEL = "the model reads its weight itself"

_MULTIPLIERS = {"conv1d", "conv2d", "conv3d", "linear"}


@dataclass(frozen=True)
class Weights:
    """The weights of some layers.

    Attributes:
        stored: parameters by their first names in the module, each once.
        computed: how many weights each layer has that it computes whenever it runs, so that zeros among what
            it computes them of are none among them: ``weight_norm`` and other parametrizations do so, and
            layers with a forward of their own may.
    """

    stored: dict[str, torch.Tensor]
    computed: dict[str, int]


def weighted_layers(module: torch.nn.Module) -> dict[str, torch.nn.Module]:
    """Convolutions, linear, recurrent and attention layers by name."""
    from torch import nn

    kinds = nn.modules.conv._ConvNd | nn.Linear | nn.RNNBase | nn.MultiheadAttention
    return {name: layer for name, layer in module.named_modules() if isinstance(layer, kinds)}


def weights_of(job: ModelJob, layers: Mapping[str, torch.nn.Module]) -> Weights:
    """What these layers, which are some of :func:`weighted_layers` of the job's module, multiply by."""
    names = {id(parameter): name for name, parameter in job.module.named_parameters()}
    found = Weights({}, {})
    filling = _filling(job, layers)
    for name, layer in layers.items():
        for own in _weight_names(layer):
            parameter = layer._parameters.get(own)
            if parameter is not None and name not in filling:
                found.stored[names[id(parameter)]] = parameter
            elif (computed := getattr(layer, own, None)) is not None:
                found.computed[name] = found.computed.get(name, 0) + computed.numel()
    return found


def _filling(job: ModelJob, layers: Mapping[str, torch.nn.Module]) -> set[str]:
    """Layers with a forward of their own that multiply by other numbers where their weights are zero."""
    import torch

    own = {
        name: layer
        for name, layer in layers.items()
        if isinstance(layer, _bases()) and layer._parameters.get("weight") is not None
        if has_own_forward(layer)
    }
    if not own:
        return set()
    given: dict[torch.nn.Module, tuple[Any, Any]] = {}

    def see(layer: torch.nn.Module, values: Any, named: Any) -> None:
        given[layer] = values, named

    with contextlib.ExitStack() as watching, torch.no_grad():
        for layer in own.values():
            handle = layer.register_forward_pre_hook(see, prepend=True, with_kwargs=True)
            watching.callback(handle.remove)
        with foreign(CompressionError, "the model on its example inputs"):
            job.module(*job.workload.example_inputs)
    return {name for name, layer in own.items() if layer in given and _fills(layer, *given[layer])}


def _fills(layer: torch.nn.Module, values: Any, named: Any) -> bool:
    """Whether any weight that is set to zero is another number where the layer multiplies by it."""
    import torch
    from torch.overrides import TorchFunctionMode

    used: list[torch.Tensor] = []

    class Watching(TorchFunctionMode):
        """Shows the weights that are multiplied by."""

        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            named = kwargs or {}
            if getattr(func, "__name__", "") in _MULTIPLIERS:
                used.append((named["weight"] if "weight" in named else args[1]).clone())
            return func(*args, **named)

    weight = layer.get_parameter("weight")
    held = weight.detach().clone()
    is_zero = (torch.arange(held.numel()) % 2 == 0).view(held.shape).to(held.device)
    with torch.no_grad(), foreign(CompressionError, "the model on its example inputs"):
        weight[is_zero] = 0
        try:
            with Watching():
                layer(*values, **named)
        finally:
            weight.copy_(held)
    return any(one.shape == held.shape and bool((one[is_zero] != 0).any()) for one in used)


def _weight_names(layer: torch.nn.Module) -> list[str]:
    from torch import nn

    if isinstance(layer, nn.RNNBase):
        return [name for names in layer._all_weights for name in names if name.startswith("weight")]
    if isinstance(layer, nn.MultiheadAttention):
        return ["in_proj_weight", "q_proj_weight", "k_proj_weight", "v_proj_weight"]
    return ["weight"]


def check_finite(tensors: Mapping[str, torch.Tensor], who: str, what: str = "weights") -> None:
    """Refuse what no step can judge.

    Raises:
        CompressionError: a number is NaN or infinite; its tensor is named.
    """
    import torch

    for name, tensor in tensors.items():
        wrong = tensor.numel() - int(torch.isfinite(tensor).sum())
        if wrong:
            raise CompressionError(
                f"{who}: {wrong} of the {tensor.numel()} {what} of {name!r} are NaN or infinite",
                mend="train the model anew, or load weights that are numbers" if what == "weights" else "",
            )


def has_own_forward(layer: torch.nn.Module) -> bool:
    """Whether a convolution or linear layer computes other than its base class does.

    A class derived from it may, and so may hooks and parametrizations, with which the weight that is seen
    is not the one that is stored.
    """
    from torch.nn.utils import parametrize

    base: Any = next(base for base in _bases() if isinstance(layer, base))
    methods = [name for name in ("__call__", "forward", "_conv_forward") if hasattr(base, name)]
    if any(getattr(type(layer), name) is not getattr(base, name) for name in methods):
        return True
    hooks = (*layer._forward_hooks, *layer._forward_pre_hooks)
    return bool(hooks) or parametrize.is_parametrized(layer) or not vars(layer).keys().isdisjoint(methods)


def _bases() -> tuple[type[torch.nn.Module], ...]:
    from torch import nn

    return nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear


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
