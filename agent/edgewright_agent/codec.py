"""Frozen dataclasses to JSON and back, strictly.

The device may be anything and anybody, so the host decodes what it sends as untrusted input:
unknown keys, missing keys, wrong types, over-long texts and arrays beyond :data:`MAX_SAMPLES`
are refused with the path of the offending value. Long integer arrays travel as zlib-compressed
little-endian int64 in base64, inflated under a bound so that a small message cannot expand without end.

Standard library only, Python 3.8 or newer.
"""

import base64
import dataclasses
import math
import sys
import types
import typing
import zlib
from array import array
from functools import lru_cache
from typing import Any, Dict, List, Tuple, Type, TypeVar, Union

MAX_TEXT = 1 << 20
MAX_SAMPLES = 1 << 23
_PACKED = "i64z"
_PACK_FROM = 32

T = TypeVar("T")


class WireError(ValueError):
    """A value does not fit its declared type; the message names its path."""


if typing.TYPE_CHECKING:
    _Integers = array[int]
else:
    _Integers = array


class Samples(_Integers):
    """A long run of integers (nanoseconds, microjoules ...): eight bytes each, and packed on the wire.

    An array of 64-bit integers and not a tuple, since millions of Python's own integers would be counted
    as memory of the model.
    """

    def __new__(cls, values: "typing.Iterable[int]" = ()) -> "Samples":
        """From any integers."""
        return typing.cast("Samples", super().__new__(cls, "q", values))


def encode(value: Any) -> Any:
    """Turn dataclasses, tuples and mappings into what ``json.dumps`` accepts."""
    if isinstance(value, Samples):
        return _pack(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: encode(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, (tuple, list)):
        return [encode(item) for item in value]
    if isinstance(value, dict):
        return {str(key): encode(item) for key, item in value.items()}
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def decode(cls: Type[T], data: Any, where: str = "") -> T:
    """Build ``cls`` from decoded JSON, checking every field against its annotation.

    Raises:
        WireError: with the path of the first value that does not fit.
    """
    return typing.cast(T, _value(cls, data, where or cls.__name__))


def _pack(samples: Samples) -> Any:
    if len(samples) < _PACK_FROM:
        return list(samples)
    raw = array("q", samples)
    if sys.byteorder == "big":
        raw.byteswap()
    return {_PACKED: base64.b64encode(zlib.compress(raw.tobytes(), 6)).decode("ascii")}


def _unpack(data: Any, where: str) -> Samples:
    if isinstance(data, list):
        if len(data) > MAX_SAMPLES:
            raise WireError(f"{where}: more than {MAX_SAMPLES} samples")
        for item in data:
            if type(item) is not int or not -(1 << 63) <= item < 1 << 63:
                raise WireError(f"{where}: samples must be 64-bit integers")
        return Samples(data)
    if not isinstance(data, dict) or set(data) != {_PACKED} or not isinstance(data[_PACKED], str):
        raise WireError(f"{where}: expected an array of integers")
    bound = MAX_SAMPLES * 8
    try:
        inflater = zlib.decompressobj()
        raw = inflater.decompress(base64.b64decode(data[_PACKED], validate=True), bound)
    except (ValueError, zlib.error) as error:
        raise WireError(f"{where}: packed samples are damaged: {error}") from error
    if inflater.unconsumed_tail or not inflater.eof or len(raw) % 8:
        raise WireError(f"{where}: packed samples are damaged or more than {MAX_SAMPLES}")
    values = array("q")
    values.frombytes(raw)
    if sys.byteorder == "big":
        values.byteswap()
    return Samples(values)


#: What ``int | None`` is where Python can say it so.
_PIPED: Any = getattr(types, "UnionType", None)


def _value(kind: Any, data: Any, where: str) -> Any:
    if kind is Any:
        return data
    if kind is Samples:
        return _unpack(data, where)
    if dataclasses.is_dataclass(kind):
        return _dataclass(kind, data, where)
    origin = getattr(kind, "__origin__", None)
    if origin is Union or type(kind) is _PIPED:
        return _union(kind.__args__, data, where)
    if origin is tuple:
        return _tuple(kind.__args__[0], data, where)
    if origin is dict:
        return _mapping(kind.__args__[1], data, where)
    return _scalar(kind, data, where)


def _scalar(kind: Any, data: Any, where: str) -> Any:
    if kind is float and type(data) is int:
        return float(data)
    if type(data) is not kind:
        raise WireError(f"{where}: expected {kind.__name__}, got {type(data).__name__}")
    if kind is str and len(data) > MAX_TEXT:
        raise WireError(f"{where}: text longer than {MAX_TEXT} characters")
    if kind is float and not math.isfinite(data):
        raise WireError(f"{where}: not a finite number")
    if kind is int and not -(1 << 63) <= data < 1 << 63:
        raise WireError(f"{where}: integer out of 64-bit range")
    return data


def _union(kinds: Tuple[Any, ...], data: Any, where: str) -> Any:
    if data is None:
        if type(None) in kinds:
            return None
        raise WireError(f"{where}: must not be null")
    options = [kind for kind in kinds if kind is not type(None)]
    failure = WireError(f"{where}: no accepted type")
    for kind in options:
        try:
            return _value(kind, data, where)
        except WireError as error:
            failure = error
    raise failure


def _tuple(kind: Any, data: Any, where: str) -> Tuple[Any, ...]:
    if not isinstance(data, list):
        raise WireError(f"{where}: expected an array")
    if len(data) > MAX_SAMPLES:
        raise WireError(f"{where}: more than {MAX_SAMPLES} items")
    return tuple(_value(kind, item, f"{where}[{i}]") for i, item in enumerate(data))


def _mapping(kind: Any, data: Any, where: str) -> Dict[str, Any]:
    if not isinstance(data, dict):
        raise WireError(f"{where}: expected an object")
    return {str(key): _value(kind, item, f"{where}.{key}") for key, item in data.items()}


@lru_cache(maxsize=None)
def _hints(cls: Any) -> Dict[str, Any]:
    """The types of a dataclass's fields; finding them takes longer than most values do."""
    return typing.get_type_hints(cls)


def _dataclass(cls: Any, data: Any, where: str) -> Any:
    if not isinstance(data, dict):
        raise WireError(f"{where}: expected an object")
    hints = _hints(cls)
    fields = dataclasses.fields(cls)
    unknown = sorted(set(data) - {field.name for field in fields})
    if unknown:
        raise WireError(f"{where}: unknown key {unknown[0]!r}")
    values: Dict[str, Any] = {}
    missing: List[str] = []
    for field in fields:
        if field.name in data:
            values[field.name] = _value(hints[field.name], data[field.name], f"{where}.{field.name}")
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            missing.append(field.name)
    if missing:
        raise WireError(f"{where}: missing key {missing[0]!r}")
    return cls(**values)
