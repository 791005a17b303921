"""TFLite: the ranges of weights of which the scales are those that lose least."""

from __future__ import annotations

from typing import Any

import numpy as np

from .quantize_tflite import CHANNEL_AXIS, held_weights
from .weight_only import codes_and_scales


def chosen_ranges(content: bytearray, bits: int) -> dict[str, Any]:
    """Ranges of weights, as ai-edge-quantizer takes them, which has the extremes otherwise.

    It divides the end of a range by the largest code for the scale.
    """
    found = {}
    for name, kind, weights in held_weights(content):
        if weights.dtype != np.float32:
            continue
        rows = np.moveaxis(weights, CHANNEL_AXIS[kind], 0)
        _, scales = codes_and_scales(rows.reshape(len(rows), -1), bits)
        shape = [1] * weights.ndim
        shape[CHANNEL_AXIS[kind]] = len(rows)
        end = (scales * np.float32(2 ** (bits - 1) - 1)).reshape(shape)
        found[name] = {"min": -end, "max": end}
    return found
