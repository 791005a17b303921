"""What torch-pruning (1.6) is kept from: emptying a layer. What has to stay whole is in :mod:`.wiring`.

Its own ``max_pruning_ratio`` says which groups may still be pruned in a global ranking, not how far, so that
a group can lose nearly all its channels at once. What it proposes is cut short here.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
import torch_pruning

Inputs = tuple[torch.Tensor, ...]

#: Layers whose output channels may be the first to be considered; others follow from these.
ROOTS = (
    torch_pruning.ops.TORCH_CONV,
    torch_pruning.ops.TORCH_LINEAR,
    torch_pruning.ops.TORCH_LSTM,
)


@contextmanager
def all_trainable(module: torch.nn.Module) -> Iterator[dict[str, bool]]:
    """The dependency graph is traced through gradients; parameters are as they were when the block ends.

    Gives:
        which parameters are trained, by name, for pruned copies.
    """
    trained = {name: parameter.requires_grad for name, parameter in module.named_parameters()}
    module.requires_grad_(True)
    try:
        yield trained
    finally:
        freeze(module, trained)


def freeze(module: torch.nn.Module, trained: Mapping[str, bool]) -> None:
    """Have parameters trained or not as those of the same names were."""
    for name, parameter in module.named_parameters():
        parameter.requires_grad_(trained.get(name, True))


def prune_step(pruner: Any, least: Mapping[torch.nn.Module, int]) -> None:
    """Prune, and leave each of these layers at least so many of its output channels.

    Of channels that an attention looks at by heads, which torch-pruning takes without regard to them, as many
    of each head go: those of the next head would move up otherwise.

    Args:
        pruner: a ``BasePruner`` of torch-pruning.
        least: multiples of the pruner's ``round_to``.
    """
    for group in pruner.step(interactive=True):
        root, handler, proposed = group[0].dep.target.module, group[0].dep.handler, len(group[0].idxs)
        if pruner.DG.is_out_channel_pruning_fn(handler):
            size, heads = pruner.DG.get_out_channels(root), heads_of(group)
            count = max(0, min(proposed, size - least.get(root, 0)))
            if heads > 1:
                even = (n for n in range(count, 0, -1) if n % heads == 0 == (size - n) % pruner.round_to)
                count = next(even, 0)
            if count < proposed or heads > 1:
                chosen = _least_important(pruner, group, count)
                if not chosen:
                    continue
                group = pruner.DG.get_pruning_group(root, handler, chosen)
        group.prune()


def output_layers(module: torch.nn.Module, inputs: Inputs) -> list[torch.nn.Module]:
    """Layers whose output channels are the model's outputs, which have to stay."""
    graph = torch_pruning.DependencyGraph().build_dependency(module, example_inputs=inputs)
    kept = []
    for group in graph.get_all_groups(root_module_types=ROOTS):
        for dependency, _ in group:
            ends = not dependency.target.outputs
            if ends and graph.is_out_channel_pruning_fn(dependency.handler):
                kept.append(group[0].dep.target.module)
                break
    return kept


def heads_of(group: Any) -> int:
    """How many heads look at a group's channels, each at a part of them; 1 without attention."""
    layers = (dependency.target.module for dependency, _ in group)
    return math.lcm(*(layer.num_heads for layer in layers if isinstance(layer, torch.nn.MultiheadAttention)))


def blocks(graph: Any, layer: torch.nn.Module) -> int:
    """How many blocks a layer's channels are cut into: group convolutions and normalisations."""
    pruner = graph.get_pruner_of_module(layer)
    if pruner is None or getattr(layer, "groups", 1) == getattr(layer, "out_channels", 0):
        return 1
    return int(max(pruner.get_in_channel_groups(layer), pruner.get_out_channel_groups(layer)))


def blocks_of(graph: Any, group: Any) -> int:
    """The most blocks that a layer of a group with all its channels cuts them into, or its heads do."""
    return max(heads_of(group), *(blocks(graph, dependency.target.module) for dependency, _ in group))


def _least_important(pruner: Any, group: Any, count: int) -> list[int]:
    """So many of a group's channels; as many of each block where a layer takes channels in blocks."""
    root, handler = group[0].dep.target.module, group[0].dep.handler
    whole = pruner.DG.get_pruning_group(root, handler, list(range(pruner.DG.get_out_channels(root))))
    parts = blocks_of(pruner.DG, whole)
    worth = pruner.estimate_importance(whole).view(parts, -1)
    places = worth.mean(0).argsort()[: count // parts].tolist()
    return [part * worth.shape[1] + place for part in range(parts) for place in places]
