"""Idle, work, idle: the pass in which power is sampled, apart from the timed loop.

When a meter outside the device watches, its clock is not the device's. So the pass begins and ends with
marker pulses: bursts of inferences at times the device knows, which the host finds again in the meter's
readings. Their pattern is Barker's code of length seven, which resembles no shifted copy of itself.
"""

import time
from typing import Callable, List, Optional, Tuple

from .protocol import EnergyPlan, Window

#: Alternately working and idle, in units of the plan's ``marker_ns``: + + + - - + -
BARKER_7 = (3, 2, 1, 1)

SETTLE, MARKER = "settle", "marker"
BEFORE, AFTER = "-before", "-after"


def energy_pass(
    invoke: Callable[[], object],
    plan: Optional[EnergyPlan],
    enter: Callable[[str], None],
    active: Callable[[], object],
) -> Tuple[Window, ...]:
    """Make the pass and return its windows in their order; ``enter`` is told the phases.

    ``active`` is the inference whose energy counts, with what waiting belongs to it; markers do not wait.
    """
    if plan is None:
        return ()
    windows: List[Window] = []
    if plan.marker_ns:
        enter("markers")
        windows.append(_idle(SETTLE + BEFORE, plan.settle_ns))
        windows += _markers(MARKER + BEFORE, invoke, plan.marker_ns)
    enter("idle-before")
    windows.append(_idle("idle-before", plan.idle_ns))
    enter("active")
    windows.append(_busy("active", active, plan.min_duration_ns))
    enter("idle-after")
    windows.append(_idle("idle-after", plan.idle_ns))
    if plan.marker_ns:
        enter("markers-after")
        windows += _markers(MARKER + AFTER, invoke, plan.marker_ns)
        windows.append(_idle(SETTLE + AFTER, plan.settle_ns))
    enter("energy-done")
    return tuple(windows)


def _markers(name: str, invoke: Callable[[], object], unit_ns: int) -> List[Window]:
    """The pulses as they really were: a slow inference makes one longer, and the host is told."""
    pulses = []
    for position, units in enumerate(BARKER_7):
        if position % 2 == 0:
            pulses.append(_busy(name, invoke, units * unit_ns))
        else:
            _idle(name, units * unit_ns)
    return pulses


def _busy(name: str, invoke: Callable[[], object], duration_ns: int) -> Window:
    start, count = time.monotonic_ns(), 0
    while time.monotonic_ns() - start < duration_ns:
        invoke()
        count += 1
    return Window(name, start, time.monotonic_ns(), count)


def _idle(name: str, duration_ns: int) -> Window:
    start = time.monotonic_ns()
    time.sleep(duration_ns / 1e9)
    return Window(name, start, time.monotonic_ns())
