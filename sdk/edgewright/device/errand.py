"""For whom a job runs, and what becomes of it when nobody follows it any more."""

from __future__ import annotations

import getpass
import socket
from dataclasses import dataclass


def _owner() -> str:
    try:
        user = getpass.getuser()
    except OSError:  # a user without a name, as in some containers
        user = "somebody"
    return f"{user}@{socket.gethostname()}"


@dataclass(frozen=True)
class Errand:
    """What a device tells others of a job.

    Attributes:
        label: what it is, for people.
        origin: the work it is part of: all jobs of one origin can be called off together.
        wait_s: how long it waits for its turn when the device is held.
        is_tied: it ends with the connection; otherwise it goes on, and its result waits on the device.
    """

    label: str = ""
    origin: str = ""
    wait_s: float = 1800.0
    is_tied: bool = False

    @property
    def owner(self) -> str:
        """This user on this host."""
        return _owner()
