"""Frames of a delivery turned back into the bytes of a file; nothing in them is believed."""

import ctypes
import os
import zlib
from typing import Callable, Dict, Optional, Tuple, Union

from .failure import AgentFailure
from .protocol_push import (
    COUNT,
    LITERAL,
    MAX_PAYLOAD,
    MAX_PLAIN,
    MAX_SEGMENTS,
    MAX_TABLE,
    PATCH,
    RAW,
    SEGMENT,
    ZLIB,
    ZSTD,
)

Piece = Union[bytes, memoryview]

#: Reads so many bytes of the base from an offset on; fewer at its end.
ReadBase = Callable[[int, int], bytes]


def check_header(kind: int, plain_bytes: int, payload_bytes: int, left_bytes: int) -> None:
    """Refuse a frame that is larger than frames are, or gives more than is due."""
    if plain_bytes > min(MAX_PLAIN, left_bytes) or payload_bytes > MAX_PAYLOAD:
        raise _wrong(f"one of {plain_bytes} bytes in {payload_bytes} where {left_bytes} are due")


def unpack(kind: int, plain_bytes: int, payload: Piece, base: Optional[ReadBase]) -> Piece:
    """The bytes that a frame gives, exactly ``plain_bytes``.

    Raises:
        AgentFailure: ``protocol`` when it is not what its header says.
    """
    if not kind & PATCH:
        return _exactly(_unpacked(kind, payload, plain_bytes), plain_bytes)
    if base is None:
        raise _wrong("one that refers to another file before that is named")
    return _patched(_unpacked(kind & ~PATCH, payload, plain_bytes + MAX_TABLE), plain_bytes, base)


def packings() -> Tuple[str, ...]:
    """What this device can unpack."""
    return ("zlib", "zstd") if _zstd() else ("zlib",)


def reader(handle: int) -> ReadBase:
    """Of an open file."""
    return lambda offset, count: os.pread(handle, count, offset)


def _patched(content: Piece, plain_bytes: int, base: ReadBase) -> Piece:
    if len(content) < COUNT.size:
        raise _wrong("a patch without a table")
    (count,) = COUNT.unpack_from(content)
    at = COUNT.size + count * SEGMENT.size
    if count > MAX_SEGMENTS or len(content) != at + plain_bytes:
        raise _wrong(f"a patch of {count} segments that does not add up")
    parts = []
    for length, offset in SEGMENT.iter_unpack(content[COUNT.size : at]):
        residual = bytes(content[at : at + length])
        if len(residual) != length:
            raise _wrong("a patch whose segments are longer than it")
        parts.append(residual if offset == LITERAL else _exclusive_or(residual, offset, base))
        at += length
    return _exactly(b"".join(parts), plain_bytes)


def _exclusive_or(residual: bytes, offset: int, base: ReadBase) -> bytes:
    if offset < 0:
        raise _wrong(f"a segment at {offset}")
    length = len(residual)
    found = base(offset, length)
    if len(found) != length:
        raise _wrong(f"a segment behind the end of the other file, at {offset}")
    if residual.count(0) == length:
        return found
    changed = int.from_bytes(found, "little") ^ int.from_bytes(residual, "little")
    return changed.to_bytes(length, "little")


def _unpacked(kind: int, payload: Piece, bound: int) -> Piece:
    """At most ``bound`` bytes: a small frame does not expand without end."""
    if kind == RAW:
        return payload
    if kind == ZLIB:
        try:
            inflater = zlib.decompressobj()
            content = inflater.decompress(payload, bound + 1)
        except zlib.error as error:
            raise _wrong(f"one that zlib refuses: {error}") from None
        if not inflater.eof or inflater.unused_data:
            raise _wrong("one that does not end where zlib does")
        return content
    library = _zstd() if kind == ZSTD else None
    if library is None:
        raise _wrong(f"one of kind {kind}")
    into = ctypes.create_string_buffer(bound)
    size = library.ZSTD_decompress(into, bound, bytes(payload), len(payload))
    if library.ZSTD_isError(size):
        raise _wrong("one that zstd refuses")
    return into.raw[:size]


_libraries: Dict[str, Optional[ctypes.CDLL]] = {}


def _zstd() -> Optional[ctypes.CDLL]:
    """The system's library, which most devices have for their package manager; Python has it from 3.14 on."""
    if "zstd" not in _libraries:
        try:
            library = ctypes.CDLL("libzstd.so.1")
            library.ZSTD_decompress.restype = ctypes.c_size_t
            library.ZSTD_decompress.argtypes = [
                ctypes.c_char_p,
                ctypes.c_size_t,
                ctypes.c_char_p,
                ctypes.c_size_t,
            ]
            library.ZSTD_isError.restype = ctypes.c_uint
            library.ZSTD_isError.argtypes = [ctypes.c_size_t]
            _libraries["zstd"] = library
        except (OSError, AttributeError):
            _libraries["zstd"] = None
    return _libraries["zstd"]


def _exactly(content: Piece, size: int) -> Piece:
    if len(content) != size:
        raise _wrong(f"one of {len(content)} bytes that announced {size}")
    return content


def _wrong(what: str) -> AgentFailure:
    return AgentFailure("protocol", f"the host sent a frame that cannot be: {what}", "push it again")
