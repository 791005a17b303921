"""The battery's own gauge: Android devices and laptops.

Source: the kernel's Documentation/ABI/testing/sysfs-class-power, and what vendors make of it: the sign of
the current differs, and some give milliampere where microampere are due.
"""

import os
from typing import List, Tuple

from ..sysfs import DeniedError, SensorError, find, int_or_none, is_closed, read_int, read_text, text_or_empty
from .gauge import Gauges, not_zero


class PowerSupply:
    """The power that leaves the batteries, while they discharge and only then.

    On external power the gauge shows what charges the battery, not what the device draws, so it is refused
    before the run, and the run's readings end with an error if the charger is plugged in during it.
    """

    name = "power-supply"
    scope = "battery"
    kind = "power"
    rate_hz = 4.0

    def __init__(self, root: str = "/", path: str = "") -> None:
        del path
        self._class = os.path.join(root, "sys/class/power_supply")
        self._batteries: List[str] = [
            supply
            for supply in find(root, "sys/class/power_supply/*")
            if text_or_empty(os.path.join(supply, "type")) == "Battery"
            and text_or_empty(os.path.join(supply, "scope")) != "Device"
            and int_or_none(os.path.join(supply, "present")) != 0
        ]
        self._gauges = Gauges()

    @property
    def rails(self) -> Tuple[str, ...]:
        """The batteries."""
        return tuple(os.path.basename(battery) for battery in self._batteries)

    @property
    def rule(self) -> str:
        """What is read, with the unit where it had to be inferred."""
        text = "power_now or current_now x voltage_now of the discharging battery; direction from its status"
        return text + self._gauges.rule

    def available(self) -> str:
        """No battery, no access, or not discharging."""
        try:
            if is_closed(self._class):
                raise DeniedError(self._class)
            if not self._batteries:
                return "no battery under /sys/class/power_supply"
            self.read()
        except DeniedError as error:
            return f"{error} (run the agent as root: sudo, or tsu in Termux)"
        except SensorError as error:
            return str(error)
        return ""

    def read(self) -> int:
        """Milliwatts."""
        states = {battery: read_text(os.path.join(battery, "status")) for battery in self._batteries}
        shown = ", ".join(f"{os.path.basename(battery)} {state}" for battery, state in states.items())
        discharging = [battery for battery, state in states.items() if state == "Discharging"]
        if "Charging" in states.values() or not discharging:
            raise SensorError(
                f"a battery tells the device's power only while it discharges: {shown} (unplug the charger)"
            )
        return round(sum(self._microwatt(battery) for battery in discharging) / 1000)

    def _microwatt(self, battery: str) -> int:
        direct = os.path.join(battery, "power_now")
        if os.path.exists(direct):
            return not_zero(direct, abs(read_int(direct)))
        file = os.path.join(battery, "current_now")
        name = f"{os.path.basename(battery)}: current_now"
        microampere = self._gauges.microampere(name, file, read_int(file))
        return microampere * read_int(os.path.join(battery, "voltage_now")) // 1_000_000
