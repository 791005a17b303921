"""TFLite's integer biases have one axis; the converter gives some of those in floats four."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any


def with_plain_biases(content: bytearray, places: Mapping[str, int]) -> bytearray:
    """The file with one axis for each constant bias; the very same where that is so already.

    A normalisation that is folded into a transposed convolution leaves its shift as ``[1, 1, 1, channels]``.
    Kernels in floats do not look at that shape. Integers have a scale for each channel, and those are looked
    for along the first axis.

    Args:
        places: for each kind of operator with a weight, which of its inputs is the bias.
    """
    from ai_edge_litert.tools import flatbuffer_utils
    from ai_edge_quantizer.utils import tfl_flatbuffer_utils as flatbuffers

    from .quantize_tflite import weighted_operators

    model = flatbuffers.read_model(memoryview(content))
    graph = model.subgraphs[0]
    wanted: dict[int, list[tuple[Any, int]]] = {}
    for number, kind in weighted_operators(model):
        operator, place = graph.operators[number], places[kind]
        tensor = operator.inputs[place] if place < len(operator.inputs) else -1
        if tensor >= 0 and len(graph.tensors[tensor].shape) > 1:
            wanted.setdefault(int(tensor), []).append((operator, place))
    is_changed = False
    for tensor, users in wanted.items():
        before = graph.tensors[tensor]
        values = flatbuffers.get_tensor_data(before, model.buffers)
        if values is None:
            continue
        is_changed = True
        uses = sum(int(taken) == tensor for one in graph.operators for taken in one.inputs)
        if uses == len(users):
            before.shape, before.shapeSignature = [values.size], None
            continue
        own = copy.copy(before)
        own.name = f"{flatbuffers.get_tensor_name(before)}/plain".encode()
        own.shape, own.shapeSignature, own.buffer = [values.size], None, len(model.buffers)
        model.buffers.append(copy.copy(model.buffers[before.buffer]))
        for operator, place in users:
            operator.inputs = [*operator.inputs[:place], len(graph.tensors), *operator.inputs[place + 1 :]]
        graph.tensors.append(own)
    return bytearray(flatbuffer_utils.convert_object_to_bytearray(model)) if is_changed else content
