"""The newest runs of each name and how their rows ended: an overview's query, which reads no row's body."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import func, select

from .database import Store
from .farm_tables import SlowerRecord
from .figures import batches
from .points import all_runs
from .records import Run
from .tables import FiguresRecord, RowRecord


@dataclass(frozen=True)
class Ended:
    """A run and how its rows ended.

    Attributes:
        states: verdict of the measured rows, outcome of the others -> how many.
        slower: how many rows were marked as slower than what they were held against.
    """

    run: Run
    states: Mapping[str, int]
    slower: int = 0

    @property
    def rows(self) -> int:
        """How many there are."""
        return sum(self.states.values())


def newest_runs(store: Store, *, each: int, names: int) -> tuple[Ended, ...]:
    """The newest runs, the newest first; rows whose figures are not derived yet are not counted.

    Args:
        store: to read.
        each: so many of every name.
        names: of so many names, those of the newest runs.

    Raises:
        StoreError: the store cannot be read.
    """
    chosen: dict[str, list[Run]] = {}
    for run in reversed(all_runs(store)):
        if run.name in chosen or len(chosen) < names:
            chosen.setdefault(run.name, []).append(run)
    runs = [run for found in chosen.values() for run in found[:each]]
    runs.sort(key=lambda run: run.started_at, reverse=True)
    return tuple(ended(store, runs))


def ended(store: Store, runs: Sequence[Run]) -> list[Ended]:
    """How the rows of some runs ended, in the same order."""
    states: dict[str, dict[str, int]] = {}
    slower: dict[str, int] = {}
    with store._read() as session:
        for part in batches([run.run_id for run in runs]):
            state = func.coalesce(FiguresRecord.verdict, FiguresRecord.outcome)
            counted = (
                select(FiguresRecord.run_id, state, func.count())
                .where(FiguresRecord.run_id.in_(part))
                .group_by(FiguresRecord.run_id, state)
            )
            for run_id, name, count in session.execute(counted):
                states.setdefault(run_id, {})[name] = count
            marked = (
                select(SlowerRecord.run_id, func.count())
                .where(SlowerRecord.run_id.in_(part))
                .group_by(SlowerRecord.run_id)
            )
            slower.update((run_id, count) for run_id, count in session.execute(marked))
    return [Ended(run, states.get(run.run_id, {}), slower.get(run.run_id, 0)) for run in runs]


def newest_row(store: Store) -> int:
    """The number of the row that was added last; 0 where there is none."""
    with store._read() as session:
        return session.scalar(select(func.max(RowRecord.number))) or 0
