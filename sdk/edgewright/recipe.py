"""Recipes: an ordered list of compression steps, as data.

A recipe is one TOML file and is named by it::

    description = "8-bit weights and activations"

    [tolerance]          # how far the finished file may be from the torch module it was made of
    cosine = 0.95
    max_abs = 0.0

    [[steps]]
    technique = "quantize"
    mode = "static"

Techniques are looked up by name, and imported only then. Others than Edgewright's own register a
class through the entry point group ``edgewright.techniques``; see :class:`Technique`.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import importlib
import json
from collections.abc import Mapping
from dataclasses import field
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Protocol

from pydantic import Field
from pydantic.dataclasses import dataclass

from edgewright_agent.protocol import Tolerance as WireTolerance

from .config import STRICT, did_you_mean, parse, read_toml
from .errors import ConfigError
from .order import check_order
from .profile import DeviceProfile

Stage = Literal["model", "file"]

ENTRY_POINTS = "edgewright.techniques"

#: Edgewright's own techniques: name -> ``module:class``.
OWN_TECHNIQUES: dict[str, str] = {
    "adaround": "edgewright.compress.adaround:AdaRound",
    "distill": "edgewright.compress.distill:Distill",
    "equalize": "edgewright.compress.equalize:Equalize",
    "factorize": "edgewright.compress.factorize:Factorize",
    "fp16": "edgewright.compress.fp16:Fp16",
    "prune": "edgewright.compress.prune:Prune",
    "qat": "edgewright.compress.qat:Qat",
    "quantize": "edgewright.compress.quantize:Quantize",
    "quantize-weights": "edgewright.compress.weight_only:WeightOnly",
    "share": "edgewright.compress.share:Share",
    "smooth": "edgewright.compress.smooth:Smooth",
    "sparsify": "edgewright.compress.sparsify:Sparsify",
}


class Technique(Protocol):
    """What every technique says of itself; importing its module must not import torch or a runtime.

    Attributes:
        stage: ``model`` edits the ``nn.Module`` before export, ``file`` edits the exported file.
        saves: which of ``file``, ``memory`` and ``time`` it can save; whether it does, a measurement tells.
        options: a frozen dataclass whose fields are the keys of a step in TOML, all with defaults.
    """

    stage: ClassVar[Stage]
    saves: ClassVar[tuple[str, ...]]
    options: ClassVar[type[Any]]

    def profile_facts(self, options: Any, profile: DeviceProfile, format: str) -> Mapping[str, object]:
        """What the technique reads from the profile, JSON-able: builds that agree in it share a file.

        Raises:
            UnsupportedError: when these options cannot be had in this format or on this device.
        """

    def on_device(self, options: Any, profile: DeviceProfile) -> tuple[str, ...]:
        """What such a device makes of it, a line each: what can be saved there, and what cannot."""


@dataclass(frozen=True, config=STRICT)
class Tolerance:
    """Outputs agree when their cosine is at least, or their largest absolute difference at most, this."""

    cosine: Annotated[float, Field(ge=-1.0, le=1.0, allow_inf_nan=False)]
    max_abs: Annotated[float, Field(ge=0.0, allow_inf_nan=False)]

    def wire(self) -> WireTolerance:
        """The same as the agent takes it."""
        return WireTolerance(self.cosine, self.max_abs)


#: What an exported fp32 file must keep to, before any file step touches it.
EXPORT_TOLERANCE = Tolerance(cosine=0.9999, max_abs=1e-4)


@dataclasses.dataclass(frozen=True)
class Step:
    """One technique with its options, an instance of the technique's options dataclass."""

    technique: str
    options: Any


@dataclasses.dataclass(frozen=True)
class Recipe:
    """Steps in the order they are applied: those on the module first, then those on the file.

    Attributes:
        tolerance: how far the finished file's outputs may be from those of the torch module it was
            exported from, on the example inputs.
        export_tolerance: the same for the file before any file step.
        max_accuracy_drop: how much of the workload's quality may be lost, in its own unit; None for any. To
            keep it, nodes that break it stay in floats (see :mod:`edgewright.build.within`).
    """

    name: str
    description: str
    steps: tuple[Step, ...] = ()
    tolerance: Tolerance = EXPORT_TOLERANCE
    export_tolerance: Tolerance = EXPORT_TOLERANCE
    max_accuracy_drop: float | None = None

    @property
    def model_steps(self) -> tuple[Step, ...]:
        """The steps that edit the module."""
        return tuple(step for step in self.steps if find_technique(step.technique).stage == "model")

    @property
    def file_steps(self) -> tuple[Step, ...]:
        """The steps that edit the exported file."""
        return tuple(step for step in self.steps if find_technique(step.technique).stage == "file")

    @property
    def hash(self) -> str:
        """SHA-256 of what the recipe does: its steps and tolerances, but not its name or description."""
        tables = self._tables()
        del tables["description"]
        return hashlib.sha256(json.dumps(tables, sort_keys=True).encode()).hexdigest()

    def to_toml(self) -> str:
        """The recipe as a file; reading it back gives an equal recipe."""
        import tomli_w

        return tomli_w.dumps(self._tables())

    def _tables(self) -> dict[str, Any]:
        limit = self.max_accuracy_drop
        return {
            "description": self.description,
            **({} if limit is None else {"max_accuracy_drop": limit}),
            "tolerance": dataclasses.asdict(self.tolerance),
            "export_tolerance": dataclasses.asdict(self.export_tolerance),
            "steps": [step_table(step) for step in self.steps],
        }


