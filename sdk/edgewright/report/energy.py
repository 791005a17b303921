"""Energy per inference from a raw power trace.

The trace is cut at the timed window's edges and integrated by trapezoids; a counter is read at the edges.
The idle power before and after the window is what the device draws anyway: net energy is what is above it.

Uncertainties are expanded (k = 2, about 95 %) and combine three sources: how much the mean power of ten
equal parts of the window scatters, which covers noise and drift; that the reading around each edge is
interpolated; and, for net energy, how far the idle power before and after disagree. They do not know the
sensor's own calibration, nor the loads it does not cover.

The clock of an external meter is known within some time only. So its windows are read without that time at
either end, where the readings may belong to what was before or after, and the mean power found stands for the
whole window.

Method: MLPerf's power measurement rules (timed window only, idle apart); JCGM 100 (GUM) for combining.
"""

from __future__ import annotations

import math
import statistics
from bisect import bisect_right
from dataclasses import dataclass
from itertools import pairwise

from edgewright_agent.protocol import Alignment, Energy, PowerTrace, Window

IDLE_BEFORE, ACTIVE, IDLE_AFTER = "idle-before", "active", "idle-after"

_COVERAGE = 2.0
_BLOCKS = 10
_LEAST_READINGS = 10
#: A hole in the readings longer than this part of the window leaves too much to interpolation.
_LONGEST_GAP = 0.1
#: The idle windows may lose their edges to the sampler's start, not more.
_LEAST_IDLE_COVER = 0.5


class _NotMeasuredError(Exception):
    """Why a window has no figure."""


@dataclass(frozen=True)
class EnergyFigures:
    """Millijoules per inference, milliwatts, and where they come from.

    ``net_mj`` and what belongs to it is None when ``net_reason`` says why.
    """

    gross_mj: float
    gross_uncertainty_mj: float
    net_mj: float | None
    net_uncertainty_mj: float | None
    net_reason: str
    active_mw: float
    idle_mw: float | None
    rate_hz: float
    count: int
    sensor: str
    scope: str
    rails: tuple[str, ...]
    rule: str
    alignment: Alignment | None


@dataclass(frozen=True)
class NoEnergy:
    """There is no figure, and why."""

    reason: str


@dataclass(frozen=True)
class _Mean:
    """Mean power in a span of time and its standard uncertainty, milliwatts."""

    mw: float
    uncertainty_mw: float
    readings: int
    span_ns: int


def energy_per_inference(energy: Energy) -> EnergyFigures | NoEnergy:
    """Gross and net energy of one inference, or the reason why it is not known."""
    if energy.trace is None:
        return NoEnergy(energy.reason or "the device sent no power readings")
    trace = energy.trace
    problem = _inconsistent(trace)
    if problem:
        return NoEnergy(problem)
    windows = {window.name: window for window in energy.windows}
    window = windows.get(ACTIVE)
    if window is None or window.count < 1 or window.end_ns <= window.start_ns:
        return NoEnergy("the device sent power readings without the timed window they belong to")
    try:
        active = _mean_power(trace, *_inside(trace, window.start_ns, window.end_ns))
    except _NotMeasuredError as error:
        return NoEnergy(f"{trace.sensor}: {error}")
    mj_per_mw = (window.end_ns - window.start_ns) / 1e9 / window.count
    net, idle, reason = _above_idle(trace, windows, active)
    return EnergyFigures(
        gross_mj=active.mw * mj_per_mw,
        gross_uncertainty_mj=_COVERAGE * active.uncertainty_mw * mj_per_mw,
        net_mj=net.mw * mj_per_mw if net else None,
        net_uncertainty_mj=_COVERAGE * net.uncertainty_mw * mj_per_mw if net else None,
        net_reason=reason,
        active_mw=active.mw,
        idle_mw=idle.mw if idle else None,
        rate_hz=active.readings / (active.span_ns / 1e9),
        count=window.count,
        sensor=trace.sensor,
        scope=trace.scope,
        rails=trace.rails,
        rule=trace.rule,
        alignment=trace.alignment,
    )


def energy_uj(trace: PowerTrace, start_ns: int, end_ns: int) -> float:
    """Microjoules between two moments inside the trace."""
    curve = _cumulative_uj(trace)
    return _at(trace, curve, end_ns) - _at(trace, curve, start_ns)


def _above_idle(
    trace: PowerTrace, windows: dict[str, Window], active: _Mean
) -> tuple[_Mean | None, _Mean | None, str]:
    """Power above idle, the idle power, and why either is None."""
    idles = []
    for name in (IDLE_BEFORE, IDLE_AFTER):
        if name not in windows:
            return None, None, f"the device was not watched while idle ({name} is missing)"
        try:
            idles.append(_idle_power(trace, windows[name]))
        except _NotMeasuredError as error:
            return None, None, f"{name}: {error}"
    before, after = idles
    spread = abs(before.mw - after.mw) / 2
    noise = math.hypot(before.uncertainty_mw, after.uncertainty_mw) / 2
    idle = _Mean(
        (before.mw + after.mw) / 2,
        math.hypot(spread, noise),
        before.readings + after.readings,
        before.span_ns + after.span_ns,
    )
    net_mw = active.mw - idle.mw
    if net_mw <= 0:
        return None, idle, f"the {active.mw:.0f} mW drawn do not exceed the {idle.mw:.0f} mW drawn when idle"
    uncertainty_mw = math.hypot(active.uncertainty_mw, idle.uncertainty_mw)
    return _Mean(net_mw, uncertainty_mw, active.readings, active.span_ns), idle, ""


