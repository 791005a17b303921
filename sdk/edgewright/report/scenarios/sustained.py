"""Minutes on end: the curve, when the device slowed down, and the first minute against the steady state."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from edgewright.report.binomial import samples_needed
from edgewright.report.scenario_document import Moment, Paced, Ratio, Scenario, Shift, Sustained, Window
from edgewright.report.stats import RESAMPLES, Nanoseconds
from edgewright.report.text import clean
from edgewright.report.units import milliseconds
from edgewright.report.watch import flag_is_up, processor_khz
from edgewright_agent.protocol import Environment, RunResult, SustainedRun

from . import paced as at_rate
from .levels import SHORTEST, stretches
from .series import Reals, integers, milli, ratio, start_times
from .throttle import onset

#: Lengths of a window to choose from: the shortest that holds enough inferences for p90 even where they are
#: slow, or where that would be too long for a curve, enough for a median.
WINDOWS_S = (1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0)
LONGEST_FOR_BAND_S = 5.0
MOST_WINDOWS = 3600
FIRST_MINUTE_S = 60.0
#: A last level that held for less than this share of the run is not called steady.
STEADY_SHARE = 0.2
#: Windows of one block of the bootstrap: neighbours resemble each other, so they are drawn together.
BLOCK = 10
_MOST_FLAGS = 16


@dataclass(frozen=True)
class Curve:
    """Medians of consecutive windows. ``length_s`` of each; a window without an inference is not there."""

    length_s: float
    windows: list[Window]

    @property
    def medians(self) -> Reals:
        """Milliseconds."""
        return np.asarray([window.p50_ms for window in self.windows], dtype=np.float64)


def scenario(launches: Sequence[RunResult]) -> Scenario:
    """The part of the report for a sustained row: of its one launch, for a second would begin warm."""
    found = [(launch, launch.scenario.sustained) for launch in launches if launch.scenario and launch.timing]
    runs = [(launch, run) for launch, run in found if run]
    if not runs:
        raise ValueError("no launch was sustained")
    launch, run = runs[0]
    assert launch.timing
    latency = integers(launch.timing.latency_ns)
    figures = sustained(run, latency, launch.environment)
    arrivals = (
        at_rate.paced([(run.pace, run.starts, launch.timing.latency_ns, run.ended)], []) if run.pace else None
    )
    return Scenario(
        kind="sustained",
        headline=headline(figures, arrivals),
        remarks=[*remarks(figures), *(at_rate.remarks(arrivals) if arrivals else [])],
        sustained=figures,
        paced=arrivals,
    )


def sustained(run: SustainedRun, latency_ns: Nanoseconds, states: Sequence[Environment]) -> Sustained:
    """Everything that is derived from one sustained run.

    Raises:
        ValueError: the samples contradict each other.
    """
    start = start_times(run.starts, latency_ns)
    if not start.size:
        raise ValueError("a sustained run without inferences")
    made = curve(start, latency_ns)
    levels = stretches(np.maximum(made.medians, 1e-6))
    times = [window.t_s for window in made.windows]
    ordered = sorted(states, key=lambda state: state.t_ns)
    found = onset(ordered, run.starts.begin_ns, levels, [times[level.start] for level in levels])
    seconds = float(start[-1] + latency_ns[-1]) / 1e9
    minute = _first_minute(times, seconds)
    steady = max(minute, levels[-1].start)
    compared, reason = _slowdown(made.medians, minute, steady)
    lasted = seconds - times[levels[-1].start] if len(levels) > 1 else seconds
    return Sustained(
        minutes_asked=round(run.asked_ns / 60e9, 4),
        minutes=round(seconds / 60, 4),
        window_s=made.length_s,
        windows=made.windows,
        environment=[_moment(state, run.starts.begin_ns) for state in ordered],
        throttled_after_s=found.after_s,
        throttled_by=found.by,
        throttle_evidence=clean(found.evidence),
        resolution_s=_resolution(found.by, made, ordered),
        shifts=[
            Shift(t_s=times[b.start], before_ms=round(a.level, 6), after_ms=round(b.level, 6))
            for a, b in pairwise(levels)
        ],
        first_minute_ms=round(float(np.median(made.medians[:minute])), 6) if compared else None,
        first_s=round(min(FIRST_MINUTE_S, seconds / 3), 3),
        steady_ms=round(float(np.median(made.medians[steady:])), 6) if compared else None,
        steady_from_s=times[steady] if compared else None,
        settled=compared is not None and lasted >= STEADY_SHARE * seconds,
        slowdown=compared,
        slowdown_reason=reason,
    )


def curve(start_ns: Nanoseconds, latency_ns: Nanoseconds) -> Curve:
    """Windows by when inferences began. A percentile without enough samples for a 99 % bound is left out."""
    seconds = float(start_ns[-1] + latency_ns[-1]) / 1e9
    slow_ns = max(float(np.percentile(latency_ns, 90)), seconds * 1e9 / start_ns.size, 1.0)
    for_band = (s for s in WINDOWS_S if s <= LONGEST_FOR_BAND_S and s * 1e9 / slow_ns >= samples_needed(90))
    for_median = (s for s in WINDOWS_S if s * 1e9 / slow_ns >= samples_needed(50))
    length_s = next(for_band, None) or next(for_median, WINDOWS_S[-1])
    length_s = max(length_s, math.ceil(seconds / MOST_WINDOWS))
    places = start_ns // int(length_s * 1e9)
    edges = np.concatenate(([0], np.flatnonzero(np.diff(places)) + 1, [places.size]))
    windows = []
    for first, last in pairwise(edges):
        held = np.sort(latency_ns[first:last])
        enough = held.size >= samples_needed(90)
        windows.append(
            Window(
                t_s=round(float(places[first]) * length_s, 3),
                count=int(held.size),
                p50_ms=milli(float(np.median(held))),
                p90_ms=milli(float(np.percentile(held, 90))) if enough else None,
            )
        )
    return Curve(length_s, windows)


def headline(figures: Sustained, arrivals: Paced | None) -> str:
    """The essence in one sentence."""
    lasted = f"over {figures.minutes:.3g} minutes"
    if arrivals:
        lasted += f" at {arrivals.rate_hz:.4g} Hz"
    if figures.throttled_after_s is None:
        parts = [f"{lasted}: no throttling seen"]
    else:
        parts = [f"{lasted}: throttled after {figures.throttled_after_s:.0f} s (by {figures.throttled_by})"]
    if figures.slowdown and figures.steady_ms is not None and figures.first_minute_ms is not None:
        whole = figures.first_s >= FIRST_MINUTE_S
        first = "the first minute's" if whole else f"that of the first {figures.first_s:.0f} s,"
        parts.append(
            f"steady {milliseconds(figures.steady_ms)}, {figures.slowdown.value:.3f} times {first} "
            f"{milliseconds(figures.first_minute_ms)}"
        )
    if arrivals:
        parts.append(f"{arrivals.misses:,} of {arrivals.arrivals:,} deadlines missed")
    return ", ".join(parts)


def remarks(figures: Sustained) -> list[str]:
    """What else a reader should know."""
    found = [figures.throttle_evidence]
    if figures.slowdown_reason:
        found.append(figures.slowdown_reason)
    elif not figures.settled:
        ago_s = figures.minutes * 60 - figures.shifts[-1].t_s
        found.append(f"the latency still changed {ago_s:.0f} s before the end: it had not settled")
    return found


def _first_minute(times: Sequence[float], seconds: float) -> int:
    """How many windows make the first minute, or the first third of a shorter run."""
    end_s = min(FIRST_MINUTE_S, seconds / 3)
    return max(1, sum(t_s < end_s for t_s in times))


def _slowdown(medians: Reals, minute: int, steady: int) -> tuple[Ratio | None, str | None]:
    """The steady windows' median over the first minute's; both drawn anew in blocks of neighbours."""
    first, last = medians[:minute], medians[steady:]
    if min(first.size, last.size) < SHORTEST:
        return None, (
            f"the first minute has {first.size} windows and what comes after it {last.size}: "
            f"{SHORTEST} of each are needed"
        )
    rng = np.random.default_rng(0)
    replicates = np.asarray(_block_medians(last, rng) / _block_medians(first, rng), dtype=np.float64)
    value = float(np.median(last) / np.median(first))
    return ratio(value, replicates, f"bootstrap over blocks of {BLOCK} windows of one launch"), None


def _block_medians(values: Reals, rng: np.random.Generator) -> Reals:
    """Medians of the series put together from blocks anew, which wrap round its end (circular bootstrap)."""
    block = max(1, min(BLOCK, values.size // 3))
    begins = rng.integers(values.size, size=(RESAMPLES, math.ceil(values.size / block)))
    places = (begins[:, :, None] + np.arange(block)) % values.size
    drawn = values[places.reshape(RESAMPLES, -1)[:, : values.size]]
    return np.asarray(np.median(drawn, axis=1), dtype=np.float64)


def _resolution(by: str | None, made: Curve, states: Sequence[Environment]) -> float:
    """How finely the time of throttling is known: the distance between two readings, or a window."""
    steps = [b.t_ns - a.t_ns for a, b in pairwise(states[1:-1])]
    return round(float(np.median(steps)) / 1e9, 3) if by in ("flag", "clock") and steps else made.length_s


def _moment(state: Environment, begin_ns: int) -> Moment:
    khz = processor_khz(state)
    heat = max(state.temperature_mc.values(), default=None)
    return Moment(
        t_s=round((state.t_ns - begin_ns) / 1e9, 3),
        temperature_celsius=None if heat is None else heat / 1000,
        frequency_mhz=khz / 1000 if khz else None,
        flags=[clean(k, 100) for k, v in state.throttled.items() if flag_is_up(k, v)][:_MOST_FLAGS],
    )
