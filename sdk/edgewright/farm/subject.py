"""What a cell measures: a bare model file, or a workload compressed by a recipe."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Protocol

from edgewright.artifact import Artifact, Quality
from edgewright.build import build
from edgewright.build.turn import BUILDING
from edgewright.errors import ConfigError, UnsupportedError
from edgewright.models import BareModel, Feeds, check_is_file, is_model_file, model_format, open_model
from edgewright.profile import DeviceProfile
from edgewright.recipe import Recipe
from edgewright.workload import Array, Evaluation
from edgewright.workloads import LoadedWorkload, WorkloadSource
from edgewright_agent import protocol as wire

#: The recipe name of a bare model's rows.
AS_IS = "as-is"


class Subject(Protocol):
    """Something that becomes an artifact for a device and can be scored."""

    @property
    def name(self) -> str:
        """As rows and reports call it until its own name is known."""

    @property
    def default_runtime(self) -> str:
        """Where to run it when nobody says."""

    def check_format(self, format_name: str) -> None:
        """Raise UnsupportedError when this can never be a file of that format."""

    def artifact(
        self, recipe: Recipe | None, profile: DeviceProfile, format_name: str
    ) -> tuple[Artifact, tuple[str, ...]]:
        """The file to run, and notes for the row."""

    def for_batch(
        self, size: int, recipe: Recipe | None, profile: DeviceProfile, format_name: str
    ) -> Artifact | None:
        """A file of its own for ``size`` samples at once; None where there can be none."""

    def score(self, outputs: Mapping[str, Array], artifact: Artifact) -> Quality | None:
        """Judge evaluation outputs, samples first, in the model's order."""


@dataclass(frozen=True)
class BareSubject:
    """A model file measured as it is. The host runs it once, when it is first needed."""

    path: Path
    cache: Path
    feeds: Feeds = field(default_factory=Feeds)

    @property
    def name(self) -> str:
        """The file's name."""
        return self.path.name

    @property
    def default_runtime(self) -> str:
        """What executes its format."""
        return {"onnx": "onnxruntime", "tflite": "tflite"}[model_format(self.path)]

    def check(self, runtime: str) -> None:
        """Look at the file and run it on the host now, so that a wrong one stops before any device is asked.

        Raises:
            ConfigError: the file, the sizes or the inputs are wrong, or the runtime is for another format.
        """
        own = model_format(self.path)
        if runtime not in (*wire.FORMATS[own], own):
            raise ConfigError(
                f"{self.path}: {runtime} does not run {own}", mend=f"use {self.default_runtime}"
            )
        _ = self._opened

    @cached_property
    def _opened(self) -> BareModel:
        return open_model(self.path, self.feeds, self.cache / "recorded")

    def check_format(self, format_name: str) -> None:
        """A file has one format."""
        own = model_format(self.path)
        if format_name != own:
            raise UnsupportedError(f"{self.name} is {own}; it cannot run in a runtime for {format_name}")

    def artifact(
        self, recipe: Recipe | None, profile: DeviceProfile, format_name: str
    ) -> tuple[Artifact, tuple[str, ...]]:
        """The file itself."""
        del recipe, profile, format_name
        model = self._opened
        return model.artifact, (model.no_reference,) if model.no_reference else ()

    def for_batch(
        self, size: int, recipe: Recipe | None, profile: DeviceProfile, format_name: str
    ) -> Artifact | None:
        """A file is what it is: its first axis takes a batch or does not."""
        del size, recipe, profile, format_name
        return None

    def score(self, outputs: Mapping[str, Array], artifact: Artifact) -> Quality | None:
        """Nothing says how good a bare file is."""
        del outputs, artifact
        return None


@dataclass(frozen=True)
class WorkloadSubject:
    """A workload factory; its file is built, or found in the cache, for each recipe and format."""

    source: WorkloadSource
    cache: Path

    @property
    def name(self) -> str:
        """The file and factory, until the workload's own name is known."""
        return f"{self.source.path.name}:{self.source.factory}"

    @property
    def default_runtime(self) -> str:
        """ONNX Runtime runs everywhere torch models are exported to."""
        return "onnxruntime"

    def check_format(self, format_name: str) -> None:
        """Every format can be tried; the exporter says what it cannot."""

    def artifact(
        self, recipe: Recipe | None, profile: DeviceProfile, format_name: str
    ) -> tuple[Artifact, tuple[str, ...]]:
        """Build it, or find it in the cache."""
        assert recipe is not None
        made = build(self.source, recipe, profile.name, profile, format_name, cache=self.cache)
        return made, made.provenance.notes if made.provenance else ()

    def for_batch(
        self, size: int, recipe: Recipe | None, profile: DeviceProfile, format_name: str
    ) -> Artifact | None:
        """Exported anew, since an exported file has fixed shapes."""
        assert recipe is not None
        return build(self.source, recipe, profile.name, profile, format_name, cache=self.cache, batch=size)

    def score(self, outputs: Mapping[str, Array], artifact: Artifact) -> Quality | None:
        """The workload's own score, beside the torch model's that the build recorded; one at a time."""
        arrays = tuple(outputs.values())
        with BUILDING:
            evaluation = self._evaluation
            if evaluation is None or artifact.quality is None:
                return None
            value = float(evaluation.score(arrays))
        count = len(arrays[0]) if arrays else 0
        return replace(artifact.quality, value=value, samples=count)

    @cached_property
    def _evaluation(self) -> Evaluation | None:
        return LoadedWorkload(self.source).workload.evaluate


def open_subject(text: str, cache: Path, feeds: Feeds | None = None) -> Subject:
    """``FILE.onnx``, ``FILE.tflite`` or ``FILE.py:FACTORY`` as a subject.

    Raises:
        ConfigError: none of these, or no such file.
    """
    if is_model_file(text):
        path = Path(text)
        check_is_file(path)
        return BareSubject(path, cache, feeds or Feeds())
    if ":" not in text:
        raise ConfigError(
            f"{text}: neither a model file nor a workload",
            mend="expected MODEL.onnx, MODEL.tflite or FILE.py:FACTORY",
        )
    if feeds and (feeds.shapes or feeds.inputs):
        raise ConfigError(
            "--shape and --input are for bare model files", mend="a workload brings its example inputs"
        )
    return WorkloadSubject(WorkloadSource.parse(text), cache)


def open_beside(text: str, cache: Path) -> BareSubject:
    """A model file that runs beside another, looked at and run once on this host.

    Raises:
        ConfigError: it is no model file, or wrong.
    """
    if not is_model_file(text):
        raise ConfigError(f"{text}: not a model file", mend="beside a model runs an .onnx or .tflite file")
    check_is_file(Path(text))
    subject = BareSubject(Path(text), cache)
    subject.check(subject.default_runtime)
    return subject