def _idle_power(trace: PowerTrace, window: Window) -> _Mean:
    start, end = _inside(trace, window.start_ns, window.end_ns)
    start, end = max(start, trace.t_ns[0]), min(end, trace.t_ns[-1])
    if end - start < _LEAST_IDLE_COVER * (window.end_ns - window.start_ns) or end <= start:
        raise _NotMeasuredError("the readings cover less than half of it")
    return _mean_power(trace, start, end)


def _inside(trace: PowerTrace, start_ns: int, end_ns: int) -> tuple[int, int]:
    """The part of a window which readings that may be early or late certainly belong to.

    Raises:
        _NotMeasuredError: that is less than half of it.
    """
    margin_ns = trace.alignment.uncertainty_ns if trace.alignment else 0
    if 4 * margin_ns > end_ns - start_ns:
        raise _NotMeasuredError(
            f"its clock is known within {margin_ns / 1e9:.2f} s, too little for a window of "
            f"{(end_ns - start_ns) / 1e9:.2f} s"
        )
    return start_ns + margin_ns, end_ns - margin_ns


def _mean_power(trace: PowerTrace, start_ns: int, end_ns: int) -> _Mean:
    """Mean power between two moments.

    Raises:
        _NotMeasuredError: the readings do not cover the window, are too few, or have a hole.
    """
    times = trace.t_ns
    if times[0] > start_ns or times[-1] < end_ns:
        raise _NotMeasuredError("the readings do not cover the whole window")
    inside = [t for t in times if start_ns <= t <= end_ns]
    if len(inside) < _LEAST_READINGS:
        raise _NotMeasuredError(f"{len(inside)} readings in the window, {_LEAST_READINGS} are needed")
    gap_ns = max(b - a for a, b in pairwise([start_ns, *inside, end_ns]))
    span_ns = end_ns - start_ns
    if gap_ns > _LONGEST_GAP * span_ns:
        raise _NotMeasuredError(f"no reading for {gap_ns / 1e9:.2f} s of the {span_ns / 1e9:.2f} s window")
    curve = _cumulative_uj(trace)
    edges = [start_ns + span_ns * i // _BLOCKS for i in range(_BLOCKS + 1)]
    marks = [_at(trace, curve, edge) for edge in edges]
    blocks = [
        (b - a) * 1e6 / (t1 - t0) for (a, b), (t0, t1) in zip(pairwise(marks), pairwise(edges), strict=True)
    ]
    scatter = statistics.stdev(blocks) / math.sqrt(_BLOCKS)
    edge_uj = math.hypot(_edge_uj(trace, start_ns), _edge_uj(trace, end_ns))
    mean_mw = (marks[-1] - marks[0]) * 1e6 / span_ns
    return _Mean(mean_mw, math.hypot(scatter, edge_uj * 1e6 / span_ns), len(inside), span_ns)


def _cumulative_uj(trace: PowerTrace) -> list[float]:
    """Energy from the first reading to each: the counter itself, or the trapezoids under the power."""
    if trace.kind == "energy":
        return [float(value) for value in trace.values]
    total, curve = 0.0, [0.0]
    for (t0, t1), (p0, p1) in zip(pairwise(trace.t_ns), pairwise(trace.values), strict=True):
        total += (p0 + p1) / 2 * (t1 - t0) / 1e6
        curve.append(total)
    return curve


def _at(trace: PowerTrace, curve: list[float], moment_ns: int) -> float:
    """The cumulative energy at a moment between two readings, power taken as linear between them."""
    i = _segment(trace, moment_ns)
    t0, t1 = trace.t_ns[i], trace.t_ns[i + 1]
    part = (moment_ns - t0) / (t1 - t0)
    if trace.kind == "energy":
        return curve[i] + (curve[i + 1] - curve[i]) * part
    p0, p1 = trace.values[i], trace.values[i + 1]
    return curve[i] + (p0 + (p1 - p0) * part / 2) * (moment_ns - t0) / 1e6


def _edge_uj(trace: PowerTrace, moment_ns: int) -> float:
    """Standard uncertainty of the energy at an edge, where the power may step anywhere between two readings.

    A counter says nothing of when its step came, a power trace bounds it by the two readings' difference.
    """
    i = _segment(trace, moment_ns)
    step = abs(trace.values[i + 1] - trace.values[i])
    span_uj = step if trace.kind == "energy" else step * (trace.t_ns[i + 1] - trace.t_ns[i]) / 1e6
    return span_uj / math.sqrt(12)


def _segment(trace: PowerTrace, moment_ns: int) -> int:
    """The reading before (or at) the moment, such that there is one after it."""
    return min(max(bisect_right(trace.t_ns, moment_ns) - 1, 0), len(trace.t_ns) - 2)


def _inconsistent(trace: PowerTrace) -> str:
    """What is wrong with a trace as the device sent it; empty when nothing is."""
    if trace.kind not in ("power", "energy"):
        return f"{trace.sensor}: unknown kind of reading {trace.kind!r}"
    if len(trace.t_ns) != len(trace.values):
        return f"{trace.sensor}: {len(trace.t_ns)} times for {len(trace.values)} readings"
    if len(trace.t_ns) < 2:
        return f"{trace.sensor}: {len(trace.t_ns)} readings are too few"
    if any(b <= a for a, b in pairwise(trace.t_ns)):
        return f"{trace.sensor}: the times of its readings do not increase"
    if trace.alignment and trace.alignment.uncertainty_ns < 0:
        return f"{trace.sensor}: its clock is known within less than nothing"
    if trace.kind == "energy" and any(b < a for a, b in pairwise(trace.values)):
        return f"{trace.sensor}: its energy counter went backwards"
    return ""
