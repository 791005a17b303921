"""Where a device is that the Android debug bridge reaches."""

from __future__ import annotations

import re
from dataclasses import dataclass

#: As ``adb devices`` shows it: a serial number, ``host:port``, or the name of a paired device.
SERIAL = re.compile(r"[A-Za-z0-9_\[][A-Za-z0-9_.:\[\]-]{0,127}")
_NETWORK = re.compile(r"(?:\[[0-9a-fA-F:.]+\]|[^:]+):[0-9]{1,5}")


@dataclass(frozen=True)
class AdbAddress:
    """A device by its serial number in ``adb devices``."""

    serial: str

    @property
    def is_network(self) -> bool:
        """Whether it is a ``host:port`` that adb has to connect to first."""
        return _NETWORK.fullmatch(self.serial) is not None

    def __str__(self) -> str:
        """As in the farm file."""
        return f"adb:{self.serial}"
