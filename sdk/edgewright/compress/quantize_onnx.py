"""ONNX: onnxruntime's quantizer, in the operator form (QDQ) that its optimizer fuses into integer kernels."""

from __future__ import annotations

import copy
import platform
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edgewright.boundary import foreign
from edgewright.config import did_you_mean
from edgewright.errors import CompressionError
from edgewright.export.onnx import write_model
from edgewright.export.onnx_tidy import strip
from edgewright.profile import Int8Format
from edgewright.temporary import work_folder
from edgewright.workload import Array

from . import FileJob
from .calibration import calibrate
from .calibration_onnx import as_tensors_range, masked_constants, masks_of, observer, open_session
from .keep_floats_onnx import keep_floats
from .left_in_floats import onnx_note
from .mixed import in_floats, ranges_note

if TYPE_CHECKING:
    import onnx

    from .quantize import QuantizeOptions

#: Zero point of unsigned weights whose range is symmetric.
_MIDDLE = 128
_VNNI = frozenset({"avx_vnni", "avx512_vnni"})
#: Nodes with weights to quantize.
WEIGHTED = ("Conv", "ConvTranspose", "Gemm", "MatMul")
_DYNAMIC = ("DynamicQuantizeLinear", "DynamicQuantizeLSTM")


def quantize(job: FileJob, options: QuantizeOptions, chosen: Int8Format) -> tuple[str, ...]:
    """Write ``job.out`` in the integer format ``chosen``.

    Raises:
        CompressionError: when onnxruntime fails, or found nothing it could quantize.
    """
    import onnx

    notes: tuple[str, ...] = ()
    with (
        work_folder("quantize") as folder,
        foreign(CompressionError, "quantize (onnxruntime)"),
    ):
        prepared, raw = folder / "prepared.onnx", folder / "quantized.onnx"
        from onnxruntime.quantization.shape_inference import quant_pre_process

        quant_pre_process(str(job.source), str(prepared), skip_symbolic_shape=True)
        _check_names(onnx.load(str(prepared)), (*options.keep, *options.only))
        if options.mode == "static":
            made = StaticOnnx(prepared, job, options, chosen)
            parts = in_floats(made, options, folder, job.tell)
            made.write(raw, keep=parts.keep, only=parts.only)
            notes = parts.notes
            if options.bias_correction:
                notes += made.correct_biases(raw)
                made.write(raw, keep=parts.keep, only=parts.only)
        else:
            _dynamic(prepared, raw, options, chosen)
        model = onnx.load(str(raw))
        if options.mode == "dynamic" and chosen.per_channel:
            scale_channels(model, onnx.load(str(prepared)))
    operators = Counter(node.op_type for node in model.graph.node)
    done = operators["QuantizeLinear"] + sum(operators[name] for name in _DYNAMIC)
    if not done:
        raise CompressionError(
            f"quantize ({options.mode}) changed nothing: no operator in the graph can be quantized"
        )
    strip(model)
    write_model(model, job.out)
    return (
        _format_note(chosen, options),
        *notes,
        *onnx_note(model),
        *_saturation_note(job, chosen, options.mode),
    )


