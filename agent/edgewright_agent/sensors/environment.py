"""The device's state at one moment."""

import os
import time
from typing import Dict, List, Tuple

from ..protocol import Environment
from . import android, vcgencmd
from .clocks import read_frequencies, read_governors
from .power_mode import read_power_mode
from .sysfs import SensorError, is_closed, text_or_empty
from .thermal import read_temperatures
from .throttle import decode_pi, read_throttling

_FOLDERS = ("sys/class/thermal", "sys/devices/system/cpu/cpufreq")


def read_environment(root: str = "/", path: str = "") -> Environment:
    """All that the device tells, at the cost of milliseconds unless there are vendor commands to ask.

    What it does not tell is absent; what it refuses to tell is in ``notes`` with the reason, since a run
    that nobody could watch must not count as undisturbed.
    """
    t_ns = time.monotonic_ns()
    notes = _closed_folders(root)
    temperature, frequency, throttled = read_temperatures(root), read_frequencies(root), read_throttling(root)
    notes += _ask_firmware(vcgencmd.locate(root, path), temperature, frequency, throttled)
    notes += _ask_android(android.locate(root, path), temperature, throttled)
    power_mode = ""
    try:
        power_mode = read_power_mode(root, path)
    except SensorError as error:
        notes.append(str(error))
    return Environment(
        t_ns=t_ns,
        temperature_mc=temperature,
        frequency_khz=frequency,
        governor=read_governors(root),
        throttled=throttled,
        power_mode=power_mode,
        load_average=_load_average(root),
        notes=tuple(notes),
    )


def _ask_firmware(
    executable: str, temperature: Dict[str, int], frequency: Dict[str, int], throttled: Dict[str, int]
) -> List[str]:
    """Add what a Raspberry Pi's firmware says.

    Its measured clock takes the place of cpufreq's, which goes on showing the clock that was asked for
    while the firmware throttles.
    """
    if not executable:
        return []
    firmware = vcgencmd.read_firmware(executable)
    if firmware.soc_mc is not None:
        temperature["soc"] = firmware.soc_mc
    if firmware.arm_khz is not None:
        clocks = [clock for clock in frequency if clock.startswith("cpu")] or ["cpu0"]
        frequency.update((clock, firmware.arm_khz) for clock in clocks)
    if firmware.throttled is not None:
        throttled.update(decode_pi(firmware.throttled))
    return list(firmware.problems)


def _ask_android(executable: str, temperature: Dict[str, int], throttled: Dict[str, int]) -> List[str]:
    """Add what Android's services say; where they tell no temperature either, the battery's."""
    if not executable:
        return []
    notes = []
    try:
        thermal = android.read_thermal(executable)
        temperature.update(thermal.temperature_mc)
        throttled.update(thermal.throttled)
    except SensorError as error:
        notes.append(str(error))
    if not temperature:
        try:
            temperature["battery"] = android.read_battery_mc(executable)
        except SensorError as error:
            notes.append(str(error))
    return notes


def _closed_folders(root: str) -> List[str]:
    folders = [os.path.join(root, folder) for folder in _FOLDERS]
    return [f"no permission to list {folder}" for folder in folders if is_closed(folder)]


def _load_average(root: str) -> Tuple[float, ...]:
    words = text_or_empty(os.path.join(root, "proc/loadavg")).split()[:3]
    try:
        return tuple(float(word) for word in words)
    except ValueError:
        return ()
