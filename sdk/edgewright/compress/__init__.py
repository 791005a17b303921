"""Compression techniques: one a file, each registered in :mod:`edgewright.recipe` under its name."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol

from edgewright.dependencies import Dependency
from edgewright.profile import DeviceProfile
from edgewright.workload import Array, Workload

if TYPE_CHECKING:
    import torch

    from .calibration import Observe, Range

#: onnxruntime, which some techniques import, reports home unless it is told not to before it is loaded.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")


class Finish(Protocol):
    """What a step on the module has still to do to the file that the module is exported to.

    Attributes:
        simulated: computes in torch what the finished file is to compute.
        samples: inputs like the example inputs, for a workload without calibration.
    """

    simulated: torch.nn.Module
    samples: tuple[tuple[torch.Tensor, ...], ...]

    def write(self, job: FileJob) -> tuple[str, ...]:
        """Write ``job.out``; the notes say what the user should know.

        Raises:
            CompressionError: when it failed or changed nothing.
        """


@dataclass(frozen=True)
class Changed:
    """An edited module, and what the user should know of the edit, one line each.

    Attributes:
        finish: what is left to do once the module is exported.
        kept: what :attr:`ModelJob.earlier` is to hold when the same step is asked for again.
    """

    module: torch.nn.Module
    notes: tuple[str, ...] = ()
    finish: Finish | None = None
    kept: Mapping[str, Array] | None = None


def _unheard(_: object) -> None:
    """Tell nobody."""


@dataclass(frozen=True)
class ModelJob:
    """One module to edit.

    Attributes:
        module: a copy in evaluation mode, the technique's own.
        tell: says what goes on, a few words at a time.
        checkpoints: a folder for what a long step needs to go on after a kill; None keeps nothing. What is
            written there is named by the step, and removed when the step is done.
        made_of: every file that the workload has read so far; what is kept holds while these do.
        has_read: told of the files from which what is taken up was made, which may not be read again.
        profile, format: what the module is exported for afterwards, where that is known.
        earlier: what this step kept when it was done before, for another format or batch.
    """

    module: torch.nn.Module
    workload: Workload
    tell: Callable[[str], None] = _unheard
    checkpoints: Path | None = None
    made_of: Callable[[], tuple[Dependency, ...]] = tuple
    has_read: Callable[[Iterable[Dependency]], None] = _unheard
    profile: DeviceProfile | None = None
    format: str = ""
    earlier: Mapping[str, Array] | None = None


@dataclass(frozen=True)
class FileJob:
    """One exported file to edit.

    Attributes:
        source, out: the file as it is, and where the edited one goes.
        format: ``onnx`` or ``tflite``.
        calibration: the workload's samples, each one array per input of the file, in its order and types.
        tell: says what goes on, a few words at a time.
        learnt: ranges of activations that were trained, which go before calibrated ones: by the file's
            tensors, given what shows these.
    """

    source: Path
    out: Path
    format: str
    calibration: tuple[tuple[Array, ...], ...]
    profile: DeviceProfile
    tell: Callable[[str], None] = _unheard
    learnt: Callable[[Observe], Mapping[str, Range]] | None = None


class ModelTechnique(Protocol):
    """Edits a module. See :class:`edgewright.recipe.Technique` for the rest."""

    stage: ClassVar[Literal["model"]]
    saves: ClassVar[tuple[str, ...]]
    options: ClassVar[type[Any]]

    def profile_facts(self, options: Any, profile: DeviceProfile, format: str) -> Mapping[str, object]:
        """See :class:`edgewright.recipe.Technique`."""

    def on_device(self, options: Any, profile: DeviceProfile) -> tuple[str, ...]:
        """See :class:`edgewright.recipe.Technique`."""

    def apply(self, job: ModelJob, options: Any) -> Changed:
        """Edit the job's module, or make another, and return it.

        Raises:
            CompressionError: when it failed or changed nothing.
        """


class FileTechnique(Protocol):
    """Edits an exported file. See :class:`edgewright.recipe.Technique` for the rest."""

    stage: ClassVar[Literal["file"]]
    saves: ClassVar[tuple[str, ...]]
    options: ClassVar[type[Any]]

    def profile_facts(self, options: Any, profile: DeviceProfile, format: str) -> Mapping[str, object]:
        """See :class:`edgewright.recipe.Technique`."""

    def on_device(self, options: Any, profile: DeviceProfile) -> tuple[str, ...]:
        """See :class:`edgewright.recipe.Technique`."""

    def apply(self, job: FileJob, options: Any) -> tuple[str, ...]:
        """Write ``job.out``; the notes say what the user should know.

        Raises:
            CompressionError: when it failed or changed nothing.
        """
