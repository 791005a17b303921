"""Files with few different weights, entropy coded: how they are told apart from others, and decoded
bit-exactly.

A coded file is a magic number, the length of a JSON header, the header, and the payload of each part in
turn. A part is ``raw`` (deflated) or ``codes``: values of a codebook, their indices coded by an asymmetric
numeral system with 16-bit words (Duda, 2013, arXiv 1311.2540) in many lanes that advance together, so that
numpy decodes them a lane a step. What comes out is written part by part, and is right when its SHA-256 is
that of the header.

Everything is bounded before it is believed: the header, the sizes, the codebooks, and what a lane may read.
"""

import hashlib
import json
import os
import struct
import zlib
from typing import Any, BinaryIO, Iterator, List

import numpy as np

from .codec import decode
from .failure import AgentFailure
from .protocol_coded import LOWEST, MAGIC, PRECISION, Header, Part

_HEADER = struct.Struct("<8sI")
_MAX_HEADER_BYTES = 16 << 20
_MAX_FILE_BYTES = 1 << 36
_MAX_VALUES = 1 << 12
_MAX_LANES = 1 << 16
_PIECE_BYTES = 1 << 20


def decode_file(source: str, target: str, sha256: str = "") -> None:
    """Write the decoded file of ``source`` to ``target``, whole or not at all.

    Args:
        sha256: what it must decode to; without one, what its header says.

    Raises:
        AgentFailure: ``protocol`` when it is no coded file, or does not give what it says.
    """
    temporary = target + ".part"
    try:
        with open(source, "rb") as stream, open(temporary, "wb") as sink:
            header = read_header(stream)
            if sha256 and header.sha256 != sha256:
                raise _damaged("it is of another file")
            digest = hashlib.sha256()
            for part in header.parts:
                payload = _exactly(stream, part.coded_bytes)
                for piece in _raw(payload, part) if not part.item_bytes else _codes(payload, part):
                    digest.update(piece)
                    sink.write(piece)
            if stream.read(1) or digest.hexdigest() != header.sha256:
                raise _damaged("it does not decode to the file it was made of")
            sink.flush()
            os.fsync(sink.fileno())
        os.replace(temporary, target)
    finally:
        if os.path.exists(temporary):
            os.unlink(temporary)


def read_header(stream: BinaryIO) -> Header:
    """The header, checked.

    Raises:
        AgentFailure: ``protocol``.
    """
    start = stream.read(_HEADER.size)
    if len(start) != _HEADER.size or start[:8] != MAGIC:
        raise _damaged("it is no coded file")
    length = _HEADER.unpack(start)[1]
    if length > _MAX_HEADER_BYTES:
        raise _damaged(f"its header has {length} bytes")
    try:
        header = decode(Header, json.loads(_exactly(stream, length).decode("utf-8")), "header")
    except ValueError as error:
        raise _damaged(f"its header is not valid: {error}") from None
    for number, part in enumerate(header.parts):
        if not _is_sound(part):
            raise _damaged(f"part {number} is not valid")
    if (
        sum(part.size_bytes for part in header.parts) != header.size_bytes
        or header.size_bytes > _MAX_FILE_BYTES
    ):
        raise _damaged("its parts do not add up")
    return header


def _is_sound(part: Part) -> bool:
    if part.size_bytes < 0 or part.coded_bytes < 0:
        return False
    if part.item_bytes == 0:
        return not part.frequencies and part.lanes == 0
    return (
        part.item_bytes in (1, 2, 4, 8)
        and part.size_bytes % part.item_bytes == 0
        and 0 < part.lanes <= _MAX_LANES
        and 0 < len(part.frequencies) <= _MAX_VALUES
        and min(part.frequencies) > 0
        and sum(part.frequencies) == 1 << PRECISION
        and part.coded_bytes >= len(part.frequencies) * part.item_bytes + 4 * part.lanes
    )


def _raw(payload: bytes, part: Part) -> Iterator[bytes]:
    """Inflate, never more than was announced."""
    inflater = zlib.decompressobj()
    left = part.size_bytes
    rest = payload
    try:
        while left:
            piece = inflater.decompress(rest, min(left, _PIECE_BYTES))
            rest = inflater.unconsumed_tail
            if not piece:
                raise _damaged("a raw part ends too early")
            left -= len(piece)
            yield piece
        if inflater.decompress(rest, 1) or not inflater.eof:
            raise _damaged("a raw part goes on")
    except zlib.error as error:
        raise _damaged(f"a raw part does not inflate: {error}") from None


def _codes(payload: bytes, part: Part) -> Iterator[bytes]:
    """Look the decoded indices up in the codebook."""
    count = len(part.frequencies)
    book = np.frombuffer(payload, f"V{part.item_bytes}", count)
    at = count * part.item_bytes
    states = np.frombuffer(payload, "<u4", part.lanes, at).astype(np.uint64)
    words = np.frombuffer(payload, "<u2", offset=at + 4 * part.lanes).astype(np.uint64)
    frequency = np.asarray(part.frequencies, np.uint64)
    first = np.cumsum(frequency) - frequency
    symbols = np.repeat(np.arange(count), part.frequencies)
    left, position = part.size_bytes // part.item_bytes, 0
    mask = np.uint64((1 << PRECISION) - 1)
    steps: List[Any] = []
    while left > 0:
        slots = states & mask
        found = symbols[slots]
        states = frequency[found] * (states >> np.uint64(PRECISION)) + slots - first[found]
        low = np.flatnonzero(states < LOWEST)
        if position + len(low) > len(words):
            raise _damaged("a lane reads beyond the end")
        states[low] = (states[low] << np.uint64(16)) | words[position : position + len(low)]
        position += len(low)
        steps.append(book[found[: min(left, part.lanes)]].tobytes())
        left -= part.lanes
        if len(steps) >= 256 or left <= 0:
            yield b"".join(steps)
            steps = []
    if position != len(words) or (states != LOWEST).any():
        raise _damaged("the lanes do not end where they began")


def _exactly(stream: BinaryIO, size: int) -> bytes:
    found = stream.read(size)
    if len(found) != size:
        raise _damaged("it ends too early")
    return found


def _damaged(what: str) -> AgentFailure:
    return AgentFailure("protocol", f"the coded model file cannot be decoded: {what}", "push it again")
