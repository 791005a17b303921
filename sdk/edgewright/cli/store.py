"""``edgewright store``: check, prune, export and import results."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .options import store_option

if TYPE_CHECKING:
    from edgewright.store import Run, Store
    from edgewright.store.transfer import Moved

_json = click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
_OK, _PROBLEMS = 0, 1


@click.group()
def store() -> None:
    """Look after the database of results."""


@store.command()
@_json
@store_option
def check(as_json: bool, store: str | None) -> int:
    """Look for damage: in the database's pages, in every row, and in what is kept derived from them.

    Nothing is written, nor is an older store upgraded. Ends with 1 when anything is wrong.
    """
    from edgewright.report.figures import figures_of
    from edgewright.report.text import clean
    from edgewright.store.check import check as look

    found = look(store, figures_of)
    if as_json:
        _print(asdict(found))
        return _PROBLEMS if found.problems else _OK
    for problem in found.problems:
        click.echo(clean(f"{problem.kind}: {problem.where or found.location}: {problem.what}"))
    if found.total > len(found.problems):
        click.echo(f"and {found.total - len(found.problems)} more")
    age = (
        ""
        if found.is_current or not found.revision
        else f", of an earlier version (schema {clean(found.revision)})"
    )
    waiting = f", {found.not_derived} of them without figures yet" if found.not_derived else ""
    verdict = f"{found.total} problems" if found.problems else "whole"
    click.echo(f"{found.location}: {verdict}: {found.runs} runs, {found.rows} rows{waiting}{age}")
    if found.remark:
        click.echo(f"not checked: {found.remark}")
    return _PROBLEMS if found.problems else _OK


@store.command()
@click.option("--keep-days", type=click.IntRange(min=0), metavar="N", help="Keep runs of the last N days.")
@click.option("--keep-runs", type=click.IntRange(min=1), metavar="N", help="Keep the newest N runs.")
@click.option("--dry-run", is_flag=True, help="Only say what would go.")
@_json
@store_option
def prune(
    keep_days: int | None, keep_runs: int | None, dry_run: bool, as_json: bool, store: str | None
) -> None:
    """Drop old runs, with all their rows, and give their space back.

    Stay, however old: the newest run, one that still goes on, one marked with "store baseline", the last that
    measured a cell, and those before and after a change that newer runs show.
    """
    from edgewright.history.needed import needed_runs
    from edgewright.report.text import clean
    from edgewright.store import Store
    from edgewright.store.prune import Keep
    from edgewright.store.prune import prune as drop

    if (keep_days is None) == (keep_runs is None):
        raise click.UsageError("give one of --keep-days and --keep-runs")
    with Store.open(store, create=False) as opened:
        done = drop(opened, Keep(keep_days, keep_runs), needed_runs(opened), dry_run=dry_run)
    if as_json:
        _print(
            {
                "dry_run": dry_run,
                "dropped": [_run(run) for run in done.dropped],
                "rows": done.rows,
                "kept": [{**_run(run), "why": why} for run, why in done.kept],
                "freed_bytes": done.freed_bytes,
            }
        )
        return
    for run, why in done.kept:
        click.echo(f"stays: {run.run_id} {clean(run.name, 60)}: {clean(why)}")
    for run in done.dropped:
        click.echo(f"{'would go' if dry_run else 'dropped'}: {run.run_id} {clean(run.name, 60)}")
    click.echo(f"{len(done.dropped)} runs, {done.rows} rows{_freed(done.freed_bytes)}")


@store.command()
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="FILE.jsonl, FILE.jsonl.gz or FILE.parquet.",
)
@click.option("--run", "runs", multiple=True, metavar="RUN", help="Of this run alone; may be repeated.")
@_json
@store_option
def export(output: Path, runs: tuple[str, ...], as_json: bool, store: str | None) -> None:
    """Write runs and rows with all raw samples: as JSON lines without loss, or as a Parquet table."""
    from edgewright.errors import ConfigError, EdgewrightError
    from edgewright.report.figures import figures_of
    from edgewright.store.points import derive_missing
    from edgewright.store.transfer import export_lines

    suffixes = "".join(output.suffixes[-2:])
    is_table = output.suffix == ".parquet"
    if not is_table and output.suffix != ".jsonl" and suffixes != ".jsonl.gz":
        raise click.UsageError(f"{output}: not FILE.jsonl, FILE.jsonl.gz or FILE.parquet")
    with _readable(store, may_be_damaged=bool(runs) and not is_table) as opened:
        ids = _ids(opened, runs)
        try:
            if is_table:
                from edgewright.store.parquet import export_parquet

                derive_missing(opened, figures_of)
                moved = export_parquet(opened, output, ids)
            else:
                moved = export_lines(opened, output, ids)
        except EdgewrightError as error:
            raise ConfigError(error.message, mend=error.mend) from error
    if as_json:
        _print({"file": str(output), "runs": moved.runs, "rows": moved.rows})
    else:
        click.echo(f"{output}: {moved.runs} runs, {moved.rows} rows")


@store.command(name="import")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@_json
@store_option
def import_(file: Path, as_json: bool, store: str | None) -> None:
    """Add the runs and rows of FILE, which "export" wrote as JSON lines or which is another store.

    What is in the store already is not added again, so the same file may be imported twice.
    """
    from edgewright.report.figures import figures_of
    from edgewright.store import Store
    from edgewright.store.points import derive_missing
    from edgewright.store.transfer import import_file

    with Store.open(store) as opened:
        moved = import_file(opened, file)
        derive_missing(opened, figures_of)
    if as_json:
        _print({"file": str(file), **asdict(moved)})
    else:
        click.echo(f"{moved.runs} runs and {moved.rows} rows are new{_there(moved)}")


@store.command()
@click.argument("run")
@click.option("--remove", is_flag=True, help="No longer keep it.")
@store_option
def baseline(run: str, remove: bool, store: str | None) -> None:
    """Mark RUN as a baseline, which "prune" never drops."""
    from edgewright.store import Store
    from edgewright.store.prune import mark_baseline

    with Store.open(store, create=False) as opened:
        marked = mark_baseline(opened, run, is_baseline=not remove)
    click.echo(f"{marked.run_id}: {'no longer a baseline' if remove else 'a baseline, which stays'}")


@contextmanager
def _readable(location: str | None, *, may_be_damaged: bool) -> Iterator[Store]:
    """A store; of a damaged one, which is not opened otherwise, what can still be read."""
    from edgewright.errors import StoreError
    from edgewright.store import Store

    try:
        opened = Store.open(location, create=False)
    except StoreError:
        if not may_be_damaged:
            raise
        with Store.as_it_is(location) as damaged:
            yield damaged
        return
    with opened:
        yield opened


def _ids(opened: Store, runs: tuple[str, ...]) -> list[str]:
    from edgewright.store.points import all_runs, find_run

    if not runs:
        return [run.run_id for run in all_runs(opened)]
    return list(dict.fromkeys(find_run(opened, run).run_id for run in runs))


def _print(data: dict[str, Any]) -> None:
    click.echo(json.dumps(data, indent=1))


def _run(run: Run) -> dict[str, Any]:
    return {"run": run.run_id, "name": run.name, "started_at": run.started_at}


def _freed(freed_bytes: int | None) -> str:
    from edgewright.report.units import size

    return "" if freed_bytes is None else f", {size(freed_bytes)} given back"


def _there(moved: Moved) -> str:
    if not moved.runs_there and not moved.rows_there:
        return ""
    return f"; {moved.runs_there} runs and {moved.rows_there} rows were there already"
