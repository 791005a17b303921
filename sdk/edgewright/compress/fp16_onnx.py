"""ONNX files in half precision, but for what half precision cannot hold.

The converter of onnxruntime clips weights at 65504 and knows nothing of activations, which become infinite.
What is beyond that in any calibration sample is computed in fp32, from the node that makes it to those that
take it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from edgewright.boundary import foreign
from edgewright.errors import CompressionError
from edgewright.workload import Array

from . import FileJob
from .left_in_floats import onnx_note

if TYPE_CHECKING:
    import onnx

_MOST = float(np.finfo(np.float16).max)
_NAMED = 4


def convert(job: FileJob, keep: Sequence[str]) -> tuple[str, ...]:
    """Write ``job.out``; notes.

    Args:
        keep: operator types left in fp32, beside those that have no fp16 kernel.

    Raises:
        CompressionError: there is nothing to convert, or the converter fails.
    """
    import onnx

    from edgewright.export.onnx import write_model
    from edgewright.export.onnx_tidy import strip

    model = onnx.load(str(job.source))
    wide = _wide_nodes(model, job)
    with foreign(CompressionError, "fp16 (onnxruntime)"):
        from onnxruntime.transformers import float16
        from onnxruntime.transformers.onnx_model import OnnxModel

        blocked = [*float16.DEFAULT_OP_BLOCK_LIST, *keep]
        half = float16.convert_float_to_float16(
            model, keep_io_types=True, op_block_list=blocked, node_block_list=wide
        )
        _join(half.graph)
        OnnxModel.graph_topological_sort(half.graph, is_deterministic=True)
    kinds = {tensor.data_type for tensor in half.graph.initializer}
    if onnx.TensorProto.FLOAT16 not in kinds:
        raise CompressionError("fp16 changed nothing: the graph holds no fp32 weights")
    strip(half)
    write_model(half, job.out)
    notes = onnx_note(half)
    if not wide:
        return notes
    named = ", ".join(wide[:_NAMED]) + (f" and {len(wide) - _NAMED} more" if len(wide) > _NAMED else "")
    return (
        *notes,
        f"{len(wide)} nodes stay in fp32, their values are beyond {_MOST:.0f}: {named}",
    )


def _wide_nodes(model: onnx.ModelProto, job: FileJob) -> list[str]:
    """The names of the nodes that make or take what half precision cannot hold."""
    import onnx

    from .calibration_onnx import observer

    floats = [tensor for tensor in model.graph.initializer if tensor.data_type == onnx.TensorProto.FLOAT]
    wide = {tensor.name for tensor in floats if _is_wide(onnx.numpy_helper.to_array(tensor))}
    with foreign(CompressionError, "fp16 (onnxruntime)"):
        observe = observer(model) if job.calibration else None
        for number, sample in enumerate(job.calibration if observe else (), 1):
            job.tell(f"looking for what is too large: sample {number} of {len(job.calibration)}")
            assert observe is not None
            wide |= {name for name, value in observe(sample).items() if _is_wide(value)}
    for number, node in enumerate(model.graph.node):
        node.name = node.name or f"node_{number}"
    return [node.name for node in model.graph.node if not wide.isdisjoint([*node.input, *node.output])]


def _is_wide(values: Array) -> bool:
    finite = np.abs(values[np.isfinite(values)])
    return bool(finite.max(initial=0.0) > _MOST)


def _join(graph: onnx.GraphProto) -> None:
    """Let fp32 go straight from one node that stays to the next: the converter has it in half in between."""
    import onnx

    def target(node: onnx.NodeProto) -> int:
        return next((item.i for item in node.attribute if item.name == "to"), 0)

    casts = [node for node in graph.node if node.op_type == "Cast"]
    narrowed = {node.output[0]: node.input[0] for node in casts if target(node) == onnx.TensorProto.FLOAT16}
    for node in casts:
        if target(node) == onnx.TensorProto.FLOAT and node.input[0] in narrowed:
            node.input[0], node.op_type = narrowed[node.input[0]], "Identity"
            del node.attribute[:]
    uses = Counter(name for node in graph.node for name in node.input)
    uses.update(output.name for output in graph.output)
    for node in casts:
        if node.op_type == "Cast" and not uses[node.output[0]]:
            graph.node.remove(node)
