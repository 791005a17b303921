"""Fetching, on this host, the wheels that a device needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgewright.errors import EdgewrightError

from .host_pip import HostPip
from .platform import Platform
from .wheels import Wheel, closure, read_wheel

#: How often what pip overlooked is asked for; each time it follows the requirements one step further.
_ROUNDS = 6
_INSTALLER = "pip"


@dataclass(frozen=True)
class Fetched:
    """Wheels on this host: the pip that the device's Python runs, and what it is to install there."""

    installer: Wheel
    wheels: tuple[Wheel, ...]


def fetch(
    pip: HostPip, requirements: Sequence[str], provided: Mapping[str, str], platform: Platform, folder: Path
) -> Fetched:
    """A pip, and the wheels of the requirements and of all that those need on the device, verified.

    Args:
        requirements: perhaps none.
        provided: what the device has already: the version of each, by canonical name.

    Raises:
        NoWheelError: something has no wheel for the platform.
        EdgewrightError: the index cannot be reached, or a wheel is damaged.
    """
    asked = (_INSTALLER, *requirements)
    for number in range(_ROUNDS):
        into = folder / str(number)
        pip.download(asked, platform, into, alone=bool(provided))
        wheels = _read(into, platform)
        found = closure(requirements, wheels, platform.markers, provided)
        if not found.missing:
            (installer,) = (wheel for wheel in wheels if wheel.name == _INSTALLER)
            return Fetched(installer, found.wheels)
        asked = tuple(dict.fromkeys((*asked, *found.missing)))
    wanted, missing = ", ".join(requirements), ", ".join(found.missing)
    raise EdgewrightError(f"pip does not find all that {wanted} need: {missing}")


def _read(folder: Path, platform: Platform) -> list[Wheel]:
    wheels = [read_wheel(path) for path in sorted(folder.iterdir())]
    for wheel in wheels:
        if not wheel.tags & platform.tags:
            raise EdgewrightError(f"{wheel.path.name} is not for {platform}")
    return wheels
