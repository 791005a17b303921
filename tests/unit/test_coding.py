"""Coded files decode to the very bytes, are near the entropy, and are refused when they are wrong."""

from __future__ import annotations

import io
import json
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgewright.compress.coding import encode_file
from edgewright.workload import Array
from edgewright_agent.failure import AgentFailure
from edgewright_agent.protocol_coded import MAGIC
from edgewright_agent.unpack_coded import decode_file, read_header


def file_of(path: Path, *tensors: Array) -> Path:
    path.write_bytes(b"head" * 50 + b"between".join(tensor.tobytes() for tensor in tensors) + b"tail")
    return path


def there_and_back(folder: Path, *tensors: Array) -> int:
    """Bytes of the coded file, after it was found to decode to the source."""
    source = file_of(folder / "source", *tensors)
    encode_file(source, tensors, folder / "coded")
    decode_file(str(folder / "coded"), str(folder / "decoded"))
    assert (folder / "decoded").read_bytes() == source.read_bytes()
    return (folder / "coded").stat().st_size


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    values=st.integers(1, 300),
    size=st.integers(1, 20_000),
    kind=st.sampled_from(["float32", "int8", "float64", "float16"]),
    seed=st.integers(0, 1000),
    skew=st.floats(0.1, 30.0),
)
def test_the_very_bytes_come_back(
    values: int, size: int, kind: str, seed: int, skew: float, tmp_path: Path
) -> None:
    drawn = np.random.default_rng(seed)
    weights = drawn.random(values) ** skew + 1e-9
    book = drawn.normal(size=values) * 50
    tensor = drawn.choice(book, size=size, p=weights / weights.sum()).astype(kind)
    there_and_back(tmp_path, tensor, tensor[: size // 2].copy())


def test_it_is_near_the_entropy(tmp_path: Path) -> None:
    drawn = np.random.default_rng(0)
    shares = np.array([0.9] + [0.1 / 31] * 31)
    tensor = drawn.choice(np.arange(32) / 7, size=1_000_000, p=shares).astype("float32")
    bits = 8 * there_and_back(tmp_path, tensor) / tensor.size
    entropy = -float((shares * np.log2(shares)).sum())
    assert entropy < bits < 1.03 * entropy + 0.01


def test_what_has_many_values_is_deflated(tmp_path: Path) -> None:
    tensor = np.random.default_rng(0).normal(size=5000).astype("float32")
    assert there_and_back(tmp_path, tensor) < tensor.nbytes * 1.05


@pytest.fixture
def coded(tmp_path: Path) -> bytes:
    tensor = np.random.default_rng(0).choice([0.0, 0.5, 1.0], size=20_000).astype("float32")
    there_and_back(tmp_path, tensor)
    return (tmp_path / "coded").read_bytes()


def refused(content: bytes, folder: Path, words: str) -> None:
    (folder / "bad").write_bytes(content)
    with pytest.raises(AgentFailure, match=words):
        decode_file(str(folder / "bad"), str(folder / "out"))
    assert not (folder / "out").exists() and not (folder / "out.part").exists()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "no coded file"),
        (b"EWCODED1", "no coded file"),
        (b"EWCODED2" + b"\0" * 100, "no coded file"),
        (MAGIC + struct.pack("<I", 1 << 31), "its header has 2147483648 bytes"),
        (MAGIC + struct.pack("<I", 50) + b"{}", "ends too early"),
        (MAGIC + struct.pack("<I", 2) + b"{}", "header is not valid"),
        (MAGIC + struct.pack("<I", 2) + b"\xff\xff", "header is not valid"),
    ],
)
def test_what_is_no_coded_file_is_refused(content: bytes, words: str, tmp_path: Path) -> None:
    refused(content, tmp_path, words)


def changed(coded: bytes, **changes: object) -> bytes:
    """The coded file with its part of codes changed."""
    length = struct.unpack("<I", coded[8:12])[0]
    header = json.loads(coded[12 : 12 + length])
    part = next(part for part in header["parts"] if part["item_bytes"])
    part.update(changes)
    text = json.dumps(header).encode()
    return MAGIC + struct.pack("<I", len(text)) + text + coded[12 + length :]


@pytest.mark.parametrize(
    "changes",
    [
        {"lanes": 0}, {"lanes": 1 << 20}, {"item_bytes": 3}, {"item_bytes": -4}, {"frequencies": []},
        {"frequencies": [1 << 14, 0, 0]}, {"frequencies": [1 << 13, 1 << 13, -1]}, {"size_bytes": -4},
        {"size_bytes": 80_001}, {"coded_bytes": 3},
    ],
    ids=str,
)  # fmt: skip
def test_a_part_that_makes_no_sense_is_refused(
    changes: dict[str, object], coded: bytes, tmp_path: Path
) -> None:
    refused(changed(coded, **changes), tmp_path, "not valid|add up")


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(at=st.integers(0, 1 << 30), flip=st.integers(1, 255))
def test_a_changed_byte_is_noticed(at: int, flip: int, coded: bytes, tmp_path: Path) -> None:
    damaged = bytearray(coded)
    damaged[at % len(coded)] ^= flip
    (tmp_path / "bad").write_bytes(damaged)
    try:
        decode_file(str(tmp_path / "bad"), str(tmp_path / "out"))
    except AgentFailure:
        assert not (tmp_path / "out").exists()
    else:  # a byte that says nothing, such as the case of a letter in the header's numbers
        assert (tmp_path / "out").read_bytes() == (tmp_path / "source").read_bytes()


def test_it_may_not_go_on(coded: bytes, tmp_path: Path) -> None:
    refused(coded + b"x", tmp_path, "does not decode to the file")
    refused(coded[:-2], tmp_path, "ends too early")


def test_the_header_is_read_alone(coded: bytes) -> None:
    assert read_header(io.BytesIO(coded)).size_bytes == 4 * 50 + 80_000 + 4
