"""``edgewright history`` and ``edgewright regressions``."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .options import store_option, threshold_option
from .quantities import parse_duration, parse_share

if TYPE_CHECKING:
    from edgewright.history.document import RegressionsDocument

#: What ``history`` and ``regressions`` can look at.
_QUANTITIES = ("latency", "memory", "energy", "size")
_GOOD, _BAD = 0, 1
_STDERR = 2


@click.command()
@click.argument("filters", metavar="[FIELD=PATTERN]...", nargs=-1)
@click.option(
    "--of", "quantity", type=click.Choice(_QUANTITIES), default="latency", show_default=True, help="Of what."
)
@threshold_option
@click.option("--json", "json_", type=click.Path(dir_okay=False, allow_dash=True), help="Write it as JSON.")
@store_option
def history(
    filters: tuple[str, ...], quantity: str, threshold: str, json_: str | None, store: str | None
) -> None:
    """Show the series of the store, and where each changed its level.

    A FIELD is workload, recipe, device, profile, unit, runtime, provider, threads, scenario, preset or
    conditions; PATTERN may hold * and ?. Without any, every series is shown.
    """
    from edgewright.history import judged
    from edgewright.history.document import history_document
    from edgewright.history.words import render_history
    from edgewright.report.plain import render_json
    from edgewright.store import Store

    share = parse_share(threshold, "--threshold")
    wanted = [_filter(text) for text in filters]
    with Store.open(store, create=False) as opened:
        found = judged(opened, wanted, quantity=quantity, threshold=share)
        document = history_document(found, share)
    if json_ is None:
        click.echo(render_history(document), nl=False)
    else:
        _write(json_, render_json(document))


@click.command()
@click.option("--run", "run_id", metavar="RUN", help="An id or its beginning; otherwise the latest.")
@click.option(
    "--of", "quantities", type=click.Choice(_QUANTITIES), multiple=True, help="Of what; latency otherwise."
)
@threshold_option
@click.option(
    "--recent",
    type=click.IntRange(min=1),
    default=7,
    show_default=True,
    help="For how many measurements a regression is reported before it is the new level.",
)
@click.option("--json", "json_", type=click.Path(dir_okay=False, allow_dash=True), help="Write it as JSON.")
@click.option("--junit", type=click.Path(dir_okay=False, allow_dash=True), help="Write it as JUnit XML.")
@click.option(
    "--markdown",
    type=click.Path(dir_okay=False, allow_dash=True),
    help="Write it as Markdown, for a job summary.",
)
@click.option(
    "--exec", "command", metavar="COMMAND", help="When something is wrong, run this with the JSON as input."
)
@click.option(
    "--exec-timeout", default="60s", show_default=True, metavar="60s", help="How long it may take at most."
)
@store_option
def regressions(
    run_id: str | None,
    quantities: tuple[str, ...],
    threshold: str,
    recent: int,
    json_: str | None,
    junit: str | None,
    markdown: str | None,
    command: str | None,
    exec_timeout: str,
    store: str | None,
) -> int:
    """Say what of a run got worse than it was before, and what is missing from it.

    Ends with 1 when a regression is certain, or a cell is missing that one of the three runs of that name
    before measured; with 0 otherwise, also when there are suspects.
    """
    from edgewright.history import find_regressions
    from edgewright.history.document import regressions_document
    from edgewright.history.junit import render_junit
    from edgewright.history.words import render_markdown, render_regressions
    from edgewright.report.plain import render_json
    from edgewright.store import Store

    share = parse_share(threshold, "--threshold")
    words, timeout_s = _words(command), parse_duration(exec_timeout, "--exec-timeout")
    with Store.open(store, create=False) as opened:
        found = find_regressions(
            opened, run_id, quantities=quantities or ("latency",), threshold=share, recent=recent
        )
    document = regressions_document(found, share)
    files = [(json_, render_json), (junit, render_junit), (markdown, render_markdown)]
    for file, render in files:
        if file is not None:
            _write(file, render(document))
    if "-" not in (json_, junit, markdown):
        click.echo(render_regressions(document), nl=False)
    if words and found.is_bad:
        _tell(words, document, timeout_s)
    return _BAD if found.is_bad else _GOOD


def _filter(text: str) -> tuple[str, str]:
    from edgewright.config import did_you_mean
    from edgewright.errors import ConfigError
    from edgewright.store.points import FIELDS

    field, sign, value = text.partition("=")
    if not sign:
        raise ConfigError(f"{text!r} is not FIELD=PATTERN, such as device=pi5 or workload=resnet*")
    if field not in FIELDS:
        raise ConfigError(f"no series has a {field!r}", mend=did_you_mean(field, FIELDS))
    return field, value


def _write(file: str, text: str) -> None:
    """To standard output, or whole into a file."""
    from edgewright.errors import ConfigError, EdgewrightError
    from edgewright.files import write_atomic

    if file == "-":
        click.echo(text, nl=False)
        return
    try:
        write_atomic(Path(file), text.encode("utf-8"))
    except EdgewrightError as error:
        raise ConfigError(error.message) from error  # 1 would say that something got worse


def _words(command: str | None) -> list[str]:
    if command is None:
        return []
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise click.BadParameter(f"{command!r}: {error}", param_hint="--exec") from None
    if not words:
        raise click.BadParameter("no command", param_hint="--exec")
    return words


def _tell(words: list[str], document: RegressionsDocument, timeout_s: float) -> None:
    """Run the user's command with the document on its standard input; it is no shell's.

    Raises:
        ConfigError: it cannot be run, fails, or takes too long.
    """
    from edgewright.errors import ConfigError
    from edgewright.report.plain import render_json

    try:
        # What it prints must not get between the lines of a document on standard output.
        process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=_STDERR, start_new_session=True)
    except OSError as error:
        raise ConfigError(f"--exec {words[0]}: cannot be run: {error.strerror}") from None
    try:
        process.communicate(render_json(document).encode(), timeout=timeout_s)
    except subprocess.TimeoutExpired:
        raise ConfigError(f"--exec {words[0]}: still running after {timeout_s:g} s, ended") from None
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    if process.returncode:
        raise ConfigError(f"--exec {words[0]}: ended with {process.returncode}")
