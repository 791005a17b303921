"""Structured pruning: whole channels are taken out, so that the model is smaller and faster anywhere.

Channels that depend on each other (residual sums, depthwise convolutions, normalisations) go together;
torch-pruning's dependency graph (Fang et al., DepGraph, CVPR 2023, arXiv 2301.12900) finds them. The
least important go first: within each layer its share, or wherever in the model they are, but never nearly all
of a layer: what it passes on would be lost, and no training brings that back. In several rounds
with training in between the model can heal meanwhile (Han et al., NIPS 2015); training that pulls the scales
of batch normalisation to nothing beforehand shows which channels it can do without (Liu et al., Network
Slimming, ICCV 2017).
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from dataclasses import field, replace
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from edgewright.boundary import foreign
from edgewright.config import STRICT, did_you_mean
from edgewright.errors import CompressionError, ConfigError
from edgewright.profile import DeviceProfile

from . import Changed, ModelJob
from .importance import Importance, Measure
from .layers import check_finite
from .limits import Limits, Whole
from .on_device import FEWER_MULTIPLICATIONS
from .tuning import Tuning, can_tune, tune

if TYPE_CHECKING:
    import torch

#: Halvings of the search for the channel share that removes the wanted share of parameters.
_SEARCH_STEPS = 8


@dataclass(frozen=True, config=STRICT)
class PruneOptions:
    """Options of ``prune``.

    Attributes:
        amount: share of the model's parameters to remove, as nearly as rounding allows.
        importance: the measure by which channels are ranked, see :mod:`.importance`.
        scope: ``local`` takes the same share from each layer, ``global`` the least important of all.
        max_share: the most of a layer's channels that goes, so that a model of which little can be pruned
            has no layer emptied for the others' sake. ``amount`` is then not reached, and a note says so.
        layers: pairs of a layer's name and the share of its channels to remove, in place of ``amount`` and
            without ``max_share``.
        round_to: channel counts are kept to multiples of this, the width of vector units.
        rounds: how often a part is removed and the rest trained.
        sparsity_epochs, sparsity: training beforehand that pulls the scales of batch normalisation towards
            zero, and how hard.
        fine_tune: train afterwards when the workload can.
        tuning: how to train.
    """

    amount: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.5
    importance: Measure = "l2"
    scope: Literal["local", "global"] = "local"
    max_share: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.8
    layers: tuple[tuple[str, float], ...] = ()
    round_to: Annotated[int, Field(ge=1, le=64)] = 8
    rounds: Annotated[int, Field(ge=1, le=100)] = 1
    sparsity_epochs: Annotated[int, Field(ge=0, le=1000)] = 0
    sparsity: Annotated[float, Field(gt=0.0, le=1.0)] = 1e-4
    fine_tune: bool = True
    tuning: Tuning = field(default_factory=Tuning)

    def __post_init__(self) -> None:
        """Refuse layers that are named twice, and shares that are none."""
        names = [name for name, _ in self.layers]
        for name, share in self.layers:
            if not 0 < share < 1:
                raise ConfigError(f"prune: the share of {name} is {share}", mend="between 0 and 1")
            if names.count(name) > 1:
                raise ConfigError(f"prune: layers name {name} {names.count(name)} times", mend="once")


class Prune:
    """See the module."""

    stage: ClassVar[Literal["model"]] = "model"
    saves: ClassVar[tuple[str, ...]] = ("file", "memory", "time")
    options: ClassVar[type[Any]] = PruneOptions

    def profile_facts(
        self, options: PruneOptions, profile: DeviceProfile, format: str
    ) -> Mapping[str, object]:
        """Nothing: the module is the same for every device."""
        return {}

    def on_device(self, options: PruneOptions, profile: DeviceProfile) -> tuple[str, ...]:
        """See :class:`edgewright.recipe.Technique`."""
        return FEWER_MULTIPLICATIONS

    def apply(self, job: ModelJob, options: PruneOptions) -> Changed:
        """See :class:`edgewright.compress.ModelTechnique`."""
        module = job.module
        before = _parameters(module)
        if not before:
            raise CompressionError("prune: the model has no parameters")
        check_finite(dict(module.named_parameters()), "prune")
        sizes = {name: _channels(layer) for name, layer in _named(module, options.layers).items()}
        whole = _whole(module, job, options)
        limits = Limits({} if options.layers else _least(module, options), whole)
        notes = []
        if options.sparsity_epochs:
            notes.append(_make_sparse(job, options))
        trains = options.fine_tune and can_tune(job)
        trained = ""
        for number in range(1, options.rounds + 1):
            left = (1 - options.amount) ** (number / options.rounds)
            shares = _shares_now(module, options.layers, sizes, number / options.rounds)
            if shares or not options.layers:
                asked = replace(options, layers=shares)
                module, limits = _found(module, job, asked, limits, wanted=left * before)
            if _parameters(module) == before:
                raise _nothing_removed(options, limits)
            if trains:
                turn = f", round {number} of {options.rounds}" if options.rounds > 1 else ""
                trained = tune(job, module, options.tuning, name=f"fine-tuning{turn}")
        notes.append(_said(1 - _parameters(module) / before, options, job, trained))
        if not options.layers:
            notes.extend(f"left whole, since {why}: {names}" for why, names in limits.reasons())
        return Changed(module.eval(), tuple(notes))


def _nothing_removed(options: PruneOptions, limits: Limits) -> CompressionError:
    said = f"prune removed nothing: no layer has channels to spare at multiples of {options.round_to}"
    if reasons := limits.reasons():
        whole = "; ".join(f"channels of {names} stay, since {why}" for why, names in reasons)
        return CompressionError(f"{said}, and {whole}")
    return CompressionError(said, mend="lower round_to, or raise amount")


def _said(removed: float, options: PruneOptions, job: ModelJob, trained: str) -> str:
    said = f"pruned {removed * 100:.1f} % of parameters"
    if not options.layers and abs(removed - options.amount) > 0.1:
        said += f", {options.amount * 100:.0f} % were asked for and channels go by {options.round_to}"
        if removed < options.amount:
            said += f", no more than {options.max_share * 100:.0f} % of a layer's"
    if trained:
        rounds = f" in {options.rounds} rounds of" if options.rounds > 1 else ":"
        return f"{said}, fine-tuned{rounds} {trained}"
    if options.fine_tune:
        return f"{said}, not fine-tuned: workload has no training"
    return f"{said}, not fine-tuned: the recipe says so"


def _make_sparse(job: ModelJob, options: PruneOptions) -> str:
    """Train with a price on the scales of batch normalisation."""
    import torch
    from torch import nn

    norms = nn.modules.batchnorm._BatchNorm
    scales = [m.weight for m in job.module.modules() if isinstance(m, norms) and m.weight is not None]
    if not scales:
        raise CompressionError("prune: sparsity_epochs needs batch normalisation, the model has none")

    def price(_: torch.nn.Module) -> torch.Tensor:
        return options.sparsity * torch.stack([scale.abs().sum() for scale in scales]).sum()

    tuning = replace(options.tuning, epochs=options.sparsity_epochs)
    tune(job, job.module, tuning, name="sparsity training", penalty=price)
    epochs = "1 epoch" if options.sparsity_epochs == 1 else f"{options.sparsity_epochs} epochs"
    return f"{epochs} of sparsity training"


def _least(module: torch.nn.Module, options: PruneOptions) -> dict[str, int]:
    """How many channels of each layer stay at least."""
    named = ((name, _channels(layer)) for name, layer in module.named_modules())
    by = options.round_to
    return {name: math.ceil(size * (1 - options.max_share) / by - 1e-9) * by for name, size in named if size}


def _whole(
    module: torch.nn.Module, job: ModelJob, options: PruneOptions, *, each: bool = False
) -> tuple[Whole, ...]:
    """The layers that have to stay whole.

    Raises:
        CompressionError: one of them is among those that the options name.
    """
    named = [name for name, _ in options.layers]
    with foreign(CompressionError, "prune (torch-pruning)"):
        from .wiring import whole_layers

        whole = whole_layers(module, job.workload.example_inputs, options.round_to, named, each=each)
    for name in named:
        for one in whole:
            if name in one.members:
                raise CompressionError(
                    f"prune: the channels of {name} have to stay, since {one.why}", mend="leave it out"
                )
    return whole


def _found(
    module: torch.nn.Module, job: ModelJob, options: PruneOptions, limits: Limits, *, wanted: float
) -> tuple[torch.nn.Module, Limits]:
    """The pruned copy. When it fails, every group is tried alone, and those that cannot lose any are left."""
    from .pruner import all_trainable, freeze

    with all_trainable(module) as trained:
        importance = Importance(options.importance, module, job)
        try:
            found = _search(module, job, importance, options, limits, wanted=wanted)
        except CompressionError:
            limits, known = replace(limits, whole=_whole(module, job, options, each=True)), limits
            if not {one.name for one in limits.whole} - {one.name for one in known.whole}:
                raise
            found = _search(module, job, importance, options, limits, wanted=wanted)
        freeze(found, trained)
    return found, limits


def _search(
    module: torch.nn.Module,
    job: ModelJob,
    importance: Importance,
    options: PruneOptions,
    limits: Limits,
    *,
    wanted: float,
) -> torch.nn.Module:
    """The copy whose number of parameters is nearest to the wanted one, by bisecting the channels' share."""
    if options.layers:
        return _prune(copy.deepcopy(module), job, 0.0, importance, options, limits)
    low, high = 0.0, 1.0
    best, best_distance = module, abs(_parameters(module) - wanted)
    for _ in range(_SEARCH_STEPS):
        share = (low + high) / 2
        candidate = _prune(copy.deepcopy(module), job, share, importance, options, limits)
        left = _parameters(candidate)
        if abs(left - wanted) < best_distance:
            best, best_distance = candidate, abs(left - wanted)
        low, high = (share, high) if left > wanted else (low, share)
    return best


