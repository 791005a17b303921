"""What goes into a model: the user's arrays and sizes, and made-up values for the rest."""

import math
import shlex
from dataclasses import dataclass, field
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

import numpy as np

from . import memory
from .arrays import Arrays
from .failure import AgentFailure
from .protocol import TensorSpec

Shape = Tuple[int, ...]
Shapes = Dict[str, Shape]

#: Room that inputs take, in parts of themselves: the array, and the runtime's own copy.
_COPIES = 2


@dataclass(frozen=True)
class Feeds:
    """Arrays by input name, or by ``#N`` for the N-th input, and sizes of dynamic inputs by name.

    An array without axes fills an input that has some; as text, it is a number as the user wrote it.
    """

    arrays: Mapping[str, Any] = field(default_factory=dict)
    shapes: Mapping[str, Sequence[int]] = field(default_factory=dict)

    def sizes(self, specs: Sequence[TensorSpec]) -> Shapes:
        """The shape of every input, in the model's order.

        Raises:
            AgentFailure: ``invalid-input`` for an unknown name, dynamic dimensions without a size, or a size
                or array that contradicts the model; ``out-of-memory`` when there is no room for the inputs.
        """
        arrays = self._named(specs)
        _check_names(arrays, specs, "--input")
        _check_names(self.shapes, specs, "--shape")
        wanted: Dict[str, Sequence[int]] = dict(self.shapes)
        for spec in specs:
            if spec.name in arrays and arrays[spec.name].ndim:
                _check_array(spec, arrays[spec.name], self.shapes.get(spec.name))
                wanted[spec.name] = arrays[spec.name].shape
        _refuse_open(specs, wanted)
        sizes = {spec.name: _size(spec, wanted.get(spec.name)) for spec in specs}
        _check_room(specs, sizes)
        return sizes

    def complete(self, specs: Sequence[TensorSpec], seed: int) -> Arrays:
        """All inputs of a model in its order: those given, and made-up ones for the rest.

        Made-up floats come from a unit normal, 8-bit integers from their whole range, since they are mostly
        pixels or quantized values; wider integers are 0 or 1, since they are mostly indices or masks and
        larger ones may be out of range. Booleans are true.

        Raises:
            AgentFailure: as :meth:`sizes`, and for a type that cannot be made up or fed.
        """
        sizes, arrays = self.sizes(specs), self._named(specs)
        rng = np.random.default_rng(seed)
        inputs: Arrays = {}
        for spec in specs:
            value = arrays.get(spec.name)
            if value is None:
                inputs[spec.name] = _make(spec, sizes[spec.name], rng)
            elif value.ndim == 0:
                inputs[spec.name] = np.full(sizes[spec.name], _scalar(spec, value))
            else:
                inputs[spec.name] = np.ascontiguousarray(value)
        return inputs

    def _named(self, specs: Sequence[TensorSpec]) -> Arrays:
        names = [spec.name for spec in specs]
        return {key if key in names else _by_position(key, names): v for key, v in self.arrays.items()}


def describe(spec: TensorSpec, shape: Optional[Sequence[Any]] = None) -> str:
    """``name: dtype[1 x N x 3]`` for messages, with the shape declared or another."""
    shown = spec.shape if shape is None else shape
    return f"{spec.name}: {spec.dtype}" + ("" if "(" in spec.dtype else _brackets(shown))


def _brackets(shape: Sequence[Any]) -> str:
    return f"[{' x '.join(str(d) for d in shape)}]"


def _by_position(key: str, names: Sequence[str]) -> str:
    if not key.startswith("#") or not key[1:].isdigit():
        return key
    position = int(key[1:])
    if position >= len(names):
        raise AgentFailure("invalid-input", f"{position + 1} inputs were given, the model has {len(names)}")
    return names[position]


def _check_names(given: Mapping[str, Any], specs: Sequence[TensorSpec], what: str) -> None:
    """Refuse a name that the model does not have."""
    names = [spec.name for spec in specs]
    for name in given:
        if name not in names:
            mend = f"its inputs: {', '.join(names)}" if names else "it has no inputs"
            raise AgentFailure("invalid-input", f"{what}: the model has no input {name!r}", mend)


def _check_array(spec: TensorSpec, array: Any, asked: Any) -> None:
    got = f"{array.dtype}{_brackets(array.shape)}"
    if asked is not None and tuple(asked) != array.shape:
        shown = "x".join(str(size) for size in asked)
        raise AgentFailure("invalid-input", f"input {spec.name}: {got} was given and --shape says {shown}")
    if not _fits(spec, array.shape) and asked is None:
        raise AgentFailure("invalid-input", f"input {describe(spec)} cannot take {got}")
    dtype = _dtype(spec)
    if array.dtype != dtype if dtype.kind != "U" else array.dtype.kind not in "USO":
        raise AgentFailure(
            "invalid-input", f"input {describe(spec)} cannot take {got}", f"save the array as {spec.dtype}"
        )


def _dtype(spec: TensorSpec) -> Any:
    try:
        return np.dtype(spec.dtype)
    except TypeError:
        raise AgentFailure(
            "model-rejected", f"input {describe(spec)}: only tensors of numpy's types can be fed"
        ) from None


