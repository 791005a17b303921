"""An artifact: one exported file, named by its SHA-256, with all that is known about it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from edgewright_agent.protocol import SignedManifest, Tolerance


@dataclass(frozen=True)
class Quality:
    """A score of the exported file as executed, beside the torch model's own."""

    metric: str
    value: float
    baseline: float
    samples: int
    higher_is_better: bool = True


@dataclass(frozen=True)
class Provenance:
    """What the file was made from. ``notes`` are what the steps reported, one line each."""

    workload: str
    recipe: str
    recipe_hash: str
    profile: str
    notes: tuple[str, ...] = ()
    versions: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class ExportParity:
    """How far the file's outputs are from the torch model's on the example inputs."""

    cosine: float
    max_abs: float


@dataclass(frozen=True)
class Artifact:
    """A model file ready for a device.

    Attributes:
        path: the file to load; ``extra_files`` is its ONNX external data, in the same folder.
        format: ``onnx`` or ``tflite``.
        size_bytes: of what is stored and pushed: ``coded`` where there is one.
        coded: the file entropy coded, which a device is given in its place and decodes.
        inputs, expected: ``.npz`` files keyed by tensor name: recorded inputs, and the outputs the
            host's own runtime computed from them with this very file.
        evaluation: ``.npz`` of evaluation inputs keyed by tensor name, samples first.
        tolerance: how near a device must come to ``expected``; the recipe's.
        shapes: sizes for dynamic inputs, where the inputs are left to the device.
        signed: the signed manifest that lies beside the file.
    """

    path: Path
    format: str
    sha256: str
    size_bytes: int
    extra_files: tuple[Path, ...] = ()
    inputs: Path | None = None
    expected: Path | None = None
    evaluation: Path | None = None
    parity: ExportParity | None = None
    quality: Quality | None = None
    provenance: Provenance | None = None
    tolerance: Tolerance | None = None
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    signed: SignedManifest | None = None
    coded: Path | None = None


def sha256_file(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
