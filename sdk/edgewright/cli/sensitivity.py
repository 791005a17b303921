"""``edgewright sensitivity``: which layer spoils the model when it is compressed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from edgewright.build.sensitivity import Sensitivity


_HOVER = "%{y}<br>%{x:.1f} dB<br>%{customdata[0]} weights<br>quality %{customdata[1]}"


@click.command()
@click.argument("workload", metavar="FILE.py:FACTORY")
@click.option(
    "--technique", default="quantize", show_default=True, help="quantize, prune, sparsify or factorize."
)
@click.option("--profile", default="x86-64-linux", show_default=True, help="Whose integer format is used.")
@click.option(
    "--format",
    "format_name",
    type=click.Choice(["onnx", "tflite"]),
    default="onnx",
    show_default=True,
    help="Of the file whose nodes are quantized.",
)
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Write the figures as JSON.")
@click.option("--html", "html_file", type=click.Path(path_type=Path), help="Write a plot as a page.")
@click.option("--cache", type=click.Path(file_okay=False, path_type=Path), help="Cache folder.")
def sensitivity(
    workload: str,
    technique: str,
    profile: str,
    format_name: str,
    json_file: Path | None,
    html_file: Path | None,
    cache: Path | None,
) -> None:
    """Compress each layer of a workload alone, and list them by the damage done."""
    from edgewright.build.sensitivity import as_rows
    from edgewright.build.sensitivity import sensitivity as measure
    from edgewright.cache import default_cache
    from edgewright.files import write_atomic
    from edgewright.profiles import load_profile
    from edgewright.workloads import WorkloadSource

    from .stages import steps

    device = load_profile(profile)
    with steps() as show:
        found = measure(
            WorkloadSource.parse(workload),
            technique,
            device,
            cache=cache or default_cache(),
            progress=show,
            format=format_name,
        )
    _print(found)
    if json_file is not None:
        body = {"technique": found.technique, "metric": found.metric, "baseline": found.baseline}
        text = json.dumps({**body, "layers": list(as_rows(found))}, indent=2)
        write_atomic(json_file, text.encode())
    if html_file is not None:
        write_atomic(html_file, _page(found).encode())
        click.echo(f"plot: {html_file}")


def _print(found: Sensitivity) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name, justify in (
        ("layer", "left"),
        ("weights", "right"),
        ("SQNR", "right"),
        (found.metric, "right"),
    ):
        table.add_column(name, justify=justify)  # type: ignore[arg-type]
    for effect in found.effects:
        ratio = effect.reason if effect.sqnr_db is None else f"{effect.sqnr_db:.1f} dB"
        quality = "" if effect.quality is None else f"{effect.quality:.4f}"
        table.add_row(*map(Text, (effect.layer, f"{effect.weights}", ratio, quality)))
    console = Console()
    console.print(table)
    if found.baseline is not None:
        console.print(Text(f"uncompressed: {found.metric} {found.baseline:.4f}"))


def _page(found: Sensitivity) -> str:
    """A bar a layer, in the model's order of damage; nothing is loaded from elsewhere."""
    import plotly.graph_objects as go  # type: ignore[import-untyped]

    shown = [effect for effect in found.effects if effect.sqnr_db is not None and effect.sqnr_db < 1000]
    figure = go.Figure(
        go.Bar(
            x=[effect.sqnr_db for effect in shown],
            y=[effect.layer for effect in shown],
            orientation="h",
            customdata=[[effect.weights, effect.quality] for effect in shown],
            hovertemplate=f"{_HOVER}<extra></extra>",
        )
    )
    figure.update_layout(
        title=f"{found.technique}, each layer alone: signal to noise of the outputs, the worst at the top",
        xaxis_title="SQNR (dB)",
        yaxis={"autorange": "reversed", "automargin": True},
        height=max(300, 22 * len(shown)),
    )
    page: str = figure.to_html(include_plotlyjs=True, full_html=True)
    return page
