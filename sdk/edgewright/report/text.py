"""Making other people's text fit to be shown.

Device strings, runtime messages and file names end up in terminals, web pages and spreadsheets. Here
they lose what a terminal would obey; each renderer then quotes what its own format would interpret.
"""

from __future__ import annotations

import re
import unicodedata

#: A longer text is cut, and says so; the store keeps it whole.
MAX_CHARACTERS = 4000
_CUT = " … (cut short)"
_ESCAPES = re.compile(
    r"(?:\x1b\]|\x9d)[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)?"  # commands such as window titles
    r"|(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]?"  # colours, cursor movement
    r"|\x1b[ -/]*[0-~]?"
)
#: Characters that reorder their neighbours or break a line unseen.
_INVISIBLE = re.compile("[\u200b\u200e\u200f\u202a-\u202e\u2060\u2066-\u2069\ufeff]")
_SPACES = re.compile(r"\s+")


def clean(text: str, limit: int = MAX_CHARACTERS) -> str:
    """One line without control characters, terminal sequences, bidirectional overrides or lone surrogates."""
    if len(text) <= limit and text.isascii() and text.isprintable() and "  " not in text:
        return text.strip()  # most texts have nothing of all this
    # A text is bounded before the work, not only after it.
    text = _INVISIBLE.sub("", _ESCAPES.sub("", text[: 4 * limit]))
    shown = (
        " " if c.isspace() else "\ufffd" if "\ud800" <= c <= "\udfff" else c for c in text if not _control(c)
    )
    text = _SPACES.sub(" ", "".join(shown)).strip()
    return text if len(text) <= limit else text[: limit - len(_CUT)].rstrip() + _CUT


def _control(character: str) -> bool:
    return unicodedata.category(character) == "Cc" and not character.isspace()


def clean_lines(text: str) -> str:
    """:func:`clean` for each line, indentation kept."""
    lines = []
    for line in text.splitlines():
        indent = len(line) - len(line.lstrip(" "))
        lines.append(" " * min(indent, 80) + clean(line))
    return "\n".join(lines)
