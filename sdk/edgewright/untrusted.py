"""Text and JSON from a device, made harmless before anything else sees them.

A device may be anybody: what it says can hold terminal escapes, bidirectional overrides, lone
surrogates that cannot be printed, or JSON made to exhaust the reader. Cleaning happens once, where
the bytes come in, so that no message, table or report has to remember it.
"""

from __future__ import annotations

import json
from typing import Any

#: Separators and brackets a line of JSON may hold. Long arrays travel packed in one text, so an honest
#: line has few, while a dishonest one could make each byte cost the reader fifty.
MAX_JSON_MARKS = 1 << 20

_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


def clean_text(text: str) -> str:
    """``text`` with every character that is neither printable nor a line break replaced."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c == "\n" else _REPLACEMENT for c in text)


def one_line(text: str, limit: int = 400) -> str:
    """``text`` cleaned, on one line, and cut to ``limit`` characters."""
    line = clean_text(" ".join(text[: limit * 4].split()))
    return line if len(line) <= limit else line[: limit - 1] + "\N{HORIZONTAL ELLIPSIS}"


def read_json(line: str) -> Any:
    """The value of one line of JSON, all its texts cleaned.

    Raises:
        ValueError: it is not JSON, or nested or split up beyond all measure.
    """
    if sum(map(line.count, ",[{")) > MAX_JSON_MARKS:
        raise ValueError("too many values")
    try:
        return _cleaned(json.loads(line))
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _cleaned(value: Any) -> Any:
    if isinstance(value, str):
        return clean_text(value)
    if isinstance(value, list):
        return [_cleaned(item) for item in value]
    if isinstance(value, dict):
        return {clean_text(key): _cleaned(item) for key, item in value.items()}
    return value
