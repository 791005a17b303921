"""The executor of several hosts: any worker builds, those of a device's site measure on it.

A worker that dies in the middle loses nothing: the device goes on by itself, and the next worker of its site
is given the same order, finds the job on the device by its id, and takes up the result.
"""

from __future__ import annotations

import asyncio
import collections
import threading
import time
import uuid
from collections.abc import Callable, Coroutine, Mapping, Sequence
from concurrent.futures import Future
from typing import Any, TypeVar

from edgewright.errors import EdgewrightError, TransportError
from edgewright.farm.execute import Task
from edgewright.farm.group import Ended
from edgewright.farm.inventory import Target
from edgewright.nightly.builds import file_key
from edgewright.nightly.local import STOP_S, Tell
from edgewright.nightly.orders import BuildOrder, GroupOrder, GroupReport, Health
from edgewright.row import Failed, Skipped

from .calls import Calls
from .documents import Built, EndedLine, Job, Order, Report, TaskLine, group_report
from .files import Shelf

T = TypeVar("T")

#: How long a worker is waited for, how often the scheduler is asked meanwhile, how long one that was lost is
#: left alone, and how many may be lost over one order.
PATIENCE_S, LOOK_S, AVOID_S, MOST_LOST = 60.0, 1.0, 30.0, 8


