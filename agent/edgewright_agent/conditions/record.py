"""What was changed on the device and must be set back: on the disk before anything is changed.

ROOT/conditions/lock           held by the job that changed something, and by its watchdog
ROOT/conditions/record.json    what is to be set back; gone when it has been
ROOT/conditions/clocks         what jetson_clocks stored, see knobs.py
"""

import json
import os
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Iterator, Optional, Tuple

from ..codec import WireError, decode, encode
from ..detached import boot_id
from ..files import sync_folder, write_json
from ..locks import taken

FOLDER = "conditions"
_LOCK, _RECORD = "lock", "record.json"
_LOOK_S = 0.05

#: How a change is made and undone, see knobs.py.
KINDS = ("attribute", "nvpmodel", "clocks")


@dataclass(frozen=True)
class Change:
    """One thing to change: from ``before`` to ``during`` and back.

    Attributes:
        kind: of :data:`KINDS`.
        what: for people.
        target: the attribute's path, or that of the command.
        names: what people call ``before`` and ``during``, where those are numbers.
        lasts: it would outlast a restart of the device.
    """

    kind: str
    what: str
    target: str
    before: str
    during: str
    names: Tuple[str, ...] = ()
    lasts: bool = False

    @property
    def told(self) -> Tuple[str, str]:
        """Before and during, as people call them."""
        before, during = self.names if len(self.names) == 2 else (self.before, self.during)
        return before, during


@dataclass(frozen=True)
class Record:
    """Changes in the order they are made, and under which start of the device."""

    boot_id: str
    changes: Tuple[Change, ...]


def is_there(root: str) -> bool:
    """Whether something may have to be set back."""
    return os.path.exists(os.path.join(root, FOLDER, _RECORD))


def write(root: str, changes: Tuple[Change, ...]) -> None:
    """Note durably what is going to be changed."""
    write_json(os.path.join(root, FOLDER, _RECORD), encode(Record(boot_id(), changes)))


def read(root: str) -> Optional[Record]:
    """What was noted; None when nothing was.

    Raises:
        WireError: it cannot be read any more.
    """
    try:
        with open(os.path.join(root, FOLDER, _RECORD), encoding="utf-8") as stream:
            data = json.load(stream)
    except FileNotFoundError:
        return None
    except ValueError:
        raise WireError("it is not JSON") from None
    return decode(Record, data, "record")


def drop(root: str) -> None:
    """All is as it was."""
    folder = os.path.join(root, FOLDER)
    if os.path.exists(os.path.join(folder, _RECORD)):
        os.unlink(os.path.join(folder, _RECORD))
        sync_folder(folder)


@contextmanager
def locked(root: str, wait_s: float) -> Iterator[Optional[int]]:
    """Hold the right to change the device; None when somebody else still does after ``wait_s``."""
    folder = os.path.join(root, FOLDER)
    os.makedirs(folder, mode=0o700, exist_ok=True)
    handle = os.open(os.path.join(folder, _LOCK), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        until = time.monotonic() + wait_s
        while not taken(handle):
            if time.monotonic() >= until:
                yield None
                return
            time.sleep(_LOOK_S)
        yield handle
    finally:
        os.close(handle)
