"""The last event of a job on the disk: its result, or why there is none.

ROOT/jobs/ID/outcome.json    the event
ROOT/jobs/ID/reserve         space kept free for it while the job runs
"""

import json
import os
from contextlib import suppress
from typing import Any, Dict

from .files import is_full, write_json
from .guard import error_event
from .protocol import AgentError

OUTCOME, RESERVE = "outcome.json", "reserve"

_RESERVE_BYTES = 1 << 17


def reserve(folder: str) -> None:
    """Keep space for the outcome, so that a disk that fills up meanwhile does not silence the job."""
    handle = os.open(os.path.join(folder, RESERVE), os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        os.posix_fallocate(handle, 0, _RESERVE_BYTES)
    finally:
        os.close(handle)


def leave(folder: str, event: Dict[str, Any]) -> None:
    """Write the outcome down; where the disk is too full for it, that."""
    path = os.path.join(folder, OUTCOME)
    with suppress(FileNotFoundError):
        os.unlink(os.path.join(folder, RESERVE))
    try:
        write_json(path, event)
    except OSError as problem:
        if not is_full(problem):
            raise
        told = "the job was done, but the device's disk is full and its result could not be written"
        write_json(path, error_event(AgentError("disk-full", told, "free some space there")))


def has_outcome(folder: str) -> bool:
    """Whether the job has ended and said how."""
    return os.path.isfile(os.path.join(folder, OUTCOME))


def outcome_of(folder: str) -> Dict[str, Any]:
    """The last event of a job that has ended."""
    with open(os.path.join(folder, OUTCOME), encoding="utf-8") as stream:
        event = json.load(stream)
    assert isinstance(event, dict)
    return event
