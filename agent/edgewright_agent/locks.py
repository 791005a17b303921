"""Locks on open files: they end with the process that holds them, however it goes."""

import fcntl


def taken(handle: int) -> bool:
    """Take the lock of an open file when nobody holds it; whether it is ours now."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
