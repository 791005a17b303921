"""What a night writes down: rows, once each, and how long cells take."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence

from edgewright.farm.execute import Task
from edgewright.farm.job import Settings
from edgewright.report.figures import figures_of
from edgewright.row import Measured, Row
from edgewright.store import CellTimes, Store

from .orders import GroupReport


class Ledger:
    """The rows of one run, of which no raw samples are kept here: a night has more than there is memory for.

    Args:
        store: where they are.
        run_id: whose they are; rows that it has already stay as they are.
        settings: what a cell's time depends on besides the cell.
    """

    def __init__(self, store: Store, run_id: str, settings: Settings) -> None:
        self._store = store
        self._run_id = run_id
        self._settings = settings
        self._times = CellTimes(store)
        self._known: dict[str, float] = {}
        self._keys = set(store.keys(run_id).values())
        self._seconds: dict[str, float] = {}

    def __contains__(self, key: str) -> bool:
        """Whether the cell of that key has its row."""
        return key in self._keys

    @property
    def seconds(self) -> Mapping[str, float]:
        """How long the cells took that this process measured, by key."""
        return self._seconds

    def keep(self, key: str, row: Row) -> bool:
        """Store the row of a cell; False when it has one already."""
        if key in self._keys:
            return False
        self._store.add_row(self._run_id, row, key, figures_of(row))
        self._keys.add(key)
        return True

    def timed(self, tasks: Sequence[Task], report: GroupReport) -> None:
        """Remember how long each took, if all were measured."""
        if not all(isinstance(ended.row.outcome, Measured) for ended in report.ended):
            return
        each = report.seconds / len(tasks)
        self._seconds.update((task.key, each) for task in tasks)
        digests = [self._digest(task) for task in tasks]
        self._times.add(digests, each)
        self._known.update(self._times.known(digests))

    def recall(self, tasks: Iterable[Task]) -> None:
        """Look up how long these took before."""
        self._known.update(self._times.known([self._digest(task) for task in tasks]))

    def expected_s(self, task: Task) -> float | None:
        """How long a cell will take, by how long it took on a device of that profile; None for a new one."""
        return self._known.get(self._digest(task))

    def left(self, lanes: Sequence[Sequence[Task]]) -> tuple[float | None, int]:
        """How long these take side by side, each one after another; None when some were never timed.

        And how many were not.
        """
        times = [[self.expected_s(task) for task in tasks] for tasks in lanes]
        unknown = sum(time is None for lane in times for time in lane)
        longest = max((sum(time for time in lane if time is not None) for lane in times), default=0.0)
        return None if unknown else longest, unknown

    def _digest(self, task: Task) -> str:
        cell, settings = task.cell, self._settings
        what = (
            cell.workload,
            cell.recipe,
            cell.profile,
            cell.runtime,
            settings.effort,
            settings.driving.kind,
        )
        return hashlib.sha256(repr(what).encode()).hexdigest()
