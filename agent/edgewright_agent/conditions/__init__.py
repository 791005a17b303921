"""Conditions of a job: set before it, held during it, and set back after it, whatever becomes of it.

Four things make sure of the last: the job's own process on its way out, its watchdog when that process is
killed, the next command of the agent when the watchdog is killed too, and the note on the disk that all three
go by.
"""

from contextlib import ExitStack, contextmanager
from typing import Dict, Iterator, Optional, Sequence, Tuple

from ..protocol_conditions import Conditions, Cooling, HeldConditions, Setting
from . import record
from .cooling import Emit, cool
from .knobs import apply, stages
from .privilege import RefusedError
from .record import Change
from .restore import WAIT_S, clear, set_back, take_back
from .watchdog import watched

__all__ = ["Held", "clear", "held", "take_back"]

_NO_CLOCKS = "the clocks were left to the device: it has no jetson_clocks to hold them"


class Held:
    """What became of the conditions so far; whole once the block of :func:`held` is over."""

    def __init__(self) -> None:
        self._changes: Tuple[Change, ...] = ()
        self._problems: Dict[str, str] = {}
        self.cooling: Optional[Cooling] = None
        self.notes: Tuple[str, ...] = ()

    def begin(self, changes: Sequence[Change]) -> None:
        """These are going to be made too."""
        self._changes += tuple(changes)
        kinds = {change.kind for change in changes}
        if "nvpmodel" in kinds and "clocks" not in kinds:
            self.notes += (_NO_CLOCKS,)

    def end(self, problems: Dict[str, str]) -> None:
        """They were undone but for ``problems``."""
        self._problems = problems

    def told(self) -> Optional[HeldConditions]:
        """For the result; None when nothing was asked for and nothing is to be said."""
        if not self._changes and self.cooling is None and not self.notes:
            return None
        settings = tuple(
            Setting(change.what, *change.told, self._problems.get(change.what, ""))
            for change in self._changes
        )
        return HeldConditions(settings, self.cooling, self.notes)


@contextmanager
def held(wanted: Conditions, root: str, emit: Emit, tree: str = "/") -> Iterator[Held]:
    """Hold the conditions for the block. Whoever calls it holds the device (see ``turn.py``).

    Args:
        root: the agent's folder.
        tree: where ``sys/`` and ``etc/`` are found.

    Raises:
        AgentFailure: ``conditions-refused``: something cannot be set; everything is as it was before.
    """
    kept = Held()
    left = take_back(root, WAIT_S)
    kept.notes = tuple(
        f"left by an earlier job: {what} was not set back: {why}" for what, why in left.items()
    )
    with ExitStack() as stack:
        try:
            if wanted.governor or wanted.power_mode:
                _set(wanted, root, tree, kept, stack)
            if wanted.cool_to_mc is not None:
                kept.cooling = cool(wanted, emit, tree)
        except RefusedError as refused:
            raise refused.failure() from refused
        yield kept


def _set(wanted: Conditions, root: str, tree: str, kept: Held, stack: ExitStack) -> None:
    """Change what differs; it is undone as the stack unwinds."""
    lock = stack.enter_context(record.locked(root, WAIT_S))
    if lock is None:
        raise RefusedError("what an earlier job had set is still being set back", "try again in a minute")
    left = record.read(root)
    noted = left.changes if left else ()
    is_watched = False
    for changes in stages(wanted, root, tree):
        kept.begin(changes)
        due = tuple(change for change in changes if change.before != change.during)
        if not due:
            continue
        if not is_watched:
            stack.enter_context(watched(root, lock))
            stack.callback(lambda: kept.end(set_back(root)))
            is_watched = True
        noted += due
        record.write(root, noted)
        for change in due:
            apply(change)
