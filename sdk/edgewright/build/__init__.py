"""Workload + recipe + profile -> Artifact, cached by content.

A request's key holds what is asked, the tools' versions and our own code; what the workload itself is made
of is in the record that answers it (see :mod:`edgewright.cache`). A hit imports neither torch nor the
workload. The plain export of a module is a request of its own, so that recipes that differ only in what
they do to the file share it.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgewright.artifact import Artifact, Provenance
from edgewright.cache import Cache, Record
from edgewright.config import did_you_mean
from edgewright.errors import UnsupportedError
from edgewright.export import TOOLS, formats
from edgewright.profile import DeviceProfile
from edgewright.recipe import Recipe, Step, find_technique, step_table, technique_version
from edgewright.workloads import WorkloadSource

if TYPE_CHECKING:
    from edgewright.reference import ReferenceRun

#: Called with a few words when a stage of a build begins.
Progress = Callable[[str], None]

#: Runs a file on this host; :func:`edgewright.reference.reference_run` unless a test brings its own.
Runner = Callable[..., "ReferenceRun"]

#: Where what is written into an artifact is decided.
_OWN_CODE = (
    "build/*.py",
    "compress/*.py",
    "export/*.py",
    "parity.py",
    "workload*.py",
    "tensorfile.py",
    "recipe.py",
)

_EXTRA = {"tflite": "pip install 'edgewright[tflite]'"}


@dataclass(frozen=True)
class Plan:
    """One build that is asked for. ``batch`` sizes the first axis; 0 leaves that of the example inputs."""

    source: WorkloadSource
    recipe: Recipe
    profile: DeviceProfile
    format: str
    batch: int = 0

    @property
    def is_exact(self) -> bool:
        """Whether integers are computed here as on Arm, for which the file is and which never saturates."""
        is_quantized = any(step.technique in ("qat", "quantize") for step in self.recipe.steps)
        return is_quantized and self.format == "onnx" and self.profile.hardware.is_exact

    def key(self) -> str:
        """The request for the finished artifact."""
        tables = [step_table(step) for step in self.recipe.steps]
        exact = {"exact": True} if self.is_exact else {}
        return self._key(
            "artifact", recipe=self.recipe.hash, steps=tables, facts=self.facts(self.recipe.steps), **exact
        )

    def export_key(self) -> str:
        """The request for the file before any file step."""
        steps = self.recipe.model_steps
        limits = self.recipe.export_tolerance
        return self._key(
            "export",
            steps=[step_table(step) for step in steps],
            tolerance=[limits.cosine, limits.max_abs],
            facts=self.facts(steps),
        )

    def step_key(self, number: int) -> str:
        """The request for what a step on the module keeps: the same for every format and batch."""
        steps = self.recipe.model_steps[: number + 1]
        content = {
            "kind": "step",
            "workload": [str(self.source.path), self.source.factory],
            "versions": {name: _version(name, self.format) for name in ("edgewright", "torch")},
            "code": _own_code(),
            "steps": [step_table(step) for step in steps],
            "facts": self.facts(steps),
        }
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    def facts(self, steps: tuple[Step, ...]) -> list[Mapping[str, object]]:
        """What the steps read from the profile.

        Raises:
            UnsupportedError: when a step cannot be had in this format.
        """
        return [
            find_technique(step.technique).profile_facts(step.options, self.profile, self.format)
            for step in steps
        ]

    def versions(self) -> dict[str, str]:
        """The tools that decide what is written."""
        techniques = {step.technique: technique_version(step.technique) for step in self.recipe.steps}
        return {**tool_versions(self.format), **{name: v for name, v in techniques.items() if v}}

    def _key(self, kind: str, **asked: Any) -> str:
        content = {
            "kind": kind,
            "workload": [str(self.source.path), self.source.factory],
            "format": self.format,
            "versions": self.versions(),
            "code": _own_code(),
            **({"batch": self.batch} if self.batch else {}),
            **asked,
        }
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def build(
    source: WorkloadSource,
    recipe: Recipe,
    profile_name: str,
    profile: DeviceProfile,
    format: str,
    *,
    cache: Path,
    progress: Progress | None = None,
    runner: Runner | None = None,
    batch: int = 0,
) -> Artifact:
    """Build an artifact, or take it from the cache.

    Args:
        profile_name: what the provenance calls the profile.
        format: ``onnx`` or ``tflite``.
        cache: the cache's folder; the artifact's files stay there.
        progress: called as stages begin; not at all for an artifact that the cache has.
        runner: how files are run on this host.
        batch: how many samples the file takes at once; 0 for as many as the example inputs hold. Such a file
            is not scored.

    Raises:
        ConfigError: the workload is not what it should be.
        UnsupportedError: the recipe or the format cannot be had.
        CompressionError, ExportError, QualityError: a stage failed, or more quality is lost than the recipe
            allows.
    """
    if format not in formats():
        raise UnsupportedError(f"unknown format {format!r}", mend=did_you_mean(format, formats()))
    if recipe.max_accuracy_drop is not None and not batch:
        from .within import build_within

        def plain(tried: Recipe) -> Artifact:
            return build(
                source, tried, profile_name, profile, format, cache=cache, progress=progress, runner=runner
            )

        return build_within(source, recipe, profile, cache, plain, progress)
    plan = Plan(source, recipe, profile, format, batch)
    store, key = Cache(cache), plan.key()
    record = store.find(key)
    if record is None:
        from .builder import build_record

        record = build_record(plan, store, key, progress=progress, runner=runner)
    return _artifact(plan, store, record, profile_name)


def tool_versions(format: str) -> dict[str, str]:
    """Versions of the packages that write ``format``.

    Raises:
        UnsupportedError: when one is not installed.
    """
    versions = {"edgewright": _version("edgewright", format)}
    return versions | {name: _version(name, format) for name in (*TOOLS[format], "torch-pruning")}


def _version(name: str, format: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        raise UnsupportedError(
            f"{format} needs the package {name}", mend=_EXTRA.get(format, f"pip install {name}")
        ) from None


@functools.cache
def _own_code() -> str:
    """A hash of the modules that take part in a build, so that editing one is noticed."""
    package = Path(__file__).parents[1]
    parts = [path for part in _OWN_CODE for path in sorted(package.glob(part))]
    hashed = hashlib.sha256()
    for path in parts:
        hashed.update(path.name.encode() + b"\0" + path.read_bytes())
    return hashed.hexdigest()


def _artifact(plan: Plan, store: Cache, record: Record, profile_name: str) -> Artifact:
    model = store.path(record, "model")
    coded = store.path(record, "coded") if "coded" in record.files else None
    return Artifact(
        path=model,
        format=plan.format,
        sha256=model.stem,
        size_bytes=(coded or model).stat().st_size,
        coded=coded,
        inputs=store.path(record, "inputs"),
        expected=store.path(record, "expected"),
        evaluation=store.path(record, "evaluation") if "evaluation" in record.files else None,
        parity=record.parity,
        quality=record.quality,
        provenance=Provenance(
            workload=record.workload,
            recipe=plan.recipe.name,
            recipe_hash=plan.recipe.hash,
            profile=profile_name,
            notes=record.notes,
            versions=tuple(sorted(plan.versions().items())),
        ),
        tolerance=plan.recipe.tolerance.wire(),
    )
