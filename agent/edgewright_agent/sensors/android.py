"""What Android's services tell: temperatures, throttling and the battery.

``dumpsys`` asks them. A shell over adb may use it; an app, and so Termux, may not, and is told so.
Sources: AOSP's dumps of ThermalManagerService, BatteryService and the health HAL, and these HALs' types.
"""

import re
from typing import Dict, List, NamedTuple

from . import commands
from .sysfs import SensorError
from .thermal import LEAST_MC, MOST_MC

#: The battery's service; it reads the gauge anew each time, where ``battery`` tells what it last heard.
HEALTH = "android.hardware.health.IHealth/default"

_STATUS = re.compile(r"^Thermal Status: (?P<status>\d{1,2})\s*$", re.MULTILINE)
_TEMPERATURE = re.compile(
    r"\s+Temperature\{mValue=(?P<value>-?\d{1,6}(?:\.\d+)?), mType=(?P<kind>\d{1,3}), "
    r"mName=(?P<name>[^,}]{1,64}),"
)
_COOLER = re.compile(
    r"\s+CoolingDevice\{mValue=(?P<value>\d{1,9}), mType=(?P<kind>\d{1,3}), mName=(?P<name>[^,}]{1,64})[,}]"
)
#: These are volts, amperes and per cent of the battery.
_NO_TEMPERATURES = {6, 7, 8}
#: What slows processors down: of CPU, GPU, NPU and TPU. Others dim the display or turn a fan.
_PROCESSORS = {2, 3, 5, 7}
_BATTERY_TEMPERATURE = re.compile(r"^\s*temperature: (?P<tenths>-?\d{1,5})\s*$", re.MULTILINE)


class Thermal(NamedTuple):
    """Temperatures by sensor, in thousandths of a degree, and evidence of throttling by key.

    The keys are those of :func:`~edgewright_agent.sensors.throttle.read_throttling`.
    """

    temperature_mc: Dict[str, int]
    throttled: Dict[str, int]


def locate(root: str = "/", path: str = "") -> str:
    """``dumpsys``; an empty string where this is no Android."""
    return commands.locate("dumpsys", root, path)


def dump(executable: str, service: str) -> str:
    """What a service says.

    Raises:
        SensorError: it says nothing, or not to us.
    """
    text = commands.run([executable, service]).text
    if text.startswith(("Permission Denial", "Can't dump")) or "\nPermission Denial" in text[:400]:
        raise SensorError(f"dumpsys {service}: permission denied (adb's shell has it, an app has not)")
    if not text:
        raise SensorError(f"dumpsys {service}: this Android tells nothing")
    return text


def read_thermal(executable: str) -> Thermal:
    """Android 10 and newer.

    Raises:
        SensorError: there is no such service, or what it says is not its own measurement.
    """
    return parse_thermal(dump(executable, "thermalservice"))


def parse_thermal(text: str) -> Thermal:
    """``dumpsys thermalservice``: what the hardware says now, not what the service remembers.

    Raises:
        SensorError: it does not tell its status, or somebody has overridden it.
    """
    status = _STATUS.search(text)
    if status is None:
        raise SensorError("dumpsys thermalservice: no thermal status in its answer")
    if "IsStatusOverride: true" in text:
        raise SensorError("the thermal status is overridden (cmd thermalservice reset)")
    found = Thermal({}, {"now:thermal-status": int(status.group("status"))})
    for match in map(_TEMPERATURE.match, _section(text, "Current temperatures from HAL:")):
        if match and int(match.group("kind")) not in _NO_TEMPERATURES:
            value = round(float(match.group("value")) * 1000)
            if LEAST_MC <= value <= MOST_MC:
                found.temperature_mc[match.group("name")] = value
    for match in map(_COOLER.match, _section(text, "Current cooling devices from HAL:")):
        if match and int(match.group("kind")) in _PROCESSORS:
            found.throttled[f"level:{match.group('name')}"] = int(match.group("value"))
    return found


def read_battery_mc(executable: str) -> int:
    """The battery's temperature in thousandths of a degree.

    Raises:
        SensorError: the service does not tell, or has been stopped with a value that somebody set.
    """
    text = dump(executable, "battery")
    if "UPDATES STOPPED" in text:
        raise SensorError("dumpsys battery: its updates are stopped (dumpsys battery reset)")
    match = _BATTERY_TEMPERATURE.search(text)
    value = int(match.group("tenths")) * 100 if match else MOST_MC + 1
    if not LEAST_MC <= value <= MOST_MC:
        raise SensorError("dumpsys battery: no temperature in its answer")
    return value


def _section(text: str, title: str) -> List[str]:
    """The indented lines after a title."""
    lines = text.partition(f"{title}\n")[2].split("\n")
    end = next((index for index, line in enumerate(lines) if not line[:1].isspace()), len(lines))
    return lines[:end]