class StaticOnnx:
    """A prepared file with the ranges of its activations, to be quantized in whole or in parts."""

    def __init__(self, prepared: Path, job: FileJob, options: QuantizeOptions, chosen: Int8Format) -> None:
        import onnx

        self._model = onnx.load(str(prepared))
        self._job = job
        self._options = options
        self._chosen = chosen
        masks = masks_of(self._model)
        self._ranges = calibrate(
            observer(self._model),
            job.calibration,
            options.calibrator,
            percentile=options.percentile,
            symmetric=bool(options.symmetric),
            masks=masks,
            tell=job.tell,
        )
        if job.learnt is not None:
            self._ranges |= job.learnt(observer(self._model))
        self._constants = masked_constants(masks, self._ranges)

    def names(self) -> tuple[str, ...]:
        """Of the nodes with weights that are to be quantized."""
        constants = {tensor.name for tensor in self._model.graph.initializer}
        found = (
            node.name
            for node in self._model.graph.node
            if node.op_type in WEIGHTED and constants & set(node.input[1:2])
        )
        return tuple(
            name
            for name in found
            if name not in self._options.keep and (not self._options.only or name in self._options.only)
        )

    def write(self, out: Path, *, keep: tuple[str, ...] = (), only: tuple[str, ...] = ()) -> None:
        """Write the file with integers, but for the nodes ``keep`` and, given ``only``, all others."""
        import onnx
        from onnxruntime.quantization import QuantType
        from onnxruntime.quantization.qdq_quantizer import QDQQuantizer
        from onnxruntime.quantization.registry import QDQRegistry, QLinearOpsRegistry

        model = onnx.ModelProto()
        model.CopyFrom(self._model)
        types = {"uint8": QuantType.QUInt8, "int8": QuantType.QInt8}
        symmetric = self._options.symmetric
        overrides = copy.deepcopy(self._constants)
        if self._chosen.per_channel:
            weight = types[self._chosen.weight]
            overrides |= {name: [{"quant_type": weight}] for name in grouped_transposed(model)}
        extra: dict[str, object] = {"TensorQuantOverrides": overrides}
        if symmetric is not None:
            extra["ActivationSymmetric"] = symmetric
        quantizer = QDQQuantizer(
            model,
            per_channel=self._chosen.per_channel,
            reduce_range=self._chosen.reduce_range,
            weight_qType=types[self._chosen.weight],
            activation_qType=types[self._chosen.activation],
            tensors_range=as_tensors_range(self._ranges),
            nodes_to_quantize=list(only),
            nodes_to_exclude=list(keep),
            op_types_to_quantize=sorted({*QDQRegistry, *QLinearOpsRegistry}),
            extra_options=extra,
        )
        quantizer.quantize_model()
        keep_floats(quantizer.model.model)
        quantizer.model.save_model_to_file(str(out), False)

    def samples(self) -> tuple[tuple[Array, ...], ...]:
        """See :class:`edgewright.compress.mixed.Quantizable`."""
        return self._job.calibration

    def outputs(self, path: Path | None, samples: tuple[tuple[Array, ...], ...]) -> tuple[Array, ...]:
        """What the written file, or the one before, computes on the samples, as it is executed."""
        session = open_session(path or self._job.source, exact=self._job.profile.hardware.is_exact)
        names = [value.name for value in session.get_inputs()]
        rows = [session.run(None, dict(zip(names, sample, strict=True))) for sample in samples]
        return tuple(np.stack(column) for column in zip(*rows, strict=True))

    def correct_biases(self, quantized: Path) -> tuple[str, ...]:
        """Take from each bias what the rounded weights of ``quantized`` add on the average."""
        import onnx

        from .bias_correction_onnx import correct

        count = correct(self._model, onnx.load(str(quantized)), self._job.calibration, self._job.tell)
        return (f"{count} biases corrected for the rounding of their weights",)


def grouped_transposed(model: onnx.ModelProto) -> tuple[str, ...]:
    """The weights of transposed convolutions in groups: none of their axes is that of output channels.

    It holds the channels of one group, and a scale for each of those would leave the bias without its own.
    """
    constants = {tensor.name for tensor in model.graph.initializer}
    found = (
        node.input[1]
        for node in model.graph.node
        if node.op_type == "ConvTranspose" and any(a.name == "group" and a.i > 1 for a in node.attribute)
    )
    return tuple(dict.fromkeys(name for name in found if name in constants))


def _check_names(model: onnx.ModelProto, names: tuple[str, ...]) -> None:
    known = [node.name for node in model.graph.node]
    for name in names:
        if name not in known:
            raise CompressionError(f"quantize: no node is called {name!r}", mend=did_you_mean(name, known))


