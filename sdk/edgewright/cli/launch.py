"""From a prepared piece of work to stored rows, a printed table and the files asked for."""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import click

from edgewright import __version__
from edgewright.errors import ConfigError
from edgewright.farm.job import Settings
from edgewright.farm.project import project_commit
from edgewright.farm.session import Run, Work, run_work
from edgewright.report import report_document, write
from edgewright.report.terminal import print_report
from edgewright.row import Failed
from edgewright.store import Store

from .outcome import exit_code
from .progress import RunProgress


@dataclass(frozen=True)
class Output:
    """Where results go: the database, and report files by format."""

    store: str | None
    files: Mapping[str, Path]

    def check(self) -> None:
        """Refuse a report file that cannot be written before anything is measured."""
        named: dict[Path, str] = {}
        for name, path in self.files.items():
            other = named.setdefault(Path(os.path.realpath(path)), name)
            if other != name:
                raise ConfigError(f"{path}: named for {other} and for {name}", mend="name two files")
            if not path.parent.is_dir():
                raise ConfigError(f"{path}: no such folder")
            if path.is_dir():
                raise ConfigError(f"{path}: a folder", mend="name the file in it")
            try:
                tempfile.TemporaryFile(dir=path.parent).close()
            except OSError as error:
                raise ConfigError(f"{path}: cannot be written: {error.strerror}") from None


#: A run that a crash cut short is gone on with for so long; later, its rows would be of another day.
RESUMED_WITHIN = timedelta(hours=6)
_EVER = timedelta(days=36_500)

#: Options that change nothing of what is measured.
_WHERE_TO = {
    *("store", "json_file", "html_file", "csv_file", "markdown_file", "fresh", "wait_min"),
    *("resume", "junit_file", "summary_file", "github", "baseline", "threshold"),
    *("retries", "again", "quarantine_after", "return_min"),
    *("dask", "tls_ca", "tls_cert", "tls_key"),
}


def launch(
    work: Work, settings: Settings, output: Output, *, name: str, plan_text: str, fresh: bool = False
) -> int:
    """Measure, store, print and write; the exit code.

    The same command given again goes on with a run that a crash of this host or process cut short.
    """
    output.check()
    with Store.open(output.store) as store:
        run = begin(store, settings, name=name, plan_text=plan_text, fresh=fresh)
        with RunProgress(work.count) as progress:
            rows = run_work(work, settings, store, run, progress)
        store.finish_run(run.run_id)
        document = report_document(store.run(run.run_id))
    for format_name, path in output.files.items():
        write(document, path, format_name)
    if len(rows) > 1 or not isinstance(rows[0].outcome, Failed):
        print_report(document, sys.stdout)
    for path in output.files.values():
        click.echo(f"report: {path}")
    if len(rows) == 1 and isinstance(rows[0].outcome, Failed):
        click.echo(f"error: {' '.join(rows[0].outcome.reason.split())}", err=True)
    return exit_code(rows)


def begin(
    store: Store,
    settings: Settings,
    *,
    name: str,
    plan_text: str,
    fresh: bool = False,
    resume: bool = False,
) -> Run:
    """A new run, or the one of the same command that was cut short.

    Args:
        fresh: a new one in any case.
        resume: never a new one; the one that was cut short, however long ago.

    Raises:
        ConfigError: there is none to resume.
    """
    request = _request(plan_text)
    cut_short = store.interrupted_run(request, within=_EVER if resume else RESUMED_WITHIN)
    if resume and cut_short is None:
        raise ConfigError("no run of this command was cut short", mend="leave --resume out to begin one")
    if cut_short and not fresh:
        what = f"going on with run {cut_short.run_id}, which was cut short"
        click.echo(f"{what} (--fresh begins a new one)", err=True)
        return Run(cut_short.run_id, is_resumed=True)
    begun = store.begin_run(
        name, plan_text, settings.effort.name, request, project_commit=project_commit(Path.cwd())
    )
    return Run(begun, given_up=cut_short.run_id if cut_short else "")


def _request(plan_text: str) -> str:
    """What was asked for: the command with its options but for where results go, and what the plan says."""
    context = click.get_current_context()
    options = {key: str(value) for key, value in sorted(context.params.items()) if key not in _WHERE_TO}
    names = [context.info_name]
    while context.parent is not None:
        context = context.parent
        names.append(context.info_name)
    text = repr((__version__, str(Path.cwd()), names[:-1], options, plan_text))
    return hashlib.sha256(text.encode()).hexdigest()
