"""Layers in a row: where a channel can be made larger before and smaller after without any output noticing.

That is so from one layer to the next when all between them is positively homogeneous, f(s x) = s f(x) for
s > 0, as ReLU, pooling and zero padding are, and nothing else reads what flows there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .traced import Layer, Traced, argument, is_tensor, operator, shape

if TYPE_CHECKING:
    import torch
    from torch import fx

_ELEMENTWISE = {
    "relu",
    "relu_",
    "leaky_relu",
    "leaky_relu_",
    "dropout",
    "clone",
    "contiguous",
    "alias",
    "detach",
}
_SPATIAL = {
    "max_pool1d", "max_pool2d", "avg_pool1d", "avg_pool2d", "adaptive_avg_pool1d", "adaptive_avg_pool2d",
    "adaptive_max_pool2d",
}  # fmt: skip
_FLATTENING = {"flatten", "view", "reshape", "squeeze", "mean"}


@dataclass(frozen=True)
class Pair:
    """Two layers in a row.

    Attributes:
        block: how many inputs of the second belong to one channel of the first, next to each other.
    """

    first: Layer
    second: Layer
    block: int


def pairs(traced: Traced) -> list[Pair]:
    """In the order they are computed."""
    layers = {layer.node: layer for layer in traced.layers()}
    found = []
    for layer in layers.values():
        node = layer.node
        while len(node.users) == 1:
            (reader,) = node.users
            if reader in layers and reader.args[0] is node:
                second = layers[reader]
                channels = shape(layer.node)[1 if layer.kind == "conv" else -1]
                inputs = shape(node)[1 if second.kind == "conv" else -1]
                if inputs % channels == 0:
                    found.append(Pair(layer, second, inputs // channels))
                break
            if not _passes(node, reader, layer):
                break
            node = reader
    return found


def _passes(node: fx.Node, reader: fx.Node, layer: Layer) -> bool:
    """Whether a channel's factor goes through, the channels staying where the layers look for them."""
    name = operator(reader)
    if not reader.args or reader.args[0] is not node or not is_tensor(reader):
        return False
    if name in _ELEMENTWISE:
        return True
    if layer.kind != "conv":
        return False
    before, after = shape(node), shape(reader)
    if len(before) < 3:
        return False  # flat already: nothing but elementwise operators keeps the order
    if name in _SPATIAL:
        return True
    if name in ("pad", "constant_pad_nd"):
        value, mode = argument(reader, "value", 0), argument(reader, "mode", "constant")
        return not value and mode == "constant" and len(argument(reader, "pad", ())) <= 2 * (len(before) - 2)
    if name == "mean":
        axes = {axis % len(before) for axis in argument(reader, "dim", None) or (0,)}
        return axes == set(range(2, len(before)))
    return name in _FLATTENING and len(after) == 2 and after[0] == before[0]


def _grouped(weight: torch.Tensor, layer: Layer) -> torch.Tensor:
    """A layer's weight as ``[groups, outputs, inputs, places]``, both counted within a group."""
    return weight.reshape(layer.groups, weight.shape[0] // layer.groups, weight.shape[1], -1)


def reach_of_inputs(weight: torch.Tensor, layer: Layer, block: int = 1) -> torch.Tensor:
    """The largest weight that each channel before the layer meets."""
    reach = _grouped(weight, layer).abs().amax(dim=(1, 3)).flatten()
    return reach.reshape(-1, block).amax(dim=1)


def scale_inputs(weight: torch.Tensor, layer: Layer, factors: torch.Tensor, block: int = 1) -> None:
    """Multiply the weights by the factor of the channel they meet, in place."""
    wide = factors.repeat_interleave(block).reshape(layer.groups, 1, -1)
    weight.copy_((_grouped(weight, layer) * wide.unsqueeze(-1)).reshape(weight.shape))


def divide_outputs(module: torch.nn.Module, layer: Layer, factors: torch.Tensor) -> None:
    """Divide what a layer gives by a factor for each output channel, in place."""
    weight = module.get_parameter(layer.weight)
    weight.div_(factors.reshape(-1, *[1] * (weight.dim() - 1)))
    if layer.bias:
        module.get_parameter(layer.bias).div_(factors)