def _refuse_open(specs: Sequence[TensorSpec], wanted: Mapping[str, Sequence[int]]) -> None:
    """Name every input whose size nobody said, with a size to start from: one known for its symbol, or 1."""
    known: Dict[str, int] = {}
    for spec in specs:
        given = zip(spec.shape, wanted.get(spec.name, ()))
        known.update({d: size for d, size in given if isinstance(d, str) and d != "?"})
    texts: List[str] = []
    mends: List[str] = []
    for spec in specs:
        dynamic = [(i, d) for i, d in enumerate(spec.shape) if not isinstance(d, int)]
        if dynamic and spec.name not in wanted:
            names = ", ".join(f"{d} (axis {i})" for i, d in dynamic)
            texts.append(f"input {describe(spec)} has dynamic dimensions: {names}")
            sizes = "x".join(str(d if isinstance(d, int) else known.get(d, 1)) for d in spec.shape)
            mends.append("--shape " + shlex.quote(f"{spec.name}:{sizes}"))
    if texts:
        raise AgentFailure(
            "invalid-input", "; ".join(texts), f"give their sizes, for example {' '.join(mends)}"
        )


def _size(spec: TensorSpec, wanted: Any) -> Shape:
    if wanted is None:
        return tuple(int(d) for d in spec.shape)
    # ONNX Runtime shows an input of unknown rank like one of rank 0: there the user knows better
    if spec.shape and not _fits(spec, wanted):
        shown = "x".join(str(size) for size in wanted) or "scalar"
        raise AgentFailure(
            "invalid-input", f"--shape {spec.name}:{shown} does not fit input {describe(spec)}"
        )
    return tuple(int(size) for size in wanted)


def _fits(spec: TensorSpec, shape: Sequence[int]) -> bool:
    return len(shape) == len(spec.shape) and all(
        not isinstance(d, int) or d == size for d, size in zip(spec.shape, shape)
    )


def _check_room(specs: Sequence[TensorSpec], sizes: Shapes) -> None:
    """Refuse inputs that would fill the memory there is, before the kernel ends this process for it."""
    needed = sum(math.prod(sizes[spec.name]) * _dtype(spec).itemsize for spec in specs) * _COPIES
    available = memory.available_bytes()
    if available is not None and needed > available:
        shown = ", ".join(f"{spec.dtype}{_brackets(sizes[spec.name])}" for spec in specs)
        raise AgentFailure(
            "out-of-memory",
            f"the inputs {shown} need {needed} bytes of memory, and {available} are available",
            "give smaller sizes with --shape",
        )


def _scalar(spec: TensorSpec, value: Any) -> Any:
    """One value in the input's type, when that type holds it exactly or, for floats, at all."""
    dtype = _dtype(spec)
    if dtype.kind == "U":
        return np.asarray(str(value.astype(str)))
    try:
        if value.dtype.kind not in ("biufcUS" if dtype.kind == "c" else "biufUS"):
            raise ValueError
        number = _parse(str(value), dtype.kind) if value.dtype.kind in "US" else value[()]
        with np.errstate(all="ignore"):
            held = np.asarray(number).astype(dtype)
    except (ValueError, KeyError, OverflowError):
        raise _cannot_hold(spec, value) from None
    same = np.isfinite(held) == np.isfinite(number) if dtype.kind in "fc" else held == number
    if not bool(same):
        raise _cannot_hold(spec, value)
    return held


def _parse(text: str, kind: str) -> Any:
    """What the user wrote, as a number of the kind."""
    if kind == "b":
        return {"true": True, "1": True, "false": False, "0": False}[text.lower()]
    if kind in "iu":
        try:
            return int(text)
        except ValueError:
            return float(text)
    return complex(text) if kind == "c" else float(text)


def _cannot_hold(spec: TensorSpec, value: Any) -> AgentFailure:
    shown = repr(str(value)) if value.dtype.kind in "US" else str(value)
    return AgentFailure(
        "invalid-input",
        f"input {describe(spec)} cannot hold {shown[:200]}",
        f"write --input {shlex.quote(spec.name)}=NUMBER or --input {shlex.quote(spec.name)}=FILE.npy",
    )


def _make(spec: TensorSpec, shape: Shape, rng: Any) -> Any:
    dtype = _dtype(spec)
    if dtype.kind == "U":
        raise AgentFailure(
            "invalid-input",
            f"input {describe(spec)}: no text can be made up",
            f"give it: --input {shlex.quote(spec.name)}=TEXT or --input {shlex.quote(spec.name)}=FILE.npy",
        )
    if dtype.kind == "c":
        return (rng.standard_normal(shape) + 1j * rng.standard_normal(shape)).astype(dtype)
    if dtype.kind == "f":
        source = dtype if dtype.itemsize >= 4 else np.dtype("float32")
        return np.asarray(rng.standard_normal(shape, source), dtype)
    if dtype.kind == "b":
        return np.ones(shape, dtype)
    limits = np.iinfo(dtype)
    low, high = (limits.min, limits.max) if dtype.itemsize == 1 else (0, 1)
    return np.asarray(rng.integers(low, high, shape, dtype, endpoint=True), dtype)
