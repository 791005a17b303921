"""Files that are built before any device has to wait for them, each once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import zip_longest

from edgewright.farm.execute import Task
from edgewright.row import Failed, Skipped

from .lane import Batch, Lane
from .orders import BuildOrder


class Builds:
    """What is to be built, in the order in which devices need it, and what became of it.

    Args:
        lanes: the devices.
        at_once: how many files are built at a time.
    """

    def __init__(self, lanes: Sequence[Lane], at_once: int = 1) -> None:
        self._ended: dict[str, Failed | Skipped | None] = {}
        self._left = list(_orders(lanes))
        self._at_once = at_once
        self._under_way = 0

    @property
    def has_ended(self) -> bool:
        """Whether nothing is being built, nor to be."""
        return not self._under_way and not self._left

    def next(self) -> BuildOrder | None:
        """The next order; None while as many as may be are under way, and after the last."""
        if self._under_way == self._at_once or not self._left:
            return None
        self._under_way += 1
        return self._left.pop(0)

    def ended(self, order: BuildOrder, outcome: Failed | Skipped | None) -> None:
        """It is built, or this is what becomes of its cells."""
        self._under_way -= 1
        self._ended[order.key] = outcome

    def has(self, tasks: Iterable[Task]) -> bool:
        """Whether the build of each has ended."""
        return all(file_key(task) in self._ended for task in tasks)

    def split(self, batch: Batch) -> tuple[Batch, list[tuple[Task, Failed | Skipped]]]:
        """Those whose file may be there yet, and those whose file cannot be built, with the reason."""
        outcomes = [(task, self._ended.get(file_key(task))) for task in batch.tasks]
        left = tuple(task for task, outcome in outcomes if outcome is None)
        hopeless = [(task, outcome) for task, outcome in outcomes if outcome is not None]
        return Batch(left, batch.attempt, batch.not_before), hopeless


def _orders(lanes: Sequence[Lane]) -> Iterator[BuildOrder]:
    """What the devices begin with comes first."""
    seen = set()
    for row in zip_longest(*(lane.batches for lane in lanes)):
        for lane, batch in zip(lanes, row, strict=True):
            for task in batch.tasks if batch else ():
                key = file_key(task)
                if key not in seen:
                    seen.add(key)
                    yield BuildOrder(key, task, lane.target.profile)


def file_key(task: Task) -> str:
    """Alike for cells that share a file."""
    cell = task.cell
    return "\0".join((cell.workload, cell.recipe, cell.profile, cell.runtime))
