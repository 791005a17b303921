"""How much of a device's disk models and data may take."""

from __future__ import annotations

import re
from collections.abc import Callable

from edgewright.errors import ConfigError

_SIZE = re.compile(r"([0-9]{1,6}(?:\.[0-9]{1,6})?) ?(kB|MB|GB|TB)")
_UNITS = {"kB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_SMALLEST_BYTES = 10**6


def store_limit_bytes(text: str | None, wrong: Callable[[str, str, str], ConfigError]) -> int:
    """In bytes; 0 when there is none.

    Args:
        text: as the farm file has it.
        wrong: makes the error, of the key, what is wrong and the mend.

    Raises:
        ConfigError: it is no size, or too small to be of use.
    """
    if text is None:
        return 0
    match = _SIZE.fullmatch(text)
    size = int(float(match[1]) * _UNITS[match[2]]) if match else 0
    if size < _SMALLEST_BYTES:
        raise wrong("store_limit", f"not a size of 1MB or more: {text!r}", 'write "2GB" or "500MB"')
    return size
