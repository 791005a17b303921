"""The profile for people and programs: in a terminal, as a page, as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from edgewright.files import write_atomic
from edgewright.report.units import DASH, milliseconds

from . import document as doc
from .answer import signed

if TYPE_CHECKING:
    from rich.table import Table

_PACKAGE = "edgewright.report.ops"
#: Nodes that a terminal lists of each model, and pairs of each comparison; the page and the JSON have all.
SHOWN = 15


def write_json(document: doc.OpsDocument, path: Path) -> None:
    """Write the document; whole or not at all.

    Raises:
        EdgewrightError: the file cannot be written there.
    """
    write_atomic(path, (document.model_dump_json(indent=2) + "\n").encode("utf-8"))


def write_html(document: doc.OpsDocument, path: Path) -> None:
    """Write the page; whole or not at all.

    Raises:
        EdgewrightError: the file cannot be written there.
    """
    write_atomic(path, render_html(document).encode("utf-8"))


def render_html(document: doc.OpsDocument) -> str:
    """One self-contained page without a script; what a device said is escaped by the template."""
    from edgewright.report import frame

    widest = max((node.share or 0.0 for side in document.sides for node in side.nodes), default=0.0)
    return (
        frame.environment(_PACKAGE)
        .get_template("ops.html.j2")
        .render(
            generator=document.generator,
            document=document,
            policy=frame.policy(),
            style=frame.style(("edgewright.report.page", "report.css"), (_PACKAGE, "ops.css")),
            duration=duration,
            signed=signed,
            widest=widest or 1.0,
        )
    )


def duration(value: float | None) -> str:
    """Milliseconds as people read them; a dash for none."""
    return DASH if value is None else milliseconds(value)


def print_profile(document: doc.OpsDocument, stream: TextIO, *, width: int | None = None) -> None:
    """Print the answer, then the figures it rests on."""
    from rich.console import Console
    from rich.text import Text

    console = Console(file=stream, width=width, highlight=False, markup=False, emoji=False)
    device = document.device
    features = ", ".join(device.features) or "none of those that decide"
    console.print(
        Text(f"{device.name} · {device.cpu_model or device.machine} · features: {features}", style="bold")
    )
    doubtful = any(side.times_ms and side.times_ms.disturbed for side in document.sides)
    for comparison in document.comparisons:
        console.print()
        console.print(Text(f"{comparison.candidate} against {comparison.baseline}", style="bold"))
        first, *rest = comparison.answer
        console.print(
            Text(first, style="bold green" if comparison.ratio < 1 and not doubtful else "bold yellow")
        )
        for sentence in rest:
            console.print(Text(f"- {sentence}"))
        console.print(_families(comparison))
        console.print(_pairs(comparison.pairs))
    for side in document.sides:
        console.print()
        console.print(Text(headline(side), style="bold"))
        for note in side.notes:
            console.print(Text(f"- {note}"))
        console.print(_totals("operator", side.op_types))
        if side.times_ms:
            console.print(_nodes(side.nodes))


def headline(side: doc.Side) -> str:
    """A model in one line: what an inference takes, and who executes it."""
    plural = "thread" if side.threads == 1 else "threads"
    by = ", ".join(f"{one.name} {one.nodes} nodes" for one in side.providers) or side.providers_method
    runtime = f"{side.runtime} {side.runtime_version}"
    return f"{side.label} · {duration(side.plain_ms)} in {runtime}, {side.threads} {plural} · {by}"


def _table(*columns: str) -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
    for position, name in enumerate(columns):
        table.add_column(name, justify="left" if position == 0 else "right", overflow="fold")
    return table


def _families(comparison: doc.Comparison) -> Table:
    from rich.text import Text

    table = _table("what nodes do", comparison.baseline, comparison.candidate, "change")
    for pair in comparison.families:
        change = signed(pair.change_ms) if _timed(comparison) else DASH
        row = (pair.family, duration(pair.baseline_ms), duration(pair.candidate_ms), change)
        table.add_row(*map(Text, row))
    return table


def _timed(comparison: doc.Comparison) -> bool:
    return any(pair.baseline_ms is not None or pair.candidate_ms is not None for pair in comparison.families)


def _pairs(pairs: Sequence[doc.NodePair]) -> Table:
    from rich.text import Text

    table = _table("convolutions and products side by side", "first", "second", "ratio")
    slowest = sorted(pairs, key=lambda pair: -max(_time(pair.baseline), _time(pair.candidate)))[:SHOWN]
    for pair in (pair for pair in pairs if pair in slowest):
        names = [f"{node.name} ({node.op_type})" for node in (pair.baseline, pair.candidate) if node]
        times = [duration(node.ms if node else None) for node in (pair.baseline, pair.candidate)]
        ratio = DASH if pair.ratio is None else f"{pair.ratio:.2f}"
        table.add_row(*map(Text, (" | ".join(names), *times, ratio)))
    return table


def _time(node: doc.Node | None) -> float:
    return (node.ms or 0.0) if node else 0.0


def _totals(title: str, totals: Sequence[doc.Total]) -> Table:
    from rich.text import Text

    table = _table(title, "provider", "nodes", "time", "share")
    for total in totals:
        share = DASH if total.share is None else f"{total.share:.1%}"
        provider = (total.provider or "").removesuffix("ExecutionProvider")
        table.add_row(*map(Text, (total.name, provider, str(total.nodes), duration(total.ms), share)))
    return table


def _nodes(nodes: Sequence[doc.Node]) -> Table:
    from rich.text import Text

    table = _table("slowest nodes", "operator", "numbers", "time", "share")
    for node in sorted(nodes, key=lambda node: -(node.ms or 0.0))[:SHOWN]:
        share = DASH if node.share is None else f"{node.share:.1%}"
        table.add_row(*map(Text, (node.name, node.op_type, node.numbers or "", duration(node.ms), share)))
    return table
