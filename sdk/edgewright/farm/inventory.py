"""The user's devices: ``farm.toml`` and this machine.

    [devices.kitchen-pi]
    profile = "raspberry-pi-5"            # a profile's name, or a .toml file beside this one
    address = "pi@192.168.1.20"           # user@host, a Host of ~/.ssh/config, or adb:SERIAL
    port = 22
    key = "keys/pi_ed25519"               # relative paths are relative to this file
    known_hosts = "known_hosts"
    python = "venv/bin/python"            # relative to the device's home directory
    workdir = ".cache/edgewright"
    store_limit = "2GB"                   # for models and data on the device; the oldest in use go first
    tags = ["lab", "arm"]
    site = "berlin"                       # whose workers reach it, see docs/site-wide.md
    power_cycle = "uhubctl -l 1-1 -a cycle"  # run on this host, see .power

``[signing] key = "keys/models"`` names the private key that vouches for the models, see docs/signing.md.
A device may have a power meter outside of it, ``[devices.NAME.meter]``: see :mod:`.meter_config`.
The device ``local`` always exists: this machine, with the profile that fits it.
"""

from __future__ import annotations

import os
import re
import sys
from dataclasses import dataclass, replace
from dataclasses import field as dataclass_field
from pathlib import Path
from typing import Annotated

from pydantic import Field
from pydantic.dataclasses import dataclass as schema

from edgewright.config import STRICT, did_you_mean, load_toml, printable, user_path
from edgewright.errors import ConfigError
from edgewright.profiles import load_profiles, match_profile, profile_names
from edgewright.transport.adb_address import AdbAddress

from .address import SshAddress, adb_address, user_and_host
from .meter_config import MeterConfig, MeterTable
from .power import power_command
from .store_limit import store_limit_bytes
from .this_machine import this_machine

__all__ = ["DEFAULT_WORKDIR", "LOCAL", "VARIABLE", "Inventory", "SshAddress", "Target", "load_inventory"]

VARIABLE = "EDGEWRIGHT_FARM"
LOCAL = "local"
DEFAULT_WORKDIR = ".cache/edgewright"

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True)
class Target:
    """One device.

    Attributes:
        profile: what :func:`edgewright.profiles.load_profile` takes.
        link: where it is; None for this machine.
        python: the interpreter: a command, or a path relative to the device's home directory.
        workdir: the agent's folder, relative to the device's home directory unless absolute.
        meter: a power meter outside the device.
        store_limit_bytes: what models and data may take there; 0 leaves it to the device.
        power_cycle: words of a command of this host that takes its power away and gives it back.
        site: whose workers reach it, where measuring is shared among hosts; empty for none's.
    """

    name: str
    profile: str
    link: SshAddress | AdbAddress | None = None
    python: str = "python3"
    workdir: str = DEFAULT_WORKDIR
    tags: tuple[str, ...] = ()
    meter: MeterConfig | None = None
    store_limit_bytes: int = 0
    power_cycle: tuple[str, ...] = ()
    site: str = ""

    @property
    def address(self) -> str:
        """``user@host:port`` or ``adb:SERIAL``, for people; ``this machine`` for the local device."""
        return "this machine" if self.link is None else str(self.link)


@dataclass(frozen=True)
class Inventory:
    """All devices, ``local`` first.

    Attributes:
        path: the farm file that was read, if any.
        local_reason: why there is no ``local`` device, when this machine fits no profile.
        signing_key: the private key that the file names in ``[signing]``.
    """

    path: Path | None
    targets: tuple[Target, ...]
    local_reason: str = ""
    signing_key: Path | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The devices' names in order."""
        return tuple(target.name for target in self.targets)

    def get(self, name: str) -> Target:
        """The device of that name.

        Raises:
            ConfigError: when there is none, with the nearest known name.
        """
        for target in self.targets:
            if target.name == name:
                return target
        if name == LOCAL:
            raise ConfigError(f"device {LOCAL!r}: {self.local_reason}", mend="set profile in [devices.local]")
        where = f"in {self.path}" if self.path else "and there is no farm.toml"
        raise ConfigError(f"unknown device {name!r} {where}", mend=did_you_mean(name, self.names))


