"""A module's graph, as torch.export sees it: which layer feeds which, and what flows between them.

Parameters keep the names they have in the module, so that what is found in the graph is edited in the module
itself, whatever classes it is made of.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgewright.boundary import foreign
from edgewright.errors import CompressionError

from . import ModelJob

if TYPE_CHECKING:
    import torch
    from torch import fx

#: Reads what a node gives, each time the module runs.
Watch = Callable[["torch.Tensor"], None]

_LAYERS = {"conv1d": "conv", "conv2d": "conv", "conv3d": "conv", "linear": "linear"}
_CLOSE = 1e-3


@dataclass(frozen=True)
class Layer:
    """A convolution or linear layer whose weight nothing else uses.

    Attributes:
        node: in the graph; its first argument is the layer's input.
        weight, bias: names of the parameters; an empty one for no bias.
        groups: of a convolution.
    """

    node: fx.Node
    kind: str
    weight: str
    bias: str
    groups: int

    @property
    def name(self) -> str:
        """The module's that holds the weight."""
        return self.weight.rpartition(".")[0]


class Traced:
    """One module, traced with the workload's example inputs."""

    def __init__(self, module: torch.nn.Module, job: ModelJob, who: str) -> None:
        with foreign(CompressionError, f"{who}: torch.export cannot trace the model"):
            import torch

            with torch.no_grad():
                program = torch.export.export(module, job.workload.example_inputs, strict=False)
            self._graph_module = program.module()
        self._module = module
        self._uses = Counter(
            id(parameter) for _, parameter in module.named_parameters(remove_duplicate=False)
        )

    @property
    def nodes(self) -> list[fx.Node]:
        """In the order they are computed."""
        return list(self._graph_module.graph.nodes)

    def layers(self) -> list[Layer]:
        """In the order they are computed."""
        found = (self._layer(node) for node in self.nodes)
        return [layer for layer in found if layer is not None]

    def parameter(self, value: Any) -> str:
        """The name of the parameter or buffer that a node's argument is; empty when it is none."""
        is_one = getattr(value, "op", "") == "get_attr"
        return str(value.target) if is_one else ""

    def is_alone(self, value: Any) -> bool:
        """Whether a parameter has one name in the module and one use in the graph."""
        name = self.parameter(value)
        held = dict(self._module.named_parameters(remove_duplicate=False)).get(name)
        uses = sum(len(node.users) for node in self.nodes if self.parameter(node) == name)
        return held is not None and uses == 1 and self._uses[id(held)] == 1

    def run(self, job: ModelJob, watches: Mapping[fx.Node, Watch], what: str) -> None:
        """Run every calibration sample; ``what`` tells what that is for.

        Raises:
            CompressionError: there is none.
        """
        import torch
        from torch import fx

        class Watching(fx.Interpreter):
            """Shows what the watched nodes give."""

            def run_node(self, n: fx.Node) -> Any:
                result = super().run_node(n)
                if n in watches:
                    watches[n](result)
                return result

        samples = job.workload.calibration
        watching = Watching(self._graph_module)
        with torch.no_grad(), foreign(CompressionError, f"{what}: running a calibration sample"):
            for number, sample in enumerate(samples, 1):
                job.tell(f"{what}: sample {number} of {len(samples)}")
                watching.run(*sample)

    def _layer(self, node: fx.Node) -> Layer | None:
        kind = _LAYERS.get(operator(node))
        if kind is None or not self.is_alone(node.args[1]):
            return None
        bias = argument(node, "bias", None)
        name = self.parameter(bias)
        if (bias is not None and not name) or (name and not self.is_alone(bias)):
            return None
        groups = argument(node, "groups", 1) if kind == "conv" else 1
        return Layer(node, kind, self.parameter(node.args[1]), name, groups)


def operator(node: fx.Node) -> str:
    """The operator's name without namespace and overload; empty for what is none."""
    return str(node.target).split(".")[1] if node.op == "call_function" and "." in str(node.target) else ""


def argument(node: fx.Node, name: str, default: Any) -> Any:
    """An argument by its name in the operator's schema."""
    if name in node.kwargs:
        return node.kwargs[name]
    schema = node.target._schema.arguments  # type: ignore[union-attr]
    for place, described in enumerate(schema):
        if described.name == name and place < len(node.args):
            return node.args[place]
    return next((a.default_value for a in schema if a.name == name and a.has_default_value()), default)


def is_tensor(node: fx.Node) -> bool:
    """Whether a node gives one tensor, and not several as a split does."""
    return hasattr(node.meta.get("val"), "shape")


def shape(value: Any) -> tuple[int, ...]:
    """Of what a node gives."""
    return tuple(int(size) for size in value.meta["val"].shape)


def fold_norms(module: torch.nn.Module, traced: Traced, who: str) -> int:
    """Fold batch normalisations into the layers right before them, in place; returns how many.

    A normalisation that is folded becomes an identity. What the module computes stays the same.
    """
    import torch
    from torch import nn

    folded = 0
    layers: dict[Any, Layer] = {layer.node: layer for layer in traced.layers()}
    for node in traced.nodes:
        layer = layers.get(node.args[0]) if operator(node) == "batch_norm" else None
        owner = traced.parameter(argument(node, "running_mean", None)).rpartition(".")[0] if layer else ""
        if layer is None or not owner or len(layer.node.users) != 1:
            continue
        norm: Any = module.get_submodule(owner)
        held: Any = module.get_submodule(layer.name)
        if type(norm) not in (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d) or not hasattr(held, "bias"):
            continue
        with torch.no_grad():
            scale = 1 / torch.sqrt(norm.running_var + norm.eps)
            shift = -norm.running_mean * scale
            if norm.affine:
                scale, shift = scale * norm.weight, shift * norm.weight + norm.bias
            weight = module.get_parameter(layer.weight)
            weight.mul_(scale.reshape(-1, *[1] * (weight.dim() - 1)))
            before = torch.zeros_like(shift) if held.bias is None else held.bias
            held.bias = nn.Parameter(before * scale + shift, requires_grad=weight.requires_grad)
        parent, _, last = owner.rpartition(".")
        setattr(module.get_submodule(parent), last, nn.Identity())
        folded += 1
    return folded


def outputs(module: torch.nn.Module, job: ModelJob) -> list[torch.Tensor]:
    """What the module computes on the example inputs."""
    import torch
    from torch.utils import _pytree

    with torch.no_grad():
        returned = module(*job.workload.example_inputs)
    return [leaf for leaf in _pytree.tree_leaves(returned) if isinstance(leaf, torch.Tensor)]


def check_same(before: list[torch.Tensor], after: list[torch.Tensor], who: str) -> None:
    """Refuse an edit that should have changed no output, but did.

    Raises:
        CompressionError: outputs differ by more than rounding.
    """
    for a, b in _pairs(before, after):
        off, largest = float((a - b).abs().max()), float(a.abs().max())
        if not off <= _CLOSE * max(largest, 1e-6):
            raise CompressionError(
                f"{who}: outputs moved by {off:.3g} of {largest:.3g} where they must stay",
                mend="the model uses a layer in a way that its graph does not show: leave this step out",
            )


def _pairs(
    before: list[torch.Tensor], after: list[torch.Tensor]
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    for a, b in zip(before, after, strict=True):
        if a.numel():
            yield a.double(), b.double()
