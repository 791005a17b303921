"""Named arrays: files of them, whether they are numbers, and how near two sets are."""

import zipfile
from typing import Any, Dict, List, Mapping, Optional, Tuple

import numpy as np

from .failure import AgentFailure
from .protocol import Parity, Tolerance

Arrays = Dict[str, Any]

#: The last axis of an output with at least this many entries is read as class scores.
_MIN_CLASSES = 2


def load(path: str) -> Arrays:
    """Read an ``.npz`` file without ever unpickling."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except (ValueError, OSError, KeyError, zipfile.BadZipFile) as error:
        raise AgentFailure("protocol", f"{path}: not a readable .npz file: {error}") from error


def save(path: str, arrays: Mapping[str, Any]) -> None:
    """Write an uncompressed ``.npz`` file, whatever the names: ``numpy.savez`` takes some for its own."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, value in arrays.items():
            with archive.open(name + ".npy", "w", force_zip64=True) as stream:
                np.save(stream, np.asarray(value), allow_pickle=False)


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
    return int(np.isnan(value).sum()) if value.dtype.kind in "fc" else 0


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
    a, b = _reals(got), _reals(want)
    alike = (a == b) | (np.isnan(a) & np.isnan(b))  # equal infinities and NaN have no difference to take
    a, b = np.where(alike & ~np.isfinite(a), 0.0, a), np.where(alike & ~np.isfinite(b), 0.0, b)
    big = float(np.finfo(np.float64).max) / 4
    error = np.minimum(np.nan_to_num(np.abs(a - b), nan=big, posinf=big), big)
    max_abs = float(error.max()) if error.size else 0.0
    noise = float(np.square(np.minimum(error, 1e150)).sum())
    signal = float(np.square(np.clip(np.nan_to_num(b), -1e150, 1e150)).sum())
    sqnr = float(10 * (np.log10(signal) - np.log10(noise))) if noise > 0 and signal > 0 else None
    return Parity(_cosine(a, b), max_abs, sqnr, _top1(got, want))


def _reals(value: Any) -> Any:
    """All numbers in a row; complex ones as two each."""
    if value.dtype.kind == "c":
        value = np.stack([value.real, value.imag])
    return np.asarray(value, np.float64).ravel()


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
