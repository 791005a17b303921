"""Low rank: a layer is replaced by a chain of thinner ones whose product is nearly its weight.

* Linear layers and 1 x 1 convolutions become two, by the singular value decomposition (Denton et al., NIPS
  2014, arXiv 1404.0736).
* Larger convolutions become 1 x 1, k x k, 1 x 1 by Tucker-2 (Kim et al., ICLR 2016, arXiv 1511.06530), or
  1 x 1, depthwise k x k, 1 x 1 by CP (Lebedev et al., ICLR 2015, arXiv 1412.6553).

The ranks come from VBMF, with no less than half of the weight's energy, from the share of that energy to
keep, or from the size to reach. A layer that would not become smaller, and cheaper to compute, by a margin is
left as it is, and the notes say so; and so is one that computes in its own way, or whose weight the model
reads itself.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import field
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from edgewright.boundary import foreign
from edgewright.config import STRICT
from edgewright.errors import CompressionError
from edgewright.profile import DeviceProfile

from . import Changed, ModelJob
from .on_device import FEWER_MULTIPLICATIONS
from .tuning import Tuning, can_tune, tune

if TYPE_CHECKING:
    import torch

    from .decompose import Decomposed

_NAMED = 3


@dataclass(frozen=True, config=STRICT)
class FactorizeOptions:
    """Options of ``factorize``.

    Attributes:
        convolutions: how convolutions larger than 1 x 1 are decomposed; ``none`` leaves them.
        linear: whether linear layers and 1 x 1 convolutions are decomposed too.
        rank: where the ranks come from, see the module.
        energy: for ``energy``, the share of the squared singular values to keep.
        ratio: for ``ratio``, the share of a layer's weights that may be left.
        round_to: ranks, which are numbers of channels, are kept to multiples of this.
        margin: a layer must shrink to this share of its weights, and of its multiplications, to be replaced.
        layers: the names of the layers to consider; without any, all but the first and the last, which hold
            few of the weights and most of what the model sees and says.
        fine_tune: train afterwards when the workload can.
        tuning: how to train.
    """

    convolutions: Literal["tucker", "cp", "none"] = "tucker"
    linear: bool = True
    rank: Literal["vbmf", "energy", "ratio"] = "vbmf"
    energy: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.9
    ratio: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.4
    round_to: Annotated[int, Field(ge=1, le=64)] = 8
    margin: Annotated[float, Field(gt=0.0, le=1.0)] = 0.9
    layers: tuple[str, ...] = ()
    fine_tune: bool = True
    tuning: Tuning = field(default_factory=Tuning)


class Factorize:
    """See the module."""

    stage: ClassVar[Literal["model"]] = "model"
    saves: ClassVar[tuple[str, ...]] = ("file", "memory", "time")
    options: ClassVar[type[Any]] = FactorizeOptions

    def profile_facts(
        self, options: FactorizeOptions, profile: DeviceProfile, format: str
    ) -> Mapping[str, object]:
        """Nothing: the module is the same for every device."""
        return {}

    def on_device(self, options: FactorizeOptions, profile: DeviceProfile) -> tuple[str, ...]:
        """See :class:`edgewright.recipe.Technique`."""
        return FEWER_MULTIPLICATIONS

    def apply(self, job: ModelJob, options: FactorizeOptions) -> Changed:
        """See :class:`edgewright.compress.ModelTechnique`."""
        import torch
        from torch import nn

        from .decompose import decomposed
        from .layers import OWN_FORWARD, READ_BY_MODEL, check_finite, has_own_forward, needed_as_they_are, put

        module = job.module
        candidates = _candidates(module, options)
        if not candidates:
            raise CompressionError("factorize: the model has no layer that can be decomposed")
        own = [name for name in candidates if has_own_forward(module.get_submodule(name))]
        plain = [name for name in candidates if name not in own]
        weights = {name: module.get_submodule(name).get_parameter("weight") for name in plain}
        check_finite(weights, "factorize")
        read = needed_as_they_are(module, plain, job)
        left = [f"{name} ({OWN_FORWARD if name in own else READ_BY_MODEL})" for name in [*own, *sorted(read)]]
        replaced = []
        shared = _shared(module)
        for name in plain:
            if name in read:
                continue
            job.tell(f"decomposing {name}")
            layer = module.get_submodule(name)
            used_again = any(id(weight) in shared for weight in layer.parameters())
            if used_again:
                found: Decomposed | str = "its weights are used elsewhere too"
            elif job.format == "tflite" and isinstance(layer, nn.Conv3d) and options.convolutions == "cp":
                found = "TFLite has no convolution of single channels over three axes, Tucker needs none"
            else:
                found = decomposed(layer, options)
            if isinstance(found, str):
                left.append(f"{name} ({found})")
            else:
                module = put(module, name, found.module.to(weights[name]))
                replaced.append(f"{name} at rank {found.rank}")
        if not replaced:
            raise CompressionError(
                f"factorize changed nothing: {'; '.join(left[:_NAMED])}{_more(left)}",
                mend="lower energy or ratio" if any("too little" in reason for reason in left) else "",
            )
        with torch.no_grad(), foreign(CompressionError, "factorize: the model with layers decomposed"):
            module.eval()(*job.workload.example_inputs)
        layers = "layer" if len(replaced) == 1 else "layers"
        said = f"{len(replaced)} {layers} decomposed ({', '.join(replaced[:_NAMED])}{_more(replaced)})"
        if options.fine_tune and can_tune(job):
            said += f", fine-tuned: {tune(job, module.eval(), options.tuning)}"
        else:
            said += ", not fine-tuned"
        notes = (f"left as they were: {', '.join(left[:_NAMED])}{_more(left)}",) if left else ()
        return Changed(module.eval(), (said, *notes))


def _candidates(module: torch.nn.Module, options: FactorizeOptions) -> list[str]:
    from torch import nn

    kinds = nn.Conv1d | nn.Conv2d | nn.Conv3d | nn.Linear
    found = [name for name, layer in module.named_modules() if isinstance(layer, kinds)]
    unknown = sorted(set(options.layers) - set(found))
    if unknown:
        raise CompressionError(f"factorize: {unknown[0]!r} is no convolution and no linear layer")
    return [name for name in found if name in options.layers] if options.layers else found[1:-1]


def _shared(module: torch.nn.Module) -> set[int]:
    """Parameters that are in several places, which would keep their size beside a chain that replaced one."""
    seen: Counter[int] = Counter()
    for _, layer in module.named_modules(remove_duplicate=False):
        seen.update(id(parameter) for parameter in layer.parameters(recurse=False))
    return {parameter for parameter, count in seen.items() if count > 1}


def _more(names: list[str]) -> str:
    return f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
