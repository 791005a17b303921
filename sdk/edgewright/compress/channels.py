"""The groups of channels that a module's layers share, what they are worth, and which layers take their time.

torch-pruning's dependency graph says which channels go together, as it does for :mod:`.prune`, which prunes
what is chosen here.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from edgewright.boundary import foreign
from edgewright.errors import CompressionError
from edgewright.latency.layers import Channels, Counts, Group, Layer, LayerShape, Network, choices

from . import ModelJob
from .importance import Importance, Measure
from .layers import check_finite
from .limits import Whole
from .prune import Prune, PruneOptions

if TYPE_CHECKING:
    import torch

#: Of the layers that stay, in an error.
_NAMED = 3
#: By layer and whether it is its output: which groups its channels belong to, each with how many times.
_Parts = dict[tuple[str, bool], list[tuple[str, int]]]


def find_network(job: ModelJob, measure: Measure, round_to: int) -> Network:
    """The groups and layers of the job's module, which is left as it is but for its gradients.

    Args:
        round_to: groups are left with multiples of so many channels.

    Raises:
        CompressionError: the module cannot be followed, the measure needs what the workload has not, or no
            group has channels to spare.
    """
    module = job.module.eval()
    inputs = job.workload.example_inputs
    with foreign(CompressionError, "prune (torch-pruning)"):
        from .pruner import all_trainable
        from .wiring import whole_layers

        check_finite(dict(module.named_parameters()), "prune")
        whole = whole_layers(module, inputs, round_to)
        with all_trainable(module):
            importance = Importance(measure, module, job)
            calls = _calls(module, inputs)
            found = _Groups(module, inputs, importance.of(module, compared=True), round_to, whole)
            if found.groups and not _runs_smallest(job, found.groups, round_to):
                whole = whole_layers(module, inputs, round_to, each=True)
                found = _Groups(module, inputs, importance.of(module, compared=True), round_to, whole)
    if not found.groups:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in found.kept[:_NAMED])
        raise CompressionError(
            f"no layer has channels to spare at multiples of {round_to}{f' ({reasons})' if reasons else ''}",
            mend="lower --round-to" if round_to > 1 else "",
        )
    layers, untimed = [], []
    sizes = {group.name: group.size for group in found.groups}
    for name, call in calls:
        reason = _untimed(call.layer)
        if reason:
            untimed.append((name, reason))
        else:
            layers.append(_layer(name, call, found.parts, sizes))
    places = {name: place for place, (name, _) in enumerate(module.named_modules())}
    groups = sorted(found.groups, key=lambda group: places[group.name])
    return Network(tuple(groups), tuple(layers), tuple(found.kept), tuple(untimed))


def _runs_smallest(job: ModelJob, groups: list[Group], round_to: int) -> bool:
    """Whether a copy runs with each group at its fewest channels."""
    layers = tuple((group.name, 1 - min(group.choices) / group.size) for group in groups)
    options = PruneOptions(layers=layers, round_to=round_to, fine_tune=False)
    try:
        Prune().apply(replace(job, module=copy.deepcopy(job.module)), options)
    except CompressionError:
        return False
    return True


@dataclass(frozen=True)
class _Call:
    """A layer was called with an input of that size."""

    layer: Any
    size: tuple[int, ...]


def _calls(module: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> list[tuple[str, _Call]]:
    """Every call of a layer with weights, by the layer's name, as one inference makes them."""
    import torch
    from torch import nn

    seen: list[tuple[str, _Call]] = []
    kinds = (nn.modules.conv._ConvNd, nn.Linear, nn.RNNBase, nn.MultiheadAttention)
    hooks = []

    def listen(name: str, layer: nn.Module) -> None:
        def note(_: nn.Module, given: tuple[Any, ...]) -> None:
            size = tuple(given[0].shape) if given and isinstance(given[0], torch.Tensor) else ()
            seen.append((name, _Call(layer, size)))

        hooks.append(layer.register_forward_pre_hook(note))

    for name, layer in module.named_modules():
        if isinstance(layer, kinds):
            listen(name, layer)
    try:
        with torch.no_grad():
            module(*inputs)
    finally:
        for hook in hooks:
            hook.remove()
    return seen


