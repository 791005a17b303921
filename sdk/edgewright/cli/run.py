"""``edgewright run``: a whole plan."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from .options import (
    conditions_options,
    measuring_options,
    preset_option,
)


@click.command()
@click.argument("plan_file", metavar="PLAN.toml", type=click.Path(path_type=Path))
@preset_option
@conditions_options
@click.option("--html", "html_file", type=click.Path(path_type=Path), help="Write the report as a page.")
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Write the report as JSON.")
@click.option("--csv", "csv_file", type=click.Path(path_type=Path), help="Write the report as CSV.")
@click.option(
    "--markdown", "markdown_file", type=click.Path(path_type=Path), help="Write the report as Markdown."
)
@measuring_options
def run(
    plan_file: Path,
    html_file: Path | None,
    json_file: Path | None,
    csv_file: Path | None,
    markdown_file: Path | None,
    fresh: bool,
    farm: Path | None,
    store: str | None,
    **options: Any,
) -> int:
    """Measure a plan: workloads x recipes x runtimes x devices."""
    from .launch import Output, launch
    from .planned import planned

    chosen = {"html": html_file, "json": json_file, "csv": csv_file, "markdown": markdown_file}
    output = Output(store, {name: path for name, path in chosen.items() if path})
    output.check()
    found = planned(plan_file, farm, options)
    return launch(found.work, found.settings, output, name=found.plan.name, plan_text=found.text, fresh=fresh)
