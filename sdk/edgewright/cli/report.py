"""``edgewright report``: render a stored run, or a report that ``--json`` wrote."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .options import store_option

if TYPE_CHECKING:
    from edgewright.report import ReportDocument
    from edgewright.store import RunSummary

_FILE = click.Path(dir_okay=False, allow_dash=True)


@click.command()
@click.argument("run", required=False)
@click.option("--html", type=_FILE, metavar="FILE", help="One self-contained page.")
@click.option("--json", "json_", type=_FILE, metavar="FILE", help="Everything, raw samples too.")
@click.option("--csv", type=_FILE, metavar="FILE", help="One line a row.")
@click.option("--markdown", type=_FILE, metavar="FILE", help="For a pull request or a wiki.")
@click.option(
    "--all-samples", is_flag=True, help="Put every raw sample into the JSON, not up to 10,000 a launch."
)
@click.option("--list", "list_", is_flag=True, help="List the stored runs instead; --json for programs.")
@store_option
def report(
    run: str | None,
    html: str | None,
    json_: str | None,
    csv: str | None,
    markdown: str | None,
    all_samples: bool,
    list_: bool,
    store: str | None,
) -> None:
    """Render a stored run: RUN is its id or the beginning of it, the latest without one.

    RUN may also be a report file that --json wrote. FILE may be - for standard output. Without a FILE
    the report is printed.
    """
    files = {"html": html, "json": json_, "csv": csv, "markdown": markdown}
    if list_:
        _list(store, json_, run, files)
        return
    from edgewright.report import render, write
    from edgewright.report.terminal import print_report

    document = _document(run, store, all_samples=all_samples)
    wanted = {name: file for name, file in files.items() if file is not None}
    for name, file in wanted.items():
        if file == "-":
            click.echo(render(document, name).encode("utf-8"), nl=False)
        else:
            write(document, Path(file), name)
    if not wanted:
        print_report(document, sys.stdout)


def _document(run: str | None, store: str | None, *, all_samples: bool) -> ReportDocument:
    from edgewright.report import load_document, report_document
    from edgewright.report.assemble import SAMPLES_PER_LAUNCH
    from edgewright.store import Store

    if run is not None and run.endswith(".json"):
        if all_samples:
            raise click.UsageError(
                "--all-samples needs a stored run: a report file holds the samples it was given"
            )
        return load_document(Path(run))
    with Store.open(store, create=False) as opened:
        return report_document(opened.run(run), samples=None if all_samples else SAMPLES_PER_LAUNCH)


def _list(store: str | None, json_: str | None, run: str | None, files: dict[str, str | None]) -> None:
    if run is not None or any(file for name, file in files.items() if name != "json"):
        raise click.UsageError("--list takes --json and --store only")
    from edgewright.store import Store

    with Store.open(store, create=False) as opened:
        summaries = opened.list_runs()
    if json_ is None:
        _print_list(summaries)
        return
    listing = [
        {**asdict(s.run), "measured": s.measured, "failed": s.failed, "skipped": s.skipped} for s in summaries
    ]
    text = json.dumps(listing, indent=1) + "\n"
    with click.open_file(json_, "w", encoding="utf-8", atomic=json_ != "-") as stream:
        stream.write(text)


def _print_list(summaries: tuple[RunSummary, ...]) -> None:
    from edgewright.report.text import clean

    for summary in summaries:
        run = summary.run
        ended = "" if run.finished_at else "  unfinished"
        counts = f"{summary.measured} measured, {summary.failed} failed, {summary.skipped} skipped"
        click.echo(f"{run.run_id}  {clean(run.name, 60)}  {run.preset}  {counts}{ended}")
