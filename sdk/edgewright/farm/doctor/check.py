"""The vocabulary of a diagnosis."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Status = Literal["ok", "warning", "problem", "not checked"]


@dataclass(frozen=True)
class Check:
    """One thing a run needs: what was found, and what to do about it.

    A run would not work with a ``problem``; with a ``warning`` it would, and its numbers would suffer or it
    would have to wait. What was ``not checked`` says why.
    """

    name: str
    status: Status
    found: str
    mend: str = ""


@dataclass(frozen=True)
class Diagnosis:
    """All that was checked.

    Attributes:
        exit_code: 0 a run would work, 1 there is a problem, 3 the device cannot be reached or refuses.
    """

    checks: tuple[Check, ...]
    exit_code: int


def size(size_bytes: int) -> str:
    """Such as ``1.5 GiB``."""
    power = min(3, max(0, (size_bytes.bit_length() - 1) // 10))
    return f"{size_bytes / 1024**power:.3g} {('bytes', 'KiB', 'MiB', 'GiB')[power]}"


def listed(words: Iterable[str], limit: int = 6) -> str:
    """The first of them, and how many more there are."""
    every = list(words)
    more = f" and {len(every) - limit} more" if len(every) > limit else ""
    return ", ".join(every[:limit]) + more
