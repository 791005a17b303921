"""TFLite: ai-edge-quantizer. Inputs and outputs stay floats; what lies between is quantized."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edgewright.boundary import foreign
from edgewright.config import did_you_mean
from edgewright.errors import CompressionError, UnsupportedError
from edgewright.export.tflite import INSTALL, open_interpreter
from edgewright.files import write_atomic
from edgewright.temporary import work_folder
from edgewright.workload import Array

from . import FileJob
from .biases_tflite import with_plain_biases
from .calibration_tflite import observer, ranges_of
from .left_in_floats import tflite_note
from .mixed import in_floats, ranges_note

if TYPE_CHECKING:
    from .quantize import QuantizeOptions

#: Operators with a weight and a bias, and the weight's axis of output channels.
CHANNEL_AXIS = {"CONV_2D": 0, "DEPTHWISE_CONV_2D": 3, "FULLY_CONNECTED": 0, "TRANSPOSE_CONV": 0}
#: Which of its inputs is which, where these are not input, weight and bias.
_PLACES = {"TRANSPOSE_CONV": {"input_index": 2, "bias_index": 3}}
_EVERYTHING = ".*"


def quantize(job: FileJob, options: QuantizeOptions) -> tuple[str, ...]:
    """Write ``job.out`` with 8-bit weights, and 8-bit activations when ``static``.

    Raises:
        CompressionError: when ai-edge-quantizer fails, or found nothing it could quantize.
    """
    notes: tuple[str, ...] = ()
    with (
        work_folder("quantize") as folder,
        foreign(CompressionError, "quantize (ai-edge-quantizer)"),
    ):
        _check_names(bytearray(job.source.read_bytes()), (*options.keep, *options.only))
        if options.mode == "static":
            made = StaticTflite(job, options)
            parts = in_floats(made, options, folder, job.tell)
            result = made.made(keep=parts.keep, only=parts.only)
            notes = parts.notes
            if options.bias_correction:
                notes += made.correct_biases(result)
                result = made.made(keep=parts.keep, only=parts.only)
        else:
            content = bytearray(job.source.read_bytes())
            result = _quantize(content, _int8_recipe(options, options.keep, options.only), None)
    _write(job, result, np.int8, f"quantize ({options.mode})")
    per = "tensor" if options.per_channel is False else "channel"
    activations = "int8 activations x " if options.mode == "static" else ""
    ranges = ranges_note(options) if options.mode == "static" else ""
    said = f"{options.mode} int8: {activations}int8 weights per {per}, float inputs and outputs{ranges}"
    return (said, *notes, *tflite_note(result))


class StaticTflite:
    """A file with the ranges of its activations, to be quantized in whole or in parts."""

    def __init__(self, job: FileJob, options: QuantizeOptions) -> None:
        self._job = job
        self._options = options
        places = {kind: _PLACES.get(kind, {}).get("bias_index", 2) for kind in CHANNEL_AXIS}
        self._content = with_plain_biases(bytearray(job.source.read_bytes()), places)
        self._ranges = ranges_of(self._content, _int8_recipe(options), job, options)
        _raise_dead_channels(self._content, self._ranges)
        if options.reduce_range:
            from .qat_tflite import stretched_weights

            self._ranges |= stretched_weights(self._content, per_channel=options.per_channel is not False)

    def names(self) -> tuple[str, ...]:
        """Of the operators with weights that are to be quantized."""
        options = self._options
        found = (name for name, weighted in operator_names(self._content) if weighted)
        return tuple(
            name for name in found if name not in options.keep and (not options.only or name in options.only)
        )

    def samples(self) -> tuple[tuple[Array, ...], ...]:
        """See :class:`edgewright.compress.mixed.Quantizable`."""
        return self._job.calibration

    def made(self, *, keep: tuple[str, ...] = (), only: tuple[str, ...] = ()) -> bytes:
        """The file with integers, but for the operators ``keep`` and, given ``only``, all others."""
        return _quantize(bytearray(self._content), _int8_recipe(self._options, keep, only), self._ranges)

    def write(self, out: Path, *, keep: tuple[str, ...] = (), only: tuple[str, ...] = ()) -> None:
        """See :class:`edgewright.compress.mixed.Quantizable`."""
        out.write_bytes(self.made(keep=keep, only=only))

    def outputs(self, path: Path | None, samples: tuple[tuple[Array, ...], ...]) -> tuple[Array, ...]:
        """See :class:`edgewright.compress.mixed.Quantizable`."""
        interpreter = open_interpreter(path or self._job.source)
        interpreter.allocate_tensors()
        rows = []
        for sample in samples:
            interpreter.reset_all_variables()
            for detail, value in zip(interpreter.get_input_details(), sample, strict=True):
                interpreter.set_tensor(detail["index"], value)
            interpreter.invoke()
            rows.append([interpreter.get_tensor(d["index"]) for d in interpreter.get_output_details()])
        return tuple(np.stack(column) for column in zip(*rows, strict=True))

    def correct_biases(self, quantized: bytes) -> tuple[str, ...]:
        """Take from each bias what the rounded weights of ``quantized`` add on the average."""
        from .bias_correction_tflite import correct

        observe, samples = observer(self._job.source), self._job.calibration
        self._content, count = correct(self._content, quantized, observe, samples, self._job.tell)
        return (f"{count} biases corrected for the rounding of their weights",)


def operator_names(content: bytearray) -> tuple[tuple[str, int], ...]:
    """The operators of the main graph by their first output's name, and how many weights each has."""
    from ai_edge_quantizer.utils import tfl_flatbuffer_utils as flatbuffers

    model = flatbuffers.read_model(memoryview(content))
    graph, weighted = model.subgraphs[0], {number for number, _ in weighted_operators(model)}
    found = []
    for number, operator in enumerate(graph.operators):
        if len(operator.outputs):
            shape = graph.tensors[operator.inputs[1]].shape if number in weighted else (0,)
            name = flatbuffers.get_tensor_name(graph.tensors[operator.outputs[0]])
            found.append((name, math.prod(map(int, shape))))
    return tuple(found)