def step_table(step: Step) -> dict[str, Any]:
    """A step as its TOML table. An option that is None, left to the profile, has no key."""
    options = dataclasses.asdict(step.options)
    given = {key: value for key, value in options.items() if value is not None}
    return {
        "technique": step.technique,
        **{key: list(value) if isinstance(value, tuple) else value for key, value in given.items()},
    }


@dataclass(frozen=True, config=STRICT)
class _RecipeFile:
    """The TOML file, but for the steps' options, whose schema is the technique's."""

    description: str
    tolerance: Tolerance = EXPORT_TOLERANCE
    export_tolerance: Tolerance = EXPORT_TOLERANCE
    max_accuracy_drop: Annotated[float, Field(ge=0.0, allow_inf_nan=False)] | None = None
    steps: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True, config=STRICT)
class _StepHead:
    technique: str


def technique_names() -> tuple[str, ...]:
    """Every registered technique, sorted."""
    return tuple(sorted({*OWN_TECHNIQUES, *(entry.name for entry in _entry_points())}))


@functools.cache
def find_technique(name: str) -> Technique:
    """The technique registered under ``name``, imported now.

    Raises:
        ConfigError: when no technique is called so, or the one that is cannot be imported.
    """
    if name in OWN_TECHNIQUES:
        module, _, attribute = OWN_TECHNIQUES[name].partition(":")
        technique: Technique = getattr(importlib.import_module(module), attribute)()
        return technique
    for entry in _entry_points():
        if entry.name == name:
            try:
                loaded: Technique = entry.load()()
            except (ImportError, AttributeError, TypeError) as error:
                raise ConfigError(f"technique {name!r} ({entry.value}) cannot be loaded: {error}") from error
            return loaded
    raise ConfigError(f"unknown technique {name!r}", mend=did_you_mean(name, technique_names()))


def technique_version(name: str) -> str:
    """The version of the distribution that registered a technique, empty for Edgewright's own."""
    dists = [entry.dist for entry in _entry_points() if entry.name == name and name not in OWN_TECHNIQUES]
    return dists[0].version if dists and dists[0] is not None else ""


def preset_names() -> tuple[str, ...]:
    """The recipes that come with Edgewright, sorted."""
    return tuple(sorted(path.stem for path in _PRESETS.glob("*.toml")))


def load_recipe(name_or_path: str | Path) -> Recipe:
    """The preset of that name, or the recipe in that ``.toml`` file.

    Raises:
        ConfigError: for an unknown name with the nearest preset, a file that breaks the schema, or
            steps in an order that cannot be followed.
    """
    if str(name_or_path).endswith(".toml"):
        return _read(Path(name_or_path).expanduser())
    name = str(name_or_path)
    if name not in preset_names():
        raise ConfigError(
            f"unknown recipe {name!r}", mend=f"{did_you_mean(name, preset_names())}; a file ends in .toml"
        )
    return _read(_PRESETS / f"{name}.toml")


_PRESETS = Path(__file__).parent / "recipes"


def _entry_points() -> tuple[metadata.EntryPoint, ...]:
    return tuple(metadata.entry_points(group=ENTRY_POINTS))


def _read(path: Path) -> Recipe:
    data = read_toml(path)
    if "name" in data:
        raise ConfigError(f"{path}: unknown key 'name'", mend="a recipe is named by its file")
    read = parse(data, _RecipeFile, str(path))
    steps = tuple(_step(table, f"{path}: step {number}") for number, table in enumerate(read.steps, 1))
    check_order(steps, lambda technique: find_technique(technique).stage, OWN_TECHNIQUES, str(path))
    return Recipe(
        path.stem, read.description, steps, read.tolerance, read.export_tolerance, read.max_accuracy_drop
    )


def _step(table: Mapping[str, Any], where: str) -> Step:
    head = parse({key: value for key, value in table.items() if key == "technique"}, _StepHead, where)
    try:
        technique = find_technique(head.technique)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error.message}", mend=error.mend) from error
    options = {key: value for key, value in table.items() if key != "technique"}
    return Step(head.technique, parse(options, technique.options, where))
