"""Throughput against batch size."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgewright.report.scenario_document import Batch, Scenario
from edgewright.report.text import clean
from edgewright.report.units import milliseconds, rate
from edgewright_agent.protocol import BatchRun, RunResult

from .series import integers, spread

#: A smaller batch with this share of the best throughput is named beside it.
NEARLY = 0.95


def scenario(launches: Sequence[RunResult]) -> Scenario:
    """The part of the report for an offline row."""
    found: dict[int, list[BatchRun]] = {}
    for launch in launches:
        for run in launch.scenario.batches if launch.scenario else ():
            found.setdefault(run.batch, []).append(run)
    batches = _with_gains([_batch(size, runs) for size, runs in sorted(found.items())])
    if not batches:
        raise ValueError("no batch was tried")
    text, notes = headline(batches)
    notes += [_line(batch) for batch in batches if batch.reason is None]
    return Scenario(kind="offline", headline=text, remarks=notes, batches=batches)


def headline(batches: Sequence[Batch]) -> tuple[str, list[str]]:
    """The essence in one sentence, and what else a reader should know."""
    ran = [(b, b.throughput) for b in batches if b.throughput is not None]
    reasons = dict.fromkeys(b.reason for b in batches if b.reason)
    notes = [
        f"batch {', '.join(str(b.batch) for b in batches if b.reason == reason)}: {reason}"
        for reason in reasons
    ]
    if not ran:
        return "no batch ran", notes
    best, most = max(ran, key=lambda pair: pair[1])
    text = f"{rate(most)} at batch {best.batch}"
    if len(ran) > 1 and best.gain is not None:
        text += f", {best.gain:.2f} times that of batch {ran[0][0].batch}"
    if best.latency_ms and best.latency_ms.p50 is not None:
        text += f"; a batch takes {milliseconds(best.latency_ms.p50)}"
    nearly = next((b for b, t in ran if b.batch < best.batch and t >= NEARLY * most), None)
    if nearly and nearly.throughput is not None:
        notes.insert(
            0, f"batch {nearly.batch} reaches {nearly.throughput / most:.0%} of the highest throughput"
        )
    return text, notes


def _line(batch: Batch) -> str:
    assert batch.throughput is not None and batch.latency_ms
    taken = batch.latency_ms.p50
    took = f", {milliseconds(taken)} a batch" if taken is not None else ""
    gain = f", {batch.gain:.2f} times the smallest" if batch.gain is not None else ""
    return f"batch {batch.batch}: {rate(batch.throughput)}{took}{gain}"


def _batch(size: int, runs: Sequence[BatchRun]) -> Batch:
    """One size over all launches; null as soon as one launch could not run it."""
    failed = next((run for run in runs if run.reason or not len(run.latency_ns) or run.duration_ns < 1), None)
    if failed:
        reason = clean(failed.reason) or "it was not timed"
        return Batch(
            batch=size, throughput=None, low=None, high=None, gain=None, latency_ms=None, reason=reason
        )
    rates = [size * len(run.latency_ns) / (run.duration_ns / 1e9) for run in runs]
    return Batch(
        batch=size,
        throughput=float(np.median(rates)),
        low=min(rates),
        high=max(rates),
        gain=None,
        latency_ms=spread(np.concatenate([integers(run.latency_ns) for run in runs])),
        reason=None,
    )


def _with_gains(batches: Sequence[Batch]) -> list[Batch]:
    base = next((batch.throughput for batch in batches if batch.throughput), None)
    return [
        batch.model_copy(update={"gain": batch.throughput / base if batch.throughput and base else None})
        for batch in batches
    ]
