"""Bare model files: an ``.onnx`` or ``.tflite`` of which nothing but benchmarking is asked.

The file is looked at before a device is troubled with it: that it is what its name says, and that an
ONNX model's external data is there and inside the model's own folder.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgewright_agent.protocol import Tolerance

from .artifact import Artifact, sha256_file
from .errors import ConfigError, DeviceError, InvalidInput, InvalidModel
from .workload import Array

if TYPE_CHECKING:
    import onnx

#: File name endings and the format they stand for.
FORMATS = {".onnx": "onnx", ".tflite": "tflite"}

#: How near a device must come to the host on a file of which nothing is known but that it is the same.
TOLERANCE = Tolerance(cosine=0.98, max_abs=1e-5)

_TFLITE_IDENTIFIER = b"TFL3"


@dataclass(frozen=True)
class Feeds:
    """What the user gave to feed a model with: sizes of dynamic inputs, and arrays by input name."""

    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    inputs: Mapping[str, Array] = field(default_factory=dict)


@dataclass(frozen=True)
class BareModel:
    """A checked file with what the host computed from it, or why the host could not."""

    artifact: Artifact
    no_reference: str = ""


def is_model_file(name: str) -> bool:
    """Whether ``name`` ends like a bare model."""
    return Path(name).suffix in FORMATS


def model_files(path: Path) -> tuple[Path, ...]:
    """The model, then its external data files.

    Raises:
        ConfigError: no such file, not a model, truncated, or external data that is missing or outside.
    """
    if not path.is_file():
        raise ConfigError(f"{path}: {'not a file' if path.exists() else 'no such file'}")
    if FORMATS[path.suffix] == "onnx":
        return (path, *_external_data(path))
    with path.open("rb") as stream:
        header = stream.read(8)
    if header[4:8] != _TFLITE_IDENTIFIER:
        raise ConfigError(f"{path}: not a TFLite model", mend="its bytes 4 to 8 must read TFL3")
    return (path,)


def open_model(path: Path, feeds: Feeds, folder: Path) -> BareModel:
    """Check the file and run it once on the host, so that a device can be held to the same outputs.

    Args:
        path: the file.
        feeds: inputs and sizes from the user; the rest is made up from the model's own signature.
        folder: where the recorded inputs and outputs are written.

    Raises:
        ConfigError: the file or the feeds are wrong.
    """
    from .reference import reference_run
    from .tensorfile import write_arrays

    files = model_files(path)
    format_name = FORMATS[path.suffix]
    bare = Artifact(
        path=path,
        format=format_name,
        sha256=sha256_file(path),
        size_bytes=sum(file.stat().st_size for file in files),
        extra_files=files[1:],
        tolerance=TOLERANCE,
        shapes=dict(feeds.shapes),
    )
    try:
        run = reference_run(files, format_name, inputs=feeds.inputs or None, shapes=feeds.shapes)
    except (InvalidModel, InvalidInput) as error:
        raise ConfigError(f"{path}: {error.message}", mend=error.mend) from error
    except DeviceError as error:
        return BareModel(bare, f"this host could not run the model: {error.message}")
    inputs, expected = folder / f"{bare.sha256}.inputs.npz", folder / f"{bare.sha256}.expected.npz"
    write_arrays(inputs, run.inputs)
    write_arrays(expected, run.outputs)
    return BareModel(replace(bare, inputs=inputs, expected=expected))


def _external_data(path: Path) -> Iterator[Path]:
    import onnx
    from google.protobuf.message import DecodeError

    try:
        model = onnx.load(path, load_external_data=False)
    except DecodeError:
        raise ConfigError(f"{path}: not a valid ONNX file: truncated, or another format") from None
    if not model.graph.node and not model.graph.output:
        raise ConfigError(f"{path}: not a valid ONNX file: it holds no graph")
    seen = set()
    for tensor in _tensors(model.graph):
        if tensor.data_location != onnx.TensorProto.EXTERNAL:
            continue
        location = {entry.key: entry.value for entry in tensor.external_data}.get("location", "")
        if location not in seen:
            seen.add(location)
            yield _beside(path, location, tensor.name)


def _beside(model: Path, location: str, tensor: str) -> Path:
    """The external file, refused unless it is a plain file in the model's own folder."""
    named = f"{model}: external data {location!r} of tensor {tensor!r}"
    if not location or Path(location).is_absolute() or "\\" in location or ".." in Path(location).parts:
        raise ConfigError(f"{named} points outside the model's folder")
    if len(Path(location).parts) != 1:
        raise ConfigError(f"{named} is in a subfolder", mend="save the model with its data beside it")
    data = model.parent / location
    if not data.is_file():
        raise ConfigError(f"{named} is missing")
    if data.resolve().parent != model.parent.resolve():
        raise ConfigError(f"{named} points outside the model's folder")
    return data


def _tensors(graph: onnx.GraphProto) -> Iterator[Any]:
    """Every constant of a graph: initializers, sparse ones, attributes, and those of its subgraphs."""
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield sparse.values
        yield sparse.indices
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors
            subgraphs = [attribute.g] if attribute.HasField("g") else []
            for subgraph in (*subgraphs, *attribute.graphs):
                yield from _tensors(subgraph)
