"""Orders done by threads of this process, one a device and one for builds."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass
from functools import partial
from typing import Any

from edgewright.device import Device
from edgewright.errors import DeviceError, EdgewrightError
from edgewright.farm.execute import build_ahead, outcome_of
from edgewright.farm.group import Ended
from edgewright.farm.inventory import Target
from edgewright.farm.job import Settings
from edgewright.farm.power import cycle_power
from edgewright.farm.session import Run, Station
from edgewright.profiles import load_profile
from edgewright.row import Cell, Failed, Row, Skipped

from .hands import Hand
from .health import check_health
from .orders import BuildOrder, GroupOrder, GroupReport, Health

#: How long an interrupt waits for the devices.
STOP_S = 20.0

#: Told of what a device reports: its name, and the event.
Tell = Callable[[str, Mapping[str, Any]], None]


class LetGo(BaseException):
    """Nobody waits for this device any more: its thread ends, its job goes on. No error, and no interrupt."""


@dataclass
class _Watcher:
    """Passes on what a device tells, until the farm is interrupted: then the next word ends its thread."""

    name: str
    tell: Tell
    is_stopped: threading.Event
    is_left: threading.Event

    def expect(self, steps: int) -> None:
        """Nobody counts."""

    def begin(self, cell: Cell, what: str) -> None:
        """A launch begins."""
        self.event({"event": "begin", "what": f"{cell.workload} {cell.recipe} {cell.runtime}, {what}"})

    def event(self, event: Mapping[str, Any]) -> None:
        """Whatever the device says."""
        if event.get("name") != "left":
            if self.is_stopped.is_set():
                raise KeyboardInterrupt
            if self.is_left.is_set():
                raise LetGo
        self.tell(self.name, event)

    def done(self) -> None:
        """Nobody counts."""

    def row(self, row: Row) -> None:
        """The schedule knows."""


class _Post:
    """One device: the thread that speaks with it, and the connection it holds."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self.hand = Hand(f"farm-{target.name}")
        self.station: Station | None = None
        self.doing: Future[Any] | None = None
        self.is_left = threading.Event()

    @property
    def is_busy(self) -> bool:
        return self.doing is not None and not self.doing.done()

    def close(self, *, tidy: bool = False) -> None:
        """``tidy``: no job of the run stays there, if that can be had over the connection there is."""
        station, self.station = self.station, None
        if station is None:
            return
        if tidy and station.is_open:
            station.leave_nothing()
        station.close()


class LocalExecutor:
    """The executor of one machine. Builds are serialized; each device has a thread of its own.

    Args:
        targets: the devices.
        settings: of the run.
        run: for which everything is done.
        tell: called by the devices' threads with what those report.
    """

    def __init__(self, targets: Sequence[Target], settings: Settings, run: Run, tell: Tell) -> None:
        self._settings = settings
        self._run = run
        self._tell = tell
        self._is_stopped = threading.Event()
        self._builder = Hand("farm-builds")
        self._posts = {target.name: _Post(target) for target in targets}

    def build(self, order: BuildOrder) -> Future[Failed | Skipped | None]:
        """See :class:`~edgewright.nightly.orders.Executor`."""

        def work() -> Failed | Skipped | None:
            try:
                build_ahead(order.task, load_profile(order.profile))
            except EdgewrightError as error:
                return outcome_of(error)
            return None

        return self._builder.do(work)

    def measure(self, order: GroupOrder) -> Future[GroupReport]:
        """See :class:`~edgewright.nightly.orders.Executor`."""
        post = self._posts[order.target.name]

        def work() -> GroupReport:
            try:
                station = self._opened(post)
            except EdgewrightError as error:
                outcome = outcome_of(error)
                failed = outcome if isinstance(outcome, Failed) else Failed(outcome.reason, "unsupported")
                return GroupReport(unopened=failed)
            begun = time.monotonic()
            ended = tuple(station.measure(order.tasks))
            return GroupReport(ended, seconds=time.monotonic() - begun)

        return self._do(post, work)

    def forget(self, target: Target, ended: tuple[Ended, ...]) -> None:
        """See :class:`~edgewright.nightly.orders.Executor`."""
        post = self._posts[target.name]

        def work() -> None:
            for one in ended:
                if post.station is not None:
                    post.station.forget(one)
            if post.station is not None and not post.station.is_open:
                post.close()

        self._do(post, work)

    def check(self, target: Target, *, cycle: bool) -> Future[Health]:
        """See :class:`~edgewright.nightly.orders.Executor`."""
        post = self._posts[target.name]

        def work() -> Health:
            post.close()
            if cycle:
                try:
                    cycle_power(target.name, target.power_cycle)
                except DeviceError as error:
                    return Health(False, str(error))
            name = f"{self._run.run_id}/health/{uuid.uuid4().hex}"
            return check_health(target, self._settings.signer, name)

        return self._do(post, work)

    def leave(self, target: Target) -> Future[None]:
        """See :class:`~edgewright.nightly.orders.Executor`."""
        post = self._posts[target.name]

        def work() -> None:
            if post.station is None and self._run.is_resumed:
                try:
                    self._opened(post)
                except EdgewrightError as error:
                    self._tell(target.name, {"event": "phase", "name": "left", "why": str(error)})
            post.close(tidy=True)

        return self._do(post, work)

    def stop(self) -> None:
        """See :class:`~edgewright.nightly.orders.Executor`."""
        self._is_stopped.set()
        until = time.monotonic() + STOP_S
        busy = [post for post in self._posts.values() if post.is_busy]
        calls = [Hand(f"stop-{post.target.name}").do(partial(self._call_off, post)) for post in busy]
        wait(calls, STOP_S)
        closed = [post.hand.do(partial(post.close, tidy=True)) for post in self._posts.values()]
        wait(closed, max(0.0, until - time.monotonic()))

    @property
    def is_busy(self) -> bool:
        """Whether anything goes on at a device."""
        return any(post.is_busy for post in self._posts.values())

    def close(self) -> None:
        """Let go of the devices once what was asked for has ended; what they keep for the run stays there."""
        for post in self._posts.values():
            post.hand.do(post.close)
            post.hand.end()
        self._builder.end()

    def let_go(self, name: str) -> None:
        """Nobody waits any more for what goes on at a device: its thread ends, its job goes on."""
        post = self._posts[name]
        post.is_left.set()
        post.hand.do(post.close)

    def _call_off(self, post: _Post) -> None:
        """By a connection of its own, since its thread waits on the other one."""
        try:
            with Device.open(post.target, patience_s=0) as device:
                device.call_off(origin=f"{self._run.run_id}/")
        except EdgewrightError as error:
            self._tell(post.target.name, {"event": "phase", "name": "left", "why": str(error)})

    def _do(self, post: _Post, work: Callable[[], Any]) -> Future[Any]:
        post.doing = post.hand.do(work)
        return post.doing

    def _opened(self, post: _Post) -> Station:
        if post.station is not None and not post.station.is_open:
            post.close()
        if post.station is None:
            post.is_left = threading.Event()
            watcher = _Watcher(post.target.name, self._tell, self._is_stopped, post.is_left)
            post.station = Station.open(post.target, self._settings, self._run, watcher)
        return post.station
