"""Temperatures: thermal zones by their type, and the x86 sensors that are not zones."""

import os
from typing import Dict

from .sysfs import find, int_or_none, text_or_empty

#: Thousandths of a degree: outside, it is a zone that is off (-256000 on Jetson) or a driver's nonsense.
LEAST_MC, MOST_MC = -40_000, 150_000

#: Zones which always say the same: (type in lower case, constant).
_PLACEHOLDERS = {("pmic", 100_000), ("pmic-die", 100_000)}

_HWMON = ("coretemp", "k10temp", "zenpower")


def read_temperatures(root: str = "/") -> Dict[str, int]:
    """Zone type -> thousandths of a degree Celsius.

    Zones are numbered anew at each boot, so they are known by their type.
    A second zone of a type is ``type-2``. Zones that are off are left out.
    """
    found: Dict[str, int] = {}
    for zone in find(root, "sys/class/thermal/thermal_zone*"):
        kind = text_or_empty(os.path.join(zone, "type"))
        if kind:
            _add(found, kind, os.path.join(zone, "temp"))
    for chip in find(root, "sys/class/hwmon/hwmon*"):
        kind = text_or_empty(os.path.join(chip, "name"))
        if kind in _HWMON:
            for name in find(chip, "temp*_input"):
                label = text_or_empty(name.replace("_input", "_label"))
                _add(found, f"{kind} {label}".strip(), name)
    return found


def _add(found: Dict[str, int], kind: str, file: str) -> None:
    value = int_or_none(file)
    if value is None or not LEAST_MC <= value <= MOST_MC or (kind.lower(), value) in _PLACEHOLDERS:
        return
    name, number = kind, 2
    while name in found:
        name, number = f"{kind}-{number}", number + 1
    found[name] = value
