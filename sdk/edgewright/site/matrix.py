"""Models, recipes and devices side by side: what each cell was when it was measured last."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from .names import slug
from .snapshot import VALID, CellView, Snapshot, latency_ns, state_of

_WORKLOAD, _RECIPE, _DEVICE, _RUNTIME, _SCENARIO = range(5)


@dataclass(frozen=True)
class Place:
    """A workload on a device: how its cells stand, and which of them is fastest."""

    states: Mapping[str, int]
    fastest: CellView | None

    @property
    def valid(self) -> int:
        """How many of its cells are."""
        return self.states.get(VALID, 0)

    @property
    def cells(self) -> int:
        """How many there are."""
        return sum(self.states.values())


@dataclass(frozen=True)
class Line:
    """A line of a workload's table: a recipe in a runtime, and a scenario where it is not the usual one."""

    recipe: str
    runtime: str
    scenario: str
    cells: Mapping[str, CellView]


@dataclass(frozen=True)
class Workload:
    """A workload's table."""

    name: str
    devices: tuple[str, ...]
    lines: tuple[Line, ...]
    places: Mapping[str, Place]

    @property
    def slug(self) -> str:
        """Its name in addresses."""
        return slug(self.name)


def workloads(snapshot: Snapshot) -> tuple[Workload, ...]:
    """A table for each workload, by name."""
    by_name: dict[str, list[CellView]] = {}
    for cell in snapshot.cells:
        by_name.setdefault(cell.cell[_WORKLOAD], []).append(cell)
    return tuple(_workload(name, cells) for name, cells in sorted(by_name.items()))


def _workload(name: str, cells: Sequence[CellView]) -> Workload:
    devices = tuple(sorted({cell.cell[_DEVICE] for cell in cells}))
    lines: dict[tuple[str, str, str], dict[str, CellView]] = {}
    for cell in cells:
        of = cell.cell
        lines.setdefault((of[_RUNTIME], of[_SCENARIO], of[_RECIPE]), {})[of[_DEVICE]] = cell
    return Workload(
        name,
        devices,
        tuple(Line(recipe, runtime, scenario, found) for (runtime, scenario, recipe), found in lines.items()),
        {device: _place([c for c in cells if c.cell[_DEVICE] == device]) for device in devices},
    )


def _place(cells: Sequence[CellView]) -> Place:
    timed = list(_timed(cells))
    fastest = min(timed, key=lambda pair: pair[0])[1] if timed else None
    return Place(Counter(state_of(cell.last) for cell in cells), fastest)


def _timed(cells: Sequence[CellView]) -> Iterator[tuple[float, CellView]]:
    for cell in cells:
        time = latency_ns(cell.last)
        if time is not None and state_of(cell.last) == VALID:
            yield time, cell
