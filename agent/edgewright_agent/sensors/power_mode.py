"""The power mode somebody set: part of what makes two measurements comparable."""

import os
import re

from . import commands
from .sysfs import SensorError, text_or_empty

_MODE = re.compile(r"^NV Power Mode:\s*(?P<name>\S.{0,63}?)\s*$", re.MULTILINE)


def read_power_mode(root: str = "/", path: str = "") -> str:
    """Jetson's ``nvpmodel`` mode, or the firmware's platform profile; empty where the device has neither.

    Raises:
        SensorError: there is an ``nvpmodel``, and it does not tell.
    """
    executable = commands.locate("nvpmodel", root, path)
    if executable:
        return parse_nvpmodel(commands.run([executable, "-q"]).text)
    return text_or_empty(os.path.join(root, "sys/firmware/acpi/platform_profile"))


def parse_nvpmodel(text: str) -> str:
    """``nvpmodel -q``: the mode's name.

    Raises:
        SensorError: the answer has none; usually it says why.
    """
    found = _MODE.search(text)
    if found is None:
        raise SensorError(f"nvpmodel -q: {text.splitlines()[0][:120] if text else 'no answer'}")
    return found.group("name")
