"""One self-contained page: opens without a network, reads without having been there.

Everything is in the file: style, script, Plotly, data. A content security policy forbids the page to
ask for anything, and lets only the scripts written here run, named by their hashes; what a device
says is escaped by the template, and by the charts where Plotly would read it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from plotly.offline import get_plotlyjs  # type: ignore[import-untyped]

from . import frame
from .document import DeviceFacts, Headline, ReportDocument
from .headline import TOLERANCE
from .page import sustained_chart
from .page.figure import Figure, Palette
from .page.latency_chart import DOTS, distributions
from .page.memory_chart import memory
from .page.quality_chart import scatter
from .page.throughput_chart import CAPTION as THROUGHPUT_CAPTION
from .page.throughput_chart import throughput
from .units import milliseconds, size
from .verdict import DRIFT, LAUNCH_SPREAD, MINIMUM, PERTURBATION
from .view import RowView, views
from .watch import FREQUENCY_DROP

_PAGE = "edgewright.report.page"


@dataclass(frozen=True)
class Chart:
    """A figure on the page: the id of its place, and what a caption and a screen reader say of it."""

    id: str
    title: str
    caption: str
    figure: Figure


@dataclass(frozen=True)
class Section:
    """One workload on one device."""

    id: str
    headline: Headline
    best: RowView | None
    facts: DeviceFacts | None
    charts: list[Chart]
    absent: list[str]


def render_html(document: ReportDocument) -> str:
    """The whole page as text."""
    shown = views(document.rows)
    palette = Palette.of(document.rows)
    sections = [
        _section(i, headline, document, shown, palette) for i, headline in enumerate(document.headlines)
    ]
    figures = {chart.id: chart.figure for section in sections for chart in section.charts}
    plotly = get_plotlyjs().replace("\r\n", "\n") if figures else ""
    script = frame.frame_script() + frame.asset(_PAGE, "report.js")
    return (
        frame.environment(_PAGE)
        .get_template("report.html.j2")
        .render(
            generator=document.generator,
            document=document,
            sections=sections,
            rows=shown,
            unmeasured=[view for view in shown if view.row.outcome != "measured"],
            counts={
                name: sum(v.row.outcome == name for v in shown) for name in ("measured", "failed", "skipped")
            },
            policy=frame.policy(script, plotly, images=True),
            style=frame.style((_PAGE, "report.css")),
            script=frame.script(script),
            plotly=frame.script(plotly),
            figures=frame.data(figures),
            limits=_limits(),
            milliseconds=milliseconds,
            size=size,
            moment=frame.moment,
        )
    )


def _section(
    number: int, headline: Headline, document: ReportDocument, shown: list[RowView], palette: Palette
) -> Section:
    here = [v for v in shown if (v.row.workload, v.row.device) == (headline.workload, headline.device)]
    chosen = (headline.recipe, headline.runtime)
    valid = [
        v
        for v in here
        if (v.row.recipe, v.row.runtime) == chosen and v.status == "valid" and not v.p50.missing
    ]
    real = [v for v in here if not v.row.emulated]
    quality, bars = scatter(real, palette), memory(real)
    if quality and bars:
        side_by_side = (quality["layout"], bars["layout"])
        height = max(layout["height"] for layout in side_by_side)
        for layout in side_by_side:
            layout["height"] = height
    figures = (
        ("quality", "Quality against latency", _QUALITY_CAPTION, quality),
        ("memory", "Memory", _MEMORY_CAPTION, bars),
        ("latency", "Latency distributions", _latency_caption(real), distributions(real, palette)),
        *_scenario_charts(real, palette),
    )
    reasons = {
        "quality": "Quality against latency is not drawn: no row has both figures.",
        "memory": "Memory is not drawn: no row has a figure.",
        "latency": "Latency distributions are not drawn: no row was timed.",
    }
    if here and not real:
        reasons = dict.fromkeys(reasons, "Nothing is drawn: every row ran under emulation.")
    return Section(
        id=f"s{number}",
        headline=headline,
        best=valid[0] if valid else None,
        facts=next((facts for facts in document.devices if facts.name == headline.device), None),
        charts=[
            Chart(f"s{number}-{kind}", title, text, f) for kind, title, text, f in figures if f is not None
        ],
        absent=list(
            dict.fromkeys(
                reasons[kind] for kind, _, _, figure in figures if figure is None and kind in reasons
            )
        ),
    )


def _scenario_charts(shown: list[RowView], palette: Palette) -> Iterator[tuple[str, str, str, Figure | None]]:
    """Charts that a scenario calls for: what is absent was not measured that way, and needs no word."""
    yield "throughput", "Throughput against batch size", THROUGHPUT_CAPTION, throughput(shown, palette)
    for number, view in enumerate(shown):
        figure = sustained_chart.curve(view, palette)
        if figure is not None:
            title, caption = sustained_chart.title(view), sustained_chart.caption(view)
            yield f"sustained-{number}", title, caption, figure


_QUALITY_CAPTION = (
    "Further up is better, further left is faster. The dashed line is the score of the model before "
    f"compression, the band the loss that is still accepted ({TOLERANCE:g}). Bars across a marker are the "
    "interval of its median; hollow markers are rows that are not valid."
)
_MEMORY_CAPTION = (
    "Resident memory of the process on the device. The runtime takes its share before any model is loaded; "
    "the model's own cost is what comes on top."
)


def _latency_caption(shown: list[RowView]) -> str:
    launches = [launch for view in shown for launch in view.row.launches]
    total = sum(launch.latency_count for launch in launches)
    used = sum(len(launch.latency_ns) for launch in launches)
    share = "all" if used == total else f"{used:,} evenly chosen of"
    return (
        f"Each curve is the density of a row's steady-state samples ({share} {total:,} here), scaled to the "
        f"same height; dots are up to {DOTS} of them a row. The long stroke is the median, the short p90. "
        "The axis is logarithmic."
    )


def _limits() -> dict[str, Any]:
    return {
        "minimum": MINIMUM,
        "launch_spread": f"{LAUNCH_SPREAD:.0%}",
        "drift": f"{DRIFT:.0%}",
        "perturbation": f"{PERTURBATION:.0%}",
        "frequency_drop": f"{FREQUENCY_DROP:.0%}",
    }
