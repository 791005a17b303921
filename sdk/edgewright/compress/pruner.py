"""A step of torch-pruning that empties no layer.

Its own ``max_pruning_ratio`` says which groups may still be pruned in a global ranking, not how far, so that
a group can lose nearly all its channels at once (torch-pruning 1.6). What it proposes is cut short here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch


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


def _least_important(pruner: Any, group: Any, count: int) -> list[int]:
    """So many of a group's channels; as many of each block where a layer takes channels in blocks."""
    root, handler = group[0].dep.target.module, group[0].dep.handler
    whole = pruner.DG.get_pruning_group(root, handler, list(range(pruner.DG.get_out_channels(root))))
    blocks = max(
        sizes.get(dependency.target.module, 1)
        for dependency, _ in whole
        for sizes in (pruner.in_channel_groups, pruner.out_channel_groups)
    )
    worth = pruner.estimate_importance(whole).view(blocks, -1)
    places = worth.mean(0).argsort()[: count // blocks].tolist()
    return [block * worth.shape[1] + place for block in range(blocks) for place in places]
