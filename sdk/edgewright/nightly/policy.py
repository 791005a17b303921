"""What a farm puts up with, and for how long."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Policy:
    """Bounds of patience; all times are in seconds.

    Attributes:
        attempts: how often a cell is tried at most that fails with what may pass.
        backoff_s: the pauses before the second try and those after; the last one for all others.
        quarantine_after: a device is set aside when so many cells in a row fail for its sake.
        check_s, most_check_s: the pause before the second health check of a quarantine; each is twice as long
            as the one before, up to the most.
        return_s: how long a device that is set aside is waited for; longer while others still work.
        look_s: how often to look whether a device that another farm has is free.
    """

    attempts: int = 3
    backoff_s: tuple[float, ...] = (10.0, 60.0)
    quarantine_after: int = 3
    check_s: float = 15.0
    most_check_s: float = 300.0
    return_s: float = 900.0
    look_s: float = 5.0

    def backoff(self, attempt: int) -> float:
        """How long to wait after that attempt, the first of which is 1."""
        return self.backoff_s[min(attempt, len(self.backoff_s)) - 1]
