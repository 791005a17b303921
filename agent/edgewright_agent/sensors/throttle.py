"""Whether the device holds itself back, and whether it has since boot."""

import os
import re
from typing import Dict

from .sysfs import find, int_or_none, text_or_empty

#: Bits of ``get_throttled``: the condition holds now; sixteen bits higher, it has held since boot.
#: Source: raspberrypi.com, documentation of vcgencmd.
PI_BITS = ("under-voltage", "frequency-capped", "throttled", "soft-temperature-limit")

_FIRMWARE = (
    "sys/devices/platform/soc/soc:firmware/get_throttled",
    "sys/devices/platform/soc*/*firmware/get_throttled",
)
_COOLERS = re.compile(r"cpufreq|devfreq|processor|cpu-(?:alert|throttle)|gpu", re.IGNORECASE)
_HEX = re.compile(r"^(?:0x)?(?P<bits>[0-9a-fA-F]{1,8})$")


def read_throttling(root: str = "/") -> Dict[str, int]:
    """Evidence of throttling by key, whose first word says how to read the value:

    ``now:NAME``         not 0: the condition holds at this moment;
    ``since-boot:NAME``  1: it has held; compare before and after, for it stays;
    ``count:NAME``       events counted since boot; a difference between two readings is the evidence;
    ``level:NAME``       not 0: this cooling device is slowing its processor down at this moment.
    """
    found = _raspberry_pi(root)
    for chip in find(root, "sys/class/hwmon/hwmon*"):
        name = text_or_empty(os.path.join(chip, "name"))
        if name == "soctherm_oc":
            for file in find(chip, "oc*_event_cnt"):
                _put(found, "count:over-current-" + os.path.basename(file)[: -len("_event_cnt")], file)
        elif name == "rpi_volt" and "now:under-voltage" not in found:
            _put(found, "now:under-voltage", os.path.join(chip, "in0_lcrit_alarm"))
    for file in find(root, "sys/devices/system/cpu/cpu0/thermal_throttle/*_throttle_count"):
        _put(found, "count:" + os.path.basename(file)[: -len("_throttle_count")] + "-thermal", file)
    for cooler in find(root, "sys/class/thermal/cooling_device*"):
        kind = text_or_empty(os.path.join(cooler, "type"))
        if _COOLERS.search(kind):
            key = f"level:{kind}"
            while key in found:
                key += "+"
            _put(found, key, os.path.join(cooler, "cur_state"))
    return found


def decode_pi(bits: int) -> Dict[str, int]:
    """The bits of ``get_throttled`` by name."""
    found = {}
    for index, name in enumerate(PI_BITS):
        found[f"now:{name}"] = bits >> index & 1
        found[f"since-boot:{name}"] = bits >> (16 + index) & 1
    return found


def _raspberry_pi(root: str) -> Dict[str, int]:
    for pattern in _FIRMWARE:
        for file in find(root, pattern):
            match = _HEX.match(text_or_empty(file))
            if match:
                return decode_pi(int(match.group("bits"), 16))
    return {}


def _put(found: Dict[str, int], key: str, file: str) -> None:
    value = int_or_none(file)
    if value is not None:
        found[key] = value
