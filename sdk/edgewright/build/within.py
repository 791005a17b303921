"""Keeping to an accuracy: the nodes that break it stay in floats, and weights of 4 bits become weights of 8.

Nodes are ranked by the damage each does when it alone is quantized, and as few of the worst as it takes are
kept; how many, bisection finds. Where that is not enough, what has no weights stays in floats too. What other
steps lose is not theirs to mend: then it cannot be kept, and the error says where it went.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from edgewright.artifact import Artifact
from edgewright.errors import ConfigError, QualityError
from edgewright.profile import DeviceProfile
from edgewright.recipe import Recipe
from edgewright.workloads import WorkloadSource

_QUANTIZE, _WEIGHTS = "quantize", "quantize-weights"
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
    search = _Search(source, plain, limit)
    artifact = search.tried(unlimited)
    if artifact is not None and search.holds:
        return artifact
    finer = _in_8_bits(unlimited)
    if finer is not None:
        unlimited, artifact = finer, search.tried(finer)
        if artifact is not None and search.holds:
            return _noted(artifact, "weights in 8 bits in place of 4, to keep to the accuracy")
    if not any(step.technique == _QUANTIZE for step in recipe.steps):
        more = ", and 8 bits are not enough" if finer else ""
        raise search.cannot(recipe, f"no step of it can keep single nodes in floats{more}")
    before = replace(unlimited, steps=recipe.model_steps, tolerance=recipe.export_tolerance)
    exported = plain(before)
    beforehand = _lost(exported, source)
    if beforehand > limit:
        raise search.cannot(recipe, f"the steps before quantization lose {beforehand:.4g}")
    quantize = next(step for step in recipe.steps if step.technique == _QUANTIZE)
    found = quantized_alone(
        source,
        before,
        profile,
        exported.format,
        options=quantize.options,
        cache=cache,
        progress=progress or (lambda _: None),
    )
    ranked = [effect.layer for effect in found.effects if effect.sqnr_db is not None]

    def made(kept: tuple[str, ...], weighted_only: bool) -> Recipe:
        left = tuple(name for name in ranked if name not in kept)
        only = {"only": left} if weighted_only else {"keep": (*quantize.options.keep, *kept)}
        changed = replace(quantize, options=replace(quantize.options, **only))
        steps = tuple(changed if step is quantize else step for step in recipe.steps)
        return replace(unlimited, steps=steps)

    def holds(kept: tuple[str, ...], weighted_only: bool) -> bool:
        search.tried(made(kept, weighted_only))
        return search.holds

    def told(kept: tuple[str, ...], weighted_only: bool) -> Artifact:
        return _told(plain(made(kept, weighted_only)), kept, len(ranked), weighted_only)

    most = len(ranked) - 1  # with none left there would be nothing quantized
    for weighted_only in (False, True) if most > 0 else ():
        if holds(tuple(ranked[:most]), weighted_only):
            within = range(0 if weighted_only else 1, most)
            at = bisect.bisect_left(
                within, True, key=lambda count: holds(tuple(ranked[:count]), weighted_only)
            )
            return told(tuple(ranked[: within.start + at]), weighted_only)
    for effect in reversed(found.effects):
        if most > 0 and effect.quality is not None and _worse(effect.quality, exported) <= limit:
            kept = tuple(name for name in ranked if name != effect.layer)
            if holds(kept, weighted_only=True):
                return told(kept, weighted_only=True)
    raise search.cannot(recipe, f"with all but one of {len(ranked)} nodes in floats")


class _Search:
    """Builds that are held to the limit; one that computes too much else than torch does not hold either."""

    def __init__(self, source: WorkloadSource, plain: Callable[[Recipe], Artifact], limit: float) -> None:
        self._source, self._plain, self._limit = source, plain, limit
        self._losses: list[float] = []
        self._refusal: QualityError | None = None

    def tried(self, recipe: Recipe) -> Artifact | None:
        """What was built; None when it was refused."""
        try:
            artifact = self._plain(recipe)
        except QualityError as error:
            self._refusal = error
            self._losses.append(math.inf)
            return None
        self._losses.append(_lost(artifact, self._source))
        return artifact

    @property
    def holds(self) -> bool:
        """Whether the last one keeps to the limit."""
        return self._losses[-1] <= self._limit

    def cannot(self, recipe: Recipe, why: str) -> QualityError:
        """That nothing which was tried keeps to it; or, when all was refused, why."""
        least = min(self._losses)
        if math.isinf(least) and self._refusal is not None:
            return QualityError(f"{self._refusal.message}; {why}", mend=self._refusal.mend)
        return QualityError(
            f"{recipe.name} loses {least:.4g}, {recipe.max_accuracy_drop:.4g} is allowed: {why}",
            mend="allow more, compress less, or train",
        )


def _lost(artifact: Artifact, source: WorkloadSource) -> float:
    """How much worse than the torch model, never less than nothing."""
    quality = artifact.quality
    if quality is None:
        raise ConfigError(
            f"{source}: max_accuracy_drop needs a workload that can be judged", mend="give it evaluate"
        )
    return _worse(quality.value, artifact)


def _worse(value: float, artifact: Artifact) -> float:
    """By how much a value is worse than the torch model's, never less than nothing."""
    assert artifact.quality is not None
    worse = artifact.quality.baseline - value
    return max(0.0, worse if artifact.quality.higher_is_better else -worse)


def _in_8_bits(recipe: Recipe) -> Recipe | None:
    """The same with the weights in 8 bits that it has in 4; None where there are none."""
    steps = tuple(
        replace(step, options=replace(step.options, bits=8))
        if step.technique == _WEIGHTS and step.options.bits == 4
        else step
        for step in recipe.steps
    )
    return replace(recipe, steps=steps) if steps != recipe.steps else None


def _told(artifact: Artifact, kept: tuple[str, ...], of: int, weighted_only: bool) -> Artifact:
    """The artifact with a note of what stayed in floats."""
    more = f" and {len(kept) - _NAMED} more" if len(kept) > _NAMED else ""
    named = f": {', '.join(kept[:_NAMED])}{more}" if kept else ""
    others = "; and all without weights" if weighted_only else ""
    return _noted(artifact, f"{len(kept)} of {of} nodes stay in floats{named}{others}")


def _noted(artifact: Artifact, note: str) -> Artifact:
    assert artifact.provenance is not None
    notes = (*artifact.provenance.notes, note)
    return replace(artifact, provenance=replace(artifact.provenance, notes=notes))
