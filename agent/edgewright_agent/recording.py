"""What happens to a job, written down by its process and read by whoever follows it.

ROOT/jobs/ID/events.jsonl    one event a line, bounded
"""

import json
import os
from contextlib import suppress
from typing import Any, BinaryIO, Dict, Iterator

from .files import is_full

Event = Dict[str, Any]

EVENTS = "events.jsonl"

#: Beyond this a job's progress is no longer recorded.
MAX_EVENT_BYTES = 4 << 20

_LINE_BYTES = 1 << 16


class Recorder:
    """Writes events down, and wakes whoever follows from the process that submitted.

    On a full disk an event is left out: progress is not worth the job.
    """

    def __init__(self, folder: str, waker: int) -> None:
        self._stream = open(os.path.join(folder, EVENTS), "ab", buffering=0)  # noqa: SIM115 - closed on exit
        self._size = 0
        self._waker = waker
        os.set_blocking(waker, False)

    def __enter__(self) -> "Recorder":
        return self

    def __exit__(self, *exception: object) -> None:
        self._stream.close()

    def add(self, event: Event) -> None:
        """One more event."""
        line = json.dumps(event, separators=(",", ":"), allow_nan=False).encode("utf-8") + b"\n"
        if self._size + len(line) > MAX_EVENT_BYTES or not self._is_written(line):
            return
        self._size += len(line)
        with suppress(BlockingIOError, BrokenPipeError):  # it has been woken already, or is gone
            os.write(self._waker, b"\n")

    def _is_written(self, line: bytes) -> bool:
        """Whether the whole line is in the file; otherwise nothing of it is."""
        try:
            written = self._stream.write(line)
        except OSError as error:
            if not is_full(error):
                raise
            return False
        if written != len(line):
            self._stream.truncate(self._size)
        return written == len(line)


def open_events(folder: str) -> BinaryIO:
    """The record from its beginning; an empty one where there is none yet."""
    stream = open(os.path.join(folder, EVENTS), "ab+")  # noqa: SIM115 - the caller's
    stream.seek(0)
    return stream


def whole_lines(stream: BinaryIO) -> Iterator[Event]:
    """The events from here on; a line that is not whole yet is left for the next time."""
    while True:
        at = stream.tell()
        line = stream.readline(_LINE_BYTES)
        if not line.endswith(b"\n"):
            stream.seek(at)
            return
        yield json.loads(line)


def is_waiting(folder: str) -> bool:
    """Whether the last phase told is that of waiting for the device."""
    with open_events(folder) as stream:
        phases = [event.get("name") for event in whole_lines(stream) if event.get("event") == "phase"]
    return phases[-1:] == ["waiting"]
