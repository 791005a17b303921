"""Copies of a module that lost channels, and what went from each of its layers, for :mod:`.wiring`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
import torch_pruning

from .pruner import Inputs, blocks_of

SEED = 0
#: With fewer different values among the channels, their order could not be told from their values.
_FEWEST_VALUES = 4


@dataclass
class Side:
    """What goes of a layer's inputs or outputs, or of a parameter, in the numbers of the model as it is.

    Attributes:
        gone: channels.
        twins: for each channel another or itself; those with the same one have the same value, so that as
            much is in what stays as in all, and the mean and spread over all channels do not change.
        dim: of a parameter, where its channels are.
    """

    gone: set[int] = field(default_factory=set)
    twins: dict[int, int] = field(default_factory=dict)
    dim: int = 0

    def kept(self, count: int) -> torch.Tensor:
        """The numbers of those that stay of ``count`` channels."""
        return torch.tensor([index for index in range(count) if index not in self.gone])

    def filled(self, values: torch.Tensor, dim: int, *, twins: bool) -> torch.Tensor:
        """The values with nothing in the channels that go, or with as much in them as in the others."""
        if twins:
            sources = [self.twins.get(index, index) for index in range(values.shape[dim])]
            return values.index_select(dim, torch.tensor(sources))
        return values.index_fill(dim, torch.tensor(sorted(self.gone)), 0.0)


class Cut:
    """The groups of some layers, of which channels went.

    Attributes:
        layers: the names of all layers that torch-pruning knows.
        inputs, outputs, parameters: what went, by name.
        free: the names of all parameters that belong to none of the layers.
    """

    def __init__(self, module: torch.nn.Module, inputs: Inputs, roots: Sequence[str], round_to: int) -> None:
        self._names = {layer: name for name, layer in module.named_modules()}
        self._graph = torch_pruning.DependencyGraph().build_dependency(module, example_inputs=inputs)
        self.layers = tuple(self._names[m] for m in self._graph.module2node if m in self._names)
        self.free = tuple(self._graph._param_to_name.values())
        self.inputs: dict[str, Side] = {}
        self.outputs: dict[str, Side] = {}
        self.parameters: dict[str, Side] = {}
        generator = torch.Generator().manual_seed(SEED)
        chosen = []
        for root in roots:
            layer = module.get_submodule(root)
            size = self._graph.get_out_channels(layer)
            handler = self._graph.get_pruner_of_module(layer).prune_out_channels
            group = self._graph.get_pruning_group(layer, handler, list(range(size)))
            parts = blocks_of(self._graph, group)
            gone, values = _chosen(size, parts, round_to, generator)
            if gone:
                chosen.append((layer, handler, gone))
                self._note(group, set(gone), values)
        for layer, handler, gone in chosen:
            self._graph.get_pruning_group(layer, handler, gone).prune()

    def _note(self, group: Any, gone: set[int], values: list[int]) -> None:
        for item in group:
            target, handler = item.dep.target, item.dep.handler
            sides = []
            if target.module in self._names:
                name = self._names[target.module]
                if self._graph.is_out_channel_pruning_fn(handler):
                    sides.append(self.outputs.setdefault(name, Side()))
                if self._graph.is_in_channel_pruning_fn(handler):
                    sides.append(self.inputs.setdefault(name, Side()))
            elif isinstance(target.module, torch.nn.Parameter):
                name = self._graph._param_to_name[target.module]
                sides.append(self.parameters.setdefault(name, Side(dim=target.pruning_dim)))
            for side in sides:
                times: dict[int, int] = {}
                first: dict[tuple[int, int], int] = {}
                for index, root in sorted(zip(item.idxs, item.root_idxs, strict=True)):
                    times[root] = times.get(root, 0) + 1
                    side.twins[index] = first.setdefault((values[root], times[root]), index)
                    if root in gone:
                        side.gone.add(index)


def _chosen(size: int, parts: int, round_to: int, generator: torch.Generator) -> tuple[list[int], list[int]]:
    """Channels to try without, the same of each of ``parts`` blocks; and a number of each channel's value.

    About half go, so that what goes and what stays can have the same values equally often.
    """
    block = size // parts
    counts = [count for count in range(1, block) if (size - count * parts) % round_to == 0]
    if not counts:
        counts = [count for count in (min(-(-round_to // parts), block - 1),) if count > 0]
    if not counts:
        return [], []
    count = max(counts, key=lambda count: (math.gcd(count, block), -abs(2 * count - block)))
    order = torch.randperm(block, generator=generator).tolist()
    different = math.gcd(count, block)
    values = list(range(size))
    if different >= _FEWEST_VALUES:
        for part in range(parts):
            for place, index in enumerate(order):
                values[part * block + index] = part * block + order[place % different]
    return sorted(part * block + index for part in range(parts) for index in order[:count]), values
