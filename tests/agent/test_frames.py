"""Frames of a delivery: what the host makes the agent turns back, and nothing a frame says is believed."""

from __future__ import annotations

import random
import struct
import zlib

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from edgewright_agent.failure import AgentFailure
from edgewright_agent.frames import ReadBase, check_header, packings, unpack
from edgewright_agent.protocol_push import (
    COUNT,
    HEADER,
    LITERAL,
    MAX_PAYLOAD,
    MAX_PLAIN,
    MAX_SEGMENTS,
    PATCH,
    RAW,
    SEGMENT,
    ZLIB,
    ZSTD,
)

BASE_FILE = random.Random(1).randbytes(5000)


def read(offset: int, count: int) -> bytes:
    return BASE_FILE[offset : offset + count]


def patch(*segments: tuple[int, int], residual: bytes = b"") -> bytes:
    table = b"".join(SEGMENT.pack(length, offset) for length, offset in segments)
    return COUNT.pack(len(segments)) + table + residual


def test_each_packing_is_undone() -> None:
    content = b"weights " * 1000
    assert unpack(RAW, len(content), content, None) == content
    assert unpack(ZLIB, len(content), zlib.compress(content, 1), None) == content
    assert unpack(ZSTD, len(content), zstandard.compress(content), None) == content
    assert packings() == ("zlib", "zstd")


def test_without_the_library_zstd_is_not_offered_and_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgewright_agent.frames._libraries", {"zstd": None})
    assert packings() == ("zlib",)
    with pytest.raises(AgentFailure, match="kind 2"):
        unpack(ZSTD, 3, zstandard.compress(b"abc"), None)


def test_a_patch_takes_from_the_base_and_from_its_residual() -> None:
    changed = bytes(a ^ b for a, b in zip(BASE_FILE[100:110], b"\1" * 10, strict=True))
    content = patch((50, 7), (4, LITERAL), (10, 100), residual=bytes(50) + b"abcd" + b"\1" * 10)
    assert unpack(PATCH | RAW, 64, content, read) == BASE_FILE[7:57] + b"abcd" + changed
    packed = zlib.compress(content)
    assert unpack(PATCH | ZLIB, 64, packed, read) == BASE_FILE[7:57] + b"abcd" + changed


@pytest.mark.parametrize(
    ("kind", "plain", "payload"),
    [
        (RAW, 4, b"abc"),
        (RAW, 2, b"abc"),
        (ZLIB, 3, b"abc"),
        (ZLIB, 3, zlib.compress(b"abcd")),
        (ZLIB, 3, zlib.compress(b"abc") + b"more"),
        (ZLIB, 3, zlib.compress(b"abc")[:-1]),
        (ZLIB, 10, zlib.compress(bytes(1 << 24))),
        (ZSTD, 3, b"abc"),
        (ZSTD, 3, zstandard.compress(b"abcd")),
        (ZSTD, 10, zstandard.compress(bytes(1 << 24))),
        (7, 3, b"abc"),
        (255, 3, b"abc"),
        (PATCH | RAW, 3, b""),
        (PATCH | RAW, 3, b"\0"),
        (PATCH | RAW, 3, b"\xff\xff" + b"abc"),
        (PATCH | RAW, 3, patch((3, 4998), residual=bytes(3))),
        (PATCH | RAW, 3, patch((3, -2), residual=bytes(3))),
        (PATCH | RAW, 3, patch((3, 1 << 62), residual=bytes(3))),
        (PATCH | RAW, 3, patch((4, 0), residual=bytes(3))),
        (PATCH | RAW, 3, patch((2, 0), residual=bytes(3))),
        (PATCH | RAW, 3, patch((0xFFFFFFFF, 0), residual=bytes(3))),
        (PATCH | RAW, 4, patch((3, 0), residual=bytes(3))),
        (PATCH | RAW, 0, COUNT.pack(MAX_SEGMENTS + 1) + SEGMENT.pack(0, 0) * (MAX_SEGMENTS + 1)),
    ],
)
def test_a_frame_that_cannot_be_is_refused(kind: int, plain: int, payload: bytes) -> None:
    with pytest.raises(AgentFailure, match="a frame that cannot be"):
        unpack(kind, plain, payload, read)


def test_a_patch_needs_a_base() -> None:
    with pytest.raises(AgentFailure, match="before that is named"):
        unpack(PATCH | RAW, 3, patch((3, 0), residual=bytes(3)), None)


@pytest.mark.parametrize(
    ("plain", "payload", "left"), [(MAX_PLAIN + 1, 1, 1 << 30), (10, 1, 9), (1, MAX_PAYLOAD + 1, 1 << 30)]
)
def test_a_header_is_bounded(plain: int, payload: int, left: int) -> None:
    with pytest.raises(AgentFailure, match="a frame that cannot be"):
        check_header(RAW, plain, payload, left)
    check_header(RAW, MAX_PLAIN, MAX_PAYLOAD, MAX_PLAIN)


@given(
    kind=st.integers(0, 255),
    plain=st.integers(0, 2000),
    payload=st.binary(max_size=300)
    | st.binary(max_size=300).map(zlib.compress)
    | st.lists(st.tuples(st.integers(0, 400), st.integers(-3, 6000)), max_size=6).flatmap(
        lambda segments: st.binary(max_size=900).map(lambda residual: patch(*segments, residual=residual))
    ),
    base=st.sampled_from([None, read]),
)
def test_any_frame_gives_what_it_announced_or_is_refused(
    kind: int, plain: int, payload: bytes, base: ReadBase | None
) -> None:
    try:
        content = unpack(kind, plain, payload, base)
    except AgentFailure as failure:
        assert failure.error.code == "protocol"
    else:
        assert len(content) == plain


@given(st.lists(st.tuples(st.integers(0, 300), st.integers(-1, 4700)), max_size=12), st.randoms())
def test_a_true_patch_is_the_file_again(cuts: list[tuple[int, int]], rng: random.Random) -> None:
    target, residual, segments = b"", b"", []
    for length, offset in cuts:
        part = rng.randbytes(length)
        target += part
        segments.append((length, offset))
        if offset == LITERAL:
            residual += part
        else:
            residual += bytes(a ^ b for a, b in zip(part, read(offset, length), strict=True))
    assert unpack(PATCH | RAW, len(target), patch(*segments, residual=residual), read) == target


def test_the_header_is_as_long_on_every_machine() -> None:
    assert (HEADER.size, COUNT.size, SEGMENT.size, struct.calcsize(">q")) == (9, 2, 12, 8)
