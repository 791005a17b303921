"""What keeps any environment from being made on a device, whatever wheels there are."""

from __future__ import annotations

from edgewright.device.facts import Facts
from edgewright.device.preparing import MIN_PYTHON
from edgewright.errors import DeviceBusy, DeviceError, DiskFull, MissingRuntime, StableDeviceError
from edgewright.untrusted import one_line

#: An environment takes 140 to 200 MiB, and pip keeps what it has downloaded beside it until it has ended.
LEAST_BYTES = 300 << 20


def check_ground(target: str, facts: Facts) -> None:
    """Raise for the first thing that no wheel can mend.

    Raises:
        MissingRuntime: its Python is none that wheels are made for.
        StableDeviceError: nothing can be installed in the agent's folder.
        DeviceBusy: a job runs there.
    """
    for problem in (_python_problem(target, facts), _folder_problem(target, facts)):
        if problem is not None:
            raise problem


def _python_problem(target: str, facts: Facts) -> MissingRuntime | None:
    other = f'set python = "/path/to/it" for {target} in the farm file'
    if facts.version[:2] < MIN_PYTHON:
        needed = ".".join(map(str, MIN_PYTHON))
        return MissingRuntime(
            target,
            f"Python {facts.python} is too old, {needed} or newer is needed",
            mend=f"install a newer one beside it, by apt or pyenv, and {other}",
        )
    if facts.implementation != "CPython":
        name = one_line(facts.implementation, 40)
        return MissingRuntime(
            target, f"runtimes have no wheels for {name}", mend=f"install CPython, and {other}"
        )
    if facts.libc == "bionic":
        return MissingRuntime(
            target,
            "its Python uses Android's C library, which no runtime has wheels for",
            mend="run a glibc system inside Termux: proot-distro install debian; see docs/devices/android.md",
        )
    if not facts.has_venv:
        return MissingRuntime(
            target,
            f"Python {facts.python} has no venv module",
            mend=f"apt install python3-venv there, or {other}",
        )
    return None


def _folder_problem(target: str, facts: Facts) -> DeviceError | None:
    root, other = one_line(facts.root), f"set workdir for {target} in the farm file"
    if not facts.is_writable:
        return StableDeviceError(target, f"{root}: cannot be written", mend=other)
    if facts.is_noexec:
        return StableDeviceError(
            target,
            f"{root} is on a file system mounted noexec: no library can be loaded from there",
            mend=other,
        )
    if facts.holder:
        return DeviceBusy(target, f"the device is held by {one_line(facts.holder)}", mend="try again later")
    return None


def check_space(target: str, facts: Facts, needed_bytes: int) -> None:
    """Refuse a disk that is too small, before anything is sent.

    Raises:
        DiskFull: with both figures.
    """
    if facts.disk_free_bytes < needed_bytes:
        needed, free, root = needed_bytes >> 20, facts.disk_free_bytes >> 20, one_line(facts.root)
        raise DiskFull(
            target,
            f"an environment needs {needed} MiB and {free} MiB are free in {root}",
            mend=f"free some space there, or set workdir for {target} in the farm file",
        )
