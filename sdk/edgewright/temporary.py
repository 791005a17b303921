"""Folders for what is only needed while something is done, also when whoever does it is killed.

Each is held by a lock for as long as its process lives. Nothing runs when a process is killed, so another
removes what that one left: whoever makes the first folder of a process in the same place.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

#: Of names that only this module gives: what bears one and is not held belongs to nobody.
_PREFIX = "edgewright-held-"


@contextlib.contextmanager
def work_folder(purpose: str) -> Iterator[Path]:
    """A new folder for temporary files, gone after the block.

    Args:
        purpose: a word that its name tells.
    """
    where = Path(tempfile.gettempdir())
    _remove_left(where)
    with held_folder(where, f"{_PREFIX}{purpose}-") as made:
        yield made


@contextlib.contextmanager
def held_folder(where: Path, prefix: str) -> Iterator[Path]:
    """A new folder in ``where`` that is held until it is removed after the block."""
    made, handle = _held(where, prefix)
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)
        os.close(handle)


def remove_unless_held(left: Path) -> None:
    """Remove a folder of this user that no living process holds."""
    try:
        handle = os.open(left, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        return  # gone meanwhile, no folder, or another user's
    try:
        if os.fstat(handle).st_uid == os.geteuid():
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(left, ignore_errors=True)
    except OSError:
        return  # somebody works there, or this file system does not tell
    finally:
        os.close(handle)


@functools.cache
def _remove_left(where: Path) -> None:
    """Once in a process: what killed ones left there."""
    for left in where.glob(f"{_PREFIX}*"):
        remove_unless_held(left)


def _held(where: Path, prefix: str) -> tuple[Path, int]:
    """A new folder and the descriptor that holds it; until it is held another may take it for left."""
    while True:
        made = Path(tempfile.mkdtemp(prefix=prefix, dir=where))
        try:
            handle = os.open(made, os.O_RDONLY | os.O_DIRECTORY)
        except FileNotFoundError:
            continue
        with contextlib.suppress(OSError):  # a file system without locks: there nothing is taken for left
            fcntl.flock(handle, fcntl.LOCK_EX)
        if _is_same(made, handle):
            return made, handle
        os.close(handle)


def _is_same(path: Path, handle: int) -> bool:
    """Whether what is held still has its name."""
    try:
        named = path.stat()
    except FileNotFoundError:
        return False
    return os.path.samestat(named, os.fstat(handle))
