"""One job at a time on a device: two would disturb each other's numbers.

ROOT/busy    locked by the job whose turn it is; holds, for people, whose it is
"""

import os
import time
from contextlib import contextmanager
from typing import Any, Callable, Dict, Iterator

from .failure import AgentFailure
from .locks import taken

_LOOK_S = 0.5
_WORDS_BYTES = 400


@contextmanager
def turn(root: str, whose: str, wait_s: float, emit: Callable[[Dict[str, Any]], None]) -> Iterator[None]:
    """Hold the device, waiting for whoever does so until then.

    Raises:
        AgentFailure: ``busy`` after ``wait_s``; it says who holds the device.
    """
    handle = os.open(os.path.join(root, "busy"), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        until = time.monotonic() + wait_s
        is_waiting = False
        while not taken(handle):
            holder = os.pread(handle, _WORDS_BYTES, 0).decode("utf-8", "replace")
            if time.monotonic() >= until:
                waited = f" after {wait_s:.0f} s" if wait_s else ""
                raise AgentFailure(
                    "busy", f"the device is still held{waited} by {holder}", "try again when it has ended"
                )
            if not is_waiting:
                emit({"event": "phase", "name": "waiting", "for": holder[:160]})
                is_waiting = True
            time.sleep(_LOOK_S)
        os.ftruncate(handle, 0)
        os.pwrite(handle, whose.encode("utf-8")[:_WORDS_BYTES], 0)
        yield
    finally:
        os.close(handle)
