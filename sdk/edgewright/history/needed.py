"""Which runs a history rests on."""

from __future__ import annotations

from edgewright.store import Store
from edgewright.store.points import Point

from .series import QUANTITIES, counts, judged


def needed_runs(store: Store) -> dict[str, str]:
    """The runs that newer ones are held against, and why they are needed.

    These are the last with a valid measurement of a cell, since a device may be off for longer than runs are
    kept, and those with the last measurement before a change of a series and the first after it.

    Raises:
        StoreError: the store cannot be read, or a row of it is damaged.
    """
    needed: dict[str, str] = {}
    last: dict[tuple[str, ...], tuple[Point, str]] = {}
    for quantity in QUANTITIES:
        for one in judged(store, quantity=quantity):
            key = one.history.series
            where = f"{key.workload} {key.recipe} on {key.device}"
            point = next(filter(counts, reversed(one.history.points)), None)
            if point and (key.cell not in last or last[key.cell][0].run_started_at < point.run_started_at):
                last[key.cell] = point, where
            for change in one.course.changes:
                good, bad = one.points[change.index - 1], one.points[change.index]
                needed.setdefault(good.run_id, f"the last before {where} changed ({quantity})")
                needed.setdefault(bad.run_id, f"the first after {where} changed ({quantity})")
    for point, where in last.values():
        needed.setdefault(point.run_id, f"the last that measured {where}")
    return needed
