"""A module as the graph that its exporters see, with a rounding wherever the file will hold an integer.

The graph is torch.export's, so that functional calls count as well as layers, and whatever can be exported
can be trained. Which tensors are rounded follows what the quantizers of both formats do: the inputs, outputs
and weights of the operators that have integer kernels; what comes before an activation that is fused into
them is not.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import fx, nn

from edgewright.boundary import foreign
from edgewright.errors import CompressionError

from .calibration import Range
from .grouped import is_grouped, with_norm_folded
from .qat_fakes import Activation, Bias, Passage, Phase, Weight

_aten = torch.ops.aten

_CONVOLUTIONS = {"conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d"}
#: Operators with a weight as their second argument, and the weight's axis of output channels.
_WEIGHTED = {**dict.fromkeys(_CONVOLUTIONS, 0), "linear": 0, "matmul": -1, "mm": -1, "bmm": -1}
_WEIGHTED |= {"conv_transpose1d": 1, "conv_transpose2d": 1}
#: Activations that kernels compute along with what comes before.
_FUSED = {"relu", "relu6", "hardtanh", "clamp", "clamp_min"}
#: Those of them that always have the same ends.
_ALIKE = {"relu", "relu6"}
#: Operators with integer kernels.
_INTEGER = {
    *_WEIGHTED,
    *_FUSED,
    *(
        "add",
        "sub",
        "mul",
        "cat",
        "mean",
        "softmax",
        "sigmoid",
        "tanh",
        "leaky_relu",
        "hardswish",
        "hardsigmoid",
    ),
    *("silu", "gelu", "avg_pool1d", "avg_pool2d", "adaptive_avg_pool1d", "adaptive_avg_pool2d"),
    *("upsample_nearest2d", "upsample_bilinear2d"),
}
#: Operators whose results have steps of their own in a runtime: in TFLite 1/256 from 0 and 1/128 from -1. For
#: softmax onnxruntime has 1/255, and there is no telling it otherwise, so that TFLite's differ by as much.
_FIXED = {"softmax": (0.0, 1.0), "sigmoid": (0.0, 255 / 256), "tanh": (-1.0, 127 / 128)}
#: Operators that hand on values as they are.
_SAME = {
    *(
        "view",
        "reshape",
        "flatten",
        "permute",
        "transpose",
        "t",
        "squeeze",
        "unsqueeze",
        "expand",
        "contiguous",
    ),
    *(
        "clone",
        "dropout",
        "max_pool1d",
        "max_pool2d",
        "slice",
        "select",
        "split",
        "chunk",
        "unbind",
        "repeat",
    ),
    *("alias", "detach", "unflatten", "movedim", "pixel_shuffle", "getitem", "feature_dropout"),
}
#: A batch to trace with: one sample would be taken for a constant.
TRACED = 4


class Simulation(nn.Module):
    """The graph with roundings. Ranges follow the activations for the first batches it is trained on.

    It is trained in evaluation mode: normalisations that were not folded keep their statistics, and nothing
    is dropped out.
    """

    batches: torch.Tensor

    def __init__(self, graph: fx.GraphModule, phase: Phase, warmup: int) -> None:
        super().__init__()
        self.graph = graph
        self.phase = phase
        self._warmup = warmup
        self.register_buffer("batches", torch.zeros(1, dtype=torch.int64))

    def forward(self, *inputs: torch.Tensor) -> Any:
        """What the module returns, in integers."""
        if self.training:
            self.phase.observes = bool(self.batches < self._warmup)
            self.batches += 1
        try:
            return self.graph(*inputs)
        finally:
            self.phase.observes = False

    def train(self, mode: bool = True) -> Simulation:
        """The graph itself has no modes."""
        self.training = mode
        return self

    def activations(self) -> list[Activation]:
        """The roundings of activations, in the order they run."""
        return [module for module in self.graph.modules() if isinstance(module, Activation)]

    def ranges(self) -> dict[str, Range]:
        """By the name of each place, what its tensor in the file reaches; where that is known."""
        rounded = {place.name: place for place in self.activations()}
        passing = [module for module in self.graph.modules() if isinstance(module, Passage)]
        rounded |= {place.name: place.end for place in passing}
        return {
            name: Range(float(place.low), float(place.high)).usable()
            for name, place in rounded.items()
            if place.is_finite
        }

    def seen(self, inputs: tuple[torch.Tensor, ...]) -> dict[str, torch.Tensor]:
        """What is at each rounding of an activation for these inputs when nothing is rounded."""
        self.phase.seen, self.phase.rounds = {}, False
        with torch.no_grad():
            self.eval()(*inputs)
        found, self.phase.seen, self.phase.rounds = self.phase.seen, None, True
        return found


def simulate(
    program: torch.export.ExportedProgram, *, bits: int, per_channel: bool, warmup: int
) -> Simulation:
    """Put roundings into a traced module.

    Raises:
        CompressionError: there is no weight that could be rounded.
    """
    graph: Any = program.module(check_guards=False)
    del graph.train, graph.eval  # they only refuse
    _out_of_place(graph.graph)
    phase = Phase()
    weights = [(node, *found) for node in graph.graph.nodes if (found := _weight(node))]
    if not weights:
        raise CompressionError("qat: no layer of the model has weights with integer kernels")
    activations = {
        node: Activation(f"activation_{number}", phase, _FIXED.get(_op(node)))
        for number, node in enumerate(_places(graph.graph))
    }
    origins = {node: _origin(node.args[0]) for node, _, _ in weights}
    for number, (node, weight, axis) in enumerate(weights):
        rounding = Weight(axis if per_channel else None, bits, phase)
        bias: Any = node.args[2] if len(node.args) > 2 else None
        source = activations.get(origins[node])
        if source is not None and _is_float(bias) and bias.op == "get_attr":
            graph.add_submodule(f"bias_{number}", Bias(source, rounding, phase))
            _insert(graph.graph, bias, f"bias_{number}", [node], weight)
        graph.add_submodule(f"weight_{number}", rounding)
        _insert(graph.graph, weight, f"weight_{number}", [node])
    passing = {
        node: Passage(activation.name, phase, activations[end])
        for node, activation in activations.items()
        if (end := _concatenation(node)) is not None
    }
    rounded: dict[fx.Node, Activation | Passage] = {**activations, **passing}
    for node, place in rounded.items():
        graph.add_submodule(place.name, place)
        _insert(graph.graph, node, place.name, list(node.users))
    graph.graph.lint()
    graph.recompile()
    return Simulation(graph, phase, warmup)


def traced(module: nn.Module, inputs: tuple[torch.Tensor, ...]) -> torch.export.ExportedProgram:
    """The module's graph for any number of samples.

    Args:
        inputs: some samples.
    """
    shapes = tuple({0: torch.export.Dim.AUTO} if tensor.dim() else None for tensor in inputs)
    names = _argument_shapes(module, shapes)
    with foreign(CompressionError, "qat (torch.export)"):
        return torch.export.export(module.eval(), inputs, dynamic_shapes=names)


def fold_norms(module: nn.Module, inputs: tuple[torch.Tensor, ...]) -> int:
    """Fold normalisations into the convolutions before them, in place; how many."""
    graph = traced(copy.deepcopy(module), inputs).module(check_guards=False).graph
    uses: dict[str, int] = {}
    for node in graph.nodes:
        if node.op == "get_attr":
            uses[str(node.target)] = uses.get(str(node.target), 0) + len(node.users)
    count = 0
    for node in graph.nodes:
        if _op(node) != "batch_norm":
            continue
        before, mean = node.args[0], node.args[3]
        if _op(before) not in _CONVOLUTIONS or len(before.users) != 1 or before.args[1].op != "get_attr":
            continue
        weight = str(before.args[1].target)
        if uses[weight] != 1 or uses[str(mean.target)] != 1:
            continue
        names = weight.rpartition(".")[0], str(mean.target).rpartition(".")[0]
        if not all(names):
            continue
        layer, norm = map(module.get_submodule, names)
        if not isinstance(layer, nn.modules.conv._ConvNd) or not isinstance(
            norm, nn.modules.batchnorm._BatchNorm
        ):
            continue
        module.set_submodule(names[0], with_norm_folded(layer, norm))
        module.set_submodule(names[1], nn.Identity())
        count += 1
    return count


def _argument_shapes(module: nn.Module, shapes: tuple[Any, ...]) -> Any:
    """Shapes as torch.export takes them: a module of ``*tensors`` has them as one argument."""
    import inspect

    kinds = [parameter.kind for parameter in inspect.signature(module.forward).parameters.values()]
    return (shapes,) if kinds and kinds[0] is inspect.Parameter.VAR_POSITIONAL else shapes


def _op(node: Any) -> str:
    """``conv2d`` for ``aten.conv2d.default``; nothing for what is no operator of torch."""
    if not isinstance(node, fx.Node) or node.op != "call_function":
        return ""
    target = node.target
    if isinstance(target, torch._ops.OpOverload):
        return target.overloadpacket.__name__ if target.namespace == "aten" else ""
    return str(getattr(target, "__name__", ""))


def _out_of_place(graph: fx.Graph) -> None:
    """Operators that change their first argument give a new tensor instead, which takes its place."""
    order = {node: number for number, node in enumerate(graph.nodes)}
    for node in graph.nodes:
        name = _op(node)
        if not name.endswith("_") or name.startswith("_") or not hasattr(_aten, name[:-1]):
            continue
        overloads = getattr(_aten, name[:-1])
        if node.target._overloadname not in overloads.overloads():
            continue
        node.target = getattr(overloads, node.target._overloadname)
        changed = node.args[0]
        changed.replace_all_uses_with(node, lambda user, node=node: order[user] > order[node])


def _is_float(node: Any) -> bool:
    if not isinstance(node, fx.Node):
        return False
    value = node.meta.get("val")
    return isinstance(value, torch.Tensor) and value.dtype == torch.float32


def _weight(node: fx.Node) -> tuple[fx.Node, int | None] | None:
    """The weight of an operator and its axis of output channels, if it has one: see grouped.py."""
    axis = _WEIGHTED.get(_op(node))
    if axis is None or len(node.args) < 2:
        return None
    weight: Any = node.args[1]
    while _op(weight) in ("t", "transpose", "permute", "detach", "contiguous"):
        if _op(weight) in ("t", "transpose"):
            axis = -1 - axis if axis in (0, -1) else axis
        weight = weight.args[0]
    if not _is_float(weight) or weight.op != "get_attr" or weight.meta["val"].dim() < 2:
        return None
    return weight, None if _op(node).startswith("conv_transpose") and is_grouped(node) else axis


def _places(graph: fx.Graph) -> list[fx.Node]:
    """The nodes whose results the file holds as integers, in the graph's order."""
    found: set[fx.Node] = set()
    for node in graph.nodes:
        if _op(node) not in _INTEGER or not _is_float(node):
            continue
        for argument in node.all_input_nodes:
            origin = _origin(argument)
            if _is_float(origin) and origin.op != "get_attr":
                found.add(origin)
        if not _is_fused_away(node):
            found.add(node)
    return [node for node in graph.nodes if node in found and not _is_fused_away(node)]


