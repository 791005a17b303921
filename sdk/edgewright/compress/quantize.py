"""8-bit integers, statically from calibration samples or dynamically as activations come."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from edgewright.config import STRICT
from edgewright.errors import CompressionError, ConfigError, UnsupportedError
from edgewright.profile import DeviceProfile, Int8Format

from . import FileJob
from .on_device import integers, with_wishes

_PERCENTILE = 99.99


@dataclass(frozen=True, config=STRICT)
class QuantizeOptions:
    """Options of ``quantize``. What is left out is the profile's ``[numeric.int8]``, and holds for ONNX.

    Attributes:
        mode: ``static`` fixes the activations' ranges by calibration, ``dynamic`` finds them at run time.
        calibrator: how ranges come from samples, see :mod:`edgewright.compress.calibration`.
        percentile: for that calibrator, how many values to keep, in percent.
        symmetric: ranges of activations that reach as far below zero as above, or just where the values lie;
            left out, the latter, as both runtimes have it.
        activation, weight: integer types.
        per_channel: one scale for each output channel of a weight, instead of one in all.
        reduce_range: weights in 7 bits.
        bias_correction: take from each bias what the rounding of the weights adds on the average.
        keep: names of nodes that stay in floats, as ``edgewright sensitivity`` tells them.
        only: names of the only nodes to quantize.
        keep_worst: how many nodes more to keep in floats, those that do the most damage, see
            :mod:`edgewright.compress.mixed`.
        min_sqnr_db: keep as few of the worst nodes in floats as it takes for the outputs to have this
            signal-to-noise ratio on calibration samples.
    """

    mode: Literal["static", "dynamic"] = "static"
    calibrator: Literal["minmax", "entropy", "percentile", "mse"] = "minmax"
    percentile: Annotated[float, Field(gt=50.0, le=100.0)] = _PERCENTILE
    symmetric: bool | None = None
    activation: Literal["uint8", "int8"] | None = None
    weight: Literal["uint8", "int8"] | None = None
    per_channel: bool | None = None
    reduce_range: bool | None = None
    bias_correction: bool = False
    keep: tuple[str, ...] = ()
    only: tuple[str, ...] = ()
    keep_worst: Annotated[int, Field(ge=0)] = 0
    min_sqnr_db: Annotated[float, Field(gt=0.0)] | None = None

    def __post_init__(self) -> None:
        """Refuse what would not count."""
        if self.mode == "dynamic":
            for name in ("symmetric", "bias_correction", "keep_worst", "min_sqnr_db"):
                if getattr(self, name) not in (None, False, 0):
                    raise ConfigError(f"quantize: {name} needs calibration", mend="use mode = 'static'")
            if self.calibrator != "minmax":
                raise ConfigError("quantize: calibrator needs calibration", mend="use mode = 'static'")
            for name in ("activation", "weight", "reduce_range"):
                if getattr(self, name) is not None:
                    raise ConfigError(
                        f"quantize: mode = 'dynamic' leaves no choice of {name}: its kernels take one type",
                        mend="leave it out, or use mode = 'static'",
                    )
        if self.percentile != _PERCENTILE and self.calibrator != "percentile":
            raise ConfigError(
                f"quantize: calibrator = {self.calibrator!r} takes no percentile",
                mend="use calibrator = 'percentile'",
            )

    def format_for(self, profile: DeviceProfile) -> Int8Format:
        """The integer format: these options where they say, else the profile's.

        In mode ``dynamic`` it is unsigned: onnxruntime's integer convolution is three times slower with
        signed weights (1.32, AVX2), and the unsigned kernels do not saturate, so that they need no reduced
        range.
        """
        default = profile.numeric.int8
        if self.mode == "dynamic":
            return Int8Format(
                activation="uint8",
                weight="uint8",
                per_channel=default.per_channel if self.per_channel is None else self.per_channel,
                reduce_range=False,
            )
        return with_wishes(
            default,
            "quantize",
            activation=self.activation,
            weight=self.weight,
            per_channel=self.per_channel,
            reduce_range=self.reduce_range,
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

    def on_device(self, options: QuantizeOptions, profile: DeviceProfile) -> tuple[str, ...]:
        """See :class:`edgewright.recipe.Technique`."""
        return integers(options.format_for(profile), profile)

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
    fixed = {"activation": "int8", "weight": "int8", "reduce_range": False}
    for name, only in fixed.items():
        if getattr(options, name) not in (None, only):
            raise UnsupportedError(f"TFLite has no {name} = {getattr(options, name)!r}", mend="leave it out")
