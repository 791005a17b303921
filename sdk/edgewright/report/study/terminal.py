"""A study in a terminal: for each device the answer, the front, and what became of the rest."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TextIO

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from edgewright.report.units import DASH, millijoules, milliseconds, size

from .document import Attempt, DeviceAnswer, StudyDocument

#: How many lines of what was not measured are printed for a device; the page has all.
_MOST_REASONS = 6
#: Narrower terminals get the figures that one chooses by.
_WIDE = 110


def print_study(document: StudyDocument, stream: TextIO, *, width: int | None = None) -> None:
    """Print to a stream: in colour when it is a terminal, and as wide as that is unless told otherwise."""
    console = Console(file=stream, width=width, highlight=False, markup=False, emoji=False)
    study = document.study
    console.print(Text(f"{study.workload} · study {study.id} · {study.objective}", style="bold"))
    console.print(Text("; ".join(study.bounds)))
    for answer in document.devices:
        shown = [attempt for attempt in document.attempts if attempt.device == answer.device]
        console.print()
        style = "bold green" if answer.best is not None else "bold yellow"
        console.print(Text(answer.sentence, style=style), soft_wrap=True)
        for remark in answer.remarks:
            console.print(Text(f"- {remark}"), soft_wrap=True)
        console.print(_table(answer, shown, console.width))
        for line in _tally(answer, shown):
            console.print(Text(line), soft_wrap=True)
    if document.regrets:
        console.print()
        console.print(Text("What the best setting of one device costs on another", style="bold"))
        console.print(_regrets(document))


def _table(answer: DeviceAnswer, shown: Sequence[Attempt], width: int) -> Table:
    """The front, cheapest first, and what is recommended or nearest."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
    has_energy = any(attempt.energy_mj for attempt in shown)
    table.add_column("setting", overflow="fold", min_width=16)
    names = ["median", "score", "file"]
    if width >= _WIDE:
        names += ["from", "to", "peak memory", *(("energy",) if has_energy else ())]
    for name in names:
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("", overflow="fold")
    by_position = {attempt.position: attempt for attempt in shown}
    places = [*answer.front, *(place for place in (answer.best, answer.nearest) if place is not None)]
    for place in dict.fromkeys(places):
        attempt = by_position[place]
        figures = _figures(attempt)
        told = (Text(figures[name]) for name in names)
        table.add_row(Text(attempt.words), *told, Text(_mark(answer, attempt)))
    return table


def _figures(attempt: Attempt) -> dict[str, str]:
    """Every figure by the name of its column."""
    latency, energy = attempt.latency_ms, attempt.energy_mj
    return {
        "median": milliseconds(latency.value) if latency else DASH,
        "from": milliseconds(latency.low) if latency else DASH,
        "to": milliseconds(latency.high) if latency else DASH,
        "score": f"{attempt.score.value:.4g}" if attempt.score else DASH,
        "file": DASH if attempt.size_bytes is None else size(attempt.size_bytes),
        "peak memory": DASH if attempt.memory_bytes is None else size(attempt.memory_bytes),
        "energy": millijoules(energy.value) if energy else DASH,
    }


def _mark(answer: DeviceAnswer, attempt: Attempt) -> str:
    words = []
    if attempt.position == answer.best:
        words.append("ship")
    if attempt.position == answer.nearest:
        words.append("nearest")
    if attempt.tied_with:
        words.append("tied")
    if attempt.verdict and attempt.verdict != "valid":
        words.append(attempt.verdict)
    if attempt.breaks and attempt.position != answer.nearest:
        words.append("beyond a bound")
    return ", ".join(words)


def _tally(answer: DeviceAnswer, shown: Sequence[Attempt]) -> Iterator[str]:
    counts = ", ".join(f"{count} {state}" for state, count in sorted(answer.counts.items()))
    yield f"{len(shown)} settings tried: {counts}."
    found = answer.prediction
    if found is not None:
        yield (
            f"Predictions, which only ranked them, were off by {found.median:.1%} in the middle and "
            f"{found.largest:.0%} at most, each of {found.measurements} measurements left out in turn."
        )
    left_out = [attempt for attempt in shown if attempt.state not in ("measured", "begun")]
    for attempt in left_out[:_MOST_REASONS]:
        yield f"- {attempt.words} {attempt.state}: {attempt.reason}"
    if len(left_out) > _MOST_REASONS:
        yield f"- and {len(left_out) - _MOST_REASONS} more, which --html and --json tell"


def _regrets(document: StudyDocument) -> Table:
    names = list(dict.fromkeys(regret.on for regret in document.regrets))
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
    table.add_column("best of", overflow="fold")
    for name in names:
        table.add_column(f"on {name}", justify="right")
    for of in dict.fromkeys(regret.setting_of for regret in document.regrets):
        row = {r.on: r for r in document.regrets if r.setting_of == of}
        cells = (f"{r.share:+.1%}" if r.share is not None else r.reason for r in map(row.__getitem__, names))
        table.add_row(Text(of), *map(Text, cells))
    return table
