"""One layer as an ONNX file; see :mod:`.layers`."""

from __future__ import annotations

from pathlib import Path

import onnx
from onnx import TensorProto, helper, numpy_helper

from edgewright.latency.layers import LayerShape
from edgewright.workload import Array

from .layers import filled
from .onnx import OPSET, write_model


def write(shape: LayerShape, out: Path) -> None:
    """See :func:`.layers.write_layer`."""
    node, inputs, outputs, weights = _parts(shape)
    graph = helper.make_graph(
        [node],
        "main",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, inputs)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, outputs)],
        [numpy_helper.from_array(values, name) for name, values in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=10)
    write_model(model, out)


def _parts(shape: LayerShape) -> tuple[onnx.NodeProto, list[int], list[int], dict[str, Array]]:
    """The node, the sizes of its input and output, and its weights."""
    match shape.operator:
        case "nothing":
            return helper.make_node("Identity", ["x"], ["y"]), [1, 1], [1, 1], {}
        case "linear":
            rows = shape.size[0]
            weights = {"w": filled(shape.outputs, shape.inputs), "b": filled(shape.outputs)}
            node = helper.make_node("Gemm", ["x", "w", "b"], ["y"], transB=1)
            return node, [rows, shape.inputs], [rows, shape.outputs], weights
        case "conv":
            batch, *spatial = shape.size
            node = helper.make_node(
                "Conv",
                ["x", "w", "b"],
                ["y"],
                kernel_shape=list(shape.kernel),
                strides=list(shape.stride),
                dilations=list(shape.dilation),
                pads=list(shape.pads),
                group=shape.groups,
            )
            weights = {
                "w": filled(shape.outputs, shape.inputs // shape.groups, *shape.kernel),
                "b": filled(shape.outputs),
            }
            outputs = [batch, shape.outputs, *shape.output_size]
            return node, [batch, shape.inputs, *spatial], outputs, weights
