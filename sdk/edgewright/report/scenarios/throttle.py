"""When a device began to throttle during a run, and who says so.

Flags and counters of the device are believed first, then its clock, then the latencies themselves; the
earliest of the first two counts, and the latencies alone where the device tells neither.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from edgewright.report.watch import FREQUENCY_DROP, flag_is_up, flag_rose, processor_khz
from edgewright_agent.protocol import Environment

from .levels import LEAST, Stretch

Witness = Literal["flag", "clock", "latency"]


@dataclass(frozen=True)
class Onset:
    """``after_s`` the run began, None when there was none; ``evidence`` says what was seen."""

    after_s: float | None
    by: Witness | None
    evidence: str


def onset(
    states: Sequence[Environment], begin_ns: int, levels: Sequence[Stretch], times_s: Sequence[float]
) -> Onset:
    """The beginning of throttling.

    Args:
        states: in time, the first from before the run and the last from after it.
        begin_ns: when the run began on the same clock.
        levels: stretches of the latency's level, which began at ``times_s``.
    """
    found = [o for o in (_flag(states, begin_ns), _clock(states, begin_ns)) if o]
    slowed = _slowed(levels, times_s)
    if found:
        first = min(found, key=lambda o: o.after_s or 0.0)
        also = f"; {slowed.evidence}" if slowed else ""
        return Onset(first.after_s, first.by, first.evidence + also)
    if slowed:
        return slowed
    return Onset(None, None, f"no throttling was seen: {_seen(states)}, and the latency kept its level")


def slowed_for_good(levels: Sequence[Stretch]) -> int | None:
    """The first place from which on the level stays above the first one by :data:`LEAST`."""
    chosen = None
    for place in range(len(levels) - 1, 0, -1):
        if levels[place].level < (1 + LEAST) * levels[0].level:
            break
        chosen = place
    return chosen


def watches(states: Sequence[Environment]) -> bool:
    """Whether the device tells its clock or has flags that would show throttling."""
    return any(state.throttled for state in states) or any(map(processor_khz, states[1:-1]))


def _flag(states: Sequence[Environment], begin_ns: int) -> Onset | None:
    """The first flag to rise; under-voltage is another matter."""
    for before, state in zip([states[0], *states[:-1]], states, strict=True):
        for key, value in state.throttled.items():
            if "under-voltage" in key:
                continue
            was = before.throttled.get(key, value)
            if flag_rose(key, was, value) or (state is states[0] and flag_is_up(key, value)):
                after_s = max(0.0, (state.t_ns - begin_ns) / 1e9)
                return Onset(after_s, "flag", f"the flag {key} was up after {after_s:.0f} s")
    return None


def _clock(states: Sequence[Environment], begin_ns: int) -> Onset | None:
    """The clock under load falls and stays so to the end; readings from outside the run do not count."""
    readings = [(state.t_ns, khz) for state in states[1:-1] if (khz := processor_khz(state))]
    if len(readings) < 3:
        return None
    highest, fell = 0, None
    for t_ns, khz in readings:
        highest = max(highest, khz)
        if khz >= (1 - FREQUENCY_DROP) * highest:
            fell = None
        elif fell is None:
            fell = (t_ns, highest, khz)
    if fell is None:
        return None
    t_ns, high, low = fell
    after_s = max(0.0, (t_ns - begin_ns) / 1e9)
    return Onset(
        after_s,
        "clock",
        f"the processor clock fell from {high / 1000:,.0f} to {low / 1000:,.0f} MHz after {after_s:.0f} s "
        "and stayed low",
    )


def _slowed(levels: Sequence[Stretch], times_s: Sequence[float]) -> Onset | None:
    place = slowed_for_good(levels)
    if place is None:
        return None
    after_s, rise = times_s[place], levels[place].level / levels[0].level - 1
    return Onset(
        after_s, "latency", f"the latency rose by {rise:.0%} after {after_s:.0f} s and did not come back"
    )


def _seen(states: Sequence[Environment]) -> str:
    flags = any(state.throttled for state in states)
    clock = any(map(processor_khz, states[1:-1]))
    if flags and clock:
        return "flags and clock were watched"
    if flags or clock:
        return f"the {'flags were' if flags else 'clock was'} watched"
    return "the device tells neither flags nor clock"
