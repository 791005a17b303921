"""What the user wants set on a device for a run: ``--set-governor``, ``--power-mode`` and ``--cool-to``.

What they are called on the device is for the device to judge; here it is seen to that they could be names.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from edgewright.errors import ConfigError
from edgewright_agent.protocol import Conditions

_GOVERNOR = re.compile(r"[a-z_]{1,15}")
_POWER_MODE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,63}")
_CELSIUS = re.compile(r"(?P<degrees>[0-9]{1,3}(?:\.[0-9]{1,3})?) ?(?:°? ?C)?")
#: Nothing with a heat sink gets cooler than the one, nor may run warmer than the other.
COOLEST, WARMEST = 10.0, 110.0


def conditions_from(
    governor: str | None, power_mode: str | None, cool_to: str | None, named: Callable[[str], str]
) -> Conditions:
    """What is to be set; nothing where nothing is given.

    Args:
        named: how the user knows an option, from its key in a plan.

    Raises:
        ConfigError: one line that names the option.
    """
    if governor is not None and not _GOVERNOR.fullmatch(governor):
        raise ConfigError(
            f"{named('set_governor')} is {governor!r}, not the name of a governor", mend="such as performance"
        )
    if power_mode is not None and not _POWER_MODE.fullmatch(power_mode):
        raise ConfigError(
            f"{named('power_mode')} is {power_mode!r}, not the name of a power mode",
            mend="such as 25W or MAXN",
        )
    cool_to_mc = None if cool_to is None else _millidegrees(cool_to, named("cool_to"))
    return Conditions(governor or "", power_mode or "", cool_to_mc)


def either(first: Conditions, second: Conditions) -> Conditions:
    """What the first asks for, and what the second does where the first asks for nothing."""
    cool_to_mc = second.cool_to_mc if first.cool_to_mc is None else first.cool_to_mc
    return Conditions(first.governor or second.governor, first.power_mode or second.power_mode, cool_to_mc)


def _millidegrees(text: str, name: str) -> int:
    match = _CELSIUS.fullmatch(text.strip())
    degrees = float(match["degrees"]) if match else 0.0
    if not COOLEST <= degrees <= WARMEST:
        raise ConfigError(
            f"{name} is {text!r}, not a temperature in degrees Celsius",
            mend=f"such as 50C, from {COOLEST:g}C to {WARMEST:g}C",
        )
    return round(degrees * 1000)
