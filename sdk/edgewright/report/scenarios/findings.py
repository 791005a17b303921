"""What a scenario says about whether its row can be believed: evidence for the verdict."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from edgewright.report.finding import Finding, Status
from edgewright.report.scenario_document import Paced, Scenario, Sustained
from edgewright_agent.protocol import RunResult

from .levels import LEAST
from .series import integers, start_times, starts_of
from .throttle import watches

#: Reading the device's state may slow the inferences by so much in all.
PERTURBATION = 0.02
#: A disturbance that passed counts when it took more than this share of a sustained run.
_PASSING = 0.05
#: Above this share of time at work the clock has no reason to idle.
_BUSY = 0.9


def findings(shown: Scenario, launches: Sequence[RunResult]) -> Iterator[Finding]:
    """Evidence of the row's own scenario."""
    if shown.sustained:
        yield from _sustained(shown.sustained, launches)
    if shown.paced:
        yield from _paced(shown.paced)


def is_busy(shown: Scenario | None) -> bool:
    """Whether the device worked without pauses, so that a lower clock is no idling."""
    return not (shown and shown.paced) or shown.paced.utilization >= _BUSY


def is_cut_short(shown: Scenario | None) -> bool:
    """Whether the row ended early because it had shown that the model cannot keep up."""
    return bool(shown and shown.paced and shown.paced.ended)


def watched(launches: Sequence[RunResult]) -> Iterator[Finding]:
    """What the readings of the device's state cost, and whether they went on to the end."""
    for number, launch in enumerate(launches, start=1):
        if launch.watching and launch.watching.reason:
            yield Finding(
                "perturbed",
                f"launch {number}: the device's state was not read to the end: {launch.watching.reason}",
            )
    seen = [(launch, launch.watching) for launch in launches if launch.watching and launch.timing]
    readings = sum(len(watching.t_ns) for _, watching in seen)
    if not readings:
        return
    timed_ns = sum(launch.timing.duration_ns for launch, _ in seen if launch.timing)
    share = sum(map(sum, (watching.cpu_ns for _, watching in seen))) / max(1, timed_ns)
    text = f"the device's state was read {readings} times meanwhile, for {share:.2%} of one processor's time"
    slowed = [cost for launch, _ in seen if (cost := _slowed(launch)) is not None]
    if not slowed:
        yield Finding(None, text)
        return
    cost = float(np.median(slowed))
    yield Finding(
        "perturbed" if cost > PERTURBATION else None, f"{text}, and inferences took {cost:+.2%} for it"
    )


def _slowed(launch: RunResult) -> float | None:
    """How much longer all took for those that a reading overlapped; None where starts are unknown."""
    starts = starts_of(launch)
    if starts is None or launch.timing is None or launch.watching is None or not len(launch.watching.t_ns):
        return None
    latency = integers(launch.timing.latency_ns)
    try:
        begin = start_times(starts, latency) + starts.begin_ns
    except ValueError:
        return None
    read, wall = integers(launch.watching.t_ns), integers(launch.watching.wall_ns)
    first = np.searchsorted(begin + latency, read, side="right")
    last = np.searchsorted(begin, read + wall, side="left")
    usual = float(np.median(latency))
    extra = sum(
        float(latency[a:b].sum()) - usual * (b - a) for a, b in zip(first, last, strict=True) if b > a
    )
    return float(extra / latency.sum())


def _paced(figures: Paced) -> Iterator[Finding]:
    rate = f"{figures.rate_hz:.4g} Hz"
    if figures.ended:
        yield Finding(None, f"the run at {rate} was {figures.ended}: the model cannot keep up")
    elif not figures.keeps_up:
        yield Finding(
            None, f"the model cannot keep up with {rate}: it would be busy {figures.utilization:.0%}"
        )
    else:
        yield Finding(
            None,
            f"{figures.misses:,} of {figures.arrivals:,} deadlines at {rate} were missed, "
            f"{figures.misses_by_wakeup:,} of them for a late wake-up",
        )


def _sustained(figures: Sustained, launches: Sequence[RunResult]) -> Iterator[Finding]:
    lasted = f"the run lasted {figures.minutes:.3g} of {figures.minutes_asked:.3g} minutes"
    complete = figures.minutes >= 0.999 * figures.minutes_asked
    capped = any(launch.timing.capped for launch in launches if launch.timing)
    why = ": more inferences are not kept; set a rate" if capped and not complete else ""
    yield Finding(None if complete else "too short", lasted + why)
    status: Status | None = None
    sentence = figures.throttle_evidence
    if figures.throttled_by:
        told = watches(sorted(launches[0].environment, key=lambda state: state.t_ns))
        status = "noisy" if figures.throttled_by == "latency" and told else "throttled"
        if status == "noisy":
            sentence += ", though the device tells of no throttling"
    yield Finding(status, sentence)
    yield from _passing(figures)


def _passing(figures: Sustained) -> Iterator[Finding]:
    """Stretches that were slower than what came after them."""
    if figures.throttled_by or not figures.shifts:
        return
    base = min(figures.shifts[0].before_ms, *(shift.after_ms for shift in figures.shifts))
    edges = [0.0, *(shift.t_s for shift in figures.shifts), figures.minutes * 60]
    levels = [figures.shifts[0].before_ms, *(shift.after_ms for shift in figures.shifts)]
    slow_s = sum(
        after - before
        for before, after, level in zip(edges[:-1], edges[1:], levels, strict=True)
        if level > (1 + LEAST) * base
    )
    share = slow_s / (figures.minutes * 60)
    yield Finding(
        "noisy" if share > _PASSING else None,
        f"for {slow_s:.0f} s the latency lay more than {LEAST:.0%} above its best level and came back",
    )
