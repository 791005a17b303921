"""One layer as a TFLite file; see :mod:`.layers`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from edgewright.boundary import foreign
from edgewright.errors import ExportError, UnsupportedError
from edgewright.files import write_atomic
from edgewright.latency.layers import LayerShape
from edgewright.workload import Array

from .layers import filled, times_layer
from .tflite import INSTALL


def write(shape: LayerShape, out: Path) -> None:
    """See :func:`.layers.write_layer`."""
    if not times_layer(shape, "tflite"):
        raise UnsupportedError(f"TFLite has no {shape}")
    with foreign(ExportError, f"{shape}: writing TFLite", silent=False):
        write_atomic(out, _content(shape))


def _content(shape: LayerShape) -> bytes:
    try:
        import flatbuffers
        from ai_edge_litert import schema_py_generated as schema
    except ImportError as error:
        raise UnsupportedError("TFLite needs ai-edge-litert", mend=INSTALL) from error
    model = _Model(schema)
    match shape.operator:
        case "nothing":
            model.one("RELU", [1, 1], [1, 1], {}, None)
        case "linear":
            rows = shape.size[0]
            weights = {"w": filled(shape.outputs, shape.inputs), "b": filled(shape.outputs)}
            options = schema.FullyConnectedOptionsT()
            model.one("FULLY_CONNECTED", [rows, shape.inputs], [rows, shape.outputs], weights, options)
        case "conv":
            _convolution(model, schema, shape)
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.finished().Pack(builder), b"TFL3")
    return bytes(builder.Output())


def _convolution(model: _Model, schema: Any, shape: LayerShape) -> None:
    """Over two axes, channels last; one axis is a line of height 1."""
    batch, *spatial = shape.size
    axes = len(spatial)
    kernel, stride, dilation = (
        [*[1] * (2 - axes), *sizes] for sizes in (shape.kernel, shape.stride, shape.dilation)
    )
    pads = [[0] * (2 - axes) + list(side) for side in (shape.pads[:axes], shape.pads[axes:])]
    size, wanted = [*[1] * (2 - axes), *spatial], [*[1] * (2 - axes), *shape.output_size]
    is_same = wanted == [-(-full // step) for full, step in zip(size, stride, strict=True)] and all(
        0 <= after - before <= 1 for before, after in zip(*pads, strict=True)
    )
    if not is_same:  # what is padded otherwise is padded before, by an operator whose time is not the layer's
        size = [full + before + after for full, before, after in zip(size, *pads, strict=True)]
    options = schema.DepthwiseConv2DOptionsT() if shape.is_depthwise else schema.Conv2DOptionsT()
    options.padding = schema.Padding.SAME if is_same else schema.Padding.VALID
    options.strideH, options.strideW = stride
    options.dilationHFactor, options.dilationWFactor = dilation
    if shape.is_depthwise:
        options.depthMultiplier = 1
        weights = filled(1, *kernel, shape.outputs)
    else:
        weights = filled(shape.outputs, *kernel, shape.inputs // shape.groups)
    model.one(
        "DEPTHWISE_CONV_2D" if shape.is_depthwise else "CONV_2D",
        [batch, *size, shape.inputs],
        [batch, *wanted, shape.outputs],
        {"w": weights, "b": filled(shape.outputs)},
        options,
    )


class _Model:
    """A file of one operator with one input and one output."""

    def __init__(self, schema: Any) -> None:
        self._schema = schema
        self._made = schema.ModelT()
        self._made.version, self._made.description = 3, "edgewright"
        self._made.buffers = [schema.BufferT()]

    def one(
        self, kind: str, inputs: list[int], outputs: list[int], weights: dict[str, Array], options: Any
    ) -> None:
        """Make the operator; its weights follow its input."""
        schema, graph = self._schema, self._schema.SubGraphT()
        tensors = [
            self._tensor("x", inputs),
            *(self._tensor(n, list(v.shape), v) for n, v in weights.items()),
        ]
        graph.name, graph.tensors = "main", [*tensors, self._tensor("y", outputs)]
        graph.inputs, graph.outputs = [0], [len(tensors)]
        operator, code = schema.OperatorT(), schema.OperatorCodeT()
        code.builtinCode = getattr(schema.BuiltinOperator, kind)
        code.deprecatedBuiltinCode, code.version = min(code.builtinCode, 127), 1
        operator.opcodeIndex, operator.inputs, operator.outputs = 0, list(range(len(tensors))), [len(tensors)]
        if options is not None:
            operator.builtinOptionsType = getattr(schema.BuiltinOptions, type(options).__name__[:-1])
            operator.builtinOptions = options
        graph.operators, self._made.operatorCodes, self._made.subgraphs = [operator], [code], [graph]

    def finished(self) -> Any:
        """The model as the schema's own objects."""
        return self._made

    def _tensor(self, name: str, shape: list[int], content: Array | None = None) -> Any:
        made = self._schema.TensorT()
        made.name, made.shape, made.hasRank = name, shape, True
        made.type, made.buffer = self._schema.TensorType.FLOAT32, 0
        if content is not None:
            buffer = self._schema.BufferT()
            buffer.data = np.frombuffer(content.astype(np.float32).tobytes(), np.uint8)
            self._made.buffers.append(buffer)
            made.buffer = len(self._made.buffers) - 1
        return made
