"""One device in the schedule: what is left to do on it, and how it stands."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from edgewright.errors import (
    AgentFault,
    DeviceTimeout,
    DiskFull,
    JobLost,
    ProtocolMismatch,
    TransportError,
    UnstableMeasurement,
)
from edgewright.farm.execute import Task
from edgewright.farm.inventory import SshAddress, Target
from edgewright.row import Failed, Measured, Outcome
from edgewright.store import BoardState

#: Failures that tell of the device rather than of the model, the plan or the host.
DEVICE_FAILURES = frozenset(
    kind.code
    for kind in (
        TransportError,
        DeviceTimeout,
        JobLost,
        UnstableMeasurement,
        AgentFault,
        DiskFull,
        ProtocolMismatch,
    )
)


def board_of(target: Target) -> str:
    """What names the board itself, however a farm file calls it."""
    if target.link is None:
        return f"local@{socket.gethostname()}"
    if isinstance(target.link, SshAddress):
        return f"{target.link.host}:{target.link.port or 22}".lower()
    return str(target.link)


@dataclass(frozen=True)
class Batch:
    """Cells of one subject that are measured together.

    Attributes:
        attempt: which try it is, from 1.
        not_before: seconds of the schedule's clock.
    """

    tasks: tuple[Task, ...]
    attempt: int = 1
    not_before: float = 0.0


@dataclass
class Lane:
    """A device while the schedule goes on.

    Attributes:
        batches: what is left, in the order in which it is done.
        busy: what is going on there.
        measuring: the batch that is, while one is.
        has_lease: whether it is ours.
        wanted_at: when to look again whether it is free, while another farm has it; 0 when it does not wait.
        state: what is remembered of the board; read when the lease is taken.
        set_aside_at: when this run first found it in quarantine; None while it is not.
        check_at, pause_s: when its health is checked next, and the pause after that.
        unsaved: how many of its reports are not in the store yet.
        is_left: whether it was told that nothing more is to come.
    """

    target: Target
    batches: list[Batch]
    busy: Future[Any] | None = None
    measuring: Batch | None = None
    has_lease: bool = False
    wanted_at: float = 0.0
    state: BoardState = field(default_factory=lambda: BoardState(""))
    set_aside_at: float | None = None
    check_at: float = 0.0
    pause_s: float = 0.0
    was_opened: bool = False
    unsaved: int = 0
    is_left: bool = False

    @property
    def name(self) -> str:
        """The device's."""
        return self.target.name

    @property
    def board(self) -> str:
        """What names it in the store."""
        return board_of(self.target)

    @property
    def is_local(self) -> bool:
        """Whether it is this machine, on which nothing else may go on while it is measured."""
        return self.target.link is None

    @property
    def tasks(self) -> tuple[Task, ...]:
        """All cells that have no row yet, those being measured included."""
        under_way = self.measuring.tasks if self.measuring else ()
        return (*under_way, *(task for batch in self.batches for task in batch.tasks))

    @property
    def has_ended(self) -> bool:
        """Whether nothing is left to do."""
        return not self.batches and self.busy is None


def failures_after(failures: int, outcomes: Sequence[Outcome]) -> int:
    """How many cells in a row have failed for the device's sake, after these."""
    for outcome in outcomes:
        if isinstance(outcome, Failed) and outcome.code in DEVICE_FAILURES:
            failures += 1
        elif isinstance(outcome, Measured):
            failures = 0
    return failures
