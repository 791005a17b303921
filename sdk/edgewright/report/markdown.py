"""Markdown for a pull request or a wiki."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Sequence

from .document import ReportDocument
from .view import RowView, views

_SPECIAL = re.compile(r"([\\`*_{}\[\]#|~$!@])")
_COLUMNS = (
    "workload",
    "recipe",
    "device",
    "runtime",
    "verdict",
    "p50",
    "p90",
    "× fp32",
    "quality",
    "file",
    "peak memory",
    "energy",
)


def render_markdown(document: ReportDocument) -> str:
    """Headlines, one table of all rows, then the reason of each that is not valid."""
    shown = views(document.rows)
    run = document.run
    lines = [
        f"# {markdown_text(run.name)}",
        "",
        f"Run `{run.id}`, preset {markdown_text(run.preset)}, started {markdown_text(run.started_at)}.",
        "",
    ]
    for headline in document.headlines:
        lines.append(f"- **{markdown_text(headline.sentence)}**")
        lines += [f"  - {markdown_text(remark)}" for remark in headline.remarks]
    lines += ["", *_table(shown), "", *_scenarios(shown), *_reasons(shown), *_footer(document)]
    return "\n".join(lines) + "\n"


def _table(shown: Sequence[RowView]) -> Iterable[str]:
    yield _line(_COLUMNS)
    yield _line("---:" if name in _COLUMNS[5:] else "---" for name in _COLUMNS)
    for view in shown:
        row = view.row
        figures = (view.p50, view.p90, view.speedup, view.quality, view.file_size, view.memory, view.energy)
        words = (row.workload, row.recipe, row.device, row.runtime, view.status)
        yield _line([*(markdown_text(word) for word in words), *(figure.text for figure in figures)])


def _scenarios(shown: Sequence[RowView]) -> Iterable[str]:
    found = [view for view in shown if view.scenario and view.row.scenario]
    if not found:
        return
    yield "## What the scenario showed"
    yield ""
    for view in found:
        row = view.row
        assert row.scenario
        name = " · ".join(markdown_text(part) for part in (row.workload, row.recipe, row.device, row.runtime))
        yield f"- {name}, {markdown_text(row.scenario.kind)}: **{markdown_text(view.scenario)}**"
        for remark in view.scenario_remarks:
            yield f"  - {markdown_text(remark)}"
    yield ""


def _reasons(shown: Sequence[RowView]) -> Iterable[str]:
    doubtful = [view for view in shown if view.status != "valid"]
    if not doubtful:
        return
    yield "## Rows that are not valid, and why"
    yield ""
    for view in doubtful:
        row = view.row
        name = " · ".join(markdown_text(part) for part in (row.workload, row.recipe, row.device, row.runtime))
        # The first sentence of the evidence is the one the status rests on.
        yield f"- {name}: **{view.status}**: {markdown_text(view.evidence[0])}"
    yield ""


def _footer(document: ReportDocument) -> Iterable[str]:
    yield "p50 and p90 are latencies of one inference in steady state; energy is gross, per inference."
    generator = markdown_text(document.generator)
    yield f"A dash is a figure that was not measured; the JSON report says why. {generator}."


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def markdown_text(text: str) -> str:
    """Text that Markdown shows as it is; URLs do not become links."""
    text = html.escape(_SPECIAL.sub(r"\\\1", text), quote=False)
    return text.replace("://", ":&#47;&#47;").replace("www.", "www&#46;")
