"""A comparison in a terminal: a line for each pair, and below it what is to be known of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TextIO

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from .comparison import CompareDocument, PairResult, RowName, named
from .units import DASH, milliseconds

_STYLES = {"slower": "red", "faster": "green", "same": "green", "not applicable": "dim"}
_CELL = ("workload", "recipe", "device", "runtime")


def print_comparison(document: CompareDocument, stream: TextIO, *, width: int | None = None) -> None:
    """Print to a stream: in colour when it is a terminal, and as wide as that is unless told otherwise."""
    console = Console(file=stream, width=width, highlight=False, markup=False, emoji=False)
    terms = f"at a threshold of {document.threshold:.3g}, intervals at {document.confidence:.0%}"
    console.print(Text(f"B ({document.b}) against A ({document.a}), {terms}", style="bold"))
    if document.pairs:
        console.print(_table(document.pairs))
    for number, pair in enumerate(document.pairs, start=1):
        if pair.answer not in ("same", "faster") or len(document.pairs) == 1:
            for sentence in pair.evidence:
                console.print(Text(f"{number}: {sentence}"))
    for side, names in (("A", document.only_a), ("B", document.only_b)):
        for name in names:
            console.print(Text(f"only in {side}: {named(name)}"))
    console.print(Text(_headline(document), style="bold"))


def _table(pairs: Sequence[PairResult]) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
    for name in ("", "row", "B is"):
        table.add_column(name, overflow="fold")
    for name in ("A", "B", "B / A", "interval"):
        table.add_column(name, justify="right", no_wrap=True)
    for number, pair in enumerate(pairs, start=1):
        interval = f"{pair.interval[0]:.3f} – {pair.interval[1]:.3f}" if pair.interval else DASH
        table.add_row(
            str(number),
            Text(_row(pair.a, pair.b)),
            Text(pair.answer, style=_STYLES.get(pair.answer, "yellow")),
            _median(pair.a),
            _median(pair.b),
            f"{pair.ratio:.3f}" if pair.ratio is not None else DASH,
            interval,
        )
    return table


def _row(a: RowName, b: RowName) -> str:
    """The cell, with both names where they differ."""
    parts = []
    for field in _CELL:
        first, second = getattr(a, field), getattr(b, field)
        parts.append(first if first == second else f"{first} → {second}")
    return " ".join(parts)


def _median(name: RowName) -> str:
    return milliseconds(name.median_ms) if name.median_ms is not None else DASH


def _headline(document: CompareDocument) -> str:
    counts: dict[str, int] = {}
    for pair in document.pairs:
        counts[pair.answer] = counts.get(pair.answer, 0) + 1
    told = ", ".join(f"{count} {answer}" for answer, count in counts.items()) or "no rows to compare"
    gone = f", {len(document.only_a)} only in A" if document.only_a else ""
    new = f", {len(document.only_b)} only in B" if document.only_b else ""
    return f"{told}{gone}{new}"
