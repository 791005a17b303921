"""Half precision: weights, and in ONNX the arithmetic, as 16-bit floats. Inputs and outputs stay fp32.

What 16 bits cannot hold is computed in fp32 in ONNX, see :mod:`.fp16_onnx`; TFLite computes in fp32 anyway.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic.dataclasses import dataclass

from edgewright.config import STRICT
from edgewright.errors import UnsupportedError
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
        if format == "tflite":
            _refuse_in_tflite(options)
        return {}

    def on_device(self, options: Fp16Options, profile: DeviceProfile) -> tuple[str, ...]:
        """See :class:`edgewright.recipe.Technique`."""
        if "fp16" in profile.numeric.native:
            return ("it computes in 16-bit floats: time may be saved",)
        return ("it has no 16-bit arithmetic: weights are widened, no time is saved",)

    def apply(self, job: FileJob, options: Fp16Options) -> tuple[str, ...]:
        """See :class:`edgewright.compress.FileTechnique`."""
        if job.format == "onnx":
            from .fp16_onnx import convert

            notes = convert(job, options.keep)
        else:
            _refuse_in_tflite(options)
            notes = _tflite(job)
        return (
            "fp16 weights, fp32 inputs and outputs; where a kernel lacks fp16 the runtime computes in fp32",
            *notes,
        )


def _refuse_in_tflite(options: Fp16Options) -> None:
    if options.keep:
        raise UnsupportedError(
            "TFLite has no keep for fp16: it names operator types of ONNX", mend="leave it out"
        )


def _tflite(job: FileJob) -> tuple[str, ...]:
    from .quantize_tflite import quantize_weights_to_fp16

    return quantize_weights_to_fp16(job)
