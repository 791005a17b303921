"""Cross-layer equalization: channels of layers in a row are given like ranges, so that 8 bits hold them all.

Where nothing but ReLU, pooling or padding stands between two layers, a channel may be divided by a factor in
the first and multiplied by it in the second without any output changing; the factors that make both ranges
the geometric mean of the two are the best for one scale a tensor (Nagel et al., Data-Free Quantization, ICCV
2019, arXiv 1906.04721). Batch normalisations are folded first, depthwise layers pass the factors on, and it
is repeated until nothing moves. ReLU6 stops a factor; it can be replaced by ReLU, which changes outputs
wherever an activation was cut.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from edgewright.config import STRICT
from edgewright.errors import CompressionError
from edgewright.profile import DeviceProfile

from . import Changed, ModelJob
from .on_device import READY_FOR_INTEGERS

if TYPE_CHECKING:
    import torch

    from .chains import Pair

_STILL = 1e-3
_LEAST = 1e-30


@dataclass(frozen=True, config=STRICT)
class EqualizeOptions:
    """Options of ``equalize``.

    Attributes:
        rounds: how often to go through all pairs at most.
        relu6: ``keep`` them, or ``replace`` them by ReLU.
    """

    rounds: Annotated[int, Field(ge=1, le=1000)] = 40
    relu6: Literal["keep", "replace"] = "keep"


class Equalize:
    """See the module."""

    stage: ClassVar[Literal["model"]] = "model"
    saves: ClassVar[tuple[str, ...]] = ()
    options: ClassVar[type[Any]] = EqualizeOptions

    def profile_facts(
        self, options: EqualizeOptions, profile: DeviceProfile, format: str
    ) -> Mapping[str, object]:
        """Nothing: the module is the same for every device."""
        return {}

    def on_device(self, options: EqualizeOptions, profile: DeviceProfile) -> tuple[str, ...]:
        """See :class:`edgewright.recipe.Technique`."""
        return READY_FOR_INTEGERS

    def apply(self, job: ModelJob, options: EqualizeOptions) -> Changed:
        """See :class:`edgewright.compress.ModelTechnique`."""
        from .chains import pairs
        from .traced import Traced, check_same, fold_norms, outputs

        module = job.module
        replaced = _replace_relu6(module) if options.relu6 == "replace" else 0
        before = outputs(module, job)
        job.tell("tracing")
        folded = fold_norms(module, Traced(module, job, "equalize"), "equalize")
        found = pairs(Traced(module, job, "equalize"))
        if not found:
            raise CompressionError(
                "equalize: no two layers of the model have but ReLU, pooling or padding between them",
                mend="there is ReLU6 between some: try relu6 = 'replace'" if _relu6(module) else "",
            )
        largest = max(_equalize(module, found, options, job))
        check_same(before, outputs(module, job), "equalize")
        if largest < 1 + _STILL:
            raise CompressionError("equalize changed nothing: the ranges are equal already")
        said = [f"{len(found)} pairs of layers equalized, channels scaled by up to {largest:.3g}"]
        said += [f"{folded} batch normalisations folded"] if folded else []
        said += [f"{replaced} ReLU6 replaced by ReLU: values above 6 are no longer cut"] if replaced else []
        return Changed(module.eval(), tuple(said))


def _equalize(
    module: torch.nn.Module, found: list[Pair], options: EqualizeOptions, job: ModelJob
) -> list[float]:
    """Equalize until nothing moves; returns by how much each pair's channels were scaled at most."""
    import torch

    from .chains import divide_outputs, reach_of_inputs, scale_inputs

    total = [torch.ones(()) for _ in found]
    with torch.no_grad():
        for number in range(1, options.rounds + 1):
            job.tell(f"equalizing, round {number}")
            moved = 0.0
            for place, pair in enumerate(found):
                first = module.get_parameter(pair.first.weight)
                second = module.get_parameter(pair.second.weight)
                rows, columns = (
                    first.flatten(1).abs().amax(1),
                    reach_of_inputs(second, pair.second, pair.block),
                )
                is_live = (rows > 0) & (columns > 0)
                factors = torch.where(
                    is_live, (rows / columns.clamp_min(1e-30)).sqrt(), torch.ones_like(rows)
                )
                divide_outputs(module, pair.first, factors)
                scale_inputs(second, pair.second, factors, pair.block)
                total[place] = total[place] * factors
                moved = max(moved, float((factors.log()).abs().max()))
            if moved < _STILL:
                break
    return [float(torch.maximum(factors, 1 / factors).max()) for factors in total]


def _relu6(module: torch.nn.Module) -> list[str]:
    from torch import nn

    return [name for name, layer in module.named_modules() if type(layer) is nn.ReLU6 and name]


def _replace_relu6(module: torch.nn.Module) -> int:
    from torch import nn

    names = _relu6(module)
    for name in names:
        parent, _, last = name.rpartition(".")
        setattr(module.get_submodule(parent), last, nn.ReLU())
    return len(names)
