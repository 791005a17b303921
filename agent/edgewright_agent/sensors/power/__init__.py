"""Power sensors: one source a file, one Protocol, and the choice between them."""

from typing import Callable, Dict, Optional, Sequence, Tuple

from .android_battery import AndroidBattery
from .ina2xx import Ina2xx
from .ina3221 import JetsonIna3221
from .power_supply import PowerSupply
from .rapl import Rapl
from .rpi_pmic import RpiPmic
from .sampler import PowerSampler
from .sensor import PowerSensor, SensorError

__all__ = ["POWER_SENSORS", "PowerSampler", "PowerSensor", "SensorError", "choose"]

#: Name, as device profiles use it, to the constructor taking ``root`` and ``path``.
POWER_SENSORS: Dict[str, Callable[[str, str], PowerSensor]] = {
    "rpi-pmic": RpiPmic,
    "jetson-ina3221": JetsonIna3221,
    "rapl": Rapl,
    "power-supply": PowerSupply,
    "android-battery": AndroidBattery,
    "ina2xx": Ina2xx,
}


def choose(names: Sequence[str], root: str = "/", path: str = "") -> Tuple[Optional[PowerSensor], str]:
    """The first sensor of ``names`` that answers, or None and why none of them does, each in its turn."""
    tried = []
    for name in names:
        if name not in POWER_SENSORS:
            tried.append(f"{name}: no power sensor has this name (there are {', '.join(POWER_SENSORS)})")
            continue
        sensor = POWER_SENSORS[name](root, path)
        reason = sensor.available()
        if not reason:
            return sensor, ""
        tried.append(f"{name}: {reason}")
    return None, "; ".join(tried) or "the device profile names no power sensor"
