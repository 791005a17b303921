"""Raw samples of one row as CSV: numbers and nothing else, so that no spreadsheet finds a formula in it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

from edgewright.row import Measured, Row

_HEAD = "attempt,launch,phase,number,latency_ns\n"
#: A line is no shorter; most are hardly longer.
_LINE_BYTES = 16


def samples_lines(row: Row) -> Iterator[str] | None:
    """Every timed inference in order, a line each, with a head; None for a row that was not measured.

    ``attempt`` counts the measurements of the row, of which the last one counts; ``phase`` is first, warmup
    or steady; ``number`` counts the inferences of a phase in a launch. All count from 1. A small model has
    millions of lines, so they come one after another.
    """
    if not isinstance(row.outcome, Measured):
        return None
    attempts = [*row.earlier, row.outcome]
    lines = (_lines(number, attempt) for number, attempt in enumerate(attempts, start=1))
    return chain((_HEAD,), chain.from_iterable(lines))


def least_bytes(row: Row) -> int:
    """What its samples take at least, known without writing them."""
    attempts = [*row.earlier, *([row.outcome] if isinstance(row.outcome, Measured) else [])]
    timings = [launch.timing for attempt in attempts for launch in attempt.launches]
    return _LINE_BYTES * sum(1 + len(one.warmup_ns) + len(one.latency_ns) for one in timings if one)


def _lines(attempt: int, measured: Measured) -> Iterator[str]:
    for launch, result in enumerate(measured.launches, start=1):
        timing = result.timing
        if timing is None:
            continue
        phases = (("first", (timing.first_ns,)), ("warmup", timing.warmup_ns), ("steady", timing.latency_ns))
        for phase, samples in phases:
            for number, sample in enumerate(samples, start=1):
                yield f"{attempt},{launch},{phase},{number},{sample}\n"
