"""The INA3221 monitors of NVIDIA Jetson modules.

JetPack 5 and 6 show them as hwmon (millivolt, milliampere), JetPack 4 as IIO with power in milliwatt.
Sources: the kernel's Documentation/hwmon/ina3221.rst; NVIDIA's Jetson Linux developer guide, "Software-based
power consumption modeling" and the power chapters of each module.
"""

import os
from typing import Iterator, List, NamedTuple, Tuple

from ..sysfs import DeniedError, SensorError, find, int_or_none, read_int, text_or_empty

#: Rails that carry all the others: Orin Nano/NX, Xavier NX and TX2; Nano; Xavier NX on early JetPack 4.
_TOTALS = ("VDD_IN", "POM_5V_IN", "5V_IN")

#: Modules whose inputs are separate and add up to the whole: AGX Orin, AGX Xavier.
_PARTITIONS = (
    frozenset({"VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0"}),
    frozenset({"GPU", "CPU", "SOC", "CV", "VDDRQ", "SYS5V"}),
)

_HWMON = ("sys/bus/i2c/drivers/ina3221/*/hwmon/hwmon*", "sys/class/hwmon/hwmon*")
_IIO = ("sys/bus/i2c/drivers/ina3221x/*/iio:device*", "sys/devices/3160000.i2c/i2c-*/*/iio:device*")


class _Channel(NamedTuple):
    """A rail, and its files: one in milliwatt, or two in millivolt and milliampere."""

    label: str
    files: Tuple[str, ...]

    def microwatt(self) -> int:
        values = [read_int(name) for name in self.files]
        return values[0] * (values[1] if len(values) == 2 else 1000)


class JetsonIna3221:
    """The module's input rail where there is one, else the sum of the rails; the rule says which."""

    name = "jetson-ina3221"
    kind = "power"
    rate_hz = 20.0

    def __init__(self, root: str = "/", path: str = "") -> None:
        del path
        channels = _hwmon(root) or _iio(root)
        by_label = {channel.label: channel for channel in channels}
        total = next((label for label in _TOTALS if label in by_label), "")
        if total:
            self._channels = [by_label[total]]
            self.scope = "module input"
            inside = [label for label in by_label if label != total]
            self.rule = f"{total} is the module's whole input" + (
                f"; {', '.join(inside)} lie inside it and are not added" if inside else ""
            )
        else:
            self._channels = channels
            covers = any(partition <= set(by_label) for partition in _PARTITIONS)
            self.scope = "module rails" if covers else "some module rails"
            self.rule = f"sum of {' + '.join(self.rails)}: there is no rail for the module's whole input" + (
                "" if covers else ", and it is not known whether these cover it"
            )

    @property
    def rails(self) -> Tuple[str, ...]:
        """The rails that are read."""
        return tuple(channel.label for channel in self._channels)

    def available(self) -> str:
        """Missing files, or missing permission with its mend."""
        if not self._channels:
            return "no INA3221 with a named rail under /sys/bus/i2c/drivers"
        try:
            self.read()
        except DeniedError as error:
            files = " ".join(name for channel in self._channels for name in channel.files)
            return f"{error} (sudo chmod a+r {files})"
        except SensorError as error:
            return str(error)
        return ""

    def read(self) -> int:
        """Milliwatts."""
        return round(sum(channel.microwatt() for channel in self._channels) / 1000)


def _hwmon(root: str) -> List[_Channel]:
    """JetPack 5 and 6. Channels 4 to 6 are shunt voltages and 7 is their sum: never read as supplies."""
    for pattern in _HWMON:
        chips = [d for d in find(root, pattern) if text_or_empty(os.path.join(d, "name")) == "ina3221"]
        channels = [channel for chip in chips for channel in _hwmon_channels(chip)]
        if channels:
            return channels
    return []


def _hwmon_channels(chip: str) -> Iterator[_Channel]:
    for index in (1, 2, 3):
        label = text_or_empty(f"{chip}/in{index}_label")
        if _connected(label) and int_or_none(f"{chip}/in{index}_enable") != 0:
            yield _Channel(label, (f"{chip}/in{index}_input", f"{chip}/curr{index}_input"))


def _iio(root: str) -> List[_Channel]:
    """JetPack 4, whose driver multiplies by itself."""
    for pattern in _IIO:
        channels = []
        for device in find(root, pattern):
            for index in (0, 1, 2):
                label = text_or_empty(f"{device}/rail_name_{index}")
                if _connected(label):
                    channels.append(_Channel(label, (f"{device}/in_power{index}_input",)))
        if channels:
            return channels
    return []


def _connected(label: str) -> bool:
    return bool(label) and label.upper() != "NC"
