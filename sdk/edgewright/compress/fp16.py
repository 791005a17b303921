"""Half precision: weights, and in ONNX the arithmetic, as 16-bit floats. Inputs and outputs stay fp32."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic.dataclasses import dataclass

from edgewright.boundary import foreign
from edgewright.config import STRICT
from edgewright.errors import CompressionError
from edgewright.profile import DeviceProfile

from . import FileJob


@dataclass(frozen=True, config=STRICT)
class Fp16Options:
    """Options of ``fp16``.

    Attributes:
        keep: ONNX operator types left in fp32, beside those that have no fp16 kernel.
    """

    keep: tuple[str, ...] = ()


class Fp16:
    """See the module."""

    stage: ClassVar[Literal["file"]] = "file"
    saves: ClassVar[tuple[str, ...]] = ("file",)
    options: ClassVar[type[Any]] = Fp16Options

    def profile_facts(
        self, options: Fp16Options, profile: DeviceProfile, format: str
    ) -> Mapping[str, object]:
        """Nothing: a device without fp16 arithmetic still runs the file, computing in fp32."""
        return {}

    def on_device(self, options: Fp16Options, profile: DeviceProfile) -> tuple[str, ...]:
        """See :class:`edgewright.recipe.Technique`."""
        if "fp16" in profile.numeric.native:
            return ("it computes in 16-bit floats: time may be saved",)
        return ("it has no 16-bit arithmetic: weights are widened, no time is saved",)

    def apply(self, job: FileJob, options: Fp16Options) -> tuple[str, ...]:
        """See :class:`edgewright.compress.FileTechnique`."""
        if job.format == "onnx":
            _onnx(job, options)
        else:
            _tflite(job)
        return (
            "fp16 weights, fp32 inputs and outputs; where a kernel lacks fp16 the runtime computes in fp32",
        )


def _onnx(job: FileJob, options: Fp16Options) -> None:
    import onnx

    from edgewright.export.onnx import write_model
    from edgewright.export.onnx_tidy import strip

    model = onnx.load(str(job.source))
    with foreign(CompressionError, "fp16 (onnxruntime)"):
        from onnxruntime.transformers import float16
        from onnxruntime.transformers.onnx_model import OnnxModel

        blocked = [*float16.DEFAULT_OP_BLOCK_LIST, *options.keep]
        half = float16.convert_float_to_float16(model, keep_io_types=True, op_block_list=blocked)
        OnnxModel.graph_topological_sort(half.graph, is_deterministic=True)
    kinds = {tensor.data_type for tensor in half.graph.initializer}
    if onnx.TensorProto.FLOAT16 not in kinds:
        raise CompressionError("fp16 changed nothing: the graph holds no fp32 weights")
    strip(half)
    write_model(half, job.out)


def _tflite(job: FileJob) -> None:
    from .quantize_tflite import quantize_weights_to_fp16

    quantize_weights_to_fp16(job)
