"""Compression techniques: one a file, each registered in :mod:`edgewright.recipe` under its name."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol

from edgewright.profile import DeviceProfile
from edgewright.workload import Array, Workload

if TYPE_CHECKING:
    import torch

#: onnxruntime, which some techniques import, reports home unless it is told not to before it is loaded.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")


@dataclass(frozen=True)
class Changed:
    """An edited module, and what the user should know of the edit, one line each."""

    module: torch.nn.Module
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class FileJob:
    """One exported file to edit.

    Attributes:
        source, out: the file as it is, and where the edited one goes.
        format: ``onnx`` or ``tflite``.
        calibration: the workload's samples, each one array per input of the file, in its order and types.
    """

    source: Path
    out: Path
    format: str
    calibration: tuple[tuple[Array, ...], ...]
    profile: DeviceProfile


class ModelTechnique(Protocol):
    """Edits a module. See :class:`edgewright.recipe.Technique` for the rest."""

    stage: ClassVar[Literal["model"]]
    options: ClassVar[type[Any]]

    def profile_facts(self, options: Any, profile: DeviceProfile, format: str) -> Mapping[str, object]:
        """See :class:`edgewright.recipe.Technique`."""

    def apply(self, module: torch.nn.Module, workload: Workload, options: Any) -> Changed:
        """Edit ``module``, which is a copy in evaluation mode, and return it.

        Raises:
            CompressionError: when it failed or changed nothing.
        """


class FileTechnique(Protocol):
    """Edits an exported file. See :class:`edgewright.recipe.Technique` for the rest."""

    stage: ClassVar[Literal["file"]]
    options: ClassVar[type[Any]]

    def profile_facts(self, options: Any, profile: DeviceProfile, format: str) -> Mapping[str, object]:
        """See :class:`edgewright.recipe.Technique`."""

    def apply(self, job: FileJob, options: Any) -> tuple[str, ...]:
        """Write ``job.out``; the notes say what the user should know.

        Raises:
            CompressionError: when it failed or changed nothing.
        """
