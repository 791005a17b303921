"""Waiting until the processor has cooled down, for a while and no longer."""

import re
import time
from typing import Any, Callable, Dict, Tuple

from ..protocol_conditions import Conditions, Cooling
from ..sensors.thermal import read_temperatures
from .privilege import RefusedError

Emit = Callable[[Dict[str, Any]], None]

#: Sensors of the processor, by what boards call them.
_CPU = re.compile(r"cpu|soc|pkg|package|coretemp|k10temp|zenpower|core|cluster|big|little|mid", re.IGNORECASE)
_LOOK_S = 1.0
_TELL_EVERY = 5
#: A device that has not become cooler for so long will not: this is how warm it is at rest.
STUCK_S = 120.0
_FALL_MC = 500


def cool(wanted: Conditions, emit: Emit, tree: str = "/") -> Cooling:
    """Wait until the hottest sensor of the processor is cool enough, it no longer cools, or the time is up.

    Raises:
        RefusedError: the device does not tell its temperature.
    """
    assert wanted.cool_to_mc is not None
    goal_mc = wanted.cool_to_mc
    began_s = time.monotonic()
    zone, first_mc = hottest(tree)
    now_mc = lowest_mc = first_mc
    lowest_s = began_s
    given_up = ""
    looks = 0
    while now_mc > goal_mc and not given_up:
        if looks == 0:
            emit({"event": "phase", "name": "cooling"})
        if looks % _TELL_EVERY == 0:
            emit({"event": "progress", "celsius": now_mc / 1000, "to_celsius": goal_mc / 1000})
        looks += 1
        time.sleep(_LOOK_S)
        zone, now_mc = hottest(tree)
        now_s = time.monotonic()
        if now_mc <= lowest_mc - _FALL_MC:
            lowest_mc, lowest_s = now_mc, now_s
        if now_s - began_s >= wanted.cool_limit_s:
            given_up = f"{wanted.cool_limit_s:g} s were over"
        elif now_s - lowest_s >= STUCK_S:
            given_up = f"it had not become cooler for {STUCK_S:g} s"
    if now_mc <= goal_mc:
        given_up = ""
    return Cooling(goal_mc, zone, first_mc, now_mc, time.monotonic() - began_s, given_up)


def hottest(tree: str = "/") -> Tuple[str, int]:
    """The hottest sensor of the processor, or of all where none has a name that says so: name, thousandths.

    Raises:
        RefusedError: there is none.
    """
    every = read_temperatures(tree)
    own = {zone: value for zone, value in every.items() if _CPU.search(zone)} or every
    if not own:
        raise RefusedError("the device does not tell its temperature", "leave out --cool-to")
    zone = max(own, key=lambda name: own[name])
    return zone, own[zone]
