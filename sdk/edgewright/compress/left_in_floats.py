"""What a compressed file still holds in 32-bit floats, so that a note can say it."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import onnx

#: A share of weights in floats.
_WORTH_A_NOTE = 0.05
#: Operators that hand on a weight in another shape or order.
_SAME = {"Transpose", "Reshape", "Unsqueeze", "Squeeze", "Identity"}
_SAME |= {"TRANSPOSE", "RESHAPE", "EXPAND_DIMS", "SQUEEZE"}


@dataclass(frozen=True)
class _Operator:
    """One operator: its kind, and the names of what it takes and gives."""

    kind: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


def onnx_note(model: onnx.ModelProto) -> tuple[str, ...]:
    """Which operators' weights stayed in floats in an ONNX file, where these are many."""
    import onnx

    kinds = onnx.TensorProto
    narrow = {kinds.INT8, kinds.UINT8, kinds.INT4, kinds.UINT4, kinds.FLOAT16}
    sizes = {tensor.name: _size(tensor.dims) for tensor in model.graph.initializer}
    types = {tensor.name: tensor.data_type for tensor in model.graph.initializer}
    operators = [_Operator(one.op_type, tuple(one.input), tuple(one.output)) for one in model.graph.node]
    floats = {name: size for name, size in sizes.items() if types[name] == kinds.FLOAT}
    return _note(operators, floats, sum(size for name, size in sizes.items() if types[name] in narrow))


def tflite_note(content: bytes) -> tuple[str, ...]:
    """As :func:`onnx_note`, of a TFLite file."""
    from ai_edge_litert.schema_py_generated import BuiltinOperator, TensorType
    from ai_edge_quantizer.utils import tfl_flatbuffer_utils as flatbuffers

    names = {number: name for name, number in vars(BuiltinOperator).items()}
    narrow = {TensorType.INT8, TensorType.UINT8, TensorType.INT4, TensorType.FLOAT16}
    model = flatbuffers.read_model(memoryview(content))
    floats: dict[str, int] = {}
    coded: dict[int, int] = {}
    operators = []
    for number, graph in enumerate(model.subgraphs):
        for place, tensor in enumerate(graph.tensors):
            if model.buffers[tensor.buffer].data is None or tensor.shape is None:
                continue
            if tensor.type == TensorType.FLOAT32:
                floats[f"{number}:{place}"] = _size(tensor.shape)
            elif tensor.type in narrow:
                coded[tensor.buffer] = _size(tensor.shape)
        operators += [_operator(model, names, one, number) for one in graph.operators]
    return _note(operators, floats, sum(coded.values()))


def _operator(model: Any, names: dict[int, str], one: Any, graph: int) -> _Operator:
    kind = names.get(model.operatorCodes[one.opcodeIndex].builtinCode, "")
    ends = (() if places is None else places for places in (one.inputs, one.outputs))
    inputs, outputs = (tuple(f"{graph}:{place}" for place in places) for places in ends)
    return _Operator(kind, inputs, outputs)


def _size(shape: Any) -> int:
    """How many weights there are; none in what has but one axis, be it among axes of size one."""
    sizes = [int(size) for size in shape]
    size = math.prod(sizes)
    return size if sizes and size > max(sizes) else 0


def _note(operators: list[_Operator], floats: dict[str, int], coded: int) -> tuple[str, ...]:
    left = sum(floats.values())
    if left < _WORTH_A_NOTE * (left + coded) or not left:
        return ()
    weights = {name for name, size in floats.items() if size}
    users: Counter[str] = Counter()
    for one in operators:
        taken = weights & set(one.inputs)
        if taken and one.kind in _SAME:
            weights.update(one.outputs)
        elif taken:
            users[one.kind] += 1
    named = " and ".join(f"{count} {kind}" for kind, count in users.items())
    said = f"{left / (left + coded) * 100:.0f} % of the weights stay in floats"
    return (f"{said}, those of {named}" if named else said,)
