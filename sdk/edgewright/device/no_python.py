"""What to say about a device whose Python cannot be started."""

from __future__ import annotations

import re
from contextlib import closing

from edgewright.errors import MissingRuntime
from edgewright.transport import Transport
from edgewright.untrusted import one_line

_NOT_FOUND = 127
_ASK_S = 15.0
_RELEASE = re.compile(r"[0-9][0-9A-Za-z.]{0,15}")


def no_python(target: str, transport: Transport, python: str, status: int, said: str) -> MissingRuntime:
    """The error, after asking whether it is an Android, where there never is one.

    Args:
        status, said: how the attempt ended.

    Raises:
        DeviceError: the device does not answer any more.
    """
    words = one_line(said[-400:]) or f"status {status}"
    if status != _NOT_FOUND:
        return MissingRuntime(
            target, f"cannot run {python} on the device: {words}", mend=other_python(target)
        )
    release = _android_release(transport)
    if not release:
        return MissingRuntime(
            target, f"there is no {python} on the device: {words}", mend=other_python(target)
        )
    return MissingRuntime(
        target,
        f"there is no {python} on the device: Android {release} comes without a Python",
        mend="put one with glibc there, or use Termux over SSH: docs/devices/android.md",
    )


def other_python(target: str) -> str:
    """The mend for a Python that will not do."""
    return f'install Python 3.8 or newer, or set python = "/path/to/python3" for {target} in the farm file'


def _android_release(transport: Transport) -> str:
    """Such as ``14``; empty when it is no Android."""
    process = transport.start(["getprop", "ro.build.version.release"], timeout_s=_ASK_S)
    with closing(process):
        line = next(process.lines(), "").strip()
        status, _ = process.finish()
    return line if status == 0 and _RELEASE.fullmatch(line) else ""
