"""SmoothQuant: outliers of activations are moved into the weights that follow, where 8 bits take them better.

A few channels of a transformer's activations are many times larger than the others, and one scale for the
tensor leaves the others a few levels. Each channel is divided by ``max|x| ** alpha / max|w| ** (1 - alpha)``
in what comes before, and the weights that read it are multiplied by the same, so that no output changes
(Xiao et al., ICML 2023, arXiv 2211.10438). What comes before is the scale of a normalisation over the last
axis, such as LayerNorm, that linear layers alone read, or a layer with but ReLU between. The extremes are
those of the workload's calibration samples.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass as plain_dataclass
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
    from torch import fx

    from .traced import Layer, Traced

_LEAST = 1e-5
_STILL = 1e-3
#: Operators that leave the last axis as it is, when it keeps its size.
_CARRIERS = {"view", "reshape", "dropout", "clone", "contiguous", "alias", "detach", "unsqueeze", "squeeze"}


@dataclass(frozen=True, config=STRICT)
class SmoothOptions:
    """Options of ``smooth``.

    Attributes:
        alpha: how much of the outliers goes into the weights: 0 equalizes the weights alone, 1 the
            activations.
        chains: smooth between layers in a row too, and not only after normalisations.
    """

    alpha: Annotated[float, Field(ge=0.0, le=1.0)] = 0.5
    chains: bool = True


class Smooth:
    """See the module."""

    stage: ClassVar[Literal["model"]] = "model"
    saves: ClassVar[tuple[str, ...]] = ()
    options: ClassVar[type[Any]] = SmoothOptions

    def profile_facts(
        self, options: SmoothOptions, profile: DeviceProfile, format: str
    ) -> Mapping[str, object]:
        """Nothing: the module is the same for every device."""
        return {}

    def on_device(self, options: SmoothOptions, profile: DeviceProfile) -> tuple[str, ...]:
        """See :class:`edgewright.recipe.Technique`."""
        return READY_FOR_INTEGERS

    def apply(self, job: ModelJob, options: SmoothOptions) -> Changed:
        """See :class:`edgewright.compress.ModelTechnique`."""
        from .traced import Traced, check_same, fold_norms, outputs

        module = job.module
        if not job.workload.calibration:
            raise CompressionError(
                "smooth needs calibration samples and the workload has none", mend="give Workload.calibration"
            )
        before = outputs(module, job)
        job.tell("tracing")
        fold_norms(module, Traced(module, job, "smooth"), "smooth")
        traced = Traced(module, job, "smooth")
        sites = [*_after_norms(traced), *(_between_layers(traced) if options.chains else [])]
        if not sites:
            raise CompressionError(
                "smooth: the model has no normalisation that linear layers alone read, and no layers in a row"
            )
        largest = _smooth(module, traced, sites, options, job)
        check_same(before, outputs(module, job), "smooth")
        if largest < 1 + _STILL:
            raise CompressionError("smooth changed nothing: no channel stands out")
        norms = sum(site.first is None for site in sites)
        said = f"{len(sites)} activations smoothed, {norms} of them after normalisations"
        return Changed(module.eval(), (f"{said}, channels scaled by up to {largest:.3g}",))


@plain_dataclass(frozen=True)
class _Site:
    """An activation whose channels can be scaled.

    Attributes:
        node: where it is seen; its channels are on ``axis``, ``block`` to each factor.
        affine: names of the parameters to divide, when a normalisation comes before.
        first: the layer to divide, when one comes before.
        readers: the layers to multiply.
    """

    node: fx.Node
    axis: int
    block: int
    affine: tuple[str, ...]
    first: Layer | None
    readers: tuple[Layer, ...]


def _after_norms(traced: Traced) -> list[_Site]:
    layers = {layer.node: layer for layer in traced.layers()}
    found = []
    for node in traced.nodes:
        affine = _affine(traced, node)
        readers = _readers(node, layers) if affine else None
        if readers:
            found.append(_Site(node, -1, 1, affine, None, tuple(readers)))
    return found


def _affine(traced: Traced, node: fx.Node) -> tuple[str, ...]:
    """The parameters that scale and shift the last axis of what a node gives, if it is such a node."""
    from .traced import argument, operator, shape

    if operator(node) in ("layer_norm", "rms_norm"):
        held = [argument(node, "weight", None), argument(node, "bias", None)]
        if len(argument(node, "normalized_shape", ())) != 1:
            return ()
    elif operator(node) == "mul":
        held = [value for value in node.args if traced.parameter(value)]
        if len(held) != 1 or shape(held[0]) != shape(node)[-1:]:
            return ()
    else:
        return ()
    if held[0] is None or not all(value is None or traced.is_alone(value) for value in held):
        return ()
    return tuple(traced.parameter(value) for value in held if value is not None)


def _readers(node: fx.Node, layers: Mapping[fx.Node, Layer]) -> list[Layer] | None:
    """The linear layers that read the node; None when anything else does."""
    from .traced import operator, shape

    found: list[Layer] = []
    for reader in node.users:
        layer = layers.get(reader)
        if layer is not None and layer.kind == "linear" and reader.args[0] is node:
            found.append(layer)
        elif _carries(operator(reader), reader) and shape(reader)[-1] == shape(node)[-1]:
            further = _readers(reader, layers)
            if further is None:
                return None
            found += further
        else:
            return None
    return found


def _carries(name: str, node: fx.Node) -> bool:
    from .traced import argument, shape

    if name in ("transpose", "permute"):
        last = len(shape(node)) - 1
        moved = (argument(node, "dim0", 0), argument(node, "dim1", 0))
        if name == "permute":
            order = argument(node, "dims", ())
            return bool(order) and order[-1] % (last + 1) == last
        return last not in {axis % (last + 1) for axis in moved}
    return name in _CARRIERS


def _between_layers(traced: Traced) -> list[_Site]:
    from .chains import pairs

    return [
        _Site(
            pair.second.node.args[0],  # type: ignore[arg-type]
            1 if pair.second.kind == "conv" else -1,
            pair.block,
            (),
            pair.first,
            (pair.second,),
        )
        for pair in pairs(traced)
    ]


def _smooth(
    module: torch.nn.Module, traced: Traced, sites: list[_Site], options: SmoothOptions, job: ModelJob
) -> float:
    """Scale every site; returns the largest factor, or the reciprocal of the smallest."""
    import torch

    from .chains import divide_outputs, reach_of_inputs, scale_inputs

    reaches: dict[fx.Node, torch.Tensor] = {}

    def watch(site: _Site) -> Any:
        def see(value: torch.Tensor) -> None:
            channels = value.abs().movedim(site.axis, 0).flatten(1).amax(1)
            held = reaches.get(site.node)
            reaches[site.node] = channels if held is None else torch.maximum(held, channels)

        return see

    traced.run(job, {site.node: watch(site) for site in sites}, "smoothing")
    largest = 1.0
    with torch.no_grad():
        for site in sites:
            seen = reaches[site.node].reshape(-1, site.block).amax(1)
            weights = [module.get_parameter(layer.weight) for layer in site.readers]
            held = torch.stack(
                [
                    reach_of_inputs(w, layer, site.block)
                    for w, layer in zip(weights, site.readers, strict=True)
                ]
            ).amax(0)
            factors = seen.clamp_min(_LEAST) ** options.alpha / held.clamp_min(_LEAST) ** (1 - options.alpha)
            factors = factors / factors.log().mean().exp()  # a common factor changes nothing
            factors = torch.where(
                (seen > 0) & (held > 0), factors.clamp_min(_LEAST), torch.ones_like(factors)
            )
            for name in site.affine:
                module.get_parameter(name).div_(factors)
            if site.first is not None:
                divide_outputs(module, site.first, factors)
            for weight, layer in zip(weights, site.readers, strict=True):
                scale_inputs(weight, layer, factors, site.block)
            largest = max(largest, float(torch.maximum(factors, 1 / factors).max()))
    return largest
