"""Named arrays: files of them, made-up inputs, and how near two sets are."""

from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

import numpy as np

from .failure import AgentFailure
from .protocol import Parity, TensorSpec, Tolerance

Arrays = Dict[str, Any]

#: The last axis of an output with at least this many entries is read as class scores.
_MIN_CLASSES = 2


def load(path: str) -> Arrays:
    """Read an ``.npz`` file without ever unpickling."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except (ValueError, OSError, KeyError) as error:
        raise AgentFailure("protocol", f"{path}: not a readable .npz file: {error}") from error


def save(path: str, arrays: Mapping[str, Any]) -> None:
    """Write an uncompressed ``.npz`` file."""
    with open(path, "wb") as stream:
        np.savez(stream, **dict(arrays))


def complete_inputs(
    given: Mapping[str, Any], specs: Sequence[TensorSpec], shapes: Mapping[str, Sequence[int]], seed: int
) -> Arrays:
    """All inputs of a model in its order: those given, and made-up ones for the rest.

    A key ``#N`` stands for the N-th input. A single number given for an input with axes fills it. Made-up
    floats come from a unit normal, integers are 0 or 1, booleans true: integers are mostly indices or masks,
    and larger ones may be out of range.

    Raises:
        AgentFailure: ``invalid-input`` for an unknown name, a dynamic dimension without a size, a size or an
            array that contradicts the model, or a type that cannot be made up.
    """
    named = {_by_position(key, specs): value for key, value in given.items()}
    check_names(named, specs, "--input")
    check_names(shapes, specs, "--shape")
    rng = np.random.default_rng(seed)
    inputs: Arrays = {}
    for spec in specs:
        if spec.name not in named:
            inputs[spec.name] = _make(spec, _concrete(spec, shapes.get(spec.name)), rng)
            continue
        value = named[spec.name]
        if value.ndim == 0:
            value = _fill(spec, _concrete(spec, shapes.get(spec.name)), value)
        inputs[spec.name] = _checked(spec, value)
    return inputs


def _by_position(key: str, specs: Sequence[TensorSpec]) -> str:
    if not key.startswith("#") or not key[1:].isdigit():
        return key
    position = int(key[1:])
    if position >= len(specs):
        raise AgentFailure("invalid-input", f"{position + 1} inputs were given, the model has {len(specs)}")
    return specs[position].name


def _fill(spec: TensorSpec, shape: Tuple[int, ...], value: Any) -> Any:
    """One number everywhere, when the input's type holds it exactly."""
    if spec.dtype == "str" or value.dtype.kind in "US":
        return np.full(shape, value)
    filled = np.full(shape, value).astype(spec.dtype)
    if filled.size and filled.flat[0] != value and np.dtype(spec.dtype).kind != "f":
        raise AgentFailure("invalid-input", f"input {describe(spec)} cannot hold {value}")
    return filled


def _checked(spec: TensorSpec, value: Any) -> Any:
    shape_fits = len(value.shape) == len(spec.shape) and all(
        not isinstance(d, int) or d == size for d, size in zip(spec.shape, value.shape)
    )
    is_text = spec.dtype == "str"
    if not shape_fits or (value.dtype.kind not in "USO" if is_text else value.dtype != np.dtype(spec.dtype)):
        got = f"{value.dtype}[{' x '.join(str(d) for d in value.shape)}]"
        raise AgentFailure("invalid-input", f"input {describe(spec)} cannot take {got}")
    return np.ascontiguousarray(value).reshape(value.shape)


def check_names(given: Mapping[str, Any], specs: Sequence[TensorSpec], what: str) -> None:
    """Refuse a name that the model does not have."""
    names = [spec.name for spec in specs]
    for name in given:
        if name not in names:
            raise AgentFailure(
                "invalid-input", f"{what}: the model has no input {name!r}", f"its inputs: {', '.join(names)}"
            )


def describe(spec: TensorSpec) -> str:
    """``name: dtype[1 x N x 3]`` for messages."""
    return f"{spec.name}: {spec.dtype}[{' x '.join(str(d) for d in spec.shape)}]"


def _concrete(spec: TensorSpec, given: Optional[Sequence[int]]) -> Tuple[int, ...]:
    dynamic = [(i, d) for i, d in enumerate(spec.shape) if not isinstance(d, int)]
    if given is None:
        if dynamic:
            names = ", ".join(f"{d} (axis {i})" for i, d in dynamic)
            sizes = "x".join(str(d) if isinstance(d, int) else "1" for d in spec.shape)
            raise AgentFailure(
                "invalid-input",
                f"input {describe(spec)} has dynamic dimensions: {names}",
                f"give their sizes, for example --shape {spec.name}:{sizes}",
            )
        return tuple(int(d) for d in spec.shape)
    fits = len(given) == len(spec.shape) and all(
        not isinstance(d, int) or d == g for d, g in zip(spec.shape, given)
    )
    if not fits:
        shown = "x".join(str(size) for size in given)
        raise AgentFailure(
            "invalid-input", f"--shape {spec.name}:{shown} does not fit input {describe(spec)}"
        )
    return tuple(int(size) for size in given)


