"""Files that onnxruntime can run with integer products that do not saturate.

It turns signed weights into unsigned ones for that (``session.x64quantprecision``), in their place, and
refuses a file in which two operators share a weight: "Attempt to replace the existing tensor". The file that
goes to a device keeps them shared.
"""

from __future__ import annotations

import copy
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx


def separate_weights(model: onnx.ModelProto) -> int:
    """Give every operator that takes a signed weight, in place, one of its own; how many were made."""
    import onnx

    graph = model.graph
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    weights = {
        node.output[0]: node
        for node in graph.node
        if node.op_type == "DequantizeLinear"
        and (held := tensors.get(node.input[0])) is not None
        and held.data_type == onnx.TensorProto.INT8
    }
    takers = [node for node in graph.node if any(name in weights for name in node.input)]
    seen: Counter[str] = Counter()
    made: list[onnx.NodeProto] = []
    for taker in takers:
        for position, name in enumerate(taker.input):
            if name not in weights:
                continue
            origin = weights[name]
            number = max(seen[held] for held in origin.input)
            seen.update(origin.input)
            if number:
                own = copy.deepcopy(origin)
                ending = f"__separate_{len(made)}"
                for place, held in enumerate(origin.input):
                    tensor = copy.deepcopy(tensors[held])
                    tensor.name = own.input[place] = held + ending
                    graph.initializer.append(tensor)
                own.name, own.output[0] = origin.name + ending, origin.output[0] + ending
                taker.input[position] = own.output[0]
                made.append(own)
    rest = list(graph.node)
    del graph.node[:]
    graph.node.extend([*made, *rest])  # what only takes initializers may come first
    return len(made)


def with_separate_weights(path: Path) -> bytes | None:
    """The file with a weight for each operator; None where it is so already."""
    import onnx

    model = onnx.load(str(path))
    return model.SerializeToString() if separate_weights(model) else None
