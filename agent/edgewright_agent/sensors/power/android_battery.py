"""The battery as Android's health service reads it: for phones whose kernel shows its gauge only to services.

The battery service of ``dumpsys battery`` will not do: it repeats what it last heard, up to minutes ago, and
most Androids leave the current out of it.
"""

import re
from typing import Tuple

from .. import android
from ..sysfs import SensorError
from .gauge import Gauges

_CHARGER = re.compile(r"\bcharger(?P<name>Ac|Usb|Wireless|Dock)Online: true\b")
_STATUS = re.compile(r"\bbatteryStatus: (?P<status>\w{1,20})")
_MILLIVOLT = re.compile(r"\bbatteryVoltageMillivolts: (?P<value>\d{1,7})\b")
_MICROAMPERE = re.compile(r"\bbatteryCurrentMicroamps: (?P<value>-?\d{1,10})\b")

#: No phone's battery is outside: such a figure is in another unit.
_LEAST_MV, _MOST_MV = 2500, 15_000


class AndroidBattery:
    """The power that leaves the battery, while it discharges with no charger connected and only then.

    Each reading starts a process; whether that slows the inferences down is looked at with every run.
    """

    name = "android-battery"
    scope = "battery"
    kind = "power"
    rate_hz = 4.0

    def __init__(self, root: str = "/", path: str = "") -> None:
        self._executable = android.locate(root, path)
        self._gauges = Gauges()

    @property
    def rails(self) -> Tuple[str, ...]:
        """The one battery that Android knows of."""
        return ("battery",) if self._executable else ()

    @property
    def rule(self) -> str:
        """What is read, with the unit where it had to be inferred."""
        return f"current x voltage of the discharging battery, from its health service{self._gauges.rule}"

    def available(self) -> str:
        """No Android, an older one, no permission, or not discharging."""
        if not self._executable:
            return "dumpsys is not there: no Android"
        try:
            self.read()
        except SensorError as error:
            return str(error)
        return ""

    def read(self) -> int:
        """Milliwatts."""
        text = android.dump(self._executable, android.HEALTH)
        status, millivolt, current = _STATUS.search(text), _MILLIVOLT.search(text), _MICROAMPERE.search(text)
        if not (status and millivolt and current):
            raise SensorError("the health service tells no status, voltage and current of a battery")
        chargers = [match.group("name") for match in _CHARGER.finditer(text)]
        if chargers or status.group("status") != "DISCHARGING":
            raise SensorError(
                "a battery tells the device's power only while it discharges: "
                f"it is {status.group('status')}, chargers: {', '.join(chargers) or 'none'} "
                "(unplug the charger)"
            )
        voltage = int(millivolt.group("value"))
        if not _LEAST_MV <= voltage <= _MOST_MV:
            raise SensorError(f"the health service tells a voltage of {voltage} mV: no battery has that")
        value = int(current.group("value"))
        return round(self._gauges.microampere("current", "batteryCurrentMicroamps", value) * voltage / 1e6)
