"""A run: the cells of a plan, device by device, each ending in one stored row."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from edgewright.device import Device
from edgewright.errors import DeviceError, EdgewrightError
from edgewright.profiles import load_profile
from edgewright.recipe import Recipe
from edgewright.row import Cell, Failed, Row
from edgewright.store import Store

from .execute import Task, row_without_device
from .group import Ended, Watcher, run_group
from .inventory import Target
from .job import Bench, Settings
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
        return sum(len(group) for target in self.targets for group in self.groups(target, ""))

    def groups(self, target: Target, run_id: str) -> Iterator[list[Task]]:
        """The cells of one device, those of one subject together: they will be compared with each other.

        A bare model is measured as it is, whatever the recipes.
        """
        profile = load_profile(target.profile).name
        number = itertools.count()
        for subject in self.subjects:
            recipes = (None,) if isinstance(subject, BareSubject) else self.recipes
            yield [
                Task(
                    subject,
                    recipe,
                    Cell(subject.name, recipe.name if recipe else AS_IS, target.name, profile, runtime),
                    f"{run_id}/{target.name}/{next(number)}",
                )
                for recipe in recipes
                for runtime in self.runtimes
            ]


@dataclass(frozen=True)
class Run:
    """The run that work is done for.

    Attributes:
        is_resumed: a process began it that died, and may have left jobs on the devices.
        given_up: an earlier run of the same work that nobody goes on with.
    """

    run_id: str
    is_resumed: bool = False
    given_up: str = ""


def run_work(work: Work, settings: Settings, store: Store, run: Run, watcher: Watcher) -> list[Row]:
    """Measure everything; rows are stored as soon as they are known.

    Cells whose row the run has already, because it was begun by a process that died, are not measured again.
    A device that cannot be opened gives every one of its cells a row with the reason. Nothing of the run
    stays on a device that can be reached, also when it is interrupted.
    """
    rows = dict(store.rows_by_key(run.run_id))

    def keep(key: str, row: Row) -> None:
        store.add_row(run.run_id, row, key)
        rows[key] = row
        watcher.row(row)

    for target in work.targets:
        groups = [
            left
            for group in work.groups(target, run.run_id)
            if (left := [task for task in group if task.key not in rows])
        ]
        if not groups and not run.is_resumed:
            continue
        watcher.expect(sum(map(len, groups)))
        try:
            bench = open_bench(target)
        except DeviceError as error:
            for task in itertools.chain.from_iterable(groups):
                keep(task.key, row_without_device(task.cell, error, settings))
                watcher.done()
            continue
        with bench.device, _tidied(bench.device, run, watcher):
            for group in groups:
                for ended in run_group(group, bench, settings, watcher):
                    keep(ended.key, ended.row)
                    _forget(bench.device, ended, watcher)
    return list(rows.values())


@contextmanager
def _tidied(device: Device, run: Run, watcher: Watcher) -> Iterator[None]:
    """Leave no job of this run behind, nor of the one that was given up for it."""
    if run.given_up:
        _call_off(device, run.given_up, watcher)
    try:
        yield
    except KeyboardInterrupt:
        if device.is_open:
            _call_off(device, run.run_id, watcher)
        raise
    if run.is_resumed:
        _call_off(device, run.run_id, watcher)


def _call_off(device: Device, run_id: str, watcher: Watcher) -> None:
    try:
        device.call_off(origin=f"{run_id}/")
    except DeviceError as error:
        watcher.event(_left(error))


def _forget(device: Device, ended: Ended, watcher: Watcher) -> None:
    """Let the device forget the jobs of a row that is stored; one that failed may still be running."""
    if not ended.job_ids:
        return
    try:
        if isinstance(ended.row.outcome, Failed):
            device.call_off(*ended.job_ids)
        else:
            device.acknowledge(*ended.job_ids)
    except DeviceError as error:
        watcher.event(_left(error))


def _left(error: DeviceError) -> dict[str, str]:
    """Jobs stay on the device, since it could not be asked to forget them."""
    return {"event": "phase", "name": "left", "why": str(error)}


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