def _dynamic(prepared: Path, raw: Path, options: QuantizeOptions, chosen: Int8Format) -> None:
    from onnxruntime.quantization import QuantType, quantize_dynamic

    types = {"uint8": QuantType.QUInt8, "int8": QuantType.QInt8}
    quantize_dynamic(
        str(prepared),
        str(raw),
        per_channel=chosen.per_channel,
        weight_type=types[chosen.weight],
        nodes_to_quantize=_in_dynamic(options.only),
        nodes_to_exclude=_in_dynamic(options.keep),
    )


def _in_dynamic(names: tuple[str, ...]) -> list[str]:
    """The names that nodes may have there: the quantizer turns a Gemm into a MatMul of another name."""
    return [name for node in names for name in (node, f"{node}_MatMul")]


def scale_channels(model: onnx.ModelProto, original: onnx.ModelProto) -> None:
    """Give each dynamic integer convolution one weight scale for each output channel, in place.

    onnxruntime's quantizer has one for the whole weight, which ruins networks whose channels differ much
    once normalisations are folded into them. The integer product is scaled by a multiplication after it,
    and that takes a vector as well as a scalar, as long as the channels share their zero point.
    """
    from onnx import numpy_helper

    weights = {tensor.name: tensor for tensor in original.graph.initializer}
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in model.graph.node:
        name = node.input[1].removesuffix("_quantized") if node.op_type == "ConvInteger" else ""
        if name not in weights or f"{name}_scale" not in tensors:
            continue
        weight = numpy_helper.to_array(weights[name])
        channels = (-1, *[1] * (weight.ndim - 1))
        peak = np.abs(weight).reshape(len(weight), -1).max(axis=1)
        scale = np.where(peak > 0, peak / 127, 1.0).astype(np.float32)
        levels = np.clip(np.rint(weight / scale.reshape(channels)), -127, 127) + _MIDDLE
        for part, value in (
            ("quantized", levels.astype(np.uint8)),
            ("scale", scale.reshape(channels[:-1])),
            ("zero_point", np.array(_MIDDLE, np.uint8)),
        ):
            tensors[f"{name}_{part}"].CopyFrom(numpy_helper.from_array(value, f"{name}_{part}"))


def _format_note(chosen: Int8Format, options: QuantizeOptions) -> str:
    per = "channel" if chosen.per_channel else "tensor"
    if options.mode == "dynamic":
        return f"dynamic int8: {chosen.weight} weights per {per}"
    reduced = " in 7 bits" if chosen.reduce_range else ""
    said = f"static int8: {chosen.activation} activations x {chosen.weight} weights{reduced} per {per}"
    return f"{said}{ranges_note(options)}"


def _saturation_note(job: FileJob, chosen: Int8Format, mode: str) -> tuple[str, ...]:
    """What to know where this host's fastest kernels compute the file less exactly than the device it is for.

    Without VNNI, AVX2 kernels add pairs of 8 x 8 bit products in 16 bits, which full-range weights overflow.
    """
    flags = host_cpu_flags()
    if mode == "dynamic" or chosen.reduce_range or chosen.weight != "int8" or not flags or flags & _VNNI:
        return ()
    if job.profile.hardware.is_exact:
        return (
            "8-bit weights: this host's fastest kernels saturate, so it computed with others, exact as Arm's",
        )
    return (
        "8-bit weights: exact on Arm and with VNNI, but x86 without VNNI saturates, and this host is such",
    )


def host_cpu_flags() -> frozenset[str]:
    """The x86 CPU flags of this host as Linux names them; none elsewhere."""
    path = Path("/proc/cpuinfo")
    if platform.machine() not in ("x86_64", "AMD64") or not path.is_file():
        return frozenset()
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    flags = next((line for line in lines if line.startswith("flags")), "")
    return frozenset(flags.partition(":")[2].split())