@schema(frozen=True, config=STRICT)
class _Device:
    """``[devices.NAME]`` as written."""

    profile: str | None = None
    address: str | None = None
    port: Annotated[int, Field(ge=1, le=65535)] | None = None
    key: str | None = None
    known_hosts: str | None = None
    python: str | None = None
    workdir: str | None = None
    store_limit: str | None = None
    tags: tuple[Annotated[str, Field(pattern=f"^{_NAME.pattern}$")], ...] = ()
    meter: MeterTable | None = None
    power_cycle: str | tuple[str, ...] | None = None
    site: Annotated[str, Field(pattern=f"^{_NAME.pattern}$")] | None = None


@schema(frozen=True, config=STRICT)
class _Signing:
    """``[signing]`` as written."""

    key: str


@schema(frozen=True, config=STRICT)
class _Farm:
    """``farm.toml`` as written."""

    devices: dict[str, _Device] = dataclass_field(default_factory=dict)
    signing: _Signing | None = None


def load_inventory(path: Path | None = None) -> Inventory:
    """The devices of ``path``, else of ``EDGEWRIGHT_FARM``, else of ``./farm.toml``, else only ``local``.

    Raises:
        ConfigError: the file named does not exist, or something in it is wrong: its file and key are named.
    """
    path = path or _found()
    if path is None:
        return _inventory(None, {})
    farm = load_toml(path, _Farm)
    inventory = _inventory(path, farm.devices)
    if farm.signing is None:
        return inventory
    return replace(inventory, signing_key=path.parent / user_path(farm.signing.key, f"{path}: signing.key"))


def _inventory(path: Path | None, devices: dict[str, _Device]) -> Inventory:
    known = profile_names()
    targets: list[Target] = []
    for name, device in devices.items():
        entry = _Entry(path or Path(), name, device)
        if not _NAME.fullmatch(name):
            raise entry.wrong("", f"a name has letters, digits, '.', '_' and '-', at most 64, got {name!r}")
        if name != LOCAL:
            targets.append(entry.remote(known))
    local = _Entry(path or Path(), LOCAL, devices.get(LOCAL, _Device()))
    profile = local.profile(known) if local.device.profile is not None else _fitting_profile()
    if profile is None:
        machine = this_machine()
        return Inventory(path, tuple(targets), f"no profile fits this machine ({machine.arch})")
    return Inventory(path, (local.local(profile), *targets))


def _fitting_profile() -> str | None:
    machine = this_machine()
    return match_profile(machine.arch, machine.features, machine.board, load_profiles())


def _found() -> Path | None:
    if text := os.environ.get(VARIABLE):
        path = user_path(text, VARIABLE)
        if not path.is_file():
            raise ConfigError(f"{VARIABLE}: {path}: no such file")
        return path
    own = Path("farm.toml")
    return own if own.is_file() else None


