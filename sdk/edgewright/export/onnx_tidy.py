"""Rewrites of an ONNX graph in place that change no number."""

from __future__ import annotations

import onnx
from onnx import numpy_helper

from edgewright import __version__

_SPATIAL: tuple[object, ...] = ([2, 3], [-2, -1], [-1, -2], [3, 2])


def strip(model: onnx.ModelProto) -> None:
    """Take out what says where and by whom the graph was made: it holds local paths and differs by run."""
    model.producer_name, model.producer_version, model.doc_string = "edgewright", __version__, ""
    model.domain = ""
    del model.metadata_props[:]
    graph = model.graph
    graph.name, graph.doc_string = "main", ""
    del graph.metadata_props[:]
    for item in [*graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer]:
        item.doc_string = ""
        del item.metadata_props[:]
    for function in model.functions:
        function.doc_string = ""
        for node in function.node:
            node.doc_string = ""
            del node.metadata_props[:]


def pool_for_mean(model: onnx.ModelProto) -> None:
    """Replace a mean over height and width by GlobalAveragePool, which runtimes have as integers too."""
    graph = model.graph
    constants = {tensor.name: tensor for tensor in graph.initializer}
    ranks = {
        value.name: len(value.type.tensor_type.shape.dim)
        for value in [*graph.value_info, *graph.input, *graph.output]
    }
    nodes: list[onnx.NodeProto] = []
    for node in graph.node:
        nodes.append(node)
        if node.op_type != "ReduceMean" or len(node.input) < 2 or node.input[1] not in constants:
            continue
        axes = numpy_helper.to_array(constants[node.input[1]]).tolist()
        if axes not in _SPATIAL or ranks.get(node.input[0]) != 4:
            continue
        keeps = all(attribute.i == 1 for attribute in node.attribute if attribute.name == "keepdims")
        pooled = node.output[0] if keeps else f"{node.output[0]}_pooled"
        nodes[-1] = onnx.helper.make_node("GlobalAveragePool", [node.input[0]], [pooled], node.name)
        if not keeps:
            flat = onnx.helper.make_node("Flatten", [pooled], [node.output[0]], f"{node.name}_flat", axis=1)
            nodes.append(flat)
    used = {name for node in nodes for name in node.input}
    kept = [tensor for tensor in graph.initializer if tensor.name in used]
    del graph.node[:]
    graph.node.extend(nodes)
    del graph.initializer[:]
    graph.initializer.extend(kept)
