"""Entropy coding of files whose tensors hold few different values; the agent's :mod:`unpack_coded` is the
other half.

Each tensor's bytes are found in the file and become a codebook with coded indices where that is smaller;
all else is deflated. The coder is the same asymmetric numeral system run backwards, so that decoding runs
forwards.
"""

from __future__ import annotations

import hashlib
import json
import struct
import zlib
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgewright.files import write_atomic
from edgewright.workload import Array
from edgewright_agent.protocol_coded import LOWEST, MAGIC, PRECISION, Header, Part

#: Tensors with more values, or fewer items, are deflated with the rest.
_MOST_VALUES = 1 << 12
_FEWEST_ITEMS = 256
_MOST_LANES = 8192
#: A lane costs its state of four bytes, so it holds so many items at least.
_ITEMS_A_LANE = 1024
_TOTAL = 1 << PRECISION

Codes = npt.NDArray[np.int64]


def encode_file(source: Path, tensors: Iterable[Array], target: Path) -> None:
    """Write ``source`` coded.

    Args:
        tensors: those whose bytes are in the file, in their order there; one that is not found is passed
            over.
    """
    content = source.read_bytes()
    parts: list[Part] = []
    payloads: list[bytes] = []
    at = 0
    for tensor in tensors:
        raw = tensor.tobytes()
        begin = content.find(raw, at) if tensor.size >= _FEWEST_ITEMS else -1
        if begin < 0:
            continue
        coded = _coded(tensor)
        if coded is None or len(coded[1]) >= len(zlib.compress(raw, 9)):
            continue
        if begin > at:
            _add_raw(content[at:begin], parts, payloads)
        parts.append(coded[0])
        payloads.append(coded[1])
        at = begin + len(raw)
    if at < len(content):
        _add_raw(content[at:], parts, payloads)
    header = Header(hashlib.sha256(content).hexdigest(), len(content), tuple(parts))
    text = json.dumps(asdict(header), separators=(",", ":")).encode()
    write_atomic(target, struct.pack("<8sI", MAGIC, len(text)) + text + b"".join(payloads))


def _add_raw(raw: bytes, parts: list[Part], payloads: list[bytes]) -> None:
    deflated = zlib.compress(raw, 9)
    parts.append(Part(len(raw), len(deflated)))
    payloads.append(deflated)


def _coded(tensor: Array) -> tuple[Part, bytes] | None:
    """The part for a tensor's bytes, None when it has too many values."""
    items = tensor.reshape(-1).view(f"u{tensor.itemsize}")
    book, codes = np.unique(items, return_inverse=True)
    if len(book) > _MOST_VALUES:
        return None
    frequencies = _frequencies(np.bincount(codes))
    lanes = int(min(_MOST_LANES, max(1, len(codes) // _ITEMS_A_LANE)))
    states, words = _encode(codes.astype(np.int64), frequencies, lanes)
    payload = book.tobytes() + states.astype("<u4").tobytes() + words.astype("<u2").tobytes()
    part = Part(tensor.nbytes, len(payload), tensor.itemsize, lanes, tuple(int(f) for f in frequencies))
    return part, payload


def _frequencies(counts: npt.NDArray[Any]) -> Codes:
    """Counts scaled so that they add up to the total and none is nothing; the largest takes the rest."""
    scaled: Codes = np.maximum(1, np.floor(counts / counts.sum() * _TOTAL)).astype(np.int64)
    while (rest := _TOTAL - int(scaled.sum())) != 0:
        largest = int(scaled.argmax())
        scaled[largest] += max(rest, 1 - int(scaled[largest]))
    return scaled


def _encode(
    codes: Codes, frequencies: Codes, lanes: int
) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64]]:
    """The states and words from which a decoder reads ``codes``, one a lane in each step."""
    steps = -(-len(codes) // lanes)
    padded = np.full(steps * lanes, int(frequencies.argmax()), np.int64)
    padded[: len(codes)] = codes
    rows = padded.reshape(steps, lanes)
    frequency = frequencies.astype(np.uint64)
    first = (np.cumsum(frequencies) - frequencies).astype(np.uint64)
    states = np.full(lanes, LOWEST, np.uint64)
    words: list[npt.NDArray[np.uint64]] = []
    shift, precision = np.uint64(32 - PRECISION), np.uint64(PRECISION)
    for row in rows[::-1]:
        of = frequency[row]
        full = np.flatnonzero(states >= of << shift)
        words.append(states[full] & np.uint64(0xFFFF))
        states[full] >>= np.uint64(16)
        states = ((states // of) << precision) + states % of + first[row]
    return states, np.concatenate(words[::-1])
