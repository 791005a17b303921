"""The cells that will be compared with each other, measured interleaved.

A device's speed drifts over minutes. So launches go round: one of each cell, then the next of each, and
a drift falls on all of them alike (docs/measuring.md, R4). A row that did not come out valid is measured
again in the same way while its effort allows, and then reported as it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from edgewright.artifact import Quality
from edgewright.errors import EdgewrightError, JobLost
from edgewright.report.verdict import verdict
from edgewright.row import Cell, Measured, Outcome, Row
from edgewright_agent import protocol as wire

from .execute import Launch, Ready, Task, launch_once, outcome_of, prepare
from .job import Bench, Settings

#: Verdicts that another measurement may mend.
PASSING = frozenset({"noisy", "perturbed", "throttled", "undervolted"})


class Watcher(Protocol):
    """Whoever wants to see a run go by."""

    def expect(self, steps: int) -> None:
        """So many more builds and launches are to come."""

    def begin(self, cell: Cell, what: str) -> None:
        """A build or a launch begins."""

    def event(self, event: Mapping[str, Any]) -> None:
        """The device reports a phase or progress."""

    def done(self) -> None:
        """The build or launch has ended."""

    def row(self, row: Row) -> None:
        """A cell has ended and its row is stored."""


class Trial:
    """A cell while it is being measured: its launches so far, or the error that ended it."""

    def __init__(self, ready: Ready, bench: Bench, settings: Settings) -> None:
        self._ready = ready
        self._bench = bench
        self._settings = settings
        self._launches: list[wire.RunResult] = []
        self._earlier: list[Measured] = []
        self._quality: Quality | None = None
        self._error: EdgewrightError | None = None
        self._notes: tuple[str, ...] = ()
        self._begun = 0
        self._was_lost = False
        self.job_ids: list[str] = []

    @property
    def key(self) -> str:
        """Of its task."""
        return self._ready.key

    @property
    def has_ended(self) -> bool:
        """Whether an error ended it."""
        return self._error is not None

    def launch(self, watcher: Watcher) -> None:
        """One more fresh process; an error ends the trial."""
        number = len(self._launches) + 1
        watcher.begin(self._ready.cell, f"launch {number} of {self._settings.effort.launches}")
        try:
            result, quality = self._launched(number, watcher)
        except EdgewrightError as error:
            self._error = error
        else:
            self._launches.append(result)
            self._quality = self._quality or quality
        watcher.done()

    def _launched(self, number: int, watcher: Watcher) -> tuple[wire.RunResult, Quality | None]:
        """The launch; once in a cell it is begun again when the device lost it."""
        self._begun += 1
        launch = Launch(
            f"{self._ready.key}/{self._begun}", number, self._quality is None, job_ids=self.job_ids
        )
        try:
            return launch_once(self._ready, self._bench, self._settings, launch, watcher.event)
        except JobLost as error:
            if self._was_lost:
                raise
            self._was_lost = True
            self._notes += (f"launch {number} was begun again: {error.message}",)
            watcher.begin(self._ready.cell, f"launch {number} again")
        return self._launched(number, watcher)

    def start_again(self) -> None:
        """Put aside what was measured; a note will say why."""
        judged = verdict(self.row())
        if judged is not None:
            self._notes += (f"measured again: the first time it was {judged.status}",)
        self._earlier.append(self._measured())
        self._launches = []

    def row(self) -> Row:
        """The row as things stand."""
        outcome: Outcome = outcome_of(self._error) if self._error else self._measured()
        row = self._ready.row(
            outcome,
            self._settings,
            quality=self._quality or self._ready.artifact.quality,
            providers=self._settings.asked.order(self._ready.cell.runtime, self._bench.profile),
            earlier=tuple(self._earlier),
        )
        return replace(row, notes=row.notes + self._notes)

    def _measured(self) -> Measured:
        return Measured(tuple(self._launches), self._bench.facts)


@dataclass(frozen=True)
class Ended:
    """A cell that has ended: its row, and the jobs the device keeps until the row is safe."""

    key: str
    row: Row
    job_ids: tuple[str, ...] = ()


def run_group(tasks: Sequence[Task], bench: Bench, settings: Settings, watcher: Watcher) -> Iterator[Ended]:
    """Build all, then measure all in turn; the rows of those that cannot be built come first."""
    trials = []
    for task in tasks:
        watcher.begin(task.cell, "build")
        prepared = prepare(task, bench, settings)
        watcher.done()
        if isinstance(prepared, Row):
            yield Ended(task.key, prepared)
        else:
            trials.append(Trial(prepared, bench, settings))
    _go_round(trials, settings, watcher)
    for _ in range(settings.effort.repeats):
        again = [trial for trial in trials if not trial.has_ended and _may_improve(trial.row())]
        for trial in again:
            trial.start_again()
        _go_round(again, settings, watcher)
    for trial in trials:
        yield Ended(trial.key, trial.row(), tuple(trial.job_ids))


def _go_round(trials: Sequence[Trial], settings: Settings, watcher: Watcher) -> None:
    watcher.expect(len(trials) * settings.effort.launches)
    for _ in range(settings.effort.launches):
        for trial in trials:
            if trial.has_ended:
                watcher.done()
            else:
                trial.launch(watcher)


def _may_improve(row: Row) -> bool:
    judged = verdict(row)
    return judged is not None and judged.status in PASSING
