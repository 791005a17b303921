"""What a person sees while a run goes by, on standard error; plain lines where there is no terminal."""

from __future__ import annotations

from collections.abc import Mapping
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
from edgewright.row import Cell, Failed, Row, Skipped

_PHASES = {
    "import": "importing the runtime",
    "load": "loading",
    "first": "first inference",
    "measure": "measuring",
    "idle-before": "idle power",
    "active": "power under load",
    "idle-after": "idle power",
    "evaluate": "evaluating",
}


class RunProgress:
    """A progress bar over cells that also tells the phase; a context manager and a run's watcher."""

    def __init__(self) -> None:
        self._console = Console(stderr=True)
        self._is_live = self._console.is_terminal
        self._progress = Progress(
            SpinnerColumn(),
            MofNCompleteColumn(),
            BarColumn(bar_width=20),
            TextColumn("{task.description}", markup=False),
            TimeElapsedColumn(),
            console=self._console,
            disable=not self._is_live,
            transient=True,
        )
        self._task = self._progress.add_task("", total=None)
        self._label = ""
        self._is_batch = False

    def __enter__(self) -> RunProgress:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def cell(self, number: int, count: int, cell: Cell) -> None:
        """A cell begins."""
        self._label = clean(f"{cell.workload} {cell.recipe} {cell.runtime} on {cell.device}")
        self._progress.update(self._task, total=count, completed=number - 1, description=self._label)
        self._is_batch = count > 1
        if self._is_batch and not self._is_live:
            self._console.print(
                f"[{number}/{count}] {self._label}", markup=False, highlight=False, soft_wrap=True
            )

    def step(self, what: str, event: Mapping[str, Any]) -> None:
        """A phase begins."""
        if event.get("event") not in (None, "phase"):
            return
        phase = _PHASES.get(str(event.get("name", "")), "")
        text = " · ".join(part for part in (self._label, what, phase) if part)
        self._progress.update(self._task, description=text)

    def row(self, row: Row) -> None:
        """A cell has ended; among many, what went wrong is said at once."""
        self._progress.advance(self._task)
        if self._is_batch and isinstance(row.outcome, Failed | Skipped):
            word = "failed" if isinstance(row.outcome, Failed) else "skipped"
            text = clean(f"{word}: {self._label}: {row.outcome.reason}")
            self._console.print(text, markup=False, highlight=False, soft_wrap=True)
