"""Transposed convolutions in groups, taken apart into one for each group.

The weight of such a layer, ``[inputs, outputs of a group, ...]``, has no axis of output channels, so that no
kernel can give each channel its scale; and the converter to TFLite takes the groups apart in any case, with
the bias added after all of them. Taken apart beforehand both files have the same operators, each with its
own bias and a scale for each of its channels.
"""

from __future__ import annotations

import copy
from collections import Counter
from typing import Any

import torch
from torch import fx, nn

_KINDS = (nn.ConvTranspose1d, nn.ConvTranspose2d)


class Groups(nn.Module):
    """The layers of the groups side by side."""

    def __init__(self, layer: nn.ConvTranspose1d | nn.ConvTranspose2d) -> None:
        super().__init__()
        self.groups = nn.ModuleList(_parts(layer))

    def forward(self, x: torch.Tensor, output_size: Any = None) -> torch.Tensor:
        """As the layer does."""
        parts = torch.chunk(x, len(self.groups), 1)
        return torch.cat([one(part, output_size) for one, part in zip(self.groups, parts, strict=True)], 1)


def take_apart(module: nn.Module) -> int:
    """Put :class:`Groups` in the place of each transposed convolution in groups; how many.

    Layers that share their weight with others stay whole, and those that hooks watch.
    """
    owners = Counter(
        id(parameter) for each in module.modules() for parameter in each.parameters(recurse=False)
    )
    made: dict[nn.Module, Groups] = {}
    for name, layer in [*module.named_modules(remove_duplicate=False)]:
        if not name or type(layer) not in _KINDS or layer.groups == 1:
            continue
        is_watched = layer._forward_hooks or layer._forward_pre_hooks
        if is_watched or any(owners[id(one)] != 1 for one in layer.parameters(recurse=False)):
            continue
        made.setdefault(layer, Groups(layer))
        module.set_submodule(name, made[layer])
    return len(made)


def is_grouped(node: fx.Node) -> bool:
    """Whether a transposed convolution, as torch.export gives it, is one in groups."""
    groups: Any = node.args[6] if len(node.args) > 6 else 1
    return bool(groups > 1)


def with_norm_folded(layer: nn.modules.conv._ConvNd, norm: nn.modules.batchnorm._BatchNorm) -> nn.Module:
    """A layer that computes what both do one after the other; they stay as they are."""
    if not isinstance(layer, nn.modules.conv._ConvTransposeNd) or layer.groups == 1:
        is_transposed = isinstance(layer, nn.modules.conv._ConvTransposeNd)
        return nn.utils.fuse_conv_bn_eval(layer, norm, is_transposed)
    weight, groups = layer.weight, layer.groups
    assert norm.running_mean is not None and norm.running_var is not None
    # torch folds along an axis of all output channels: the groups are put side by side for it
    beside = weight.reshape(groups, -1, *weight.shape[1:]).transpose(0, 1).flatten(1, 2)
    folded, bias = nn.utils.fuse_conv_bn_weights(
        beside, layer.bias, norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias, True
    )
    made = copy.deepcopy(layer)
    back = folded.reshape(-1, groups, *weight.shape[1:]).transpose(0, 1).flatten(0, 1)
    made.weight, made.bias = nn.Parameter(back.detach(), weight.requires_grad), bias
    return made


def _parts(layer: nn.ConvTranspose1d | nn.ConvTranspose2d) -> list[nn.Module]:
    inputs, outputs = layer.in_channels // layer.groups, layer.out_channels // layer.groups
    found: list[nn.Module] = []
    for group in range(layer.groups):
        part = copy.deepcopy(layer)
        part.in_channels, part.out_channels, part.groups = inputs, outputs, 1
        values = {"weight": layer.weight[group * inputs : (group + 1) * inputs]}
        if layer.bias is not None:
            values["bias"] = layer.bias[group * outputs : (group + 1) * outputs]
        for name, value in values.items():
            setattr(part, name, nn.Parameter(value.detach().clone(), getattr(layer, name).requires_grad))
        found.append(part)
    return found
