"""A file as another with changes: small where they have much in common, and always exact."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from edgewright.device.likeness import Anchors, Content, find_likeness
from edgewright_agent.frames import reader, unpack
from edgewright_agent.protocol_push import PATCH, RAW

PIECE = 1 << 16
RNG = np.random.default_rng(5)
WEIGHTS = RNG.standard_normal((2000, 144)).astype(np.float32)


def sent_bytes(folder: Path, base: bytes, target: bytes) -> int | None:
    """What the target costs, made from the base; None when nothing was found. Checks that it is exact."""
    (folder / "base").write_bytes(base)
    (folder / "target").write_bytes(target)
    handle = os.open(folder / "base", os.O_RDONLY)
    try:
        with Content(folder / "base") as one, Content(folder / "target") as other:
            likeness = find_likeness(other, Anchors.of(other), one)
            if likeness is None:
                return None
            sent = 0
            for at in range(0, len(target), PIECE):
                piece = target[at : at + PIECE]
                patch = likeness.patch(at, piece)
                if patch is None:
                    sent += len(piece)
                    continue
                assert unpack(PATCH | RAW, len(piece), patch, reader(handle)) == piece
                sent += len(zstandard.compress(patch))
            return sent
    finally:
        os.close(handle)


def regions_changed(share: float) -> bytes:
    content = bytearray(WEIGHTS.tobytes())
    count = 20
    for at in np.linspace(0, len(content) * 0.9, count).astype(int):
        length = int(len(content) * share / count)
        content[at : at + length] = RNG.bytes(length)
    return bytes(content)


def weights_changed(share: float) -> bytes:
    changed = WEIGHTS.copy()
    changed[RNG.random(changed.shape) < share] = 0
    return changed.tobytes()


def int8_changed(share: float) -> tuple[bytes, bytes]:
    one = RNG.integers(-127, 127, 1 << 20, dtype=np.int8)
    other = one.copy()
    other[RNG.random(len(one)) < share] += 1
    return one.tobytes(), other.tobytes()


BASE = WEIGHTS.tobytes()


@pytest.mark.parametrize(
    ("base", "target", "most"),
    [
        pytest.param(BASE, BASE, 0.01, id="the same"),
        pytest.param(BASE, regions_changed(0.05), 0.07, id="regions replaced"),
        pytest.param(BASE, b"a longer header" + regions_changed(0.05), 0.07, id="moved as well"),
        pytest.param(BASE, weights_changed(0.05), 0.12, id="single weights zeroed"),
        pytest.param(BASE, WEIGHTS[RNG.random(2000) < 0.7].tobytes(), 0.10, id="rows taken out"),
        pytest.param(BASE, WEIGHTS[1000:].tobytes() + WEIGHTS[:1000].tobytes(), 0.01, id="halves exchanged"),
        pytest.param(BASE, BASE[: len(BASE) // 2], 0.01, id="cut short"),
        pytest.param(BASE[: len(BASE) // 2], BASE, 0.60, id="grown"),
        pytest.param(*int8_changed(0.02), 0.10, id="requantized a little"),
    ],
)
def test_what_is_alike_costs_little(tmp_path: Path, base: bytes, target: bytes, most: float) -> None:
    sent = sent_bytes(tmp_path, base, target)
    assert sent is not None
    assert sent <= most * len(target)


@pytest.mark.parametrize(
    ("base", "target"),
    [
        (BASE, RNG.bytes(1 << 20)),
        (BASE, bytes(1 << 20)),
        (bytes(1 << 20), bytes(1 << 20)),
        (b"", BASE),
        (BASE, b""),
        (b"short", b"short"),
    ],
)
def test_what_has_nothing_in_common_is_not_like_it(tmp_path: Path, base: bytes, target: bytes) -> None:
    assert sent_bytes(tmp_path, base, target) is None


@given(st.data())
@settings(max_examples=40, deadline=None)
def test_any_pasting_together_is_exact(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    base = BASE[: 1 << 17]
    parts = data.draw(
        st.lists(
            st.tuples(st.integers(0, len(base)), st.integers(0, 1 << 15)).map(
                lambda cut: base[cut[0] : cut[0] + cut[1]]
            )
            | st.binary(max_size=2000)
            | st.integers(0, 4000).map(bytes),
            max_size=12,
        )
    )
    sent_bytes(tmp_path_factory.mktemp("files"), base, b"".join(parts))


def test_a_file_cut_short_meanwhile_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(bytes(100))
    with Content(tmp_path / "file") as content:
        (tmp_path / "file").write_bytes(bytes(50))
        with pytest.raises(OSError, match="changed"):
            content.read(0, 100)
