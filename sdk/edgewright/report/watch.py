"""What the readings of a device's own state say about a run: throttling, under-voltage, a dead watcher.

Flags that stay set since boot count only when they changed during the run. Where a device tells
nothing, that is said: silence is no certificate.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Protocol

from edgewright_agent.protocol import Environment

from .finding import Finding, Status

#: A clock this much below its highest reading under the same conditions has been lowered.
FREQUENCY_DROP = 0.10
#: Governors that hold the clock whatever the load, so that an idle reading counts.
_STEADY_GOVERNORS = frozenset({"performance", "userspace"})
_READINGS: Mapping[str, Callable[[Environment], Iterable[str]]] = {
    "temperature": lambda state: state.temperature_mc,
    "clock": lambda state: state.frequency_khz,
    "throttle flag": lambda state: state.throttled,
}
_FLAGS = {
    "now": "held while the run was watched",
    "since-boot": "was set during the run",
    "count": "was counted during the run",
    "level": "slowed the processor while the run was watched",
}


class Watched(Protocol):
    """What has readings of the device's state."""

    @property
    def environment(self) -> Sequence[Environment]:
        """In any order."""


def flag_rose(key: str, before: int, now: int) -> bool:
    """Whether a flag or counter tells of something that happened between two readings."""
    return now > before and (before <= 0 or key.partition(":")[0] in ("since-boot", "count"))


def flag_is_up(key: str, value: int) -> bool:
    """Whether a flag that tells of the moment alone is up."""
    return value > 0 and key.partition(":")[0] in ("now", "level")


def processor_khz(state: Environment) -> int:
    """The fastest processor core's clock; 0 where the device does not tell."""
    return _fastest(state, graphics=False)


def watch(launches: Sequence[Watched], *, slowed: Sequence[bool], is_busy: bool = True) -> Iterator[Finding]:
    """Findings over all launches.

    Args:
        launches: with at least one reading of the environment before and one after each; those between are
            from while it was timed.
        slowed: per launch, whether its latencies rose from its beginning to its end.
        is_busy: whether the device works without a pause while it is timed, so that its clock does not idle.
    """
    for number, (launch, slower) in enumerate(zip(launches, slowed, strict=True), start=1):
        states = sorted(launch.environment, key=lambda state: state.t_ns)
        where = f"launch {number}: " if len(launches) > 1 else ""
        if len(states) < 2:
            yield Finding(
                None,
                f"{where}the device's state was read {len(states)} times, so a change of it was not seen",
            )
            continue
        for finding in (*_lost(states), *_flags(states), *_clock(states, slower, is_busy)):
            yield Finding(finding.status, where + finding.sentence)
    yield from _summary([state for launch in launches for state in launch.environment])


def _flags(states: Sequence[Environment]) -> Iterator[Finding]:
    keys = sorted({key for state in states for key in state.throttled})
    for key in keys:
        kind, _, name = key.partition(":")
        values = [state.throttled[key] for state in states if key in state.throttled]
        if kind in ("now", "level"):
            raised = max(values) > 0
        elif kind in ("since-boot", "count"):
            raised = values[-1] > values[0]
        else:
            continue
        if raised:
            status: Status = "undervolted" if "under-voltage" in name else "throttled"
            yield Finding(status, f"{_words(name)} {_FLAGS[kind]}{_amount(kind, values)}")
        elif kind == "since-boot" and values[0]:
            yield Finding(
                None, f"{_words(name)} had occurred before the run; its flag cannot tell whether it did again"
            )


def _amount(kind: str, values: Sequence[int]) -> str:
    if kind == "count":
        return f" ({values[-1] - values[0]} times)"
    return f" (level {max(values)})" if kind == "level" else ""


def _words(name: str) -> str:
    return name.replace("-", " ")


def _clock(states: Sequence[Environment], slower: bool, is_busy: bool) -> Iterator[Finding]:
    """A lowered clock, judged by the fastest core at each reading since idle cores say nothing.

    Readings under load always count, among themselves. Those before and after the work count under a
    governor that does not idle, or when the latencies rose as well.
    """
    governors = sorted({governor for state in states for governor in state.governor.values()})
    steady = bool(governors) and _STEADY_GOVERNORS.issuperset(governors)
    for label, graphics in (("processor clock", False), ("graphics clock", True)):
        peaks = [_fastest(state, graphics) for state in states]
        if not all(peaks):
            continue
        counted = peaks if steady or slower else peaks[1:-1] if is_busy else []
        highest, lowest = _largest_fall(counted) if counted else (0, 0)
        if lowest < (1 - FREQUENCY_DROP) * highest:
            yield Finding("throttled", f"the {label} fell from {_mhz(highest)} to {_mhz(lowest)}")
        elif min(peaks[1:]) < (1 - FREQUENCY_DROP) * peaks[0]:
            governor = f"under governor {'/'.join(governors)}" if governors else "under an unknown governor"
            during = f", {_mhz(min(peaks[1:-1]))} at least during" if len(peaks) > 2 else ""
            yield Finding(
                None,
                f"the {label} read {_mhz(peaks[0])} before{during} and {_mhz(peaks[-1])} after the run; "
                f"{governor} that may be mere idling, for the latencies did not rise",
            )


def _fastest(state: Environment, graphics: bool) -> int:
    return max((khz for key, khz in state.frequency_khz.items() if (key == "gpu") is graphics), default=0)


def _largest_fall(readings: Sequence[int]) -> tuple[int, int]:
    """The pair of an earlier and a later reading that lie furthest apart downwards."""
    highest, fall = readings[0], (readings[0], readings[0])
    for reading in readings:
        highest = max(highest, reading)
        if reading * fall[0] < fall[1] * highest:
            fall = (highest, reading)
    return fall


def _mhz(khz: int) -> str:
    return f"{khz / 1000:,.0f} MHz"


def _lost(states: Sequence[Environment]) -> Iterator[Finding]:
    """A reading that was there before and is gone later: from then on nobody watched."""
    for label, read in _READINGS.items():
        had = set(read(states[0]))
        gone = sorted(had - set(read(states[-1])))
        always = had.intersection(*map(read, states))
        missed = sorted(had - set(gone) - always)
        for names, when in ((gone, "not after it"), (missed, "not all through it")):
            if names:
                listed = ", ".join(names[:3])
                yield Finding("perturbed", f"{label} {listed} could be read before the run but {when}")


def _summary(states: Sequence[Environment]) -> Iterator[Finding]:
    if not any(state.throttled for state in states):
        yield Finding(
            None, "the device has no throttle flag to read: throttling would show in the latencies alone"
        )
    if not any(state.frequency_khz for state in states):
        yield Finding(None, "the device does not tell its clock frequency")
    heat = [max(state.temperature_mc.values()) / 1000 for state in states if state.temperature_mc]
    if heat:
        yield Finding(None, f"the hottest sensor read {min(heat):.0f} to {max(heat):.0f} °C")
    else:
        yield Finding(None, "the device does not tell its temperature")
    for note in sorted({note for state in states for note in state.notes})[:3]:
        yield Finding(None, f"not watched: {note}")
