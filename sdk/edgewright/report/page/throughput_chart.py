"""Throughput against batch size."""

from __future__ import annotations

from collections.abc import Sequence

from edgewright.report.units import milliseconds, rate
from edgewright.report.view import RowView

from .figure import LEGEND, Figure, Palette, base_layout, label

CAPTION = (
    "Samples a second at each batch size; bars across a marker are from the slowest to the fastest launch. "
    "Batches that a model cannot take are missing, and the reason is with the row."
)


def throughput(shown: Sequence[RowView], palette: Palette) -> Figure | None:
    """A line a row; None where no row was measured offline."""
    lines: list[Figure] = []
    for view in shown:
        batches = (view.row.scenario.batches if view.row.scenario else None) or []
        ran = [batch for batch in batches if batch.throughput is not None]
        if not ran:
            continue
        name = f"{label(view.row.recipe)} in {label(view.row.runtime)}"
        hover = []
        for batch in ran:
            taken = batch.latency_ms.p50 if batch.latency_ms else None
            took = f"<br>{milliseconds(taken)} a batch" if taken is not None else ""
            hover.append(f"{name}<br>batch {batch.batch}: {rate(batch.throughput or 0.0)}{took}")
        lines.append(
            {
                "type": "scatter",
                "mode": "lines+markers",
                "name": name,
                "x": [batch.batch for batch in ran],
                "y": [batch.throughput for batch in ran],
                "error_y": {
                    "type": "data",
                    "symmetric": False,
                    "array": [(b.high or 0.0) - (b.throughput or 0.0) for b in ran],
                    "arrayminus": [(b.throughput or 0.0) - (b.low or 0.0) for b in ran],
                    "color": palette.colours[view.row.recipe],
                    "thickness": 1,
                    "width": 3,
                },
                "line": {"color": palette.colours[view.row.recipe], "width": 1.6},
                "marker": {
                    "color": palette.colours[view.row.recipe],
                    "symbol": palette.symbols[view.row.runtime],
                    "size": 8,
                },
                "hoverinfo": "text",
                "hovertext": hover,
            }
        )
    if not lines:
        return None
    sizes = sorted({size for line in lines for size in line["x"]})
    layout = base_layout("batch size (logarithmic)", "samples a second")
    layout["xaxis"] |= {
        "type": "log",
        "tickmode": "array",
        "tickvals": sizes,
        "ticktext": [str(s) for s in sizes],
    }
    layout["yaxis"] |= {"rangemode": "tozero"}
    layout["legend"] = LEGEND
    layout["margin"]["t"] = 44
    return {"data": lines, "layout": layout}