def weighted_operators(model: Any) -> list[tuple[int, str]]:
    """The operators of the main graph that have constant weights: their numbers and kinds."""
    graph = model.subgraphs[0]
    names = {number: name for name, number in _operator_codes().items()}
    found = []
    for number, operator in enumerate(graph.operators):
        kind = names.get(model.operatorCodes[operator.opcodeIndex].builtinCode, "")
        if kind and model.buffers[graph.tensors[operator.inputs[1]].buffer].data is not None:
            found.append((number, kind))
    return found


def held_weights(content: bytearray) -> list[tuple[str, str, Array]]:
    """The constant weights of the main graph's operators: each by its name, with the operator's kind."""
    from ai_edge_quantizer.utils import tfl_flatbuffer_utils as flatbuffers

    model = flatbuffers.read_model(memoryview(content))
    graph = model.subgraphs[0]
    tensors = [(graph.tensors[graph.operators[n].inputs[1]], kind) for n, kind in weighted_operators(model)]
    return [
        (flatbuffers.get_tensor_name(tensor), kind, flatbuffers.get_tensor_data(tensor, model.buffers))
        for tensor, kind in tensors
    ]


def _check_names(content: bytearray, names: tuple[str, ...]) -> None:
    known = [name for name, _ in operator_names(content)] if names else []
    for name in names:
        if name not in known:
            raise CompressionError(f"quantize: no node is called {name!r}", mend=did_you_mean(name, known))


def quantize_weights_to_fp16(job: FileJob) -> tuple[str, ...]:
    """Write ``job.out`` with weights as 16-bit floats, widened when the model is loaded; says what is not."""
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
    return tflite_note(result)


def quantize_weights_only(job: FileJob, bits: int, fewest: int) -> tuple[str, ...]:
    """Write ``job.out`` with weights as integers, widened when they are used; says which are not.

    Args:
        fewest: weights with fewer elements stay in floats.
    """
    content = bytearray(job.source.read_bytes())
    with foreign(CompressionError, "quantize-weights (ai-edge-quantizer)"):
        manager = _manager()
        from ai_edge_quantizer.algorithm_manager import AlgorithmName
        from ai_edge_quantizer.qtyping import QuantGranularity, TFLOperationName

        everything = TFLOperationName.ALL_SUPPORTED
        manager.add_weight_only_config(
            regex=_EVERYTHING,
            operation_name=everything,
            num_bits=bits,
            granularity=QuantGranularity.CHANNELWISE,
        )
        from .weight_only_tflite import chosen_ranges

        sizes = _constant_sizes(content)
        largest = max(sizes.values(), default=0)
        if largest < fewest:
            raise CompressionError(
                "quantize-weights changed nothing: the largest constant that an operator takes has"
                f" {largest} floats of {fewest}",
                mend="lower fewest" if largest > 1 else "",
            )
        for name in (name for name, size in sizes.items() if size < fewest):
            manager.add_quantization_config(
                _called(name), everything, algorithm_key=AlgorithmName.NO_QUANTIZE
            )
        result = _quantize(content, manager, chosen_ranges(content, bits))
    _write(job, result, np.int8, "quantize-weights")
    return tflite_note(result)