class DaskExecutor:
    """See :class:`~edgewright.nightly.orders.Executor`. A context manager.

    Args:
        calls: to the scheduler and its workers.
        job: the run.
        shelf: for what workers have built.
        tell: called with what devices say.
        note: called with what is to be known of workers.
    """

    def __init__(self, calls: Calls, job: Job, shelf: Shelf, tell: Tell, note: Callable[[str], None]) -> None:
        self._calls = calls
        self._job = job
        self._shelf = shelf
        self._tell = tell
        self._note = note
        self._sites = {place.device: place.site for place in job.places}
        self._built: dict[str, Built] = {}
        self._crews: dict[str, str] = {}  # device -> the worker that holds it
        self._avoided: dict[str, float] = {}
        self._building: collections.Counter[str] = collections.Counter()
        self._turns: dict[str, asyncio.Lock] = collections.defaultdict(asyncio.Lock)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="farm-workers", daemon=True)

    def __enter__(self) -> DaskExecutor:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(STOP_S)
        if self._thread.is_alive():
            return
        if left := asyncio.all_tasks(self._loop):
            for task in left:
                task.cancel()
            self._loop.run_until_complete(asyncio.wait(left))
        self._loop.close()

    def build(self, order: BuildOrder) -> Future[Failed | Skipped | None]:
        """See :class:`~edgewright.nightly.orders.Executor`."""

        async def work() -> Failed | Skipped | None:
            device = order.task.cell.device
            asked = Order(uuid.uuid4().hex, "build", device, (self._line(order.task),))
            report = await self._done(asked, lambda: self._builder())
            if report.built is not None:
                self._built[order.key] = report.built
            return _why_not(report) or report.failed or report.skipped

        return self._begin(work())

    def measure(self, order: GroupOrder) -> Future[GroupReport]:
        """See :class:`~edgewright.nightly.orders.Executor`."""

        async def work() -> GroupReport:
            report = await self._on(order.target, "measure", tasks=tuple(map(self._line, order.tasks)))
            if failed := _why_not(report):
                return GroupReport(unopened=failed)
            try:
                return group_report(report)
            except ValueError as error:
                return GroupReport(unopened=Failed(f"not a row: {error}", TransportError.code))

        return self._begin(work())

    def forget(self, target: Target, ended: tuple[Ended, ...]) -> None:
        """See :class:`~edgewright.nightly.orders.Executor`."""
        lines = tuple(
            EndedLine(one.key, one.job_ids, has_failed=isinstance(one.row.outcome, Failed)) for one in ended
        )
        if lines:
            self._begin(self._on(target, "forget", ended=lines))

    def check(self, target: Target, *, cycle: bool) -> Future[Health]:
        """See :class:`~edgewright.nightly.orders.Executor`."""

        async def work() -> Health:
            report = await self._on(target, "check", cycle=cycle)
            failed = _why_not(report) or Failed("no health check came of it", "")
            return report.health or Health(False, failed.reason, failed.code, may_pass=failed.retryable)

        return self._begin(work())

    def leave(self, target: Target) -> Future[None]:
        """See :class:`~edgewright.nightly.orders.Executor`."""

        async def work() -> None:
            report = await self._on(target, "leave")
            if failed := _why_not(report):
                self._tell(target.name, {"event": "phase", "name": "left", "why": failed.reason})

        return self._begin(work())

    def stop(self) -> None:
        """See :class:`~edgewright.nightly.orders.Executor`."""

        async def stop(worker: str) -> None:
            try:
                await self._calls.stop(worker, self._job.run_id)
            except OSError as error:
                self._note(f"{worker}: could not be told to stop: {error}")

        async def work() -> None:
            await asyncio.wait_for(asyncio.gather(*map(stop, set(self._crews.values()))), STOP_S + 5)

        try:
            self._begin(work()).result(STOP_S + 10)
        except TimeoutError:
            self._note("some workers did not stop in time")

    def _begin(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def _line(self, task: Task) -> TaskLine:
        return TaskLine(task.key, task.cell, self._built.get(file_key(task)))

    async def _on(self, target: Target, kind: str, **more: Any) -> Report:
        """An order for a device, after those that were given for it before."""
        order = Order(uuid.uuid4().hex, kind, target.name, **more)
        async with self._turns[target.name]:
            return await self._done(order, lambda: self._holder(target.name))

    async def _done(self, order: Order, choose: Callable[[], Coroutine[Any, Any, str]]) -> Report:
        """Have an order done by one worker, or by the next should that be lost."""
        for _ in range(MOST_LOST):
            try:
                worker = await choose()
            except TransportError as error:
                return Report(unopened=Failed(error.message, error.code, retryable=True))
            self._building[worker] += order.kind == "build"
            try:
                return await self._by(worker, order)
            except EdgewrightError as error:
                return Report(refused=str(error))
            except OSError as error:
                self._avoided[worker] = time.monotonic() + AVOID_S
                self._note(f"{order.device}: worker {worker} was lost: {error or type(error).__name__}")
            finally:
                self._building[worker] -= order.kind == "build"
        return Report(unopened=Failed(f"{MOST_LOST} workers were lost over it", TransportError.code, True))

    async def _by(self, worker: str, order: Order) -> Report:
        """By that worker; built files come here at once, so that nobody depends on it any more."""

        def tell(event: Mapping[str, Any]) -> None:
            self._tell(order.device, event)

        if order.kind == "measure":
            blobs = [blob for line in order.tasks if line.built for blob in line.built.blobs]
            await self._calls.send(worker, blobs, self._shelf)
        report = await self._calls.order(worker, self._job, order, tell)
        if report.built is not None:
            await self._calls.fetch(worker, report.built.blobs, self._shelf)
        return report

    async def _builder(self) -> str:
        """The worker that builds least."""
        found = await self._there(None)
        return min(found, key=lambda worker: self._building[worker])

    async def _holder(self, device: str) -> str:
        """The worker that has the device; else the one of its site that has fewest."""
        found = await self._there(self._sites[device])
        if self._crews.get(device) not in found:
            held = collections.Counter(self._crews.values())
            self._crews[device] = min(found, key=lambda worker: held[worker])
        return self._crews[device]

    async def _there(self, site: str | None) -> Sequence[str]:
        """The workers that are there, of a site or at all; one is waited for.

        Raises:
            TransportError: none came.
        """
        until, why = time.monotonic() + PATIENCE_S, ""
        while True:
            try:
                members = await self._calls.members()
            except OSError as error:
                members, why = (), f": the scheduler cannot be reached: {error}"
            now = time.monotonic()
            found = [
                member.address
                for member in members
                if (site is None or site in member.sites) and self._avoided.get(member.address, 0.0) <= now
            ]
            if found:
                return found
            if now > until:
                raise TransportError("", f"no worker{f' of site {site!r}' if site else ''} is there{why}")
            await asyncio.sleep(LOOK_S)


def _why_not(report: Report) -> Failed | None:
    """Why an order was not done at all."""
    return Failed(report.refused, "refused") if report.refused else report.unopened
