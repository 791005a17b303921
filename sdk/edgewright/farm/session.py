"""A run: the cells of a plan, device by device, each ending in one stored row."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

from edgewright.device import Device
from edgewright.errors import DeviceError, EdgewrightError
from edgewright.profiles import load_profile
from edgewright.recipe import Recipe
from edgewright.row import Cell, Row
from edgewright.store import Store

from .execute import Bench, Settings, Task, row_without_device
from .group import Watcher, run_group
from .inventory import Target
from .metered import find_meter
from .subject import AS_IS, BareSubject, Subject


@dataclass(frozen=True)
class Work:
    """What to measure: every subject with every recipe in every runtime on every device."""

    subjects: Sequence[Subject]
    recipes: Sequence[Recipe]
    runtimes: Sequence[str]
    targets: Sequence[Target]

    @property
    def count(self) -> int:
        """How many cells there are."""
        return sum(len(group) for target in self.targets for group in self.groups(target))

    def groups(self, target: Target) -> Iterator[list[Task]]:
        """The cells of one device, those of one subject together: they will be compared with each other.

        A bare model is measured as it is, whatever the recipes.
        """
        profile = load_profile(target.profile).name
        for subject in self.subjects:
            recipes = (None,) if isinstance(subject, BareSubject) else self.recipes
            yield [
                Task(
                    subject,
                    recipe,
                    Cell(subject.name, recipe.name if recipe else AS_IS, target.name, profile, runtime),
                )
                for recipe in recipes
                for runtime in self.runtimes
            ]


def run_work(work: Work, settings: Settings, store: Store, run_id: str, watcher: Watcher) -> list[Row]:
    """Measure everything; rows are stored as soon as they are known.

    A device that cannot be opened gives every one of its cells a row with the reason.
    """
    rows: list[Row] = []

    def keep(row: Row) -> None:
        store.add_row(run_id, row)
        rows.append(row)
        watcher.row(row)

    for target in work.targets:
        groups = list(work.groups(target))
        watcher.expect(sum(map(len, groups)))
        try:
            bench = open_bench(target)
        except DeviceError as error:
            for task in chain.from_iterable(groups):
                keep(row_without_device(task.cell, error, settings))
                watcher.done()
            continue
        with bench.device:
            for group in groups:
                for row in run_group(group, bench, settings, watcher):
                    keep(row)
    return rows


def open_bench(target: Target) -> Bench:
    """Connect and ask the device what it is.

    Raises:
        DeviceError: it cannot be reached or used.
    """
    device = Device.open(target)
    try:
        meter = find_meter(device, target.meter) if target.meter else None
        return Bench(device, load_profile(target.profile), device.probe(), meter)
    except EdgewrightError:
        device.close()
        raise
