"""Reaching a device by whatever way leads to it."""

from __future__ import annotations

from typing import Protocol

from edgewright.transport import Transport
from edgewright.transport.adb_address import AdbAddress
from edgewright.transport.ssh_config import SshAddress


class DeviceTarget(Protocol):
    """Where a device is and how to use it; ``link`` is None for this machine."""

    @property
    def name(self) -> str:
        """Its name in the farm file."""

    @property
    def link(self) -> SshAddress | AdbAddress | None:
        """Its address."""

    @property
    def python(self) -> str:
        """The interpreter: a command, or a path relative to the device's home directory."""

    @property
    def workdir(self) -> str:
        """The agent's folder, relative to the device's home directory unless absolute."""

    @property
    def store_limit_bytes(self) -> int:
        """What models and data may take there; 0 leaves it to the device."""


def connect_to(target: DeviceTarget) -> Transport:
    """A connection to the device.

    Raises:
        TransportError, UntrustedHost, AccessDenied: it cannot be reached.
    """
    if target.link is None:
        from edgewright.transport.local import LocalTransport

        return LocalTransport(target.name)
    if isinstance(target.link, AdbAddress):
        from edgewright.transport.adb import AdbTransport

        return AdbTransport.open(target.name, target.link)
    from edgewright.transport.ssh import SshTransport

    return SshTransport.open(target.name, target.link)
