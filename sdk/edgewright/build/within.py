"""Keeping to an accuracy: the nodes that break it stay in floats.

Nodes are ranked by the damage each does when it alone is quantized, and as few of the worst as it takes are
kept; how many, bisection finds. What other steps lose is not theirs to mend: then it cannot be kept, and
the error says where it went.
"""

from __future__ import annotations

import bisect
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from edgewright.artifact import Artifact
from edgewright.errors import ConfigError, QualityError
from edgewright.profile import DeviceProfile
from edgewright.recipe import Recipe, Step
from edgewright.workloads import WorkloadSource

_QUANTIZE = "quantize"
_NAMED = 4


def build_within(
    source: WorkloadSource,
    recipe: Recipe,
    profile: DeviceProfile,
    cache: Path,
    plain: Callable[[Recipe], Artifact],
    progress: Callable[[str], None] | None,
) -> Artifact:
    """Build, and build again with more nodes in floats, until the recipe's limit holds.

    Args:
        plain: builds a recipe without a limit.

    Raises:
        ConfigError: the workload cannot be judged.
        QualityError: the limit cannot be kept.
    """
    from .sensitivity import quantized_alone

    limit = recipe.max_accuracy_drop
    assert limit is not None
    unlimited = replace(recipe, max_accuracy_drop=None)
    artifact = plain(unlimited)
    lost = _lost(artifact, source)
    if lost <= limit:
        return artifact
    if not any(step.technique == _QUANTIZE for step in recipe.steps):
        raise _cannot(recipe, lost, "no step of it can keep single nodes in floats")
    before = replace(unlimited, steps=recipe.model_steps, tolerance=recipe.export_tolerance)
    beforehand = _lost(plain(before), source)
    if beforehand > limit:
        raise _cannot(recipe, lost, f"the steps before quantization lose {beforehand:.4g}")
    found = quantized_alone(
        source, before, profile, artifact.format, cache=cache, progress=progress or (lambda _: None)
    )
    ranked = [effect.layer for effect in found.effects if effect.sqnr_db is not None]

    def keeping(count: int) -> Artifact:
        steps = tuple(_keeping(step, tuple(ranked[:count])) for step in recipe.steps)
        return plain(replace(unlimited, steps=steps))

    most = len(ranked) - 1  # with none left there would be nothing quantized
    if most < 1 or (lost := _lost(keeping(most), source)) > limit:
        raise _cannot(recipe, lost, f"with all but one of {len(ranked)} nodes in floats")
    count = (
        bisect.bisect_left(range(1, most), True, key=lambda count: _lost(keeping(count), source) <= limit) + 1
    )
    return _told(keeping(count), tuple(ranked[:count]), len(ranked))


def _lost(artifact: Artifact, source: WorkloadSource) -> float:
    """How much worse than the torch model, never less than nothing."""
    quality = artifact.quality
    if quality is None:
        raise ConfigError(
            f"{source}: max_accuracy_drop needs a workload that can be judged", mend="give it evaluate"
        )
    worse = quality.baseline - quality.value
    return max(0.0, worse if quality.higher_is_better else -worse)


def _keeping(step: Step, names: tuple[str, ...]) -> Step:
    if step.technique != _QUANTIZE:
        return step
    return replace(step, options=replace(step.options, keep=(*step.options.keep, *names)))


def _told(artifact: Artifact, kept: tuple[str, ...], of: int) -> Artifact:
    """The artifact with a note of what stayed in floats."""
    assert artifact.provenance is not None
    more = f" and {len(kept) - _NAMED} more" if len(kept) > _NAMED else ""
    note = f"{len(kept)} of {of} nodes stay in floats: {', '.join(kept[:_NAMED])}{more}"
    notes = (*artifact.provenance.notes, note)
    return replace(artifact, provenance=replace(artifact.provenance, notes=notes))


def _cannot(recipe: Recipe, lost: float, why: str) -> QualityError:
    return QualityError(
        f"{recipe.name} loses {lost:.4g}, {recipe.max_accuracy_drop:.4g} is allowed: {why}",
        mend="allow more, compress less, or train",
    )
