"""The ranges of a TFLite file's activations, in the form that ai-edge-quantizer takes them.

Its own calibrator says which tensors need a range and finds their extremes; the other calibrators put theirs
in the place of these. Kernels compute with integers around zero or with a zero point as they come, so that a
symmetric range is one whose zero point comes out as zero.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from edgewright.errors import CompressionError
from edgewright.export.tflite import open_interpreter
from edgewright.workload import Array

from . import FileJob
from .attention_masks import Masks, Step
from .calibration import Observe, Range, calibrate

if TYPE_CHECKING:
    from pathlib import Path

    from .quantize import QuantizeOptions

_RECTIFIERS = {"RELU", "RELU6", "RELU_N1_TO_1", "RELU_0_TO_1"}
#: Operators whose results may end where it suits; others have the steps of what they take, or their own.
_FREE = {
    *("CONV_2D", "DEPTHWISE_CONV_2D", "TRANSPOSE_CONV", "FULLY_CONNECTED", "BATCH_MATMUL"),
    *("ADD", "SUB", "MUL", "DIV", "MEAN", "SUM", "CONCATENATION"),
}
#: Operators that hand on the values of their first input.
_SAME = {"RESHAPE", "TRANSPOSE", "SQUEEZE", "EXPAND_DIMS", "BROADCAST_TO", "SLICE", "STRIDED_SLICE"}
#: Integers reach one step further below zero than above.
_BELOW, _ABOVE = 128, 127


def ranges_of(content: bytearray, recipe: Any, job: FileJob, options: QuantizeOptions) -> dict[str, Any]:
    """The statistics of every tensor that the recipe quantizes."""
    found = _extremes(content, recipe, job)
    wanted = found.keys() - _constants(content)
    masks = _masks_of(content)
    sought = wanted if options.calibrator != "minmax" else wanted & masks.tensors
    if sought:
        observe = observer(job.source)
        ranges = calibrate(
            lambda sample: {name: value for name, value in observe(sample).items() if name in sought},
            job.calibration,
            options.calibrator,
            percentile=options.percentile,
            symmetric=bool(options.symmetric),
            masks=masks,
            tell=job.tell,
        )
        for name, cut in ranges.items():
            _put(found[name], cut)
    for name in wanted:
        seen = Range(float(np.min(found[name]["min"])), float(np.max(found[name]["max"])))
        if seen.usable() != seen:
            _put(found[name], seen.usable())
    if options.symmetric:
        for name in wanted:
            reach = max(abs(float(np.min(found[name]["min"]))), abs(float(np.max(found[name]["max"]))))
            _put(found[name], Range(-reach * _BELOW / _ABOVE, reach))
    if job.learnt is not None:
        for name, fixed in job.learnt(observer(job.source)).items():
            if name in wanted:
                _put(found[name], fixed)
    _end_masks(found, masks)
    for before, after in _rectified(content).items():
        if before in wanted and after in wanted:
            found[before] = copy.deepcopy(found[after])
    return found


def _end_masks(found: dict[str, Any], masks: Masks) -> None:
    """Have the ranges of masks that the file holds end where what they are added to makes them count."""
    lowest = {name: float(np.min(found[name]["min"])) for name in masks.scores if name in found}
    highest = {name: float(np.max(seen["max"])) for name, seen in found.items() if "max" in seen}
    for name, floor in masks.masked_constants(lowest, highest).items():
        values = masks.constants[name]
        ends = {"min": np.float32(floor), "max": values.max(initial=np.float32(0.0))}
        found[name] = {end: value.reshape([1] * values.ndim) for end, value in ends.items()}


def observer(path: Path) -> Observe:
    """Runs the file on a sample and gives every float tensor of its main graph."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(path), num_threads=1, experimental_preserve_all_tensors=True)
    interpreter.allocate_tensors()
    inputs = interpreter.get_input_details()
    shown = [detail for detail in interpreter.get_tensor_details() if detail["dtype"] is np.float32]

    def observe(sample: tuple[Array, ...]) -> Mapping[str, Array]:
        interpreter.reset_all_variables()
        for detail, value in zip(inputs, sample, strict=True):
            interpreter.set_tensor(detail["index"], value)
        interpreter.invoke()
        held = ((detail["name"], _held(interpreter, detail)) for detail in shown)
        return {name: value for name, value in held if value is not None}

    return observe


def _held(interpreter: Any, detail: Mapping[str, Any]) -> Array | None:
    """What a tensor holds; nothing where a delegate computes around it."""
    try:
        value: Array = interpreter.get_tensor(detail["index"])
    except ValueError:
        return None
    return value