def _prune(
    module: torch.nn.Module,
    job: ModelJob,
    share: float,
    importance: Importance,
    options: PruneOptions,
    limits: Limits,
) -> torch.nn.Module:
    shares = dict(options.layers)
    named = {layer: shares[name] for name, layer in _named(module, options.layers).items()}
    with foreign(CompressionError, "prune (torch-pruning)"):
        import torch
        import torch_pruning

        from .pruner import ROOTS, output_layers, prune_step

        module.requires_grad_(True)  # the dependency graph is traced through gradients
        inputs = job.workload.example_inputs
        with torch.no_grad():
            before = _shapes(module(*inputs))
        # torch-pruning's defaults for these are dicts shared by every pruner ever made: always give our own.
        pruner = torch_pruning.pruner.BasePruner(
            module,
            inputs,
            importance=importance.of(module),
            global_pruning=options.scope == "global",
            pruning_ratio=share,
            pruning_ratio_dict=named,
            ignored_layers=[
                *output_layers(module, inputs),
                *(module.get_submodule(one.name) for one in limits.whole),
            ],
            root_module_types=list(ROOTS),
            round_to=options.round_to,
            in_channel_groups={},
            out_channel_groups={},
            num_heads={},
        )
        least = limits.least
        prune_step(pruner, {layer: least[name] for name, layer in module.named_modules() if name in least})
        module.zero_grad()
        with torch.no_grad():
            after = _shapes(module(*inputs))
    if after != before:
        raise CompressionError(f"prune changed the output from {before} to {after}")
    return module


