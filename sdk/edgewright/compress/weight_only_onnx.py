"""ONNX: constant weights become integers with a DequantizeLinear behind them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from edgewright.boundary import foreign
from edgewright.errors import CompressionError
from edgewright.export.onnx import write_model

from . import FileJob
from .left_in_floats import onnx_note
from .weight_only import codes_and_scales

if TYPE_CHECKING:
    import onnx

    from .weight_only import WeightOnlyOptions

#: Since when DequantizeLinear takes 4-bit integers, and the IR that came with it.
_OPSET_INT4, _IR_INT4 = 21, 10
#: Operators that take a table: its rows are looked up, or it is turned for a product of matrices.
_OF_TABLES = ("Gather", "Transpose")


def quantize_weights(job: FileJob, options: WeightOnlyOptions) -> tuple[str, ...]:
    """Write ``job.out``; says how many operators have integer weights now, and which have not.

    Raises:
        CompressionError: onnx fails, or there are no weights large enough.
    """
    with foreign(CompressionError, "quantize-weights (onnx)"):
        import onnx
        from onnx import version_converter

        model = onnx.load(str(job.source))
        if options.bits == 4 and _opset(model) < _OPSET_INT4:
            model = version_converter.convert_version(model, _OPSET_INT4)
            model.ir_version = max(model.ir_version, _IR_INT4)
        tensors = {tensor.name: tensor for tensor in model.graph.initializer}
        done: set[str] = set()
        count = 0
        added: list[onnx.NodeProto] = []
        largest = 0
        for node in model.graph.node:
            is_changed = False
            for place, axis in _weights(node):
                name = node.input[place]
                tensor = tensors.get(name)
                if tensor is None or tensor.data_type != onnx.TensorProto.FLOAT:
                    continue
                if node.op_type in _OF_TABLES and (len(tensor.dims) != 2 or _is_used_otherwise(model, name)):
                    continue
                size = int(np.prod(tensor.dims))
                largest = max(largest, size)
                if size < options.fewest:
                    continue
                if name not in done:
                    added.append(_widened(model, tensor, axis % len(tensor.dims), options.bits))
                    done.add(name)
                node.input[place] = f"{name}_widened"
                is_changed = True
            count += is_changed
        if not count:
            raise CompressionError(
                "quantize-weights changed nothing: of the constant weights of convolutions, products of"
                " matrices, tables and recurrent layers the largest has"
                f" {largest} floats of {options.fewest}",
                mend="lower fewest" if largest > 1 else "",
            )
        nodes = [*added, *model.graph.node]
        if options.bits == 8:
            nodes = _widened_late(nodes)
        kept = [
            tensor for tensor in model.graph.initializer if tensor.name not in done or _is_used(nodes, tensor)
        ]
        del model.graph.initializer[:], model.graph.node[:]
        model.graph.initializer.extend(kept)
        model.graph.node.extend(nodes)
        write_model(model, job.out)
        operators = "operator" if count == 1 else "operators"
        said = f"the weights of {count} {operators} in {options.bits} bits, one scale a channel"
        return (said, *onnx_note(model))


def _widened(model: onnx.ModelProto, tensor: onnx.TensorProto, axis: int, bits: int) -> onnx.NodeProto:
    """Add the integers and their scales to the graph; the node that makes floats of them."""
    import onnx
    from onnx import helper, numpy_helper

    weights = numpy_helper.to_array(tensor)
    rows = np.moveaxis(weights, axis, 0)
    codes, scales = codes_and_scales(rows.reshape(len(rows), -1), bits)
    back = np.ascontiguousarray(np.moveaxis(codes.reshape(rows.shape), 0, axis))
    name = tensor.name
    if bits == 8:
        stored = numpy_helper.from_array(back, f"{name}_int")
    else:
        stored = helper.make_tensor(f"{name}_int", onnx.TensorProto.INT4, back.shape, back.reshape(-1))
    model.graph.initializer.extend([stored, numpy_helper.from_array(scales, f"{name}_scale")])
    inputs = [f"{name}_int", f"{name}_scale"]
    return helper.make_node("DequantizeLinear", inputs, [f"{name}_widened"], f"{name}_widen", axis=axis)


def _weights(node: onnx.NodeProto) -> tuple[tuple[int, int], ...]:
    """Which inputs of the operator are weights, and the axis of output channels of each."""
    match node.op_type:
        case "Transpose" if not any(list(a.ints) == [0, 1] for a in node.attribute):
            return ((0, 0),)
        case "Gather" if not any(a.name == "axis" and a.i for a in node.attribute):
            return ((0, 0),)  # a table of which rows are looked up
        case "Conv":
            return ((1, 0),)
        case "ConvTranspose":
            return ((1, 1),)
        case "MatMul":
            return ((1, -1),)
        case "Gemm":
            transposed = next((a.i for a in node.attribute if a.name == "transB"), 0)
            return ((1, 0 if transposed else 1),)
        case "GRU" | "LSTM" | "RNN":  # [directions, gates x hidden, inputs], and the same for what recurs
            return ((1, 1), (2, 1))
    return ()


def _widened_late(nodes: list[onnx.NodeProto]) -> list[onnx.NodeProto]:
    """The graph's nodes, with codes looked up and turned instead of floats, so that less is widened.

    What comes out is the same to the bit, and turned codes a runtime can keep. Four bits have no such way:
    no kernel looks them up.
    """
    from onnx import helper

    widened = {node.output[0]: node for node in nodes if node.name.endswith("_widen")}
    found = []
    for node in nodes:
        table = widened.get(node.input[0]) if node.op_type in _OF_TABLES else None
        if table is None or helper.get_node_attr_value(table, "axis") != 0:
            found.append(node)
            continue
        codes, scales = table.input
        result = node.output[0]
        if node.op_type == "Transpose":
            turned = f"{result}_codes"
            found += [
                helper.make_node("Transpose", [codes], [turned], turned, perm=[1, 0]),
                helper.make_node("DequantizeLinear", [turned, scales], [result], node.name, axis=1),
            ]
        else:
            found += _looked_up(codes, scales, node)
    taken = {name for node in found for name in node.input}
    return [node for node in found if not node.name.endswith("_widen") or node.output[0] in taken]


def _looked_up(codes: str, scales: str, node: onnx.NodeProto) -> list[onnx.NodeProto]:
    import onnx
    from onnx import helper

    result, rows = node.output[0], node.input[1]
    parts = ("codes", "scales", "floats", "each", "axis")
    found, scale, floats, each, axis = (f"{result}_{part}" for part in parts)
    return [
        helper.make_node("Gather", [codes, rows], [found], found),
        helper.make_node("Cast", [found], [floats], floats, to=onnx.TensorProto.FLOAT),
        helper.make_node("Gather", [scales, rows], [scale], scale),
        helper.make_node("Constant", [], [axis], axis, value_ints=[-1]),
        helper.make_node("Unsqueeze", [scale, axis], [each], each),
        helper.make_node("Mul", [floats, each], [result], node.name),
    ]


def _is_used_otherwise(model: onnx.ModelProto, table: str) -> bool:
    """Whether something takes the table as it is, so that its floats would stay beside its codes."""
    taken = [(node, list(node.input)) for node in model.graph.node]
    turned = {node.output[0] for node, inputs in taken if node.op_type == "Transpose" and table in inputs} - {
        value.name for value in model.graph.output
    }
    for node, inputs in taken:
        if table in inputs:
            is_turned = node.op_type == "Transpose" and node.output[0] in turned
            if not is_turned and table not in [node.input[place] for place, _ in _weights(node)]:
                return True
        if turned & set(inputs) and not (node.op_type == "MatMul" and inputs[0] not in turned):
            return True
    return False


def _is_used(nodes: list[onnx.NodeProto], tensor: onnx.TensorProto) -> bool:
    return any(tensor.name in node.input for node in nodes)


def _opset(model: onnx.ModelProto) -> int:
    return int(next(entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")))
