"""Cycling the power of a device by a command of the user's that runs on this host.

[devices.kitchen-pi]
power_cycle = "uhubctl -l 1-1 -p 2 -a cycle"           # words, no shell
power_cycle = ["sh", "-c", "curl -s $PDU/2/cycle"]     # the words themselves, a shell where one is named
"""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
from collections.abc import Callable

from edgewright.errors import ConfigError, DeviceError, DeviceTimeout, StableDeviceError
from edgewright.untrusted import one_line

#: How long the command may take.
POWER_CYCLE_S = 120.0
_SAID_CHARACTERS = 200

Wrong = Callable[[str, str, str], ConfigError]


def power_command(value: str | tuple[str, ...] | None, wrong: Wrong) -> tuple[str, ...]:
    """The words of the command; none when there is no command.

    Args:
        value: as the farm file has it.
        wrong: makes the error, of the key, what is wrong and the mend.

    Raises:
        ConfigError: a text that cannot be split into words, or none of them.
    """
    if value is None:
        return ()
    try:
        words = tuple(shlex.split(value)) if isinstance(value, str) else value
    except ValueError as error:
        raise wrong("power_cycle", f"{value!r}: {error}", "close the quotation") from None
    if not words or not words[0] or any("\0" in word for word in words):
        raise wrong("power_cycle", "no command", 'write power_cycle = "COMMAND WORDS"')
    return words


def cycle_power(name: str, words: tuple[str, ...], *, limit_s: float = POWER_CYCLE_S) -> None:
    """Run the command to its end; what it prints is for the error message only.

    Raises:
        DeviceTimeout: it took too long and was ended.
        DeviceError: it cannot be started, or did not end with 0.
    """
    try:
        with subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        ) as process:
            try:
                said, _ = process.communicate(timeout=limit_s)
            except BaseException:
                os.killpg(process.pid, signal.SIGKILL)
                raise
    except subprocess.TimeoutExpired:
        raise DeviceTimeout(name, f"power_cycle: {words[0]} took longer than {limit_s:.0f} s") from None
    except OSError as error:
        raise StableDeviceError(name, f"power_cycle: {words[0]}: {error.strerror}") from None
    if process.returncode:
        told = one_line(said.decode("utf-8", "replace"), _SAID_CHARACTERS)
        raise DeviceError(name, f"power_cycle: {words[0]} ended with {process.returncode}: {told}")
