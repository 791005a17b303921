"""Structured pruning: whole channels are taken out, so that the model is smaller and faster anywhere.

Channels that depend on each other (residual sums, depthwise convolutions, normalisations) go together;
torch-pruning's dependency graph (Fang et al., DepGraph, CVPR 2023, arXiv 2301.12900) finds them. The
least important by group magnitude go first, every layer losing the same share.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from edgewright.boundary import foreign
from edgewright.config import STRICT
from edgewright.errors import CompressionError
from edgewright.profile import DeviceProfile
from edgewright.workload import Workload

from . import Changed

if TYPE_CHECKING:
    import torch

#: Halvings of the search for the channel share that removes the wanted share of parameters.
_SEARCH_STEPS = 8


@dataclass(frozen=True, config=STRICT)
class PruneOptions:
    """Options of ``prune``.

    Attributes:
        amount: share of the model's parameters to remove, as nearly as rounding allows.
        norm: 1 or 2, the norm by which a channel's weights are its importance.
        round_to: channel counts are kept to multiples of this, the width of vector units.
        fine_tune: train afterwards when the workload can.
    """

    amount: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.5
    norm: Literal[1, 2] = 2
    round_to: Annotated[int, Field(ge=1, le=64)] = 8
    fine_tune: bool = True


class Prune:
    """See the module."""

    stage: ClassVar[Literal["model"]] = "model"
    options: ClassVar[type[Any]] = PruneOptions

    def profile_facts(
        self, options: PruneOptions, profile: DeviceProfile, format: str
    ) -> Mapping[str, object]:
        """Nothing: the module is the same for every device."""
        return {}

    def apply(self, module: torch.nn.Module, workload: Workload, options: PruneOptions) -> Changed:
        """See :class:`edgewright.compress.ModelTechnique`."""
        before = _parameters(module)
        if not before:
            raise CompressionError("prune: the model has no parameters")
        pruned = _search(module, workload, options)
        removed = 1 - _parameters(pruned) / before
        if removed <= 0:
            raise CompressionError(
                f"prune removed nothing: no layer has channels to spare at multiples of {options.round_to}",
                mend="lower round_to, or raise amount",
            )
        said = f"pruned {removed * 100:.1f} % of parameters"
        if abs(removed - options.amount) > 0.1:
            said += f", {options.amount * 100:.0f} % were asked for and channels go by {options.round_to}"
        if not options.fine_tune:
            return Changed(pruned, (f"{said}, not fine-tuned: the recipe says so",))
        if workload.train is None:
            return Changed(pruned, (f"{said}, not fine-tuned: workload has no train",))
        workload.train(pruned)
        return Changed(pruned.eval(), (f"{said}, then fine-tuned",))


def _search(module: torch.nn.Module, workload: Workload, options: PruneOptions) -> torch.nn.Module:
    """The copy whose removed share is nearest to the wanted one, by bisecting the channels' share."""
    total = _parameters(module)
    low, high = 0.0, 1.0
    best, best_distance = module, options.amount
    for _ in range(_SEARCH_STEPS):
        share = (low + high) / 2
        candidate = _prune(copy.deepcopy(module), workload, share, options)
        removed = 1 - _parameters(candidate) / total
        if abs(removed - options.amount) < best_distance:
            best, best_distance = candidate, abs(removed - options.amount)
        low, high = (share, high) if removed < options.amount else (low, share)
    return best


def _prune(
    module: torch.nn.Module, workload: Workload, share: float, options: PruneOptions
) -> torch.nn.Module:
    with foreign(CompressionError, "prune (torch-pruning)"):
        import torch
        import torch_pruning

        for parameter in module.parameters():
            parameter.requires_grad_(True)  # the dependency graph is traced through gradients
        inputs = workload.example_inputs
        with torch.no_grad():
            before = _shapes(module(*inputs))
        # torch-pruning's defaults for these are dicts shared by every pruner ever made: always give our own.
        pruner = torch_pruning.pruner.BasePruner(
            module,
            inputs,
            importance=torch_pruning.importance.GroupMagnitudeImportance(p=options.norm),
            pruning_ratio=share,
            ignored_layers=_output_layers(module, inputs),
            round_to=options.round_to,
            in_channel_groups={},
            out_channel_groups={},
            num_heads={},
        )
        pruner.step()
        with torch.no_grad():
            after = _shapes(module(*inputs))
    if after != before:
        raise CompressionError(f"prune changed the output from {before} to {after}")
    return module


def _output_layers(module: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> list[torch.nn.Module]:
    """Layers whose output channels are the model's outputs, which have to stay."""
    import torch_pruning

    graph = torch_pruning.DependencyGraph().build_dependency(module, example_inputs=inputs)
    kept = []
    for group in graph.get_all_groups():
        for dependency, _ in group:
            ends = not dependency.target.outputs
            if ends and graph.is_out_channel_pruning_fn(dependency.handler):
                kept.append(group[0].dep.target.module)
                break
    return kept


def _shapes(returned: Any) -> list[tuple[int, ...]]:
    from torch.utils import _pytree

    return [tuple(leaf.shape) for leaf in _pytree.tree_leaves(returned) if leaf is not None]


def _parameters(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
