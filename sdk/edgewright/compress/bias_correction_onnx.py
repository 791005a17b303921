"""Bias correction in ONNX: what rounded weights add to a channel on the average is taken from its bias.

Rounding errors of a weight do not cancel where inputs are not centred, as after a ReLU, so each output
channel is off by a constant (Nagel et al., ICCV 2019, arXiv 1906.04721, section 4.2; the empirical variant).
It is measured on calibration samples: beside each layer stands a twin whose weights are the rounding errors
alone, fed with the layer's own inputs as floats compute them, padding and all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from edgewright.errors import CompressionError
from edgewright.workload import Array

from .calibration_onnx import open_session

if TYPE_CHECKING:
    import onnx

_CONVOLUTIONS = ("Conv", "ConvTranspose")


def correct(
    model: onnx.ModelProto,
    quantized: onnx.ModelProto,
    samples: tuple[tuple[Array, ...], ...],
    tell: Callable[[str], None],
) -> int:
    """Edit the biases of ``model`` in place; returns how many.

    Args:
        quantized: the same file with integers, from which the rounded weights are read.

    Raises:
        CompressionError: no layer has weights that were rounded and a bias that can be edited.
    """
    from onnx import numpy_helper

    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    errors = _rounding_errors(model, quantized, constants)
    means = _mean_outputs(model, errors, samples, tell)
    count = 0
    for node in [node for node in model.graph.node if node.name in means]:
        count += _subtract(model, node, means[node.name], constants)
    if not count:
        raise CompressionError("quantize: bias_correction found no layer with a bias that it could correct")
    return count


def _rounding_errors(
    model: onnx.ModelProto, quantized: onnx.ModelProto, constants: Mapping[str, Array]
) -> dict[str, Array]:
    """By node, its stored weights less its own."""
    from onnx import numpy_helper

    stored = {tensor.name: tensor for tensor in quantized.graph.initializer}
    dequantized = {
        node.input[0].removesuffix("_quantized"): node
        for node in quantized.graph.node
        if node.op_type == "DequantizeLinear" and node.input[0] in stored
    }
    errors = {}
    for node in model.graph.node:
        weight = node.input[1] if len(node.input) > 1 else ""
        if node.op_type not in (*_CONVOLUTIONS, "Gemm", "MatMul") or weight not in constants:
            continue
        if weight not in dequantized:
            continue
        reader = dequantized[weight]
        codes, scale, zero = (numpy_helper.to_array(stored[name]).astype(np.float64) for name in reader.input)
        axis = next((attribute.i for attribute in reader.attribute if attribute.name == "axis"), 1)
        if scale.ndim:
            shape = [-1 if place == axis else 1 for place in range(codes.ndim)]
            scale, zero = scale.reshape(shape), zero.reshape(shape)
        errors[node.name] = ((codes - zero) * scale - constants[weight]).astype(np.float32)
    return errors


def _mean_outputs(
    model: onnx.ModelProto,
    errors: Mapping[str, Array],
    samples: tuple[tuple[Array, ...], ...],
    tell: Callable[[str], None],
) -> dict[str, Array]:
    """By node, the mean over samples and places of what its rounding errors make of its inputs."""
    import onnx
    from onnx import numpy_helper

    twins = onnx.ModelProto()
    twins.CopyFrom(model)
    graph = twins.graph
    inputs = [value.name for value in graph.input if value.name not in {t.name for t in graph.initializer}]
    del graph.output[:]
    of_output, nodes = {}, []
    for node in model.graph.node:
        nodes.append(node)
        if node.name not in errors:
            continue
        twin = onnx.NodeProto()
        twin.CopyFrom(node)
        twin.name, weight, output = (f"{node.name}:error{part}" for part in ("", ":weight", ":output"))
        del twin.input[:], twin.output[:]
        twin.input.extend([node.input[0], weight])
        twin.output.append(output)
        graph.initializer.append(numpy_helper.from_array(errors[node.name], weight))
        graph.output.append(onnx.helper.make_empty_tensor_value_info(output))
        of_output[output] = node
        nodes.append(twin)
    if not of_output:
        return {}
    del graph.node[:]
    graph.node.extend(nodes)
    session = open_session(twins.SerializeToString(), optimized=False)
    sums: dict[str, Any] = {node.name: 0.0 for node in of_output.values()}
    for number, sample in enumerate(samples, 1):
        tell(f"correcting biases: sample {number} of {len(samples)}")
        outputs = session.run(list(of_output), dict(zip(inputs, sample, strict=True)))
        for node, output in zip(of_output.values(), outputs, strict=True):
            channel = 1 if node.op_type in _CONVOLUTIONS else output.ndim - 1
            others = tuple(axis for axis in range(output.ndim) if axis != channel)
            sums[node.name] = sums[node.name] + output.astype(np.float64).mean(axis=others)
    return {name: (total / len(samples)).astype(np.float32) for name, total in sums.items()}


def _subtract(
    model: onnx.ModelProto, node: onnx.NodeProto, mean: Array, constants: Mapping[str, Array]
) -> bool:
    """Take ``mean`` from the node's bias; whether it has one, or could be given one."""
    from onnx import numpy_helper

    name = f"{node.name}:corrected"
    if node.op_type == "MatMul":
        readers = [other for other in model.graph.node if node.output[0] in other.input]
        if len(readers) != 1 or readers[0].op_type != "Add":
            return False
        place = 1 - list(readers[0].input).index(node.output[0])
        bias = constants.get(readers[0].input[place])
        if bias is None or bias.size != mean.size or bias.shape[-1] != mean.size:
            return False
        readers[0].input[place] = name
        mean = mean.reshape(bias.shape)
    else:
        held = node.input[2] if len(node.input) > 2 else ""
        if held and (held not in constants or constants[held].size != mean.size):
            return False
        bias = constants[held] if held else np.zeros_like(mean)
        beta = next((attribute.f for attribute in node.attribute if attribute.name == "beta"), 1.0)
        mean = mean.reshape(bias.shape) / (beta or 1.0)
        if held:
            node.input[2] = name
        else:
            del node.input[2:]
            node.input.append(name)
    model.graph.initializer.append(numpy_helper.from_array((bias - mean).astype(np.float32), name))
    return True