def _constant_sizes(content: bytearray) -> dict[str, int]:
    """How many floats the largest constant has that an operator takes, by the operator's name."""
    from ai_edge_litert.schema_py_generated import TensorType
    from ai_edge_quantizer.utils import tfl_flatbuffer_utils as flatbuffers

    model = flatbuffers.read_model(memoryview(content))
    found = {}
    for graph in model.subgraphs:
        for operator in graph.operators:
            taken = [graph.tensors[number] for number in operator.inputs if number >= 0]
            held = [
                math.prod(map(int, tensor.shape))
                for tensor in taken
                if tensor.type == TensorType.FLOAT32 and model.buffers[tensor.buffer].data is not None
            ]
            if held and len(operator.outputs):
                found[flatbuffers.get_tensor_name(graph.tensors[operator.outputs[0]])] = max(held)
    return found


def _manager() -> Any:
    try:
        from ai_edge_quantizer.recipe_manager import RecipeManager
    except ImportError as error:
        raise UnsupportedError("TFLite needs ai-edge-quantizer", mend=INSTALL) from error
    return RecipeManager()


def _int8_recipe(options: QuantizeOptions, keep: tuple[str, ...] = (), only: tuple[str, ...] = ()) -> Any:
    """Operators are told apart by their outputs' names, of which the first is the operator's here."""
    manager = _manager()
    from ai_edge_quantizer.algorithm_manager import AlgorithmName
    from ai_edge_quantizer.qtyping import QuantGranularity, TFLOperationName

    everything = TFLOperationName.ALL_SUPPORTED
    per = QuantGranularity.TENSORWISE if options.per_channel is False else QuantGranularity.CHANNELWISE
    for regex in map(_called, only) if only else (_EVERYTHING,):
        if options.mode == "dynamic":
            manager.add_dynamic_config(regex, everything, 8, granularity=per)
        else:
            manager.add_static_config(regex, everything, 8, 8, weight_granularity=per)
    for regex in map(_called, keep):
        manager.add_quantization_config(regex, everything, algorithm_key=AlgorithmName.NO_QUANTIZE)
    if options.mode == "static":
        for ends in (TFLOperationName.INPUT, TFLOperationName.OUTPUT):
            manager.add_quantization_config(_EVERYTHING, ends, algorithm_key=AlgorithmName.NO_QUANTIZE)
    return manager


def _called(name: str) -> str:
    return f"^{re.escape(name)};"


def _quantize(content: bytearray, recipe: Any, ranges: Any) -> bytes:
    from ai_edge_quantizer.quantizer import Quantizer

    quantizer = Quantizer(content, recipe.get_quantization_recipe())
    result = quantizer.quantize(ranges, enable_progress_bar=False, enable_progress_report=False)
    return bytes(result.quantized_model)


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
            kind = names.get(model.operatorCodes[operator.opcodeIndex].builtinCode, "")
            if kind not in CHANNEL_AXIS:
                continue
            source, weight, bias, _ = flatbuffers.parse_fc_bmm_conv_tensors(
                operator, graph.tensors, **_PLACES.get(kind, {})
            )
            seen = ranges.get(flatbuffers.get_tensor_name(source))
            weights = flatbuffers.get_tensor_data(weight, model.buffers)
            biases = None if bias is None else flatbuffers.get_tensor_data(bias, model.buffers)
            if not seen or weights is None or biases is None or weights.dtype != np.float32:
                continue
            span = float(np.max(seen["max"])) - min(float(np.min(seen["min"])), 0.0)
            _raise_channels(
                np.moveaxis(weights, CHANNEL_AXIS[kind], 0), biases.ravel(), max(span, 1e-9) / 255
            )


def _raise_channels(weights: Any, biases: Any, input_scale: float) -> None:
    least = np.abs(biases) / (2.0**30 * input_scale) * 127
    for channel in np.flatnonzero(np.abs(weights).reshape(len(weights), -1).max(axis=1) < least):
        place = np.unravel_index(np.abs(weights[channel]).argmax(), weights[channel].shape)
        weights[(channel, *place)] = least[channel]


def _operator_codes() -> dict[str, int]:
    from ai_edge_litert.schema_py_generated import BuiltinOperator

    return {name: getattr(BuiltinOperator, name) for name in CHANNEL_AXIS}


def _write(job: FileJob, result: bytes, kind: type[Any], what: str) -> None:
    """Write the file when it holds a tensor of ``kind``, which the source does not."""
    write_atomic(job.out, result)
    details = open_interpreter(job.out).get_tensor_details()
    if not any(detail["dtype"] is kind for detail in details):
        job.out.unlink()
        raise CompressionError(f"{what} changed nothing: no operator in the graph can be quantized")
