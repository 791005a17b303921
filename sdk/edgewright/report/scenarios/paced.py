"""Arrivals at a steady rate: deadlines, waiting in line, waking up, and what idling in between costs.

For arrival ``i`` at ``due = i * period``, served from ``start`` to ``end`` after the one before it ended at
``previous``:

    queueing = max(0, previous - due)          somebody was ahead
    wake-up  = start - due, if nobody was      the process was woken late
    service  = end - start                     the inference itself
    response = end - due                       all of them; a miss when longer than the deadline
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edgewright.report.scenario_document import Paced, Scenario
from edgewright.report.stats import Nanoseconds
from edgewright.report.units import milliseconds
from edgewright_agent.protocol import Pace, RunResult, Starts

from . import proportion
from .series import integers, median_ratio, milli, spread, start_times

_SLOWER = "the queue grows without bound, so that this depends on how long one looks"


@dataclass(frozen=True)
class Arrivals:
    """What became of each arrival of one launch, nanoseconds."""

    queueing: Nanoseconds
    wakeup: Nanoseconds
    service: Nanoseconds
    response: Nanoseconds

    @classmethod
    def of(cls, pace: Pace, starts: Starts, latency_ns: Sequence[int]) -> Arrivals:
        """From the raw samples; ``wakeup`` holds only arrivals that found nobody ahead.

        Raises:
            ValueError: the samples contradict each other.
        """
        service = integers(latency_ns)
        start = start_times(starts, service)
        if pace.period_ns < 1 or pace.deadline_ns < 1 or not service.size:
            raise ValueError("a paced run without arrivals")
        due = np.arange(service.size, dtype=np.int64) * pace.period_ns
        previous = np.concatenate((np.zeros(1, dtype=np.int64), (start + service)[:-1]))
        alone = previous <= due
        return cls(
            queueing=np.maximum(0, previous - due),
            wakeup=np.where(alone, np.maximum(0, start - due), -1),
            service=service,
            response=start + service - due,
        )


def paced(
    launches: Sequence[tuple[Pace, Starts, Sequence[int], str]],
    references: Sequence[tuple[Nanoseconds, Nanoseconds]],
) -> Paced:
    """All launches together.

    Args:
        launches: pace, starts, latencies, and why it was cut short.
        references: latencies back to back in the same process, before and after; empty where there are none.

    Raises:
        ValueError: the samples contradict each other.
    """
    pace = launches[0][0]
    each = [Arrivals.of(p, starts, latencies) for p, starts, latencies, _ in launches]
    whole = Arrivals(*(np.concatenate([getattr(a, name) for a in each]) for name in _FIELDS))
    missed = [a.response > pace.deadline_ns for a in each]
    misses, count = int(sum(m.sum() for m in missed)), whole.service.size
    low, high = proportion.interval(misses, count)
    utilization = float(whole.service.mean()) / pace.period_ns
    ended = next((ended for *_, ended in launches if ended), "")
    keeps_up = not ended and utilization < 1.0
    idle_gap = median_ratio(_gaps(each, references)) if keeps_up else None
    service = spread(whole.service)
    assert service is not None  # every launch has arrivals
    woken = whole.wakeup[whole.wakeup >= 0]
    back_to_back = np.concatenate([part for pair in references for part in pair] or [integers(())])
    return Paced(
        rate_hz=round(1e9 / pace.period_ns, 6),
        deadline_ms=milli(pace.deadline_ns),
        arrivals=count,
        keeps_up=keeps_up,
        utilization=round(utilization, 6),
        ended=_ended(pace) if ended else None,
        misses=misses,
        misses_by_wakeup=int(sum(_by_wakeup(a, pace.deadline_ns) for a in each)),
        miss_rate=misses / count,
        miss_rate_low=low,
        miss_rate_high=high,
        confidence=proportion.CONFIDENCE,
        launch_miss_rates=[float(m.mean()) for m in missed],
        response_ms=spread(whole.response) if keeps_up else None,
        queueing_ms=spread(whole.queueing) if keeps_up else None,
        response_reason=None if keeps_up else _SLOWER,
        service_ms=service,
        wakeup_ms=spread(woken),
        back_to_back_ms=milli(float(np.median(back_to_back))) if back_to_back.size else None,
        idle_gap=idle_gap,
        idle_gap_reason=None if idle_gap else _no_gap(keeps_up, references),
    )


def scenario(launches: Sequence[RunResult]) -> Scenario:
    """The part of the report for a paced row."""
    runs = [(launch, launch.scenario.paced) for launch in launches if launch.scenario]
    found = [(launch.timing, run) for launch, run in runs if launch.timing and run]
    if not found:
        raise ValueError("no launch was paced")
    figures = paced(
        [(run.pace, run.starts, timing.latency_ns, run.ended) for timing, run in found],
        [(integers(run.before_ns), integers(run.after_ns)) for _, run in found],
    )
    return Scenario(kind="paced", headline=headline(figures), remarks=remarks(figures), paced=figures)


def headline(figures: Paced) -> str:
    """The essence in one sentence."""
    asked = f"{figures.rate_hz:.4g} Hz"
    if not figures.keeps_up:
        service = figures.utilization * 1e3 / figures.rate_hz
        return (
            f"cannot keep up with {asked}: an inference takes {milliseconds(service)} on average, "
            f"arrivals come every {milliseconds(1e3 / figures.rate_hz)}"
        )
    response = figures.response_ms.p90 if figures.response_ms else None
    parts = [
        f"{asked}: {figures.misses:,} of {figures.arrivals:,} deadlines of "
        f"{milliseconds(figures.deadline_ms)} missed (at most {figures.miss_rate_high:.2%} with "
        "97.5 % confidence)"
    ]
    if response is not None:
        parts.append(f"response p90 {milliseconds(response)}")
    if figures.idle_gap:
        parts.append(f"service {figures.idle_gap.value:.2f} times that of back to back")
    return ", ".join(parts)


def remarks(figures: Paced) -> list[str]:
    """What else a reader should know."""
    found = [figures.ended] if figures.ended else []
    if figures.keeps_up and figures.misses_by_wakeup:
        found.append(
            f"{figures.misses_by_wakeup:,} of the {figures.misses:,} misses were due to the process being "
            "woken late, not to the model"
        )
    if figures.keeps_up and figures.utilization > 0.8:
        found.append(f"the model is busy {figures.utilization:.0%} of the time")
    rates = figures.launch_miss_rates
    if len(rates) > 1 and max(rates) > 2 * min(rates) + 0.01:
        found.append(
            f"launches missed from {min(rates):.2%} to {max(rates):.2%}: misses come together, and the "
            "interval of their rate is too narrow"
        )
    return found


_FIELDS = ("queueing", "wakeup", "service", "response")


def _gaps(
    each: Sequence[Arrivals], references: Sequence[tuple[Nanoseconds, Nanoseconds]]
) -> list[tuple[Nanoseconds, Nanoseconds]]:
    """For each launch, service times that came after idling, and those back to back."""
    return [
        (a.service[a.wakeup >= 0], np.concatenate(pair)) for a, pair in zip(each, references, strict=False)
    ]


def _by_wakeup(arrivals: Arrivals, deadline_ns: int) -> int:
    """Misses that were none if the process had been woken in time; what queues behind a late one included."""
    late = np.maximum(arrivals.wakeup, 0)
    # an arrival that waited in line inherits the lateness of the one that began its busy period
    busy = np.maximum.accumulate(np.where(arrivals.wakeup >= 0, np.arange(late.size), 0))
    return int(
        np.count_nonzero((arrivals.response > deadline_ns) & (arrivals.response - late[busy] <= deadline_ns))
    )


def _ended(pace: Pace) -> str:
    return (
        f"cut short when more than {pace.max_waiting} arrivals waited, the oldest for over "
        f"{pace.max_delay_ns / 1e9:g} s"
    )


def _no_gap(keeps_up: bool, references: Sequence[tuple[Nanoseconds, Nanoseconds]]) -> str:
    if not keeps_up:
        return "the model never idled"
    return "no inference was timed back to back" if not references else "no inference came after idling"
