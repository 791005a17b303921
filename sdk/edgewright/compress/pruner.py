"""What torch-pruning (1.6) is kept from: emptying a layer, and pruning what the model then fails with.

Its own ``max_pruning_ratio`` says which groups may still be pruned in a global ranking, not how far, so that
a group can lose nearly all its channels at once. What it proposes is cut short here.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch
import torch_pruning

from edgewright.boundary import foreign
from edgewright.errors import CompressionError

Inputs = tuple[torch.Tensor, ...]

#: Layers whose output channels may be the first to be considered; others follow from these.
ROOTS = (
    torch_pruning.ops.TORCH_CONV,
    torch_pruning.ops.TORCH_LINEAR,
    torch_pruning.ops.TORCH_LSTM,
)


def prune_step(pruner: Any, least: Mapping[torch.nn.Module, int]) -> None:
    """Prune, and leave each of these layers at least so many of its output channels.

    Args:
        pruner: a ``BasePruner`` of torch-pruning.
        least: multiples of the pruner's ``round_to``.
    """
    for group in pruner.step(interactive=True):
        root, proposed = group[0].dep.target.module, group[0].idxs
        if root in least and pruner.DG.is_out_channel_pruning_fn(group[0].dep.handler):
            spare = pruner.DG.get_out_channels(root) - least[root]
            if len(proposed) > spare:
                chosen = _least_important(pruner, group, spare)
                if not chosen:
                    continue
                group = pruner.DG.get_pruning_group(root, group[0].dep.handler, chosen)
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


def fragile_layers(module: torch.nn.Module, inputs: Inputs, round_to: int) -> tuple[str, ...]:
    """Layers that cannot lose ``round_to`` channels alone: torch-pruning fails, or the model does afterwards.

    Such are recurrent layers in several layers, and channels that are cut into parts by code of the model.
    """
    module = copy.deepcopy(module).requires_grad_(True)
    names = {layer: name for name, layer in module.named_modules()}
    groups = _groups(module, inputs)[1]
    roots = [names[group[0].dep.target.module] for group in groups]
    return tuple(root for at, root in enumerate(roots) if not _survives(module, inputs, at, round_to))


def blocks(graph: Any, layer: torch.nn.Module) -> int:
    """How many blocks a layer's channels are cut into: group convolutions and normalisations."""
    pruner = graph.get_pruner_of_module(layer)
    if pruner is None or getattr(layer, "groups", 1) == getattr(layer, "out_channels", 0):
        return 1
    return int(max(pruner.get_in_channel_groups(layer), pruner.get_out_channel_groups(layer)))


def _groups(module: torch.nn.Module, inputs: Inputs) -> tuple[Any, list[Any]]:
    graph = torch_pruning.DependencyGraph().build_dependency(module, example_inputs=inputs)
    ignored = output_layers(module, inputs)
    return graph, list(graph.get_all_groups(ignored_layers=ignored, root_module_types=ROOTS))


def _survives(module: torch.nn.Module, inputs: Inputs, at: int, round_to: int) -> bool:
    """Whether a copy runs without the first channels of its group at that place in the order."""
    copied = copy.deepcopy(module)
    try:
        with foreign(CompressionError, "prune"):
            graph, groups = _groups(copied, inputs)
            root, handler = groups[at][0].dep.target.module, groups[at][0].dep.handler
            size = graph.get_out_channels(root)
            parts = max(blocks(graph, dependency.target.module) for dependency, _ in groups[at])
            first = range(min(-(-round_to // parts), size // parts - 1))
            taken = [part * (size // parts) + index for part in range(parts) for index in first]
            if taken:
                graph.get_pruning_group(root, handler, taken).prune()
            with torch.no_grad():
                copied(*inputs)
    except CompressionError:
        return False
    return True


def _least_important(pruner: Any, group: Any, count: int) -> list[int]:
    """So many of a group's channels; as many of each block where a layer takes channels in blocks."""
    root, handler = group[0].dep.target.module, group[0].dep.handler
    whole = pruner.DG.get_pruning_group(root, handler, list(range(pruner.DG.get_out_channels(root))))
    parts = max(blocks(pruner.DG, dependency.target.module) for dependency, _ in whole)
    worth = pruner.estimate_importance(whole).view(parts, -1)
    places = worth.mean(0).argsort()[: count // parts].tolist()
    return [part * worth.shape[1] + place for part in range(parts) for place in places]
