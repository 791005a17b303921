"""The exit code of a comparison, from its answers."""

from __future__ import annotations

from collections.abc import Sequence

from edgewright.report.decision import Answer

SAME_OR_FASTER, SLOWER, CANNOT_TELL = 0, 1, 4


def answer_code(answers: Sequence[Answer]) -> int:
    """1 when any is slower, else 4 when any cannot be told or there is none, else 0."""
    if "slower" in answers:
        return SLOWER
    return CANNOT_TELL if "cannot tell" in answers or not answers else SAME_OR_FASTER
