from __future__ import annotations

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewright.untrusted import MAX_JSON_MARKS, clean_text, one_line, read_json

BAD = "a\x1b[31mred\x1b]0;title\x07\u202eb\ud800c\u2028d\x00"


@given(text=st.text(st.characters(codec=None)))
def test_clean_text_can_be_printed(text: str) -> None:
    cleaned = clean_text(text)
    cleaned.encode("utf-8")
    assert all(c.isprintable() or c == "\n" for c in cleaned)
    assert len(cleaned) == len(text)


@given(text=st.text(st.characters(codec=None)), limit=st.integers(1, 50))
def test_one_line_is_one_short_line(text: str, limit: int) -> None:
    line = one_line(text, limit)
    assert line.isprintable()
    assert len(line) <= limit


def test_harmless_text_stays() -> None:
    assert clean_text("Größe 48 °C, 日本") == "Größe 48 °C, 日本"
    assert one_line("  two\n lines\t") == "two lines"


def test_every_text_of_a_value_is_cleaned() -> None:
    value = read_json(json.dumps({BAD: [BAD, {"k": BAD}], "n": 1.5, "t": True, "z": None}))
    assert value == {
        clean_text(BAD): [clean_text(BAD), {"k": clean_text(BAD)}],
        "n": 1.5,
        "t": True,
        "z": None,
    }


@pytest.mark.parametrize(
    "line",
    [
        "",
        "not json",
        "{",
        "[" * 200_000,
        "[" * (MAX_JSON_MARKS + 1),
        "[" + "[],{}," * MAX_JSON_MARKS + "0]",
        "1" * 100_000,
        '{"a":1}{"b":2}',
    ],
)
def test_what_is_not_decent_json_is_a_value_error_at_once(line: str) -> None:
    started = time.monotonic()
    with pytest.raises(ValueError):
        read_json(line)
    assert time.monotonic() - started < 2
