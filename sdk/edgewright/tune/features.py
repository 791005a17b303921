"""What the time of a file depends on besides its weights: counts of operators and of multiplications."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from edgewright.boundary import foreign
from edgewright.errors import ExportError

Shape = Sequence[int]

#: Operators whose multiplications are counted, by the family their time is of.
_FAMILIES = {
    "Conv": "conv",
    "ConvInteger": "conv-int8",
    "QLinearConv": "conv-int8",
    "ConvTranspose": "conv",
    "Gemm": "matrix",
    "MatMul": "matrix",
    "MatMulInteger": "matrix-int8",
    "QLinearMatMul": "matrix-int8",
    "QGemm": "matrix-int8",
    "DynamicQuantizeMatMul": "matrix-int8",
    "MatMulNBits": "matrix-few-bits",
}
_CASTS = ("QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", "Cast")


def shape_of(path: Path, format: str) -> dict[str, float]:
    """A file's operators by kind (``op:Conv``), multiplications by family (``macs:conv``), and bytes.

    Two files with the same counts differ in their weights alone, but for rare cases; what is not counted,
    such as the order of operators, hardly bears on time.

    Raises:
        ExportError: the file cannot be read, although it was just built.
    """
    with foreign(ExportError, f"{path.name}: counting operators"):
        counts = _onnx(path) if format == "onnx" else _tflite(path)
    counts["bytes"] = float(path.stat().st_size)
    return counts


def _onnx(path: Path) -> dict[str, float]:
    import onnx

    model = onnx.shape_inference.infer_shapes(onnx.load(str(path)))
    shapes: dict[str, Shape] = {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
    quantized = {tensor.name for tensor in model.graph.initializer if tensor.data_type in (2, 3)}
    for value in (*model.graph.input, *model.graph.value_info, *model.graph.output):
        shapes.setdefault(value.name, tuple(d.dim_value for d in value.type.tensor_type.shape.dim))
    for node in model.graph.node:  # a constant's own shape is seen through its conversion
        if node.op_type in _CASTS and node.input and node.input[0] in shapes:
            shapes.setdefault(node.output[0], shapes[node.input[0]])
            if node.input[0] in quantized:
                quantized.add(node.output[0])
    counts: dict[str, float] = {}
    for node in model.graph.node:
        _count(counts, f"op:{node.op_type}", 1)
        family = _FAMILIES.get(node.op_type)
        if family is not None:
            is_integer = any(name in quantized for name in node.input[1:])
            kind = f"{family}-int8" if is_integer and not family.endswith("int8") else family
            _count(counts, f"macs:{kind}", _multiplications(node, shapes))
    return counts


def _multiplications(node: Any, shapes: Mapping[str, Shape]) -> int:
    places = (3, 1) if node.op_type.startswith("QLinear") else (1,)
    weight = next(
        (shapes[node.input[at]] for at in places if node.input[at : at + 1] and node.input[at] in shapes), ()
    )
    made = math.prod(shapes.get(node.output[0], ()) or (1,))
    if node.op_type in ("Conv", "ConvInteger", "QLinearConv"):
        return made * math.prod(weight[1:])
    if node.op_type == "ConvTranspose":
        return math.prod(shapes.get(node.input[0], ()) or (1,)) * math.prod(weight[1:])
    if len(weight) < 2:
        return made
    is_turned = any(attribute.name == "transB" and attribute.i for attribute in node.attribute)
    return made * int(weight[-1] if is_turned else weight[-2])


def _tflite(path: Path) -> dict[str, float]:
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(path.read_bytes(), 0))
    kinds = {value: name for name, value in vars(schema.BuiltinOperator).items() if isinstance(value, int)}
    counts: dict[str, float] = {}
    for graph in model.subgraphs:
        for operator in graph.operators:
            code = model.operatorCodes[operator.opcodeIndex]
            kind = kinds.get(max(code.builtinCode, code.deprecatedBuiltinCode), "CUSTOM")
            _count(counts, f"op:{kind}", 1)
            shapes = [[int(size) for size in graph.tensors[at].shape] for at in operator.inputs if at >= 0]
            made = math.prod(int(size) for size in graph.tensors[operator.outputs[0]].shape)
            is_integer = len(shapes) > 1 and graph.tensors[operator.inputs[1]].type == schema.TensorType.INT8
            ending = "-int8" if is_integer else ""
            if kind == "CONV_2D":
                _count(counts, f"macs:conv{ending}", made * math.prod(shapes[1][1:]))
            elif kind == "DEPTHWISE_CONV_2D":
                _count(counts, f"macs:conv{ending}", made * math.prod(shapes[1][1:3]))
            elif kind == "FULLY_CONNECTED":
                _count(counts, f"macs:matrix{ending}", made * shapes[1][1])
    return counts


def _count(counts: dict[str, float], name: str, by: int) -> None:
    counts[name] = counts.get(name, 0.0) + by
