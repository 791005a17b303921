"""Finding the changes of many series at once: on all processors, a bounded number of series in memory."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice

from edgewright.history.changes import Course, Floats, course
from edgewright.history.series import Judged, measurements
from edgewright.store.points import History, Point

from .judge_process import JudgeProcesses

#: The quantity that a series' page is about; the others are columns of its table.
QUANTITY = "latency"
#: Fewer series are judged sooner than processes are started.
FEW = 300
_BATCH = 16
_MOST_PROCESSES = 4


@dataclass
class Known:
    """What was found before, by series, for as long as the series has the same points."""

    courses: dict[str, tuple[tuple[int, int], Course]] = field(default_factory=dict)

    def get(self, series_id: str, points: Sequence[Point]) -> Course | None:
        """The changes of a series, unless it has other points now."""
        known = self.courses.get(series_id)
        return known[1] if known and known[0] == _mark(points) else None

    def put(self, series_id: str, points: Sequence[Point], found: Course) -> None:
        """Remember them."""
        self.courses[series_id] = _mark(points), found


@dataclass(frozen=True)
class _Task:
    """A series to be judged, and its changes where they are known."""

    history: History
    points: tuple[Point, ...]
    values: Floats
    within: Floats
    known: Course | None


def judge_all(found: Iterable[History], threshold: float, known: Known, *, expected: int) -> Iterator[Judged]:
    """Judge series as they come, in their order.

    Args:
        found: with at least one measured point each.
        threshold: the relative difference that must be told, the same for one ``known``.
        known: what was found before; grows.
        expected: how many series there will be, about.
    """
    tasks = (_task(history, known) for history in found)
    processes = min(os.cpu_count() or 1, _MOST_PROCESSES)
    judged: Iterator[tuple[_Task, Course]]
    if expected - len(known.courses) < FEW or processes < 2:
        judged = ((one, one.known or course(one.values, one.within, threshold=threshold)) for one in tasks)
    else:
        judged = _in_processes(tasks, threshold, processes)
    for one, changes in judged:
        series_id = one.history.series.series_id
        known.put(series_id, one.points, changes)
        yield Judged(one.history, QUANTITY, one.points, changes)


def _in_processes(tasks: Iterator[_Task], threshold: float, processes: int) -> Iterator[tuple[_Task, Course]]:
    with JudgeProcesses(processes, threshold) as judges, ThreadPoolExecutor(processes) as pool:
        pending: deque[tuple[list[_Task], Future[list[Course]]]] = deque()
        while True:
            while len(pending) < 2 * processes and (batch := list(islice(tasks, _BATCH))):
                unknown = [(one.values, one.within) for one in batch if one.known is None]
                pending.append((batch, pool.submit(judges.courses, unknown)))
            if not pending:
                return
            batch, future = pending.popleft()
            results = iter(future.result())
            for one in batch:
                yield one, one.known or next(results)


def _task(history: History, known: Known) -> _Task:
    points, values, within = measurements(history, QUANTITY)
    return _Task(history, points, values, within, known.get(history.series.series_id, points))


def _mark(points: Sequence[Point]) -> tuple[int, int]:
    return len(points), points[-1].row_number if points else 0
