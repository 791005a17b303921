"""Quantization-aware training: the model learns with its weights and activations rounded as they will be.

Each weight and each activation that the exported file will hold as an integer is rounded in the forward pass
and passed through in the backward pass (Jacob et al., Quantization and Training of Neural Networks for
Efficient Integer-Arithmetic-Only Inference, CVPR 2018, arXiv 1712.05877). Batch normalisations are folded
into their convolutions first, so that what is trained is what is executed. One training serves both formats:
the file is exported in floats, its weights on their grid already, and written as integers with the ranges
that were learnt.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field, replace
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from edgewright.config import STRICT
from edgewright.errors import UnsupportedError
from edgewright.profile import DeviceProfile, Int8Format

from . import Changed, ModelJob
from .on_device import integers, with_wishes
from .tuning import Tuning, training_of

#: Without normalisations a model learns safely at a share of the rate that it was fine-tuned at.
_RATE_SHARE = 0.3


@dataclass(frozen=True, config=STRICT)
class QatOptions:
    """Options of ``qat``. What is left out is the profile's ``[numeric.int8]``.

    Attributes:
        activation: integer type in ONNX; in TFLite it is int8, which stands for the same numbers.
        per_channel: one scale for each output channel of a weight, instead of one in all.
        reduce_range: weights in 7 bits.
        warmup_epochs: how long the ranges of activations follow what is seen; then they stay.
        tuning: how to train. Without a learning rate, three tenths of the workload's.
    """

    activation: Literal["uint8", "int8"] | None = None
    per_channel: bool | None = None
    reduce_range: bool | None = None
    warmup_epochs: Annotated[int, Field(ge=0, le=10_000)] = 1
    tuning: Tuning = field(default_factory=Tuning)

    def format_for(self, profile: DeviceProfile | None) -> Int8Format:
        """The integer format: these options where they say, else the profile's, else plain 8 bits."""
        default = profile.numeric.int8 if profile else Int8Format("uint8", "int8")
        return with_wishes(
            default,
            "qat",
            activation=self.activation,
            per_channel=self.per_channel,
            reduce_range=self.reduce_range,
        )


class Qat:
    """See the module."""

    stage: ClassVar[Literal["model"]] = "model"
    saves: ClassVar[tuple[str, ...]] = ("file", "memory", "time")
    options: ClassVar[type[Any]] = QatOptions

    def profile_facts(self, options: QatOptions, profile: DeviceProfile, format: str) -> Mapping[str, object]:
        """The integer format, the same whichever file is written, so that both share the training."""
        chosen = options.format_for(profile)
        if chosen.weight != "int8":
            raise UnsupportedError(
                f"qat trains int8 weights, {profile.name} wants {chosen.weight}", mend="use quantize"
            )
        return {
            "activation": chosen.activation,
            "per_channel": chosen.per_channel,
            "reduce_range": chosen.reduce_range,
        }

    def on_device(self, options: QatOptions, profile: DeviceProfile) -> tuple[str, ...]:
        """See :class:`edgewright.recipe.Technique`."""
        return integers(options.format_for(profile), profile)

    def apply(self, job: ModelJob, options: QatOptions) -> Changed:
        """See :class:`edgewright.compress.ModelTechnique`."""
        training = training_of(job, "quantization-aware training")
        tuning = replace(
            options.tuning,
            epochs=options.tuning.epochs or training.epochs,
            learning_rate=options.tuning.learning_rate or _RATE_SHARE * training.learning_rate,
        )
        from .qat_training import trained

        return trained(job, replace(options, tuning=tuning), options.format_for(job.profile))