@dataclass(frozen=True)
class _Entry:
    """One ``[devices.NAME]``, with the file it stands in for messages and relative paths."""

    farm: Path
    name: str
    device: _Device

    def wrong(self, key: str, message: str, mend: str = "") -> ConfigError:
        where = printable(".".join(filter(None, ("devices", self.name, key))))
        return ConfigError(f"{self.farm}: {where}: {message}", mend=mend)

    def remote(self, known: tuple[str, ...]) -> Target:
        if self.device.address is None:
            raise self.wrong("", "missing key 'address'", 'write address = "user@host"')
        python = self._word("python", self.device.python or "python3").removeprefix("~/")
        if python.startswith("~"):
            raise self.wrong("python", f"another user's home directory: {python!r}", "write the whole path")
        workdir = self._workdir(self.device.workdir or DEFAULT_WORKDIR)
        link = self._link(self.device.address)
        target = Target(self.name, self.profile(known), link, python, workdir, self.device.tags)
        cycle = power_command(self.device.power_cycle, self.wrong)
        limit = store_limit_bytes(self.device.store_limit, self.wrong)
        target = replace(target, power_cycle=cycle, site=self.device.site or "")
        return replace(target, meter=self._meter(), store_limit_bytes=limit)

    def _link(self, address: str) -> SshAddress | AdbAddress:
        def wrong(message: str, mend: str) -> ConfigError:
            return self.wrong("address", message, mend)

        adb = adb_address(address, wrong)
        if adb is None:
            user, host = user_and_host(address, wrong)
            return SshAddress(host, user, self.device.port, self._path("key"), self._path("known_hosts"))
        for key in ("port", "key", "known_hosts"):
            if getattr(self.device, key) is not None:
                raise self.wrong(key, f"{adb} is not reached over SSH", f"leave {key} out")
        return adb

    def local(self, profile: str) -> Target:
        if self.device.power_cycle is not None:
            raise self.wrong("power_cycle", f"{LOCAL!r} is the machine that would run it", "leave it out")
        if self.device.site is not None:
            raise self.wrong("site", f"{LOCAL!r} is whichever machine runs this", "leave it out")
        for key in ("address", "port", "key", "known_hosts"):
            if getattr(self.device, key) is not None:
                raise self.wrong(
                    key, f"{LOCAL!r} is this machine and is not reached over SSH", "use another name"
                )
        python = self._word("python", self.device.python or sys.executable)
        if "/" in python:
            python = str(self._beside("python", python))
        workdir = self._workdir(self.device.workdir or DEFAULT_WORKDIR)
        limit = store_limit_bytes(self.device.store_limit, self.wrong)
        target = Target(self.name, profile, None, python, workdir, self.device.tags)
        return replace(target, meter=self._meter(), store_limit_bytes=limit)

    def profile(self, known: tuple[str, ...]) -> str:
        """The profile's name when it exists, or its file's path made absolute."""
        profile = self.device.profile
        if profile is None:
            raise self.wrong("", "missing key 'profile'", "see: edgewright profiles list")
        if profile.endswith(".toml"):
            path = self._beside("profile", profile)
            if not path.is_file():
                raise self.wrong("profile", f"{path}: no such file")
            return str(path)
        if profile not in known:
            raise self.wrong("profile", f"unknown profile {profile!r}", did_you_mean(profile, known))
        return profile

    def _meter(self) -> MeterConfig | None:
        """The meter; a program of this host that is written as a path is beside the farm file."""
        table = self.device.meter
        if table is None:
            return None
        config = table.config(lambda key, message, mend: self.wrong(f"meter.{key}", message, mend))
        argv = config.meter.argv
        if config.where == "device" or not argv or "/" not in argv[0]:
            return config
        program = str(self._beside("meter.command", argv[0]))
        return replace(config, meter=replace(config.meter, argv=(program, *argv[1:])))

    def _word(self, key: str, value: str) -> str:
        if not value or value.startswith("-") or value != value.strip() or _CONTROL.search(value):
            raise self.wrong(
                key, f"empty, or begins with '-' or a blank, or has control characters: {value!r}"
            )
        return value

    def _path(self, key: str) -> Path | None:
        value: str | None = getattr(self.device, key)
        return None if value is None else self._beside(key, self._word(key, value))

    def _beside(self, key: str, value: str) -> Path:
        """A path as written: ``~`` is the home directory here, a relative one is beside the farm file."""
        return self.farm.parent / user_path(value, f"{self.farm}: devices.{self.name}.{key}")

    def _workdir(self, value: str) -> str:
        folder = self._word("workdir", value).removeprefix("~/").rstrip("/")
        if not folder or folder.startswith("~") or {".", ".."} & set(folder.split("/")):
            raise self.wrong("workdir", f"not a folder of its own: {value!r}", f"write {DEFAULT_WORKDIR!r}")
        return folder
