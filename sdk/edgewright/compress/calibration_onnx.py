"""What an ONNX file's tensors hold, for calibration: every float tensor is made an output."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edgewright.exact_onnx import with_separate_weights
from edgewright.workload import Array

from .attention_masks import Masks, Step
from .calibration import Observe, Range

if TYPE_CHECKING:
    import onnx

#: Operators that hand on the values of their first input.
_SAME = frozenset({"Reshape", "Transpose", "Squeeze", "Unsqueeze", "Flatten", "Identity", "Expand", "Slice"})


def observer(model: onnx.ModelProto) -> Observe:
    """Runs the model on a sample and gives its inputs and the outputs of all of its nodes."""
    shown = _showing(model, [name for node in model.graph.node for name in node.output if name])
    constants = {tensor.name for tensor in model.graph.initializer}
    inputs = [value.name for value in model.graph.input if value.name not in constants]
    session = open_session(shown.SerializeToString(), optimized=False)
    names = [output.name for output in session.get_outputs()]

    def observe(sample: tuple[Array, ...]) -> Mapping[str, Array]:
        feeds = dict(zip(inputs, sample, strict=True))
        outputs = dict(zip(names, session.run(None, feeds), strict=True))
        return {
            name: value
            for name, value in (feeds | outputs).items()
            if isinstance(value, np.ndarray) and value.dtype in (np.float32, np.float16)
        }

    return observe


def masks_of(model: onnx.ModelProto) -> Masks:
    """The ways to the model's softmaxes."""
    from onnx import numpy_helper

    steps = []
    elsewhere = {value.name for value in model.graph.output}
    for node in model.graph.node:
        step = _step(node)
        elsewhere.update(set(node.input) - set(step.inputs if step else ()))
        if step:
            steps.append(step)
    taken = {name for step in steps for name in step.inputs} - elsewhere
    constants = {t.name: t for t in model.graph.initializer if t.name in taken and t.data_type == t.FLOAT}
    held = {name: numpy_helper.to_array(tensor) for name, tensor in constants.items()}
    return Masks(tuple(steps), frozenset(elsewhere), held)


def _step(node: onnx.NodeProto) -> Step | None:
    inputs = tuple(node.input)
    match node.op_type:
        case "Softmax":
            axis = next((a.i for a in node.attribute if a.name == "axis"), -1)
            return Step("softmax", inputs, node.output[0], axis)
        case "Add":
            return Step("sum", inputs, node.output[0])
        case "Mul":
            return Step("product", inputs, node.output[0])
        case "Where":
            return Step("choice", inputs[1:], node.output[0])
    return Step("same", inputs[:1], node.output[0]) if node.op_type in _SAME else None


def open_session(model: bytes | Path, *, optimized: bool = True, exact: bool = False) -> Any:
    """The file in onnxruntime on this host's processor; its C++ warnings are not wanted.

    Args:
        exact: integer products that do not saturate, whatever this processor does.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.add_session_config_entry("session.x64quantprecision", str(int(exact)))
    if not optimized:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    if exact and isinstance(model, Path):
        model = with_separate_weights(model) or model
    content = model if isinstance(model, bytes) else str(model)
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def masked_constants(masks: Masks, ranges: Mapping[str, Range]) -> dict[str, list[dict[str, float]]]:
    """The ranges of masks that the model holds, as onnxruntime's quantizer takes them."""
    ends = {name: ranges[name].lowest for name in masks.scores if name in ranges}
    floors = masks.masked_constants(ends, {name: found.highest for name, found in ranges.items()})
    return {
        name: [{"rmin": floor, "rmax": float(masks.constants[name].max(initial=0.0))}]
        for name, floor in floors.items()
    }


def as_tensors_range(ranges: Mapping[str, Range]) -> Any:
    """Ranges as onnxruntime's quantizer takes them."""
    from onnxruntime.quantization.calibrate import CalibrationMethod, TensorsData

    return TensorsData(
        CalibrationMethod.MinMax,
        {
            name: (np.array(found.lowest, np.float32), np.array(found.highest, np.float32))
            for name, found in ((name, seen.usable()) for name, seen in ranges.items())
        },
    )


def _showing(model: onnx.ModelProto, names: list[str]) -> onnx.ModelProto:
    """A copy of the model with these tensors as further outputs."""
    import onnx

    shown = onnx.ModelProto()
    shown.CopyFrom(model)
    held = {value.name for value in shown.graph.output}
    shown.graph.output.extend(
        onnx.helper.make_empty_tensor_value_info(name) for name in names if name not in held
    )
    return shown
