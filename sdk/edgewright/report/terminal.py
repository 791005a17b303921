"""The report in a terminal: a table for each workload and device, with the figures there is room for."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from typing import TextIO

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from .document import Headline, ReportDocument
from .view import RowView, Value, views

WIDTH = 100
#: Narrower terminals get one block a row instead of a table.
NARROW = 64
_STYLES = {"valid": "green", "failed": "red", "skipped": "dim", "noisy": "yellow", "too short": "yellow"}
#: Figures in the order in which they are kept when there is little room.
_FIGURES: Mapping[str, Callable[[RowView], Value]] = {
    "p50": lambda view: view.p50,
    "× fp32": lambda view: view.speedup,
    "quality": lambda view: view.quality,
    "file": lambda view: view.file_size,
    "p90": lambda view: view.p90,
    "peak memory": lambda view: view.memory,
    "energy": lambda view: view.energy,
}


def render_terminal(document: ReportDocument) -> str:
    """Plain text of :data:`WIDTH` columns, without colours."""
    stream = io.StringIO()
    print_report(document, stream, width=WIDTH)
    return stream.getvalue()


def print_report(document: ReportDocument, stream: TextIO, *, width: int | None = None) -> None:
    """Print to a stream: in colour when it is a terminal, and as wide as that is unless told otherwise."""
    console = Console(file=stream, width=width, highlight=False, markup=False, emoji=False)
    shown = views(document.rows)
    run = document.run
    console.print(Text(f"{run.name} · run {run.id} · preset {run.preset}", style="bold"))
    for headline in document.headlines:
        here = [v for v in shown if (v.row.workload, v.row.device) == (headline.workload, headline.device)]
        console.print()
        _headline(console, headline)
        if console.width < NARROW:
            _blocks(console, here)
        else:
            console.print(_table(here, console.width))
        _scenarios(console, here)
        _reasons(console, here)


def _scenarios(console: Console, shown: Sequence[RowView]) -> None:
    for view in shown:
        if view.scenario and view.row.scenario:
            name = f"{_recipe(view)} in {_runtime(view)}, {view.row.scenario.kind}"
            console.print(Text(f"{name}: {view.scenario}"))
            for remark in view.scenario_remarks:
                console.print(Text(f"  - {remark}"))


def _headline(console: Console, headline: Headline) -> None:
    console.print(Text(headline.sentence, style="bold green" if headline.recipe else "bold yellow"))
    for remark in headline.remarks:
        console.print(Text(f"- {remark}"))


def _table(shown: Sequence[RowView], width: int) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
    room = (
        width
        - 3
        - sum(
            max(len(name), *(len(word(view)) for view in shown)) + 3
            for name, word in (("recipe", _recipe), ("runtime", _runtime), ("verdict", _status_word))
        )
    )
    kept: list[str] = []
    for name, figure in _FIGURES.items():
        room -= max(len(name), *(len(figure(view).text) for view in shown)) + 3
        if room < 0 and len(kept) > 1:
            break
        kept.append(name)
    for name in ("recipe", "runtime", "verdict"):
        table.add_column(name, overflow="fold")
    for name in kept:
        table.add_column(name, justify="right", no_wrap=True)
    for view in shown:
        figures = (Text(_FIGURES[name](view).text) for name in kept)
        table.add_row(Text(_recipe(view)), Text(_runtime(view)), _status(view), *figures)
    return table


def _blocks(console: Console, shown: Sequence[RowView]) -> None:
    for view in shown:
        line = Text(f"{_recipe(view)} · {_runtime(view)}: ", style="bold")
        line.append_text(_status(view))
        console.print(line)
        if view.row.outcome == "measured":
            figures = ((name, figure(view)) for name, figure in _FIGURES.items())
            console.print(
                Text("  " + ", ".join(f"{n} {value.text}" for n, value in figures if not value.missing))
            )


def _reasons(console: Console, shown: Sequence[RowView]) -> None:
    for view in shown:
        if view.status != "valid":
            line = Text(f"{_recipe(view)} in {_runtime(view)} ")
            line.append_text(_status(view))
            console.print(line.append(f": {view.evidence[0]}"))


def _recipe(view: RowView) -> str:
    return view.row.recipe


def _runtime(view: RowView) -> str:
    return view.row.runtime


def _status_word(view: RowView) -> str:
    return view.status


def _status(view: RowView) -> Text:
    return Text(view.status, style=_STYLES.get(view.status, "magenta"))
