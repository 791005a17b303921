"""Reading the small text files in which the kernel shows its sensors."""

import errno
import glob
import os
import re
from typing import List, Optional, Tuple

#: More than any of these files holds (``/proc/cpuinfo``: 2 kB a CPU), so that none can fill the memory.
MAX_BYTES = 1 << 22


class SensorError(Exception):
    """A sensor cannot be read; the message is one line that says which and why."""


class DeniedError(SensorError):
    """The file is there, and this user may not read it."""

    def __init__(self, path: str) -> None:
        super().__init__(f"no permission to read {path}")
        self.path = path


def find(root: str, pattern: str) -> List[str]:
    """The paths under ``root`` that match a shell pattern, numbers in numeric order."""
    return sorted(glob.glob(os.path.join(glob.escape(root), pattern)), key=_natural)


def read_text(path: str) -> str:
    """The attribute's text without the trailing newline or NUL.

    Raises:
        DeniedError: this user may not read it.
        SensorError: it is absent, or its driver answers with an error.
    """
    try:
        with open(path, "rb") as stream:
            data = stream.read(MAX_BYTES)
    except PermissionError as error:
        raise DeniedError(path) from error
    except OSError as error:
        raise SensorError(
            f"{path}: {error.strerror or errno.errorcode.get(error.errno or 0, error)}"
        ) from error
    return data.decode("utf-8", "replace").strip("\0 \t\r\n")


def read_int(path: str) -> int:
    """The attribute's decimal integer.

    Raises:
        SensorError: as :func:`read_text`, or the text is not an integer.
    """
    text = read_text(path)
    try:
        return int(text)
    except ValueError:
        raise SensorError(f"{path}: {text[:40]!r} is not an integer") from None


def text_or_empty(path: str) -> str:
    """The text of an attribute which only some devices have; empty where it cannot be read."""
    try:
        return read_text(path)
    except SensorError:
        return ""


def int_or_none(path: str) -> Optional[int]:
    """The integer of an attribute which only some devices have; None where it cannot be read."""
    try:
        return read_int(path)
    except SensorError:
        return None


def is_closed(folder: str) -> bool:
    """Whether the folder is there and this user may not list it."""
    try:
        os.listdir(folder)
    except PermissionError:
        return True
    except OSError:
        return False
    return False


def _natural(path: str) -> Tuple[Tuple[int, str], ...]:
    return tuple((int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", path))
