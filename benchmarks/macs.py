"""Multiplications in an exported file, counted by its own convolutions, matrices and recurrences."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

Shape = Sequence[int]
Shapes = Mapping[str, Shape]


def multiplications(path: Path, format: str) -> int:
    """Multiply-accumulates of one inference with the shapes that the file declares.

    Elementwise work is not counted. Whether numbers are floats or integers does not matter.
    """
    return _onnx(path) if format == "onnx" else _tflite(path)


def _onnx(path: Path) -> int:
    import onnx

    model = onnx.shape_inference.infer_shapes(onnx.load(path))
    shapes: dict[str, Shape] = {t.name: tuple(t.dims) for t in model.graph.initializer}
    for value in (*model.graph.input, *model.graph.value_info, *model.graph.output):
        dims = value.type.tensor_type.shape.dim
        shapes.setdefault(value.name, tuple(dim.dim_value for dim in dims))
    total = 0
    for node in model.graph.node:
        count = _ONNX.get(node.op_type)
        if count is not None:
            total += count(node, _weights_seen_through(model, shapes))
    return total


def _weights_seen_through(model: Any, shapes: dict[str, Shape]) -> Shapes:
    """Shapes with those of dequantized and cast constants, some of which shape inference leaves out."""
    for node in model.graph.node:
        if node.op_type in ("DequantizeLinear", "QuantizeLinear", "Cast") and node.input[0] in shapes:
            shapes.setdefault(node.output[0], shapes[node.input[0]])
    return shapes


def _convolution(node: Any, shapes: Shapes) -> int:
    weight = _second(node, shapes)
    return math.prod(_output(node, shapes)) * math.prod(weight[1:])


def _matrix(node: Any, shapes: Shapes) -> int:
    weight = _second(node, shapes)
    is_turned = any(a.name == "transB" and a.i for a in node.attribute)
    return math.prod(_output(node, shapes)) * (weight[-1] if is_turned else weight[-2])


def _few_bits(node: Any, shapes: Shapes) -> int:
    (inner,) = (a.i for a in node.attribute if a.name == "K")
    return math.prod(_output(node, shapes)) * int(inner)


def _recurrent(node: Any, shapes: Shapes) -> int:
    steps, batch = shapes[node.input[0]][:2]
    return steps * batch * sum(math.prod(shapes[name]) for name in node.input[1:3])


def _second(node: Any, shapes: Shapes) -> Shape:
    """The weights: the second input, or the third of nodes that take a scale and a zero point before it."""
    return shapes[node.input[3 if node.op_type.startswith("QLinear") else 1]]


def _output(node: Any, shapes: Shapes) -> Shape:
    shape = shapes[node.output[0]]
    if not all(shape):
        raise ValueError(f"{node.op_type} {node.name}: its output has no fixed shape")
    return shape


_ONNX: dict[str, Callable[[Any, Shapes], int]] = {
    "Conv": _convolution,
    "ConvInteger": _convolution,
    "QLinearConv": _convolution,
    "Gemm": _matrix,
    "MatMul": _matrix,
    "MatMulInteger": _matrix,
    "QLinearMatMul": _matrix,
    "DynamicQuantizeMatMul": _matrix,
    "MatMulNBits": _few_bits,
    "GRU": _recurrent,
    "LSTM": _recurrent,
    "DynamicQuantizeLSTM": _recurrent,
}


def _tflite(path: Path) -> int:
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(path.read_bytes(), 0))
    kinds = schema.BuiltinOperator
    total = 0
    for graph in model.subgraphs:
        for operator in graph.operators:
            code = model.operatorCodes[operator.opcodeIndex]
            kind = max(code.builtinCode, code.deprecatedBuiltinCode)
            shapes = [[int(size) for size in graph.tensors[at].shape] for at in operator.inputs if at >= 0]
            made = math.prod(int(size) for size in graph.tensors[operator.outputs[0]].shape)
            if kind == kinds.CONV_2D:
                total += made * math.prod(shapes[1][1:])
            elif kind == kinds.DEPTHWISE_CONV_2D:
                total += made * math.prod(shapes[1][1:3])
            elif kind == kinds.FULLY_CONNECTED:
                total += made * shapes[1][1]
            elif kind == kinds.BATCH_MATMUL:
                total += made * (shapes[0][-2] if operator.builtinOptions.adjX else shapes[0][-1])
    return total
