"""The weights of an exported file, read and edited in place."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from edgewright.boundary import foreign
from edgewright.errors import CompressionError
from edgewright.files import write_atomic
from edgewright.workload import Array

#: Gives a tensor's new weights, of the same shape and type, or None to leave it.
Edit = Callable[[Array], Array | None]


def edit_weights(source: Path, out: Path, format: str, edit: Edit) -> None:
    """Write ``source`` with each tensor of two axes or more, of 32-bit floats, as ``edit`` gives it.

    Raises:
        CompressionError: the file cannot be read.
    """
    if format == "onnx":
        _edit_onnx(source, out, edit)
    else:
        _edit_tflite(source, out, edit)


def stored_tensors(path: Path, format: str) -> Iterator[Array]:
    """Every constant tensor whose bytes are in the file, in their order there.

    Raises:
        CompressionError: the file cannot be read.
    """
    content = path.read_bytes()
    found = list(_onnx_tensors(path) if format == "onnx" else _tflite_tensors(content))
    placed = [(content.find(tensor.tobytes()), tensor) for tensor in found if tensor.size]
    for _, tensor in sorted((pair for pair in placed if pair[0] >= 0), key=lambda pair: pair[0]):
        yield tensor


def _edit_onnx(source: Path, out: Path, edit: Edit) -> None:
    with foreign(CompressionError, f"{source.name} (onnx)"):
        import onnx
        from onnx import numpy_helper

        model = onnx.load(source)
        for initializer in model.graph.initializer:
            if initializer.data_type != onnx.TensorProto.FLOAT or len(initializer.dims) < 2:
                continue
            edited = edit(numpy_helper.to_array(initializer))
            if edited is not None:
                initializer.CopyFrom(numpy_helper.from_array(edited, initializer.name))
        content = model.SerializeToString(deterministic=True)
    write_atomic(out, content)


def _onnx_tensors(path: Path) -> Iterator[Array]:
    with foreign(CompressionError, f"{path.name} (onnx)"):
        import onnx
        from onnx import numpy_helper

        model = onnx.load(path)
        return iter([numpy_helper.to_array(tensor) for tensor in model.graph.initializer if tensor.raw_data])


def _edit_tflite(source: Path, out: Path, edit: Edit) -> None:
    """In the file's own bytes: nothing moves."""
    content = bytearray(source.read_bytes())
    for tensor, data in _tflite_buffers(bytes(content)):
        if data.dtype != np.float32 or data.ndim < 2:
            continue
        edited = edit(data)
        if edited is not None:
            content[tensor : tensor + data.nbytes] = edited.tobytes()
    write_atomic(out, bytes(content))


def _tflite_tensors(content: bytes) -> Iterator[Array]:
    return (data for _, data in _tflite_buffers(content))


def _tflite_buffers(content: bytes) -> Iterator[tuple[int, Array]]:
    """Where each constant's bytes begin, and the constant."""
    with foreign(CompressionError, "the TFLite file"):
        from ai_edge_litert import schema_py_generated as schema

        model = schema.Model.GetRootAs(content, 0)
        found: dict[int, tuple[int, Array]] = {}
        for subgraph in (model.Subgraphs(number) for number in range(model.SubgraphsLength())):
            for tensor in (subgraph.Tensors(number) for number in range(subgraph.TensorsLength())):
                placed = _constant(content, model, tensor)
                if placed is not None:
                    found[tensor.Buffer()] = placed
        return iter(found.values())


def _constant(content: bytes, model: Any, tensor: Any) -> tuple[int, Array] | None:
    kinds = {0: "<f4", 1: "<f2", 2: "<i4", 3: "u1", 4: "<i8", 9: "i1", 7: "<i2", 10: "<f8"}
    kind = kinds.get(tensor.Type())
    buffer = model.Buffers(tensor.Buffer())
    if kind is None or buffer is None:
        return None
    if buffer.Offset() > 1:
        begin, size = buffer.Offset(), buffer.Size()
    elif buffer.DataLength():
        begin, size = buffer._tab.Vector(buffer._tab.Offset(4)), buffer.DataLength()
    else:
        return None
    shape = [int(tensor.Shape(axis)) for axis in range(tensor.ShapeLength())]
    count, item_bytes = int(np.prod(shape, dtype=np.int64)), np.dtype(kind).itemsize
    if count * item_bytes != size:
        return None  # packed or sparse: its bytes are not its values
    return begin, np.frombuffer(content, kind, count, begin).reshape(shape)
