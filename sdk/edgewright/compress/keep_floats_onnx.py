"""Nodes that are to stay in floats stay so when onnxruntime executes them.

Its optimizer quantizes the float weights of a convolution or Gemm between a DequantizeLinear and a
QuantizeLinear by itself, with one scale for the tensor (WeightBiasQuantization, 1.20 and later), and so would
undo what was asked without a word. It leaves those alone whose input is dequantized with a scale for each
channel, which here are all the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from edgewright.workload import Array

if TYPE_CHECKING:
    import onnx

_DEQUANTIZE = "DequantizeLinear"


def keep_floats(model: onnx.ModelProto) -> None:
    """Give every node with float weights and a dequantized input a dequantization of its own, in place."""
    from onnx import helper, numpy_helper

    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    made_by = {output: node for node in model.graph.node for output in node.output}
    nodes = []
    for node in model.graph.node:
        before = made_by.get(node.input[0]) if node.input else None
        channels = _input_channels(node, constants)
        if channels and before is not None and before.op_type == _DEQUANTIZE:
            scale, zero = (numpy_helper.to_array(constants[name]) for name in before.input[1:3])
            if scale.ndim == 0:
                parts = {f"{node.name}:scale": scale, f"{node.name}:zero_point": zero}
                model.graph.initializer.extend(
                    numpy_helper.from_array(_repeated(value, channels), name) for name, value in parts.items()
                )
                inputs = [before.input[0], *parts]
                output = f"{node.name}:input"
                nodes.append(helper.make_node(_DEQUANTIZE, inputs, [output], f"{node.name}:input", axis=1))
                node.input[0] = output
        nodes.append(node)
    read = {name for node in nodes for name in node.input} | {value.name for value in model.graph.output}
    kept = [n for n in nodes if n.op_type != _DEQUANTIZE or n.output[0] in read]
    copies = [type(node).FromString(node.SerializeToString()) for node in kept]
    del model.graph.node[:]
    model.graph.node.extend(copies)


def _repeated(value: Array, count: int) -> Array:
    return np.repeat(value.reshape(1), count)


def _input_channels(node: onnx.NodeProto, constants: dict[str, onnx.TensorProto]) -> int:
    """The size of the input's second axis; 0 for a node whose weights onnxruntime leaves as they are."""
    if node.op_type not in ("Conv", "ConvTranspose", "Gemm") or node.input[1] not in constants:
        return 0
    weight = constants[node.input[1]]
    settings = {attribute.name: attribute.i for attribute in node.attribute}
    if weight.data_type != weight.FLOAT or settings.get("transA", 0):
        return 0
    if node.op_type == "Conv":
        return int(weight.dims[1]) * int(settings.get("group", 1))
    if node.op_type == "ConvTranspose":
        return int(weight.dims[0])
    return int(weight.dims[1 if settings.get("transB", 0) else 0])