def _named(module: torch.nn.Module, shares: tuple[tuple[str, float], ...]) -> dict[str, torch.nn.Module]:
    """The named layers.

    Raises:
        CompressionError: one is not there.
    """
    found = dict(module.named_modules())
    for name, _ in shares:
        if name not in found:
            raise CompressionError(
                f"prune: no layer is called {name!r}", mend=did_you_mean(name, list(found))
            )
    return {name: found[name] for name, _ in shares}


def _channels(layer: torch.nn.Module) -> int | None:
    """How many channels come out of a layer; None of a module that holds several layers."""
    return getattr(layer, "out_channels", None) or getattr(layer, "out_features", None)


def _shares_now(
    module: torch.nn.Module,
    shares: tuple[tuple[str, float], ...],
    sizes: Mapping[str, int | None],
    done: float,
) -> tuple[tuple[str, float], ...]:
    """The shares of the channels that are there now, so that after a part ``done`` of all rounds as many stay
    as the shares of all channels say. Half a channel more stays: torch-pruning cuts off what is behind the
    point, and a number that misses a whole one by its last bit would cost one, or with rounding many.
    """
    now: list[tuple[str, float]] = []
    for name, layer in _named(module, shares).items():
        share, size, there = dict(shares)[name], sizes[name], _channels(layer)
        if size is None or there is None:
            now.append((name, share))
        elif (left := (round(size * (1 - share) ** done) + 0.5) / there) < 1:
            now.append((name, 1 - left))
    return tuple(now)


def _shapes(returned: Any) -> list[tuple[int, ...]]:
    from torch.utils import _pytree

    return [tuple(leaf.shape) for leaf in _pytree.tree_leaves(returned) if leaf is not None]


def _parameters(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
