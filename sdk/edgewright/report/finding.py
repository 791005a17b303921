"""The vocabulary of verdicts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Status = Literal[
    "valid", "emulated", "fell back", "undervolted", "throttled", "too short", "perturbed", "noisy"
]
#: Worst first: a row with several findings gets the first of these.
SEVERITY: tuple[Status, ...] = (
    "emulated",
    "fell back",
    "undervolted",
    "throttled",
    "too short",
    "perturbed",
    "noisy",
)


@dataclass(frozen=True)
class Finding:
    """One sentence of evidence, and the status it argues for; None when it only informs."""

    status: Status | None
    sentence: str
