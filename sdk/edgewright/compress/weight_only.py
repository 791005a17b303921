"""Weight-only quantization: weights are stored as 8- or 4-bit integers and widened to floats when they are
used.

No calibration and no loss in activations, so that accuracy is kept where static quantization costs it; the
usual choice for language models (Dettmers et al., LLM.int8(), NeurIPS 2022, arXiv 2208.07339; Frantar et
al., GPTQ, ICLR 2023, arXiv 2210.17323). The scale of an output channel is the one of a few candidates that
loses least.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import Field
from pydantic.dataclasses import dataclass

from edgewright.config import STRICT
from edgewright.profile import DeviceProfile
from edgewright.workload import Array

from . import FileJob

#: Shares of the largest weight that the largest code may stand for: a little clipping helps few bits.
_CLIPS = np.linspace(1.0, 0.6, 17)


@dataclass(frozen=True, config=STRICT)
class WeightOnlyOptions:
    """Options of ``quantize-weights``.

    Attributes:
        bits: of a weight.
        fewest: tensors with fewer weights are left as they are.
    """

    bits: Literal[8, 4] = 8
    fewest: Annotated[int, Field(ge=2)] = 512


class WeightOnly:
    """See the module."""

    stage: ClassVar[Literal["file"]] = "file"
    saves: ClassVar[tuple[str, ...]] = ("file",)
    options: ClassVar[type[Any]] = WeightOnlyOptions

    def profile_facts(
        self, options: WeightOnlyOptions, profile: DeviceProfile, format: str
    ) -> Mapping[str, object]:
        """Nothing: the file is the same for every device."""
        return {}

    def on_device(self, options: WeightOnlyOptions, profile: DeviceProfile) -> tuple[str, ...]:
        """See :class:`edgewright.recipe.Technique`."""
        slow = "ONNX Runtime" if options.bits == 8 else "each runtime"
        return (
            "what is stored and pushed is smaller",
            f"{slow} makes floats of the weights at every inference, which takes longer",
        )

    def apply(self, job: FileJob, options: WeightOnlyOptions) -> tuple[str, ...]:
        """See :class:`edgewright.compress.FileTechnique`."""
        if job.format == "onnx":
            from .weight_only_onnx import quantize_weights

            return quantize_weights(job, options)
        from .quantize_tflite import quantize_weights_only

        said = f"weights in {options.bits} bits, one scale a channel"
        return (said, *quantize_weights_only(job, options.bits, options.fewest))


def codes_and_scales(rows: Array, bits: int) -> tuple[Array, Array]:
    """Symmetric integers and a scale for each row of ``rows``, shape ``[channels, n]``.

    The scale is that of :data:`_CLIPS` with the least squared error.
    """
    most = 2 ** (bits - 1) - 1
    peak = np.abs(rows).max(axis=1)
    best = np.full(len(rows), np.inf)
    scales = np.ones(len(rows))
    for clip in _CLIPS if bits < 8 else _CLIPS[:1]:
        scale = np.where(peak > 0, clip * peak / most, 1.0)
        coded = np.clip(np.rint(rows / scale[:, None]), -most, most)
        error = ((coded * scale[:, None] - rows) ** 2).sum(axis=1)
        better = error < best
        best[better], scales[better] = error[better], scale[better]
    codes = np.clip(np.rint(rows / scales[:, None]), -most, most).astype(np.int8)
    return codes, scales.astype(np.float32)
