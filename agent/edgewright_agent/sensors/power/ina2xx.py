"""A single-channel INA219, INA226 or relative which somebody wired into a supply.

Source: the kernel's Documentation/hwmon/ina2xx.rst.
"""

import os
from typing import Tuple

from ..sysfs import DeniedError, SensorError, find, int_or_none, read_int, text_or_empty

_CHIPS = ("ina219", "ina220", "ina226", "ina230", "ina231")


class Ina2xx:
    """The chip's own power register. What it covers depends on the wiring, so only one chip is accepted."""

    name = "ina2xx"
    scope = "the supply behind the INA2xx shunt"
    kind = "power"
    rate_hz = 50.0

    def __init__(self, root: str = "/", path: str = "") -> None:
        del path
        self._found = []
        for device in find(root, "sys/class/hwmon/hwmon*"):
            chip = text_or_empty(os.path.join(device, "name"))
            if chip in _CHIPS:
                self._found.append((chip, device))
        self.rails: Tuple[str, ...] = tuple(chip for chip, _ in self._found)
        self.rule = ""
        if self._found:
            ohm = int_or_none(os.path.join(self._found[0][1], "shunt_resistor"))
            shunt = f"{ohm} micro-ohm" if ohm else "unknown"
            self.rule = f"power1_input with shunt_resistor {shunt}; a wrong shunt scales every reading"

    def available(self) -> str:
        """None, several, or not readable."""
        if not self._found:
            return f"no {', '.join(_CHIPS)} under /sys/class/hwmon"
        if len(self._found) > 1:
            where = ", ".join(device for _, device in self._found)
            return f"{len(self._found)} INA2xx chips ({where}) and no telling which of them feeds the device"
        try:
            self.read()
        except DeniedError as error:
            return f"{error} (sudo chmod a+r {error.path})"
        except SensorError as error:
            return str(error)
        return ""

    def read(self) -> int:
        """Milliwatts."""
        return round(read_int(os.path.join(self._found[0][1], "power1_input")) / 1000)
