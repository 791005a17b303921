"""What a farm has done elsewhere: builds, and everything that happens on a device.

Orders and reports are plain data, so that whoever does them may be a thread here or a process on another
machine.
"""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass
from typing import Protocol

from edgewright.farm.execute import Task
from edgewright.farm.group import Ended
from edgewright.farm.inventory import Target
from edgewright.row import Failed, Skipped


@dataclass(frozen=True)
class BuildOrder:
    """The file of a cell, for every device of that profile. ``key`` is alike for all that share it."""

    key: str
    task: Task
    profile: str


@dataclass(frozen=True)
class GroupOrder:
    """Cells of one subject on one device, to be measured interleaved."""

    target: Target
    tasks: tuple[Task, ...]


@dataclass(frozen=True)
class GroupReport:
    """What became of a group.

    Attributes:
        ended: one of each cell; none when the device could not be opened.
        unopened: why it could not.
        seconds: how long it took on the device, opening it left out.
    """

    ended: tuple[Ended, ...] = ()
    unopened: Failed | None = None
    seconds: float = 0.0


@dataclass(frozen=True)
class Health:
    """Whether a device computes what it should, in words for people.

    Attributes:
        code: of the error that kept it from being healthy.
        may_pass: whether it may be healthy later without anybody's doing.
    """

    is_healthy: bool
    words: str
    code: str = ""
    may_pass: bool = True


class Executor(Protocol):
    """Does orders, those for one device one after another; nothing raises but what is a bug or an interrupt.

    :class:`~edgewright.nightly.local.LocalExecutor` does them in threads of this process.
    """

    def build(self, order: BuildOrder) -> Future[Failed | Skipped | None]:
        """Build ahead, one file at a time; what becomes of the cells when that fails."""

    def measure(self, order: GroupOrder) -> Future[GroupReport]:
        """Open the device unless it is open, and measure; it keeps the results until :meth:`forget`."""

    def forget(self, target: Target, ended: tuple[Ended, ...]) -> None:
        """The rows are safe: let the device forget the jobs, before it does anything else."""

    def check(self, target: Target, *, cycle: bool) -> Future[Health]:
        """Let the device compute what is known, after cycling its power if asked."""

    def leave(self, target: Target) -> Future[None]:
        """Nothing more is to come for the device: leave no job of the run there, and close it."""

    def stop(self) -> None:
        """Interrupted: end the jobs that run on devices, for a bounded time; what is under way raises."""
