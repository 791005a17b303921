"""Bias correction in TFLite: as in :mod:`edgewright.compress.bias_correction_onnx`, with the same source.

There are no twins here: a layer is linear, so what rounding errors add on the average follows from the mean
of the inputs at every place of the kernel, padding and all.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgewright.errors import CompressionError
from edgewright.workload import Array

from .calibration import Observe


@dataclass(frozen=True)
class _Layer:
    """One operator with weights: its input's name, its own number, and what its weights lost in rounding."""

    source: str
    number: int
    kind: str
    error: Array
    options: Any
    output_shape: tuple[int, ...]

    def mean(self, values: Array) -> Array:
        """What the errors make of the inputs on the average, by output channel."""
        if self.kind == "FULLY_CONNECTED":
            rows = values.reshape(-1, self.error.shape[1])
            return np.asarray(self.error @ rows.mean(axis=0))
        places = self._places(values)
        if self.kind == "CONV_2D":
            return np.asarray(np.einsum("ohwi,hwi->o", self.error, places))
        copies = self.error.shape[3] // places.shape[2]
        return np.asarray((self.error[0] * np.repeat(places, copies, axis=2)).sum(axis=(0, 1)))

    def _places(self, values: Array) -> Array:
        """The mean of the inputs that each place of the kernel sees, shape ``[height, width, inputs]``."""
        options, kernel = self.options, self.error.shape[1:3]
        strides = (options.strideH, options.strideW)
        dilations = (options.dilationHFactor, options.dilationWFactor)
        sizes = self.output_shape[1:3]
        pads = []
        for axis in (0, 1):
            reach = (sizes[axis] - 1) * strides[axis] + (kernel[axis] - 1) * dilations[axis] + 1
            missing = max(reach - values.shape[1 + axis], 0)
            pads.append((missing // 2, missing - missing // 2))
        padded = np.pad(values, ((0, 0), *pads, (0, 0)))
        seen = np.empty((*kernel, values.shape[3]))
        for row in range(kernel[0]):
            for column in range(kernel[1]):
                top, left = row * dilations[0], column * dilations[1]
                window = padded[
                    :,
                    top : top + (sizes[0] - 1) * strides[0] + 1 : strides[0],
                    left : left + (sizes[1] - 1) * strides[1] + 1 : strides[1],
                ]
                seen[row, column] = window.mean(axis=(0, 1, 2))
        return seen


def correct(
    content: bytearray,
    quantized: bytes,
    observe: Observe,
    samples: tuple[tuple[Array, ...], ...],
    tell: Callable[[str], None],
) -> tuple[bytearray, int]:
    """The float file with corrected biases, and how many these are.

    Args:
        quantized: the same file with integers, from which the rounded weights are read.

    Raises:
        CompressionError: no layer has weights that were rounded.
    """
    from ai_edge_litert.tools import flatbuffer_utils
    from ai_edge_quantizer.utils import tfl_flatbuffer_utils as flatbuffers

    model = flatbuffers.read_model(memoryview(content))
    layers = _layers(model, flatbuffers.read_model(bytearray(quantized)))
    if not layers:
        raise CompressionError("quantize: bias_correction found no layer with a bias that it could correct")
    sums: dict[int, Any] = {layer.number: 0.0 for layer in layers}
    for number, sample in enumerate(samples, 1):
        tell(f"correcting biases: sample {number} of {len(samples)}")
        seen = observe(sample)
        for layer in layers:
            sums[layer.number] = sums[layer.number] + layer.mean(seen[layer.source].astype(np.float64))
    for layer in layers:
        _subtract(model, layer.number, sums[layer.number] / len(samples))
    return bytearray(flatbuffer_utils.convert_object_to_bytearray(model)), len(layers)


def _layers(model: Any, quantized: Any) -> list[_Layer]:
    from ai_edge_quantizer.utils import tfl_flatbuffer_utils as flatbuffers

    from .quantize_tflite import weighted_operators

    stored = {flatbuffers.get_tensor_name(t): t for t in quantized.subgraphs[0].tensors}
    graph = model.subgraphs[0]
    found = []
    for number, kind in weighted_operators(model):
        if kind == "TRANSPOSE_CONV":
            continue  # which inputs meet which weight differs from place to place of its output
        operator = graph.operators[number]
        source, weight, bias, output = flatbuffers.parse_fc_bmm_conv_tensors(operator, graph.tensors)
        rounded = stored.get(flatbuffers.get_tensor_name(weight))
        values = flatbuffers.get_tensor_data(weight, model.buffers)
        if bias is None or rounded is None or values is None or values.dtype != np.float32:
            continue
        codes = flatbuffers.get_tensor_data(rounded, quantized.buffers)
        if codes is None or codes.dtype != np.int8:
            continue
        scale = np.asarray(rounded.quantization.scale, np.float64)
        axis = rounded.quantization.quantizedDimension or 0
        scale = scale.reshape([-1 if place == axis else 1 for place in range(codes.ndim)])
        error = codes * scale - values
        name = flatbuffers.get_tensor_name(source)
        found.append(_Layer(name, number, kind, error, operator.builtinOptions, tuple(output.shape)))
    return found


def _subtract(model: Any, number: int, mean: Array) -> None:
    """Give the operator a bias of its own, since equal ones may share their memory."""
    import copy

    from ai_edge_quantizer.utils import tfl_flatbuffer_utils as flatbuffers

    graph = model.subgraphs[0]
    operator = graph.operators[number]
    before = graph.tensors[operator.inputs[2]]
    held = flatbuffers.get_tensor_data(before, model.buffers)
    tensor, buffer = copy.copy(before), copy.copy(model.buffers[before.buffer])
    corrected = (held - mean.reshape(held.shape)).astype(np.float32)
    buffer.data = np.frombuffer(corrected.tobytes(), np.uint8)
    tensor.buffer, tensor.name = (
        len(model.buffers),
        f"{flatbuffers.get_tensor_name(before)}/corrected{number}".encode(),
    )
    model.buffers.append(buffer)
    operator.inputs = [*operator.inputs[:2], len(graph.tensors), *operator.inputs[3:]]
    graph.tensors.append(tensor)
