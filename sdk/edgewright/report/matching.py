"""Which row of one report is to be compared with which of another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgewright.errors import ConfigError

from . import document as doc
from .conditions import Specimen, specimens

_CELL = ("workload", "recipe", "device", "runtime")
ANY = "*"


@dataclass(frozen=True)
class Matched:
    """Pairs in the order of the first report, and what has no counterpart in the other."""

    pairs: tuple[tuple[Specimen, Specimen], ...]
    only_a: tuple[Specimen, ...] = ()
    only_b: tuple[Specimen, ...] = ()


def label(row: doc.Row) -> str:
    """``workload/recipe/device/runtime``."""
    return "/".join(getattr(row, name) for name in _CELL)


def select(document: doc.ReportDocument, selector: str, where: str) -> list[Specimen]:
    """The one row that a selector means: its number, counted from 1, or its cell.

    Args:
        document: where to look.
        selector: ``3``, or ``workload/recipe/device/runtime``; the last may be left out, any may be ``*``.
        where: how the user named the report, for messages.

    Raises:
        ConfigError: no row is meant, or several.
    """
    found = specimens(document)
    if selector.isascii() and selector.isdigit():
        number = int(selector)
        if not 1 <= number <= len(found):
            raise ConfigError(f"{where} has no row {number}", mend=f"its rows count from 1 to {len(found)}")
        return [found[number - 1]]
    parts = selector.split("/")
    fits = [one for one in found if _fits(one.row, parts)]
    if len(fits) == 1:
        return fits
    listed = "; ".join(label(one.row) for one in (fits or found)[:8]) or "none"
    if not fits:
        raise ConfigError(f"{where} has no row {selector!r}", mend=f"its rows: {listed}")
    raise ConfigError(f"{selector!r} means {len(fits)} rows of {where}", mend=f"name one: {listed}")


def _fits(row: doc.Row, parts: Sequence[str]) -> bool:
    return len(parts) <= len(_CELL) and all(
        part in (ANY, getattr(row, name)) for name, part in zip(_CELL, parts, strict=False)
    )


def match(a: Sequence[Specimen], b: Sequence[Specimen]) -> Matched:
    """Rows of the same cell and scenario, told apart by threads and providers where there are several.

    One row on each side are a pair whatever they are: they were named to be compared. Of a cell that one side
    has measured again, the first measurement has the counterpart, and the others are not without one.
    """
    if len(a) == len(b) == 1:
        return Matched(((a[0], b[0]),))
    left = list(b)
    pairs: dict[int, Specimen] = {}
    for key in (_finely, _coarsely):
        for index, one in enumerate(a):
            if index in pairs:
                continue
            other = next((o for o in left if key(o.row) == key(one.row)), None)
            if other is not None:
                pairs[index] = other
                left = [o for o in left if o is not other]
    paired = {_finely(a[index].row) for index in pairs} | {_finely(other.row) for other in pairs.values()}
    return Matched(
        tuple((a[index], pairs[index]) for index in sorted(pairs)),
        tuple(o for index, o in enumerate(a) if index not in pairs and _finely(o.row) not in paired),
        tuple(one for one in left if _finely(one.row) not in paired),
    )


def _coarsely(row: doc.Row) -> tuple[object, ...]:
    return label(row), row.scenario.kind if row.scenario else ""


def _finely(row: doc.Row) -> tuple[object, ...]:
    return (*_coarsely(row), row.threads, row.preset, tuple(row.providers_asked))