def _constants(content: bytearray) -> set[str]:
    """The names of the tensors that the file holds."""
    from ai_edge_quantizer.utils import tfl_flatbuffer_utils as flatbuffers

    model = flatbuffers.read_model(memoryview(content))
    return {
        flatbuffers.get_tensor_name(tensor)
        for graph in model.subgraphs
        for tensor in graph.tensors
        if model.buffers[tensor.buffer].data is not None
    }


def _masks_of(content: bytearray) -> Masks:
    """The ways to the softmaxes of the main graph."""
    from ai_edge_litert.schema_py_generated import BuiltinOperator
    from ai_edge_quantizer.utils import tfl_flatbuffer_utils as flatbuffers

    kinds = {number: name for name, number in vars(BuiltinOperator).items()}
    model = flatbuffers.read_model(memoryview(content))
    graph = model.subgraphs[0]
    names = [flatbuffers.get_tensor_name(tensor) for tensor in graph.tensors]
    steps = []
    elsewhere = {names[number] for number in graph.outputs}
    for one in graph.operators:
        kind = kinds[model.operatorCodes[one.opcodeIndex].builtinCode]
        inputs = tuple(names[number] for number in one.inputs if number >= 0)
        step = _step(kind, inputs, [names[number] for number in one.outputs])
        elsewhere.update(set(inputs) - set(step.inputs if step else ()))
        if step:
            steps.append(step)
    taken = {name for step in steps for name in step.inputs} - elsewhere
    held = {
        name: flatbuffers.get_tensor_data(tensor, model.buffers)
        for name, tensor in zip(names, graph.tensors, strict=True)
        if name in taken and model.buffers[tensor.buffer].data is not None
    }
    return Masks(tuple(steps), frozenset(elsewhere), held)


def _step(kind: str, inputs: tuple[str, ...], outputs: list[str]) -> Step | None:
    match kind:
        case "SOFTMAX":
            return Step("softmax", inputs, outputs[0])
        case "ADD":
            return Step("sum", inputs, outputs[0])
        case "MUL":
            return Step("product", inputs, outputs[0])
        case "SELECT" | "SELECT_V2":
            return Step("choice", inputs[1:], outputs[0])
    return Step("same", inputs[:1], outputs[0]) if kind in _SAME else None


def _rectified(content: bytearray) -> dict[str, str]:
    """Results that are only rectified, and then what: operators that the converter left apart.

    Integers end where the rectified ones do, so that none of their steps is spent on what is cut off. That
    is what they have where the kernel of the operator rectifies, and saves a rounding.
    """
    from ai_edge_litert.schema_py_generated import BuiltinOperator
    from ai_edge_quantizer.utils import tfl_flatbuffer_utils as flatbuffers

    names = {number: name for name, number in vars(BuiltinOperator).items()}
    model = flatbuffers.read_model(memoryview(content))
    found = {}
    for graph in model.subgraphs:
        kinds = [names[model.operatorCodes[one.opcodeIndex].builtinCode] for one in graph.operators]
        operators = list(zip(kinds, graph.operators, strict=True))
        makers = {output: kind for kind, one in operators for output in one.outputs}
        uses = Counter([*(taken for one in graph.operators for taken in one.inputs), *graph.outputs])
        for kind, one in operators:
            before = one.inputs[0] if kind in _RECTIFIERS else None
            if makers.get(before) in _FREE and uses[before] == 1:
                before, after = (graph.tensors[number] for number in (before, one.outputs[0]))
                found[flatbuffers.get_tensor_name(before)] = flatbuffers.get_tensor_name(after)
    return found


def _extremes(content: bytearray, recipe: Any, job: FileJob) -> dict[str, Any]:
    from ai_edge_quantizer.calibrator import Calibrator
    from ai_edge_quantizer.utils.qsv_utils import min_max_update

    signature, names = _signature(job.source)
    calibrator = Calibrator(bytes(content), num_threads=1, qsv_update_func=min_max_update)
    for number, sample in enumerate(job.calibration, 1):
        job.tell(f"calibrating, ranges: sample {number} of {len(job.calibration)}")
        calibrator.calibrate({signature: [dict(zip(names, sample, strict=True))]}, recipe)
    found: dict[str, Any] = calibrator.get_model_qsvs()
    return found


def _put(seen: dict[str, Any], cut: Range) -> None:
    for key, value in (("min", cut.lowest), ("max", cut.highest)):
        seen[key] = np.full_like(seen[key], value)


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
