"""Bare model files: an ``.onnx`` or ``.tflite`` of which nothing but benchmarking is asked.

The file is looked at before a device is troubled with it: that it is what its name says, and that an
ONNX model's external data is there and inside the model's own folder.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from edgewright_agent.protocol import Tolerance

from .artifact import Artifact, sha256_file
from .errors import ConfigError, DeviceError, InvalidInput, InvalidModel
from .workload import Array

#: File name endings and the format they stand for.
FORMATS = {".onnx": "onnx", ".tflite": "tflite"}

#: How near a device must come to the host on a file of which nothing is known but that it is the same.
TOLERANCE = Tolerance(cosine=0.98, max_abs=1e-5)


@dataclass(frozen=True)
class Feeds:
    """What the user gave to feed a model with: sizes of dynamic inputs, and arrays by input name.

    An array without axes fills its input; as text, it is a number as the user wrote it.
    """

    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    inputs: Mapping[str, Array] = field(default_factory=dict)

    @property
    def sizes(self) -> dict[str, tuple[int, ...]]:
        """The sizes that are known, those of arrays included."""
        return {**{name: array.shape for name, array in self.inputs.items() if array.ndim}, **self.shapes}


@dataclass(frozen=True)
class BareModel:
    """A checked file with what the host computed from it, or why the host could not."""

    artifact: Artifact
    no_reference: str = ""


def is_model_file(name: str) -> bool:
    """Whether ``name`` ends like a bare model."""
    return Path(name).suffix.lower() in FORMATS


def model_format(path: Path) -> str:
    """``onnx`` or ``tflite``, by the ending."""
    return FORMATS[path.suffix.lower()]


def check_is_file(path: Path) -> None:
    """Refuse what cannot be read like a file: a folder, a pipe, a device.

    Raises:
        ConfigError: with what it is instead.
    """
    try:
        if not path.is_file():
            raise ConfigError(f"{path}: {'not a file' if path.exists() else 'no such file'}")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None


def model_files(path: Path, feeds: Feeds | None = None) -> tuple[Path, ...]:
    """The model, then its external data files.

    Raises:
        ConfigError: no such file, not a model, truncated, or external data that is missing or outside.
    """
    check_is_file(path)
    try:
        if path.stat().st_size == 0:
            raise ConfigError(f"{path}: empty")
        if model_format(path) == "onnx":
            from .onnx_file import check_ranks, external_files, read_onnx

            model = read_onnx(path)
            check_ranks(model, path, feeds.sizes if feeds else {})
            return (path, *external_files(model, path))
        from .tflite_file import check_tflite

        check_tflite(path)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    return (path,)


def open_model(path: Path, feeds: Feeds, folder: Path) -> BareModel:
    """Check the file and run it once on the host, so that a device can be held to the same outputs.

    Args:
        path: the file.
        feeds: inputs and sizes from the user; the rest is made up from the model's own signature.
        folder: where the recorded inputs and outputs are written, named by their content.

    Raises:
        ConfigError: the file or the feeds are wrong, or a signed manifest beside the file is for another.
    """
    from .manifest import signed_beside
    from .reference import reference_run

    files = model_files(path, feeds)
    bare = Artifact(
        path=path,
        format=model_format(path),
        sha256=sha256_file(path),
        size_bytes=sum(file.stat().st_size for file in files),
        extra_files=files[1:],
        tolerance=TOLERANCE,
        shapes=dict(feeds.shapes),
        signed=signed_beside(path, files),
    )
    try:
        run = reference_run(files, bare.format, inputs=feeds.inputs or None, shapes=feeds.shapes)
    except (InvalidModel, InvalidInput) as error:
        raise ConfigError(f"{path}: {error.message}", mend=error.mend) from error
    except DeviceError as error:
        return BareModel(bare, f"this host could not run the model: {error.message}")
    return BareModel(replace(bare, inputs=_record(folder, run.inputs), expected=_record(folder, run.outputs)))


def _record(folder: Path, arrays: Mapping[str, Array]) -> Path:
    """Write the arrays under a name made of them, which another run with other arrays does not take."""
    from .tensorfile import write_arrays

    digest = hashlib.sha256()
    for name, value in arrays.items():
        digest.update(repr((name, value.dtype.str, value.shape)).encode())
        digest.update(value.tobytes())
    path = folder / f"{digest.hexdigest()}.npz"
    write_arrays(path, arrays)
    return path
