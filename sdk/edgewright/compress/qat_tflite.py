"""TFLite has 8-bit weights only: those that were trained in 7 bits keep their grid among the 8-bit codes."""

from __future__ import annotations

from typing import Any

import numpy as np

from .quantize_tflite import CHANNEL_AXIS, held_weights

#: How far codes reach from zero, in 8 and in 7 bits.
_FULL, _REDUCED = 127, 64


def stretched_weights(content: bytearray, *, per_channel: bool) -> dict[str, Any]:
    """Ranges of weights, as ai-edge-quantizer takes them, in which the largest has the largest 7-bit code."""
    found = {}
    for name, kind, weights in held_weights(content):
        others = tuple(axis for axis in range(weights.ndim) if axis != CHANNEL_AXIS[kind] or not per_channel)
        peak = np.abs(weights).max(axis=others, keepdims=True) * np.float32(_FULL / _REDUCED)
        found[name] = {"min": -peak, "max": peak}
    return found
