"""Looking at a stranger's ONNX file before anything runs it: what it declares, and where its data is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import ConfigError

if TYPE_CHECKING:
    import onnx

#: What a protobuf message, and so an ONNX file without its external data, can be at most.
_MOST_BYTES = 1 << 31
_BROKEN = "not a valid ONNX file: truncated, or another format"


def read_onnx(path: Path) -> onnx.ModelProto:
    """The model without its external data.

    Raises:
        ConfigError: it cannot be read, or it is no whole model.
    """
    import onnx
    from google.protobuf.message import DecodeError

    if path.stat().st_size >= _MOST_BYTES:
        raise ConfigError(
            f"{path}: larger than the 2 GiB of an ONNX file", mend="keep its data in a file beside it"
        )
    model = onnx.ModelProto()
    try:
        model.ParseFromString(path.read_bytes())
    except DecodeError:
        raise ConfigError(f"{path}: {_BROKEN}") from None
    if not model.graph.node and not model.graph.output:
        raise ConfigError(f"{path}: not a valid ONNX file: it holds no graph")
    if not model.opset_import and not model.functions:
        raise ConfigError(f"{path}: {_BROKEN}")
    return model


def check_ranks(model: onnx.ModelProto, path: Path, sizes: Mapping[str, Sequence[int]]) -> None:
    """Refuse sizes for a scalar, and an input without any shape for which there are none.

    ONNX Runtime shows both as inputs without axes, so that this is the only place to tell them apart.

    Raises:
        ConfigError: with the first such input.
    """
    constants = {tensor.name for tensor in model.graph.initializer}
    for value in model.graph.input:
        kind = value.type.tensor_type
        if value.name in constants or not value.type.HasField("tensor_type"):
            continue
        size = "x".join(map(str, sizes.get(value.name, ())))
        if not kind.HasField("shape") and value.name not in sizes:
            raise ConfigError(
                f"{path}: input {value.name!r} declares no shape, not even its number of axes",
                mend=f"give it, for example --shape '{value.name}:1x3x224x224', or {value.name}:scalar",
            )
        if kind.HasField("shape") and not kind.shape.dim and size:
            raise ConfigError(f"{path}: --shape {value.name}:{size} does not fit a scalar input")


def external_files(model: onnx.ModelProto, path: Path) -> Iterator[Path]:
    """The files beside the model that hold its data, each once.

    Raises:
        ConfigError: one is missing, too short, or outside the model's folder.
    """
    import onnx

    seen = {path.name}
    for tensor in _all_tensors(model):
        if tensor.data_location != onnx.TensorProto.EXTERNAL:
            continue
        entries = {entry.key: entry.value for entry in tensor.external_data}
        named = f"{path}: external data {entries.get('location', '')!r} of tensor {tensor.name!r}"
        data = _beside(path, entries.get("location", ""), named)
        _check_length(data, entries, named)
        if data.name not in seen:
            seen.add(data.name)
            yield data


def _beside(model: Path, location: str, named: str) -> Path:
    """The external file, refused unless it is a plain file in the model's own folder."""
    if not location or Path(location).is_absolute() or "\\" in location or ".." in Path(location).parts:
        raise ConfigError(f"{named} points outside the model's folder")
    if len(Path(location).parts) != 1:
        raise ConfigError(f"{named} is in a subfolder", mend="save the model with its data beside it")
    data = model.parent / Path(location).name
    if not data.is_file():
        raise ConfigError(f"{named} is {'not a file' if data.exists() else 'missing'}")
    # a model that is a link itself, as in a download cache, has its data where both links lead
    if data.resolve().parent not in (model.parent.resolve(), model.resolve().parent):
        raise ConfigError(f"{named} points outside the model's folder")
    return data


def _check_length(data: Path, entries: Mapping[str, str], named: str) -> None:
    texts = [entries.get(key) or "0" for key in ("offset", "length")]
    if not all(text.isdecimal() for text in texts):
        raise ConfigError(f"{named} has no usable offset and length")
    needed, found = sum(map(int, texts)), data.stat().st_size
    if needed > found:
        raise ConfigError(f"{named} is truncated: it needs {needed} bytes, the file has {found}")


def _all_tensors(model: onnx.ModelProto) -> Iterator[Any]:
    yield from _tensors(model.graph)
    for function in model.functions:
        yield from _constants(function.node)


def _tensors(graph: onnx.GraphProto) -> Iterator[Any]:
    """Every constant of a graph: initializers, sparse ones, and those of its nodes."""
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield sparse.values
        yield sparse.indices
    yield from _constants(graph.node)


def _constants(nodes: Sequence[onnx.NodeProto]) -> Iterator[Any]:
    """The attributes that are tensors, also sparse ones, and those of subgraphs."""
    for attribute in (attribute for node in nodes for attribute in node.attribute):
        yield from ([attribute.t] if attribute.HasField("t") else [])
        yield from attribute.tensors
        for sparse in (
            *([attribute.sparse_tensor] if attribute.HasField("sparse_tensor") else []),
            *attribute.sparse_tensors,
        ):
            yield sparse.values
            yield sparse.indices
        for subgraph in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
            yield from _tensors(subgraph)
