"""Running average power limit: the energy counters of x86 packages, Intel's and AMD's, under one name.

Source: the kernel's Documentation/power/powercap/powercap.rst.
"""

import os
import re
import time
from typing import Callable, Dict, List, Tuple

from ..sysfs import DeniedError, SensorError, find, read_int, text_or_empty

_ZONE = re.compile(r"intel-rapl:\d+$")

#: No package draws this much: a counter that seems to have gone further was reset, it did not wrap.
_IMPOSSIBLE_WATT = 2000
_SLACK_UJ = 5_000_000


class Rapl:
    """The sum of all package counters.

    Core and uncore zones lie inside their package and are not added; memory and the rest of the board are
    not covered. Each counter wraps by itself, so wraps are undone here, zone by zone.
    """

    name = "rapl"
    scope = "CPU packages"
    kind = "energy"
    rate_hz = 50.0

    def __init__(self, root: str = "/", path: str = "", clock: Callable[[], int] = time.monotonic_ns) -> None:
        del path
        self._clock = clock
        self._zones: Dict[str, str] = {}
        for zone in find(root, "sys/class/powercap/intel-rapl:*"):
            label = text_or_empty(os.path.join(zone, "name"))
            if _ZONE.search(zone) and label.startswith("package"):
                self._zones[label] = zone
        self._last: Dict[str, int] = {}
        self._range: Dict[str, int] = {}
        self._last_ns = 0
        self._total_uj = 0

    @property
    def rails(self) -> Tuple[str, ...]:
        """The package zones."""
        return tuple(self._zones)

    @property
    def rule(self) -> str:
        """Sum of the packages."""
        return f"sum of {' + '.join(self._zones)}; memory and the rest of the board are not covered"

    def available(self) -> str:
        """Root alone may read the counters by default; the reason says how to open them."""
        if not self._zones:
            return "no RAPL package zone under /sys/class/powercap"
        denied: List[str] = []
        for zone in self._zones.values():
            try:
                read_int(os.path.join(zone, "energy_uj"))
                read_int(os.path.join(zone, "max_energy_range_uj"))
            except DeniedError as error:
                denied.append(error.path)
            except SensorError as error:
                return str(error)
        if denied:
            return f"no permission to read {denied[0]} (sudo chmod a+r {' '.join(denied)})"
        return ""

    def read(self) -> int:
        """Microjoules since the first reading."""
        now_ns = self._clock()
        limit_uj = (now_ns - self._last_ns) * _IMPOSSIBLE_WATT // 1000 + _SLACK_UJ
        for label, zone in self._zones.items():
            counter = read_int(os.path.join(zone, "energy_uj"))
            if label not in self._last:
                self._range[label] = read_int(os.path.join(zone, "max_energy_range_uj"))
            else:
                step = counter - self._last[label]
                if step < 0:
                    step += self._range[label]
                if not 0 <= step <= limit_uj:
                    raise SensorError(
                        f"{zone}/energy_uj jumped from {self._last[label]} to {counter}: it was reset"
                    )
                self._total_uj += step
            self._last[label] = counter
        self._last_ns = now_ns
        return self._total_uj
