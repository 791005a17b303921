"""Names of files and addresses, made from names that others gave.

A name keeps what of it is plain, for people, and ends in a digest of all of it, so that two are never the
same and none means anything to a file system or in an address.
"""

from __future__ import annotations

import hashlib
import re
from functools import lru_cache

_RUN = re.compile(r"[0-9]{8}-[0-9]{6}-[0-9a-f]{4,8}")
_SERIES = re.compile(r"[0-9a-f]{32}")
_OTHER = re.compile(r"[^a-z0-9]+")
_LONGEST, _DIGITS = 40, 10
#: So much of a series' id tells it from all others.
_SERIES_DIGITS = 16
#: What every name here is made of.
SLUG = r"[a-z0-9]+(?:-[a-z0-9]+)*"


def slug(text: str) -> str:
    """A name for a file: lower-case letters of ASCII, digits and single hyphens."""
    readable = _OTHER.sub("-", text[: 4 * _LONGEST].lower())[:_LONGEST].strip("-")
    digest = _digest(text)[:_DIGITS]
    return f"{readable}-{digest}" if readable else digest


@lru_cache(maxsize=4096)
def run_slug(run_id: str) -> str:
    """A run's: its id, unless that is not one of ours."""
    return run_id if _RUN.fullmatch(run_id) else slug(run_id)


def series_slug(series_id: str) -> str:
    """A series': the beginning of its id, unless that is not one of ours."""
    return (series_id if _SERIES.fullmatch(series_id) else _digest(series_id))[:_SERIES_DIGITS]


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
