"""Devices that are set aside, and their way back."""

from __future__ import annotations

from concurrent.futures import Future

from edgewright.store import Boards

from .inbox import Inbox
from .lane import Lane
from .orders import Executor, Health
from .policy import Policy
from .view import View


class Infirmary:
    """Quarantines devices, has their health checked, less and less often, and lets the healthy go."""

    def __init__(self, boards: Boards, executor: Executor, policy: Policy, view: View, inbox: Inbox) -> None:
        self._boards = boards
        self._executor = executor
        self._policy = policy
        self._view = view
        self._inbox = inbox

    def quarantine(self, lane: Lane, reason: str, *, at_once: bool) -> None:
        """Set a device aside, for this night and those to come.

        Args:
            lane: the device.
            reason: for people.
            at_once: its health is checked as soon as can be, else after the first pause.
        """
        lane.state = self._boards.quarantine(lane.board, lane.name, reason)
        self._view.note(f"{lane.name}: quarantined: {reason}")
        self.admit(lane, at_once=at_once)

    def admit(self, lane: Lane, *, at_once: bool) -> None:
        """It is in quarantine, perhaps since another night."""
        now, pause_s = self._inbox.now(), self._policy.check_s
        lane.set_aside_at, lane.pause_s = now, pause_s
        lane.check_at = now if at_once else now + pause_s
        self._view.device(lane.name, "quarantined", lane.state.reason)

    def check(self, lane: Lane) -> Future[Health]:
        """Have its health checked; once in a quarantine its power is cycled before."""
        cycle = bool(lane.target.power_cycle) and lane.state.cycled_at is None
        if cycle:
            lane.state = self._boards.cycled(lane.board, lane.name)
        self._view.device(lane.name, "checking", "after cycling its power" if cycle else "")
        return self._executor.check(lane.target, cycle=cycle)

    def checked(self, lane: Lane, health: Health) -> None:
        """Let it go when it is healthy; else it is checked again later."""
        lane.state = self._boards.checked(lane.board, lane.name, health.words, is_healthy=health.is_healthy)
        if health.is_healthy:
            lane.set_aside_at = None
            self._view.note(f"{lane.name}: back from quarantine: {health.words}")
            return
        lane.check_at = self._inbox.now() + lane.pause_s
        lane.pause_s = min(2 * lane.pause_s, self._policy.most_check_s)
        self._view.device(lane.name, "quarantined", health.words)
