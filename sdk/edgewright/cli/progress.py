"""What a person sees while a run goes by, on standard error; plain lines where there is no terminal."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)

from edgewright.report.text import clean
from edgewright.row import Cell, Failed, Outcome, Row, Skipped

from .phases import notice, phase_text


def waiting(text: str) -> AbstractContextManager[object]:
    """A spinner while something goes on that tells nothing of itself; nothing where there is no terminal."""
    console = Console(stderr=True)
    return console.status(text) if console.is_terminal else nullcontext()


class RunProgress:
    """A progress bar over builds and launches; a context manager and a run's watcher.

    Args:
        cells: how many rows there will be.
    """

    def __init__(self, cells: int) -> None:
        self._console = Console(stderr=True)
        self._cells = cells
        self._is_batch = cells > 1
        self._rows = 0
        self._steps = 0
        self._progress = Progress(
            SpinnerColumn(),
            MofNCompleteColumn(),
            BarColumn(bar_width=20),
            TextColumn("{task.description}", markup=False),
            TimeElapsedColumn(),
            console=self._console,
            disable=not self._console.is_terminal,
            transient=True,
        )
        self._task = self._progress.add_task("", total=None)
        self._label = ""
        self._device = ""
        self._has_waited = False

    def __enter__(self) -> RunProgress:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def expect(self, steps: int) -> None:
        """More builds and launches are to come."""
        self._steps += steps
        self._progress.update(self._task, total=self._steps)

    def begin(self, cell: Cell, what: str) -> None:
        """A build or a launch begins."""
        self._label = clean(f"{cell.workload} {cell.recipe} {cell.runtime} on {cell.device} · {what}")
        self._progress.update(self._task, description=self._label)
        self._device = clean(cell.device)
        self._has_waited = False

    def event(self, event: Mapping[str, Any]) -> None:
        """A phase begins."""
        if phase := phase_text(event):
            self._progress.update(self._task, description=f"{self._label} · {phase}")
        told = notice(event)
        is_waiting = event.get("name") == "waiting"
        if told and not (is_waiting and self._has_waited):
            self._say(f"{self._device}: {told}")
        self._has_waited |= is_waiting

    def done(self) -> None:
        """The build or launch has ended."""
        self._progress.advance(self._task)

    def row(self, row: Row) -> None:
        """A cell has ended; among many, what became of it is said at once."""
        if not self._is_batch:
            return
        self._rows += 1
        cell, outcome = row.cell, row.outcome
        said = f"{cell.workload} {cell.recipe} {cell.runtime} on {cell.device}: {_word(outcome)}"
        self._say(clean(f"[{self._rows}/{self._cells}] {said}"))

    def _say(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)


def _word(outcome: Outcome) -> str:
    match outcome:
        case Failed(reason=reason):
            return f"failed: {reason}"
        case Skipped(reason=reason):
            return f"skipped: {reason}"
        case _:
            return "measured"
