"""Bounds that a setting must keep, and which of them it breaks by how much."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field
from pydantic.dataclasses import dataclass as schema

from edgewright.config import STRICT
from edgewright.report.headline import TOLERANCE

from .figures import MB, Built, Figures, Objective, shown

_Positive = Annotated[float, Field(gt=0.0, allow_inf_nan=False)]
#: A loss above this share of the score is a collapse, not a price.
COLLAPSE = 0.1
#: Rounding of scores does not decide.
_ROUNDING = 1e-9


@dataclass(frozen=True)
class Violation:
    """A bound that is broken.

    Attributes:
        option: how the user wrote it.
        excess: by how much, as a share of the limit; infinite where the figure is not known.
        sentence: with figure and limit.
    """

    option: str
    excess: float
    sentence: str


@schema(frozen=True, config=STRICT)
class Bounds:
    """What a setting may cost at most; None for anything.

    ``max_accuracy_drop`` is in the unit of the workload's quality; None for one hundredth of the score.
    ``never_slower`` refuses what takes longer than the uncompressed model at its fastest.
    """

    max_latency_ms: _Positive | None = None
    max_energy_mj: _Positive | None = None
    max_size_mb: _Positive | None = None
    max_memory_mb: _Positive | None = None
    max_accuracy_drop: Annotated[float, Field(ge=0.0, allow_inf_nan=False)] | None = None
    never_slower: bool = False

    def limit(self, objective: Objective) -> float | None:
        """The bound on an objective's figure, in its unit."""
        by_name = {
            "latency": self.max_latency_ms,
            "energy": self.max_energy_mj,
            "size": self.max_size_mb,
            "memory": self.max_memory_mb,
        }
        return by_name[objective]

    def drop(self, baseline: float) -> float:
        """How much quality may be lost, given the uncompressed model's score."""
        if self.max_accuracy_drop is not None:
            return self.max_accuracy_drop
        return TOLERANCE * max(1.0, abs(baseline))

    def of_file(self, built: Built, loss: float | None = None) -> Iterator[Violation]:
        """Bounds that a file breaks, before anything runs it on a device; ``loss`` is what one told since."""
        lost = built.loss if loss is None else loss
        yield from self._loss(lost, built.quality.baseline if built.quality else 1.0)
        yield from _over("size", built.size_bytes / MB, self.max_size_mb)

    def of(
        self, built: Built, figures: Figures, fastest_plain_ms: float | None = None
    ) -> tuple[Violation, ...]:
        """Every bound that a measured setting breaks, the worst first.

        Args:
            fastest_plain_ms: what the uncompressed model takes at its fastest.
        """
        found = [*self.of_file(built, figures.loss)]
        for objective in ("latency", "energy", "memory"):
            limit, cost = self.limit(objective), figures.cost(objective)
            if limit is not None and cost is None:
                why = figures.no_energy if objective == "energy" else "it was not observed"
                found.append(
                    Violation(_option(objective), float("inf"), f"{objective} was not measured: {why}")
                )
            elif cost is not None:
                found += _over(objective, cost.value, limit)
        if self.never_slower and fastest_plain_ms is not None and figures.latency.low > fastest_plain_ms:
            excess = figures.latency.value / fastest_plain_ms - 1
            slower = f"it is {excess:.1%} slower than the uncompressed model"
            found.append(Violation("--never-slower", excess, slower))
        return tuple(sorted(found, key=lambda one: -one.excess))

    def collapsed(self, built: Built) -> bool:
        """Whether a file has lost so much that no time need be spent on it."""
        if built.loss is None or built.quality is None:
            return False
        score = max(1.0, abs(built.quality.baseline))
        limit = self.max_accuracy_drop
        return built.loss > (COLLAPSE * score if limit is None else limit) + _ROUNDING

    def _loss(self, loss: float | None, baseline: float) -> Iterator[Violation]:
        limit = self.drop(baseline)
        if loss is not None and loss > limit + _ROUNDING:
            excess = loss / limit - 1 if limit else float("inf")
            yield Violation("--max-accuracy-drop", excess, f"it loses {loss:.4g}, {limit:.4g} may be lost")


def _option(objective: str) -> str:
    ending = {"latency": "ms", "energy": "mj", "size": "mb", "memory": "mb"}[objective]
    return f"--max-{objective}-{ending}"


def _over(objective: str, value: float, limit: float | None) -> Iterator[Violation]:
    if limit is not None and value > limit:
        sentence = f"{objective} is {shown(value, objective)}, {shown(limit, objective)} is allowed"
        yield Violation(_option(objective), value / limit - 1, sentence)