def _make(spec: TensorSpec, shape: Tuple[int, ...], rng: Any) -> Any:
    try:
        dtype = np.dtype(spec.dtype)
    except TypeError:
        raise AgentFailure(
            "invalid-input",
            f"input {describe(spec)}: no values can be made up for this type",
            f"give them: --input {spec.name}=FILE.npy",
        ) from None
    if dtype.kind == "f":
        return np.asarray(rng.standard_normal(shape), dtype)
    if dtype.kind == "b":
        return np.ones(shape, dtype)
    return np.asarray(rng.integers(0, 2, shape), dtype)


def refuse_nan(outputs: Arrays, inputs: Arrays) -> None:
    """Outputs that are not numbers are no result, unless not-a-number went in."""
    if any(_count_nan(value) for value in inputs.values()):
        return
    for name, value in outputs.items():
        count = _count_nan(value)
        if count:
            raise AgentFailure(
                "model-rejected",
                f"output {name!r} holds {count} NaN of {value.size} values",
                "check the model's weights, or give real inputs with --input",
            )


def _count_nan(value: Any) -> int:
    return int(np.isnan(value).sum()) if value.dtype.kind == "f" else 0


def compare(outputs: Arrays, expected: Arrays) -> Tuple[Parity, Dict[str, Parity]]:
    """How near ``outputs`` are to ``expected``: the worst figures, and each tensor's.

    Raises:
        AgentFailure: ``model-rejected`` when names or shapes differ.
    """
    each: Dict[str, Parity] = {}
    for name, want in expected.items():
        if name not in outputs:
            raise AgentFailure("model-rejected", f"output {name!r} is missing on the device")
        got = outputs[name]
        if got.shape != want.shape:
            raise AgentFailure(
                "model-rejected",
                f"output {name!r} has shape {got.shape} on the device, {want.shape} on the host",
            )
        each[name] = _compare_one(got, want)
    worst = Parity(
        cosine=min((p.cosine for p in each.values()), default=1.0),
        max_abs=max((p.max_abs for p in each.values()), default=0.0),
        sqnr_db=_least([p.sqnr_db for p in each.values()]),
        top1_agreement=_least([p.top1_agreement for p in each.values()]),
    )
    return worst, each


def within(parity: Parity, tolerance: Tolerance) -> bool:
    """Whether one tensor is near enough."""
    return parity.cosine >= tolerance.cosine or parity.max_abs <= tolerance.max_abs


def _least(values: List[Optional[float]]) -> Optional[float]:
    known = [value for value in values if value is not None]
    return min(known) if known else None


def _compare_one(got: Any, want: Any) -> Parity:
    if want.dtype.kind in "US" or got.dtype.kind in "US":
        same = bool(np.array_equal(got.astype(str), want.astype(str)))
        return Parity(1.0 if same else 0.0, 0.0 if same else 1.0, None, None)
    a: Any = np.asarray(got, np.float64).ravel()
    b: Any = np.asarray(want, np.float64).ravel()
    alike = (a == b) | (np.isnan(a) & np.isnan(b))  # equal infinities and NaN have no difference to take
    a, b = np.where(alike & ~np.isfinite(a), 0.0, a), np.where(alike & ~np.isfinite(b), 0.0, b)
    big = float(np.finfo(np.float64).max) / 4
    error = np.minimum(np.nan_to_num(np.abs(a - b), nan=big, posinf=big), big)
    max_abs = float(error.max()) if error.size else 0.0
    noise = float(np.square(np.minimum(error, 1e150)).sum())
    signal = float(np.square(np.clip(np.nan_to_num(b), -1e150, 1e150)).sum())
    sqnr = float(10 * np.log10(signal / noise)) if noise > 0 and signal > 0 else None
    return Parity(_cosine(a, b), max_abs, sqnr, _top1(got, want))


def _cosine(a: Any, b: Any) -> float:
    scale_a, scale_b = (float(np.abs(v).max()) if v.size else 0.0 for v in (a, b))
    if scale_a == 0.0 and scale_b == 0.0:
        return 1.0
    if scale_a == 0.0 or scale_b == 0.0 or not np.isfinite(scale_a) or not np.isfinite(scale_b):
        return 0.0
    a, b = a / scale_a, b / scale_b
    return float(np.clip(np.dot(a, b) / np.sqrt(np.dot(a, a) * np.dot(b, b)), -1.0, 1.0))


def _top1(got: Any, want: Any) -> Optional[float]:
    if want.dtype.kind != "f" or want.ndim < 2 or want.shape[-1] < _MIN_CLASSES or not want.size:
        return None
    return float(np.mean(np.argmax(got, -1) == np.argmax(want, -1)))
