"""A second process for a test."""

from __future__ import annotations

import os
from collections.abc import Callable


def forked(action: Callable[[], object]) -> int:
    """The id of a copy of this process that does ``action`` and ends.

    It ends whatever comes of the action: an exception that left it would make it a second test runner,
    which goes on with the tests and reports them to the same controller.
    """
    pid = os.fork()
    if pid == 0:
        try:
            action()
        finally:
            os._exit(0)
    return pid
