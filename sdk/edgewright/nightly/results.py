"""What a night came to, cell by cell, for whatever writes it down."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from edgewright.errors import AccessDenied, Quarantined, TransportError, UntrustedHost
from edgewright.farm.execute import Task
from edgewright.report import document as doc
from edgewright.report.comparison import PairResult
from edgewright.row import Cell

Kind = Literal["measured", "slower", "failed", "skipped", "not reached"]

#: The device was not there, which says nothing of the cell.
_NOT_REACHED = {kind.code for kind in (AccessDenied, Quarantined, TransportError, UntrustedHost)}


@dataclass(frozen=True)
class Against:
    """An earlier row that a row was held against, and how that came out."""

    run_id: str
    pair: PairResult


@dataclass(frozen=True)
class CellResult:
    """One cell.

    Attributes:
        row: with its statistics, without its launches; None when the night was cut short before it.
        seconds: how long it took; None where this process did not measure it.
        against: what it was held against, if anything.
    """

    cell: Cell
    row: doc.Row | None
    seconds: float | None = None
    against: Against | None = None

    @property
    def kind(self) -> Kind:
        """What became of it."""
        if self.row is None:
            return "not reached"
        if self.row.outcome == "measured":
            return "slower" if self.against and self.against.pair.answer == "slower" else "measured"
        if self.row.outcome == "failed":
            return "not reached" if self.row.error_code in _NOT_REACHED else "failed"
        return "skipped"

    @property
    def name(self) -> str:
        """``workload recipe runtime``."""
        return f"{self.cell.workload} {self.cell.recipe} {self.cell.runtime}"

    @property
    def median_ms(self) -> float | None:
        """Milliseconds, of the measurement that was held against another where one was; None without."""
        if self.against:
            return self.against.pair.b.median_ms
        return self.row.latency_ms.p50 if self.row and self.row.latency_ms else None

    @property
    def reason(self) -> str:
        """Why it is what it is; a comparison's evidence for one that is slower."""
        if self.row is None:
            return "the night ended before it was measured"
        if self.row.outcome == "measured":
            return "; ".join(self.against.pair.evidence) if self.against else ""
        return self.row.reason or ""


@dataclass(frozen=True)
class NightResult:
    """All cells of a run.

    Attributes:
        gone: cells of the run that it is held against and that are in its plan no longer.
        quarantined: why which devices are set aside now.
    """

    run_id: str
    name: str
    cells: tuple[CellResult, ...]
    gone: tuple[str, ...] = ()
    quarantined: Mapping[str, str] | None = None

    def count(self, *kinds: Kind) -> int:
        """How many cells are of one of these kinds."""
        return sum(cell.kind in kinds for cell in self.cells)

    @property
    def headline(self) -> str:
        """``20 measured, 1 slower, 2 failed``."""
        kinds: tuple[Kind, ...] = ("measured", "slower", "failed", "skipped", "not reached")
        told = [f"{self.count(kind)} {kind}" for kind in kinds if self.count(kind)]
        return ", ".join([*told, *([f"{len(self.gone)} gone"] if self.gone else [])]) or "no cells"


@dataclass(frozen=True)
class Comparisons:
    """Which rows were held against what, by key, and what is gone."""

    by_key: Mapping[str, Against]
    gone: tuple[str, ...] = ()


def results(
    tasks: Sequence[Task],
    rows: Mapping[str, doc.Row],
    seconds: Mapping[str, float],
    against: Comparisons,
) -> tuple[CellResult, ...]:
    """Each cell of the plan with all that is known of it."""
    return tuple(
        CellResult(
            task.cell,
            rows.get(task.key),
            seconds.get(task.key),
            against.by_key.get(task.key),
        )
        for task in tasks
    )
