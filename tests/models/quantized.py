"""One small convolutional network in float and in integers, as ONNX Runtime's own quantizer writes them."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnxruntime import quantization as q

SHAPE = (1, 3, 32, 32)
CHANNELS = (16, 32)


def float_model(path: Path) -> Path:
    """Two convolutions with ReLU, a global pool and a matrix product."""
    rng = np.random.default_rng(0)

    def weights(name: str, *shape: int) -> onnx.TensorProto:
        return numpy_helper.from_array((rng.standard_normal(shape) * 0.1).astype(np.float32), name)

    nodes, constants, last, width = [], [], "x", SHAPE[1]
    for index, channels in enumerate(CHANNELS):
        constants.append(weights(f"w{index}", channels, width, 3, 3))
        nodes += [
            helper.make_node("Conv", [last, f"w{index}"], [f"c{index}"], f"conv{index}", pads=[1, 1, 1, 1]),
            helper.make_node("Relu", [f"c{index}"], [f"r{index}"], f"relu{index}"),
        ]
        last, width = f"r{index}", channels
    constants.append(weights("dense", width, 10))
    nodes += [
        helper.make_node("GlobalAveragePool", [last], ["pooled"], "pool"),
        helper.make_node("Flatten", ["pooled"], ["flat"], "flatten"),
        helper.make_node("MatMul", ["flat", "dense"], ["y"], "product"),
    ]
    tensors = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        for name, shape in (("x", SHAPE), ("y", (1, 10)))
    ]
    graph = helper.make_graph(nodes, "net", tensors[:1], tensors[1:], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, path)
    return path


class _Samples(q.CalibrationDataReader):  # type: ignore[misc]
    def __init__(self) -> None:
        rng = np.random.default_rng(1)
        self._left = iter([{"x": rng.standard_normal(SHAPE).astype(np.float32)} for _ in range(3)])

    def get_next(self) -> Any:
        return next(self._left, None)


def static_model(source: Path, path: Path, activations: str = "QUInt8") -> Path:
    """Operators in integers throughout: what is quantized stays so between them."""
    with _quietly():
        q.quantize_static(
            source,
            path,
            _Samples(),
            quant_format=q.QuantFormat.QOperator,
            activation_type=q.QuantType[activations],
            weight_type=q.QuantType.QInt8,
        )
    return path


def dynamic_model(source: Path, path: Path) -> Path:
    """Activations quantized anew at each inference."""
    with _quietly():
        q.quantize_dynamic(source, path, weight_type=q.QuantType.QUInt8)
    return path


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """The quantizer advises at length through the root logger."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)