def _untimed(layer: Any) -> str:
    """Why a layer's time is not looked up; empty when it is."""
    from torch import nn

    convolutions = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
    if isinstance(layer, (*convolutions, nn.Linear)):
        return ""
    return f"{type(layer).__name__} is not timed alone"


def _layer(name: str, call: _Call, parts: _Parts, sizes: Counts) -> Layer:
    shape = _shape(call)
    sides = []
    for is_output, count in ((False, shape.inputs), (True, shape.outputs)):
        # A depthwise layer is known to the graph by its output alone: its channels are one and the same.
        found = tuple(parts.get((name, is_output or shape.is_depthwise), ()))
        sides.append(Channels(count - sum(times * sizes[group] for group, times in found), found))
    return Layer(name, shape, *sides)


def _shape(call: _Call) -> LayerShape:
    from torch import nn

    layer, size = call.layer, call.size
    if isinstance(layer, nn.Linear):
        return LayerShape("linear", layer.in_features, layer.out_features, (math.prod(size[:-1]),))
    axes = len(layer.kernel_size)
    batch = size[0] if len(size) == axes + 2 else 1
    # torch keeps the padding of each axis, the last one first, as numbers whatever it was given as.
    both = tuple(layer._reversed_padding_repeated_twice or ())
    before, after = both[0::2][::-1], both[1::2][::-1]
    return LayerShape(
        "conv",
        layer.in_channels,
        layer.out_channels,
        (batch, *size[-axes:]),
        tuple(layer.kernel_size),
        tuple(layer.stride),
        tuple(layer.dilation),
        (*before, *after),
        layer.groups,
    )


class _Groups:
    """What the dependency graph of a module says."""

    def __init__(
        self,
        module: torch.nn.Module,
        inputs: tuple[torch.Tensor, ...],
        estimate: Any,
        round_to: int,
        whole: tuple[Whole, ...],
    ) -> None:
        import torch_pruning

        from .pruner import heads_of, output_layers

        self._names = {layer: name for name, layer in module.named_modules()}
        self._graph = torch_pruning.DependencyGraph().build_dependency(module, example_inputs=inputs)
        self.groups: list[Group] = []
        self.kept: list[tuple[str, str]] = []
        self.parts: _Parts = {}
        outputs, reasons = output_layers(module, inputs), {one.name: one.why for one in whole}
        for group in self._graph.get_all_groups():
            root = group[0].dep.target.module
            name, size = self._names[root], self._graph.get_out_channels(root)
            parts, reason = self._parts(group, size)
            if root in outputs:
                reason = "the model's outputs are its channels"
            elif name in reasons:
                reason = reasons[name]
            elif not reason and size <= (step := math.lcm(round_to, heads_of(group))):
                reason = f"it has {size} channels, which go by {step}"
            importance = None if reason else estimate(group)
            if importance is None:
                self.kept.append((name, reason or "nothing tells what its channels are worth"))
                continue
            values = sorted(float(value) for value in importance)
            step = math.lcm(round_to, heads_of(group))
            self.groups.append(Group(name, tuple(values), choices(size, step)))
            for key, times in parts:
                self.parts.setdefault(key, []).append((name, times))

    def _parts(self, group: Any, size: int) -> tuple[list[tuple[tuple[str, bool], int]], str]:
        """The sides of layers with a group's channels, each with how many times; or why they have to stay."""
        from .pruner import blocks

        root = self._names[group[0].dep.target.module]
        parts = []
        for layer, is_output, count in self._sides(group):
            if blocks(self._graph, layer) > 1:
                return [], f"{self._names[layer]} takes its channels in blocks"
            if count % size:
                return [], f"{self._names[layer]} has {count} channels for {size} of {root}"
            parts.append(((self._names[layer], is_output), count // size))
        return parts, ""

    def _sides(self, group: Any) -> Iterator[tuple[Any, bool, int]]:
        """Each layer of the group, whether by its output, and how many of its channels are meant."""
        for dependency, indices in group:
            layer = dependency.target.module
            if layer in self._names:
                yield layer, self._graph.is_out_channel_pruning_fn(dependency.handler), len(indices)
