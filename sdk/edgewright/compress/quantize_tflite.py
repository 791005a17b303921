"""TFLite: ai-edge-quantizer. Inputs and outputs stay floats; what lies between is quantized."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edgewright.boundary import foreign
from edgewright.errors import CompressionError, UnsupportedError
from edgewright.export.tflite import INSTALL, open_interpreter
from edgewright.files import write_atomic

from . import FileJob

if TYPE_CHECKING:
    from .quantize import QuantizeOptions

#: Operators with a weight and a bias, and the weight's axis of output channels.
_CHANNEL_AXIS = {"CONV_2D": 0, "DEPTHWISE_CONV_2D": 3, "FULLY_CONNECTED": 0}
_EVERYTHING = ".*"


def quantize(job: FileJob, options: QuantizeOptions) -> tuple[str, ...]:
    """Write ``job.out`` with 8-bit weights, and 8-bit activations when ``static``.

    Raises:
        CompressionError: when ai-edge-quantizer fails, or found nothing it could quantize.
    """
    content = bytearray(job.source.read_bytes())
    with foreign(CompressionError, "quantize (ai-edge-quantizer)"):
        recipe = _int8_recipe(options)
        ranges = None
        if options.mode == "static":
            ranges = _calibrate(content, recipe, job)
            _raise_dead_channels(content, ranges)
        result = _quantize(content, recipe, ranges)
    _write(job, result, np.int8, f"quantize ({options.mode})")
    per = "tensor" if options.per_channel is False else "channel"
    activations = "int8 activations x " if options.mode == "static" else ""
    return (f"{options.mode} int8: {activations}int8 weights per {per}, float inputs and outputs",)


def quantize_weights_to_fp16(job: FileJob) -> None:
    """Write ``job.out`` with weights as 16-bit floats, widened when the model is loaded."""
    with foreign(CompressionError, "fp16 (ai-edge-quantizer)"):
        manager = _manager()
        from ai_edge_quantizer.algorithm_manager import AlgorithmName
        from ai_edge_quantizer.qtyping import TFLOperationName

        manager.add_weight_only_config(
            regex=_EVERYTHING,
            operation_name=TFLOperationName.ALL_SUPPORTED,
            num_bits=16,
            algorithm_key=AlgorithmName.FLOAT_CASTING,
        )
        result = _quantize(bytearray(job.source.read_bytes()), manager, None)
    _write(job, result, np.float16, "fp16")


def quantize_weights_only(job: FileJob, bits: int) -> None:
    """Write ``job.out`` with weights as integers of so many bits, widened when they are used."""
    with foreign(CompressionError, "quantize-weights (ai-edge-quantizer)"):
        manager = _manager()
        from ai_edge_quantizer.qtyping import QuantGranularity, TFLOperationName

        manager.add_weight_only_config(
            regex=_EVERYTHING,
            operation_name=TFLOperationName.ALL_SUPPORTED,
            num_bits=bits,
            granularity=QuantGranularity.CHANNELWISE,
        )
        result = _quantize(bytearray(job.source.read_bytes()), manager, None)
    _write(job, result, np.int8, "quantize-weights")


def _manager() -> Any:
    try:
        from ai_edge_quantizer.recipe_manager import RecipeManager
    except ImportError as error:
        raise UnsupportedError("TFLite needs ai-edge-quantizer", mend=INSTALL) from error
    return RecipeManager()


def _int8_recipe(options: QuantizeOptions) -> Any:
    manager = _manager()
    from ai_edge_quantizer.algorithm_manager import AlgorithmName
    from ai_edge_quantizer.qtyping import QuantGranularity, TFLOperationName

    everything = TFLOperationName.ALL_SUPPORTED
    per = QuantGranularity.TENSORWISE if options.per_channel is False else QuantGranularity.CHANNELWISE
    if options.mode == "dynamic":
        manager.add_dynamic_config(_EVERYTHING, everything, 8, granularity=per)
        return manager
    manager.add_static_config(_EVERYTHING, everything, 8, 8, weight_granularity=per)
    for ends in (TFLOperationName.INPUT, TFLOperationName.OUTPUT):
        manager.add_quantization_config(_EVERYTHING, ends, algorithm_key=AlgorithmName.NO_QUANTIZE)
    return manager


def _calibrate(content: bytearray, recipe: Any, job: FileJob) -> Any:
    """Extremes of every tensor over the samples."""
    from ai_edge_quantizer.calibrator import Calibrator
    from ai_edge_quantizer.utils.qsv_utils import min_max_update

    signature, names = _signature(job.source)
    calibrator = Calibrator(bytes(content), num_threads=1, qsv_update_func=min_max_update)
    samples = [dict(zip(names, sample, strict=True)) for sample in job.calibration]
    calibrator.calibrate({signature: samples}, recipe)
    return calibrator.get_model_qsvs()


def _quantize(content: bytearray, recipe: Any, ranges: Any) -> bytes:
    from ai_edge_quantizer.quantizer import Quantizer

    quantizer = Quantizer(content, recipe.get_quantization_recipe())
    result = quantizer.quantize(ranges, enable_progress_bar=False, enable_progress_report=False)
    return bytes(result.quantized_model)


def _signature(path: Path) -> tuple[str, tuple[str, ...]]:
    """The signature's key and its input names, in the order of the file's inputs."""
    interpreter = open_interpreter(path)
    signatures = interpreter.get_signature_list()
    if len(signatures) != 1:
        raise CompressionError(
            f"{path.name}: has {len(signatures)} signatures, one is needed for calibration"
        )
    key = next(iter(signatures))
    by_index = {
        detail["index"]: name
        for name, detail in interpreter.get_signature_runner(key).get_input_details().items()
    }
    return key, tuple(by_index[detail["index"]] for detail in interpreter.get_input_details())


def _raise_dead_channels(content: bytearray, ranges: Any) -> None:
    """Give channels whose weights are all but zero one weight large enough for their bias to be held.

    A bias is stored in units of (input scale x weight scale). A channel that training has switched off has
    a weight scale near zero, its bias overflows 32 bits, and the sign with it. One weight is raised until
    the bias takes up half of them, which moves the channel's output by less than 1e-4 of its bias.
    """
    from ai_edge_quantizer.utils import tfl_flatbuffer_utils as flatbuffers

    model = flatbuffers.read_model(memoryview(content))
    names = {number: name for name, number in _operator_codes().items()}
    for graph in model.subgraphs:
        for operator in graph.operators:
            axis = _CHANNEL_AXIS.get(names.get(model.operatorCodes[operator.opcodeIndex].builtinCode, ""))
            if axis is None:
                continue
            source, weight, bias, _ = flatbuffers.parse_fc_bmm_conv_tensors(operator, graph.tensors)
            seen = ranges.get(flatbuffers.get_tensor_name(source))
            weights = flatbuffers.get_tensor_data(weight, model.buffers)
            biases = None if bias is None else flatbuffers.get_tensor_data(bias, model.buffers)
            if not seen or weights is None or biases is None or weights.dtype != np.float32:
                continue
            span = float(np.max(seen["max"])) - min(float(np.min(seen["min"])), 0.0)
            _raise_channels(np.moveaxis(weights, axis, 0), biases.ravel(), max(span, 1e-9) / 255)


def _raise_channels(weights: Any, biases: Any, input_scale: float) -> None:
    least = np.abs(biases) / (2.0**30 * input_scale) * 127
    for channel in np.flatnonzero(np.abs(weights).reshape(len(weights), -1).max(axis=1) < least):
        place = np.unravel_index(np.abs(weights[channel]).argmax(), weights[channel].shape)
        weights[(channel, *place)] = least[channel]


def _operator_codes() -> dict[str, int]:
    from ai_edge_litert.schema_py_generated import BuiltinOperator

    return {name: getattr(BuiltinOperator, name) for name in _CHANNEL_AXIS}


def _write(job: FileJob, result: bytes, kind: type[Any], what: str) -> None:
    """Write the file when it holds a tensor of ``kind``, which the source does not."""
    write_atomic(job.out, result)
    details = open_interpreter(job.out).get_tensor_details()
    if not any(detail["dtype"] is kind for detail in details):
        job.out.unlink()
        raise CompressionError(f"{what} changed nothing: no operator in the graph can be quantized")
