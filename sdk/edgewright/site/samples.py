"""Raw samples of one row as CSV: numbers and nothing else, so that no spreadsheet finds a formula in it."""

from __future__ import annotations

from collections.abc import Iterator

from edgewright.row import Measured, Row

_HEAD = "attempt,launch,phase,number,latency_ns\n"


def samples_csv(row: Row) -> str | None:
    """Every timed inference in order; None for a row that was not measured.

    ``attempt`` counts the measurements of the row, of which the last one counts; ``phase`` is first, warmup
    or steady; ``number`` counts the inferences of a phase in a launch. All count from 1.
    """
    if not isinstance(row.outcome, Measured):
        return None
    attempts = [*row.earlier, row.outcome]
    lines = (line for number, attempt in enumerate(attempts, start=1) for line in _lines(number, attempt))
    return _HEAD + "".join(lines)


def _lines(attempt: int, measured: Measured) -> Iterator[str]:
    for launch, result in enumerate(measured.launches, start=1):
        timing = result.timing
        if timing is None:
            continue
        phases = (("first", (timing.first_ns,)), ("warmup", timing.warmup_ns), ("steady", timing.latency_ns))
        for phase, samples in phases:
            for number, sample in enumerate(samples, start=1):
                yield f"{attempt},{launch},{phase},{number},{sample}\n"
