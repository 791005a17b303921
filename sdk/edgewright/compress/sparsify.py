"""Unstructured and semi-structured pruning: single weights are set to zero.

The stored and pushed file becomes smaller once it is packed; dense kernels take as long as before. N:M
patterns (2:4 of NVIDIA's Ampere, Mishra et al., 2021, arXiv 2104.08378) are what accelerators with such
kernels need. Which weights go: the smallest (Han et al., NIPS 2015); the smallest beside all in their layer
that are no smaller (Lee et al., LAMP, ICLR 2021, arXiv 2010.07611), so that the last one of a layer never
goes and layers of small weights are not emptied; those of the smallest saliency ``w^2 h / 2`` with the loss's
curvature ``h`` taken from squared gradients (LeCun et al., Optimal Brain Damage, NIPS 1989); or any. In
several rounds the share grows along a cubic, fast at first (Zhu and Gupta, 2017, arXiv 1710.01878), and the
rest is trained in between; what was set to zero stays so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import field
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from edgewright.config import STRICT, did_you_mean
from edgewright.errors import CompressionError, ConfigError
from edgewright.profile import DeviceProfile

from . import Changed, ModelJob
from .importance import Importance
from .on_device import SMALLER_FILE
from .tuning import SEED, Tuning, can_tune, tune

if TYPE_CHECKING:
    import torch

    from .layers import Weights

_MOST_GROUPED = 64
_NAMED = 3


@dataclass(frozen=True, config=STRICT)
class SparsifyOptions:
    """Options of ``sparsify``.

    Attributes:
        amount: share of the weights of convolutions, linear, recurrent and attention layers to set to zero.
        by: ``magnitude``, ``lamp``, ``obd`` or ``random``.
        scope: ``global`` takes the least important of all layers, ``local`` the same share of each.
        n, m: with both, of each ``m`` weights in a row the ``n`` most important stay, and ``amount`` and
            ``scope`` do not count.
        layers: names of the layers to consider; all of them without any.
        rounds: how often a part is set to zero and the rest trained.
        fine_tune: train when the workload can.
        tuning: how to train.
    """

    amount: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.8
    by: Literal["magnitude", "lamp", "obd", "random"] = "lamp"
    scope: Literal["global", "local"] = "global"
    n: Annotated[int, Field(ge=0, lt=_MOST_GROUPED)] = 0
    m: Annotated[int, Field(ge=0, le=_MOST_GROUPED)] = 0
    layers: tuple[str, ...] = ()
    rounds: Annotated[int, Field(ge=1, le=100)] = 1
    fine_tune: bool = True
    tuning: Tuning = field(default_factory=Tuning)

    def __post_init__(self) -> None:
        if (self.n or self.m) and not 0 < self.n < self.m:
            raise ConfigError(f"sparsify: {self.n} of {self.m} weights", mend="0 < n < m, as in n = 2, m = 4")


class Sparsify:
    """See the module."""

    stage: ClassVar[Literal["model"]] = "model"
    saves: ClassVar[tuple[str, ...]] = ("file",)
    options: ClassVar[type[Any]] = SparsifyOptions

    def profile_facts(
        self, options: SparsifyOptions, profile: DeviceProfile, format: str
    ) -> Mapping[str, object]:
        """Nothing: the module is the same for every device."""
        return {}

    def on_device(self, options: SparsifyOptions, profile: DeviceProfile) -> tuple[str, ...]:
        """See :class:`edgewright.recipe.Technique`."""
        return SMALLER_FILE

    def apply(self, job: ModelJob, options: SparsifyOptions) -> Changed:
        """See :class:`edgewright.compress.ModelTechnique`."""
        from .layers import check_finite

        module = job.module
        found = _found(job, options)
        weights = found.stored
        check_finite(weights, "sparsify")
        trains = options.fine_tune and can_tune(job)
        trained = ""
        for number in range(1, options.rounds + 1):
            share = options.amount * (1 - (1 - number / options.rounds) ** 3)
            masks = _masks(weights, job, options, share)
            keep = _keeper(weights, masks)
            keep()
            if trains:
                turn = f", round {number} of {options.rounds}" if options.rounds > 1 else ""
                trained = tune(job, module, options.tuning, name=f"retraining{turn}", after_step=keep)
        zeros = sum(int((weight == 0).sum()) for weight in weights.values())
        total = sum(weight.numel() for weight in weights.values()) + sum(found.computed.values())
        if not zeros:
            mend = (
                f"an m that layers have as many inputs for, {options.m} is too many"
                if options.m
                else "raise amount"
            )
            raise CompressionError("sparsify set nothing to zero", mend=mend)
        said = (
            f"set {zeros / total * 100:.1f} % of {total:,} weights to zero{_held(module, weights, options)}"
        )
        after = f", retrained: {trained}" if trained else ", not retrained"
        return Changed(module.eval(), (said + after, *_left(found)))


def _found(job: ModelJob, options: SparsifyOptions) -> Weights:
    """The weights to consider.

    Raises:
        CompressionError: there are none, or a layer that was named has none that can be set to zero.
    """
    from .layers import weighted_layers, weights_of

    layers = weighted_layers(job.module)
    for name in options.layers:
        if name not in layers:
            raise CompressionError(
                f"sparsify: no layer is called {name!r}", mend=did_you_mean(name, list(layers))
            )
    found = weights_of(job, {name: layers[name] for name in options.layers or layers})
    if found.computed and (options.layers or not found.stored):
        raise CompressionError(
            f"sparsify: the weights of {next(iter(found.computed))!r} are computed anew whenever it runs, by"
            " a parametrization such as weight_norm or its own forward, so that none can be set to zero",
            mend="put the computed weights into a plain layer, as"
            " torch.nn.utils.parametrize.remove_parametrizations does",
        )
    if not found.stored:
        raise CompressionError("sparsify: the model has no convolution, linear, recurrent or attention layer")
    return found


def _left(found: Weights) -> tuple[str, ...]:
    """A note that names the layers whose weights stay as they are."""
    names = list(found.computed)
    if not names:
        return ()
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    said = (
        f"left dense, since their weights are computed anew in every run: {', '.join(names[:_NAMED])}{more}"
    )
    return (f"{said}, {sum(found.computed.values()):,} weights",)


def _masks(
    weights: Mapping[str, torch.Tensor], job: ModelJob, options: SparsifyOptions, share: float
) -> dict[str, torch.Tensor]:
    """What stays, as ones. What is zero already is never among it, so that it stays zero."""
    import torch

    scores = _scores(weights, job, options)
    if options.m:
        masks = {
            name: _pattern(score, options.n, options.m, _input_axis(job.module, name))
            for name, score in scores.items()
        }
    elif options.scope == "local":
        masks = {name: _without_least(score.flatten(), share) for name, score in scores.items()}
    else:
        everything = torch.cat([score.flatten() for score in scores.values()])
        sizes = [score.numel() for score in scores.values()]
        parts = torch.split(_without_least(everything, share), sizes)
        masks = dict(zip(scores, parts, strict=True))
    return {name: masks[name].view_as(weight) * (weight != 0) for name, weight in weights.items()}


def _scores(
    parameters: Mapping[str, torch.Tensor], job: ModelJob, options: SparsifyOptions
) -> dict[str, torch.Tensor]:
    """How much each weight matters; what is zero already matters least."""
    import torch

    weights: dict[str, torch.Tensor] = {name: weight.data for name, weight in parameters.items()}
    match options.by:
        case "magnitude":
            return {name: torch.abs(weight) for name, weight in weights.items()}
        case "lamp":
            return {name: _lamp(weight) for name, weight in weights.items()}
        case "obd":
            from .layers import check_finite

            curvature = Importance("hessian", job.module, job).squares
            check_finite(curvature, "sparsify: obd", "squared gradients")
            return {
                name: weight**2 * (curvature.get(name, torch.zeros_like(weight)) + 1e-12) / 2
                for name, weight in weights.items()
            }
    drawn = torch.Generator().manual_seed(SEED)
    return {name: torch.rand(w.shape, generator=drawn) * (w != 0) for name, w in weights.items()}


def _lamp(weight: torch.Tensor) -> torch.Tensor:
    """A weight's square over the sum of all squares in its layer that are no smaller."""
    squares, order = (weight.double() ** 2).flatten().sort(descending=True)
    scores = squares / squares.cumsum(0).clamp_min(1e-300)
    return scores.new_empty(len(scores)).index_copy(0, order, scores).reshape(weight.shape).to(weight.dtype)


