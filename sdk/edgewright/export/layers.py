"""One layer alone as a model file, so that a device can be asked what it takes.

Written straight in the format, in milliseconds, where an export by way of torch takes a second. The weights
are one short pattern over and over: they travel compressed to next to nothing, and no kernel is faster for
it.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np

from edgewright.config import did_you_mean
from edgewright.errors import UnsupportedError
from edgewright.latency.layers import LayerShape
from edgewright.workload import Array

_WRITERS = {"onnx": "edgewright.export.layer_onnx", "tflite": "edgewright.export.layer_tflite"}
#: A prime, so that the pattern falls differently into every row.
_PATTERN = 251


def write_layer(shape: LayerShape, format: str, out: Path) -> None:
    """Write ``out``: the layer with a bias, from one input to one output.

    Raises:
        UnsupportedError: the format has no such layer, or what writes it is not installed.
    """
    if format not in _WRITERS:
        raise UnsupportedError(f"unknown format {format!r}", mend=did_you_mean(format, _WRITERS))
    writer: Any = importlib.import_module(_WRITERS[format])
    writer.write(shape, out)


def times_layer(shape: LayerShape, format: str) -> bool:
    """Whether a layer can be written alone in a format: TFLite convolves over one or two axes."""
    return format == "onnx" or shape.operator != "conv" or len(shape.kernel) in (1, 2)


def filled(*shape: int) -> Array:
    """Weights of that shape, small enough that no sum of theirs is large."""
    pattern = ((np.arange(_PATTERN) * 37 % _PATTERN) / _PATTERN - 0.5).astype(np.float32) * 0.1
    return np.resize(pattern, shape)
