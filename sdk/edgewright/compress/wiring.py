"""Which layers have to stay whole, found by trying on copies before any channel goes for good.

torch-pruning follows a model's layers and operators, but takes every operator it does not know for one that
leaves channels where they are. After ``permute(0, 2, 3, 1).flatten(1)`` or a channel shuffle the next layer
would lose the wrong inputs, and as all shapes still fit, nobody would be told. So in a pruned copy each
layer's input is compared with what stays of its input in the model as it is. The outputs of all layers are
replaced by noise in both, cut in the copy: what is compared is only what the model's code does in between.
Layers such as normalisation, which compute something else of fewer channels by intention, do no harm then.
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Sequence
from typing import Any

import torch
import torch_pruning
from torch.utils import _pytree

from edgewright.boundary import foreign
from edgewright.errors import CompressionError

from .cut import SEED, Cut, Side
from .limits import Reason, Whole
from .pruner import ROOTS, Inputs, blocks_of, output_layers

#: What is compared may differ by so much of the largest, which leaves room for half precision.
_TOLERANCE = 1e-2


def whole_layers(
    module: torch.nn.Module,
    inputs: Inputs,
    round_to: int,
    only: Collection[str] = (),
    *,
    each: bool = False,
) -> tuple[Whole, ...]:
    """The groups that cannot lose channels. All are tried at once, and one by one when that goes wrong.

    Args:
        only: just the groups of these layers, or of layers in these, and what of them is an output; when
            there are none, all groups but those of outputs, which nobody has to ask about.
        each: try one by one anyway, since the model fails although all at once did not.
    """
    with (
        torch.no_grad()
    ):  # weights that are computed, as by weight_norm, cannot be copied with their gradients
        module.eval()(*inputs)
    module = copy.deepcopy(module).requires_grad_(True)
    traced = copy.deepcopy(module)
    names = {layer: name for name, layer in traced.named_modules()}
    graph = torch_pruning.DependencyGraph().build_dependency(traced, example_inputs=inputs)
    ignored = output_layers(traced, inputs)
    found = [Whole(names[layer], (names[layer],), "output") for layer in ignored if names[layer] in only]
    groups = {}
    for group in graph.get_all_groups(ignored_layers=ignored, root_module_types=ROOTS):
        outputs = (dep.target.module for dep, _ in group if graph.is_out_channel_pruning_fn(dep.handler))
        members = tuple(names[layer] for layer in outputs if layer in names)
        root = group[0].dep.target.module
        if blocks_of(graph, group) == graph.get_out_channels(root) > 1:  # not even its importance can be told
            found.append(Whole(names[root], members, "fails"))
        elif not only or any(_within(member, name) for member in members for name in only):
            groups[names[root]] = members, _is_parametrized(group)
    if not groups or (not each and _fault(module, inputs, list(groups), round_to) is None):
        return tuple(found)
    for name, (members, parametrized) in groups.items():
        if reason := _fault(module, inputs, [name], round_to):
            reason = "parametrized" if parametrized and reason == "fails" else reason
            found.append(Whole(name, members, reason))
    return tuple(found)


def _within(layer: str, name: str) -> bool:
    return layer == name or not name or layer.startswith(f"{name}.")


def _is_parametrized(group: Any) -> bool:
    """Whether a layer computes its weight from others, as weight normalisation does."""
    layers = (dependency.target.module for dependency, _ in group)
    return any(
        isinstance(layer, torch.nn.Module) and hasattr(layer, "weight") and "weight" not in layer._parameters
        for layer in layers
    )


def _fault(module: torch.nn.Module, inputs: Inputs, roots: Sequence[str], round_to: int) -> Reason | None:
    """What goes wrong when the groups of these layers lose some channels together; None when nothing does."""
    whole, pruned = copy.deepcopy(module), copy.deepcopy(module)
    try:
        with foreign(CompressionError, "prune"):
            cut = Cut(pruned, inputs, roots, round_to)
            after = _Run(pruned, cut.layers, inputs)
    except CompressionError:
        return "fails"
    before = _Run(whole, cut.layers, inputs)
    if before.shapes != after.shapes:
        return "output"
    suspects = set(cut.inputs)
    for twins in (False, True):
        generator = torch.Generator().manual_seed(SEED)
        given = _Given(cut, generator, twins=twins)
        given.give_parameters(whole, pruned)
        given.give_outputs(before, after)
        try:
            with foreign(CompressionError, "prune"):
                full = _Run(whole, cut.layers, inputs, given.full, seen=suspects)
                short = _Run(pruned, cut.layers, inputs, given.short, seen=suspects)
        except CompressionError:  # the model's code does not take noise, which says nothing
            return None
        suspects = {
            name
            for name in suspects
            if not _same(full.inputs[name], short.inputs[name], cut.inputs[name].gone)
        }
        if not suspects:
            return None
    return "moves"


class _Run:
    """What goes in and comes out of layers in one inference.

    Args:
        given: by layer and call, tensors to go on with in place of what comes out, where it is one.
        seen: the layers whose inputs are kept.

    Attributes:
        shapes: of the model's outputs.
        inputs: of the layers that are seen, for each call the tensors, and None for what is none.
        outputs: of all layers, without the numbers.
    """

    def __init__(
        self,
        module: torch.nn.Module,
        layers: Sequence[str],
        inputs: Inputs,
        given: dict[str, list[list[torch.Tensor | None]]] | None = None,
        seen: Collection[str] = (),
    ) -> None:
        self.inputs: dict[str, list[list[torch.Tensor | None]]] = {name: [] for name in seen}
        self.outputs: dict[str, list[list[torch.Tensor | None]]] = {name: [] for name in layers}
        self._given = given
        module.eval()
        hooks = [
            module.get_submodule(name).register_forward_hook(self._hook(name), with_kwargs=True)
            for name in layers
        ]
        try:
            with torch.no_grad():
                returned = module(*inputs)
        finally:
            for hook in hooks:
                hook.remove()
        leaves = _pytree.tree_leaves(returned)
        self.shapes = [tuple(leaf.shape) for leaf in leaves if isinstance(leaf, torch.Tensor)]

    def _hook(self, name: str) -> Any:
        def hook(_: torch.nn.Module, args: Any, kwargs: Any, output: Any) -> Any:
            leaves, tree = _pytree.tree_flatten(output)
            if name in self.inputs:
                given_in = map(_channels, _pytree.tree_leaves((args, kwargs)))
                self.inputs[name].append([None if one is None else one.clone() for one in given_in])
            outputs = map(_channels, leaves)
            self.outputs[name].append([None if one is None else one.to("meta") for one in outputs])
            if self._given is None:
                return None
            given = self._given[name][len(self.outputs[name]) - 1]
            put = [old if new is None else new.clone() for old, new in zip(leaves, given, strict=True)]
            return _pytree.tree_unflatten(put, tree)

        return hook


def _channels(leaf: Any) -> torch.Tensor | None:
    """The leaf where it is a tensor that has channels."""
    is_one = isinstance(leaf, torch.Tensor) and leaf.is_floating_point()
    return leaf.detach() if is_one else None


class _Given:
    """Noise in place of all layers' outputs, for the model as it is and for the one that is cut.

    Args:
        twins: see :meth:`Side.filled`. With nothing in what goes sums over channels do not change; with
            twins means do not.
    """

    def __init__(self, cut: Cut, generator: torch.Generator, *, twins: bool) -> None:
        self._cut, self._generator, self._twins = cut, generator, twins
        self.full: dict[str, list[list[torch.Tensor | None]]] = {}
        self.short: dict[str, list[list[torch.Tensor | None]]] = {}

    def give_outputs(self, before: _Run, after: _Run) -> None:
        for name in self._cut.layers:
            side = self._cut.outputs.get(name)
            pairs = [
                [self._noise(old, new, side) for old, new in zip(*outputs, strict=True)]
                for outputs in zip(before.outputs[name], after.outputs[name], strict=True)
            ]
            self.full[name] = [[full for full, _ in call] for call in pairs]
            self.short[name] = [[short for _, short in call] for call in pairs]

    def give_parameters(self, whole: torch.nn.Module, pruned: torch.nn.Module) -> None:
        """Parameters that the model's code uses itself; they may be zero, which would hide what follows."""
        for name in self._cut.free:
            full, short = whole.get_parameter(name), pruned.get_parameter(name)
            values = self._random(full)
            side = self._cut.parameters.get(name)
            with torch.no_grad():
                if side is not None:
                    values = side.filled(values, side.dim, twins=self._twins)
                    short.copy_(values.index_select(side.dim, side.kept(full.shape[side.dim])))
                else:
                    short.copy_(values)
                full.copy_(values)

    def _noise(
        self, old: torch.Tensor | None, new: torch.Tensor | None, side: Side | None
    ) -> tuple[torch.Tensor | None, torch.Tensor | None]:
        """None where channels go of a layer that does not know: it passes on what it gets."""
        if old is None or new is None:
            return None, None
        if old.shape == new.shape:
            values = self._random(old)
            return values, values
        dim = None if side is None else _dim(old, new, len(side.gone))
        if side is None or dim is None:
            return None, None
        values = side.filled(self._random(old), dim, twins=self._twins)
        return values, values.index_select(dim, side.kept(old.shape[dim]))

    def _random(self, like: torch.Tensor) -> torch.Tensor:
        return torch.randn(like.shape, generator=self._generator).to(like.dtype)


def _dim(old: torch.Tensor, new: torch.Tensor, gone: int) -> int | None:
    """The only dimension that is shorter, by as much as went."""
    if old.dim() != new.dim():
        return None
    less = [(at, a - b) for at, (a, b) in enumerate(zip(old.shape, new.shape, strict=True)) if a != b]
    return less[0][0] if len(less) == 1 and less[0][1] == gone else None


def _same(
    full: list[list[torch.Tensor | None]], short: list[list[torch.Tensor | None]], gone: set[int]
) -> bool:
    """Whether a layer gets what it got, but for what went."""
    if len(full) != len(short):
        return False
    side = Side(gone)
    for old, new in (pair for calls in zip(full, short, strict=True) for pair in zip(*calls, strict=True)):
        if old is None or new is None or old.shape == new.shape:
            continue
        dim = _dim(old, new, len(gone))
        if dim is None:
            return False
        left = old.index_select(dim, side.kept(old.shape[dim]))
        largest = float(left.abs().nan_to_num(posinf=0.0).max()) if left.numel() else 0.0
        if not torch.allclose(new, left, rtol=_TOLERANCE, atol=_TOLERANCE * largest, equal_nan=True):
            return False
    return True
