"""``edgewright farm run``: a plan over many devices at once."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgewright.errors import ConfigError

from .farm_site import tls_of, tls_options
from .options import (
    Minutes,
    conditions_options,
    measuring_options,
    preset_option,
    threshold_option,
)
from .quantities import parse_share

if TYPE_CHECKING:
    from edgewright.nightly import NightWork
    from edgewright.nightly.again import WorkAgain
    from edgewright.nightly.results import NightResult
    from edgewright.store import Store

    from .farm_engine import Engine
    from .farm_view import FarmView

_GITHUB = "GITHUB_STEP_SUMMARY"
_LAST_GOOD = "last-good"


@click.command()
@click.argument("plan_file", metavar="PLAN.toml", type=click.Path(path_type=Path))
@preset_option
@conditions_options
@click.option("--resume", is_flag=True, help="Go on with the run of this plan that was cut short, or refuse.")
@click.option("--junit", "junit_file", type=click.Path(path_type=Path), help="Write JUnit XML.")
@click.option(
    "--markdown-summary", "summary_file", type=click.Path(path_type=Path), help="Write a summary in Markdown."
)
@click.option("--github", is_flag=True, help=f"Append the summary to ${_GITHUB}, too.")
@click.option(
    "--baseline",
    metavar="last-good|RUN",
    help="Hold the rows against earlier ones; a slower row is a failure.",
)
@threshold_option
@click.option(
    "--retries",
    type=click.IntRange(0, 10),
    default=2,
    show_default=True,
    help="How often a cell is tried again that failed with what may pass.",
)
@click.option(
    "--again",
    type=click.IntRange(0, 10),
    default=2,
    show_default=True,
    help="How often a cell is measured again that seems slower than it was in all nights before.",
)
@click.option(
    "--quarantine-after",
    type=click.IntRange(1, 100),
    default=3,
    show_default=True,
    metavar="N",
    help="Set a device aside when N cells in a row fail for its sake.",
)
@click.option(
    "--return-wait",
    "return_min",
    type=Minutes(),
    default=15.0,
    show_default=True,
    metavar="MINUTES",
    help="How long to wait at least for a device that is set aside.",
)
@click.option(
    "--dask",
    metavar="tls://HOST:PORT",
    help="Have workers build and measure, which are with the scheduler there (edgewright farm worker).",
)
@tls_options
@measuring_options
def run(
    plan_file: Path,
    resume: bool,
    fresh: bool,
    junit_file: Path | None,
    summary_file: Path | None,
    github: bool,
    baseline: str | None,
    threshold: str,
    retries: int,
    again: int,
    quarantine_after: int,
    return_min: float,
    dask: str | None,
    farm: Path | None,
    store: str | None,
    **options: Any,
) -> int:
    """Measure a plan on its devices side by side, whatever fails, each cell ending in one row.

    Ends with 0 when every cell was measured or cannot be, 1 when one failed, is slower than the baseline or
    is gone, 3 when a device was not reached.
    """
    from edgewright.nightly import NightWork, Policy
    from edgewright.nightly.allocator import give_memory_back
    from edgewright.store import Store
    from edgewright.store.points import find_run

    from .farm_engine import engine_of
    from .launch import Output, begin
    from .outcome import ROW_FAILED, exit_code_of
    from .planned import planned

    if resume and fresh:
        raise ConfigError("--resume and --fresh exclude each other")
    files = {"junit": junit_file, "summary": summary_file}
    chosen = {name: path for name, path in files.items() if path}
    Output(store, chosen).check()
    if github and not os.environ.get(_GITHUB):
        raise ConfigError(
            f"--github: {_GITHUB} is not set", mend="outside of GitHub, --markdown-summary FILE"
        )
    share = parse_share(threshold, "--threshold")
    tls = tls_of(*(options.pop(name) for name in ("tls_ca", "tls_cert", "tls_key")))
    found = planned(plan_file, farm, options)
    engine = engine_of(dask, tls, found)
    give_memory_back()
    policy = Policy(attempts=retries + 1, quarantine_after=quarantine_after, return_s=60 * return_min)
    with Store.open(store) as opened:
        if baseline and baseline != _LAST_GOOD:
            baseline = find_run(opened, baseline).run_id
        begun = begin(
            opened, found.settings, name=found.plan.name, plan_text=found.text, fresh=fresh, resume=resume
        )
        job = NightWork(found.work, found.settings, begun, policy, found.plan.priority)
        seconds = _measured(job, opened, engine, (again, baseline, share))
        opened.finish_run(begun.run_id)
        result = _result(job, opened, found.plan.name, seconds, (baseline, share))
    _write(result, chosen, github=github)
    code = exit_code_of([cell.row.error_code for cell in result.cells if cell.row])
    return code or (ROW_FAILED if result.count("slower") or result.gone else 0)


def _measured(
    job: NightWork, store: Store, engine: Engine, suspects: tuple[int, str | None, float]
) -> Mapping[str, float]:
    """Run the night, then measure again what seems slower; how long each cell took.

    ``suspects``: how often they are measured again, what they are held against besides, and the threshold.
    """
    from edgewright.nightly import Night
    from edgewright.nightly.again import first_key
    from edgewright.nightly.inbox import Inbox
    from edgewright.store.bodies import each_row

    from .farm_view import FarmView

    inbox = Inbox()
    groups = {target.name: job.work.groups(target, "") for target in job.work.targets}
    cells = {name: sum(map(len, found)) for name, found in groups.items()}
    with FarmView(cells) as view, engine(job, view) as (executor, builders):
        first = replace(job, builders=builders)
        night = Night(first, store, executor, view, inbox)
        for key, row in each_row(store, job.run.run_id):
            if key == first_key(key):
                view.found(row)
        night.run()
        if more := _again(first, store, view, suspects):
            Night(replace(first, work=more), store, executor, view, inbox).run()
    return night.ledger.seconds


def _again(
    job: NightWork, store: Store, view: FarmView, suspects: tuple[int, str | None, float]
) -> WorkAgain | None:
    """What is to be measured again; a store that cannot be read for it is no reason to lose the night."""
    from edgewright.errors import StoreError
    from edgewright.nightly.again import again
    from edgewright.nightly.baseline import newly_slower
    from edgewright.store.bodies import each_row

    times, baseline, threshold = suspects
    run_id, slower = job.run.run_id, tuple[str, ...]()
    try:
        if times and baseline:
            slower = newly_slower(baseline, run_id, store, threshold)
        more = again(job, store, times=times, threshold=threshold, slower=slower)
    except StoreError as error:
        view.note(f"nothing is measured again: {error}")
        return None
    if more is not None:
        view.note(f"measured again, for they seem slower than they were: {len(more.chosen)}")
        tasks = [task for target in more.targets for group in more.groups(target, run_id) for task in group]
        for task in tasks:
            view.more(task.cell.device, 1)
        wanted = {task.key for task in tasks}
        for key, row in each_row(store, run_id):
            if key in wanted:
                view.found(row)
    return more


def _result(
    job: NightWork, store: Store, name: str, seconds: Mapping[str, float], against: tuple[str | None, float]
) -> NightResult:
    """What the night came to, held against the baseline and its threshold; the table is printed."""
    import sys

    from edgewright.nightly.baseline import hold_against
    from edgewright.nightly.lane import board_of
    from edgewright.nightly.results import Comparisons, NightResult, results
    from edgewright.report import overview_document
    from edgewright.report.terminal import print_report
    from edgewright.store import Boards
    from edgewright.store.bodies import each_row
    from edgewright.store.points import find_run

    run_id, (baseline, threshold) = job.run.run_id, against
    document = overview_document(find_run(store, run_id), (row for _, row in each_row(store, run_id)))
    rows = dict(zip(store.keys(run_id).values(), document.rows, strict=True))
    compared = hold_against(baseline, run_id, store, threshold) if baseline else Comparisons({})
    boards = Boards(store)
    states = {target.name: boards.get(board_of(target)) for target in job.work.targets}
    tasks = [
        task for target in job.work.targets for group in job.work.groups(target, run_id) for task in group
    ]
    print_report(document, sys.stdout)
    return NightResult(
        run_id,
        name,
        results(tasks, rows, seconds, compared),
        compared.gone,
        {device: state.reason for device, state in states.items() if state.is_quarantined},
    )


def _write(result: NightResult, files: Mapping[str, Path], *, github: bool) -> None:
    from edgewright.files import write_atomic
    from edgewright.nightly.junit import render_junit
    from edgewright.nightly.summary import render_summary

    summary = render_summary(result)
    if path := files.get("junit"):
        write_atomic(path, render_junit(result))
    if path := files.get("summary"):
        write_atomic(path, summary.encode())
    for name, path in files.items():
        click.echo(f"{name}: {path}")
    if github:
        try:
            with Path(os.environ[_GITHUB]).open("a", encoding="utf-8") as stream:
                stream.write(summary)
        except OSError as error:
            raise ConfigError(f"{_GITHUB}: cannot be written: {error.strerror}") from None
    for cell in result.cells:
        if cell.kind == "slower":
            click.echo(f"slower: {cell.name} on {cell.cell.device}: {cell.reason}")
    for name in result.gone:
        click.echo(f"gone: {name}")
    click.echo(f"run {result.run_id}: {result.headline}")
