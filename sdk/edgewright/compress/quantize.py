"""8-bit integers, statically from calibration samples or dynamically as activations come."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from edgewright.config import STRICT
from edgewright.errors import CompressionError, UnsupportedError
from edgewright.profile import DeviceProfile, Int8Format

from . import FileJob


@dataclass(frozen=True, config=STRICT)
class QuantizeOptions:
    """Options of ``quantize``. What is left out is the profile's ``[numeric.int8]``, and holds for ONNX.

    Attributes:
        mode: ``static`` fixes the activations' ranges by calibration, ``dynamic`` finds them at run time.
        calibrator: how ranges come from samples: their extremes, the histogram cut that loses the least
            information, or a percentile of it. TFLite has extremes only.
        percentile: for that calibrator, in percent.
        activation, weight: integer types.
        per_channel: one scale for each output channel of a weight, instead of one in all.
        reduce_range: weights in 7 bits.
        keep: names of nodes that stay in floats, as ``edgewright sensitivity`` tells them; in ONNX.
        only: names of the only nodes to quantize.
    """

    mode: Literal["static", "dynamic"] = "static"
    calibrator: Literal["minmax", "entropy", "percentile"] = "minmax"
    percentile: Annotated[float, Field(gt=50.0, le=100.0)] = 99.99
    activation: Literal["uint8", "int8"] | None = None
    weight: Literal["uint8", "int8"] | None = None
    per_channel: bool | None = None
    reduce_range: bool | None = None
    keep: tuple[str, ...] = ()
    only: tuple[str, ...] = ()

    def format_for(self, profile: DeviceProfile) -> Int8Format:
        """The integer format: these options where they say, else the profile's."""
        default = profile.numeric.int8
        return Int8Format(
            activation=self.activation or default.activation,
            weight=self.weight or default.weight,
            per_channel=default.per_channel if self.per_channel is None else self.per_channel,
            reduce_range=default.reduce_range if self.reduce_range is None else self.reduce_range,
        )


class Quantize:
    """See the module."""

    stage: ClassVar[Literal["file"]] = "file"
    saves: ClassVar[tuple[str, ...]] = ("file", "memory", "time")
    options: ClassVar[type[Any]] = QuantizeOptions

    def profile_facts(
        self, options: QuantizeOptions, profile: DeviceProfile, format: str
    ) -> Mapping[str, object]:
        """The integer format in ONNX; TFLite has but one."""
        if format == "tflite":
            _refuse_in_tflite(options)
            return {}
        chosen = options.format_for(profile)
        return {
            "activation": chosen.activation,
            "weight": chosen.weight,
            "per_channel": chosen.per_channel,
            "reduce_range": chosen.reduce_range,
        }

    def apply(self, job: FileJob, options: QuantizeOptions) -> tuple[str, ...]:
        """See :class:`edgewright.compress.FileTechnique`."""
        if options.mode == "static" and not job.calibration:
            raise CompressionError(
                "static quantization needs calibration samples and the workload has none",
                mend="give Workload.calibration, or use mode = 'dynamic'",
            )
        if job.format == "onnx":
            from .quantize_onnx import quantize

            return quantize(job, options, options.format_for(job.profile))
        from .quantize_tflite import quantize as quantize_tflite

        _refuse_in_tflite(options)
        return quantize_tflite(job, options)


def _refuse_in_tflite(options: QuantizeOptions) -> None:
    if options.mode == "static" and options.calibrator != "minmax":
        raise UnsupportedError(
            f"TFLite has no {options.calibrator!r} calibrator", mend="use calibrator = 'minmax' for TFLite"
        )
    if options.keep or options.only:
        raise UnsupportedError(
            "nodes of a TFLite file cannot be told apart by name", mend="leave out keep and only"
        )
    fixed = {"activation": "int8", "weight": "int8", "reduce_range": False}
    for name, only in fixed.items():
        if getattr(options, name) not in (None, only):
            raise UnsupportedError(f"TFLite has no {name} = {getattr(options, name)!r}", mend="leave it out")
