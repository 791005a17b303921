from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewright.errors import ProtocolMismatch
from edgewright.transport.streams import Tail, split_lines, write_file


@given(text=st.binary(max_size=300), cuts=st.lists(st.integers(0, 300), max_size=10))
def test_lines_do_not_depend_on_how_the_bytes_come(text: bytes, cuts: list[int]) -> None:
    edges = sorted({0, len(text), *(cut for cut in cuts if cut < len(text))})
    pieces = [text[a:b] for a, b in itertools.pairwise(edges)]
    expected = [part.decode("utf-8", "replace") for part in text.split(b"\n")]
    if expected[-1] == "":
        expected.pop()
    assert list(split_lines(pieces, "board")) == expected


@pytest.mark.parametrize("pieces", [[b"x" * 11], [b"x"] * 11, [b"ok\n" + b"x" * 11 + b"\n"]])
def test_a_line_over_the_bound_is_refused(pieces: list[bytes]) -> None:
    with pytest.raises(ProtocolMismatch, match="longer than 10 bytes"):
        list(split_lines(pieces, "board", 10))


def test_a_line_at_the_bound_is_not() -> None:
    assert list(split_lines([b"x" * 10 + b"\n" + b"y" * 10], "board", 10)) == ["x" * 10, "y" * 10]


@given(pieces=st.lists(st.binary(max_size=3000), max_size=8))
def test_the_tail_is_the_last_bytes(pieces: list[bytes]) -> None:
    tail = Tail()
    for piece in pieces:
        tail.add(piece)
    assert tail.text() == b"".join(pieces)[-4096:].decode("utf-8", "replace")


def test_a_write_that_fails_leaves_what_was_there(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("old")

    def pieces() -> list[bytes]:
        raise ProtocolMismatch("board", "no")

    with pytest.raises(ProtocolMismatch):
        write_file(tmp_path / "file", (piece for _ in range(1) for piece in pieces()))
    assert (tmp_path / "file").read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 1
