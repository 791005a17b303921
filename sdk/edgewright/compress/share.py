"""Weight sharing: each layer's weights become few different values, so that the coded file is small.

The values are the centres of a one-dimensional k-means over the layer's weights, begun evenly between their
extremes as Han, Mao and Dally found best (Deep Compression, ICLR 2016, arXiv 1510.00149); what is zero
stays so. The file computes with the shared values as they are and is as large and as fast as before: only
its entropy-coded form, which is what is stored and pushed, is small. The device decodes it bit-exactly
before it loads it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from edgewright.config import STRICT
from edgewright.errors import CompressionError
from edgewright.profile import DeviceProfile

from . import FileJob
from .on_device import SMALLER_FILE


@dataclass(frozen=True, config=STRICT)
class ShareOptions:
    """Options of ``share``.

    Attributes:
        bits: of an index: weights of convolutions take 2 ** bits values.
        linear_bits: the same for the weights of linear layers, which there are most of.
        fewest: tensors with fewer weights are left as they are.
    """

    bits: Annotated[int, Field(ge=1, le=10)] = 8
    linear_bits: Annotated[int, Field(ge=1, le=10)] = 5
    fewest: Annotated[int, Field(ge=2)] = 512


class Share:
    """See the module."""

    stage: ClassVar[Literal["file"]] = "file"
    saves: ClassVar[tuple[str, ...]] = ("file",)
    options: ClassVar[type[Any]] = ShareOptions
    #: The finished file is entropy coded for the store and the push.
    codes: ClassVar[bool] = True

    def profile_facts(
        self, options: ShareOptions, profile: DeviceProfile, format: str
    ) -> Mapping[str, object]:
        """Nothing: the file is the same for every device."""
        return {}

    def on_device(self, options: ShareOptions, profile: DeviceProfile) -> tuple[str, ...]:
        """See :class:`edgewright.recipe.Technique`."""
        return SMALLER_FILE

    def apply(self, job: FileJob, options: ShareOptions) -> tuple[str, ...]:
        """See :class:`edgewright.compress.FileTechnique`."""
        from .clusters import clustered
        from .weights import edit_weights

        shared = 0

        def share(weights: Any) -> Any:
            nonlocal shared
            if weights.size < options.fewest:
                return None
            shared += 1
            return clustered(weights, options.linear_bits if weights.ndim == 2 else options.bits)

        edit_weights(job.source, job.out, job.format, share)
        if not shared:
            raise CompressionError(
                f"share: no tensor of 32-bit floats has {options.fewest} weights", mend="lower fewest"
            )
        return (f"the weights of {shared} tensors shared",)
