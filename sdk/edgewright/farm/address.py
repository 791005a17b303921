"""The way to a device, as ``address`` in ``farm.toml`` says it: over SSH, or by the Android debug bridge."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv6Address
from pathlib import Path

from edgewright.errors import ConfigError
from edgewright.transport.adb_address import SERIAL, AdbAddress

_ADB = "adb:"
_USER = re.compile(r"[A-Za-z0-9_.][A-Za-z0-9_.+@\\$-]{0,254}")
_HOST = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9._-]{0,252}[A-Za-z0-9_])?\.?")

#: Makes the error for an address, from what is wrong and what to do about it.
Wrong = Callable[[str, str], ConfigError]


@dataclass(frozen=True)
class SshAddress:
    """Where a device is, as written; what is None is for ``~/.ssh/config`` to say.

    Attributes:
        host: a name, an IPv4 address, or an IPv6 address without brackets.
        key: the private key's file.
        known_hosts: the file of trusted host keys.
    """

    host: str
    user: str | None = None
    port: int | None = None
    key: Path | None = None
    known_hosts: Path | None = None

    def __str__(self) -> str:
        """``user@host:port``, for people."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return (f"{self.user}@" if self.user else "") + host + (f":{self.port}" if self.port else "")


def adb_address(text: str, wrong: Wrong) -> AdbAddress | None:
    """``adb:SERIAL``; None for an address of another kind."""
    if not text.startswith(_ADB):
        return None
    serial = text.removeprefix(_ADB)
    if not SERIAL.fullmatch(serial):
        raise wrong(
            f"not a serial number: {serial!r}", 'write address = "adb:SERIAL", as adb devices shows it'
        )
    return AdbAddress(serial)


def user_and_host(text: str, wrong: Wrong) -> tuple[str | None, str]:
    """``user@host``, where the user may be left out and the host may be an IPv6 address."""
    user, at, host = text.rpartition("@")
    if at and not _USER.fullmatch(user):
        raise wrong(f"not a user name: {user!r}", 'write address = "user@host"')
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if ":" in bare:
        return user or None, _ipv6(bare, wrong)
    if bare != host or not _HOST.fullmatch(host):
        raise wrong(f"not a host name or address: {host!r}", 'write address = "user@host"')
    return user or None, host


def _ipv6(host: str, wrong: Wrong) -> str:
    try:
        scope = IPv6Address(host).scope_id or ""
    except ValueError:
        mend = "a port is a key of its own: port = 22" if host.count(":") == 1 or "]:" in host else ""
        raise wrong(f"not an IPv6 address: {host!r}", mend) from None
    if scope and not _HOST.fullmatch(scope):
        raise wrong(f"not an interface name: {scope!r}", "")
    return host
