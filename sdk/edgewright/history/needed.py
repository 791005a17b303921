"""Which runs the changes of a history rest on."""

from __future__ import annotations

from edgewright.store import Store

from .series import QUANTITIES, judged


def needed_runs(store: Store) -> dict[str, str]:
    """The runs with the last measurement before a change or the first after it, and why they are needed.

    Raises:
        StoreError: the store cannot be read, or a row of it is damaged.
    """
    needed: dict[str, str] = {}
    for quantity in QUANTITIES:
        for one in judged(store, quantity=quantity):
            key = one.history.series
            where = f"{key.workload} {key.recipe} on {key.device}"
            for change in one.course.changes:
                good, bad = one.points[change.index - 1], one.points[change.index]
                needed.setdefault(good.run_id, f"the last before {where} changed ({quantity})")
                needed.setdefault(bad.run_id, f"the first after {where} changed ({quantity})")
    return needed
