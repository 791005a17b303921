"""AdaRound: whether a weight is rounded up or down is learnt, layer by layer, from calibration samples.

Rounding to nearest is the best for each weight alone, and not for what a layer gives: errors that inputs have
in common can be made to cancel (Nagel et al., ICML 2020, arXiv 2004.10568). For every layer the rounding is
relaxed and its output error over the samples, a quadratic form in the inputs' second moments, is made least
together with a term that drives each weight to one side; a channel that gained nothing is rounded to nearest.
The error is that of the layer's own output, before any activation.

What this leaves are weights on the very grid that ``quantize`` will choose for the device from the largest
weight of each channel, which stays where it is. So the later rounding is the learnt one, and the step comes
last of those that edit the module. Batch normalisations are folded first, as exporters do.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from edgewright.config import STRICT
from edgewright.errors import CompressionError, UnsupportedError
from edgewright.profile import DeviceProfile, Int8Format

from . import Changed, ModelJob
from .on_device import READY_FOR_INTEGERS

if TYPE_CHECKING:
    import torch

    from .traced import Layer


@dataclass(frozen=True, config=STRICT)
class AdaRoundOptions:
    """Options of ``adaround``. What is left out is the profile's, and must be what ``quantize`` is told.

    Attributes:
        per_channel: one scale for each output channel, instead of one in all.
        reduce_range: weights in 7 bits; in ONNX.
        iterations: of the optimizer, for each layer.
        learning_rate: of the relaxed rounding.
        places: how many places of a convolution's output are looked at in each sample, at most.
    """

    per_channel: bool | None = None
    reduce_range: bool | None = None
    iterations: Annotated[int, Field(ge=10, le=100_000)] = 400
    learning_rate: Annotated[float, Field(gt=0.0, le=1.0)] = 0.02
    places: Annotated[int, Field(ge=1)] = 256

    def grid(self, profile: DeviceProfile, format: str) -> Grid:
        """The integers that weights will be on.

        Raises:
            UnsupportedError: they are not around zero.
        """
        chosen: Int8Format = profile.numeric.int8
        if format == "tflite":
            if self.reduce_range:
                raise UnsupportedError("TFLite has no reduce_range = True", mend="leave it out")
            return Grid(127, self.per_channel is not False)
        if chosen.weight != "int8":
            raise UnsupportedError(f"adaround needs signed weights, {profile.name} has {chosen.weight}")
        reduce = chosen.reduce_range if self.reduce_range is None else self.reduce_range
        per_channel = chosen.per_channel if self.per_channel is None else self.per_channel
        return Grid(64 if reduce else 127, per_channel)


@dataclass(frozen=True)
class Grid:
    """Integers from ``-most`` to ``most``, with a scale for each channel or one in all."""

    most: int
    per_channel: bool


class AdaRound:
    """See the module."""

    stage: ClassVar[Literal["model"]] = "model"
    saves: ClassVar[tuple[str, ...]] = ()
    options: ClassVar[type[Any]] = AdaRoundOptions

    def profile_facts(
        self, options: AdaRoundOptions, profile: DeviceProfile, format: str
    ) -> Mapping[str, object]:
        """The grid."""
        grid = options.grid(profile, format)
        return {"most": grid.most, "per_channel": grid.per_channel}

    def on_device(self, options: AdaRoundOptions, profile: DeviceProfile) -> tuple[str, ...]:
        """See :class:`edgewright.recipe.Technique`."""
        return READY_FOR_INTEGERS

    def apply(self, job: ModelJob, options: AdaRoundOptions) -> Changed:
        """See :class:`edgewright.compress.ModelTechnique`."""
        from .traced import Traced, check_same, fold_norms, outputs

        module = job.module
        if not job.workload.calibration:
            raise CompressionError(
                "adaround needs calibration samples and the workload has none",
                mend="give Workload.calibration",
            )
        if job.profile is None:
            raise CompressionError("adaround must know the device whose integers are meant")
        grid = options.grid(job.profile, job.format)
        before = outputs(module, job)
        job.tell("tracing")
        fold_norms(module, Traced(module, job, "adaround"), "adaround")
        check_same(before, outputs(module, job), "adaround")
        traced = Traced(module, job, "adaround")
        layers = traced.layers()
        if not layers:
            raise CompressionError("adaround: the model has no convolution and no linear layer")
        from .rounding import learnt, moments

        gains = []
        number = 0
        for group in _within_memory(module, layers):
            seen = moments(module, traced, group, options.places, job)
            for layer in group:
                number += 1
                job.tell(f"rounding {layer.name}, layer {number} of {len(layers)}")
                gains.append(learnt(module, layer, seen.pop(layer.node), grid, options))
        shares = [after / nearest if nearest else 1.0 for nearest, after in gains]
        error = sum(shares) / len(shares)
        grid_said = (
            f"{'7' if grid.most == 64 else '8'} bits per {'channel' if grid.per_channel else 'tensor'}"
        )
        said = f"the rounding of {_counted(len(layers))} learnt for {grid_said}"
        left = f"their squared error is {error:.2f} of what nearest makes, on average"
        others = _weighted(module) - len(layers)
        more = (f"{_counted(others)} more, transposed or used in several places, rounded to the nearest",)
        return Changed(module.eval(), (f"{said}: {left}", *(more if others > 0 else ())))


def _weighted(module: torch.nn.Module) -> int:
    """How many convolutions and linear layers there are."""
    from torch import nn

    return sum(isinstance(layer, nn.modules.conv._ConvNd | nn.Linear) for layer in module.modules())


def _counted(layers: int) -> str:
    return f"{layers} layer" if layers == 1 else f"{layers} layers"


#: What the second moments of the layers looked at in one go may take.
_MEMORY_BYTES = 1 << 29


def _within_memory(module: torch.nn.Module, layers: list[Layer]) -> list[list[Layer]]:
    """The layers in groups of which one pass over the samples gathers the moments."""
    groups: list[list[Layer]] = [[]]
    held = 0
    for layer in layers:
        inputs = module.get_parameter(layer.weight)[0].numel()
        size = 4 * layer.groups * inputs**2
        if groups[-1] and held + size > _MEMORY_BYTES:
            groups.append([])
            held = 0
        groups[-1].append(layer)
        held += size
    return groups