def _without_least(score: torch.Tensor, share: float) -> torch.Tensor:
    """Zeros for the least ``share`` of a flat score, ones for the rest.

    It is that many and no more: of equal scores, such as those of weights on a grid, some are drawn.
    """
    import torch

    count = int(share * score.numel())
    mask = torch.ones_like(score)
    if count:
        threshold = score.kthvalue(count).values
        mask[score < threshold] = 0
        equal = (score == threshold).nonzero().flatten()
        order = torch.randperm(len(equal), generator=torch.Generator().manual_seed(SEED)).to(equal.device)
        mask[equal[order[: count - int((score < threshold).sum())]]] = 0
    return mask


def _pattern(score: torch.Tensor, n: int, m: int, axis: int) -> torch.Tensor:
    """Ones for the ``n`` greatest of each ``m`` inputs, place by place of a kernel; a rest stays."""
    import torch

    rows = score.movedim(axis, -1)
    whole = rows.shape[-1] // m * m
    mask = torch.ones_like(rows)
    groups = rows[..., :whole].reshape(*rows.shape[:-1], -1, m)
    mask[..., :whole] = torch.zeros_like(groups).scatter_(-1, groups.topk(n).indices, 1.0).flatten(-2)
    return mask.movedim(-1, axis)


def _input_axis(module: torch.nn.Module, name: str) -> int:
    """The axis of a weight along which it is summed over inputs."""
    from torch import nn

    layer = module.get_submodule(name.rpartition(".")[0])
    return 0 if isinstance(layer, nn.modules.conv._ConvTransposeNd) else 1


def _held(module: torch.nn.Module, weights: Mapping[str, torch.Tensor], options: SparsifyOptions) -> str:
    """The pattern, and how many weights are too few in a row for it."""
    if not options.m:
        return ""
    in_groups = total = 0
    for name, weight in weights.items():
        inputs = weight.shape[_input_axis(module, name)]
        total += weight.numel()
        in_groups += weight.numel() // inputs * (inputs // options.m * options.m)
    rest = 1 - in_groups / total
    said = f" in a {options.n}:{options.m} pattern of inputs"
    return f"{said}, {rest * 100:.1f} % have not {options.m} inputs together and stay" if rest else said


def _keeper(weights: Mapping[str, torch.Tensor], masks: Mapping[str, torch.Tensor]) -> Callable[[], None]:
    """Sets to zero what the masks do."""
    import torch

    def keep() -> None:
        with torch.no_grad():
            for name, weight in weights.items():
                weight.mul_(masks[name].to(weight.device))

    return keep
