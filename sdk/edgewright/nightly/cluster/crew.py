"""What a worker does for one run: as on one machine, for the devices of its own farm file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edgewright import __version__
from edgewright.errors import ConfigError, EdgewrightError, VerificationError
from edgewright.farm.execute import Task, build_ahead, outcome_of, row_unmeasured
from edgewright.farm.group import Ended
from edgewright.farm.inventory import Inventory, Target
from edgewright.farm.prepared import prepared
from edgewright.farm.session import Run
from edgewright.nightly.again import first_key
from edgewright.nightly.hands import Hand
from edgewright.nightly.local import LocalExecutor
from edgewright.nightly.orders import GroupOrder
from edgewright.profiles import load_profile
from edgewright.row import Failed, Skipped
from edgewright.signing import Signer

from .documents import EndedLine, Job, Order, Place, Report, TaskLine, of_group
from .files import BuiltSubject, Shelf, arrived, described

#: Told of what a device reports: its name, and the event.
Tell = Callable[[str, Mapping[str, Any]], None]


@dataclass(frozen=True)
class Means:
    """What a worker has: its devices' file, the key that vouches for models, caches, and its sites."""

    inventory: Inventory
    signer: Signer | None
    cache: Path
    shelf: Shelf
    sites: tuple[str, ...]


class Crew:
    """The orders of one run, in the order in which they come for each device.

    Args:
        job: the run.
        means: of this worker.
        tell: called by the devices' threads.

    Raises:
        ConfigError: this worker cannot do what the plan asks for.
    """

    def __init__(self, job: Job, means: Means, tell: Tell) -> None:
        if job.version != __version__:
            raise ConfigError(f"the farm is Edgewright {job.version}, this worker {__version__}")
        self.job = job
        self._means = means
        places = {place.device: place for place in job.places}
        targets = [self._target(place) for place in job.places if place.site in means.sites]
        stand_ins = [Target(place.device, place.profile) for place in job.places]
        work, settings = prepared(job.plan, job.asked, stand_ins, means.signer, means.cache)
        self._run = Run(job.run_id, job.is_resumed, job.given_up)
        self._tasks: dict[str, Task] = {
            task.key: task
            for target in stand_ins
            for group in work.groups(target, job.run_id)
            for task in group
        }
        self._settings = settings
        self._places = places
        self._targets = {target.name: target for target in targets}
        self._builder = Hand("site-builds")
        self.executor = LocalExecutor(targets, settings, self._run, tell)
        #: The last order for each device, or for builds, so that one given again is not done again.
        self._given: dict[str, tuple[str, Future[Report]]] = {}

    def _target(self, place: Place) -> Target:
        """The device of this worker's own file, which has to be the one that the farm means."""
        target = self._means.inventory.get(place.device)
        if (target.site, load_profile(target.profile).name) != (place.site, load_profile(place.profile).name):
            raise ConfigError(
                f"device {place.device!r}: another site or profile here than in the farm's file"
            )
        return target

    def give(self, order: Order) -> Future[Report]:
        """Have an order done; what it comes to. One that was given before is not begun again."""
        lane = f"build {order.number}" if order.kind == "build" else order.device
        if lane in self._given:
            number, future = self._given[lane]
            if number == order.number and not (future.done() and future.exception()):
                return future
        begun = self._begin(order)
        self._given[lane] = (order.number, begun)
        return begun

    def _begin(self, order: Order) -> Future[Report]:
        try:
            return self._asked(order)
        except EdgewrightError as error:
            refused: Future[Report] = Future()
            refused.set_result(Report(refused=str(error)))
            return refused

    def _asked(self, order: Order) -> Future[Report]:
        if order.kind == "build":
            return self._build(order)
        target = self._targets.get(order.device)
        if target is None:
            raise ConfigError(f"device {order.device!r}: no worker of its site")
        if order.kind == "measure":
            tasks = tuple(self._arrived(line) for line in order.tasks)
            return _then(self.executor.measure(GroupOrder(target, tasks)), of_group)
        if order.kind == "check":
            health = self.executor.check(target, cycle=order.cycle)
            return _then(health, lambda found: Report(health=found))
        if order.kind == "leave":
            return _then(self.executor.leave(target), lambda _: Report())
        if order.kind == "forget":
            self.executor.forget(target, tuple(map(self._ended, order.ended)))
            done: Future[Report] = Future()
            done.set_result(Report())
            return done
        raise ConfigError(f"no order is called {order.kind!r}")

    def _task(self, line: TaskLine) -> Task:
        task = self._tasks.get(first_key(line.key))
        if task is None or task.cell != line.cell:
            raise ConfigError(
                f"cell {line.key!r}: the plan says otherwise here: other files than the farm's?"
            )
        return replace(task, key=line.key)

    def _build(self, order: Order) -> Future[Report]:
        (line,) = order.tasks
        task, profile = self._task(line), self._places[order.device].profile

        def work() -> Report:
            try:
                made, notes = build_ahead(task, load_profile(profile))
            except EdgewrightError as error:
                outcome = outcome_of(error)
                failed = outcome if isinstance(outcome, Failed) else None
                return Report(failed=failed, skipped=outcome if isinstance(outcome, Skipped) else None)
            return Report(built=described(made, notes, self._means.shelf))

        return self._builder.do(work)

    def _arrived(self, line: TaskLine) -> Task:
        task = self._task(line)
        if line.built is None:
            raise VerificationError(f"cell {line.key!r}: nobody says which file was built for it")
        made = arrived(line.built, self._means.shelf)
        return replace(task, subject=BuiltSubject(task.subject, made, line.built.notes))

    def _ended(self, line: EndedLine) -> Ended:
        """Enough of a cell to forget its jobs: whether it failed; its row is with the farm."""
        task = self._tasks.get(first_key(line.key))
        if task is None:
            raise ConfigError(f"no cell is called {line.key!r}")
        outcome = Failed("to be forgotten", "") if line.has_failed else Skipped("to be forgotten")
        return Ended(line.key, row_unmeasured(task.cell, outcome, self._settings), line.job_ids)

    @property
    def is_busy(self) -> bool:
        """Whether anything goes on."""
        return self.executor.is_busy or any(not future.done() for _, future in self._given.values())

    def stop(self) -> None:
        """The farm is interrupted: end the jobs on devices, for a bounded time."""
        self.executor.stop()
        self.close()

    def let_go(self, device: str) -> None:
        """Nobody waits for what goes on at a device any more; the job goes on there.

        Whoever gives the order again has it begun again, and so takes the job up; what has ended is kept.
        """
        if device not in self._targets:
            return
        _, future = self._given.get(device, ("", None))
        if future is not None and not future.done():
            del self._given[device]
        self.executor.let_go(device)

    def abandon(self) -> None:
        """Let go of all devices; what they keep for the run stays there."""
        for device in self._targets:
            self.executor.let_go(device)
        self.close()

    def close(self) -> None:
        """Nothing more is to come."""
        self.executor.close()
        self._builder.end()


def _then(future: Future[Any], made: Callable[[Any], Report]) -> Future[Report]:
    """The report of what comes out of it."""
    report: Future[Report] = Future()

    def done(ended: Future[Any]) -> None:
        error = ended.exception()
        if error is not None:
            report.set_exception(error)
        else:
            report.set_result(made(ended.result()))

    future.add_done_callback(done)
    return report
