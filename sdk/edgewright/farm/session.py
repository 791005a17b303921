"""A run: the cells of a plan, device by device, each ending in one stored row."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from edgewright.device import Device
from edgewright.errors import DeviceError, EdgewrightError
from edgewright.profiles import load_profile
from edgewright.recipe import Recipe
from edgewright.row import Cell, Row
from edgewright.store import Store

from .execute import Bench, Settings, Task, row_without_device, run_task
from .inventory import Target
from .subject import AS_IS, BareSubject, Subject


class Watcher(Protocol):
    """Whoever wants to see a run go by."""

    def cell(self, number: int, count: int, cell: Cell) -> None:
        """A cell begins."""

    def step(self, what: str, event: Mapping[str, Any]) -> None:
        """Something happens inside the cell."""

    def row(self, row: Row) -> None:
        """The cell has ended and its row is stored."""


@dataclass(frozen=True)
class Work:
    """What to measure: every subject with every recipe in every runtime on every device."""

    subjects: Sequence[Subject]
    recipes: Sequence[Recipe]
    runtimes: Sequence[str]
    targets: Sequence[Target]

    def tasks(self, target: Target) -> Iterator[Task]:
        """The cells of one device. A bare model is measured as it is, whatever the recipes."""
        profile = load_profile(target.profile).name
        for subject in self.subjects:
            recipes = (None,) if isinstance(subject, BareSubject) else self.recipes
            for recipe in recipes:
                for runtime in self.runtimes:
                    name = recipe.name if recipe else AS_IS
                    yield Task(subject, recipe, Cell(subject.name, name, target.name, profile, runtime))


def run_work(work: Work, settings: Settings, store: Store, run_id: str, watcher: Watcher) -> list[Row]:
    """Measure everything; each row is stored as soon as it is known.

    A device that cannot be opened gives every one of its cells a row with the reason.
    """
    plan = [(target, list(work.tasks(target))) for target in work.targets]
    count = sum(len(tasks) for _, tasks in plan)
    rows: list[Row] = []

    def keep(row: Row) -> None:
        store.add_row(run_id, row)
        rows.append(row)
        watcher.row(row)

    for target, tasks in plan:
        try:
            opened: Bench | DeviceError = open_bench(target)
        except DeviceError as error:
            opened = error
        for task in tasks:
            watcher.cell(len(rows) + 1, count, task.cell)
            if isinstance(opened, DeviceError):
                keep(row_without_device(task.cell, opened, settings))
            else:
                keep(run_task(task, opened, settings, watcher.step))
        if isinstance(opened, Bench):
            opened.device.close()
    return rows


def open_bench(target: Target) -> Bench:
    """Connect and ask the device what it is.

    Raises:
        DeviceError: it cannot be reached or used.
    """
    device = Device.open(target)
    try:
        return Bench(device, load_profile(target.profile), device.probe())
    except EdgewrightError:
        device.close()
        raise
