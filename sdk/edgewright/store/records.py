"""What the store hands out: a run, its rows, and a line for each run in a listing."""

from __future__ import annotations

from dataclasses import dataclass

from edgewright.row import Row


@dataclass(frozen=True)
class Run:
    """One execution of a plan or of ``bench``.

    Attributes:
        run_id: short, unique, and sorted by time as text.
        plan_text: the plan as the user wrote it, or the command line that stood for one.
        started_at, finished_at: ISO 8601 in UTC; ``finished_at`` is None while the run goes on, and
            stays so when it was cut short.
        version: the Edgewright that measured it.
        project_commit: the version of what was measured, a ``+`` behind it when files differed from it; empty
            where it is not known.
        is_baseline: marked to be kept.
    """

    run_id: str
    name: str
    preset: str
    plan_text: str
    started_at: str
    finished_at: str | None
    version: str
    project_commit: str = ""
    is_baseline: bool = False


@dataclass(frozen=True)
class StoredRun:
    """A run with every row of it, in the order they were added."""

    run: Run
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class RunSummary:
    """A run and how many of its rows ended which way."""

    run: Run
    measured: int
    failed: int
    skipped: int