def _is_fused_away(node: fx.Node) -> bool:
    """Whether the only one to use it is an activation that is computed along with it."""
    users = list(node.users)
    return node.op == "call_function" and len(users) == 1 and _op(users[0]) in _FUSED


def _origin(node: fx.Node) -> fx.Node:
    """Where the values come from that ``node`` hands on."""
    while _op(node) in _SAME:
        before = node.args[0]
        if not isinstance(before, fx.Node) or (_op(node) == "getitem" and _op(before) not in _SAME):
            return node
        node = before
    return node


def _concatenation(node: fx.Node) -> fx.Node | None:
    """Where the concatenation is rounded that alone takes these values, be it in another shape.

    All that is concatenated has the steps of the result: TFLite's kernel has no other way. But where a
    rectifier is fused into what comes before, the ends of its steps are all that is left of it in a file,
    so that it keeps its own unless all that is concatenated is rectified alike.
    """
    if _op(node) in _FIXED:
        return None
    rectifier = _op(node) if _op(node) in _FUSED else ""
    while len(node.users) == 1:
        (node,) = node.users
        if _op(node) == "cat" and _is_float(node):
            alike = {_op(_origin(part)) for part in node.all_input_nodes} == {rectifier} <= _ALIKE
            return _rounded(node) if alike or not rectifier else None
        if _op(node) not in _SAME:
            return None
    return None


def _rounded(node: fx.Node) -> fx.Node:
    """Where the result of an operator with an integer kernel is rounded."""
    while _is_fused_away(node):
        (node,) = node.users
    return node


def _insert(graph: fx.Graph, node: fx.Node, name: str, users: list[fx.Node], *more: fx.Node) -> None:
    """Have ``users`` take what the submodule ``name`` makes of ``node`` and ``more``."""
    with graph.inserting_before(users[0]) if more else graph.inserting_after(node):
        rounded = graph.call_module(name, (node, *more))
    for user in users:
        user.replace_input_with(node, rounded)
