"""A night in Markdown, as GitHub and GitLab show beside a job: first what needs a look."""

from __future__ import annotations

from collections.abc import Iterator

from edgewright.report.markdown import markdown_text
from edgewright.report.text import clean
from edgewright.report.units import milliseconds

from .results import CellResult, NightResult

#: GitHub takes one mebibyte of all steps together.
MOST_LINES = 300
_REASON_CHARACTERS = 300
_ORDER = ("slower", "failed", "not reached", "measured", "skipped")


def render_summary(result: NightResult) -> str:
    """The headline, devices that are set aside, and a table of the cells, those that are not well first."""
    return "\n".join(_lines(result)) + "\n"


def _lines(result: NightResult) -> Iterator[str]:
    yield f"## {_text(result.name)}: {result.headline}"
    yield ""
    yield f"Run `{result.run_id}`."
    for name, reason in (result.quarantined or {}).items():
        yield f"\n**{_text(name)}** is in quarantine: {_text(reason)}"
    for name in result.gone[:MOST_LINES]:
        yield f"\n{_text(name)} was measured then, and is in no plan now"
    yield ""
    yield "| | device | cell | median | against |"
    yield "|---|---|---|---:|---|"
    cells = sorted(result.cells, key=lambda cell: _ORDER.index(cell.kind))
    yield from (_line(cell) for cell in cells[:MOST_LINES])
    if len(cells) > MOST_LINES:
        yield ""
        yield f"And {len(cells) - MOST_LINES} more, see `edgewright report {result.run_id}`."


def _line(cell: CellResult) -> str:
    p50 = cell.median_ms
    median = "" if p50 is None else milliseconds(p50)
    told = _compared(cell) if cell.kind in ("measured", "slower") else _text(cell.reason)
    kind = f"**{cell.kind}**" if cell.kind in _ORDER[:3] else cell.kind
    return f"| {kind} | {_text(cell.cell.device)} | {_text(cell.name)} | {median} | {told} |"


def _compared(cell: CellResult) -> str:
    if cell.against is None:
        return ""
    pair = cell.against.pair
    ratio = f", {pair.ratio - 1:+.1%}" if pair.ratio is not None else ""
    return f"{pair.answer}{ratio} (run {_text(cell.against.run_id)})"


def _text(text: str) -> str:
    return markdown_text(clean(text, _REASON_CHARACTERS))
