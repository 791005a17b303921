"""Setting back what is noted: by the job itself, by its watchdog, or by the next command of the agent."""

import os
import shutil
from typing import Dict, List

from ..codec import WireError
from ..detached import boot_id
from ..failure import AgentFailure
from . import record
from .knobs import undo
from .privilege import RefusedError
from .record import FOLDER, Change

#: How long the watchdog of the job before may take to set everything back.
WAIT_S = 45.0


def set_back(root: str) -> Dict[str, str]:
    """Undo what is noted in reverse order; whoever calls it holds the lock.

    What a restart of the device has undone by itself is left alone. What cannot be undone stays noted, for
    the next try.

    Returns:
        what was not set back -> why; empty when all is as it was.
    """
    try:
        noted = record.read(root)
    except WireError as error:
        record.drop(root)
        return {"something": f"what was noted in {root}/{FOLDER}/record.json could not be read: {error}"}
    if noted is None:
        return {}
    restarted = noted.boot_id != boot_id()
    problems: Dict[str, str] = {}
    left: List[Change] = []
    for change in reversed(noted.changes):
        if restarted and not change.lasts:
            _forget(change)
            continue
        try:
            problem = undo(change)
        except RefusedError as error:
            problem = f"{error} ({error.mend})" if error.mend else str(error)
            left.insert(0, change)
        if problem:
            problems[change.what] = problem
    if not left:
        record.drop(root)
    elif len(left) < len(noted.changes):
        record.write(root, tuple(left))
    return problems


def take_back(root: str, wait_s: float = 0.0) -> Dict[str, str]:
    """Undo what a job left behind that was killed together with its watchdog.

    Nothing is done while the job or its watchdog lives, but to wait for it for ``wait_s``.
    """
    if not record.is_there(root):
        return {}
    with record.locked(root, wait_s) as lock:
        if lock is None:
            return {"something": "it is still being set back"} if wait_s else {}
        return set_back(root)


def clear(root: str) -> None:
    """Undo what a job left behind, and forget that there ever was anything to undo.

    Raises:
        AgentFailure: ``conditions-refused`` when something cannot be set back.
    """
    for what, why in take_back(root, WAIT_S).items():
        raise AgentFailure("conditions-refused", f"{what} was not set back after a job: {why}")
    folder = os.path.join(root, FOLDER)
    if os.path.isdir(folder):
        shutil.rmtree(folder)


def _forget(change: Change) -> None:
    if change.kind == "clocks" and os.path.lexists(change.before):
        os.unlink(change.before)
