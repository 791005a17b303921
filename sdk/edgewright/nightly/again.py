"""What seems to have got slower is measured again, the same night, before anybody is told.

Each time is a row of its own, and so a further point of the series, which makes the change certain or shows
that it was none.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from edgewright.farm.execute import Task
from edgewright.farm.inventory import Target
from edgewright.farm.session import Work
from edgewright.history import find_regressions
from edgewright.store import Store

from .work import NightWork

#: Between the key of a cell and the number of the time; no name of a device holds it.
_SIGN = "+"


def key_again(key: str, number: int) -> str:
    """The key of a cell that is measured again."""
    return f"{key}{_SIGN}{number}"


def first_key(key: str) -> str:
    """The key of the cell itself, whichever time it is."""
    return key.partition(_SIGN)[0]


@dataclass(frozen=True)
class WorkAgain(Work):
    """Some cells of a work, ``times`` times more; ``chosen`` are their keys."""

    chosen: frozenset[str] = frozenset()
    times: int = 0

    def groups(self, target: Target, run_id: str) -> Iterator[list[Task]]:
        """As there, and as often as there: a time begins when all cells of the device had the one before."""
        groups = list(super().groups(target, run_id))
        for number in range(1, self.times + 1):
            for group in groups:
                chosen = (task for task in group if task.key in self.chosen)
                yield [replace(task, key=key_again(task.key, number)) for task in chosen]


def again(
    job: NightWork, store: Store, *, times: int, threshold: float, slower: Iterable[str] = ()
) -> WorkAgain | None:
    """What of a night is to be measured again; None when nothing is.

    That is every suspect, what is ``slower`` than its baseline, by key, and what was begun to be measured
    again before the host was killed.

    Raises:
        StoreError: the store cannot be read, or a row of it is damaged.
    """
    run_id, work = job.run.run_id, job.work
    keys = store.keys(run_id)
    known = set(keys.values())
    suspects = find_regressions(store, run_id, threshold=threshold).suspects if times else ()
    found = (keys[one.judged.points[-1].position] for one in suspects)
    chosen = frozenset(filter(None, map(first_key, (*found, *slower, *_begun(keys.values())))))
    more = WorkAgain(work.subjects, work.recipes, work.runtimes, work.targets, chosen, times)
    tasks = (task for target in work.targets for group in more.groups(target, run_id) for task in group)
    return more if any(task.key not in known for task in tasks) else None


def _begun(keys: Iterable[str]) -> Iterator[str]:
    return (key for key in keys if first_key(key) != key)
