"""Durable writes, and what a file holds."""

import errno
import hashlib
import json
import os
from contextlib import suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .protocol_model import FileRef


def write_json(path: str, value: Any) -> None:
    """Write durably: a temporary file, fsync, rename, fsync of the folder; nothing is left of a failure."""
    temporary = path + ".tmp"
    try:
        with open(temporary, "w", encoding="utf-8") as stream:
            json.dump(value, stream, separators=(",", ":"))
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    except OSError:
        with suppress(FileNotFoundError):
            os.unlink(temporary)
        raise
    sync_folder(os.path.dirname(path))


def is_full(problem: OSError) -> bool:
    """Whether there was no space left for something."""
    return problem.errno in (errno.ENOSPC, errno.EDQUOT)


def sync_folder(path: str) -> None:
    """Make a rename inside ``path`` survive a power cut."""
    sync(path or ".")


def sync(path: str) -> None:
    """Make what was written to a file survive a power cut."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sha256_of(path: str) -> str:
    """SHA-256 of a file in hexadecimal, read in pieces."""
    digest = hashlib.sha256()
    with open(path, "rb") as stream:
        for piece in iter(lambda: stream.read(1 << 20), b""):
            digest.update(piece)
    return digest.hexdigest()


def describe(path: str) -> "FileRef":
    """The reference of a file the agent wrote."""
    from .protocol_model import FileRef

    return FileRef(os.path.basename(path), sha256_of(path), os.path.getsize(path))
