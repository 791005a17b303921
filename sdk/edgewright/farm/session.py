"""A run: the cells of a plan, device by device, each ending in one stored row."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from edgewright.device import Device
from edgewright.errors import DeviceError, EdgewrightError
from edgewright.profiles import load_profile
from edgewright.recipe import Recipe
from edgewright.report.figures import figures_of
from edgewright.row import Cell, Failed, Row
from edgewright.store import Store

from .execute import Task, outcome_of, row_unmeasured
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
        store.add_row(run.run_id, row, key, figures_of(row))
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
            station = Station.open(target, settings, run, watcher)
        except DeviceError as error:
            for task in itertools.chain.from_iterable(groups):
                keep(task.key, row_unmeasured(task.cell, outcome_of(error), settings))
                watcher.done()
            continue
        with station:
            for group in groups:
                for ended in station.measure(group):
                    keep(ended.key, ended.row)
                    station.forget(ended)
    return list(rows.values())


class Station:
    """An open device on which cells of one run are measured.

    A context manager: at the end no job of the run is left on the device, nor of the one that was given up
    for it; after an error that is left to the command that goes on with the run.
    """

    def __init__(self, bench: Bench, settings: Settings, run: Run, watcher: Watcher) -> None:
        self._bench = bench
        self._settings = settings
        self._run = run
        self._watcher = watcher

    @classmethod
    def open(cls, target: Target, settings: Settings, run: Run, watcher: Watcher) -> Self:
        """Connect, ask the device what it is, and end the jobs of the run that was given up.

        Raises:
            DeviceError: it cannot be reached or used.
        """
        station = cls(open_bench(target), settings, run, watcher)
        if run.given_up:
            station._call_off(run.given_up)
        return station

    @property
    def is_open(self) -> bool:
        """Whether the device is connected, as far as anybody has noticed."""
        return self._bench.device.is_open

    def measure(self, tasks: Sequence[Task]) -> Iterator[Ended]:
        """The cells, interleaved; the device keeps the results of each until :meth:`forget`."""
        return run_group(tasks, self._bench, self._settings, self._watcher)

    def forget(self, ended: Ended) -> None:
        """Let the device forget the jobs of a row that is stored; one that failed may still be running."""
        if not ended.job_ids:
            return
        try:
            if isinstance(ended.row.outcome, Failed):
                self._bench.device.call_off(*ended.job_ids)
            else:
                self._bench.device.acknowledge(*ended.job_ids)
        except DeviceError as error:
            self._watcher.event(_left(error))

    def leave_nothing(self) -> None:
        """End and forget all jobs of the run, by one try over the connection there is."""
        self._call_off(self._run.run_id)

    def close(self) -> None:
        """Close the connection; what the device keeps for the run stays there."""
        self._bench.device.close()

    def _call_off(self, run_id: str) -> None:
        try:
            self._bench.device.call_off(origin=f"{run_id}/")
        except DeviceError as error:
            self._watcher.event(_left(error))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        is_interrupted = isinstance(error, KeyboardInterrupt) and self.is_open
        try:
            if is_interrupted or (error is None and self._run.is_resumed):
                self.leave_nothing()
        finally:
            self.close()


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
