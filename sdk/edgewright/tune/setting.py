"""A setting: one way to compress a workload and to run it, and the recipe that builds its file."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass as schema

from edgewright.config import STRICT
from edgewright.recipe import EXPORT_TOLERANCE, Recipe, Step, Tolerance, find_technique

Quantization = Literal[
    "none",
    "fp16",
    "int8-dynamic",
    "int8-minmax",
    "int8-entropy",
    "int8-percentile",
    "int8-mse",
    "qat",
    "int8-weights",
    "share",
]
Teacher = Literal["none", "response", "feature", "relation"]
#: Names of layers and the share of channels each loses.
Layers = tuple[tuple[str, float], ...]

#: How far each kind of file may be from the module it was made of, as in the recipes that ship.
_TOLERANCES = {
    "none": EXPORT_TOLERANCE,
    "fp16": Tolerance(0.999, 0.01),
    "qat": Tolerance(0.99, 0.01),
    "int8-weights": Tolerance(0.97, 0.01),
    "share": Tolerance(0.97, 0.01),
}
_INT8 = Tolerance(0.97, 0.01)
#: Static kinds by the calibrator that finds the ranges.
STATIC = {f"int8-{name}": name for name in ("minmax", "entropy", "percentile", "mse")}
BASELINE = "fp32"


@schema(frozen=True, config=STRICT)
class Setting:
    """One point of a space.

    Attributes:
        prune: share of the parameters to remove; with ``layers`` the share of the latency it was chosen for.
        layers: channels to remove layer by layer in place of an equal share of each.
        low_rank: how much of a layer's energy a decomposition keeps; 0 decomposes nothing.
        quantize: the number format, and for static int8 the calibrator.
        keep_floats: how many of the most sensitive nodes stay in floats.
        distill: how the model as it was teaches in trainings.
        threads: on the device.
    """

    prune: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    layers: Layers = ()
    low_rank: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    quantize: Quantization = "none"
    keep_floats: Annotated[int, Field(ge=0, le=64)] = 0
    distill: Teacher = "none"
    runtime: str = "onnxruntime"
    threads: Annotated[int, Field(ge=1, le=1024)] = 1

    @property
    def trains(self) -> bool:
        """Whether a step of it trains, where the workload can."""
        return bool(self.prune or self.low_rank) or self.quantize == "qat"

    @property
    def is_plain(self) -> bool:
        """Whether it compresses nothing."""
        return not (self.prune or self.low_rank) and self.quantize == "none"

    @property
    def steps(self) -> int:
        """How much there is to it: of settings that come out alike the shortest is the best."""
        return sum(map(bool, (self.prune, self.low_rank, self.quantize != "none", self.keep_floats))) + (
            self.distill != "none"
        )

    @property
    def recipe_name(self) -> str:
        """What its recipe is called: all that shapes the file, so that no two files share a name."""
        parts = []
        if self.prune:
            parts.append(f"{'fit' if self.layers else 'prune'}{round(100 * self.prune)}")
        if self.low_rank:
            parts.append(f"rank{round(100 * self.low_rank)}")
        if self.quantize != "none":
            parts.append(self.quantize)
        if self.keep_floats:
            parts.append(f"keep{self.keep_floats}")
        if self.distill != "none":
            parts.append(f"taught-{self.distill}")
        return "-".join(parts) or BASELINE

    @property
    def words(self) -> str:
        """As people read it."""
        return f"{self.recipe_name} in {self.runtime} with {self.threads} thread{'s' * (self.threads != 1)}"

    def canonical(self) -> Setting:
        """Without what has no effect: settings that are the same are equal."""
        return replace(
            self,
            distill=self.distill if self.trains else "none",
            keep_floats=self.keep_floats if self.quantize in STATIC else 0,
            layers=self.layers if self.prune else (),
        )

    def recipe(self, *, description: str = "") -> Recipe:
        """The recipe that builds its file: the same setting gives the same recipe, and so the same file."""
        steps = []
        taught: dict[str, Any] = {"distillation": self.distill} if self.distill != "none" else {}
        if self.prune:
            how: dict[str, Any] = {"layers": self.layers} if self.layers else {"amount": self.prune}
            steps.append(_step("prune", taught, **how))
        if self.low_rank:
            steps.append(_step("factorize", taught, rank="energy", energy=self.low_rank))
        steps += self._number_format(taught)
        return Recipe(
            self.recipe_name,
            description or f"chosen by edgewright tune: {self.recipe_name}",
            tuple(steps),
            _TOLERANCES.get(self.quantize, _INT8),
        )

    def _number_format(self, taught: dict[str, Any]) -> list[Step]:
        match self.quantize:
            case "none":
                return []
            case "qat":
                return [_step("qat", taught)]
            case "int8-dynamic":
                return [_step("quantize", mode="dynamic")]
            case "int8-weights":
                return [_step("quantize-weights")]
            case "fp16" | "share":
                return [_step(self.quantize)]
            case _:
                calibrator = STATIC[self.quantize]
                return [_step("quantize", calibrator=calibrator, keep_worst=self.keep_floats)]


def _step(technique: str, tuning: dict[str, Any] | None = None, **options: Any) -> Step:
    kind = find_technique(technique).options
    if tuning:
        from edgewright.compress.tuning import Tuning

        options["tuning"] = Tuning(**tuning)
    return Step(technique, kind(**options))


@dataclass(frozen=True)
class Refused:
    """A setting that cannot exist, and why."""

    setting: Setting
    reason: str
