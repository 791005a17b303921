"""The schedule: which device does what next, and what is made of how it ended.

One thread decides, and sleeps until something has happened or is due. Whatever takes time is done by the
executor. So the state below needs no locks, and a test can play any order of events.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from functools import partial
from typing import TypeVar

from edgewright.errors import DeviceTimeout, Quarantined, TransportError
from edgewright.farm.execute import row_unmeasured
from edgewright.farm.group import Ended
from edgewright.row import Failed, Row, Skipped
from edgewright.store import Boards, Leases, Store

from .builds import Builds
from .inbox import Inbox, Message
from .infirmary import Infirmary
from .lane import Batch, Lane, failures_after
from .ledger import Ledger
from .orders import BuildOrder, Executor, GroupOrder, GroupReport, Health
from .view import View
from .work import NightWork

T = TypeVar("T")

#: After these the job may have gone on: its result is taken up by the next try.
_MAY_HAVE_GONE_ON = (TransportError.code, DeviceTimeout.code)


class Night:
    """One run over all its devices.

    Args:
        job: what to do.
        store: where rows, leases and quarantines are.
        executor: does it.
        view: is told.
        inbox: the clock, and where the executor's answers arrive.
    """

    def __init__(self, job: NightWork, store: Store, executor: Executor, view: View, inbox: Inbox) -> None:
        self._job = job
        self._policy = job.policy
        self._executor = executor
        self._view = view
        self._inbox = inbox
        self._boards = Boards(store)
        self._leases = Leases(store, job.run.run_id, priority=job.priority)
        self.ledger = Ledger(store, job.run.run_id, job.settings)
        self._lanes = [self._lane(place) for place in range(len(job.work.targets))]
        self._builds = Builds(self._lanes, job.builders)
        self._infirmary = Infirmary(self._boards, executor, job.policy, view, inbox)
        #: Rows to be written once no device has to wait for that.
        self._saves: deque[Message] = deque()
        self._is_news = True
        self._renew_at = inbox.now() + self._leases.renew_s

    def _lane(self, place: int) -> Lane:
        """The cells that have no row; each device has another subject first, so that none comes last."""
        target = self._job.work.targets[place]
        groups = list(self._job.work.groups(target, self._job.run.run_id))
        turn = place % len(groups)
        left = (
            tuple(task for task in group if task.key not in self.ledger)
            for group in (*groups[turn:], *groups[:turn])
        )
        return Lane(target, [Batch(tasks) for tasks in left if tasks])

    def run(self) -> None:
        """Go on until every cell has its row, or until interrupted.

        Raises:
            StoreError: nothing more can be stored; the same command goes on from there.
        """
        self.ledger.recall(task for lane in self._lanes for task in lane.tasks)
        try:
            while self._advance():
                if self._is_news:
                    self._tell_left()
                message = self._inbox.get(self._inbox.now() if self._saves else self._due_at())
                if message is not None:
                    message()
                elif self._saves:
                    self._saves.popleft()()
        except KeyboardInterrupt:
            while self._saves:
                self._saves.popleft()()
            self._executor.stop()
            raise
        finally:
            self._leases.close()
        self._tell_left()

    def _due_at(self) -> float:
        """When something has to be done though nothing has happened."""
        return min((self._renew_at, *(at for lane in self._lanes for at in self._due(lane))))

    def _due(self, lane: Lane) -> Iterator[float]:
        if lane.busy is not None:
            return
        ats = [lane.wanted_at, *(batch.not_before for batch in lane.batches)]
        if lane.set_aside_at is not None:
            ats += [lane.check_at, lane.set_aside_at + self._policy.return_s]
        # What is due already waits for something to happen, not for the clock.
        yield from (at for at in ats if at > self._inbox.now())

    def _advance(self) -> bool:
        """Let everybody begin what can be begun now; whether anything is still to come."""
        if self._inbox.now() >= self._renew_at:
            held = self._leases.renew()
            for lane in self._lanes:
                lane.has_lease = lane.has_lease and lane.board in held
            self._renew_at = self._inbox.now() + self._leases.renew_s
        while not any(lane.is_local for lane in self._busy()) and (order := self._builds.next()):
            self._when_done(self._executor.build(order), partial(self._was_built, order))
        for lane in self._lanes:
            if lane.busy is None:
                self._begin(lane)
        return not all(lane.is_left and lane.has_ended for lane in self._lanes)

    def _busy(self) -> list[Lane]:
        return [lane for lane in self._lanes if lane.busy is not None]

    def _begin(self, lane: Lane) -> None:
        if not lane.batches:
            if not (lane.is_left or lane.unsaved) and self._may_disturb(lane):
                self._leave(lane)
        elif lane.set_aside_at is not None:
            self._check(lane)
        else:
            ready = next((batch for batch in lane.batches if self._is_ready(batch)), None)
            if ready is None:
                self._release(lane)
            elif self._may_disturb(lane) and self._has(lane):
                self._measure(lane, ready)

    def _is_ready(self, batch: Batch) -> bool:
        return self._builds.has(batch.tasks) and batch.not_before <= self._inbox.now()

    def _may_disturb(self, lane: Lane) -> bool:
        """This machine is measured alone: builds and other devices' measurements take its time."""
        if lane.is_local:
            return not self._busy() and self._builds.has_ended
        return not any(busy.is_local for busy in self._busy())

    def _has(self, lane: Lane) -> bool:
        """Whether the board is ours and not in quarantine; if not, that is seen to."""
        if lane.has_lease:
            return True
        if lane.wanted_at > self._inbox.now():
            return False
        holder = self._leases.take(lane.board)
        if holder is not None:
            lane.wanted_at = self._inbox.now() + self._policy.look_s
            self._view.device(lane.name, "waiting", f"held by {holder.owner}")
            return False
        lane.has_lease, lane.wanted_at = True, 0.0
        lane.state = self._boards.get(lane.board)
        if lane.state.is_quarantined and lane.set_aside_at is None:
            self._infirmary.admit(lane, at_once=True)
            self._check(lane)
            return False
        return True

    def _was_built(self, order: BuildOrder, outcome: Failed | Skipped | None) -> None:
        """Cells whose file cannot be built have their rows without the device."""
        self._builds.ended(order, outcome)
        for lane in self._lanes if outcome else ():
            parts = [self._builds.split(batch) for batch in lane.batches]
            for task, why in (one for _, hopeless in parts for one in hopeless):
                self._keep(task.key, row_unmeasured(task.cell, why, self._job.settings))
            lane.batches = [left for left, _ in parts if left.tasks]

    def _measure(self, lane: Lane, batch: Batch) -> None:
        lane.batches.remove(batch)
        lane.measuring = batch
        lane.was_opened = True
        lane.busy = self._executor.measure(GroupOrder(lane.target, batch.tasks))
        again = f", try {batch.attempt}" if batch.attempt > 1 else ""
        self._view.device(lane.name, "measuring", f"{batch.tasks[0].cell.workload}{again}")
        self._when_done(lane.busy, partial(self._was_measured, lane, batch))

    def _was_measured(self, lane: Lane, batch: Batch, report: GroupReport) -> None:
        lane.busy, lane.measuring = None, None
        if report.unopened is not None:
            lane.batches.insert(0, batch)
            self._was_unopened(lane, report.unopened)
            return
        again = tuple(one for one in report.ended if self._is_tried_again(one, batch))
        if again:
            tasks = {task.key: task for task in batch.tasks}
            at = self._inbox.now() + self._policy.backoff(batch.attempt)
            lane.batches.append(Batch(tuple(tasks[one.key] for one in again), batch.attempt + 1, at))
        lane.unsaved += 1
        self._saves.append(partial(self._save, lane, batch, report, again))
        failures = failures_after(lane.state.failures, [ended.row.outcome for ended in report.ended])
        if failures != lane.state.failures:
            lane.state = self._boards.count_failures(lane.board, lane.name, failures)
        if failures >= self._policy.quarantine_after:
            last = next(e.row.outcome for e in reversed(report.ended) if isinstance(e.row.outcome, Failed))
            reason = f"{failures} cells in a row failed, the last: {last.reason}"
            self._infirmary.quarantine(lane, reason, at_once=True)
        elif self._leases.is_wanted(lane.board):
            self._release(lane)

    def _is_tried_again(self, ended: Ended, batch: Batch) -> bool:
        outcome = ended.row.outcome
        return isinstance(outcome, Failed) and outcome.retryable and batch.attempt < self._policy.attempts

    def _save(self, lane: Lane, batch: Batch, report: GroupReport, again: tuple[Ended, ...]) -> None:
        """Store the rows that are final, and let the device forget what nobody wants any more."""
        lane.unsaved -= 1
        forget: list[Ended] = []
        for ended in report.ended:
            outcome = ended.row.outcome
            if ended not in again:
                self._keep(ended.key, ended.row)
            elif isinstance(outcome, Failed):
                self._view.note(f"{lane.name}: to be tried again: {outcome.reason}")
                if outcome.code in _MAY_HAVE_GONE_ON:
                    continue
            forget.append(ended)
        self._executor.forget(lane.target, tuple(forget))
        if batch.attempt == 1 and not self._job.run.is_resumed:
            self.ledger.timed(batch.tasks, report)

    def _was_unopened(self, lane: Lane, why: Failed) -> None:
        self._infirmary.quarantine(lane, why.reason, at_once=bool(lane.target.power_cycle))
        self._release(lane)
        if not why.retryable:
            self._give_up(lane, why)

    def _keep(self, key: str, row: Row) -> None:
        if self.ledger.keep(key, row):
            self._is_news = True
            self._view.row(row)

    def _check(self, lane: Lane) -> None:
        """Check its health when that is due; give it up when nobody works any more and it had its time."""
        now = self._inbox.now()
        if now < lane.check_at:
            if self._is_overdue(lane):
                self._release(lane)
                code, reason = Quarantined.code, lane.state.reason
                self._give_up(lane, Failed(f"{lane.name}: quarantined: {reason}", code, retryable=True))
        elif self._may_disturb(lane) and self._has(lane):
            if not lane.state.is_quarantined:  # another farm, or somebody, has let it go meanwhile
                lane.set_aside_at = None
                return
            lane.busy = self._infirmary.check(lane)
            self._when_done(lane.busy, partial(self._was_checked, lane))

    def _was_checked(self, lane: Lane, health: Health) -> None:
        lane.busy = None
        self._infirmary.checked(lane, health)
        if not health.is_healthy:
            self._release(lane)
            if not health.may_pass:
                self._give_up(lane, Failed(f"{lane.name}: quarantined: {health.words}", health.code))

    def _is_overdue(self, lane: Lane) -> bool:
        assert lane.set_aside_at is not None
        others = (o for o in self._lanes if o is not lane and o.set_aside_at is None and not o.has_ended)
        return self._inbox.now() >= lane.set_aside_at + self._policy.return_s and not any(others)

    def _give_up(self, lane: Lane, why: Failed) -> None:
        for task in lane.tasks:
            self._keep(task.key, row_unmeasured(task.cell, why, self._job.settings))
        lane.batches = []

    def _leave(self, lane: Lane) -> None:
        """Nothing is left for it to do."""
        lane.is_left = True
        if lane.was_opened or self._job.run.is_resumed:
            lane.busy = self._executor.leave(lane.target)
            self._when_done(lane.busy, partial(self._was_left, lane))
        else:
            self._was_left(lane, None)

    def _was_left(self, lane: Lane, _: None) -> None:
        lane.busy = None
        self._release(lane)
        self._view.device(lane.name, "done")

    def _release(self, lane: Lane) -> None:
        """Neither hold the board nor stand in line for it."""
        if lane.has_lease or lane.wanted_at:
            lane.has_lease, lane.wanted_at = False, 0.0
            self._leases.release(lane.board)

    def _when_done(self, future: Future[T], then: Callable[[T], None]) -> None:
        """Have ``then`` called with the result, here; what a bug raised is raised here too."""
        future.add_done_callback(lambda done: self._inbox.put(lambda: then(done.result())))

    def _tell_left(self) -> None:
        """The devices work side by side: the one that takes longest tells when all will be done."""
        self._is_news = False
        self._view.left(*self.ledger.left([lane.tasks for lane in self._lanes]))
